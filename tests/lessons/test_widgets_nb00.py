"""The budget widget of 00: its numbers against real modules and the paper, its view by setting values."""

import pytest

from adapterlab.lessons.nb00_start import figures as start
from adapterlab.lessons.nb00_start import views as budget


@pytest.mark.parametrize("model, adapter", [("MiniLM-L6 (bundled)", 605_184), ("BERT-Base", 2_417_664)])
def test_parameters_a_task_are_those_of_the_paper_and_the_norms(model, adapter):
    """Houlsby et al. 2019: BERT-Base 64 has 2,379,264, and 38,400 in its LayerNorms."""
    _, summary = budget.draw(model, 3, 64)
    assert f"{adapter:,} parameters a task" in summary


def test_the_papers_table():
    """Nine tasks on BERT-Large, size 64, are 1.2 models."""
    _, summary = budget.draw("BERT-Large", 9, 64)
    assert summary.endswith("all in all 1.17 times the model")


def test_view():
    view = budget.budget()
    assert "10 tasks, bottleneck 64: 605,184 parameters a task (2.66% of the model)" in view.summary
    assert "909 MB as copies, 115 MB with adapters" in view.summary
    view.tasks.value = 1
    assert view.error is None and "91 MB as copies, 93 MB with adapters, 1.0 times less" in view.summary
    view.model.value = "BERT-Base"
    assert view.figure.layout.title.text == "BERT-Base, bottleneck 64"
    view.bottleneck.value = 512
    assert view.error is None
    once, added = view.figure.data
    assert list(once.x) == [0, pytest.approx(437.93, abs=0.01)]
    assert added.x[1] == pytest.approx(4 * (24 * (2 * 768 * 512 + 512 + 768) + 38_400) / 1e6, rel=1e-6)


def test_figures():
    import pandas as pd

    frame = pd.DataFrame({"tasks": [1, 2], "copies_mb": [90.0, 180.0], "adapters_mb": [92.0, 94.0]})
    fig = start.storage(frame, guess=150)
    assert [t.name for t in fig.data] == [start.ADAPTERS, start.COPIES, "your guess"]
    assert list(fig.data[2].y) == [150] and list(fig.data[2].x) == [2]
    frame = pd.DataFrame({"who": ["a", "b"], "accuracy": [0.5, 0.75], "note": ["x", "y"]})
    fig = start.scores(frame, guess=60)
    assert list(fig.data[0].y) == [50, 75] and "y</span>" in fig.data[0].x[1]
    assert (fig.layout.shapes[0].x0, fig.layout.shapes[0].x1) == (0.52, 1.48), "the guess is about the last row"
    assert fig.layout.shapes[0].name == "your guess: 60%"
