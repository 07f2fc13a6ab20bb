"""01: the numbers of its views and figures; the movement against a hand-made model."""

import copy

import pandas as pd
import pytest
import torch
from tiny_bert import hooks, same_state, snapshot, tiny_bert, tokens
from torch import nn

from adapterlab.lessons.nb01_build import figures as build
from adapterlab.lessons.nb01_build import views as w


class Shift(nn.Module):
    def forward(self, y):
        return y + 0.1


def test_movement_is_that_of_an_edited_model():
    """Against a copy whose two dropouts a layer are replaced by hand; the model itself is left alone."""
    model, inputs = tiny_bert(), tokens()
    edited, state = copy.deepcopy(model), snapshot(model)
    for layer in edited.bert.encoder.layer:
        layer.attention.output.dropout = nn.Sequential(layer.attention.output.dropout, Shift())
        layer.output.dropout = nn.Sequential(layer.output.dropout, Shift())
    kept = inputs["attention_mask"].bool()
    with torch.no_grad():
        a, b = (m.bert(**inputs).last_hidden_state[kept] for m in (model, edited))
    assert w.movement(model, inputs, Shift) == pytest.approx(100 * float((b - a).norm() / a.norm()), rel=1e-5)
    assert hooks(model) == 0 and same_state(model.state_dict(), state)
    with pytest.raises(TypeError):
        w.movement(model, inputs, lambda: nn.Bilinear(1, 1, 1))
    assert hooks(model) == 0


def test_movement_grows_with_the_square_of_std():
    """Two small matrices in a row: ten times the std, a hundred times the movement."""
    torch.manual_seed(5)
    rng = torch.get_rng_state()
    model, inputs = tiny_bert(), tokens()
    frame = w.curve(model, inputs, lambda std: w.Plain(16, 4, std), "a", stds=(1e-3, 1e-2))
    small, large = frame["moved_percent"]
    assert large / small == pytest.approx(100, rel=0.2)
    assert torch.equal(torch.get_rng_state(), rng)


def test_how_far_view():
    view = w.how_far(tiny_bert(), tokens())
    assert "bottleneck 64, with the skip" in view.summary

    def moved():
        return float(view.summary.split("moves by ")[1].split("%")[0])

    at_paper = moved()
    view.std.value = 1e-3
    assert moved() < at_paper / 50
    view.std.value = 1.0
    assert moved() > 10
    view.std.value = 1e-7
    view.skip.value = "without"
    assert moved() > 5, "without the skip, an adapter near zero deletes its sub-layer's output"
    assert view.figure.data[0].name == "size 64, no skip"
    view.bottleneck.value = 4
    assert "bottleneck 4, without the skip" in view.summary


def test_where_view():
    view = w.where()
    boxes = len(view.figure.layout.shapes)
    assert view.summary == "2 adapters a layer (attention and feed-forward), 2 x 6 layers = 12 in all"
    view.attention.value = False
    assert view.summary.startswith("1 adapter a layer (feed-forward), 1 x 6")
    assert len(view.figure.layout.shapes) == boxes - 1
    view.feedforward.value = False
    view.bottleneck.value = 8
    assert view.summary.startswith("0 adapters a layer (none), 0 x")


def test_figures():
    frame = pd.DataFrame({"std": [1e-3, 1e-2], "moved_percent": [0.01, 1.5], "who": "yours"})
    fig = build.movement(frame, guess=0.1)
    assert [t.name for t in fig.data] == ["yours", "your guess: 10% at 0.1"] and list(fig.data[1].x) == [0.1]
    fig = build.movement(pd.concat([frame, frame.assign(std=1e-7, moved_percent=0.0)]))
    assert list(fig.data[0].x) == [1e-3, 1e-2], "0 has no place on a logarithmic axis"
    assert "exactly 0) at std 10<sup>−7</sup>" in fig.layout.annotations[-1].text
    fig = build.shares(pd.DataFrame({"size": [8], "percent": [0.4], "parameters": [90]}), guess=50)
    assert fig.layout.yaxis.range[1] == 60 and fig.layout.shapes[0].name == "your guess: 50%"
    history = pd.DataFrame({"who": ["a"] * 3, "step": [1, 2, 3], "loss": [3.0, 2.0, 1.0]})
    assert list(build.losses(history, window=2).data[0].y) == [3.0, 2.5, 1.5]
    frame = pd.DataFrame({"who": ["a", "a", "b"], "seed": [0, 1, 0], "accuracy": [0.7, 0.8, 0.5]})
    fig = build.runs(frame, guess=60, chance=50.0)
    assert [list(t.y) for t in fig.data] == [[70, 50], [80]] and fig.data[0].x[0] < 0 < fig.data[1].x[0]
    assert [line.y0 for line in fig.layout.shapes[:2]] == [75, 50], "the groups' means"
    fig = build.designs(pd.DataFrame({"who": ["a", "a"], "trained": [9, 90], "accuracy": [0.5, 0.7]}), limit=50)
    assert fig.layout.shapes[0].x0 == 50 and list(fig.data[0].x) == [9, 90]
