"""09: the numbers of its view, tables and figures; what they claim is measured on a tiny BERT."""

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.lessons import check
from adapterlab.lessons.kit import theme
from adapterlab.lessons.nb09_methods import figures as plots
from adapterlab.lessons.nb09_methods.measure import attention, recorded
from adapterlab.lessons.nb09_methods.views import NOTHING, PRESETS, places_view, recipe, tell
from adapterlab.methods import METHODS
from adapterlab.sites import find_sites
from adapterlab.studies.experiments import FAMILY


@pytest.fixture
def bert():
    return tiny.model("bert").eval()


@pytest.fixture
def view(bert):
    return places_view(find_sites(bert), 1000, "nothing")


def badges(figure):
    return [a.text for a in figure.layout.annotations if a.text and a.text.startswith("<b>")]


def test_methods_are_placed_counted_and_judged(view):
    assert view.summary == "nothing is placed: the frozen model" and badges(view.figure) == []
    view.amount.value = 4
    view.query.value = "lora"
    # two layers, rank 4, 16 wide
    assert view.summary == (
        "lora: 256 parameters (25.600% of the model); merges: yes, into the frozen weights; "
        "starts as the identity: yes, exactly"
    )
    view.norm.value = "layernorm"  # five norms, two vectors of 16 each
    assert "lora + layernorm: 416 parameters" in view.summary and "merges: yes" in view.summary
    assert [text.split("(×")[1] for text in badges(view.figure)] == [" 2)", " 5, both places)", " 5, both places)"]
    view.feedforward.value = "pfeiffer"
    assert "merges: no, pfeiffer must stay attached" in view.summary
    assert "identity: nearly (pfeiffer)" in view.summary
    view.prompt.value = "prompt_tuning"
    assert "no (prompt_tuning changes the output at once)" in view.summary
    view.where.value = (1,)
    assert [text.split("(×")[1] for text in badges(view.figure) if "lora" in text] == [" 1)"]


def test_what_does_not_fit_is_said_and_the_next_choice_mends_it(view):
    view.attention.value = "bottleneck"
    view.amount.value = 24
    assert view.error == "bottleneck: size 24 is wider than the site it goes to (16)"
    view.amount.value = 8
    assert view.error is None
    view.amount.value = 2
    view.attention.value = "compacter"
    assert "multiple of n=4" in view.error
    view.set({"block": "kadapter"})
    view.amount.value, view.where.value = 4, (0,)
    assert "all" in view.error


def test_only_what_fits_is_offered(view):
    for kind in view._switches:
        form = next(site.form for site in view._sites.values() if site.kind == kind)
        options = [m for m in getattr(view, kind).options if m != NOTHING]
        assert options and all(form in METHODS[m].fits for m in options), kind
    assert view.prompt.options == (NOTHING, "prompt_tuning")
    assert view.memory.options == (NOTHING, "prefix_tuning")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_the_places_and_is_built_as_counted(name, view, bert):
    view.amount.value = 4
    view.preset.value = "LoRA at every matrix"
    view.preset.value = name
    placed = {kind: getattr(view, kind).value for kind in view._switches}
    assert {k: m for k, m in placed.items() if m != NOTHING} == PRESETS[name] and view.error is None
    if PRESETS[name]:
        adapters = Adapters(bert)
        adapters.add("a", recipe(PRESETS[name], 4))
        assert f"{adapters.count('a'):,} parameters" in view.summary


@pytest.mark.parametrize("name", [n for n in PRESETS if PRESETS[n]])
def test_merging_is_promised_where_it_works(name, bert):
    adapters, configs = Adapters(bert), recipe(PRESETS[name], 4)
    adapters.add("a", configs)
    if "merges: yes" in tell(PRESETS[name], configs, adapters.sites, 1000):
        adapters.merge("a")
    else:
        with pytest.raises(UserError, match="cannot be merged"):
            adapters.merge("a")


def test_every_single_place_that_promises_to_merge_does(view, bert):
    adapters = Adapters(bert)
    for kind in view._switches:
        for method in getattr(view, kind).options:
            if method != NOTHING and METHODS[method].merges:
                adapters.add("a", recipe({kind: method}, 4))
                adapters.merge("a"), adapters.unmerge(), adapters.delete("a")


@pytest.mark.parametrize("name", plots.IDENTITY)
def test_the_identity_column_is_what_a_new_method_does(name, bert):
    assert set(plots.IDENTITY) == set(METHODS) - {"head", "fusion"}
    inputs = {"input_ids": torch.arange(3, 11)[None]}
    small = {"size": 4, "rank": 4, "length": 3, "hidden": 8, "inner": 8}
    fields = METHODS[name].__dataclass_fields__
    if name == "compacter":
        del small["rank"]
    adapters = Adapters(bert)
    with torch.no_grad():
        before = bert(**inputs).logits
        adapters.add("a", METHODS[name](**{k: v for k, v in small.items() if k in fields}), seed=0)
        adapters.activate("a")
        moved = ((bert(**inputs).logits - before).abs().max() / before.abs().max()).item()
    low, high = {"exactly": (0, 1e-5), "nearly": (1e-9, 0.05), "no": (0.05, 1e9)}[plots.IDENTITY[name]]
    assert low <= moved < high, moved


def test_the_table_of_the_family(bert):
    table = plots.family(find_sites(bert), 1000).set_index("method")
    assert set(table.index) == set(plots.IDENTITY) and table["formula"].all() and table["paper"].all()
    assert table.loc["layernorm", "trained"] == 5 * 32 and table.loc["layernorm", "%"] == 16.0
    assert table.loc["lora", "merges"] == "yes" and table.loc["loreft", "merges"] == "no"
    assert table.loc["lora", "changes"] == "query, value" and table.loc["prefix_tuning", "combines"].startswith(
        "(1 − λ)"
    )
    assert set(plots.READS) == set(plots.COMBINES) == set(plots.IDENTITY)


def test_every_entry_of_the_record_has_a_group():
    groups = {name: plots.group_of(name) for name in (*FAMILY, "full", "head only", "yours")}
    assert groups["Houlsby"] == groups["AdapterDrop"] == "bottlenecks"
    assert groups["UniPELT"] == groups["Mix-and-Match"] == "combinations"
    assert groups["LayerNorm"] == "scalings and shifts" and groups["full"] == "without a method"
    assert set(groups.values()) == set(plots.GROUPS)


def rows(method, lr, *scores, trained=1.0):
    return [
        {"method": method, "seed": i, "lr": lr, "accuracy": s, "trained_percent": trained, "step_ms": 10.0 + i,
         "memory_mb": 500.0}
        for i, s in enumerate(scores)
    ]  # fmt: skip


def test_the_summary_and_its_board():
    frame = pd.DataFrame(
        rows("full", 3e-4, 80.0, 82.0, trained=100.0)
        + rows("LoRA", 1e-3, 81.0, 83.2)
        + rows("(IA)^3", 1e-1, 70.0, 72.0)
    )
    table = plots.summary(frame)
    assert list(table["method"]) == ["LoRA", "full", "(IA)^3"]
    lora, ia3 = table.iloc[0], table.iloc[2]
    own, typical = 2.2 / 2**0.5, (2.2 + 2.0) / 2 / 2**0.5  # standard deviations: LoRA's, the median of the two
    assert lora["accuracy"] == pytest.approx(82.1) and lora["half"] == pytest.approx(1.96 * own / 2**0.5)
    assert ia3["half"] == pytest.approx(1.96 * typical / 2**0.5), "its own seeds agree more than is usual"
    assert lora["to_full"] == pytest.approx(1.1) and lora["to_full_half"] == pytest.approx(1.96 * 0.2 / 2)
    assert list(table["verdict"]) == ["above full", "", "below full"]
    assert not lora["edge"] and ia3["edge"] and table.iloc[1]["edge"] and lora["step_ms"] == 10.5 and lora["seeds"] == 2
    figure = plots.board(table, "recorded", 77)
    first = next(trace for trace in figure.data if trace.name == "changes of a matrix")
    assert list(first.y) == ["LoRA"] and list(first.x) == [pytest.approx(82.1)]
    assert list(first.error_x.array) == [pytest.approx(lora["half"], rel=1e-5)]
    assert "recorded" in figure.layout.title.text and figure.layout.shapes[0].name == "your guess: the best: 77%"
    assert len({trace.xaxis for trace in figure.data}) == 4 and len(figure.layout.xaxis2.tickvals) >= 3
    alone = plots.summary(frame[(frame["method"] == "LoRA") & (frame["seed"] == 0)])
    assert alone["half"].isna().all() and alone["to_full"].isna().all()
    assert np.isnan(plots.board(alone, "live").data[0].error_x.array[0])
    assert plots.summary(frame[frame["seed"] == 0], rows=100)["half"].notna().all()


def test_the_dots_say_what_is_zero():
    moved = pd.DataFrame({"method": ["lora", "bottleneck", "prompt_tuning"], "moved": [0.0, 1e-3, 0.5]})
    figure = plots.starts(moved, 2)
    assert "1 of 3 change nothing" in figure.layout.title.text and "guess: 2" in figure.layout.title.text
    assert [(a.y, a.text) for a in figure.layout.annotations] == [("lora", "nothing beyond rounding")]
    assert dict(zip(figure.data[0].y, figure.data[0].x, strict=True))["bottleneck"] == 1e-3


def test_an_attention_with_a_prefix_is_what_the_exercise_says(bert):
    adapters = Adapters(bert)
    adapters.add("prefix", METHODS["prefix_tuning"](length=3, hidden=0), seed=0)
    seen = attention(adapters, "prefix", {"input_ids": torch.arange(3, 11)[None]}, layer=1)
    P_k, P_v = (
        adapters["prefix"]
        .at["layers.1.memory"][0]
        .prefix()
        .detach()
        .view(3, 2, *seen["q"].shape[::2])
        .permute(1, 2, 0, 3)
    )
    for head in range(len(seen["q"])):
        gate, out = check.gated_prefix.reference(*(seen[n][head] for n in "qKV"), P_k[head], P_v[head])
        torch.testing.assert_close(out, seen["out"][head], atol=1e-6, rtol=0)
        assert (gate > 0).all() and (gate < 1).all()


def test_what_is_recorded_says_its_steps_and_its_head():
    frame, text = recorded("rotten_tomatoes")
    assert {"full", "LoRA"} <= set(frame["method"]) and "steps" in text and "best epoch is the last" in text
    assert ("pooling" in frame and frame["pooling"].notna().all()) or text.endswith(theme.OLD_HEAD)
