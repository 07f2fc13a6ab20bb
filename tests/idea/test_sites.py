"""Sites, on a tiny random model of every family."""

from functools import partial

import pytest
import tiny
import torch
from torch import nn

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.families import FAMILIES
from adapterlab.methods import Bottleneck, BottleneckConfig, LayerNormConfig
from adapterlab.sites import find_layers, find_sites

POST_NORM = {
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "albert", "albert, two groups", "deberta",
    "deberta-v2", "deberta-v3", "mpnet", "bart", "opt, post-norm", "wav2vec2",
}  # fmt: skip

# by hand from the modelling files: the output projections of the first layer's sub-layers, in the order of the sites
PROJECTIONS = {
    "bert": ("bert.encoder.layer.0.attention.output.dense", "bert.encoder.layer.0.output.dense"),
    "distilbert": ("distilbert.transformer.layer.0.attention.out_lin", "distilbert.transformer.layer.0.ffn.lin2"),
    "albert": (
        "albert.encoder.albert_layer_groups.0.albert_layers.0.attention.dense",
        "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output",
    ),
    "mpnet": ("mpnet.encoder.layer.0.attention.attn.o", "mpnet.encoder.layer.0.output.dense"),
    "modernbert": ("model.layers.0.attn.Wo", "model.layers.0.mlp.Wo"),
    "bart": ("model.encoder.layers.0.self_attn.out_proj", "model.encoder.layers.0.fc2"),
    "t5": (
        "transformer.encoder.block.0.layer.0.SelfAttention.o",
        "transformer.encoder.block.0.layer.1.DenseReluDense.wo",
    ),
    "gpt2": ("transformer.h.0.attn.c_proj", "transformer.h.0.mlp.c_proj"),
    "gpt_neo": ("transformer.h.0.attn.attention.out_proj", "transformer.h.0.mlp.c_proj"),
    "gpt_neox": ("gpt_neox.layers.0.attention.dense", "gpt_neox.layers.0.mlp.dense_4h_to_h"),
    "llama": ("model.layers.0.self_attn.o_proj", "model.layers.0.mlp.down_proj"),
    "gemma3, with vision": (
        "model.language_model.layers.0.self_attn.o_proj",
        "model.language_model.layers.0.mlp.down_proj",
    ),
    "phi": ("model.layers.0.self_attn.dense", "model.layers.0.mlp.fc2"),
    "phi3": ("model.layers.0.self_attn.o_proj", "model.layers.0.mlp.down_proj"),
    "bloom": ("transformer.h.0.self_attention.dense", "transformer.h.0.mlp.dense_4h_to_h"),
    "vit": ("vit.layers.0.attention.o_proj", "vit.layers.0.mlp.fc2"),
    "whisper": ("model.encoder.layers.0.self_attn.out_proj", "model.encoder.layers.0.fc2"),
    "wav2vec2": ("wav2vec2.encoder.layers.0.attention.out_proj", "wav2vec2.encoder.layers.0.feed_forward.output_dense"),
}


def randomize(adapter):
    with torch.no_grad():
        for p in adapter.parameters():
            p.normal_(0, 0.3)


def test_every_family_has_a_case():
    assert {kind for kind, _, _ in tiny.CASES.values()} | {"clip_text_model"} == set(FAMILIES)
    assert len(FAMILIES) >= 30


@pytest.mark.parametrize("case", tiny.CASES)
def test_family(case):
    """The sites that every family has; `test_methods` trains, saves and detaches adapters at them."""
    model = tiny.model(case)
    sites = find_sites(model)
    assert {"attention", "feedforward", "norm", "block", "attention_dense", "outer"} <= {s.kind for s in sites.values()}
    labels = {name.split(".")[0] for name in find_layers(model)}
    for label in labels:
        assert f"{label}.0.attention" in sites and f"{label}.0.feedforward" in sites
    if labels == {"encoder", "decoder"}:
        assert "decoder.1.cross_attention" in sites and "encoder.0.cross_attention" not in sites


@pytest.mark.parametrize("case", tiny.CASES)
def test_every_site_is_real(case):
    """A scale at every site that puts something out, but the head's: the width fits, and the gradient says that y passes by there."""
    model = tiny.model(case)
    adapters = Adapters(model)
    elsewhere = ("head", "head map", "head norm", "memory", "prompt")
    adapters.add("a", LayerNormConfig(sites=tuple(n for n, s in adapters.sites.items() if s.form not in elsewhere)))
    randomize(adapters["a"])
    for name, p in adapters["a"].named_parameters():
        if name.endswith("scale"):
            p.data += 1
    adapters.train("a")
    out = tiny.output(model, tiny.inputs(model))
    (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    dead = [n for n, p in adapters["a"].named_parameters() if p.grad is None or not p.grad.any()]
    # a shift of the keys moves all scores of a query alike, and the softmax does not see it (without rotation)
    assert not [n for n in dead if not (n.endswith("shift") and ("key" in n or "qkv" in n))]


@pytest.mark.parametrize("case", PROJECTIONS)
def test_y_is_before_the_residual(case):
    """The adapters of a layer against the same bottlenecks written into its output projections by hand."""
    model = tiny.model(case)
    batch = tiny.inputs(model)
    first = next(iter(find_layers(model)))
    adapters = Adapters(model)
    adapters.add("a", BottleneckConfig(size=3, sites=(f"{first}.attention", f"{first}.feedforward")))
    randomize(adapters["a"])
    adapters.activate("a")
    ours = tiny.output(model, batch)
    pair = [adapters["a"].at[f"{first}.{kind}"][0] for kind in ("attention", "feedforward")]
    adapters.detach()

    class Edited(nn.Module):
        def __init__(self, projection, adapter):
            super().__init__()
            self.projection, self.adapter = projection, adapter
            if hasattr(projection, "weight"):
                self.weight = projection.weight

        def forward(self, x):
            y = self.projection(x)
            return y + self.adapter.up(nn.functional.gelu(self.adapter.down(y)))

    for path, adapter in zip(PROJECTIONS[case], pair, strict=True):
        parent, name = path.rsplit(".", 1)
        setattr(model.get_submodule(parent), name, Edited(model.get_submodule(path), adapter))
    torch.testing.assert_close(ours, tiny.output(model, batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", tiny.CASES)
def test_x_and_norm(case):
    """x is what the first linear map of the sub-layer gets; a site's norm gets x + y, and only post-norm models have one."""
    model = tiny.model(case)
    adapters = Adapters(model)
    sites = adapters.sites
    adapters.add("a", BottleneckConfig(size=2, std=1e-6))
    adapters.activate("a")
    seen, got, original = {}, {}, adapters.evaluate

    def evaluate(setup, name, x, y, norm=None):
        seen.setdefault(name, (x, y))
        return original(setup, name, x, y, norm)

    def note(module, args, kwargs, path):
        got.setdefault(path, args[0] if args else kwargs.get("hidden_states"))

    adapters.evaluate = evaluate
    for path, module in model.named_modules():
        module.register_forward_pre_hook(partial(note, path=path), with_kwargs=True)
    tiny.output(model, tiny.inputs(model))
    for name, (x, y) in seen.items():
        layer, kind = name.rsplit(".", 1)
        inner = ("query", "qkv") if kind == "attention" else ("gate", "gate_inner", "inner")
        first = next(sites[f"{layer}.{k}"] for k in inner if f"{layer}.{k}" in sites)
        assert torch.equal(x, got[first.module]), name
        site = sites[name]
        assert (site.norm is not None) == (case in POST_NORM)
        assert y.shape[-1] == site.width and x.shape[-1] == site.source_width
        if site.norm:
            torch.testing.assert_close(got[site.norm].view(y.shape), x + y)


def test_albert_counts_its_shared_layer_once():
    model = tiny.model("albert")
    assert find_layers(model) == {"shared.0": "albert.encoder.albert_layer_groups.0.albert_layers.0"}
    adapters = Adapters(model)
    adapters.add("a", BottleneckConfig(size=4))
    assert adapters.count("a") == 2 * (2 * 16 * 4 + 16 + 4)
    calls = []
    adapters["a"].at["shared.0.attention"][0].register_forward_hook(lambda *_: calls.append(1))
    adapters.activate("a")
    model(**tiny.inputs(model))
    assert len(calls) == model.config.num_hidden_layers == 3


class Unknown(nn.Module):
    """Of no family: no config, a list of blocks."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.ModuleDict({"mix": nn.Linear(8, 8), "norm": nn.LayerNorm(8)}) for _ in range(3))

    def forward(self, x):
        for block in self.blocks:
            x = block["norm"](x + block["mix"](x))
        return x


def test_unknown_family_by_pattern():
    with pytest.raises(UserError, match=r'model family "Unknown".*Adapters\(model, sites='):
        find_sites(Unknown())
    model, x = Unknown(), torch.randn(2, 8)
    adapters = Adapters(model, sites={"mix": r"blocks\.\d+\.mix", "norm": r"blocks\.\d+\.norm"})
    assert [s.layer for s in adapters.sites.values() if s.kind == "mix"] == [0, 1, 2]
    adapters.add("a", (BottleneckConfig(size=2, sites=("mix",), layers=(1,)), LayerNormConfig()), seed=0)
    randomize(adapters["a"])
    adapters.activate("a")
    mine: Bottleneck = adapters["a"].at["mix.blocks.1.mix"][0]
    got, want = model(x), x
    adapters.activate(None)
    for i, block in enumerate(model.blocks):
        y = block["mix"](want)
        z = block["norm"](want + (mine(None, y) if i == 1 else y))
        delta = adapters["a"].at[f"norm.blocks.{i}.norm"][0]
        want = delta(None, z)
    torch.testing.assert_close(got, want)


def test_extra_sites_of_a_known_family():
    model = tiny.model("qwen3")
    sites = find_sites(model, {"qk_norm": r".*\.self_attn\.[qk]_norm"})
    extra = [s for s in sites.values() if s.kind == "qk_norm"]
    assert len(extra) == 4 and extra[0].width == 8 and "layers.0.attention" in sites
    adapters = Adapters(model, sites={"qk_norm": r".*\.self_attn\.[qk]_norm"})
    adapters.add("a", LayerNormConfig(sites=("qk_norm",)))
    assert adapters.count("a") == 4 * 2 * 8


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"gate": "model.layers.0.mlp.gate_prj"}, 'no module of this model is called.*did you mean "model.layers.0.mlp.gate_proj"'),
        ({"gate": "("}, "is no regular expression"),
    ],
)  # fmt: skip
def test_bad_patterns(extra, message):
    with pytest.raises(UserError, match=message):
        find_sites(tiny.model("llama"), extra)
