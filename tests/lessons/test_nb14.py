"""14: the numbers of its view and figures."""

import pandas as pd
import pytest

from adapterlab.lessons.nb14_quantized import figures as plots
from adapterlab.lessons.nb14_quantized.views import fit_view, needs, packable


def test_what_can_be_packed_is_the_layers_linear_maps():
    """BERT-base by hand: 12 layers of four 768 x 768 and two 768 x 3072."""
    assert packable("bert-base") == (12 * (4 * 768**2 + 2 * 768 * 3072), 109_482_240)


def test_memory_in_closed_form():
    inside, total = packable("bert-base")
    sums = needs("bert-base", 1000).groupby("way", sort=False)["gb"].sum() * 1e9
    assert sums["full fine-tuning"] == pytest.approx(16 * total)
    assert sums["adapter, float32"] == pytest.approx(4 * total + 16_000)
    assert sums["adapter, bfloat16"] == pytest.approx(2 * total + 16_000)
    bits = 4 + 8 / 64 + 32 / (64 * 256)
    assert sums["adapter, 4-bit"] == pytest.approx(inside * bits / 8 + 4 * (total - inside) + 16_000)


def test_the_widget_says_what_fits():
    view = fit_view("llama-2-7b", 8)
    assert "adapter, 4-bit" in view.summary and "full fine-tuning" not in view.summary
    view.device.value = 2
    assert "none fits" in view.summary
    view.model.value, view.method.value = "minilm", "LoRA (query, value)"
    assert "5 of 5 ways fit" in view.summary
    view.model.value = "gpt2"
    assert "gpt2 has no nn.Linear" in view.error and view.model.value == "gpt2"


def test_figures_say_their_numbers():
    rows = [("float32", 0, 79.6), ("4bit", 0, 79.1), ("float32", 1, 78.0), ("4bit", 1, 78.5)]
    fig = plots.accuracies(pd.DataFrame(rows, columns=["base", "seed", "accuracy"]))
    assert [list(line.y) for line in fig.data] == [[79.6, 79.1], [78.0, 78.5]]
    assert fig.layout.yaxis.title.text == "test accuracy, %" and len({line.line.dash for line in fig.data}) == 2
    fig = plots.levels([-0.5, 0.01, 0.02, 0.5], {"NF4": [-1, 0, 1], "even": [-1, 1]})
    assert sum(fig.data[0].y) == pytest.approx(100) and list(fig.data[1].y) == ["NF4"] * 3
    fig = plots.errors(pd.DataFrame({"grid": ["a"], "error": [9.44]}), 5)
    assert list(fig.data[0].text) == ["9.4"] and fig.layout.shapes[0].name == "your guess: 5%"
    fig = plots.memory(pd.DataFrame([("float32", "layers", 40.0)], columns=["base", "part", "mb"]), 15)
    assert fig.data[0].x[0] == 40 and fig.layout.annotations[0].text == "40"


def test_every_part_of_a_stacked_bar_is_painted():
    """A pattern that replaces the fill, in white, leaves nothing to see."""
    parts = [("float32", part, 40.0) for part in ("words", "layers", "the rest")]
    for fig in (
        plots.memory(pd.DataFrame(parts, columns=["base", "part", "mb"])),
        plots.training_memory(pd.DataFrame(parts, columns=["way", "part", "gb"]), 8, "title"),
    ):
        assert len({bar.marker.pattern.shape for bar in fig.data}) == len(fig.data) == 3
        assert all(bar.marker.pattern.fillmode == "overlay" for bar in fig.data)
