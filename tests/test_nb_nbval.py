"""nbval in lax mode over every notebook: the tagged cells print today, in smoke, what is committed."""

import nbformat
import pytest
from toy_notebook import toy

from notebooks import code_cells, notebooks, read, run_notebook, tags


def problems(run, nb) -> list[str]:
    """What is wrong with an nbval run of `nb`: a failed cell, or one that was passed over in silence."""
    found = [f"{name} {state}: {text[-1500:]}" for name, state, text in run.cells if state != "passed"]
    if run.code and not found:
        found = [f"nbval ended with {run.code}:\n{run.log[-3000:]}"]
    expected = sum("nbval-skip" not in tags(c) for c in code_cells(nb))
    if len(run.cells) != expected:
        found.append(f"{len(run.cells)} cells were executed, the notebook has {expected}")
    if run.written:
        found.append(f"wrote into the checkout: {', '.join(run.written)}")
    return found


@pytest.mark.parametrize(
    "headless", [pytest.param(("nbval", p), id=p.stem) for p in notebooks()], indirect=True
)
def test_outputs(headless, request):
    _, path = request.node.callspec.params["headless"]
    assert problems(headless, read(path)) == []


def test_a_bad_notebook_is_seen(tmp_path):
    """A checked output that differs and a cell without an execution count, which nbval skips in silence."""
    nb = toy()
    checked = [c for c in nb.cells if "nbval-check-output" in tags(c)]
    checked[0].outputs[0].text = "3\n"
    checked[1].update(execution_count=None, outputs=[])
    path = tmp_path / "00_toy.ipynb"
    nbformat.write(nb, path)
    found = problems(run_notebook(path, "nbval", tmp_path / "run"), nb)
    assert len(found) == 2
    assert "failure" in found[0] and "Cell 2" in found[0]
    assert found[1] == "8 cells were executed, the notebook has 9"
