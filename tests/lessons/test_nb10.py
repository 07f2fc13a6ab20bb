"""10: the numbers of its view and figures."""

import pandas as pd
import pytest
import tiny
import torch
from lesson_views import LINEARS, texts
from lesson_views import LORA as MEASURED

from adapterlab.adapters import Adapters
from adapterlab.lessons.kit import theme
from adapterlab.lessons.nb10_lora import figures as plots
from adapterlab.lessons.nb10_lora.first_step import model_moved, run_with
from adapterlab.lessons.nb10_lora.views import lora_view
from adapterlab.methods import LoRA, LoRAConfig


def red(figure):
    """(width, height) of the trained strips, in the drawing's units."""
    return [(s.x1 - s.x0, s.y1 - s.y0) for s in figure.layout.shapes if s.line.color == theme.OKABE_ITO[1]]


def test_the_widget_counts_scales_and_says_what_was_measured():
    view = lora_view(MEASURED, LINEARS, total=100_000)
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
    view = lora_view(MEASURED, LINEARS, total=100_000)
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
    view = lora_view(MEASURED.iloc[:0], some, total=1000)
    assert view.where.options == ("query", "value", "query + value") and "not measured" in view.summary


@pytest.mark.parametrize("where", plots.WHERE)
@pytest.mark.parametrize("rank", [1, 8])
def test_counts_are_those_of_built_modules(where, rank):
    config = LoRAConfig(rank=rank, sites=plots.WHERE[where])
    built = sum(p.numel() for site in config.targets(LINEARS) for p in config.build(site).parameters())
    view = lora_view(MEASURED, LINEARS, total=100_000)
    view.where.value, view.rank.value = where, rank
    assert f" {built:,} parameters" in view.summary


def test_the_first_step_is_told_as_a_multiple_of_rank_one_with_the_guess_beside():
    rows = [("toy", scale, rank, change) for scale in plots.SCALES for rank, change in ((1, 0.8), (64, 0.2))]
    frame = plots.relative(pd.DataFrame(rows, columns=["regime", "scale", "rank", "change"]))
    assert list(frame["times"]) == [1, 0.25] * 2
    figure = plots.over_rank(frame, guess=4)
    assert (figure.data[-1].x, figure.data[-1].y) == ((64,), (0.25,)) and "4 times" in figure.data[-1].name
    assert "toy" in texts(figure)


def test_the_contest_has_a_row_a_run_with_its_parameters_and_the_limit():
    frame = pd.DataFrame({"setting": list("pqr"), "where": list("aab"), "trained": [10, 8000, 40], "accuracy": 50.0})
    figure = plots.contest(frame, rows=96, limit=50)
    assert [list(trace.y) for trace in figure.data] == [
        ["p<br>10 parameters", "q<br>8,000 parameters"],
        ["r<br>40 parameters"],
    ]
    assert figure.data[0].error_x.array[0] == pytest.approx(10, abs=0.01)  # 1.96 · √(0.25 / 96)
    assert list(figure.layout.yaxis.categoryarray)[-1] == "p<br>10 parameters", "the smallest on top"
    assert "limit: 50" in figure.layout.title.text and "limit" not in plots.contest(frame, 96).layout.title.text


def test_the_learners_lines_run_in_every_lora(monkeypatch):
    for name in ("forward", "merged"):
        monkeypatch.setattr(LoRA, name, getattr(LoRA, name))
    lora, x, y = LoRA(3, 4, rank=2, scale=3.0), torch.randn(5, 3), torch.randn(5, 4)
    run_with(lambda x, y, A, B, alpha: y + alpha)
    assert torch.equal(lora(x, y), y + 6)
    run_with(merge=lambda W, A, B, scale: W * scale)
    assert torch.equal(lora.merged(torch.ones(4, 3), None)[0], torch.full((4, 3), 3.0)) and torch.equal(
        lora(x, y), y + 6
    )


def test_one_step_moves_a_model_by_the_scale():
    model = tiny.model("bert")
    inputs = {"input_ids": torch.arange(3, 19).view(2, 8), "attention_mask": torch.ones(2, 8, dtype=torch.long)}
    adapters, moved = Adapters(model), []
    for rate in (1e-5, 2e-5):
        adapters.add("probe", LoRAConfig(rank=4), head=("a", "b"), seed=0)
        moved.append(model_moved(adapters, "probe", inputs, torch.tensor([0, 1]), rate))
        adapters.delete("probe")
    assert moved[0] > 0 and moved[1] == pytest.approx(2 * moved[0], rel=0.1)


def test_lines_differ_in_more_than_colour():
    frame = pd.DataFrame({"start": list("aabb"), "step": [0, 1, 0, 1], "loss": [2.0, 1.0, 3.0, 3.0]})
    first, second = plots.starts(frame).data
    assert first.line.dash != second.line.dash and list(second.y) == [3, 3]
    frame = pd.DataFrame({"matrix": list("aabb"), "k": [1, 2, 1, 2], "share": [60, 100, 50, 100]})
    first, second, star = plots.directions(frame, guess=2).data
    assert first.line.dash != second.line.dash and (star.x, star.y) == ((2,), (90,))


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
