"""The ways to fine-tune that an adapter is measured against, each ready for `train.fit`.

model, tokenizer, adapters = prepare("adapter 64", labels=("negative", "positive"), seed=0)
run = fit(model, train, validation, lr=learning_rate("adapter 64"), name="adapter 64")
"""

import re

from ..adapters import Adapters
from ..errors import UserError
from ..methods import LayerNormConfig, houlsby
from ..models import load_base
from ..train import unfreeze

# Rotten Tomatoes, 2,000 sentences: the adapter's beat 3e-3 on validation (3 seeds); the others are usual values
LEARNING_RATES = {"head only": 3e-3, "LayerNorm only": 3e-3, "top": 1e-4, "adapter": 1e-3, "full": 1e-4}


def prepare(
    method: str,
    labels,
    seed: int = 0,
    base: str = "minilm",
    device="auto",
    beside: Adapters | None = None,
    pooling: str | None = None,
) -> tuple:
    """A fresh model with exactly the parameters trainable that the method trains.

    method: "head only", "LayerNorm only", "top 2" (the upper two layers, pooler and head), "adapter 64" (Houlsby, size
    64) or "full"; the head is in each case an adapter's, so that all are compared under the same one. beside: put what
    can be an adapter beside those that are there, in place of loading another model. pooling: see `Adapters.add`.
    Returns (model, tokenizer, Adapters); the adapter is called what the method is called.
    """
    kind, number = parse(method)
    if beside is None or kind in ("full", "top"):
        model, tokenizer = load_base(base, labels=len(labels), device=device, seed=seed)
        beside = Adapters(model)
    else:
        model, tokenizer = beside.model, None
    recipes = {"LayerNorm only": (LayerNormConfig(),), "adapter": houlsby(number or 64)}
    beside.add(method, recipes.get(kind, ()), head=labels, seed=seed, pooling=pooling)
    beside.train(method)
    if kind in ("full", "top"):
        unfreeze(model, number)
    return model, tokenizer, beside


def learning_rate(method: str) -> float:
    """The learning rate that the workbook uses for a method on the bundled model."""
    return LEARNING_RATES[parse(method)[0]]


def parse(method: str) -> tuple[str, int | None]:
    """ "top 2" -> ("top", 2); "full" -> ("full", None)."""
    found = re.fullmatch(r"(head only|LayerNorm only|full)|(top|adapter) (-?\d+)", method)
    if not found:
        raise UserError(
            f'unknown way to fine-tune "{method}"; known: head only, LayerNorm only, top K, adapter SIZE, full'
        )
    return (found[1], None) if found[1] else (found[2], int(found[3]))
