"""Make an executed notebook committable: nothing in it that the next run on the next machine would change.

`scrub` is a pure function of the notebook and applying it twice changes nothing, byte for byte.
"""

import base64
import copy
import re
import warnings
from html import unescape

import nbformat
from nbconvert.preprocessors.coalescestreams import CoalesceStreamsPreprocessor

from ..errors import UserError

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
        _clean(cell)
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
    """The output itself; for a widget view its readable fallback, with the contents of its parts if it has no picture.

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


def _clean(cell) -> None:
    """Take stderr and progress bars away; nbconvert joins the neighbouring pieces of a stream."""
    cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)
    for output in cell.outputs:
        output.pop("transient", None)
        if output.output_type == "stream":
            output.text = _without_bars(output.text)
        if output.output_type in ("display_data", "execute_result"):
            output.metadata = nbformat.from_dict({k: v for k, v in output.metadata.items() if k in output.data and v})
            output.data.get(PLOTLY, {}).get("config", {}).pop("plotlyServerURL", None)
    cell.outputs = [output for output in cell.outputs if output.get("text", True)]


def _without_bars(text: str) -> str:
    """Text as a terminal would leave it: of a line rewritten with carriage returns the last state, no bars."""
    lines = [re.sub(r"^.*\r(?=[^\r\n])|\r+(?=\n|$)", "", line) for line in re.split(r"(?<=\n)", text)]
    return "".join(line for line in lines if not BAR.search(line))


def add_pictures(nb) -> int:
    """Give every figure that has none a PNG beside its JSON, for pages without JavaScript (GitHub, nbviewer): how many.

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


def text_of(nb) -> str:
    """The notebook as it is stored: sorted keys, one-space indent, one newline at the end."""
    return nbformat.writes(nb).rstrip("\n") + "\n"
