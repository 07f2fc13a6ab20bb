"""A plugin of pytest: what nbval saw every cell put out is kept as an executed notebook."""

import nbformat


def pytest_addoption(parser):
    parser.addoption("--nbval-keep", help="write the notebook with the outputs of this run to this file")


def pytest_sessionfinish(session):
    cells = [item for item in session.items if hasattr(item, "test_outputs")]
    path = session.config.getoption("--nbval-keep")
    if not cells or not path:
        return
    kept = []
    for item in cells:
        cell = nbformat.v4.new_code_cell(item.cell.source, outputs=item.test_outputs or [])
        ran = item.test_outputs is not None
        cell.update(metadata=item.cell.metadata, execution_count=len(kept) + 1 if ran else None)
        kept.append(cell)
    nbformat.write(nbformat.v4.new_notebook(cells=kept), path)
