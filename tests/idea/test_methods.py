"""Every method on a tiny random model of every family: one set of properties, and a table of what does not fit and why."""

import copy
from dataclasses import replace
from functools import cache

import pytest
import tiny
import torch
from recipes import EVERY
from tiny_bert import hooks, shake

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import METHODS, LoRAConfig, PrefixTuningConfig, houlsby, language, mix_and_match, unipelt


def smooth(recipe):
    """The recipe with tanh for relu: three units with relu can all be dead by chance."""
    return tuple(replace(config, act="tanh") if hasattr(config, "act") else config for config in recipe)


RECIPES = {
    **{name: (config,) for name, config in EVERY.items()},
    **{name: smooth((EVERY[name],)) for name in ("pfeiffer", "parallel")},
    "lora, stabilised": (LoRAConfig(rank=2, stabilised=True, dropout=0.1, sites=("attention_dense", "outer")),),
    "lora, pissa": (LoRAConfig(rank=2, start="pissa", dropout=0.1),),
    "lora, olora": (LoRAConfig(rank=2, start="olora", sites=("outer",)),),
    "prefix_tuning, direct": (PrefixTuningConfig(length=3, hidden=0),),
    "kadapter, linear": (replace(EVERY["kadapter"], fusion="linear", layers=(1,)),),
    "mix_and_match": smooth(mix_and_match(size=3, length=3, hidden=4)),
    "unipelt": smooth(unipelt(rank=2, length=3, size=3, hidden=4)),
    "language": smooth(language(size=3)),
    "houlsby and lora": (*houlsby(2), LoRAConfig(rank=2)),
}  # fmt: skip

# ---- what does not fit, and the words of the refusal

OWN_ATTENTION = (
    "deberta", "deberta-v2", "deberta-v3", "mpnet", "gpt_neo", "bloom", "falcon", "falcon, new", "falcon, sequential",
)  # fmt: skip
NO_TEXT = ("vit", "clip vision", "clip", "whisper", "whisper, classifying", "wav2vec2", "wav2vec2, pre-norm")
BERTS = (
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "deberta", "deberta-v2", "deberta-v3", "mpnet",
    "modernbert", "t5, encoder", "vit", "clip vision", "wav2vec2", "wav2vec2, pre-norm", "whisper, classifying",
)  # fmt: skip
MISFITS = {
    **{(r, c): "prefix_tuning does not fit this model: it needs an attention that goes through transformers'"
       for r in ("prefix_tuning", "prefix_tuning, direct", "mix_and_match", "unipelt") for c in OWN_ATTENTION},
    **{("prompt_tuning", c): "prompt_tuning does not fit this model: it needs a model that reads text" for c in NO_TEXT},
    **{(r, c): "kadapter attends in both directions beside one stack of separate layers"
       for r in ("kadapter", "kadapter, linear") for c in tiny.CASES if c not in BERTS},
    **{(r, "clip"): r"invertible: one coupling needs one even width, not \[16, 24\]" for r in ("invertible", "language")},
}  # fmt: skip

# ---- how near to the identity a new adapter is; the others have no such promise in their papers

EXACT = ("layernorm", "parallel", "lora", "lora, stabilised", "lora, pissa", "lora, olora", "vera", "shira", "oft", "ia3",
         "bitfit", "kadapter, linear")  # fmt: skip
NEAR = {"dora": 1e-5, "bottleneck": 2e-2, "pfeiffer": 2e-2, "variant": 0.3, "compacter": 1e-4, "language": 0.3,
        "invertible": 0.3, "houlsby and lora": 2e-2}  # fmt: skip

# ---- merging: what is a change of the weights, and where a bias is missing

MERGES = ("layernorm", "lora", "lora, stabilised", "lora, pissa", "lora, olora", "dora", "vera", "shira", "oft", "ia3",
          "bitfit")  # fmt: skip
RMS = ("t5", "t5, gated", "t5, encoder", "mt5", "umt5", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2",
       "gemma3_text", "gemma3, with vision", "phi3", "modernbert")  # fmt: skip
NO_BIAS = {
    "layernorm": RMS,
    "bitfit": (*RMS, "deberta", "gpt_neo", "falcon", "falcon, new", "falcon, sequential", "whisper",
               "whisper, classifying"),
}  # fmt: skip


@cache
def frozen(case):
    """(model, its inputs, its output): shared by all tests, since every one must leave it as it was."""
    model = tiny.model(case)
    batch = tiny.inputs(model)
    if case == "clip":
        batch["input_ids"][:, -1] = 59  # CLIP looks at the largest token: let it be the last, which sees all others
    with torch.no_grad():
        return model, batch, tiny.output(model, batch)


@pytest.fixture
def fresh(case):
    """`frozen`, taken off again and compared whatever happens."""
    model, batch, before = frozen(case)
    keys, kind, own = list(model.state_dict()), type(model), hooks(model)
    yield model, batch, before
    if hasattr(model, "adapterlab"):  # the test has failed
        return frozen.cache_clear()
    assert list(model.state_dict()) == keys and type(model) is kind
    assert hooks(model) == own
    with torch.no_grad():
        assert torch.equal(tiny.output(model, batch), before)


def probe(out):
    """A number with a gradient from everywhere."""
    return (out.float() * torch.randn(out.shape, generator=torch.Generator().manual_seed(1))).sum()


PAIRS = [(recipe, case) for case in tiny.CASES for recipe in RECIPES]


def test_every_method_is_here():
    here = {config.name for recipe in RECIPES.values() for config in recipe}
    assert here | {"head", "fusion"} == set(METHODS)


@pytest.mark.parametrize(("recipe", "case"), PAIRS)
def test_method(recipe, case, fresh, tmp_path):
    """Fits or says why not; counts, starts, trains, saves, loads, merges, runs in bfloat16, detaches."""
    model, batch, before = fresh
    adapters = Adapters(model)
    if (recipe, case) in MISFITS:
        with pytest.raises(UserError, match=MISFITS[recipe, case]):
            adapters.add("a", RECIPES[recipe])
        assert len(adapters) == 0
        adapters.detach()
        return
    adapter = adapters.add("a", RECIPES[recipe], seed=0)
    assert adapters.count("a") == sum(config.total(adapters.sites) for config in RECIPES[recipe])

    with torch.no_grad(), adapters.use("a"):
        start = tiny.output(model, batch)
    if recipe in EXACT:
        torch.testing.assert_close(start, before, rtol=1e-6, atol=1e-6)
    elif recipe in NEAR:
        assert (start - before).abs().max() <= NEAR[recipe] * before.abs().max()

    shake(adapter)
    parameters = adapters.train("a")
    out = tiny.output(model, batch)
    assert out.shape != before.shape or (out - before).abs().max() > 1e-4
    probe(out).backward()
    dead = [n for n, p in adapter.named_parameters() if p.grad is None or not p.grad.any()]
    # a shift of the keys moves all scores of a query alike, and the softmax does not see it (without rotation)
    assert not [n for n in dead if not (n.endswith("bitfit.delta") and ("key" in n or "qkv" in n))]
    assert all(p.grad is None for n, p in model.named_parameters() if not n.startswith("adapterlab."))

    torch.optim.SGD(parameters, 0.01).step()
    with torch.no_grad():
        trained = tiny.output(model, batch)
        adapters.save("a", tmp_path / "a")
        adapters.load(tmp_path / "a", "b")
        with adapters.use("b"):
            assert torch.equal(tiny.output(model, batch), trained)
    adapters.delete("b")

    if recipe in MERGES and case not in NO_BIAS.get(recipe, ()):
        merges(adapters, model, batch, trained)
    else:
        says = "has no bias that could hold" if recipe in MERGES else "is not a change of the weights alone"
        with pytest.raises(UserError, match=f'"a" cannot be merged: .*{says}'):
            adapters.merge("a")

    half = copy.deepcopy(model).to(torch.bfloat16)
    coarse = tiny.output(half, {k: v.bfloat16() if v.is_floating_point() else v for k, v in batch.items()})
    assert coarse.dtype == torch.bfloat16 and torch.isfinite(coarse).all()
    probe(coarse).backward()
    assert all(torch.isfinite(p.grad).all() for p in half.adapterlab.parameters() if p.grad is not None)
    adapters.detach()


def merges(adapters, model, batch, trained):
    with torch.no_grad():
        adapters.activate(None)
        bare = tiny.output(model, batch)
        adapters.merge("a")
        assert adapters.active is None
        torch.testing.assert_close(
            tiny.output(model, batch), trained, rtol=1e-5, atol=1e-5 * trained.abs().max().item()
        )
        adapters.unmerge()
        assert torch.equal(tiny.output(model, batch), bare)
        adapters.activate("a")
        assert torch.equal(tiny.output(model, batch), trained)
