"""The ways to fine-tune that an adapter is measured against, each ready for `train.fit`.

model, tokenizer, adapters = prepare("adapter 64", labels=("negative", "positive"), seed=0)
run = fit(model, train, validation, lr=learning_rate("adapter 64"), name="adapter 64")
"""

import re

from torch import nn

from ..adapter import CHILD, base_parameters
from ..adapters import Adapters
from ..errors import UserError
from ..methods import LayerNormConfig, Method, houlsby
from ..models import load_base
from ..sites import HEADS, find_layers, find_sites

# Rotten Tomatoes, 2,000 sentences: the adapter's beat 3e-3 on validation (3 seeds); the others are usual values
LEARNING_RATES = {"head only": 3e-3, "LayerNorm only": 3e-3, "top": 1e-4, "adapter": 1e-3, "full": 1e-4}


def prepare(
    method: str, labels, seed: int = 0, device="auto", beside: Adapters | None = None, pooling: str | None = None
) -> tuple:
    """A fresh model with exactly the parameters trainable that the method trains.

    method: "head only", "LayerNorm only", "top 2" (the upper two layers, pooler and head), "adapter 64" (Houlsby, size
    64) or "full"; the head is in each case an adapter's, so that all are compared under the same one. beside: put what
    can be an adapter beside those that are there, in place of loading another model. pooling: see `Adapters.add`.
    Returns (model, tokenizer, Adapters); the adapter is called what the method is called.
    """
    kind, number = parse(method)
    if beside is None or kind in ("full", "top"):
        model, tokenizer = load_base(labels=len(labels), device=device, seed=seed)
        beside = Adapters(model)
    else:
        model, tokenizer = beside.model, None
    beside.add(method, methods_of(method), head=labels, seed=seed, pooling=pooling)
    beside.train(method)
    if kind in ("full", "top"):
        unfreeze(model, number)
    return model, tokenizer, beside


def methods_of(way: str, std: float = 1e-2) -> tuple[Method, ...]:
    """The methods that a way adds to the model, without the head. std: of a bottleneck's initial weights."""
    kind, number = parse(way)
    if kind == "adapter" and number is not None:
        return houlsby(number, std=std)
    return (LayerNormConfig(),) if kind == "LayerNorm only" else ()


def learning_rate(method: str) -> float:
    """The learning rate that the workbook uses for a method on the bundled model."""
    return LEARNING_RATES[parse(method)[0]]


def parse(method: str) -> tuple[str, int | None]:
    """ "top 2" -> ("top", 2); "full" -> ("full", None)."""
    parts = re.fullmatch(r"(head only|LayerNorm only|full)|(top|adapter) (-?\d+)", method)
    if not parts:
        raise UserError(
            f'unknown way to fine-tune "{method}"; known: head only, LayerNorm only, top K, adapter SIZE, full'
        )
    return (parts[1], None) if parts[1] else (parts[2], int(parts[3]))


def unfreeze(model: nn.Module, top: int | None = None) -> None:
    """Make the model itself trainable: all of it, or its top layers with everything above them (pooler and head).

    An adapter whose head is in training keeps its flags, and what it stands in for stays frozen: so "full" and "top k"
    train under the same head as an adapter does. top=0 trains the head alone, an adapter's or the model's own
    (Houlsby et al. 2019, section 3.2, calls top=k "variable fine-tuning").
    """
    layers = [model.get_submodule(path) for path in find_layers(model).values()] if top is not None else []
    if top is not None and not 0 <= top <= len(layers):
        raise UserError(f"top={top} is outside this model's 0 to {len(layers)} layers")
    base, trained = getattr(model, str(model.base_model_prefix), model), [model]
    if top is not None:
        above = [module for name, module in model.named_children() if module is not base]
        pooler = getattr(base, "pooler", None)
        trained = layers[len(layers) - top :] + above + [pooler] * bool(top and isinstance(pooler, nn.Module))
    chosen = {id(p) for module in trained for p in module.parameters()} - _replaced(model)
    for p in base_parameters(model).values():
        p.requires_grad_(id(p) in chosen)


def _replaced(model: nn.Module) -> set[int]:
    """The ids of the model's parameters that an adapter's head in training stands in for, or passes by."""
    adapters = getattr(model, CHILD, nn.ModuleDict()).values()
    heads = [a for a in adapters if a.info.head and any(p.requires_grad for p in a.parameters())]
    sites = [site for site in find_sites(model).values() if site.kind in HEADS] if heads else []
    names = {name for adapter in heads for name in adapter.at}
    pools = any(adapter.info.head.pools for adapter in heads)
    modules = [model.get_submodule(site.module) for site in sites if pools or site.name in names]
    return {id(p) for module in modules for p in module.parameters()}
