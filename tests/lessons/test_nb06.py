"""06: the numbers of its view and figures."""

import pandas as pd
import pytest
from lesson_views import SUBLAYERS, texts
from lesson_views import VARIANTS as ROWS

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
def test_every_variant_has_a_drawing_and_a_verdict_of_the_paper(name):
    shown = texts(plots.drawing(name, 64, 384))
    assert shown.count("down") == VARIANTS[name].get("depth", 1) and name in plots.PAPER


def test_the_table_takes_differences_seed_by_seed():
    rows = [("plain", 0, 80.0), ("plain", 1, 90.0), ("plain", 2, 85.0), ("tanh", 0, 81.0), ("tanh", 1, 91.1),
            ("tanh", 2, 86.05), ("parallel", 0, 70.0), ("parallel", 1, 95.0), ("parallel", 2, 82.0),
            ("swish", 0, 79.0), ("swish", 1, 89.0)]  # fmt: skip
    table = plots.compare(pd.DataFrame(rows, columns=["variant", "seed", "accuracy"]), ROWS).set_index("variant")
    assert table.loc["tanh", "difference"] == pytest.approx(1.05)
    assert table.loc["tanh", "half"] == pytest.approx(4.303 * 0.05 / 3**0.5, rel=1e-3)
    assert table.loc["swish", "verdict"] == "too few seeds" and table.loc["swish", "half"] != table.loc["swish", "half"]
    assert table.loc["tanh", "verdict"] == "helped" and table.loc["parallel", "verdict"] == "no difference shown"
    assert table.loc["relu", "verdict"] == "not recorded" and table.loc["relu", "paper"] == plots.SILENT
    assert table.loc["parallel", "live"] == 82.0
    figure = plots.variant_bars(table.reset_index())
    assert list(figure.data[0].y) == ["parallel", "swish", "tanh"] and figure.data[0].x[2] == pytest.approx(1.05)


def test_the_curve_has_means_sources_and_guess():
    recorded = pd.DataFrame({"std": [1e-2, 1e-2, 1.0], "accuracy": [80.0, 82.0, 60.0]})
    figure = plots.init_curve(ROWS.iloc[:2], recorded, guess=0.1)
    assert list(figure.data[1].y) == [81, 60] and "recorded" in figure.data[1].name
    assert list(figure.data[0].y) == [80, 50]
    assert figure.layout.shapes[-1].name == "your guess: 0.1" and "paper: robust" in texts(figure)
