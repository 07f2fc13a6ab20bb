"""05: the board of switches and the figures."""

import re

import pandas as pd
import pytest
import torch
from adapted import adapted, rows
from lesson_views import switches

from adapterlab.lessons.nb05_ablation import figures as plots
from adapterlab.lessons.nb05_ablation.steps import against
from adapterlab.lessons.nb05_ablation.views import sentences
from adapterlab.studies.spans import compare, half_pattern, span_ablation

NAMES = ("x", "y", "z")


def ablated():
    return span_ablation(adapted(), "a", rows(), batch_size=4)


def test_a_switch_rescores_and_names_what_flipped():
    board = switches()
    toggles = board.toggles
    assert board.outcome.flipped == [] and "<li>no sentence flipped</li>" in board.note
    assert "off: none (0 of 6)" in board.summary
    board.attention_1.value = False
    board.feedforward_2.value = False
    out, every = board.outcome, toggles((True,) * 6)
    assert out.pattern == (True, True, False, True, True, False)
    assert f"off: attention 1, feed-forward 2 (2 of 6); accuracy {100 * out.score:.1f}%" in board.summary
    want = (out.logits.argmax(1) != every.logits.argmax(1)).nonzero().flatten().tolist()
    assert want and f"{len(want)} of 30 sentences flipped" in board.summary
    listed = re.findall("<li>(.*?)</li>", board.note)
    assert len(listed) == min(len(want), 12) + (len(want) > 12)
    assert all(int(line.split()[-1]) in want for line in listed[:12])
    points = {trace.name.rsplit(" (", 1)[0]: len(trace.x) for trace in board.figure.data}
    assert sum(points.values()) == 30
    right = (out.logits.argmax(1) == toggles.labels).sum().item()
    assert points["still right"] + points["became right"] == right
    assert board.attention_1.description == "A1 off" and board.attention_0.description == "A0 on"
    assert "<b>" not in board.note  # a sentence's own markup is only text


def test_a_combination_seen_before_runs_no_layer():
    board = switches()
    board.feedforward_2.value = False
    assert board.outcome.layers == 1 and "1 of 3 layers ran" in board.note
    board.feedforward_2.value = True
    assert board.outcome.layers == 0 and "seen before" in board.note


def test_presets_are_their_patterns():
    board = switches()
    board.preset.value = "attention only"
    assert "off: feed-forward 0, feed-forward 1, feed-forward 2 (3 of 6)" in board.summary
    board.preset.value = "every adapter off"
    assert board.outcome.pattern == (False,) * 6
    board.preset.value = "the upper half of the layers"
    assert board.outcome.pattern == (False, False, True, True, True, True)


def test_sentences_by_hand():
    before = torch.tensor([[2.0, 1, 0], [0, 3, 1], [1, 0, 0], [0, 0, 5]])
    after = torch.tensor([[0.0, 1, 0], [0, 2, 1], [0, 2, 1.5], [0, 4, 5]])
    frame = sentences(before, after, torch.tensor([0, 1, 1, 0]), "abcd", NAMES)
    assert list(frame["kind"]) == ["became wrong", "still right", "became right", "still wrong"]
    assert list(frame["before"]) == [1, 2, -1, -5]
    assert list(frame["after"]) == [-1, 1, 0.5, -5]
    assert list(frame["label"]) == ["x", "y", "y", "x"]


def test_the_heatmap_holds_every_span_and_nothing_else():
    result = ablated()
    spans = pd.DataFrame(result.spans)
    (cells,) = plots.heatmap(spans, "Drop").data
    drops = {(row["first"], row["last"]): 100 * row["drop"] for row in result.spans}
    for first in range(3):
        for last in range(3):
            if first <= last:
                assert cells.z[first][last] == pytest.approx(drops[first, last], abs=1e-4)
            else:
                assert cells.z[first][last] != cells.z[first][last]
    printed = {(y, x): float(text) for y, row in enumerate(cells.text) for x, text in enumerate(row) if text}
    assert (cells.zmin, cells.zmax) == (0, 40), "one scale for all that are compared"
    assert printed == {at: round(drop, 1) for at, drop in drops.items()}
    two = pd.concat([spans, spans.assign(drop=spans["drop"] + 0.1)])
    assert plots.heatmap(two, "Mean of seeds").data[0].z[0][2] == pytest.approx(drops[0, 2] + 5, abs=1e-4)


def test_the_single_layers():
    result = ablated()
    figure = plots.single_layers(pd.DataFrame(result.singles), guess=1)
    (bar,), (paper,) = figure.data, figure.layout.shapes
    assert list(bar.y) == pytest.approx([100 * r["drop"] for r in result.singles], abs=1e-4)
    assert figure.layout.xaxis.ticktext == ("0", "1<br>★ your guess", "2") and paper.y0 == 2 and "paper" in paper.name


def test_the_open_task_shows_mine_among_the_spans():
    result = ablated()
    on = (True,) * 6
    mine = compare(result.logits[on], result.logits[half_pattern(3, "attention")], rows().labels)
    others, own = plots.fewest(result, 3, mine).data
    assert list(others.x[:3]) == [4, 2, 0] and len(others.x) == 8 and list(others.x[-2:]) == [3, 3]
    assert list(own.x) == [3] and own.y[0] == pytest.approx(100 * mine["score"], abs=1e-4)
    assert own.error_y.array[0] == pytest.approx(196 * mine["error"])


def test_told_apart_is_mcnemars_interval():
    labels = torch.zeros(500, dtype=torch.long)
    right, wrong = torch.tensor([1.0, 0]), torch.tensor([0, 1.0])
    one = right.repeat(500, 1)
    other, less = one.clone(), one.clone()
    other[:23] = wrong
    less[:2] = wrong
    assert against(one, other, labels) == "-4.6 ± 1.8 points: told apart"
    assert against(other, one, labels).startswith("+4.6")
    assert "not told apart; it would take 957 sentences" in against(one, less, labels)
    assert against(one, one, labels) == "+0.0 ± 0.0 points: not told apart"
