"""SHiRA: Bhardwaj et al. 2024: a few entries of the frozen matrix are trained; here at random, SHiRA-Rand."""

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from .base import Change, Method


class SHiRA(Change):
    """y + D x: D is zero but for r (d_in + d) random entries, which are trained and start at 0. Its rank may be full.

    x: (..., source_width), y: (..., width) -> the shape of y. As many parameters as a LoRA of rank r has.
    The entries come out of the seed alone, as in PEFT, and are not stored.
    """

    outermost = ("values",)

    def __init__(self, source_width: int, width: int, count: int, seed: int):
        super().__init__()
        self.shape = width, source_width
        order = torch.randperm(width * source_width, generator=torch.Generator().manual_seed(seed), device="cpu")
        self.register_buffer("entries", order[:count].sort().values, persistent=False)
        self.values = nn.Parameter(torch.zeros(count))

    @property
    def matrix(self) -> torch.Tensor:
        """D: (width, source_width)."""
        width, source_width = self.shape
        return self.values.new_zeros(width * source_width).scatter(0, self.entries, self.values).view(self.shape)

    def forward(self, x, y):
        return y + F.linear(x, self.matrix)

    def merged(self, weight, bias):
        """W + D, and the bias as it was."""
        return weight + self.matrix, bias


class SHiRAConfig(Method):
    """rank: r, of the LoRA that has as many parameters. seed: of the random entries, a part of the adapter."""

    name = "shira"
    formula = "y + D x, D sparse"
    paper = "Bhardwaj et al. 2024"
    parameters = "r·(d_in + d)"
    fits = ("linear", "head")
    merges = True
    rank: int = 8
    seed: int = 0
    sites: tuple[str, ...] = ("query", "value")

    def check(self):
        self.positive("rank")

    def build(self, site):
        count, entries = self.rank * (site.source_width + site.width), site.source_width * site.width
        if count > entries:
            raise UserError(f'shira: rank {self.rank} asks for {count} of the {entries} entries at "{site.name}"')
        return SHiRA(site.source_width, site.width, count, self.seed)
