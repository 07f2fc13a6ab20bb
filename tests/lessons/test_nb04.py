"""04: which recorded rows it shows, its figures and the size slider."""

import pandas as pd
import pytest
from lesson_views import SHARES, SIZES, texts

from adapterlab.lessons.kit import theme
from adapterlab.lessons.kit.rows import says, todays
from adapterlab.lessons.nb04_size import figures as plots
from adapterlab.lessons.nb04_size.views import size_view
from adapterlab.studies import results


def row(method, seed=0, lr=1e-3, n=1000, pooling="mean", **more):
    """A recorded run."""
    return {"method": method, "seed": seed, "lr": lr, "n_train": n, "rows_train": n, "epochs": 4, "validation": lr,
            "test": 0.8, "trained_percent": 0.5, "device": "CPU", "date": "2026-11-25T11", "pooling": pooling} | more  # fmt: skip


def test_rows_of_todays_head_come_before_old_ones_task_by_task():
    rows = pd.DataFrame(
        [row("full", task="a"), row("full", pooling=None, task="a"), row("full", pooling=None, task="b")]
    )
    assert list(todays(rows).index) == [0] and list(todays(rows, "task").index) == [0, 2]
    assert list(todays(rows, "task")["source"]) == ["recorded", "recorded, old head"]
    assert list(todays(rows.drop(columns="pooling")).index) == [0, 1, 2]
    assert says(rows[:1]) == "1,000 sentences × 4 epochs; 1 seed; head: mean; CPU, 2026-11-25"
    assert theme.OLD_HEAD in says(rows) and "mean" in says(rows)
    assert theme.OLD_HEAD in says(rows.drop(columns="pooling"))


def test_recorded_is_one_setting_at_the_chosen_rates(monkeypatch):
    rows = [row("adapter 8"), row("adapter 8", lr=3e-3), row("top 2"), row("full"), row("UniPELT"), row("full", n=500),
            row("adapter 64", n=500, pooling=None), row("LayerNorm")]  # fmt: skip
    monkeypatch.setattr(results, "frame", lambda name: pd.DataFrame(rows))
    shown = plots.recorded("any")
    assert list(shown["kind"]) == ["adapters of all sizes", "top k layers", "full", "LayerNorm only"]
    assert shown["lr"][0] == 3e-3 and shown["accuracy"][0] == 80 and set(shown["n_train"]) == {1000}
    monkeypatch.setattr(results, "frame", lambda name: pd.DataFrame([row("full", n=500), row("full", n=1000)]))
    assert len(plots.recorded("any")) == 1, "two settings are never mixed"


def test_the_slider_shows_share_and_accuracy():
    view = size_view(SIZES, SHARES)
    assert "size 64: 640 parameters, 6.40%" in view.summary and "83.0%" in view.summary
    view.size.value = 8
    assert "0.80%" in view.summary and "accuracy 81.0% (recorded, 2 seeds)" in view.summary
    assert view.figure.layout.shapes[0].x0 == 8 and theme.OLD_HEAD in texts(view.figure)
    view.size.value = 1
    assert "not measured" in view.summary


def test_the_curve_has_means_intervals_paper_and_guess():
    live, recorded, paper = plots.size_curve(SIZES, SIZES.iloc[2:], 100, guess=16).data
    assert list(recorded.y) == [81, 83] and recorded.customdata[0] == "size 8, 2 seeds, ± 12.7"
    assert live.error_y.array[0] == pytest.approx(7.36, abs=0.01)
    assert recorded.error_y.array[0] == pytest.approx(12.706)
    assert list(paper.y) == [86.2, 85.8, 85.7] and "paper" in paper.name
    assert plots.size_curve(SIZES, guess=16).layout.shapes[0].name == "your guess: 16"


def test_the_frontier_is_relative_to_full_seed_by_seed():
    rows = [
        ("full", "full", 100.0, 80.0, 0), ("full", "full", 100.0, 90.0, 1), ("adapter 8", "adapters", 0.5, 79.0, 0),
        ("adapter 8", "adapters", 0.5, 91.0, 1), ("top 1", "top", 10.0, 70.0, 0), ("head only", "head", 0.01, 60.0, 2),
    ]  # fmt: skip
    figure = plots.frontier(pd.DataFrame(rows, columns=["method", "kind", "trained_percent", "accuracy", "seed"]))
    lines = {trace.name: trace for trace in figure.data}
    adapters = lines["adapters (recorded)"]
    assert adapters.y[0] == 0 and adapters.error_y.array[0] == pytest.approx(12.706)
    assert lines["top (recorded)"].y[0] == -10 and lines["head (recorded)"].y[0] == -25, "no such seed: the mean"


def test_the_open_task_stands_beside_the_sizes():
    live = SIZES.assign(trained=[80_000, 80_000, 600_000], note="")
    sizes, mine = plots.budget(live, pd.DataFrame([{"trained": 50_000, "accuracy": 50.0, "note": ""}]), rows=100).data
    assert list(sizes.x) == [80_000, 80_000, 600_000] and list(mine.x) == [50_000] and mine.y[0] == 50
    assert mine.error_y.array[0] == pytest.approx(9.8)
