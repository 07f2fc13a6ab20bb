"""10: the numbers of its view and figures."""

import numpy as np
import pandas as pd
import pytest
from lesson_views import LINEARS, LORA, texts

from adapterlab.lessons.kit import theme
from adapterlab.lessons.nb10_lora import figures as plots
from adapterlab.lessons.nb10_lora.views import lora_view
from adapterlab.methods import LoRAConfig


def red(figure):
    """(width, height) of the trained strips, in the drawing's units."""
    return [(s.x1 - s.x0, s.y1 - s.y0) for s in figure.layout.shapes if s.line.color == theme.OKABE_ITO[1]]


def test_the_widget_counts_scales_and_says_what_was_measured():
    view = lora_view(LORA, LINEARS, total=100_000)
    assert "query + value, rank 8, alpha 16: 7,680 parameters, 7.68% of the model" in view.summary
    assert "0.03 MB" in view.summary and "alpha / r = 2;" in view.summary and "81.0% (live, 2 runs)" in view.summary
    view.alpha.value = 32
    assert "alpha / r = 4;" in view.summary and "not measured" in view.summary
    view.alpha.value = 16
    view.scale.value = plots.SCALES[1]
    assert "alpha / √r = 5.66;" in view.summary and "not measured" in view.summary
    view.where.value, view.rank.value = "all linears", 1
    assert "4,320 parameters" in view.summary and "70.0% (live, 1 run)" in view.summary  # at rank 1 they agree
    assert view.rank.options == (1, 2, 4, 8, 16, 32, 64)


def test_the_drawing_is_to_scale():
    view = lora_view(LORA, LINEARS, total=100_000)
    assert (
        red(view.figure) == [(pytest.approx(8 / 120), pytest.approx(1)), (pytest.approx(1), pytest.approx(8 / 120))] * 2
    )
    view.where.value, view.rank.value = "feed-forward", 2
    thin = pytest.approx(2 / 120)
    tall, one = pytest.approx(4), pytest.approx(1)
    assert red(view.figure) == [(thin, tall), (one, thin), (thin, one), (tall, thin)]
    assert "y' = W x + b + 8 · B A x" in view.figure.layout.title.text
    assert sum("480" in t for t in texts(view.figure)) == 2


def test_a_model_without_some_of_the_matrices():
    some = {name: site for name, site in LINEARS.items() if site.kind in ("query", "value")}
    view = lora_view(LORA.iloc[:0], some, total=1000)
    assert view.where.options == ("query", "value", "query + value") and "not measured" in view.summary


@pytest.mark.parametrize("where", plots.WHERE)
@pytest.mark.parametrize("rank", [1, 8])
def test_counts_are_those_of_built_modules(where, rank):
    config = LoRAConfig(rank=rank, sites=plots.WHERE[where])
    built = sum(p.numel() for site in config.targets(LINEARS) for p in config.build(site).parameters())
    view = lora_view(LORA, LINEARS, total=100_000)
    view.where.value, view.rank.value = where, rank
    assert f" {built:,} parameters" in view.summary


def test_the_grid_has_its_numbers_in_the_cells():
    figure = plots.grid(LORA)
    (cells,) = figure.data
    assert np.array_equal(cells.z, [[np.nan, 81.0], [70.0, np.nan]], equal_nan=True)
    assert (cells.x, cells.y) == (("1", "8"), ("query + value", "all linears"))
    assert list(cells.text[0]) == ["", "<b>81.0</b><br>0.50% trained"] and (cells.zmin, cells.zmax) == (50, 100)
    assert "(recorded)" in plots.grid(LORA, "recorded").layout.title.text


def test_a_guess_of_the_factor_lands_where_it_says():
    frame = pd.DataFrame({"scale": "alpha / r", "rank": [1, 64], "change": [0.8, 0.1]})
    figure = plots.over_rank(frame, guess=4)
    assert (figure.data[-1].x, figure.data[-1].y) == ((64,), (0.2,)) and "4 times" in figure.data[-1].name


def test_lines_differ_in_more_than_colour():
    frame = pd.DataFrame({"start": list("aabb"), "step": [0, 1, 0, 1], "loss": [2.0, 1.0, 3.0, 3.0]})
    first, second = plots.starts(frame).data
    assert first.line.dash != second.line.dash and list(second.y) == [3, 3]
    frame = pd.DataFrame({"matrix": list("aabb"), "k": [1, 2, 1, 2], "share": [60, 100, 50, 100]})
    first, second, star = plots.directions(frame, guess=2).data
    assert first.line.dash != second.line.dash and (star.x, star.y) == ((2,), (90,))


def test_drift_leaves_out_what_has_no_logarithm():
    frame = pd.DataFrame({"dtype": ["float32"] * 2 + ["bfloat16"] * 2, "swaps": [1, 2] * 2, "drift": [0, 1e-8, 0, 0]})
    (line,) = plots.drift(frame).data
    assert list(line.x) == [2] and line.name == "float32"
    told = "restored from a copy: 0, bit for bit; float32: 0 up to 1 swap; bfloat16: 0 up to 2 swaps"
    assert texts(plots.drift(frame)) == [told]


def test_bars_stack_to_their_totals():
    frame = pd.DataFrame(
        [("lora", "forward", 30.0), ("lora", "backward", 20.0), ("full", "forward", 80.0), ("full", "backward", 120.0)],
        columns=["method", "part", "value"],
    )  # fmt: skip
    figure = plots.stacked(frame, "t", "ms", guess=25)
    assert texts(figure) == ["50 (25%)", "200 (100%)"]
    (forward, backward), (guess,) = figure.data, figure.layout.shapes
    assert [list(v) for v in (forward.y, forward.x, backward.x)] == [["lora", "full"], [30, 80], [20, 120]]
    assert forward.marker.pattern.shape != backward.marker.pattern.shape
    assert (guess.x0, guess.y0, guess.y1) == (50, -0.48, 0.48) and "25%" in guess.name, "across the first bar alone"


def test_the_scales():
    assert LoRAConfig(rank=16, alpha=8).scale == 0.5 and LoRAConfig(rank=16, alpha=8, stabilised=True).scale == 2
