"""The tree with its sites and adapters, as text and as a widget, driven by value."""

import re

import pytest
import tiny
from recipes import EVERY
from torch import nn

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.lessons.kit.tree_view import Listing, tree_view
from adapterlab.methods import BottleneckConfig, CompacterConfig, LoRAConfig, PrefixTuningConfig
from adapterlab.sites import find_sites
from adapterlab.studies.tree import repeated, tree

HEAD = ("no", "yes")


def shown(text: str) -> int:
    """All parameters behind the arrows of a tree, folded lines counted as often as they stand for a layer."""
    total, times = 0, {}
    for line in text.splitlines():
        depth = len(re.match("[│├└─ ]*", line)[0]) // 3
        fold = re.match(r"\d+-\d+ \((\d+) x\)", line[3 * depth :])
        times[depth] = times.get(depth - 1, 1) * (int(fold[1]) if fold else 1)
        for attached in re.findall(r" <- (.*?)(?=  \[|  x of|$)", line):
            total += times[depth] * sum(int(n.replace(",", "")) for n in re.findall(r"\(([\d,]+)\)", attached))
    return total


@pytest.fixture
def adapters():
    made = Adapters(tiny.model("bert"))
    made.add("movies", BottleneckConfig(size=2, sites=("attention",)), head=HEAD)
    made.add("<b>", LoRAConfig(rank=2, layers=(1,)))
    return made


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("unfold", [None, "bert.encoder.layer.1"])
def test_every_parameter_has_its_place(name, unfold):
    adapters = Adapters(tiny.model("bert"))
    adapters.add("a", EVERY[name], head=HEAD)
    assert f"a: {name} (" in tree(adapters, unfold=unfold)
    assert shown(tree(adapters, unfold=unfold)) == adapters.count("a")


def test_what_the_sites_share_is_at_the_root(adapters):
    adapters.add("c", CompacterConfig(size=4, n=2))
    adapters.add("p", PrefixTuningConfig(length=3, hidden=0))
    shared = " <- c, shared by its sites: compacter (8)"
    assert tree(adapters).splitlines()[0] == f"BertForSequenceClassification ({adapters.base_count():,}){shared}"
    assert " <- " not in tree(adapters, only="p").splitlines()[0]


def test_layers_are_folded_where_they_repeat(adapters):
    assert "0-1 (2 x): BertLayer" in tree(adapters, only="movies")
    assert "x of attention" in tree(adapters) and "word_embeddings" not in tree(adapters)
    assert "word_embeddings" in tree(adapters, leaves=True)
    assert "0-2 (3 x): Linear" in tree(nn.ModuleList(nn.Linear(2, 2) for _ in range(3)), leaves=True)
    lines = tree(adapters, only="<b>").splitlines()
    assert [line.strip("│ ")[:13] for line in lines if "BertLayer" in line] == ["├─ 0: BertLay", "└─ 1: BertLay"]
    assert [line.split("[")[1] for line in lines if " <- " in line] == [
        "query] <- <b>: lora (64)",
        "value] <- <b>: lora (64)",
    ]
    assert "; <b>" not in tree(adapters, only="movies") and "[head] <- movies: head (34)" in tree(adapters)


@pytest.mark.parametrize("case", tiny.CASES)
def test_an_unfolded_layer_has_all_its_sites_by_name(case):
    """In every family, and the rest of the tree as it was."""
    model = tiny.model(case)
    sites = find_sites(model)
    folded = tree(model)
    layers = repeated(model)
    assert layers
    for path in layers:
        text = tree(model, unfold=path)
        there = {s.name for s in sites.values() if f"{s.module}.".startswith(path + ".")}
        others = set(sites) - there
        assert {n for n in sites if f"[{n}]" in text} - others >= there
        assert not [n for n in others if f"[{n}]" in text and f"[{n}]" not in folded]
        inside = {p.rsplit(".")[-1] for p, _ in model.get_submodule(path).named_modules() if p}
        assert all(f" {name}: " in text or name.isdigit() for name in inside)
    assert tree(model) == folded


def test_an_unfolded_layer_stands_alone(adapters):
    text = tree(adapters, only="movies", unfold="bert.encoder.layer.0")
    assert "├─ 0: BertLayer" in text and "└─ 1: BertLayer" in text
    assert "[layers.0.attention] <- movies: bottleneck (82)" in text and "[layers.0.memory]" in text
    assert "[attention] <- movies: bottleneck (82)" in text and "[memory]" not in text
    plain = tree(nn.ModuleList(nn.Linear(2, 2) for _ in range(4)), unfold="1")
    assert [line[3:6] for line in plain.splitlines()[1:]] == ["0: ", "1: ", "2-3"]


def test_what_is_not_there_is_refused(adapters):
    with pytest.raises(UserError, match='no adapter "movie"; did you mean "movies"'):
        tree(adapters, only="movie")
    with pytest.raises(UserError, match='no module "bert.encoder.layer.2"'):
        tree(adapters, unfold="bert.encoder.layer.2")
    with pytest.raises(UserError, match='a bare model has no adapter "movies"'):
        tree(tiny.model("bert"), only="movies")


def test_the_widget(adapters):
    view = tree_view(adapters)
    assert repr(view.figure) == tree(adapters)
    assert view.summary == (
        f"BertForSequenceClassification has {len(adapters.sites)} sites; "
        "movies: bottleneck + head, 198 parameters at 3 sites; <b>: lora, 128 parameters at 2 sites"
    )
    view.adapter.value = "movies"
    assert "lora" not in repr(view.figure) + view.summary and "movies" in view.summary
    view.layer.value = "bert.encoder.layer.1"
    assert repr(view.figure) == tree(adapters, only="movies", unfold="bert.encoder.layer.1")
    view.adapter.value = view.layer.value = None
    assert repr(view.figure) == tree(adapters) and view.error is None
    adapters.delete("<b>")
    view.adapter.value = "<b>"
    assert view.error.startswith('no adapter "<b>"')


def test_it_begins_where_it_is_told_to(adapters):
    view = tree_view(adapters, "<b>")
    assert view.adapter.value == "<b>" and repr(view.figure) == tree(adapters, only="<b>")
    with pytest.raises(UserError, match='no adapter "lora"'):
        tree_view(adapters, "lora")


def test_without_adapters_it_shows_the_sites():
    view = tree_view(Adapters(tiny.model("gpt2")))
    assert "nothing is attached" in view.summary and "[attention]" in repr(view.figure)
    assert view.adapter.options == (("everything", None),)
    assert [path for _, path in view.layer.options] == [None, "transformer.h.0", "transformer.h.1"]


def test_it_is_read_and_reached_without_a_mouse(adapters):
    view = tree_view(adapters)
    assert [control.description for control in (view.adapter, view.layer)] == ["adapter", "unfold a layer"]
    page = view.figure._repr_html_()
    assert 'tabindex="0"' in page and 'role="region"' in page and "aria-label=" in page
    assert "&lt;b&gt;: lora (64)" in page and page.count("<b>") == sum(
        " <- " in line for line in tree(adapters).splitlines()
    )
    assert "<b>" not in Listing("a [b]\n")._repr_html_()
