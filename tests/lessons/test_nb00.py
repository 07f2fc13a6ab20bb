"""00: the numbers of its view and figures."""

import pytest

from adapterlab.lessons.nb00_start import figures as start
from adapterlab.lessons.nb00_start import views as budget


@pytest.mark.parametrize(
    ("model", "tasks", "size", "words"),
    [
        (
            "MiniLM-L6 (bundled)",
            10,
            64,
            "605,184 parameters a task (2.66% of the model); 909 MB as copies, 115 MB with",
        ),
        ("MiniLM-L6 (bundled)", 1, 64, "91 MB as copies, 93 MB with adapters, 1.0 times less"),
        ("BERT-Base", 3, 64, f"{2_379_264 + 38_400:,} parameters a task"),  # Houlsby et al. 2019, and the LayerNorms
        ("BERT-Large", 9, 64, "all in all 1.17 times the model"),  # their Table 1: 1.2
    ],
)
def test_the_budget_is_that_of_the_paper(model, tasks, size, words):
    assert words in budget.draw(model, tasks, size)[1]


def test_the_bars_are_the_model_and_what_tasks_add():
    once, added = budget.draw("BERT-Base", 1, 512)[0].data
    assert list(once.x) == [0, pytest.approx(437.93, abs=0.01)]
    assert added.x[1] == pytest.approx(4 * (24 * (2 * 768 * 512 + 512 + 768) + 38_400) / 1e6, rel=1e-6)


def test_figures():
    import pandas as pd

    frame = pd.DataFrame({"tasks": [1, 2], "copies_mb": [90.0, 180.0], "adapters_mb": [92.0, 94.0]})
    fig = start.storage(frame, guess=150)
    assert [t.name for t in fig.data] == [start.ADAPTERS, start.COPIES, "your guess"]
    assert list(fig.data[2].y) == [150] and list(fig.data[2].x) == [2]
    fig = start.storage(frame.rename(columns=lambda name: name.replace("mb", "times")), 3, unit="times", at=1)
    assert list(fig.data[2].x) == [1] and fig.layout.yaxis.title.text == "size, times the model"
    frame = pd.DataFrame({"who": ["a", "b"], "accuracy": [50.0, 75.0], "note": ["x", "y"]})
    fig = start.scores(frame, guess=60, rows=400)
    assert fig.data[0].error_y.array[0] == pytest.approx(4.9), "what 400 rows leave around one half"
    assert list(fig.data[0].y) == [50, 75] and "y</span>" in fig.data[0].x[1]
    assert (fig.layout.shapes[0].x0, fig.layout.shapes[0].x1) == (0.52, 1.48), "the guess is about the last row"
    assert fig.layout.shapes[0].name == "your guess: 60%"
