"""Which adapters are active, and in which order: plain data, and one recursive evaluation."""

from dataclasses import dataclass


@dataclass(frozen=True, init=False)
class Stack:
    """One after the other: each adapter gets what the one before it made."""

    children: tuple

    def __init__(self, *children):
        object.__setattr__(self, "children", children)


def names(setup) -> list[str]:
    """The adapters that a setup uses, in the order of their first use."""
    if setup is None:
        return []
    if isinstance(setup, str):
        return [setup]
    return list(dict.fromkeys(name for child in setup.children for name in names(child)))


def evaluate(setup, methods: dict, x, y, norm=None):
    """y' of a setup at one site.

    setup: None, a name or a block. methods: adapter name -> its modules at this site, in order.
    x: (..., source_width), y: (..., width); norm: the frozen LayerNorm that follows y + x, where there is one.
    """
    if setup is None:
        return y
    if isinstance(setup, str):
        for module in methods.get(setup, ()):
            y = module(x, y, norm) if getattr(module, "wants_norm", False) else module(x, y)
        return y
    for child in setup.children:
        y = evaluate(child, methods, x, y, norm)
    return y
