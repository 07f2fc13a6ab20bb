"""Our adapters for the tests of the formats: recipes with weights that matter, on the base that the peers used."""

import hashlib
from pathlib import Path

import torch
from make_formats import HERE, base_of, inputs, scramble
from safetensors.torch import load_file, save
from transformers import AutoModelForSequenceClassification

from adapterlab.adapters import Adapters
from adapterlab.methods import (
    BottleneckConfig,
    CompacterConfig,
    DoRAConfig,
    IA3Config,
    LayerNormConfig,
    LoRAConfig,
    ParallelConfig,
    PfeifferConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    VeRAConfig,
)

__all__ = ["HEADS", "HERE", "OURS", "adapted", "digest", "every", "fresh", "inputs", "logits", "scramble"]

ALL = ("query", "key", "value", "inner", "outer")
OURS = {
    "peft": {
        "lora": LoRAConfig(rank=4, alpha=8),
        "lora_upper": LoRAConfig(rank=2, alpha=16, sites=("inner", "attention_dense"), layers=(1,)),
        "rslora": LoRAConfig(rank=4, alpha=16, stabilised=True, dropout=0.1),
        "dora": DoRAConfig(rank=4, alpha=16, sites=("query", "outer")),
        "ia3": IA3Config(),
        "ia3_output": IA3Config(sites=("key", "value", "inner")),
        "layernorm": LayerNormConfig(),
        "layernorm_upper": LayerNormConfig(layers=(1,)),
        "prompt": PromptTuningConfig(length=4),
        "vera": VeRAConfig(rank=4, seed=3, sites=("query", "outer")),
        "prefix": PrefixTuningConfig(length=3, hidden=5, counted=True, sites="memory"),
        "prefix_flat": PrefixTuningConfig(length=3, hidden=0, counted=True, sites="memory"),
    },
    "adapterhub": {
        "houlsby": BottleneckConfig(size=4, act="swish"),
        "houlsby_upper": BottleneckConfig(size=3, act="gelu", layers=(1,)),
        "attention": BottleneckConfig(size=6, act="relu", sites="attention"),
        "pfeiffer": PfeifferConfig(size=4),
        "pfeiffer2": PfeifferConfig(size=7, act="tanh"),
        "parallel": ParallelConfig(size=4, scale=2.5),
        "compacter": CompacterConfig(size=8, n=2, rank=2),
        "lora": LoRAConfig(rank=4, alpha=8),
        "rslora": LoRAConfig(rank=4, alpha=8, stabilised=True, sites=ALL),
        "ia3": IA3Config(sites=("key", "value", "inner")),
        "prefix": PrefixTuningConfig(length=3, hidden=5, sites="memory"),
        "prefix_flat": PrefixTuningConfig(length=3, hidden=0, sites="memory"),
    },
}


# heads that read in another way than the rest: name, which says the base -> pooling
HEADS = {
    "peft": {"own_pooler": "own", "roberta_model": "model", "electra_own": "own"},
    "adapterhub": {
        "own_pooler": "own", "first": "first", "roberta_model": "model", "roberta_first": "first", "electra_own": "own"
    },
}  # fmt: skip


def fresh(case: str = "", seed: int = 0):
    torch.manual_seed(seed)  # of what the base lacks
    model = AutoModelForSequenceClassification.from_pretrained(HERE / base_of(case), num_labels=3).eval()
    model.config._name_or_path = base_of(case)  # as the peers have it, who work in that folder
    return Adapters(model)


def every(form: str):
    """(name, its Adapters) of all that is written in a format."""
    adapters = adapted(form)
    yield from ((name, adapters) for name in adapters)
    for i, (name, pooling) in enumerate(HEADS[form].items()):
        adapters = fresh(name)
        adapters.add(name, LoRAConfig(rank=2, alpha=16), head=("bad", "fair", "good"), seed=i, pooling=pooling)
        scramble(adapters[name].parameters(), seed=30 + i)
        yield name, adapters


def adapted(form: str):
    """Every recipe of the format on one base, each with a head; AdapterHub's with a fusion of the two Pfeiffers."""
    adapters = fresh()
    for i, (name, recipe) in enumerate(OURS[form].items()):
        adapters.add(name, recipe, head=("bad", "fair", "good"), seed=i)
    if form == "adapterhub":
        adapters.add_fusion(["pfeiffer", "pfeiffer2"], name="both", head=("bad", "fair", "good"), seed=1)
    for i, name in enumerate(adapters):
        scramble(adapters[name].parameters(), seed=10 + i)
    return adapters


def logits(adapters, setup):
    with torch.no_grad(), adapters.use(setup):
        return adapters.model(**inputs()).logits


def digest(folder: Path) -> str:
    """Of what a peer reads in an exported folder: without the names of labels, which are metadata, and the README."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.suffix != ".md"):
        tensors = path.suffix == ".safetensors"
        whole.update(path.name.encode() + (save(load_file(path), {"format": "pt"}) if tensors else path.read_bytes()))
    return whole.hexdigest()
