"""Merging: what it writes is exact, what it takes out is bit for bit, and what it refuses changes nothing."""

import copy

import pytest
import tiny
import torch
from refused import refused
from tiny_bert import hooks, logits, ready, same_state, shake, snapshot, tiny_bert

from adapterlab import methods
from adapterlab.adapters import Adapters
from adapterlab.compose import Stack
from adapterlab.errors import UserError
from adapterlab.files import share

RECIPES = {
    "dora elsewhere": methods.DoRAConfig(rank=2, sites=("query", "outer")),
    "scale, then lora": (methods.IA3Config(), methods.LoRAConfig(rank=2, sites=("value", "outer"))),
    "lora, then scale": (methods.LoRAConfig(rank=2, sites=("value", "outer")), methods.IA3Config(), methods.LayerNormConfig(), methods.BitFitConfig()),
}  # fmt: skip


@pytest.fixture
def model():
    return tiny_bert()


@pytest.mark.parametrize("recipe", RECIPES)
def test_exact_both_ways(recipe, model):
    """Of several at a time; each by itself, on every family, is in test_methods.py."""
    bare, state = logits(model), snapshot(model)
    adapters = ready(model, RECIPES[recipe])
    active = logits(model)
    assert (active - bare).abs().max() > 1e-2
    adapters.merge("a")
    assert adapters.active is None and adapters.merged == "a"
    torch.testing.assert_close(logits(model), active, rtol=1e-5, atol=1e-5)
    adapters.unmerge()
    assert adapters.merged is None and torch.equal(logits(model), bare)
    adapters.activate("a")
    assert torch.equal(logits(model), active)
    adapters.detach()
    assert same_state(model.state_dict(), state)


def test_the_weights_are_those_of_the_paper(model):
    """W + (alpha / r) B A, by hand, at query and value and nowhere else."""
    state = snapshot(model)
    adapters = ready(model, methods.LoRAConfig(rank=2, alpha=6))
    adapters.merge("a")
    moved = {
        k for k, v in model.state_dict().items() if not k.startswith("adapterlab") and not torch.equal(v, state[k])
    }
    assert moved == {f"bert.encoder.layer.{i}.attention.self.{k}.weight" for i in (0, 1) for k in ("query", "value")}
    for i in (0, 1):
        for kind in ("query", "value"):
            path, lora = (f"bert.encoder.layer.{i}.attention.self.{kind}", adapters["a"].at[f"layers.{i}.{kind}"][0])
            want = state[f"{path}.weight"] + 3.0 * lora.B.data @ lora.A.data
            torch.testing.assert_close(model.get_submodule(path).weight.data, want)


def test_the_head_goes_along(model):
    adapters = ready(model, methods.LoRAConfig(rank=2), head=("x", "y"))
    active = logits(model)
    adapters.merge("a")
    torch.testing.assert_close(logits(model), active, rtol=1e-5, atol=1e-5)
    adapters.unmerge()
    ready(model, methods.LoRAConfig(rank=2), "b", head=("x", "y", "z"))
    refuses(adapters, '"b" has a head for 3 labels and the model\'s own has 2: load .* labels=3', "b")


def test_another_adapter_runs_on_the_merged_weights(model):
    adapters = ready(model, methods.LoRAConfig(rank=2))
    ready(model, methods.houlsby(3), "b")
    adapters.activate(Stack("a", "b"))
    both = logits(model)
    adapters.merge("a")
    adapters.activate("b")
    torch.testing.assert_close(logits(model), both, rtol=1e-5, atol=1e-5)


def test_unload(model):
    """A plain model with the adapter's effect: no hook, no submodule, its own names."""
    keys = list(model.state_dict())
    adapters = ready(model, methods.LoRAConfig(rank=2))
    active = logits(model)
    plain = adapters.merge_and_unload("a")
    assert plain is model and list(model.state_dict()) == keys and hooks(model) == 0
    torch.testing.assert_close(logits(model), active, rtol=1e-5, atol=1e-5)


def test_detach_takes_a_merged_adapter_out(model):
    bare = logits(model)
    adapters = ready(model, methods.LoRAConfig(rank=2))
    adapters.merge("a")
    assert not torch.equal(logits(model), bare)
    adapters.detach()
    assert torch.equal(logits(model), bare) and adapters.merged is None


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision(kind):
    """As near as the half-precision weights can be, and out again bit for bit."""
    model = tiny_bert().to(kind)
    bare = logits(model)
    adapters = ready(model, methods.LoRAConfig(rank=2, alpha=2))
    active = logits(model)
    adapters.merge("a")
    assert (logits(model) - active).abs().max() < 0.1 * (active - bare).abs().max() + 0.02
    adapters.unmerge()
    assert torch.equal(logits(model), bare)


# ---- refusals: one sentence, and nothing has changed


def refuses(adapters, message, name="a"):
    with refused(adapters, message):
        adapters.merge(name)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (
            methods.houlsby(3),
            '"a" cannot be merged: Bottleneck at "layers.0.attention" is not a change of the weights alone',
        ),
        (methods.PfeifferConfig(size=3), "Pfeiffer at"),
        (
            methods.LayerNormConfig(sites="hidden"),
            'ScaleShift at "layers.0.hidden" is not a change of the weights alone',
        ),
        (methods.LoRAConfig(rank=2, gated=True), "Gated at"),
        ((methods.IA3Config(), methods.DoRAConfig(rank=2, sites="value")), "DoRA at .* must be the first method there"),
    ],
)
def test_what_is_not_linear(recipe, message, model):
    refuses(ready(model, recipe), message)


def test_a_weight_that_is_shared():
    """A tied output matrix: merging would change the input embeddings; untied, as the error says, it goes in."""
    model = tiny.model("gpt2, generating")
    adapters = Adapters(model, {"out": "lm_head"})
    shake(adapters.add("a", methods.LoRAConfig(rank=2, sites="out"), seed=0))
    refuses(adapters, r'"lm_head" shares its weight with "transformer.wte", .*: (model.lm_head.weight = .*)')
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
    adapters.activate("a")
    batch = tiny.inputs(model)
    active = model(**batch).logits
    adapters.merge("a")
    torch.testing.assert_close(model(**batch).logits, active, rtol=1e-4, atol=1e-4)


def test_merging_twice(model):
    adapters = ready(model, methods.LoRAConfig(rank=2))
    ready(model, methods.LoRAConfig(rank=2), "b")
    adapters.merge("a")
    refuses(adapters, '"a" is merged into this model already; unmerge it first', "a")
    refuses(adapters, '"a" is merged into this model already; unmerge it first', "b")


def test_merging_while_training(model):
    adapters = ready(model, methods.LoRAConfig(rank=2))
    model.train()
    refuses(adapters, "while the model is in training mode; call model.eval")
    model.eval()
    with adapters.use("a"):
        refuses(adapters, "is in use in this `with` block")


def test_what_a_merged_adapter_cannot_do(model, tmp_path):
    adapters = ready(model, methods.LoRAConfig(rank=2))
    adapters.save("a", tmp_path / "a")
    adapters.merge("a")
    for action in (
        lambda: adapters.activate("a"),
        lambda: adapters.train("a"),
        lambda: adapters.use("a").__enter__(),
        lambda: adapters.delete("a"),
        lambda: adapters.save("a", tmp_path / "b"),
        lambda: adapters.load(tmp_path / "a", "c"),
        lambda: share.pack(adapters, "a", tmp_path / "a.zip"),
        lambda: share.read(adapters, tmp_path / "a", "c"),
    ):
        with pytest.raises(UserError, match='"a" is merged into the weights; call adapters.unmerge'):
            action()
    adapters.unmerge()
    with pytest.raises(UserError, match="nothing is merged"):
        adapters.unmerge()
    adapters.detach()
    with pytest.raises(UserError, match="are detached"):
        adapters.merge("a")


def test_a_copy_of_a_merged_model_is_its_own(model):
    adapters = ready(model, methods.LoRAConfig(rank=2))
    adapters.merge("a")
    merged = logits(model)
    copied = copy.deepcopy(model)
    adapters.unmerge()
    assert torch.equal(logits(copied), merged) and not torch.equal(logits(model), merged)
