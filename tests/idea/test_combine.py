"""Merging the weights of adapters, against the sums that they stand for, written out."""

import numpy as np
import pytest
import torch
from test_compose import HEAD, RECIPES, run, same, shake, trio
from tiny_bert import hooks, same_state, snapshot, tiny_bert, tokens

from adapterlab.adapters import Adapters
from adapterlab.combine import WAYS, change, distance
from adapterlab.compose import Average
from adapterlab.errors import UserError
from adapterlab.methods import (
    BitFitConfig,
    BottleneckConfig,
    DoRAConfig,
    IA3Config,
    LayerNormConfig,
    LoRAConfig,
    OFTConfig,
    VeRAConfig,
    houlsby,
)

SITE = "layers.1.query"


def loras(*ranks, head=None, **settings):
    adapters = Adapters(tiny_bert())
    for name, rank in zip("abc", ranks, strict=False):
        adapters.add(name, LoRAConfig(rank=rank, **settings), head=head)
    shake(adapters)
    return adapters


def delta(adapters, name, site=SITE):
    """B A scaled, from the adapter's effect on the unit vectors and so from no formula of the code's own."""
    eye = torch.eye(16)
    with torch.no_grad():
        return adapters.evaluate(name, site, eye, torch.zeros(16, 16)).T


# ---- every method


@pytest.mark.parametrize("kind", RECIPES)
def test_the_mean_of_one_and_the_same(kind):
    adapters = trio(RECIPES[kind])
    if kind == "head":
        with pytest.raises(UserError, match="heads only"):
            adapters.combine("twice", {"a": 0.25, "b": 0.75})
        return
    adapters.add("again", RECIPES[kind])
    adapters["again"].load_state_dict(adapters["a"].state_dict())
    adapters.combine("twice", ["a", "again"])
    same(run(adapters, "twice"), run(adapters, "a"))
    adapters.combine("first", {"a": 1, "b": 0})
    same(run(adapters, "first"), run(adapters, "a"))
    adapters.combine("mean", {"a": 0.25, "b": 0.75})
    for key, value in adapters["mean"].state_dict().items():
        a, b = adapters["a"].state_dict()[key], adapters["b"].state_dict()[key]
        if value.is_floating_point():
            same(value, 0.25 * a + 0.75 * b)


def test_layernorm_is_linear():
    """The mean of the weights is the mean of the outputs at a site, and nothing added to nothing is nothing."""
    adapters = trio((LayerNormConfig(),))
    adapters.combine("mean", ["a", "b"])
    x = torch.randn(2, 3, 16)
    got, want = (adapters.evaluate(s, "layers.0.norm.1", x, x) for s in ("mean", Average("a", "b")))
    same(got, want)
    adapters.add("new", LayerNormConfig())
    adapters.combine("nothing", {"new": 5.0})
    same(run(adapters, "nothing"), run(adapters, None))
    adapters.combine("twice", {"a": 2})
    change_of = {n: adapters.evaluate(n, "layers.0.norm.1", x, x) - x for n in ("a", "twice")}
    same(change_of["twice"], 2 * change_of["a"])


# ---- LoRA


def test_concatenated_lora_is_the_exact_sum():
    """Of different ranks and scales, with weights of both signs; the rank is the sum of the ranks."""
    adapters = loras(2, 3, 1, alpha=5)
    parts = {"a": 0.5, "b": -1.5, "c": 2}
    adapters.combine("sum", parts, "concatenate")
    for site in adapters["sum"].at:
        same(delta(adapters, "sum", site), sum(w * delta(adapters, n, site) for n, w in parts.items()))
    assert adapters["sum"].info.recipe[0].rank == 6 and distance(adapters, "sum", parts) < 1e-6
    assert delta(adapters, "sum").abs().max() > 0.1


def test_linear_lora_has_cross_terms():
    adapters = loras(2, 2)
    adapters.combine("linear", {"a": 1, "b": 1})
    a, b = (adapters[n].at[SITE][0] for n in "ab")
    same(delta(adapters, "linear"), a.scale * (a.B + b.B) @ (a.A + b.A))
    assert distance(adapters, "linear", {"a": 1, "b": 1}) > 0.1


def test_svd_is_the_nearest_of_its_rank():
    """Eckart and Young: the error is the norm of the singular values that are left out; with rank enough there is none."""
    adapters = loras(3, 2)
    adapters.combine("best", ["a", "b"], "svd", rank=2)
    true = 0.5 * delta(adapters, "a") + 0.5 * delta(adapters, "b")
    left = torch.linalg.svdvals(true)[2:].square().sum().sqrt()
    same((delta(adapters, "best") - true).norm(), left)
    adapters.combine("all", ["a", "b"], "svd", rank=5)
    same(delta(adapters, "all"), true)
    adapters.combine("default", ["a", "b"], "svd")
    assert adapters["default"].info.recipe[0].rank == 3
    near = {n: distance(adapters, n, ["a", "b"]) for n in ("best", "default", "all")}
    assert near["best"] > near["default"] > near["all"] and near["all"] < 1e-6


@pytest.mark.parametrize("way", WAYS)
def test_negation_of_a_lora(way):
    adapters = loras(2)
    adapters.combine("minus", {"a": -1}, way, density=1.0)
    same(delta(adapters, "minus"), -delta(adapters, "a"))


@pytest.mark.parametrize(
    "recipe", [BottleneckConfig(size=4), IA3Config(), LayerNormConfig(), BitFitConfig()], ids=lambda c: c.name
)
def test_negation_takes_away_what_is_added(recipe):
    adapters = trio((recipe,))
    adapters.combine("minus", {"a": -1})
    for site, (module,) in adapters["a"].at.items():
        x = torch.randn(2, 3, adapters.sites[site].source_width)
        y = torch.randn(2, 3, adapters.sites[site].width)
        same(adapters["minus"].at[site][0](x, y) - y, y - module(x, y))


# ---- TIES and DARE


def test_ties_by_hand():
    """Keep the larger half of each, elect the sign of the sum, mean of those that agree, times the sum of weights."""
    one = torch.tensor([4.0, -3.0, 0.1, 2.0, 0.2, 0.0])
    two = torch.tensor([2.0, 5.0, 0.3, 0.1, -6.0, 0.0])
    # kept: one 4 -3 . 2 . .   two 2 5 . . -6 .   sign: + + . + - .
    assert WAYS["ties"]([(one, 0.5), (two, 0.5)], 0.5).tolist() == pytest.approx([3, 5, 0, 2, -6, 0])
    assert WAYS["ties"]([(one, 1), (two, 1)], 0.5).tolist() == pytest.approx([6, 10, 0, 4, -12, 0])
    # weights 1 and 3, out of a sum of 4: of the first value (1 * 4 + 3 * 2) / 4, times 4
    assert WAYS["ties"]([(one, 1), (two, 3)], 0.5).tolist() == pytest.approx([10, 20, 0, 8, -24, 0])


def test_dare():
    """A share of `density` is kept and scaled up, so that the expectation is the sum; the seed says which."""
    torch.manual_seed(0)
    t = torch.ones(100_000)
    got = WAYS["dare"]([(t, 2.0)], 0.25)
    assert set(got.tolist()) == {0.0, 8.0} and got.mean().item() == pytest.approx(2, rel=0.02)
    assert torch.equal(WAYS["dare"]([(t, 2.0), (t, 1.0)], 1.0), 3 * t)


@pytest.mark.parametrize("way", ["ties", "dare"])
def test_on_lora_they_work_on_the_change_itself(way):
    """Not on A and B, which are no numbers of their own: turned by any invertible matrix they say the same."""
    adapters = loras(2, 2)
    turn = torch.tensor([[2.0, 1.0], [0.5, 1.0]])
    adapters.add("turned", LoRAConfig(rank=2))
    adapters["turned"].load_state_dict(adapters["a"].state_dict())
    for modules in adapters["turned"].at.values():
        modules[0].B.data = modules[0].B.data @ turn
        modules[0].A.data = torch.linalg.inv(turn) @ modules[0].A.data
    rng = torch.get_rng_state()
    for name in ("a", "turned"):
        adapters.combine(f"{name} b", [name, "b"], way, density=0.5, rank=16, seed=3)
    same(delta(adapters, "a b"), delta(adapters, "turned b"))
    want = WAYS["ties"]([(change(adapters[n].at[SITE][0]), 0.5) for n in "ab"], 0.5)
    if way == "ties":
        same(delta(adapters, "a b"), want)
    assert torch.equal(torch.get_rng_state(), rng)
    adapters.combine("all", ["a", "b"], way, density=1.0)
    assert adapters["all"].info.recipe[0].rank == 4


@pytest.mark.parametrize("way", ["ties", "dare"])
def test_on_bottlenecks(way):
    adapters = trio(houlsby(4))
    adapters.combine("one", {"a": 1}, way, density=1.0)
    same(run(adapters, "one"), run(adapters, "a"))
    adapters.combine("part", ["a", "b"], way, density=0.5, seed=1)
    adapters.combine("same", ["a", "b"], way, density=0.5, seed=1)
    assert same_state(adapters["part"].state_dict(), adapters["same"].state_dict())
    assert (run(adapters, "part") - run(adapters, "a")).abs().max() > 1e-3


# ---- heads, errors


def test_heads():
    adapters = loras(2, 2, head=("no", "yes"))
    adapters.add("other", LoRAConfig(rank=2), head=("x", "y", "z"))
    adapters.combine("mean", {"a": 1, "b": 3}, "svd")
    weight = {n: adapters[n].at["head"][0].linear.weight for n in ("a", "b", "mean")}
    same(weight["mean"], 0.25 * weight["a"] + 0.75 * weight["b"])
    adapters.combine("taken", ["a", "other"], head="other")
    assert adapters["taken"].info.recipe[-1] == adapters["other"].info.head
    assert torch.equal(adapters["taken"].at["head"][0].linear.weight, adapters["other"].at["head"][0].linear.weight)
    adapters.combine("none", ["a", "other"], head=None)
    assert "head" not in adapters["none"].at
    adapters.combine("minus", {"a": -1})
    assert torch.equal(adapters["minus"].at["head"][0].linear.weight, weight["a"])


BAD = [
    (["a", "other"], "linear", {}, "other labels"),
    ({"a": 1, "b": -1}, "svd", {}, "say whose"),
    (["a", "b"], "averaged", {}, "known: linear"),
    (["a", "b"], "mean", {}, "unknown way"),
    ([], "linear", {}, "at least one|one or more"),
    ({"a": float("nan")}, "linear", {}, "finite"),
    ({"a": "1"}, "linear", {}, "finite"),
    (["a", "d"], "linear", {}, 'no adapter "d"'),
    (["a", "wide"], "linear", {"head": None}, "several ranks"),
    (["a", "down"], "svd", {"head": None}, "differ in their methods"),
    (["down"], "svd", {}, "for LoRA alone"),
    (["down"], "concatenate", {}, "for LoRA alone"),
    (["a", "b"], "concatenate", {"rank": 3}, "has the rank 4"),
    (["a", "b"], "svd", {"rank": 17}, "wider than the site"),
    (["a", "b"], "svd", {"rank": 0.5}, "whole number"),
    (["a", "b"], "ties", {"density": 0}, "share of values"),
    (["a", "b"], "linear", {"head": "c"}, "none of the parts"),
    ({"prefix": -1}, "linear", {}, "cannot be taken away"),
]


@pytest.mark.parametrize(("parts", "way", "more", "message"), BAD)
def test_what_does_not_fit(parts, way, more, message):
    adapters = loras(2, 2, head=("no", "yes"))
    adapters.add("other", LoRAConfig(rank=2), head=("x", "y", "z"))
    adapters.add("wide", LoRAConfig(rank=3))
    adapters.add("down", BottleneckConfig(size=2))
    adapters.add("prefix", RECIPES["prefix_tuning"])
    before, state, count, rng = (list(adapters), snapshot(adapters.model), hooks(adapters.model), torch.get_rng_state())
    with pytest.raises(UserError, match=message) as caught:
        adapters.combine("new", parts, way, **more)
    assert "\n" not in str(caught.value) and list(adapters) == before and hooks(adapters.model) == count
    assert same_state(adapters.model.state_dict(), state) and torch.equal(torch.get_rng_state(), rng)
    with pytest.raises(UserError, match="already"):
        adapters.combine("a", ["a", "b"])


def test_what_comes_out_is_an_adapter_like_any_other(tmp_path):
    adapters = trio(RECIPES["lora"])
    adapters.combine("sum", ["a", "b"], "concatenate")
    fresh = Adapters(tiny_bert())
    fresh.load(adapters.save("sum", tmp_path / "sum"), "x")
    assert torch.equal(run(fresh, "x"), run(adapters, "sum"))
    parameters = adapters.train("sum")
    adapters.model(**tokens()).logits.sum().backward()
    assert parameters and all(p.grad is not None and p.is_leaf for p in parameters)
    assert adapters["sum"].info.head.labels == HEAD.labels


# ---- any method that merges, as a LoRA


LOW = {"lora": LoRAConfig(rank=3, stabilised=True), "vera": VeRAConfig(rank=4), "dora": DoRAConfig(rank=2),
       "ia3": IA3Config(sites="hidden"), "pissa": LoRAConfig(rank=2, start="pissa"), "oft": OFTConfig(size=4),
       "two": (LoRAConfig(rank=2), VeRAConfig(rank=2, sites="inner"))}  # fmt: skip


def to_be_lora(recipe):
    adapters = Adapters(tiny_bert().double())
    adapters.add("a", recipe, head=("no", "yes"), pooling="model", seed=0)
    adapters["a"].double()
    shake(adapters)
    return adapters


@pytest.mark.parametrize("kind", LOW)
@pytest.mark.parametrize("rank", [1, 16])
def test_as_a_lora_and_how_far_it_is_off(kind, rank, tmp_path):
    """The weights that merging writes give the change, numpy its singular values: those cut off are the error."""
    adapters = to_be_lora(LOW[kind])
    before = snapshot(adapters.model)
    report = adapters.to_lora("a", "lora", rank=rank)
    assert all(torch.equal(p, before[k]) for k, p in adapters.model.state_dict().items() if ".lora." not in k)
    adapters.merge("a")
    changed = [key for key in before if not key.startswith(("adapterlab", "classifier"))]
    changes = {key: (adapters.model.state_dict()[key] - before[key]).numpy() for key in changed}
    changes = {key.removesuffix(".weight"): change for key, change in changes.items() if change.any()}
    adapters.unmerge()
    assert {adapters.sites[row["site"]].module for row in report} == changes.keys()
    for row in report:
        values = np.linalg.svd(changes[adapters.sites[row["site"]].module])[1]
        tail = np.sqrt((values[rank:] ** 2).sum() / (values**2).sum())
        assert abs(row["error"] - tail) < 1e-6 and row["bias"] == 0
        assert row["rank"] == sum(np.sqrt(np.cumsum(values[::-1] ** 2)[::-1] / (values**2).sum()) > 1e-5)
    gap = (run(adapters, "lora") - run(adapters, "a")).abs().max()
    assert gap < 1e-5 if rank == 16 else gap > 1e-3
    if kind == "pissa":
        with pytest.raises(UserError, match='"a": with start="pissa" its first product is taken out; adapters.to_lora'):
            adapters.export("a", tmp_path / "a", "peft")
        with pytest.raises(UserError, match='a LoRA with start="pissa" brings its first product along'):
            adapters.combine("sum", ["a"])
    name = adapters.adopt(adapters.export("lora", tmp_path / "lora", "peft"), "back")
    torch.testing.assert_close(run(adapters, name), run(adapters, "lora"), rtol=1e-5, atol=1e-5)


def test_a_bias_is_refused_or_told():
    adapters = to_be_lora(IA3Config(sites="key"))
    with pytest.raises(UserError, match='the bias at 2 sites, "layers.0.key" first; bias="drop"'):
        adapters.to_lora("a", "lora", rank=16)
    rows = adapters.to_lora("a", "lora", rank=16, bias="drop")
    frozen = adapters.model.bert.encoder.layer[1].attention.self.key.bias
    lost = (frozen * (adapters["a"].at["layers.1.key"][0].scale - 1)).norm().item()
    assert rows[1]["bias"] == pytest.approx(lost) and rows[1]["error"] < 1e-6


@pytest.mark.parametrize(
    ("recipe", "settings", "message"),
    [
        (BottleneckConfig(size=2), {}, "Bottleneck at .* is not a change of the weights alone"),
        (LayerNormConfig(), {}, "which is no matrix"),
        (BitFitConfig(sites="query"), {}, "changes the bias at 2 sites"),
        (LoRAConfig(rank=2), {"rank": 17}, "rank 17 is wider"),
        (LoRAConfig(rank=2), {"rank": 0}, "at least 1"),
        (LoRAConfig(rank=2), {"bias": "keep"}, "known: "),
        ((), {}, "a head alone"),
    ],
)
def test_what_is_no_lora(recipe, settings, message):
    adapters = to_be_lora(recipe)
    before, rng = snapshot(adapters.model), torch.get_rng_state()
    with pytest.raises(UserError, match=message):
        adapters.to_lora("a", "lora", **settings)
    assert list(adapters) == ["a"] and same_state(adapters.model.state_dict(), before)
    assert torch.equal(torch.get_rng_state(), rng)
