"""03: the numbers of its view and figures."""

import pandas as pd
import pytest

from adapterlab.lessons.nb03_counts.figures import shares
from adapterlab.lessons.nb03_counts.views import budget_view


def test_view():
    view = budget_view("bert-large", 64, 9)
    assert "6,444,032 of 335,141,888 parameters (1.92%)" in view.summary and "12,065 MB as copies" in view.summary
    view.model.value = "minilm"
    assert "12 × (2·64·384 + 64 + 384) + 13 × (2·384) = 605,184 of 22,713,216" in view.summary
    view.method.value = "LayerNorms only (no size)"
    assert "13 × (2·384) = 9,984 of 22,713,216 parameters (0.04%)" in view.summary
    view.tasks.value = 100
    assert "100 tasks" in view.summary
    once, added = view.figure.data
    assert once.x[1] == pytest.approx(22.713216 * 4) and added.x[0] == pytest.approx(100 * once.x[1])
    assert added.x[1] == pytest.approx(100 * 9984 * 4 / 1e6)


def test_shares_are_sorted_and_a_band_is_marked():
    frame = pd.DataFrame({"model": ["a", "b"], "share_percent": [3.0, 1.5], "adapter": [30, 15], "base": [1000, 1000]})
    fig = shares(frame, band=(1, 2))
    assert list(fig.data[0].y) == ["b", "a"] and [line.x0 for line in fig.layout.shapes] == [1, 2]


def test_a_size_wider_than_the_model_is_said():
    view = budget_view("electra-small", 64, 1)
    view.bottleneck.value = 512
    assert "size 512 is wider than the site it goes to (256)" in view.error
    view.bottleneck.value = 256
    assert view.error is None and "size 256" in view.summary
