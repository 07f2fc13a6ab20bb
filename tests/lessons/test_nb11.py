"""11: the almanac, and the numbers of the view and figures."""

import pandas as pd
import pytest
import torch

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.lessons import check
from adapterlab.lessons.nb11_k_adapter import almanac as knowledge
from adapterlab.lessons.nb11_k_adapter import figures as plots
from adapterlab.lessons.nb11_k_adapter.measure import alone, padded, states
from adapterlab.lessons.nb11_k_adapter.views import asked, market_view
from adapterlab.methods import KAdapterConfig
from adapterlab.models import load_base
from adapterlab.studies.stats import share_interval


def test_the_almanac_is_balanced_and_the_same_for_a_seed():
    towns = knowledge.almanac(64, 1)
    assert towns["town"].is_unique and set(towns["market"].value_counts()) == {16}
    assert towns.equals(knowledge.almanac(64, 1)) and not towns.equals(knowledge.almanac(64, 2))
    assert (towns["where"] + ", " + towns["what"] == towns["market"]).all()


@pytest.mark.parametrize("count", [0, 4, 12, True, 64.0, 10**6])
def test_the_almanac_refuses_other_counts(count):
    with pytest.raises(UserError, match="give a multiple of 8, at most 1440"):
        knowledge.almanac(count)


def test_no_sentence_says_its_fact_and_tests_have_words_of_their_own():
    towns = knowledge.almanac(16)
    for fact, values in knowledge.FACTS.items():
        task = knowledge.fact_task(towns, fact)
        every = [text for split in task.splits.values() for text in split.texts]
        assert len(set(every)) == len(every) and not any(value in text for text in every for value in values)
        assert [len(task.splits[s]) for s in ("train", "validation", "test")] == [128, 16, 32]
        assert task.majority() == 0.5


def test_the_market_is_asked_of_towns_that_the_head_never_saw():
    towns, task = knowledge.almanac(16), knowledge.market_task(knowledge.almanac(16))
    seen = {town for town in towns["town"] if any(town in text for text in task.train.texts + task.validation.texts)}
    asked_of = {town for town in towns["town"] if any(town in text for text in task.test.texts)}
    assert not seen & asked_of and len(seen) == len(asked_of) == 8
    assert task.majority() == 0.25


def test_the_widget_says_the_market_and_whether_it_is_known():
    model, tokenizer = load_base(device="cpu")
    adapters, towns = Adapters(model), knowledge.almanac(8)
    adapters.add("head", (), head=knowledge.MARKETS, seed=0)
    view = market_view(adapters, tokenizer, {"base": "head"}, towns)
    town = towns["town"].iloc[-1]
    assert view.summary.startswith(f"{town} with base: ") and view.summary.endswith(
        f"in the almanac: {towns['market'].iloc[-1]}"
    )
    assert asked(adapters, tokenizer, "head", town)["probability"].sum() == pytest.approx(1)
    view.town.value = "Nowhere"
    assert view.summary.endswith("not in the almanac")
    view.town.value = "  "
    assert view.error == "type a town first: the box is empty"


@pytest.mark.parametrize(
    ("right", "rows", "ends"), [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0, 0.1611))]
)
def test_a_share_has_wilsons_interval(right, rows, ends):
    """Newcombe 1998, Table I, method 3."""
    assert share_interval(right / rows, rows) == pytest.approx(ends, abs=1e-4)


def test_figures_say_their_numbers():
    known = pd.DataFrame(
        {"setup": ["base", "both"], "accuracy": [30.0, 92.0], "low": [20.0, 80.0], "high": [42.0, 97.0]}
    )
    fig = plots.knows(known, chance=25, guess=60)
    assert list(fig.data[0].error_y.array) == [12, 5] and list(fig.data[0].error_y.arrayminus) == [10, 12]
    assert list(fig.data[0].text) == ["30", "92"] and fig.layout.shapes[0].y0 == 25
    assert (fig.layout.shapes[1].y0, fig.layout.shapes[1].x0) == (60, 0.52), "the guess is about the last bar"
    rows = pd.DataFrame({"kind": ["a", "a", "b", "b"], "layer": [0, 1] * 2, "disturbed": [0, 0, 1.0, 2.0]})
    fig = plots.company(rows, "a")
    assert "your guess: a" in fig.layout.title.text and len({line.line.dash for line in fig.data}) == 2
    moved = pd.DataFrame({"attention": ["masked", "not masked"], "padding": [4, 4], "moved": [0.0, 17.0]})
    assert [list(line.y) for line in plots.padding(moved, 5).data] == [[0], [17]]
    said = pd.DataFrame({"market": ["a", "b"], "probability": [0.25, 0.75]})
    assert list(plots.markets(said, "b", "t").data[0].y) == ["a", "b ✓"]
    drawn = {a.text for a in plots.beside(3, [0, 2]).layout.annotations}
    assert {"layer 0", "layer 2", "embeddings", "head", "K-Adapter, 1", "K-Adapter, 2"} <= drawn


def test_the_learners_attention_makes_the_packages_states():
    model, tokenizer = load_base(device="cpu")
    adapters = Adapters(model)
    adapter = adapters.add("new", KAdapterConfig(size=8, heads=2, inner=8, depth=2, layers=(1, 5)), seed=0)
    sentence = tokenizer("The road to Velmora is closed.")
    inputs = padded(sentence, tokenizer, 3, "cpu")
    assert inputs["attention_mask"].tolist() == [[1] * len(sentence["input_ids"]) + [0] * 3]
    frozen, changed = states(adapters, None, inputs), states(adapters, "new", inputs)
    layers = [alone(adapter, i, check.attend.reference, inputs["attention_mask"][0]) for i in (1, 5)]
    with torch.no_grad():
        k = check.chain.reference([frozen[1], frozen[5]], layers)
        torch.testing.assert_close(frozen[-1] + k, changed[-1], atol=1e-4, rtol=0)
        h = frozen[1]
        torch.testing.assert_close(alone(adapter, 1)(h), alone(adapter, 1, lambda s, m: s.softmax(-1))(h))
    assert len(frozen) == 6 and all(map(torch.equal, frozen[:-1], changed[:-1]))
