"""The authors' command: execute notebooks, scrub them, set the measured minutes, add pictures, write; or only check."""

import importlib.util
import re
import tempfile
from pathlib import Path

import nbformat

from . import times
from .notebooks import Notebook, write_text
from .run import Job, git_commit, row, run_jobs
from .scrub import add_pictures, scrub, text_of


def set_time(nb, name: str, rows: list[dict]) -> None:
    """Rewrite the `**Time:** ...` line of the first cell from the recorded times."""
    first = nb.cells[0]
    first.source = re.sub(r"^\*\*Time:\*\*.*$", lambda _: times.time_line(name, rows), first.source, flags=re.MULTILINE)


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
