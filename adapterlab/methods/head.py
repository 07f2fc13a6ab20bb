"""A task's head: a linear layer in the place of the model's own, so that every adapter brings its own labels."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ..errors import UserError
from .base import Change, Method


class Head(Change):
    """W x + b on what goes into the model's classifier; what the classifier made of it, y, is dropped.

    x: (..., source_width) -> (..., labels). (source_width + 1) * labels parameters; W ~ N(0, 0.02^2), b = 0 as in BERT.
    """

    needs_bias = True

    def __init__(self, width: int, labels: int):
        super().__init__()
        self.linear = nn.Linear(width, labels)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x, y):
        return self.linear(x)

    def merged(self, weight, bias):
        """Its own matrix and bias, in the place of the model's."""
        return self.linear.weight, self.linear.bias


@dataclass(frozen=True, kw_only=True)
class HeadConfig(Method):
    """labels: the names of the classes; one name for a regression, ("start", "end") for a span."""

    name: ClassVar[str] = "head"
    formula: ClassVar[str] = "W x + b"
    parameters: ClassVar[str] = "(d + 1)·labels"
    fits: ClassVar[tuple[str, ...]] = ("head", "linear")
    merges: ClassVar[bool] = True
    labels: tuple[str, ...] = ("negative", "positive")
    sites: tuple[str, ...] = ("head",)

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, "labels", tuple(str(label) for label in self.labels))
        if not self.labels:
            raise UserError("head: labels must name at least one label")

    def build(self, site):
        return Head(site.source_width, len(self.labels))

    def count(self, site):
        return (site.source_width + 1) * len(self.labels)
