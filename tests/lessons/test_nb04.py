"""04: exercises, figures and the size slider."""

import pandas as pd
import pytest
import torch

from adapterlab import check
from adapterlab.lessons.nb04_size import figures as plots
from adapterlab.lessons.nb04_size.views import size_view
from adapterlab.methods import Bottleneck


def verdict(exercise, body, arguments):
    space = {"rows": lambda t: torch.arange(len(t))[:, None], "columns": lambda t: torch.arange(t.shape[1])}
    exec(f"def answer({arguments}):\n    return {body}", space)
    return exercise.verdict(space["answer"])


@pytest.mark.parametrize(
    "body, message",
    [
        ("down * (columns(down) < size), up * (rows(up) < size)", "model's width"),
        ("down * (rows(down) >= size), up * (columns(up) >= size)", "should stay"),
        ("down[:size], up[:, :size]", "fill up with zeros"),
        ("down * (rows(down) < size), up", "still reads"),
        ("down, up", "expected"),
        ("down * (rows(down) < size), up * (columns(up) < size)", "correct"),
    ],
)
def test_keep_units(body, message):
    assert message in verdict(check.keep_units, body, "down, up, size")


def test_the_units_that_are_off_make_a_smaller_bottleneck():
    """The masked wide bottleneck against a plain small one, biases included."""
    wide, small = Bottleneck(6, 4, std=1.0), Bottleneck(6, 3)
    with torch.no_grad():
        wide.down.bias.normal_()
        down, up = check.keep_units.reference(wide.down.weight, wide.up.weight, 3)
        small.down.weight.copy_(wide.down.weight[:3]), small.up.weight.copy_(wide.up.weight[:, :3])
        small.down.bias.copy_(wide.down.bias[:3]), small.up.bias.copy_(wide.up.bias)
        wide.down.weight.copy_(down), wide.up.weight.copy_(up)
        y = torch.randn(2, 5, 6)
        torch.testing.assert_close(wide(None, y), small(None, y))


@pytest.mark.parametrize(
    "body, message",
    [
        ("max(r['test'] for r in runs)", "test must not choose"),
        ("max(r['validation'] for r in runs)", "reports the validation"),
        ("max(runs, key=lambda r: r['validation'])", "whole run"),
        ("max(runs, key=lambda r: r['validation'])['test']", "correct"),
    ],
)
def test_chosen_on_validation(body, message):
    assert message in verdict(check.chosen_on_validation, body, "runs")


MEASURED = pd.DataFrame({"size": [8, 8, 64], "accuracy": [80.0, 82.0, 83.0]})
SHARE = pd.DataFrame({"size": [1, 8, 64], "trained": [10, 80, 640], "trained_percent": [0.1, 0.8, 6.4]})


def test_the_slider_shows_share_and_accuracy():
    view = size_view(MEASURED, SHARE)
    assert "size 64: 640 parameters, 6.40%" in view.summary and "83.0%" in view.summary
    view.size.value = 8
    assert "0.80%" in view.summary and "accuracy 81.0% (recorded, 2 seeds)" in view.summary
    assert view.figure.data[0].text[1] == "0.80" and view.figure.data[1].text[1] == "81.0"
    view.size.value = 1
    assert "not measured" in view.summary and view.error is None


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
