"""VeRA: Kopiczko et al. 2024, equation 2: the two matrices are random, frozen and shared; two vectors are trained."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from .base import Change, Method


class Projections(nn.Module):
    """A: (rank, widest input), B: (widest output, rank): random numbers out of a seed, neither trained nor stored.

    Uniform as Kaiming has it for relu, A before B from one generator: PEFT's numbers for the same seed.
    """

    def __init__(self, rank: int, source_width: int, width: int, seed: int):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for name, shape in (("A", (rank, source_width)), ("B", (width, rank))):
            bound = math.sqrt(6 / shape[1])
            numbers = torch.empty(shape, device="cpu").uniform_(-bound, bound, generator=generator)
            self.register_buffer(name, numbers, persistent=False)


class VeRA(Change):
    """y + diag(b) B diag(d) A x, nothing at all when it is new (b = 0); of A and B the part that the site needs.

    x: (..., source_width), y: (..., width) -> the shape of y. width + rank parameters.
    """

    def __init__(self, source_width: int, width: int, rank: int, start: float = 0.1):
        super().__init__()
        self.source_width, self.width = source_width, width
        self.d = nn.Parameter(torch.full((rank,), start))
        self.b = nn.Parameter(torch.zeros(width))

    @property
    def matrices(self) -> tuple[torch.Tensor, torch.Tensor]:
        """A: (rank, source_width), B: (width, rank)."""
        (shared,) = self.common
        return shared.A[:, : self.source_width].to(self.d.dtype), shared.B[: self.width].to(self.d.dtype)

    def forward(self, x, y):
        A, B = self.matrices
        return y + self.b * F.linear(self.d * F.linear(x, A), B)

    def merged(self, weight, bias):
        """W + diag(b) B diag(d) A, and the bias as it was."""
        A, B = self.matrices
        return weight + (self.b[:, None] * B) @ (self.d[:, None] * A), bias


class VeRAConfig(Method):
    """rank: r, large because it costs little. start: of d. seed: of the random matrices, a part of the adapter."""

    name = "vera"
    formula = "y + diag(b) B diag(d) A x"
    paper = "Kopiczko et al. 2024"
    parameters = "r + d"
    fits = ("linear", "head")
    merges = True
    rank: int = 256
    start: float = 0.1
    seed: int = 0
    sites: tuple[str, ...] = ("query", "value")

    def check(self):
        self.positive("rank")
        self.between("start", 0)

    def common(self, sites):
        return Projections(self.rank, max(s.source_width for s in sites), max(s.width for s in sites), self.seed)

    def build(self, site):
        return VeRA(site.source_width, site.width, self.rank, self.start)
