"""Ablation without retraining: Houlsby et al. 2019, section 3.6 and Figure 6, left and centre.

Trained adapters are taken away from a span of layers [first, last] and the model is scored again, as it is. What a
layer puts out depends only on which adapters are there up to that layer. So all spans together are a tree of prefixes:
a trunk (everything on), from every layer a branch (off from here), from every point of a branch a tail (on again).

    naive loop    L * (L(L+1)/2 + 1)                   layer evaluations: every span, and the intact model, from below
    prefix tree   L + L(L+1)/2 + (L+1)L(L-1)/6         trunk + branches + tails
    L = 6: 132 and 62 (0.47); L = 12: 948 and 376 (0.40); without the intact model's: 62/126 (0.49), 376/936 (0.40)

The tree is walked depth first, one batch at a time: it holds the outputs of L layers for one batch and no more, that is
L * batch * tokens * width * 4 bytes (6 layers, 64 sentences of 40 tokens, 384 wide: 24 MB). The numbers are those of
the naive loop bit for bit, because the very same modules see the very same batches.

What "the adapters" are: all that the adapter has inside the layers, except its LayerNorms. The paper removes "the
adapters" and does not mention the LayerNorms trained with them; `norms=True` takes the layers' LayerNorms back to the
frozen ones as well. The LayerNorm after the embeddings and the head always stay.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..adapters import Adapters
from ..errors import UserError
from ..lab import mixed_precision, move
from ..tasks import Encoded, batches, score
from ..train import predict

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


def all_spans(depth: int) -> list[tuple[int, int]]:
    """Every span (first, last) of layers, both ends in it."""
    return [(first, last) for first in range(depth) for last in range(first, depth)]


class Switches:
    """One trained adapter as 2L switches, and a forward pass that can be entered above layers whose output is known.

    The model is not edited: for the time of one call every layer's `forward` is stood in for by a function that hands
    out a known output, or calls the real one and notes what it put out; the rest of the model (embeddings, mask,
    pooler, head) runs as it always does. One thread at a time.
    calls: layers evaluated so far, each counted once a batch.
    Errors: UserError for a model with more than one stack of layers, or an adapter with nothing to remove.
    """

    def __init__(self, adapters: Adapters, name: str, norms: bool = False):
        self.adapters, self.name, self.at = adapters, name, adapters[name].at
        self.model, self.calls = adapters.model, 0
        blocks = [site for site in adapters.sites.values() if site.kind == "block"]
        stacks = {site.name.split(".")[0] for site in blocks}
        if len(stacks) != 1:
            raise UserError(
                "ablation by layers needs a model with one stack of layers, and this one has "
                f"{', '.join(sorted(stacks)) or 'none'}"
            )
        modules = dict(self.model.named_modules())
        self.layers: list[nn.Module] = [modules[site.module] for site in blocks]
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
        device, was = next(self.model.parameters()).device, self.model.training
        self.model.eval()
        try:
            with self._standing_in(states), self.off(pattern), mixed_precision(device):
                return self.model(**move(inputs, device)).logits.float().cpu()
        finally:
            self.model.train(was)

    @contextmanager
    def _standing_in(self, states: list) -> Iterator[None]:
        """Within the block a layer whose output is among `states` hands that out; others append what they put out."""
        known, before = len(states), [vars(layer).get("forward") for layer in self.layers]

        def stand_in(k: int, forward: Callable) -> Callable:
            def run(*args, **kwargs):
                if k >= known:
                    if k != len(states):
                        raise UserError("this model does not run its layers once each, from the first to the last")
                    self.calls += 1
                    states.append(forward(*args, **kwargs))
                return states[k]  # (rows, tokens, width), or a tuple that begins with it

            return run

        try:
            for k, layer in enumerate(self.layers):
                vars(layer)["forward"] = stand_in(k, layer.forward)
            yield
        finally:
            for layer, forward in zip(self.layers, before, strict=True):
                if forward is None:
                    vars(layer).pop("forward", None)
                else:
                    vars(layer)["forward"] = forward


def _half(site) -> int:
    """0: the attention's half of a layer, 1: the feed-forward's. The layer's first norm is the attention's."""
    return int(not (site.kind in ATTENTION_SITES or site.name.endswith(".norm.0")))


def shared_layers(a: Pattern, b: Pattern) -> int:
    """How many layers, from below, two patterns have in common."""
    for layer in range(len(a) // 2):
        if a[2 * layer : 2 * layer + 2] != b[2 * layer : 2 * layer + 2]:
            return layer
    return len(a) // 2


def sweep(
    switches: Switches, patterns: Iterable[Pattern], data: Encoded, batch_size: int = 64
) -> tuple[dict[Pattern, Tensor], int]:
    """The logits of every pattern, (rows, labels) in the data's order, and the most bytes of states kept at once.

    Sorted patterns visit the tree depth first: neighbours share the most layers, and only the layers above those run.
    """
    order = sorted(set(map(tuple, patterns)), reverse=True)
    pieces, rows, most = {pattern: [] for pattern in order}, [], 0
    for inputs, _, row in batches(data, batch_size):
        states, before = [], order[0]  # states: a layer's output each, (batch, tokens, width)
        for pattern in order:
            del states[shared_layers(before, pattern) :]
            pieces[pattern].append(switches.forward(inputs, pattern, states))  # (batch, labels)
            before, most = pattern, max(most, sum(map(_bytes, states)))
        rows.append(row)
    back = torch.cat(rows).argsort()  # (rows,): batches come sorted by length
    return {pattern: torch.cat(piece)[back] for pattern, piece in pieces.items()}, most


def naive_sweep(
    switches: Switches, patterns: Iterable[Pattern], data: Encoded, batch_size: int = 64
) -> dict[Pattern, Tensor]:
    """The same logits with every pattern computed from the first layer to the last: the loop that `sweep` replaces."""
    logits = {}
    for pattern in patterns:
        with switches.off(pattern):
            logits[pattern] = predict(switches.model, data, batch_size)
    return logits


def _bytes(state):
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    return sum(map(_bytes, state)) if isinstance(state, tuple | list) else 0


@dataclass(frozen=True)
class Ablation:
    """What an ablation found. intact: the score with every adapter in place.

    spans, halves: one dict a row: what ("span", "attention only", "feed-forward only"), first, last (layers, both
        included), intact, score, drop (relative, (intact - score) / intact), and for classes lost and gained (sentences
        that were right and are wrong now, and the other way round) and error (standard error of score - intact).
    logits: pattern -> (rows, labels). evaluations: layers evaluated for spans and intact model, a batch;
    naive_evaluations: what the naive loop would have taken. held_bytes: the most that was kept of layers' outputs.
    span_seconds: the spans and the intact model; seconds: with the halves.
    """

    metric: str
    depth: int
    rows: int
    intact: float
    spans: list[dict]
    halves: list[dict]
    evaluations: int
    naive_evaluations: int
    held_bytes: int
    span_seconds: float
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
    spans = {span_pattern(depth, first, last): (first, last) for first, last in all_spans(depth)}
    halves = {half_pattern(depth, kept): f"{NAMES[kept]} only" for kept in HALVES}
    logits, held = sweep(switches, [on, *spans], data, batch_size)
    evaluations, span_seconds = switches.calls // -(-len(data) // batch_size), time.perf_counter() - began
    more, held_by_halves = sweep(switches, halves, data, batch_size)
    logits |= more

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
        evaluations=evaluations,
        naive_evaluations=layer_evaluations(depth)[0],
        held_bytes=max(held, held_by_halves),
        span_seconds=span_seconds,
        seconds=time.perf_counter() - began,
        logits=logits,
    )


def compare(before: Tensor, after: Tensor, labels: Tensor, metric: str = "accuracy") -> dict:
    """Two sets of logits on the same rows: intact, score, drop, lost, gained, error (as in `Ablation`).

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

    A combination seen before comes at once; a new one runs only the layers above those that it shares with the
    combinations remembered. megabytes (10^6 bytes) bounds what is remembered of the layers' outputs: the least recently
    used go first, the uppermost layers before the ones they stand on. Training the adapter further empties the memory.
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
        self.depth, self.limit, self.held = self.switches.depth, megabytes * 1e6, 0
        self.batches = list(batches(data, batch_size))
        self.back = torch.cat([rows for _, _, rows in self.batches]).argsort()
        self.on: Pattern = (True,) * (2 * self.depth)
        # the switches up to a layer -> its output, a batch each
        self.memory: OrderedDict[Pattern, list] = OrderedDict()
        self.seen: dict[Pattern, Tensor] = {}
        self.stamp = self._version()

    def __call__(self, pattern: Iterable[bool]) -> Outcome:
        """Score one combination of 2L switches (attention 0, feed-forward 0, ...; True is on)."""
        pattern, began = tuple(bool(on) for on in pattern), time.perf_counter()
        if self.stamp != self._version():
            self.clear()
        layers = self._run(pattern)
        if self.on not in self.seen:
            self._run(self.on)
        logits = self.seen[pattern]
        flipped = [] if self.labels.is_floating_point() else _differing(self.seen[self.on], logits)
        value = score(self.metric, logits, self.labels)
        return Outcome(pattern, value, logits, flipped, layers, time.perf_counter() - began)

    def clear(self) -> None:
        """Forget every output."""
        self.memory.clear()
        self.seen.clear()
        self.held, self.stamp = 0, self._version()

    def _version(self) -> tuple:
        return tuple(p._version for p in self.switches.adapters[self.switches.name].parameters())

    def _run(self, pattern: Pattern) -> int:
        """Have the pattern's logits in `seen`; returns how many layers ran."""
        if pattern in self.seen:
            return 0
        prefixes = [pattern[: 2 * k + 2] for k in range(self.depth)]
        known = next((k for k, prefix in enumerate(prefixes) if prefix not in self.memory), self.depth)
        pieces, fresh = [], {prefix: [] for prefix in prefixes[known:]}
        for b, (inputs, _, _) in enumerate(self.batches):
            states = [self.memory[prefix][b] for prefix in prefixes[:known]]
            pieces.append(self.switches.forward(inputs, pattern, states))
            for prefix, state in zip(prefixes[known:], states[known:], strict=True):
                fresh[prefix].append(state)
        self.seen[pattern] = torch.cat(pieces)[self.back]
        self._remember(prefixes, fresh)
        return self.depth - known

    def _remember(self, prefixes: list[Pattern], fresh: dict[Pattern, list]) -> None:
        """Keep what is new; the lowest layers count as the most recently used, so that the top goes first."""
        self.memory |= fresh
        self.held += sum(_bytes(state) for states in fresh.values() for state in states)
        for prefix in reversed(prefixes):
            self.memory.move_to_end(prefix)
        while self.held > self.limit and self.memory:
            self.held -= sum(map(_bytes, self.memory.popitem(last=False)[1]))


def _differing(before: Tensor, after: Tensor) -> list[int]:
    return (before.argmax(-1) != after.argmax(-1)).nonzero().flatten().tolist()
