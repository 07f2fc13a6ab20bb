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
from adapterlab.lessons.nb09_methods import measure
from adapterlab.lessons.nb09_methods.measure import as_function, costs, recorded, source
from adapterlab.lessons.nb09_methods.views import IDENTITY, NOTHING, PRESETS, places_view, recipe, tell
from adapterlab.methods import METHODS
from adapterlab.sites import find_sites
from adapterlab.studies import count as counting
from adapterlab.studies.experiments import FAMILY
from adapterlab.studies.stats import accuracy_error


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
        "starts as the identity: exactly"
    )
    view.norm.value = "layernorm"  # five norms, two vectors of 16 each
    assert "lora + layernorm: 416 parameters" in view.summary and "merges: yes" in view.summary
    assert [text.split("(×")[1] for text in badges(view.figure)] == [" 2)", " 5, both places)", " 5, both places)"]
    view.feedforward.value = "pfeiffer"
    assert "merges: no, pfeiffer must stay attached" in view.summary
    assert "identity: nearly" in view.summary
    view.prompt.value = "prompt_tuning"
    assert view.summary.endswith("identity: no")
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


def test_only_what_fits_is_offered(view, bert):
    for kind in view._switches:
        form = next(site.form for site in find_sites(bert).values() if site.kind == kind)
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
    if "merges: yes" in tell(configs, adapters.sites, 1000):
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


@pytest.mark.parametrize("name", IDENTITY)
def test_the_identity_column_is_what_a_new_method_does(name, bert):
    assert set(IDENTITY) == set(METHODS) - {"head", "fusion"}
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
    low, high = {"exactly": (0, 1e-5), "nearly": (1e-9, 0.05), "no": (0.05, 1e9)}[IDENTITY[name]]
    assert low <= moved < high, moved


def test_the_table_of_the_family():
    base, sites = counting.measure("bert-base")
    table = plots.family(sites, base)
    assert set(table.index) == set(IDENTITY) == set(plots.READS) == set(plots.COMBINES) and table["formula"].all()
    assert table.loc["layernorm", "trained"] == 25 * 2 * 768 and table.loc["layernorm", "%"] == 0.035
    assert table.loc["lora", "merges"] == "yes" and table.loc["loreft", "merges"] == "no"
    assert table.loc["lora", "changes"] == "query, value" and table.loc["prefix_tuning", "combines"][0] == "("


def test_every_entry_of_the_record_has_a_group():
    groups = {name: plots.group_of(name) for name in (*FAMILY, "full", "head only", "yours")}
    assert groups["Houlsby"] == groups["AdapterDrop"] == "bottlenecks"
    assert groups["UniPELT"] == groups["Mix-and-Match"] == "combinations"
    assert groups["LayerNorm"] == "scalings and shifts" and groups["full"] == "without a method"
    assert set(groups.values()) == set(plots.GROUPS)


def runs(method, lr, *scores, trained=1.0):
    return [
        {"method": method, "seed": i, "lr": lr, "accuracy": s, "trained_percent": trained} for i, s in enumerate(scores)
    ]


FRAME = pd.DataFrame(
    runs("full", 3e-4, 80.0, 82.0, trained=100.0)
    + runs("LoRA", 1e-3, 81.0, 83.2)
    + runs("(IA)^3", 1e-1, 70.0, 72.0)
    + runs("BitFit", 1e-2, 79.0)
)


def test_methods_are_compared_over_common_seeds_with_the_noise_of_seeds_and_rows():
    table = plots.compared(FRAME, rows=100, disagree=0.04).set_index("method")
    assert list(table.index) == ["LoRA", "BitFit", "(IA)^3", "full"]
    lora, ia3 = table.loc["LoRA"], table.loc["(IA)^3"]
    own, typical = 2.2 / 2**0.5, (2.2 + 2.0) / 2 / 2**0.5  # standard deviations: LoRA's, the median of the two
    of_rows = [100 * accuracy_error(mean / 100, 100) for mean in (82.1, 71)]
    assert lora["accuracy"] == pytest.approx(82.1) and lora["gap"] == pytest.approx(1.1)
    assert lora["half"] == pytest.approx(np.hypot(1.96 * own / 2**0.5, of_rows[0]))
    assert ia3["half"] == pytest.approx(np.hypot(1.96 * typical / 2**0.5, of_rows[1])), "its seeds agree by chance"
    assert lora["gap_half"] == pytest.approx(np.hypot(1.96 * 0.2 / 2, 196 * 0.02)), "4 of 100 rows differ"
    told = {"LoRA": "not told apart from full", "(IA)^3": "below full", "BitFit": "one seed beside full: no verdict"}
    assert table["verdict"].to_dict() == told | {"full": ""}
    assert not lora["edge"] and ia3["edge"] and table.loc["full", "edge"] and lora["seeds"] == 2
    sure = plots.compared(FRAME, rows=10**6, disagree=0.04).set_index("method")
    assert sure.loc["LoRA", "verdict"] == "above full", "with rows enough the seeds alone decide"
    alone = plots.compared(FRAME[FRAME["method"] == "LoRA"].head(1), rows=100, disagree=0.04)
    assert alone["half"].notna().all() and alone["gap"].isna().all() and list(alone["verdict"]) == [""]


def test_the_board_shows_rates_groups_and_the_guess():
    table = plots.compared(FRAME, rows=100, disagree=0.04).assign(step_ms=10.0, memory_mb=500.0)
    figure = plots.board(table, "recorded", "one line<br>and another", 77)
    first = next(trace for trace in figure.data if trace.name == "changes of a matrix")
    assert list(first.y) == ["LoRA (0.001)"] and list(first.x) == [pytest.approx(82.1)]
    assert list(first.error_x.array) == [pytest.approx(table.loc[table["method"] == "LoRA", "half"].item())]
    assert "recorded" in figure.layout.title.text and figure.layout.shapes[0].name == "your guess: the best: 77%"
    assert len({trace.xaxis for trace in figure.data}) == 4 and len(figure.layout.xaxis2.tickvals) >= 3
    assert [note.text for note in figure.layout.annotations] == ["one line<br>and another"]


def test_a_method_by_itself_is_affine_or_not_and_costs_are_those_of_its_step(bert):
    adapters = Adapters(bert)
    torch.manual_seed(0)
    verdicts = {name: check.is_affine.reference(*as_function(adapters, name)) for name in ("lora", "dora", "ia3")}
    assert verdicts == {"lora": True, "dora": True, "ia3": True} and not len(adapters)
    batch = {"input_ids": torch.arange(3, 11)[None]}, torch.tensor([0])
    table = costs(adapters, {"a": METHODS["lora"](), "head": ()}, ("no", "yes"), batch, 1)
    assert list(table.index) == ["a", "head"] and (table > 0).all(axis=None) and not len(adapters)


def test_what_is_recorded_says_its_steps_and_its_head(monkeypatch):
    frame = recorded("rotten_tomatoes")
    text = source(frame)
    assert "full" in set(frame["method"]) and " steps" in text and "the last epoch was best in" in text
    new = "pooling" in frame and frame["pooling"].notna().all()
    assert ("the head reads the mean" if new else theme.OLD_HEAD) in text
    assert max(map(len, text.split("<br>"))) < 120, "longer lines run off the figure"
    assert recorded("nothing of the kind").empty
    monkeypatch.setattr(measure.results, "frame_or_none", lambda name: None)
    assert recorded("rotten_tomatoes").empty
