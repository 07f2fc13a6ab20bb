"""nbval in lax mode over every notebook: the tagged cells print today, in smoke, what is committed."""

import nbformat
import pytest
from toy_notebook import toy

from notebooks import code_cells, notebooks, read, report, run_notebook, tags


def problems(run, nb) -> list[str]:
    """What is wrong with an nbval run of `nb`: a failed cell, or one that was passed over in silence."""
    found = [f"{name} {state}: {text[-1500:]}" for name, state, text in run.cells if state != "passed"]
    if run.code and not found:
        found = [f"nbval ended with {run.code}:\n{run.log[-3000:]}"]
    skipped = [c.source[:60] for c in code_cells(nb) if c.execution_count is None or "nbval-skip" in tags(c)]
    found += [f"nbval passes over a cell in silence: {source!r}" for source in skipped]
    if len(run.cells) != len(code_cells(nb)):
        found.append(f"{len(run.cells)} cells were seen, the notebook has {len(code_cells(nb))}")
    if run.written:
        found.append(f"wrote into the checkout: {', '.join(run.written)}")
    return found


@pytest.mark.parametrize("headless", [pytest.param(("nbval", p), id=p.stem) for p in notebooks()], indirect=True)
def test_outputs(headless, request):
    _, path = request.node.callspec.params["headless"]
    found = problems(headless, read(path))
    assert not found, report(found)


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
    assert found[1] == "nbval passes over a cell in silence: \"print('four')\""
