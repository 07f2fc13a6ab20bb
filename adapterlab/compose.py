"""Which adapters are active, and how they work together: plain data, and one recursive evaluation.

A setup is None (the bare model), an adapter's name, or a block of setups:

    Stack("language", "task")                        one after the other
    Fuse("a", "b", "c")                              attention over what each of them adds (AdapterFusion)
    Average("a", "b", weights=(3, 1))                the weighted mean of their outputs
    Split("question", "context", at=12)              the first twelve tokens, and the rest
    BatchSplit("a", "b", sizes=(2, 6))               the first two rows, and the next six
    Parallel("sentiment", "topic")                   every row to each of them, in one pass
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .errors import UserError
from .methods import Change
from .methods.head import Reading


@dataclass(frozen=True)
class Block:
    """Blocks compare, hash and print by what they hold."""

    children: tuple

    def __init__(self, *children, **settings):
        object.__setattr__(self, "children", children)
        for key, value in settings.items():
            object.__setattr__(self, key, value)
        if not children:
            raise UserError(f"{type(self).__name__} needs at least one adapter")
        for child in children:
            self._check(child)

    def _check(self, child) -> None:
        kind = type(self).__name__
        if not isinstance(child, str | Block):
            raise UserError(f"{kind} holds adapters' names and blocks, not {child!r}")
        if kind == "Fuse" and not isinstance(child, str | Stack):
            raise UserError(f"Fuse attends over single adapters and Stacks of them, not over {child}")
        if kind != "Stack" and any(isinstance(block, Parallel) for block in blocks(child)):
            raise UserError(
                f"Parallel cannot stand in {kind}: it multiplies the rows of the whole batch, "
                "so it stands alone or in a Stack"
            )

    def __repr__(self) -> str:
        shown = [repr(child) for child in self.children]
        shown += [f"{k}={v!r}" for k, v in vars(self).items() if k != "children"]
        return f"{type(self).__name__}({', '.join(shown)})"


class Stack(Block):
    """One after the other: each gets as y what the one before it made; x stays. The last one's head answers."""

    def __init__(self, *children):
        super().__init__(*children)
        if sum(isinstance(block, Parallel) for block in blocks(self)) > 1:
            raise UserError("a Stack holds at most one Parallel")


@dataclass(frozen=True, init=False, repr=False)
class Fuse(Block):
    """AdapterFusion (Pfeiffer et al. 2021): attention over what each child adds; see `methods.fusion`.

    name: of the fusion layers, made by `Adapters.add_fusion`; the children's names with commas when not given.
    The fusion's own head answers, not the children's.
    """

    name: str = ""

    def __init__(self, *children, name: str | None = None):
        super().__init__(*children, name=name or ",".join(map(str, children)))


@dataclass(frozen=True, init=False, repr=False)
class Average(Block):
    """The weighted mean of the children's outputs, heads included. weights: one a child, all equal when not given."""

    weights: tuple[float, ...] = ()

    def __init__(self, *children, weights=None):
        weights = tuple(float(w) for w in weights) if weights is not None else (1.0,) * len(children)
        if len(weights) != len(children):
            raise UserError(f"Average of {len(children)} adapters has {len(weights)} weights; give one each")
        total = math.fsum(weights)
        if not all(math.isfinite(w) and w >= 0 for w in weights) or (children and total <= 0):
            raise UserError(f"Average: weights must be finite, none below 0 and not all 0, not {weights}")
        super().__init__(*children, weights=tuple(w / total for w in weights))


@dataclass(frozen=True, init=False, repr=False)
class Split(Block):
    """By position: at = (12, 40) gives tokens 0 to 11, 12 to 39 and the rest to three children.

    Where there are no positions (a head on the pooled first token), the first child answers.
    """

    at: tuple[int, ...] = ()

    def __init__(self, *children, at):
        at = (at,) if isinstance(at, int) else tuple(at)
        if len(at) != len(children) - 1 or not all(type(n) is int for n in at):
            raise UserError(
                f"Split of {len(children)} adapters: at must name the {len(children) - 1} tokens where the "
                f"next one begins, not {at}"
            )
        if any(a >= b for a, b in zip((0, *at), at, strict=False)):
            raise UserError(f"Split: at must rise from above 0, not {at}")
        super().__init__(*children, at=at)


@dataclass(frozen=True, init=False, repr=False)
class BatchSplit(Block):
    """By rows: sizes = (2, 6) gives two rows to the first child, the next six to the second; 1 each when not given.

    A mixed batch is BatchSplit(*name_of_each_row): rows of equal children are computed together, in whatever order
    they come. Every child's own head answers for its rows; see `Adapters.answers`.
    """

    sizes: tuple[int, ...] = ()

    def __init__(self, *children, sizes=None):
        sizes = (1,) * len(children) if sizes is None else (sizes,) if isinstance(sizes, int) else tuple(sizes)
        if len(sizes) != len(children) or not all(type(n) is int and n > 0 for n in sizes):
            raise UserError(f"BatchSplit of {len(children)} adapters: sizes must name the rows of each, not {sizes}")
        super().__init__(*children, sizes=sizes)


class Parallel(Block):
    """Every row to each child in one pass: the model's input is repeated, child after child, and so are its outputs.

    Every child's own head answers for its copy of the rows; see `Adapters.answers`.
    """

    def __init__(self, *children):
        super().__init__(*children)
        if len(set(children)) < len(children):
            raise UserError(f"{self} names an adapter twice, which would compute the same twice")


Setup = str | Block | None
Methods = dict[str, Sequence[Change]]  # an adapter's name -> its modules at one site, in order


def blocks(setup: Setup) -> list[Block]:
    """The blocks of a setup, from the outside to the inside."""
    if not isinstance(setup, Block):
        return []
    return [setup, *(block for child in setup.children for block in blocks(child))]


def names(setup: Setup) -> list[str]:
    """The adapters that a setup uses, fusions among them, in the order of their first use."""
    if setup is None:
        return []
    if isinstance(setup, str):
        return [setup]
    fused = [setup.name] if isinstance(setup, Fuse) else []
    return list(dict.fromkeys([name for child in setup.children for name in names(child)] + fused))


def copies(setup: Setup) -> int:
    """How often the model's input has to be repeated."""
    return max([1, *(len(block.children) for block in blocks(setup) if isinstance(block, Parallel))])


def shares(setup: BatchSplit | Parallel, rows: int) -> dict[str | Block, Sequence[int]]:
    """Child of a BatchSplit or a Parallel -> which of `rows` rows are its own, equal children together."""
    if isinstance(setup, Parallel):
        each = rows // len(setup.children)
        return {child: range(i * each, (i + 1) * each) for i, child in enumerate(setup.children)}
    if rows != sum(setup.sizes):
        raise UserError(f"the batch has {rows} rows and {setup} is for {sum(setup.sizes)}")
    rows_of, start = {}, 0
    for child, size in zip(setup.children, setup.sizes, strict=True):
        rows_of.setdefault(child, []).extend(range(start, start + size))
        start += size
    return rows_of


# ---- running it


def evaluate(
    setup: Setup, methods: Methods, x: Tensor, y: Tensor, norm: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """y' of a setup at one site.

    setup: None, a name or a block. methods: adapter name -> its modules at this site.
    x: (rows, ..., source_width), y: (rows, ..., width); norm: the frozen LayerNorm that follows y + x, where there is
    one. Rows whose heads have fewer labels than the widest are filled up with -inf, which no softmax or argmax sees.
    """
    match setup:
        case None:
            return y
        case str():
            for module in methods.get(setup, ()):
                given = x.inputs if isinstance(x, Reading) and not module.wants_reading else x
                y = module(given, y, norm) if module.wants_norm else module(given, y)
            return y
        case Stack():
            for child in setup.children:
                y = evaluate(child, methods, x, y, norm)
            return y
        case Average():
            outputs = [evaluate(child, methods, x, y, norm) for child in setup.children]
            return sum(w * output for w, output in zip(setup.weights, outputs, strict=True) if w)
        case Fuse():
            return _fused(setup, methods, x, y, norm)
        case Split():
            if y.ndim < 3:  # (rows, width): there are no positions
                return evaluate(setup.children[0], methods, x, y, norm)
            spans = zip((0, *setup.at), (*setup.at, y.shape[1]), setup.children, strict=True)
            parts = [evaluate(c, methods, x[:, a:b], y[:, a:b], norm) for a, b, c in spans if a < y.shape[1]]
            return torch.cat(parts, 1)  # (rows, tokens, width) again
        case BatchSplit() | Parallel():
            return _divided(setup, methods, x, y, norm)


def _fused(setup: Fuse, methods: Methods, x, y, norm) -> Tensor:
    """y and what the fusion makes of its children, which all start from y: (rows, tokens, width)."""
    children = [child for child in setup.children if any(methods.get(name) for name in names(child))]
    for module in methods.get(setup.name, ()):
        if module.fuses:
            last = methods.get(names(children[-1])[-1])
            given = x.inputs if isinstance(x, Reading) else x
            h = norm(y + given) if norm and last and last[-1].wants_norm else y  # what the last of them reads
            z = [evaluate(child, methods, x, y, norm) - y for child in children]  # what each of them adds
            y = y + module(h, z)
        else:  # the fusion's own head
            y = module(x, y)
    return y


def _divided(setup: BatchSplit | Parallel, methods: Methods, x, y, norm) -> Tensor:
    """Each child on its own rows, and all rows in their places again: (rows, ..., the widest child's width)."""
    children = shares(setup, len(y))
    indices = [(child, _index(rows, y.device)) for child, rows in children.items()]
    return _join([(i, evaluate(child, methods, x[i], y[i], norm)) for child, i in indices], y)


def _index(rows: Sequence[int], device):
    """Neighbouring rows as a slice, which copies nothing; others as a tensor."""
    if len(rows) == rows[-1] - rows[0] + 1:
        return slice(rows[0], rows[-1] + 1)
    return torch.tensor(rows, device=device)


def _join(parts: list[tuple], y) -> Tensor:
    """Every (rows, their y') in its place: (rows, ..., the widest part)."""
    width = max(part.shape[-1] for _, part in parts)
    if len({part.shape[1:-1] for _, part in parts}) > 1:
        raise UserError("the adapters of one batch lengthen the text differently; give them prompts of one length")
    if all(isinstance(rows, slice) and part.shape[-1] == width for rows, part in parts):
        return torch.cat([part for _, part in sorted(parts, key=lambda item: item[0].start)])
    first = parts[0][1]
    joined = torch.full((len(y), *first.shape[1:-1], width), -math.inf, dtype=first.dtype, device=y.device)
    for rows, part in parts:  # a head of fewer labels leaves -inf behind its own
        joined[rows, ..., : part.shape[-1]] = part.to(first.dtype)
    return joined
