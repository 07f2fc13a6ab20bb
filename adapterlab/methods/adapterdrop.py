"""AdapterDrop: Rücklé et al. 2021: adapters in the lower layers can be left out, if training was prepared for it."""

import random
from contextlib import contextmanager

from ..errors import UserError


@contextmanager
def drop_layers(adapters, lowest: int):
    """Within the block no adapter runs in the lowest layers (section 3.1: fewer operations, nearly the same score)."""
    depth = _depth(adapters, lowest)
    before, adapters.here.skipped = adapters.here.skipped, frozenset(range(min(lowest, depth)))
    try:
        yield adapters
    finally:
        adapters.here.skipped = before


@contextmanager
def robust_training(adapters, most: int | None = None, seed: int = 0):
    """Within the block every training pass leaves out the lowest n layers, n drawn anew from 0 to `most` (section 3.1).

    most: None for all layers but the last. Passes in eval mode leave nothing out. The backward pass ends above the
    layers that were left out, so that training is faster too.
    """
    depth = _depth(adapters, 0 if most is None else most)
    most, draw, before = depth - 1 if most is None else most, random.Random(seed), adapters.here.skipped

    def choose(model, args):
        adapters.here.skipped = frozenset(range(draw.randint(0, most))) if model.training else before

    handle = adapters.model.register_forward_pre_hook(choose)
    try:
        yield adapters
    finally:
        handle.remove()
        adapters.here.skipped = before


def _depth(adapters, asked: int) -> int:
    """How many layers there are; UserError when more than that are to be left out."""
    depth = 1 + max(site.layer for site in adapters.sites.values() if site.layer is not None)
    if not isinstance(asked, int) or not 0 <= asked <= depth:
        raise UserError(f"AdapterDrop: {asked!r} layers cannot be left out of this model's {depth}")
    return depth
