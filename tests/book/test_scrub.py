"""What the scrub removes and keeps, that twice is once, and what the check says."""

import copy
import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from adapterlab.book import notebooks as book
from adapterlab.book import refresh, scrub
from adapterlab.book.scrub import PLOTLY, STATE, WIDGET

FIGURE = {"data": [{"type": "bar", "y": [1.5, 2.5]}], "layout": {}, "config": {"plotlyServerURL": "https://plot.ly"}}


def view(model, text):
    return new_output("display_data", {WIDGET: {"model_id": model}, "text/plain": text})


def code(*outputs, count=1, **metadata):
    return new_code_cell("x", outputs=list(outputs), execution_count=count, metadata=metadata)


def out(text, name="stdout"):
    return new_output("stream", name=name, text=text)


@pytest.fixture
def executed():
    """A notebook as papermill leaves it."""
    models = {
        "box": ("VBoxModel", {"children": ["IPY_MODEL_size", "IPY_MODEL_out", "IPY_MODEL_line"]}),
        "size": ("IntSliderModel", {"value": 3}),
        "out": ("OutputModel", {"outputs": [new_output("display_data", {PLOTLY: copy.deepcopy(FIGURE)})]}),
        "line": ("HTMLModel", {"value": "<span role='status'>1 &lt; 2</span>"}),
        "tqdm": ("HBoxModel", {"children": ["IPY_MODEL_progress"]}),
        "progress": ("FloatProgressModel", {}),
    }
    state = {key: {"model_name": name, "state": values} for key, (name, values) in models.items()}
    cells = [
        new_markdown_cell("# 00 · Toy\n\n**Time:** 9 min on the moon (class)", metadata={"papermill": {}}),
        code(tags=["parameters"], papermill={"status": "completed"}),
        code(tags=["injected-parameters"], count=2),
        code(out("a\n"), out("loud\n", "stderr"), out("b\n 50%|##   | 1/2 [00:00<00:00]\rc\n"), count=3),
        code(view("box", "1 < 2"), count=4),
        code(view("box", "VBox(children=(IntSlider(value=3), Output()))"), count=5),
        code(view("tqdm", "HBox(children=(HTML(value=''),))"), view("gone", "  0%|          | 0/3"), count=6),
        code(view("gone", "VBox(children=())"), out("10%|#  | 1/10 [00:01<00:02]\n"), count=7),
        code(new_output("execute_result", {"text/plain": "4"}, execution_count=8), count=8, execution={"busy": "1"}),
        code(view("box", "1 < 2"), count=9),
    ]
    cells[-1].outputs[0].data["image/png"] = "iVBORw0KGgo="
    nb = new_notebook(cells=cells)
    nb.metadata.update(
        papermill={"x": 1}, widgets={STATE: {"state": state}}, language_info={"name": "python", "version": "3.11.7"}
    )
    return nbformat.from_dict(nb)


def test_twice_is_once_byte_for_byte_and_the_input_is_left_alone(executed):
    before = scrub.text_of(executed)
    once = scrub.text_of(scrub.scrub(executed))
    assert scrub.text_of(executed) == before
    assert scrub.text_of(scrub.scrub(nbformat.reads(once, as_version=4))) == once != before
    nbformat.validate(nbformat.reads(once, as_version=4))


def test_what_goes_and_what_stays(executed):
    nb = scrub.scrub(executed)
    text = scrub.text_of(nb)
    gone = [WIDGET, *"papermill injected stderr loud widget-state version VBox( %| plotlyServerURL".split()]
    assert [word for word in gone if word in text] == []
    cells = [c for c in nb.cells if c.cell_type == "code"]
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    assert cells[6].outputs[0].execution_count == 7
    assert cells[0].metadata == {"tags": ["parameters"]}
    injected = executed.cells[2]
    assert [c.id for c in nb.cells] == [c.id for c in executed.cells if c is not injected]
    assert [(o.name, o.text) for o in cells[1].outputs] == [("stdout", "a\nb\nc\n")]
    assert cells[4].outputs == [] == cells[5].outputs


def test_a_widget_leaves_what_it_showed(executed):
    cells = [c for c in scrub.scrub(executed).cells if c.cell_type == "code"]
    (together,) = cells[2].outputs  # a text line and one figure: one output, and the line not twice
    assert set(together.data) == {"text/plain", PLOTLY} and together.data["text/plain"] == "1 < 2"
    figure, line = cells[3].outputs  # no text line: the parts, in order
    assert figure.data[PLOTLY].data[0].y == [1.5, 2.5] and line.data["text/plain"] == "1 < 2"
    assert set(cells[7].outputs[0].data) == {"text/plain", "image/png"}


def test_counts_are_not_invented(executed):
    executed.cells[3].execution_count = None
    assert [c.execution_count for c in scrub.scrub(executed).cells if c.cell_type == "code"][1] is None


def test_the_check_and_the_mend(executed, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(refresh.times, "read", lambda *_: [])
    path = tmp_path / "00_toy.ipynb"
    nbformat.write(executed, path)
    (toy,) = book.notebooks(tmp_path)
    assert refresh.problems(toy) == ["says other minutes than data/results/notebook_times.csv", "is not scrubbed"]
    assert refresh.check([toy]) == 1 and "refresh 00_toy" in capsys.readouterr().out
    assert refresh.refresh([toy], "class", execute=False) == 0
    assert refresh.problems(toy) == [] and refresh.check([toy]) == 0
    assert "**Time:** not measured yet" in path.read_text()
    path.write_text(path.read_text() + "\n")
    assert refresh.problems(toy) == ["is not scrubbed"]
    executed.cells[1].outputs = [new_output("error", ename="E", evalue="", traceback=[])]
    executed.cells[3].execution_count = None
    executed.cells[1].metadata.tags = ["launch"]
    nbformat.write(executed, path)
    due = {"has code cells that were not run", "has a cell that ended in an error"}
    assert due | {"fetches the book from another address than pyproject.toml has"} <= set(refresh.problems(toy))


def test_pictures(executed):
    pytest.importorskip("kaleido")
    if not shutil.which("chromium"):
        pytest.skip("no chromium")
    nb = scrub.scrub(executed)
    assert scrub.add_pictures(nb) == 2
    first = scrub.text_of(nb)
    assert first == scrub.text_of(scrub.scrub(nb)) and first.count('"image/png"') == 3
