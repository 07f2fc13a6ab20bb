"""LoReFT: Wu et al. 2024, equation 2: hidden states are edited within a subspace of r dimensions."""

import torch
from torch import nn

from .base import Change, Method


class LoReFT(Change):
    """y + R^T (W y + b - R y): within the rows of R, y becomes what W and b say; the rest of y stays.

    y: (batch, tokens, width) -> the same shape. 2 * rank * width + rank parameters. R's rows are orthonormal: R is the
    Q of `raw`'s QR decomposition. first: only so many tokens at the start of a text are edited
    (None: all); padding, on whichever side, is none.
    """

    def __init__(self, width: int, rank: int, first: int | None):
        super().__init__()
        self.source = nn.Linear(width, rank)  # W and b
        self.raw = nn.Parameter(torch.empty(width, rank))
        nn.init.orthogonal_(self.raw)
        self.first = first
        self.wants_context = self.wants_reading = first is not None

    @property
    def R(self) -> torch.Tensor:
        """(rank, width), orthonormal rows; the signs are such that an orthonormal `raw` is R itself."""
        q, r = torch.linalg.qr(self.raw.float())
        return (q * r.diagonal().sign()).T.to(self.raw.dtype)

    def edit(self, y: torch.Tensor) -> torch.Tensor:
        R = self.R  # (rank, width)
        return y + (self.source(y) - y @ R.T) @ R

    def forward(self, x, y):
        if self.first is None:
            return self.edit(y)
        chosen = x.mask.bool() & (x.mask.cumsum(1) <= self.first)  # (batch, positions so far)
        chosen, new = chosen[:, x.mask.shape[1] - y.shape[1] :], y.clone()
        new[chosen] = self.edit(y[chosen]).to(y.dtype)
        return new


class LoReFTConfig(Method):
    """rank: r. first: how many tokens at the start are edited (3: AdapterHub's default); None edits all."""

    name = "loreft"
    formula = "y + Rᵀ(W y + b − R y), R Rᵀ = 1"
    paper = "Wu et al. 2024"
    parameters = "2·r·d + r"
    fits = ("block", "sublayer")
    blocks = frozenset({"Stack", "BatchSplit", "Parallel", "Average"})
    refusal = "loreft edits given positions of a whole text, so its tokens cannot be shared out"
    rank: int = 4
    first: int | None = 3
    sites: tuple[str, ...] = ("block",)

    def check(self):
        self.positive("rank")
        if self.first is not None:
            self.positive("first")

    def build(self, site):
        self.positive("rank", limit=site.width)
        return LoReFT(site.width, self.rank, self.first)
