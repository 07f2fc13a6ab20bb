"""Helpers of the tests that guard the notebooks: find, read, fill in the solutions, run in a private copy.

A notebook is executed twice without a browser: as it is by nbval, which also compares its checked cells, and by papermill,
solved (where it has a TASK, on a file of nine classes), with all its cells again at the end. Both leave the executed notebook, from which verdicts, errors and peak memory are read.
"""

import ast
import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

import nbformat

from adapterlab.paths import NOTEBOOKS, ROOT

FOLDER = Path(os.environ.get("ADAPTERLAB_NOTEBOOKS") or NOTEBOOKS)
TIMEOUT = 1200
CHECKER = re.compile(r"^(?P<name>\w+) = check\.(?P<check>\w+)\((?P=name)\)", re.M)
FENCE = re.compile(r"```python\n(.*?)```", re.S)
# papermill's command with our client, which does not hang when an Output widget answers at the wrong moment
PAPERMILL = """import papermill.engines
from adapterlab.book.run import Client
from papermill.cli import papermill as main
papermill.engines.PapermillNotebookClient = Client
main()"""
# pytest with our plugin nbval_keep, which lies beside this file and is on no kernel's path
PYTEST = f"""import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import pytest
sys.exit(pytest.main(sys.argv[1:]))"""
# behind an exercise: from here on each call is answered by the next of all the answers that its check accepts
AGAIN = "again"
ROTATE = """
from itertools import cycle
accepted = [check.{check}(answer) for _, answer in check.{check}.accepted_variants()]
if accepted:
    {name} = lambda *args, answers=cycle(accepted), **kwargs: next(answers)(*args, **kwargs)
"""
FINISH = """import gc
from adapterlab.lab import peak_memory_mb
from adapterlab.lessons.kit.view import FigureView
for view in [o for o in gc.get_objects() if isinstance(o, FigureView)]:
    assert view.error is None, view.error
print(f"peak_memory_mb {peak_memory_mb()}")"""


NINE = ("very good", "très bien", "so so", "non|merci", 'in "quotes"', "50% <b>", "日本 語", "a, b", "$x$ {y}")


def own_file(path: Path) -> Path:
    """A reader's own CSV: 450 sentences of nine classes, with names that HTML, CSV, TeX or a format could trip over."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [(f"film {i} is word{i % 9} of {i % 50}{', yes' * (i % 4 == 0)}", NINE[i % 9]) for i in range(450)]
        csv.writer(file).writerows([("text", "label"), *rows])
    return path


def notebooks() -> list[Path]:
    """The workbook's notebooks in reading order."""
    return sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))


def read(path: Path):
    return nbformat.read(path, as_version=4)


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def code_cells(nb) -> list:
    return [c for c in nb.cells if c.cell_type == "code"]


def tagged(nb, prefix: str) -> dict:
    """Cells by what follows the prefix in their tag: tagged(nb, "exercise-") -> {"01a": cell}."""
    return {t.removeprefix(prefix): c for c in nb.cells for t in tags(c) if t.startswith(prefix)}


def fill_solutions(nb):
    """A copy of the notebook in which every exercise's stub is replaced by its solution's code.

    In the stub cell everything before the line `name = check.checker(name)` goes, but for imports. ValueError
    names an exercise without a solution, a solution without code, or a stub without that line.
    """
    nb = nbformat.from_dict(json.loads(json.dumps(nb)))
    solutions = tagged(nb, "solution-")
    for ident, cell in tagged(nb, "exercise-").items():
        if ident not in solutions:
            raise ValueError(f"exercise {ident} has no cell tagged solution-{ident}")
        block = FENCE.search(solutions[ident].source)
        line = CHECKER.search(cell.source)
        if not block:
            raise ValueError(f"solution {ident} has no ```python block")
        if not line:
            raise ValueError(f"exercise {ident} has no line `name = check.checker(name)`")
        ast.parse(block[1])
        body = ast.parse(cell.source[: line.start()]).body
        imports = [ast.unparse(n) for n in body if isinstance(n, ast.Import | ast.ImportFrom)]
        cell.source = "\n".join([*imports, block[1].rstrip(), "", "", cell.source[line.start() :]])
    return nb


def run_again(nb):
    """The notebook with all its code cells but the parameters once more at its end, as by "Run All" in a living kernel.

    Of these a cell may fail and the next runs all the same. This time an exercise gives another type of answer at every
    call, whatever its check accepts.
    """
    for cell in [cell for cell in code_cells(nb) if "parameters" not in tags(cell)]:
        source, line = cell.source, CHECKER.search(cell.source)
        if line:
            source = source[: line.end()] + ROTATE.format(**line.groupdict()) + source[line.end() :]
        nb.cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception", AGAIN]}))
    return nb


def report(problems: list[str]) -> str:
    """The problems as an assertion's message: one to a paragraph, without a terminal's colour codes."""
    return "\n" + re.sub(r"(?:\x1b|#x1B)\[[\d;]*m", "", "\n".join(f"- {p}" for p in problems))


def texts(cell) -> str:
    """All that a code cell printed or returned as text."""
    parts = []
    for out in cell.get("outputs", []):
        parts += [out["text"]] if out.output_type == "stream" else [out.get("data", {}).get("text/plain", "")]
        parts += out.get("traceback", [])
    return "\n".join(parts)


def private_copy(into: Path, extra: Path | None = None) -> Path:
    """What a notebook needs of the checkout, copied to `into`: a run can neither harm the checkout nor be
    disturbed by it, and what the run wrote can be seen. Returns the copy's notebooks folder."""
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "runs")
    for name in ("adapterlab", "data"):
        shutil.copytree(ROOT / name, into / name, ignore=ignore)
    folder = into / "notebooks"
    folder.mkdir(parents=True)
    for path in [ROOT / name for name in ("requirements.txt", "pyproject.toml", "README.md")]:
        shutil.copy2(path, into)
    for path in dict.fromkeys([*notebooks(), *([extra] if extra else [])]):
        shutil.copy2(path, folder)
    return folder


def environment(copy: Path, scratch: Path, **more) -> dict:
    """The environment of a run: smoke, offline, one thread, `adapterlab` from the copy, private folders."""
    (scratch / "tmp").mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "ADAPTERLAB_", "PLOTLY_", "JUPYTER"))}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return kept | threads | {
        "ADAPTERLAB_PROFILE": "smoke",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(copy),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "JUPYTER_PLATFORM_DIRS": "1",
        "IPYTHONDIR": str(scratch / "ipython"),
        "TMPDIR": str(scratch / "tmp"),
        **more,
    }  # fmt: skip


def files(folder: Path) -> dict:
    """Every file below a folder with its size and time, less Python's own caches."""
    found = (p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in found}


@dataclass
class Run:
    """One headless run of a notebook."""

    name: str
    kind: str
    code: int
    log: str
    seconds: float
    nb: object = None
    cells: list = field(default_factory=list)
    written: list = field(default_factory=list)

    @property
    def peak_mb(self) -> float:
        found = re.findall(r"peak_memory_mb ([\d.]+)", texts(self.nb.cells[-1])) if self.nb else []
        return float(found[-1]) if found else float("nan")


def run_notebook(path: Path, kind: str, scratch: Path) -> Run:
    """kind: "unsolved" (nbval) or "solved" (papermill). A kernel that could not start is tried once more."""
    run = _run_once(path, kind, scratch / "1")
    lost = ("Kernel died before replying", "Kernel didn't respond", "Address already in use")
    return _run_once(path, kind, scratch / "2") if run.code and any(t in run.log for t in lost) else run


def _nbval(here: Path, copy: Path, out: Path, report: Path) -> list[str]:
    return ["-c", PYTEST, "--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={TIMEOUT}", "-p", "nbval_keep",
            f"--nbval-keep={out}", "-p", "no:xdist", "-p", "no:cacheprovider", "-o", "addopts=", "-q",
            f"--junitxml={report}", f"--rootdir={copy}", str(here)]  # fmt: skip


def _papermill(here: Path, out: Path) -> list[str]:
    takes_task = re.search(r"^TASK = ", tagged(read(here), "parameters")[""].source, re.M)
    own = ["-p", "TASK", str(own_file(out.with_suffix(".csv")))] if takes_task else []
    return ["-c", PAPERMILL, str(here), str(out), "-k", "python3", "--no-progress-bar", "--cwd", str(here.parent),
            "--execution-timeout", str(TIMEOUT), *own]  # fmt: skip


def _run_once(path: Path, kind: str, scratch: Path) -> Run:
    copy = scratch / "copy"
    folder = private_copy(copy, extra=path)
    here, out, report = folder / path.name, scratch / path.name, scratch / "report.xml"
    nb = run_again(fill_solutions(read(here))) if kind == "solved" else read(here)
    nb.cells.append(nbformat.v4.new_code_cell(FINISH, execution_count=len(code_cells(nb)) + 1))
    nbformat.write(nb, here)
    command = _papermill(here, out) if kind == "solved" else _nbval(here, copy, out, report)
    before = files(copy)
    start = time.perf_counter()
    code, log = _call([sys.executable, *command], environment(copy, scratch), folder)
    run = Run(path.stem, kind, code, log, time.perf_counter() - start)
    after = files(copy)
    run.written = sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
    if out.exists():
        run.nb = read(out)
    if report.exists():
        run.cells = [
            (case.get("name"), next((c.tag for c in case), "passed"), "".join(c.text or "" for c in case))
            for case in ET.parse(report).getroot().iter("testcase")
        ]
    shutil.rmtree(copy, ignore_errors=True)
    return run


def _call(command: list[str], env: dict, cwd: Path) -> tuple[int, str]:
    """Exit code and everything printed; the whole process group ends with it."""
    with subprocess.Popen(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:  # fmt: skip
        try:
            log, _ = process.communicate(timeout=TIMEOUT)
            return process.returncode, log
        except subprocess.TimeoutExpired:
            return 124, f"no end after {TIMEOUT} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
