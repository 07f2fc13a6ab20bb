"""03: the numbers of its view."""

import pytest

from adapterlab.lessons.nb03_counts.views import budget_view


def test_view():
    view = budget_view("bert-large", 64, 9)
    assert "6,444,032 of 335,141,888 parameters (1.92%)" in view.summary and "12,065 MB as copies" in view.summary
    view.model.value = "minilm"
    assert "605,184 of 22,713,216" in view.summary
    view.method.value = "LayerNorms only (no size)"
    assert "9,984 of 22,713,216 parameters (0.04%)" in view.summary
    view.tasks.value = 100
    assert "100 tasks" in view.summary
    table, bars = view.figure.data[0], view.figure.data[1:]
    assert table.cells["values"][2][0] == "2·384" and table.cells["values"][4][-1] == "9,984"
    base, adapters, copies = (bar.x[0] for bar in bars)
    assert base == pytest.approx(22.713216 * 4) and copies == pytest.approx(100 * base)
    assert adapters == pytest.approx(100 * 9984 * 4 / 1e6)


def test_a_size_wider_than_the_model_is_said():
    view = budget_view("electra-small", 64, 1)
    view.bottleneck.value = 512
    assert "wider than electra-small, which is 256 wide" in view.error
    view.bottleneck.value = 256
    assert view.error is None and "size 256" in view.summary
