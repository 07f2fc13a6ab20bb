"""04: figures and the size slider."""

import pandas as pd
import pytest

from adapterlab.lessons.nb04_size import figures as plots
from adapterlab.lessons.nb04_size.views import size_view

MEASURED = pd.DataFrame({"size": [8, 8, 64], "accuracy": [80.0, 82.0, 83.0]})
SHARE = pd.DataFrame({"size": [1, 8, 64], "trained": [10, 80, 640], "trained_percent": [0.1, 0.8, 6.4]})


def test_the_slider_shows_share_and_accuracy():
    view = size_view(MEASURED, SHARE)
    assert "size 64: 640 parameters, 6.40%" in view.summary and "83.0%" in view.summary
    view.size.value = 8
    assert "0.80%" in view.summary and "accuracy 81.0% (recorded, 2 seeds)" in view.summary
    assert view.figure.data[0].text[1] == "0.80" and view.figure.data[1].text[1] == "81.0"
    view.size.value = 1
    assert "not measured" in view.summary


def test_the_curve_has_means_intervals_paper_and_guess():
    figure = plots.size_curve(recorded=MEASURED, guess=16)
    assert list(figure.data[0].y) == [81, 83] and figure.data[0].customdata[0] == "size 8, 2 seeds, ± 12.7"
    assert plots.size_curve(live=MEASURED.iloc[2:], rows=100).data[0].error_y.array[0] == pytest.approx(7.36, abs=0.01)
    assert figure.data[0].error_y.array[0] == pytest.approx(12.706)
    assert list(figure.data[1].y) == [86.2, 85.8, 85.7] and "paper" in figure.data[1].name
    assert figure.layout.shapes[0].name == "your guess: 16"


def test_the_frontier_is_relative_to_full_seed_by_seed():
    rows = [
        ("full", 100.0, 80.0, 0), ("full", 100.0, 90.0, 1), ("adapter 8", 0.5, 79.0, 0), ("adapter 8", 0.5, 91.0, 1),
        ("top 1", 10.0, 70.0, 0), ("head only", 0.01, 60.0, 0),
    ]  # fmt: skip
    figure = plots.frontier(pd.DataFrame(rows, columns=["method", "trained_percent", "accuracy", "seed"]))
    lines = {trace.name: trace for trace in figure.data}
    adapters = lines["adapters of all sizes (recorded)"]
    assert adapters.y[0] == 0 and adapters.error_y.array[0] == pytest.approx(0.6)
    assert lines["top k layers (recorded)"].y[0] == -10 and lines["head only (recorded)"].y[0] == -20


def test_the_open_task_stands_beside_the_sizes():
    live = MEASURED.assign(trained=[80_000, 80_000, 600_000])
    sizes, mine = plots.budget(live, 50_000, 50.0, rows=100).data
    assert list(sizes.x) == [80_000, 80_000, 600_000] and list(mine.x) == [50_000] and mine.y[0] == 50
    assert mine.error_y.array[0] == pytest.approx(9.8)
