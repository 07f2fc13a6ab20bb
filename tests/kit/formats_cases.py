"""Our adapters for the tests of the formats: recipes with weights that matter, on the base that the peers used."""

import hashlib
from pathlib import Path

import torch
from make_formats import BASE, HERE, inputs, scramble
from safetensors.torch import load_file, save
from transformers import BertForSequenceClassification

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
)

__all__ = ["BASE", "HERE", "OURS", "adapted", "digest", "fresh", "inputs", "logits"]

ALL = ("query", "key", "value", "inner", "outer")
OURS = {
    "peft": {
        "lora": LoRAConfig(rank=4, alpha=8),
        "lora_upper": LoRAConfig(rank=2, sites=("inner", "attention_dense"), layers=(1,)),
        "rslora": LoRAConfig(rank=4, stabilised=True, dropout=0.1),
        "dora": DoRAConfig(rank=4, sites=("query", "outer")),
        "ia3": IA3Config(),
        "ia3_output": IA3Config(sites=("key", "value", "inner")),
        "layernorm": LayerNormConfig(),
        "layernorm_upper": LayerNormConfig(layers=(1,)),
        "prompt": PromptTuningConfig(length=4),
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


def fresh():
    return Adapters(BertForSequenceClassification.from_pretrained(BASE).eval())


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
    """Of all that is in an exported folder, but for the names of labels, metadata that no peer looks at."""
    whole = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        tensors = path.suffix == ".safetensors"
        whole.update(path.name.encode() + (save(load_file(path), {"format": "pt"}) if tensors else path.read_bytes()))
    return whole.hexdigest()
