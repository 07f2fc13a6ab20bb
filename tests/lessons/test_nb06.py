"""06: the numbers of its view and figures."""

import pandas as pd
import pytest
from lesson_views import SUBLAYERS, texts
from lesson_views import VARIANTS as ROWS

from adapterlab.lessons.kit import theme
from adapterlab.lessons.nb06_variants import figures as plots
from adapterlab.lessons.nb06_variants.views import count, variant_view
from adapterlab.studies.experiments import VARIANTS


def test_the_widget_draws_the_formula_and_says_what_was_measured():
    view = variant_view(ROWS, SUBLAYERS, size=4)
    assert "plain: y' = y + f(y), f = up(gelu(down(·)))" in view.summary and "80.0% (live, 1 run)" in view.summary
    assert [t for t in texts(view.figure) if t in ("down", "gelu", "up", "+")] == ["+", "down", "gelu", "up"]
    view.std.value = 1.0
    assert "50.0% (live" in view.summary
    view.variant.value = "parallel"
    assert "y + f(x)" in view.summary and "not measured with std 1" in view.summary
    view.std.value = 1e-2
    assert "82.0% (recorded, 2 runs)" in view.summary
    view.variant.value = "parallel, multiplied"
    assert "×" in texts(view.figure) and "1 + f(x)" in view.summary


def test_counts_follow_the_closed_form():
    one = 2 * 12 * 4 + 12 + 4
    plain = count("plain", 4, SUBLAYERS)
    assert count("attention only", 4, SUBLAYERS) == plain - 2 * one
    assert count("two hidden layers", 4, SUBLAYERS) == plain + 4 * (4 * 4 + 4)
    assert count("LayerNorm inside", 4, SUBLAYERS) == plain + 4 * 2 * 4


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_a_drawing(name):
    assert texts(plots.drawing(name, 64, 384)).count("down") == VARIANTS[name].get("depth", 1)


def test_the_table_takes_differences_seed_by_seed():
    rows = [("plain", 0, 80.0), ("plain", 1, 90.0), ("plain", 2, 85.0), ("tanh", 0, 81.0), ("tanh", 1, 91.1),
            ("tanh", 2, 86.05), ("parallel", 0, 70.0), ("parallel", 1, 95.0), ("parallel", 2, 82.0),
            ("swish", 0, 79.0), ("swish", 1, 89.0)]  # fmt: skip
    rows = pd.DataFrame(rows, columns=["variant", "seed", "accuracy"])
    table = plots.against_plain(rows).set_index("variant")
    assert table.loc["tanh", "points"] == pytest.approx(1.05)
    assert table.loc["tanh", "95%"] == pytest.approx(4.303 * 0.05 / 3**0.5, rel=1e-3)
    assert list(table.index) == ["tanh", "swish", "parallel"], "in their order, without those that are not there"
    assert list(table["verdict"]) == ["helped", "not told apart", "not told apart"], "two seeds are too few"
    assert list(table["paper"]) == ["tried, no gain", "says nothing", "tried, no gain"]
    figure = plots.variant_bars(table.reset_index(), rows)
    bars = {name: x for trace in figure.data for name, x in zip(trace.y, trace.x, strict=True)}
    assert bars["tanh"] == pytest.approx(1.05) and len(bars) == 3 and theme.OLD_HEAD in texts(figure)


def test_the_curve_has_means_sources_and_guess():
    recorded = pd.DataFrame({"std": [1e-2, 1e-2, 1.0], "accuracy": [80.0, 82.0, 60.0]})
    figure = plots.init_curve(recorded, ROWS.iloc[:2], 100, guess=0.1)
    assert list(figure.data[1].y) == [81, 60] and "recorded" in figure.data[1].name
    assert list(figure.data[0].y) == [80, 50] and figure.data[1].error_y.array[0] == pytest.approx(12.706)
    assert figure.layout.shapes[-1].name == "your guess: 0.1" and "the paper's scores: robust here" in texts(figure)


def test_what_is_0_has_no_place_on_a_log_axis():
    frame = pd.DataFrame({"std": [1e-2, 1e-1], "name": "a", "value": [0.0, 2.0]})
    assert list(plots.over_std(frame, "title", "axis").data[0].y) == [2]
