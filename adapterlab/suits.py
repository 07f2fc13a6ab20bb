"""Does a setup suit what its adapters are, and which of them answers? Asked before a setup runs, and after."""

import copy
from typing import TYPE_CHECKING

from torch import Tensor

from .compose import Average, BatchSplit, Block, Fuse, Parallel, Setup, Split, Stack, blocks, names, shares
from .errors import UserError

if TYPE_CHECKING:
    from .adapters import Adapters


def checked(adapters: "Adapters", setup: Setup) -> Setup:
    """The setup as it will run: every adapter is there, and each block makes sense for what it holds."""
    if setup is not None and not isinstance(setup, str | Block):
        raise UserError(f"{setup!r} is no setup: give an adapter's name, a block such as Stack, or None")
    setup = _with_fusions(adapters, setup)
    for name in names(setup):
        adapters.free(name)
    allowed(adapters, setup)
    answering(adapters, setup)
    return setup


def _with_fusions(adapters: "Adapters", setup: Setup) -> Setup:
    """The setup with Fuse(...) in the place of every fusion's plain name."""
    if isinstance(setup, str):
        config = adapters[setup].info.fusion
        return Fuse(*config.of, name=setup) if config else setup
    if isinstance(setup, Fuse):
        if setup.name not in adapters:
            raise UserError(f'no fusion "{setup.name}": make it with add_fusion({list(setup.children)})')
        if not adapters[setup.name].info.fusion:
            raise UserError(f'"{setup.name}" is no fusion; make one with add_fusion({list(setup.children)})')
        return setup
    if setup is None:
        return None
    new = copy.copy(setup)
    object.__setattr__(new, "children", tuple(_with_fusions(adapters, child) for child in setup.children))
    return new


def allowed(adapters: "Adapters", setup: Setup) -> None:
    """UserError where a method cannot work in a block; it says why."""
    for block in blocks(setup):
        kind = type(block).__name__
        fused = [name for child in block.children for name in names(child)] if kind == "Fuse" else []
        for name in names(block):
            for config in adapters[name].info.recipe:
                if kind not in config.blocks:
                    raise UserError(f'"{name}" is {config.name}, which cannot be in {kind}: {config.refusal}')
            if name in fused and adapters[name].info.fusion:
                raise UserError(f'"{name}" is a fusion itself and cannot be in another one')


def answering(adapters: "Adapters", setup: Setup) -> int | None:
    """How many labels come out of a setup's head; None for the model's own. UserError where heads do not fit."""
    if setup is None:
        return None
    if isinstance(setup, str | Fuse):
        head = adapters[setup if isinstance(setup, str) else setup.name].info.head
        return len(head.labels) if head else None
    each = [answering(adapters, child) for child in setup.children]
    heads = [labels for labels in each if labels is not None]
    if isinstance(setup, Stack | Average | Split):
        apart = [maps for maps in (_maps(adapters, child) for child in setup.children) if maps]
        if len(apart) > 1 and len(set().union(*apart)) > 1:
            raise UserError(
                f"{setup}: the adapters' heads stand on maps of their own at other places, and one text passes by all "
                "of them; give them heads of one pooling"
            )
    if isinstance(setup, Stack):
        return heads[-1] if heads else None
    if isinstance(setup, Average | Split) and len(set(each)) > 1:
        shown = ", ".join("none" if labels is None else f"{labels} labels" for labels in each)
        raise UserError(f"{setup}: the adapters' heads differ ({shown}), and there is one answer for all of them")
    return max(heads, default=None)


def spoken(adapters: "Adapters", setup: Setup) -> tuple[str, ...] | None:
    """The labels that come out of a setup, where one head or several with the same labels answer; else None."""
    if setup is None:
        return None
    if isinstance(setup, str | Fuse):
        head = adapters[setup if isinstance(setup, str) else setup.name].info.head
        return head.labels if head else None
    if isinstance(setup, Stack):
        heard = [child for child in setup.children if answering(adapters, child) is not None]
        return spoken(adapters, heard[-1]) if heard else None
    each = {spoken(adapters, child) for child in setup.children}
    return each.pop() if len(each) == 1 else None


def _maps(adapters: "Adapters", setup: Setup) -> set[tuple[str, ...]]:
    """For each head in a setup: where it has maps of its own before the last one."""
    heads = [adapters[name].info.head for name in names(setup)]
    return {tuple(site for site in head.sites if site != "head") for head in heads if head}


def answers(adapters: "Adapters", logits: Tensor, setup: Setup = None) -> dict[Setup, Tensor]:
    """What each child of a BatchSplit or Parallel says: child -> (its rows in their order, its own labels).

    logits: of the model while `setup` was active, (rows, ..., labels); for Parallel there are rows for each child,
    child after child. A head with fewer labels than the widest is filled up with -inf in `logits`, and cut here.
    setup: the one that ran; None for the one that is active. Any other setup is its own only child.
    """
    setup = adapters.active if setup is None else checked(adapters, setup)
    rows_of: dict[Setup, list[int]] = {}
    for child, rows in _answerers(adapters, setup, list(range(len(logits)))):
        rows_of.setdefault(child, []).extend(rows)
    return {child: logits[rows][..., : answering(adapters, child)] for child, rows in rows_of.items()}


def _answerers(adapters: "Adapters", setup: Setup, rows: list[int]) -> list[tuple[Setup, list[int]]]:
    """(child that answers, its rows of these), inside blocks too."""
    if isinstance(setup, Stack):
        dividing = [c for c in setup.children if any(isinstance(b, BatchSplit | Parallel) for b in blocks(c))]
        last = setup.children[-1]
        if dividing and (last is dividing[-1] or answering(adapters, last) is None):
            return _answerers(adapters, dividing[-1], rows)
    if not isinstance(setup, BatchSplit | Parallel):
        return [(setup, rows)]
    each = shares(setup, len(rows)).items()
    return [pair for child, own in each for pair in _answerers(adapters, child, [rows[i] for i in own])]
