"""Ablation without retraining: Houlsby et al. 2019, section 3.6 and Figure 6, left and centre.

Trained adapters are taken away from a span of layers [first, last] and the model is scored again, as it is. What a
layer puts out depends only on which adapters are there up to that layer. So all spans together are a tree of prefixes:
a trunk (everything on), from every layer a branch (off from here), from every point of a branch a tail (on again).

    naive loop    L * (L(L+1)/2 + 1)                   layer evaluations: every span, and the intact model, from below
    prefix tree   L + L(L+1)/2 + (L+1)L(L-1)/6         trunk + branches + tails
    L = 6: 132 and 62 (0.47); L = 12: 948 and 376 (0.40); without the intact model's: 62/126 (0.49), 376/936 (0.40)

The tree is walked depth first, one batch at a time: it holds the outputs of L layers for one batch and no more. The
numbers are those of the naive loop bit for bit, because the very same modules see the very same batches.

What "the adapters" are: all that the adapter has inside the layers, except its LayerNorms. The paper removes "the
adapters" and does not mention the LayerNorms trained with them; `norms=True` takes the layers' LayerNorms back to the
frozen ones as well. The LayerNorm after the embeddings and the head always stay.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations_with_replacement

import torch
from torch import Tensor, nn

from ..adapters import Adapters
from ..errors import UserError
from ..lab import mixed_precision, move
from ..tasks import Encoded, batches, score

HALVES = ("attention", "feedforward")
NAMES = {"attention": "attention", "feedforward": "feed-forward"}
ATTENTION_SITES = ("attention", "cross_attention", "query", "key", "value", "qkv", "attention_dense")

Pattern = tuple[bool, ...]
"""2L switches, True is on: attention 0, feed-forward 0, attention 1, feed-forward 1, ..."""


def layer_evaluations(depth: int) -> tuple[int, int]:
    """(naive, shared): how many layers are evaluated for the intact model and all L(L+1)/2 spans."""
    spans = depth * (depth + 1) // 2
    return depth * (spans + 1), depth + spans + math.comb(depth + 1, 3)


def span_pattern(depth: int, first: int, last: int) -> Pattern:
    """Everything on but layers first to last, both included; UserError for a span outside the layers."""
    for end in (first, last):
        if not isinstance(end, int) or isinstance(end, bool) or not 0 <= end < depth:
            raise UserError(f"span [{first}, {last}] is outside this model's layers 0 to {depth - 1}")
    if first > last:
        raise UserError(f"span [{first}, {last}] ends before it begins; give the lower layer first")
    return tuple(not first <= layer <= last for layer in range(depth) for _ in HALVES)


def half_pattern(depth: int, kept: str) -> Pattern:
    """Only the adapters of one half on, in every layer. kept: "attention" or "feedforward"."""
    if kept not in HALVES:
        raise UserError(f'"{kept}" is no half of a layer; use "attention" or "feedforward"')
    return tuple(half == kept for _ in range(depth) for half in HALVES)


@contextmanager
def standing_in(layers: Sequence[nn.Module], run: Callable) -> Iterator[None]:
    """Within the block `run(k, forward, *args, **kwargs)` stands in for the `forward` of layer k."""
    before = [vars(layer).get("forward") for layer in layers]
    for k, layer in enumerate(layers):
        vars(layer)["forward"] = partial(run, k, layer.forward)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del vars(layer)["forward"]
            vars(layer).update({} if forward is None else {"forward": forward})


class Switches:
    """One trained adapter as 2L switches, and a forward pass that can be entered above layers whose output is known.

    The model is not edited: for the time of one call every layer hands out its known output, or runs and notes what it
    put out; the rest (embeddings, mask, pooler, head) runs as it always does. One thread at a time.
    Errors: UserError for a model with more than one stack of layers, or an adapter with nothing to remove.
    """

    def __init__(self, adapters: Adapters, name: str, norms: bool = False):
        self.adapters, self.name, self.at, self.model = adapters, name, adapters[name].at, adapters.model
        blocks = [site for site in adapters.sites.values() if site.kind == "block"]
        stacks = {site.name.split(".")[0] for site in blocks}
        if len(stacks) != 1:
            raise UserError(
                "ablation by layers needs a model with one stack of layers, and this one has "
                f"{', '.join(sorted(stacks)) or 'none'}"
            )
        self.layers = [self.model.get_submodule(site.module) for site in blocks]
        self.depth = len(self.layers)
        self.switch = {
            site.name: 2 * site.layer + _half(site)
            for site in map(adapters.sites.__getitem__, self.at)
            if site.layer is not None and (norms or site.kind != "norm")
        }
        if not self.switch:
            raise UserError(f'adapter "{name}" has nothing inside the layers that could be removed')

    @contextmanager
    def off(self, pattern: Pattern) -> Iterator[None]:
        """Within the block the adapters whose switch is off are not there."""
        if len(pattern) != 2 * self.depth:
            raise UserError(f"a pattern has {2 * self.depth} switches, two a layer, not {len(pattern)}")
        before = {site: self.at[site] for site in self.switch}
        self.at.update({site: [] for site, i in self.switch.items() if not pattern[i]})
        try:
            with self.adapters.use(self.name):
                yield
        finally:
            self.at.update(before)

    @torch.no_grad()
    def forward(self, inputs: dict, pattern: Pattern, states: list) -> Tensor:
        """The logits of one batch: (rows, labels), float32 on the CPU.

        states: what layers 0, 1, ... put out for this batch under this pattern, as far as it is known; the outputs of
        the layers above are appended.
        """
        device, was, known = next(self.model.parameters()).device, self.model.training, len(states)

        def run(k: int, forward: Callable, *args, **kwargs):
            if k >= known:
                if k != len(states):
                    raise UserError("this model does not run its layers once each, from the first to the last")
                states.append(forward(*args, **kwargs))
            return states[k]  # (rows, tokens, width), or a tuple that begins with it

        self.model.eval()
        try:
            with standing_in(self.layers, run), self.off(pattern), mixed_precision(device):
                return self.model(**move(inputs, device)).logits.float().cpu()
        finally:
            self.model.train(was)


def _half(site) -> int:
    """0: the attention's half of a layer, 1: the feed-forward's. The layer's first norm is the attention's."""
    return int(not (site.kind in ATTENTION_SITES or site.name.endswith(".norm.0")))


def shared_layers(a: Pattern, b: Pattern) -> int:
    """How many layers, from below, two patterns have in common."""
    differing = (i // 2 for i, (one, other) in enumerate(zip(a, b, strict=False)) if one != other)
    return next(differing, min(len(a), len(b)) // 2)


class Walk:
    """The logits of one pattern after another on the same batches; of each only those layers run that it does not share
    with the one before.

    feed: as `tasks.batches` yields. most: bytes of layers' outputs to keep; the uppermost layers go first. layers: how
    many ran for the last pattern.
    """

    def __init__(self, switches: Switches, feed: Iterable[tuple], most: float = math.inf):
        self.switches, self.most, self.layers = switches, most, 0
        self.feed: list[tuple[dict, list]] = [
            (inputs, []) for inputs, *_ in feed
        ]  # a layer's output: (batch, tokens, width)
        self.last: Pattern = ()

    @property
    def held(self) -> int:
        """The bytes kept of layers' outputs."""
        return sum(_bytes(states) for _, states in self.feed)

    def __call__(self, pattern: Pattern) -> Tensor:
        """(rows, labels), in the order of the batches."""
        shared, pieces, self.layers = shared_layers(self.last, pattern), [], 0
        self.last = pattern
        for inputs, states in self.feed:
            del states[shared:]
            self.layers = max(self.layers, self.switches.depth - len(states))
            pieces.append(self.switches.forward(inputs, pattern, states))
        while self.held > self.most:
            for _, states in self.feed:
                states.pop()
        return torch.cat(pieces)


def sweep(
    switches: Switches, patterns: Iterable[Pattern], data: Encoded, batch_size: int = 64
) -> tuple[dict[Pattern, Tensor], int]:
    """The logits of every pattern, (rows, labels) in the data's order, and the most bytes of states kept at once.

    Sorted patterns visit the tree depth first: neighbours share the most layers.
    """
    pieces: dict[Pattern, list[Tensor]] = {tuple(pattern): [] for pattern in patterns}
    rows, most = [], 0
    for batch in batches(data, batch_size):
        walk = Walk(switches, [batch])
        for pattern in sorted(pieces, reverse=True):
            pieces[pattern].append(walk(pattern))
            most = max(most, walk.held)
        rows.append(batch[2])
    back = torch.cat(rows).argsort()  # (rows,): batches come sorted by length
    return {pattern: torch.cat(piece)[back] for pattern, piece in pieces.items()}, most


def _bytes(state) -> int:
    if isinstance(state, Tensor):
        return state.nbytes
    return sum(map(_bytes, state)) if isinstance(state, tuple | list) else 0


@dataclass(frozen=True)
class Ablation:
    """What an ablation measured. intact: the score with every adapter in place.

    spans, halves: one dict a row: what ("span", "attention only", "feed-forward only"), first, last (layers, both
        included), and what `compare` says of it.
    logits: pattern -> (rows, labels). held_bytes: the most that was kept of layers' outputs.
    """

    metric: str
    depth: int
    rows: int
    intact: float
    spans: list[dict]
    halves: list[dict]
    held_bytes: int
    seconds: float
    logits: dict[Pattern, Tensor] = field(repr=False)

    def span(self, first: int, last: int) -> dict:
        """The row of one span; UserError for a span outside the layers."""
        span_pattern(self.depth, first, last)
        return next(row for row in self.spans if (row["first"], row["last"]) == (first, last))

    @property
    def singles(self) -> list[dict]:
        """The rows of the single layers, from the first to the last."""
        return [row for row in self.spans if row["first"] == row["last"]]


def span_ablation(
    adapters: Adapters, name: str, data: Encoded, *, metric: str = "accuracy", batch_size: int = 64, norms: bool = False
) -> Ablation:
    """Score the model without the adapters of every span of layers, and with one half of them, without retraining.

    data: what `tasks.encode` made of the validation split. norms: see the top of this file.
    Errors: UserError for an unknown adapter, an adapter with nothing in the layers, empty data, several stacks.
    """
    if len(data) == 0:
        raise UserError("nothing to score the ablation on: the split is empty")
    switches, began = Switches(adapters, name, norms), time.perf_counter()
    depth = switches.depth
    on = (True,) * (2 * depth)
    spans = {
        span_pattern(depth, first, last): (first, last)
        for first, last in combinations_with_replacement(range(depth), 2)
    }
    halves = {half_pattern(depth, kept): f"{NAMES[kept]} only" for kept in HALVES}
    logits, held = sweep(switches, [on, *spans, *halves], data, batch_size)

    def row(pattern: Pattern, what: str, first: int, last: int) -> dict:
        change = compare(logits[on], logits[pattern], data.labels, metric)
        return {"what": what, "first": first, "last": last} | change

    return Ablation(
        metric=metric,
        depth=depth,
        rows=len(data),
        intact=score(metric, logits[on], data.labels),
        spans=[row(pattern, "span", *ends) for pattern, ends in spans.items()],
        halves=[row(pattern, what, 0, depth - 1) for pattern, what in halves.items()],
        held_bytes=held,
        seconds=time.perf_counter() - began,
        logits=logits,
    )


def compare(before: Tensor, after: Tensor, labels: Tensor, metric: str = "accuracy") -> dict:
    """Two sets of logits on the same rows: intact and score, of before and after; drop, relative to intact; for
    classes lost and gained, rows that were right and are wrong now and the other way round; error, the standard error
    of score - intact.

    The error of a difference between two accuracies on the same n rows comes from the rows that changed sides:
    sqrt(lost + gained - (lost - gained)^2 / n) / n (McNemar 1947). It is nan for a regression.
    """
    intact, now = score(metric, before, labels), score(metric, after, labels)
    row = {"intact": intact, "score": now, "drop": (intact - now) / intact if intact else math.nan}
    if labels.is_floating_point():
        return row | {"lost": 0, "gained": 0, "error": math.nan}
    was, right = before.argmax(-1) == labels, after.argmax(-1) == labels  # (rows,): right before, right now
    lost, gained, n = int((was & ~right).sum()), int((~was & right).sum()), len(labels)
    return row | {"lost": lost, "gained": gained, "error": math.sqrt(lost + gained - (lost - gained) ** 2 / n) / n}


@dataclass(frozen=True)
class Outcome:
    """One combination of switches. flipped: rows whose predicted class differs from the intact model's.

    layers: how many layers had to run (0: seen before), of `depth`. seconds: what this call took.
    """

    pattern: Pattern
    score: float
    logits: Tensor = field(repr=False)
    flipped: list[int] = field(repr=False)
    layers: int
    seconds: float


class Toggles:
    """Any combination of the 2L adapters on a few held-out sentences, fast enough to play with.

    A combination seen before comes at once; a new one runs only the layers above those that it shares with the one
    before. megabytes (10^6 bytes) bounds what is kept of the layers' outputs. Training the adapter further empties it.
    """

    def __init__(
        self,
        adapters: Adapters,
        name: str,
        data: Encoded,
        *,
        metric: str = "accuracy",
        batch_size: int = 64,
        megabytes: float = 256,
        norms: bool = False,
    ):
        if len(data) == 0:
            raise UserError("nothing to score on: the split is empty")
        self.switches, self.metric, self.labels = Switches(adapters, name, norms), metric, data.labels
        self.depth, self.limit = self.switches.depth, megabytes * 1e6
        self.batches = list(batches(data, batch_size))
        self.back = torch.cat([rows for _, _, rows in self.batches]).argsort()
        self.on: Pattern = (True,) * (2 * self.depth)
        self.clear()

    def clear(self) -> None:
        """Forget every output."""
        self.walk, self.stamp = Walk(self.switches, self.batches, self.limit), self._version()
        self.seen: dict[Pattern, Tensor] = {}

    def __call__(self, pattern: Iterable[bool]) -> Outcome:
        """Score one combination of 2L switches (attention 0, feed-forward 0, ...; True is on)."""
        pattern, began, layers = tuple(bool(on) for on in pattern), time.perf_counter(), 0
        if self.stamp != self._version():
            self.clear()
        if pattern not in self.seen:
            self.seen[pattern], layers = self.walk(pattern)[self.back], self.walk.layers
        if self.on not in self.seen:
            self.seen[self.on] = self.walk(self.on)[self.back]
        intact, logits = self.seen[self.on], self.seen[pattern]
        flipped = (intact.argmax(-1) != logits.argmax(-1)).nonzero().flatten().tolist()  # none of a regression's one
        value = score(self.metric, logits, self.labels)
        return Outcome(pattern, value, logits, flipped, layers, time.perf_counter() - began)

    def _version(self) -> tuple:
        return tuple(p._version for p in self.switches.adapters[self.switches.name].parameters())
