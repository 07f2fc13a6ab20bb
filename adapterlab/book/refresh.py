"""The authors' command: execute notebooks, scrub them, set the measured minutes, add pictures, write; or only check."""

import importlib.util
import re
import tempfile
from pathlib import Path

import nbformat

from ..paths import write_whole
from ..studies.results import provenance
from . import times
from .links import set_launch
from .notebooks import Notebook
from .quiet import insist
from .run import Job, row, run_jobs
from .scrub import add_pictures, scrub, text_of


def set_time(nb, name: str) -> None:
    """Rewrite the `**Time:** ...` line of the first cell from the recorded times."""
    line = times.time_line(name, times.read())
    nb.cells[0].source = re.sub(r"^\*\*Time:\*\*.*$", lambda _: line, nb.cells[0].source, flags=re.MULTILINE)


def problems(notebook: Notebook) -> list[str]:
    """What stands between the notebook file and a commit, each as a phrase; empty when it is clean."""
    stored = notebook.path.read_text(encoding="utf-8")
    nb = nbformat.reads(stored, as_version=4)
    code, before = [cell for cell in nb.cells if cell.cell_type == "code"], text_of(nb)
    set_time(nb, notebook.name)
    timed = text_of(nb)
    set_launch(nb)
    now = text_of(nb)
    faults = {
        "has code cells that were not run": any(cell.execution_count is None for cell in code),
        "has a cell that ended in an error": any(o.output_type == "error" for cell in code for o in cell.outputs),
        "says other minutes than data/results/notebook_times.csv": timed != before,
        "fetches the book from another address than pyproject.toml has": now != timed,
        "is not scrubbed": text_of(scrub(nb)) != now or before != stored,
    }
    return [phrase for phrase, holds in faults.items() if holds]


def refresh(chosen: list[Notebook], profile: str, execute: bool = True, anyway: bool = False) -> int:
    """Execute (unless told not to) and record the time, scrub, set the measured minutes, add missing pictures, write.

    0, 1 when one failed, 130 after Ctrl-C. A notebook that failed is left as it was.
    UserError when there is other work on this machine before or after a notebook runs, unless `anyway`: no time is
    recorded then, and the times in the notebook's own outputs are what they are.
    """
    if not execute:
        for notebook in chosen:
            store(notebook, nbformat.read(notebook.path, as_version=4), pictures=False)
        return 0
    source = provenance(beside="notebooks")  # before a notebook is written
    with tempfile.TemporaryDirectory() as folder:
        jobs = [Job(notebook, profile, {}, Path(folder), page=False) for notebook in chosen]
        for job in jobs:
            refusal = f"{job.name} is left as it was", "give --anyway, which stores it and records no time"
            if not anyway:
                insist(*refusal)
            if not run_jobs([job]):
                return 130
            if job.status != "ok":
                continue
            if not anyway:
                insist(*refusal)
                times.record([row(job, source, "refresh")])
            store(job.notebook, job.nb, pictures=True)
    return int(any(job.status != "ok" for job in jobs))


def store(notebook: Notebook, nb, pictures: bool) -> None:
    """Scrub, set the measured minutes, add missing pictures, write. pictures: insist on them, kaleido here or not."""
    nb = scrub(nb)
    set_time(nb, notebook.name)
    set_launch(nb)
    write_whole(notebook.path, text_of(nb))  # already now: should the browser fail, the run is not lost
    added = add_pictures(nb) if pictures or importlib.util.find_spec("kaleido") else 0
    text = text_of(nb)
    write_whole(notebook.path, text)
    print(f"wrote {notebook.path.name}: {len(text) / 1e6:.2f} MB, {added} pictures added")


def check(chosen: list[Notebook]) -> int:
    """Print what is not clean about each notebook; 0 when all are."""
    faults = {notebook.name: problems(notebook) for notebook in chosen}
    names = [name for name, phrases in faults.items() if phrases]
    for name in names:
        print(*(f"{name}.ipynb {phrase}" for phrase in faults[name]), sep="\n")
    if names:
        print(f"mend: python -m adapterlab refresh {' '.join(names)}   (--no-run: nothing is executed again)")
    return int(bool(names))
