"""LoRA: Hu et al. 2021, equation 3; rank-stabilised: Kalajdzievski 2023, theorem 3.2."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .base import Change, Method
from .gate import Gated


class LoRA(Change):
    """y + s B A x: a change of the frozen matrix by one of rank r, nothing at all when it is new (B = 0).

    x: (..., source_width), y: (..., width) -> the shape of y. r * (source_width + width) parameters.
    A starts as nn.Linear's weights do, as in the published code; dropout acts on the way into A.
    """

    outermost: tuple[str, ...] = ("B",)

    def __init__(self, source_width: int, width: int, rank: int, scale: float, dropout: float = 0.0):
        super().__init__()
        self.A = nn.Parameter(torch.empty(rank, source_width))
        self.B = nn.Parameter(torch.zeros(width, rank))
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.scale, self.dropout = scale, nn.Dropout(dropout)

    def forward(self, x, y):
        return y + self.scale * F.linear(F.linear(self.dropout(x), self.A), self.B)

    def merged(self, weight, bias):
        """W + s B A, and the bias as it was."""
        return weight + self.scale * self.B @ self.A, bias


class LoRAConfig(Method):
    """rank: r. alpha: s = alpha / r, or alpha / sqrt(r) when stabilised; 2 r unless given. dropout: of x.

    gated: times UniPELT's gate of x (Mao et al. 2022), and then no longer a change of the matrix alone.
    """

    name = "lora"
    formula = "y + (α/r)·B A x"
    paper = "Hu et al. 2021"
    parameters = "r·(d_in + d)"
    fits = ("linear", "head")
    merges = True
    rank: int = 8
    alpha: float = ...  # type: ignore[assignment]  # 2 r, from `check` on; None stays an error, a file's null too
    stabilised: bool = False
    dropout: float = 0.0
    gated: bool = False
    sites: tuple[str, ...] = ("query", "value")

    def check(self):
        self.positive("rank")
        if self.alpha is Ellipsis:
            object.__setattr__(self, "alpha", 2 * self.rank)
        self.between("alpha", 0)
        self.between("dropout", 0, 1)

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.stabilised else self.rank)

    def build(self, site):
        self.positive("rank", limit=min(site.width, site.source_width))
        module = LoRA(site.source_width, site.width, self.rank, self.scale, self.dropout)
        return Gated(module, site.source_width) if self.gated else module
