"""Every notebook in smoke, as it is under nbval and with the solutions filled in, on data of one's own, under papermill.

One execution each answers all: do the cells run, does a checked cell print what is committed, does every exercise say
what it should, does the run keep to Binder's memory and leave the checkout alone. The second run goes through all cells once
more in the same kernel, as a student does after an edit, with every answer that a check accepts.
"""

import nbformat
import pytest
from toy_notebook import toy

from adapterlab.book.notebooks import Notebook, parameters
from adapterlab.errors import UserError
from notebooks import AGAIN, code_cells, fill_solutions, notebooks, read, report, run_notebook, tagged, tags, texts

VERDICT = {"unsolved": "not attempted, using the reference", "solved": "correct"}
PEAK_MB = 2000


def problems(run, nb) -> list[str]:
    """What is wrong with a run of the notebook `nb`."""
    failed = [f"{name} {state}: {text[-1500:]}" for name, state, text in run.cells if state != "passed"]
    if run.nb is None or (run.code and not failed):
        return [*failed, f"the {run.kind} run ended with {run.code}:\n{run.log[-3000:]}"]
    found = failed + (silence(run, nb) if run.kind == "unsolved" else [])
    found += [f"wrote into the checkout: {', '.join(run.written)}"] if run.written else []
    idle = [c for c in code_cells(run.nb) if c.execution_count is None and c.source.strip()]
    found += [f"not executed: {c.source[:60]!r}" for c in idle]
    torn = [c for c in code_cells(run.nb) if "Traceback" in texts(c)]
    found += [
        f"a traceback in the output of {c.source[:60]!r}, {' '.join(tags(c)[1:])}: {texts(c)[-400:]}" for c in torn
    ]
    printed = "\n".join(texts(c) for c in code_cells(run.nb) if AGAIN not in tags(c)).splitlines()
    for ident in tagged(nb, "exercise-"):
        verdicts = [line for line in printed if line.startswith(f"exercise {ident}:")]
        if verdicts != [f"exercise {ident}: {VERDICT[run.kind]}"]:
            found.append(f"exercise {ident} ({run.kind}) printed {verdicts}")
    if not run.peak_mb < PEAK_MB:
        found.append(f"peak memory {run.peak_mb:.0f} MB, Binder has {PEAK_MB}")
    return found


def silence(run, nb) -> list[str]:
    """Cells that nbval executes but passes over when it compares, and cells that it never saw."""
    quiet = [c.source[:60] for c in code_cells(nb) if c.execution_count is None or "nbval-skip" in tags(c)]
    found = [f"nbval passes over a cell in silence: {source!r}" for source in quiet]
    if len(run.cells) != len(code_cells(nb)) + 1:
        found.append(f"{len(run.cells)} cells were seen, the notebook has {len(code_cells(nb))} and ours at the end")
    return found


@pytest.mark.notebook
@pytest.mark.parametrize("kind", VERDICT)
@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_runs(path, kind, tmp_path, note):
    run = run_notebook(path, kind, tmp_path)
    note(f"{run.name:32} {kind:9} {run.seconds:6.1f} s, peak {run.peak_mb:.0f} MB")
    found = problems(run, read(path))
    assert not found, report(found)


@pytest.mark.parametrize("path", [p for p in notebooks() if "TASK" in tagged(read(p), "parameters")[""].source.split()])
def test_scores_are_refused_in_the_first_cell(path, tmp_path):
    rows = [f"{i}\ta\tb\tc\td\te\tf\tone {i}\ttwo {i}\t{i % 11 / 2}" for i in range(40)]
    for file in ("train.tsv", "dev.tsv"):
        (tmp_path / "STS-B").mkdir(exist_ok=True)
        head = "index genre filename year old_index source1 source2 sentence1 sentence2 score".replace(" ", "\t")
        (tmp_path / "STS-B" / file).write_text("\n".join([head, *rows]))
    first = next(c.source for c in code_cells(read(path)) if "setup(PROFILE, SEED)" in c.source)
    names = parameters(Notebook(path, "", "", 0)) | {"PROFILE": "smoke", "TASK": str(tmp_path / "STS-B")}
    with pytest.raises(UserError, match='"glue/STS-B" is a regression and a classification is asked for'):
        exec(first, names)


def test_fill_solutions():
    nb = toy()
    solved = fill_solutions(nb)
    cell = tagged(solved, "exercise-")["00a"].source
    assert "..." not in cell and cell.endswith("double = check.double(double)\n") and "return 2 * x" in cell
    assert "..." in tagged(nb, "exercise-")["00a"].source
    stub = tagged(nb, "exercise-")["00a"]
    stub.source = "import math\n\n\n" + stub.source
    assert tagged(fill_solutions(nb), "exercise-")["00a"].source.startswith("import math\ndef double(x):\n    return")
    tagged(nb, "solution-")["00a"].source = "no code"
    with pytest.raises(ValueError, match="solution 00a has no"):
        fill_solutions(nb)
    tagged(nb, "solution-")["00a"].metadata.tags = []
    with pytest.raises(ValueError, match="no cell tagged solution-00a"):
        fill_solutions(nb)


@pytest.fixture
def bad_run(tmp_path):
    """The toy after some damage, and a run of it."""

    def make(kind, damage):
        nb = toy()
        damage(nb)
        path = tmp_path / "00_toy.ipynb"
        nbformat.write(nb, path)
        return nb, run_notebook(path, kind, tmp_path / "run")

    return make


@pytest.mark.notebook
def test_a_bad_output_is_seen(bad_run):
    """A checked output that differs, a cell without an execution count, which nbval skips in silence, and the reference
    in an exercise's place."""

    def damage(nb):
        checked = [c for c in nb.cells if "nbval-check-output" in tags(c)]
        checked[0].outputs[0].text = "3\n"
        checked[1].update(execution_count=None, outputs=[])
        tagged(nb, "exercise-")["00a"].source = "def double(x):\n    return 2 * x\n\n\ndouble = check.double(double)\n"

    nb, run = bad_run("unsolved", damage)
    found = problems(run, nb)
    assert len(found) == 3, found
    assert "failure" in found[0] and "Cell 2" in found[0]
    assert found[1] == "nbval passes over a cell in silence: \"print('four')\""
    assert found[2] == "exercise 00a (unsolved) printed ['exercise 00a: correct']"
    assert run.peak_mb > 50


@pytest.mark.notebook
def test_a_cell_that_fails_is_seen(bad_run):
    nb, run = bad_run("unsolved", lambda nb: nb.cells.append(nbformat.v4.new_code_cell("1 / 0", execution_count=12)))
    found = problems(run, nb)
    assert len(found) == 2 and "ZeroDivisionError" in found[0] and "a traceback in the output of '1 / 0'" in found[1]


@pytest.mark.notebook
def test_a_bad_solution_is_seen(bad_run):
    """A wrong solution, a file left in the checkout and too much memory are each reported."""

    def damage(nb):
        tagged(nb, "solution-")["00a"].source = "```python\ndef double(x):\n    return 3 * x\n```"
        nb.cells.append(nbformat.v4.new_code_cell("from adapterlab.paths import DATA\n(DATA / 'left').write_text('x')"))

    nb, run = bad_run("solved", damage)
    found = problems(run, nb)
    assert len(found) == 2 and found[0] == "wrote into the checkout: data/left"
    assert "exercise 00a (solved) printed ['exercise 00a: not yet: you tripled it" in found[1]
    run.nb.cells[-1].outputs[0].text = "peak_memory_mb 2100.0"
    assert "peak memory 2100 MB" in problems(run, nb)[-1]
    run.code, run.log = 1, "boom"
    assert "boom" in problems(run, nb)[0]
