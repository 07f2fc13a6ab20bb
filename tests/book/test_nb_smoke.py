"""Every notebook in smoke with papermill, as it is and with the solutions filled in."""

import nbformat
import pytest
from toy_notebook import toy

from notebooks import code_cells, fill_solutions, notebooks, read, report, run_notebook, tagged, texts

VERDICT = {"unsolved": "not attempted, using the reference", "solved": "correct"}
PEAK_MB = 2000


def problems(run, nb) -> list[str]:
    """What is wrong with a headless run of the notebook `nb`."""
    if run.code or run.nb is None:
        return [f"papermill ended with {run.code}:\n{run.log[-3000:]}"]
    found = [f"wrote into the checkout: {', '.join(run.written)}"] if run.written else []
    done = [c for c in code_cells(run.nb) if c.execution_count is None and c.source.strip()]
    found += [f"not executed: {c.source[:60]!r}" for c in done]
    found += [f"a traceback in the output of {c.source[:60]!r}" for c in code_cells(run.nb) if "Traceback" in texts(c)]
    printed = "\n".join(texts(c) for c in code_cells(run.nb))
    for ident in tagged(nb, "exercise-"):
        said = [line for line in printed.splitlines() if line.startswith(f"exercise {ident}:")]
        if said != [f"exercise {ident}: {VERDICT[run.kind]}"]:
            found.append(f"exercise {ident} ({run.kind}) printed {said}")
    if not run.peak_mb < PEAK_MB:
        found.append(f"peak memory {run.peak_mb:.0f} MB, Binder has {PEAK_MB}")
    return found


@pytest.mark.parametrize(
    "headless", [pytest.param((k, p), id=f"{p.stem}-{k}") for p in notebooks() for k in VERDICT], indirect=True
)
def test_runs(headless, request):
    _, path = request.node.callspec.params["headless"]
    found = problems(headless, read(path))
    assert not found, report(found)


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


def test_a_bad_notebook_is_seen(tmp_path):
    """A wrong solution, a file left in the checkout and too much memory are each reported."""
    nb = toy()
    tagged(nb, "solution-")["00a"].source = "```python\ndef double(x):\n    return 3 * x\n```"
    nb.cells.append(nbformat.v4.new_code_cell("from adapterlab.paths import DATA\n(DATA / 'left').write_text('x')"))
    path = tmp_path / "00_toy.ipynb"
    nbformat.write(nb, path)
    run = run_notebook(path, "solved", tmp_path / "run")
    found = problems(run, nb)
    assert len(found) == 2 and found[0] == "wrote into the checkout: data/left"
    assert "exercise 00a (solved) printed ['exercise 00a: not yet: you tripled it" in found[1]
    run.nb.cells[-1].outputs[0].text = "peak_memory_mb 2100.0"
    assert "peak memory 2100 MB" in problems(run, nb)[-1]
    run.code, run.log = 1, "boom"
    assert "boom" in problems(run, nb)[0]
