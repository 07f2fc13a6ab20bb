"""Make an executed notebook committable: nothing in it that the next run on the next machine would change.

`scrub` is a pure function of the notebook and applying it twice changes nothing, byte for byte.
`refresh` is the authoring command: execute, scrub, add a picture to every figure, write.
"""

import base64
import copy
import importlib.util
import re
import tempfile
import warnings
from html import unescape
from pathlib import Path

import nbformat

from ..errors import UserError
from . import times
from .notebooks import Notebook, write_text

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
STATE = "application/vnd.jupyter.widget-state+json"
INJECTED = {"injected-parameters", "papermill-error-cell-tag"}
CELL_KEYS = {"tags", "jupyter", "slideshow"}
BAR = re.compile(r"\d+%\|.*\||\d+it \[|\d+/\d+ \[\d\d:\d\d")
REPR = re.compile(r"^[A-Z]\w*\(.*\)$", re.DOTALL)
LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python", "pygments_lexer": "ipython3"}
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
SIZE = (900, 500)  # of a figure's picture, in pixels, where the figure itself does not say


def scrub(nb):
    """A new notebook node without injected cells, papermill and widget metadata, stderr and progress bars.

    A widget's view, which nobody but the kernel that made it can show, becomes what it showed when it was saved:
    its text and picture, or the figures and text of its Output and HTML parts. Counts run 1..n when every cell ran;
    a notebook that was not run keeps its empty counts.
    """
    nb = flatten_widgets(nb)
    nb.cells = [cell for cell in nb.cells if not INJECTED & set(cell.metadata.get("tags", []))]
    nb.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": LANGUAGE})
    nb.nbformat, nb.nbformat_minor = 4, 5
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    ran = all(cell.execution_count for cell in code if cell.source.strip())
    for cell in nb.cells:
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in CELL_KEYS})
    for count, cell in enumerate(code, start=1):
        cell.outputs = _clean(cell.outputs)
        cell.execution_count = count if ran else cell.execution_count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
    return nb


def flatten_widgets(nb):
    """A copy in which every widget view is replaced by what the widget showed when the notebook was saved."""
    nb = copy.deepcopy(nb)
    state = nb.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs = [new for output in cell.outputs for new in _still(output, state)]
    nb.metadata.pop("widgets", None)
    return nb


def _still(output, state) -> list:
    """The output itself; for a widget view its readable fallback, with the contents of its parts where it has no picture.

    A summary and one figure become one output, as a live view shows them.
    """
    if WIDGET not in output.get("data", {}):
        return [output]
    view = output.data.pop(WIDGET)["model_id"]
    text = output.data.get("text/plain", "").strip()
    if BAR.search(text) or _is_bar(view, state):
        return []
    if REPR.match(text):
        output.data.pop("text/plain")
    if "image/png" in output.data:
        return [output]
    inside = [o for o in _contents(view, state) if o.get("data", {}).get("text/plain", "").strip() != text]
    figures = [o for o in inside if PLOTLY in o.get("data", {})]
    if output.data and len(figures) == 1:
        output.data[PLOTLY] = figures[0].data[PLOTLY]
        inside.remove(figures[0])
    return ([output] if output.data else []) + inside


def _is_bar(model_id: str, state) -> bool:
    """tqdm's notebook bar: a box of text, a progress widget, text."""
    children = state.get(model_id, {}).get("state", {}).get("children", [])
    return any("Progress" in state.get(c.removeprefix("IPY_MODEL_"), {}).get("model_name", "") for c in children)


def _contents(model_id: str, state, seen: frozenset = frozenset()) -> list:
    """What the Output, HTML and Label parts under a widget show, in reading order, as notebook outputs."""
    model = state.get(model_id, {})
    values, kind = model.get("state", {}), model.get("model_name", "")
    if model_id in seen:
        return []
    if kind == "OutputModel":
        found = [nbformat.from_dict(o) for o in values.get("outputs", [])]
        return [new for output in found for new in _still(output, state)]
    if kind in ("HTMLModel", "HTMLMathModel", "LabelModel") and values.get("value"):
        data = {"text/plain": unescape(re.sub(r"<[^>]+>", "", values["value"]))}
        if kind != "LabelModel":
            data["text/html"] = values["value"]
        return [nbformat.v4.new_output("display_data", data)]
    children = [c.removeprefix("IPY_MODEL_") for c in values.get("children", [])]
    return [new for child in children for new in _contents(child, state, seen | {model_id})]


def _clean(outputs) -> list:
    """Outputs without stderr and progress bars; neighbouring pieces of one stream joined."""
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name == "stderr":
                continue
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += output.text
            else:
                kept.append(output)
            continue
        if output.output_type in ("display_data", "execute_result"):
            output.metadata = nbformat.from_dict({k: v for k, v in output.metadata.items() if k in output.data and v})
            if PLOTLY in output.data:
                output.data[PLOTLY].get("config", {}).pop("plotlyServerURL", None)
        output.pop("transient", None)
        kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = _without_bars(output.text)
    return [output for output in kept if output.get("text", True)]


def _without_bars(text: str) -> str:
    """Text as a terminal would leave it: of a line rewritten with carriage returns the last state, no bars."""
    lines = [re.sub(r"^.*\r(?=[^\r\n])|\r+(?=\n|$)", "", line) for line in re.split(r"(?<=\n)", text)]
    return "".join(line for line in lines if not BAR.search(line))


def add_pictures(nb) -> int:
    """Give every figure that has none a PNG beside its JSON, for readers without JavaScript (GitHub, nbviewer); how many.

    UserError when kaleido or its browser is missing.
    """
    outputs = [o for c in nb.cells if c.cell_type == "code" for o in c.outputs if PLOTLY in o.get("data", {})]
    figures = [o for o in outputs if "image/png" not in o.data]
    if not figures:
        return 0
    mend = 'pictures of figures need kaleido and Chromium: pip install -e ".[author]" and install chromium'
    try:
        import kaleido
    except ModuleNotFoundError as error:
        raise UserError(mend) from error
    import plotly.io

    kaleido.start_sync_server(silence_warnings=True)
    try:
        for output in figures:
            figure = {k: v for k, v in output.data[PLOTLY].items() if k in ("data", "layout")}
            layout = figure.get("layout", {})
            width, height = layout.get("width") or SIZE[0], layout.get("height") or SIZE[1]
            with warnings.catch_warnings(action="ignore"):  # about options that plotly hands to kaleido
                png = plotly.io.to_image(figure, format="png", width=width, height=height, scale=1, validate=False)
            output.data["image/png"] = base64.b64encode(png).decode("ascii")
    except Exception as error:
        raise UserError(f"{mend} ({type(error).__name__}: {str(error).strip().splitlines()[0]})") from error
    finally:
        kaleido.stop_sync_server(silence_warnings=True)
    return len(figures)


def set_time(nb, name: str, rows: list[dict]) -> None:
    """Rewrite the `**Time:** ...` line of the first cell from the recorded times."""
    first = nb.cells[0]
    first.source = re.sub(r"^\*\*Time:\*\*.*$", lambda _: times.time_line(name, rows), first.source, flags=re.MULTILINE)


def text_of(nb) -> str:
    """The notebook as it is stored: sorted keys, one-space indent, one newline at the end."""
    return nbformat.writes(nb, version=4).rstrip("\n") + "\n"


def problems(notebook: Notebook, rows: list[dict] | None = None) -> list[str]:
    """What stands between the notebook file and a commit, each as a phrase; empty when it is clean."""
    stored = notebook.path.read_text(encoding="utf-8")
    nb = nbformat.reads(stored, as_version=4)
    rows = times.read() if rows is None else rows
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    found = []
    if any(cell.execution_count is None for cell in code):
        found.append("has code cells that were not run")
    if any(output.output_type == "error" for cell in code for output in cell.outputs):
        found.append("has a cell that ended in an error")
    set_time(nb, notebook.name, rows)
    if text_of(nb) != text_of(nbformat.reads(stored, as_version=4)):
        found.append("says other minutes than data/results/notebook_times.csv")
    if text_of(scrub(nb)) != text_of(nb) or text_of(nbformat.reads(stored, as_version=4)) != stored:
        found.append("is not scrubbed")
    return found


def refresh(chosen: list[Notebook], profile: str, execute: bool = True) -> int:
    """Execute (unless told not to) and record the time, scrub, set the measured minutes, add missing pictures, write.

    0, 1 when one failed, 130 after Ctrl-C. A notebook that failed is left as it was.
    """
    from .run import Job, git_commit, row, run_jobs

    failed, commit = 0, git_commit()
    with tempfile.TemporaryDirectory() as folder:
        for notebook in chosen:
            if execute:
                job = Job(notebook, profile, {}, Path(folder), page=False)
                if not run_jobs([job]):
                    return 130
                if job.status != "ok":
                    failed = 1
                    continue
                nb = job.nb
                times.record([row(job, commit, "refresh")])
            else:
                nb = nbformat.read(notebook.path, as_version=4)
            nb = scrub(nb)
            set_time(nb, notebook.name, times.read())
            write_text(notebook.path, text_of(nb))  # already now: should the browser fail, the run is not lost
            pictures = add_pictures(nb) if execute or importlib.util.find_spec("kaleido") else 0
            text = text_of(nb)
            write_text(notebook.path, text)
            print(f"wrote {notebook.path.name}: {len(text) / 1e6:.2f} MB, {pictures} pictures added")
    return failed


def check(chosen: list[Notebook]) -> int:
    """Print what is not clean about each notebook; 0 when all are."""
    rows = times.read()
    found = [(notebook, problem) for notebook in chosen for problem in problems(notebook, rows)]
    for notebook, problem in found:
        print(f"{notebook.path.name} {problem}")
    if found:
        names = " ".join(sorted({notebook.name for notebook, _ in found}))
        print(f"mend: python -m adapterlab refresh {names}   (--no-run where nothing has to be executed again)")
    return 1 if found else 0
