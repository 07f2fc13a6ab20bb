"""A task's head: everything between what the checkpoint holds and the task's labels, so that an adapter says it all.

The model's class makes one vector of a text's tokens and maps it to labels. What of that a checkpoint lacks,
`from_pretrained` fills with random numbers; here it is the adapter's own, trained and saved with it. `pooling` says
how:

    "mean", "first", "last"   of the encoder's states, then one map W x + b: nothing of the model's own head is left
    "model"                   as the class does it: what the checkpoint holds of it (BERT's pooler) stays frozen, and
                              what it lacks (RoBERTa's dense layer) is the head's own
    "own"                     as the class does it, all of its maps the head's own, the pooler too
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import nn

from ..errors import UserError
from ..sites import HEADS, Origin, Site
from .base import Change, Method, start_small
from .layernorm import ScaleShift

POOLINGS = ("mean", "first", "last", "model", "own")


Labels: TypeAlias = Iterable[str] | Mapping[Any, str]


def names_of(labels: Labels) -> tuple[str, ...]:
    """The labels' names, of an id2label dict in the order of its numbers; UserError for what is no row of names."""
    if isinstance(labels, str):
        raise UserError(f'the labels are one text, "{labels}"; write ("{labels}",) for one label, ("a", "b") for two')
    if not isinstance(labels, Iterable):
        raise UserError(f'the labels={labels!r} is no row of names; name each, as in ("negative", "positive")')
    if isinstance(labels, Mapping):
        by_number = {str(number): name for number, name in labels.items()}
        if set(by_number) != {str(i) for i in range(len(labels))}:
            raise UserError(
                f"the labels {labels} are no id2label dict, whose keys are 0, 1, ...; give the names in a row"
            )
        labels = [by_number[str(i)] for i in range(len(labels))]
    names = tuple(str(label) for label in labels)
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f'the label "{twice[0]}" is there more than once; give each a name of its own')
    return names


@dataclass(frozen=True)
class Reading:
    """What a head may read. inputs: (rows, source_width), what the model gives to its own last map; states: (rows,
    tokens, width), what the encoder put out; mask: (rows, tokens), 1 for a token and 0 for padding, or None.
    Before a head inputs and states are x, and mask is of all positions so far, of which y has the last."""

    inputs: torch.Tensor
    states: torch.Tensor
    mask: torch.Tensor | None

    def __getitem__(self, rows) -> "Reading":
        return Reading(self.inputs[rows], self.states[rows], None if self.mask is None else self.mask[rows])

    def to(self, dtype) -> "Reading":
        return replace(self, inputs=self.inputs.to(dtype), states=self.states.to(dtype))


def pool(states: torch.Tensor, mask: torch.Tensor | None, how: str) -> torch.Tensor:
    """One vector a text: (rows, tokens, width) -> (rows, width). mask: (rows, tokens), None: no padding."""
    if mask is None:
        mask = states.new_ones(states.shape[:2])
    if how == "mean":
        weights = mask.to(states.dtype).unsqueeze(-1)
        return (states * weights).sum(1) / weights.sum(1).clamp(min=1)
    # the first or the last position that is no padding, on whichever side the padding is
    positions = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
    real = positions.masked_fill(mask == 0, mask.shape[1] if how == "first" else -1)
    index = (real.amin(1) if how == "first" else real.amax(1)).clamp(0, mask.shape[1] - 1)
    return states[torch.arange(len(states), device=states.device), index]


class Head(Change):
    """W x + b in the place of one of the model's own maps; what that made, y, is dropped.

    x: (..., source_width), or a `Reading`, of which it takes the pooled states or the inputs -> (..., labels).
    (source_width + 1) * labels parameters; W ~ N(0, 0.02^2), b = 0 as in BERT.
    """

    needs_bias = True
    wants_reading = True

    def __init__(self, width: int, labels: int, pooling: str | None = None, dropout: float = 0.0):
        super().__init__()
        self.pooling, self.dropout = pooling, nn.Dropout(dropout)
        self.linear = nn.Linear(width, labels)
        start_small(self.linear)

    def read(self, x) -> torch.Tensor:
        if not isinstance(x, Reading):
            return x
        return x.inputs if self.pooling is None else self.dropout(pool(x.states, x.mask, self.pooling))

    def forward(self, x, y):
        return self.linear(self.read(x))

    def merged(self, weight, bias):
        """Its own matrix and bias, in the place of the model's."""
        return self.linear.weight, self.linear.bias


class HeadConfig(Method):
    """labels: the names of the classes; one name for a regression, ("start", "end") for a span.

    pooling: one of POOLINGS; None: as the base was trained, which `Adapters.add` looks up and writes down (in a file
    from before there was a choice: "model"). sites: the maps that are the head's own, written down likewise.
    dropout: in training, on the pooled states; None: as the model's class has it.
    """

    name = "head"
    formula = "W x + b"
    parameters = "(d_in + 1)·labels"
    fits = ("head", "head map", "head norm", "linear")
    merges = True
    labels: tuple[str, ...] = ("negative", "positive")
    pooling: str | None = None
    dropout: float | None = None
    sites: tuple[str, ...] = ()

    def check(self):
        object.__setattr__(self, "labels", names_of(self.labels))
        if not self.labels:
            raise UserError("head: labels must name at least one label")
        if self.pooling is not None:
            self.among("pooling", POOLINGS)

    @property
    def pools(self) -> bool:
        """Does it make its own vector of the encoder's states?"""
        return self.pooling not in (None, "model", "own")

    def resolved(self, sites: dict[str, Site], origin: Origin | None) -> "HeadConfig":
        """With the pooling and the sites that it has on a model; UserError for a pooling that has no place there."""
        last = sites.get("head")
        if self.sites or last is None:
            return self  # a place of the learner's choice, or none, of which `targets` complains
        pooling = self.pooling or ("model" if origin is None or last.states is None else origin.pooling)
        whole = {"model": lambda site: site.missing, "own": lambda site: True}.get(pooling, lambda site: False)
        chosen = [s.name for s in sites.values() if s.kind in HEADS and (s is last or whole(s))]
        dropout = last.dropout if self.dropout is None else self.dropout
        return replace(self, pooling=pooling, sites=tuple(chosen), dropout=dropout)

    def targets(self, sites):
        if not self.sites and "head" in sites:
            return self.resolved(sites, None).targets(sites)
        chosen = super().targets(sites)
        if self.pools and any(site.form == "head" and site.states is None for site in chosen):
            raise UserError(
                f'head: pooling "{self.pooling}" needs a text encoder that classifies whole texts; '
                'on this model say "model"'
            )
        return chosen

    def build(self, site):
        if site.form == "head norm":
            return ScaleShift(site.width)
        if site.form == "head map":
            return Head(site.source_width, site.width)
        if self.pools and site.states:
            return Head(site.states, len(self.labels), self.pooling, self.dropout or 0.0)
        return Head(site.source_width, len(self.labels))
