"""02: the numbers of its view and figures."""

import pandas as pd
import pytest
import torch
from lesson_views import LABELS, readers, tokenizer

from adapterlab.lessons.kit import theme
from adapterlab.lessons.nb02_fine_tune import figures as plots
from adapterlab.lessons.nb02_fine_tune.steps import Ready, paired, step_of
from adapterlab.lessons.nb02_fine_tune.views import opinions, sentence_view
from adapterlab.train import train_epoch


def test_opinions_are_the_models_probabilities_without_dropout():
    models = readers()
    frame = opinions(models, tokenizer(), "a fine film")
    assert list(frame["model"]) == ["one", "two", "bare"]
    model, adapters, name = models["one"]
    with torch.no_grad(), adapters.use(name):
        logits = model(**tokenizer()("a fine film", return_tensors="pt")).logits[0]
    assert frame["percent"][0] == pytest.approx(100 * logits.softmax(-1)[1].item(), abs=1e-4)
    for model, *_ in models.values():
        model.train()
    assert opinions(models, tokenizer(), "a fine film").equals(frame)


def test_a_sentence_of_ones_own_comes_before_the_example():
    view = sentence_view(readers(), tokenizer(), LABELS)
    assert view.example.value in view.summary and tuple(view.figure.data[0].y) == ("one", "two", "bare")
    view.sentence.value = "my own sentence"
    assert "my own sentence" in view.summary


def test_accuracy_figure_shows_live_recorded_and_the_guess():
    live = pd.DataFrame([{"method": "adapter 64", "trained_percent": 2.67, "accuracy": 80.0}])
    recorded = pd.DataFrame({"method": "full", "trained_percent": 100.0, "accuracy": [80.0, 81.0, 82.0]})
    figure = plots.accuracy_against_parameters(live, recorded, guess=70, rows=600)
    names = [trace.name for trace in figure.data]
    assert names == ["full (recorded)", "adapter 64"]
    assert figure.data[0].y[0] == 81 and figure.data[0].error_y.array[0] == pytest.approx(2.484, abs=1e-3)
    assert figure.data[1].error_y.array[0] == pytest.approx(3.2, abs=0.01), "what 600 test sentences leave"
    assert figure.layout.shapes[0].name == "your guess: adapter: 70%"
    assert [note.text for note in figure.layout.annotations] == [f"recorded seeds: full 3<br>{theme.OLD_HEAD}"]
    told = plots.accuracy_against_parameters(live, recorded.assign(pooling="mean"))
    assert told.layout.annotations[0].text == "recorded seeds: full 3", "the rows say what their head read"


def test_cost_figure_is_relative_to_full():
    ledger = pd.DataFrame({"method": ["adapter 64", "full"], "step ms": [66.0, 100.0], "disk MB": [2.4, 91.0]})
    figure = plots.relative_cost(ledger, guess=10)
    line = figure.layout.shapes[0]
    assert line.y0 == line.y1 == 10 and -0.5 < line.x0 < line.x1 <= 0, "across the adapter's bar of time alone"
    assert list(figure.data[0].y) == [66, 100] and figure.data[1].y[0] == pytest.approx(2.637, abs=1e-3)


def test_the_parts_of_a_step_are_shares_of_their_sum():
    assert list(plots.step_parts(["forward", "down", "weights"], [1.0, 1.0, 2.0]).data[0].y) == [25, 25, 50]


def test_a_repeated_step_moves_no_weight_and_trains_the_adapter_that_is_named():
    model, adapters, _ = readers()["one"]
    seen = []

    def loop(model, *args):
        seen.append({name.split(".")[1] for name, p in model.named_parameters() if p.requires_grad})
        return train_epoch(model, *args)

    inputs = dict(tokenizer()(["a fine film", "dull"], return_tensors="pt", padding=True))
    steps = [step_of(Ready(model, adapters, name), loop, inputs, torch.tensor([1, 0])) for name in "ab"]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for step in steps:
        step()
    assert seen == [{"a"}, {"b"}]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_loss_curves_are_smoothed_means():
    history = pd.DataFrame({"method": "full", "step": [1, 2, 3], "loss": [3.0, 1.0, 2.0]})
    assert list(plots.loss_curves(history).data[0].y) == [3, 2, 2]


def test_ways_are_told_apart_by_their_common_seeds():
    frame = pd.DataFrame({"who": list("aaabbb") + ["a"], "seed": [0, 1, 2, 0, 1, 2, 3], "accuracy": 0.0})
    frame["accuracy"] = [0.8, 0.7, 0.6, 0.7, 0.6, 0.5, 0.9]
    assert paired(frame, "a", "b") == "a minus b: +10.0 ± 0.0 points over 3 seeds, told apart"
    frame["accuracy"] = [0.8, 0.7, 0.6, 0.7, 0.6, 0.7, 0.9]
    assert "over 3 seeds, not told apart" in paired(frame, "a", "b")
    assert "not told apart" in paired(frame[frame["seed"] < 2], "a", "b"), "two seeds tell nothing"
