"""LoRA: Hu et al. 2021, equation 3; rank-stabilised: Kalajdzievski 2023, theorem 3.2.

Two starts that are made of the frozen matrix: PiSSA, Meng et al. 2024, equations 2 to 4, and OLoRA, Büyükakyüz 2024.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from ..quantize import matrix
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


def pissa(W: torch.Tensor, rank: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(A, B) with s B A = U_r S_r V_r^T, the part of W = U S V^T, (width, source_width), with the largest values."""
    U, S, Vh = torch.linalg.svd(W, full_matrices=False)
    root = (S[:rank] / scale).sqrt()
    return root[:, None] * Vh[:rank], U[:, :rank] * root


def olora(W: torch.Tensor, rank: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(A, B): the first r rows of R and columns of Q, of W = Q R; B is orthonormal."""
    Q, R = torch.linalg.qr(W)
    return R[:rank], Q[:, :rank]


STARTS = {"pissa": pissa, "olora": olora}


class StartedLoRA(LoRA):
    """y + s (B A - B0 A0) x: a LoRA whose A and B start as A0 and B0, which are made of the frozen W.

    The papers train B A beside W - s B0 A0. Here W is never edited, so the initial product is subtracted in the
    adapter: the same function, the same gradients, and nothing at all when it is new. A0 and B0 are kept and saved with
    it, but not trained: r * (source_width + width) parameters, twice that on disk.
    """

    outermost = ()

    def __init__(self, *settings, start: str = "pissa"):
        super().__init__(*settings)
        self.start = start
        self.register_buffer("A0", torch.zeros_like(self.A))
        self.register_buffer("B0", torch.zeros_like(self.B))

    @torch.no_grad()
    def bind(self, frozen: nn.Module, owner, new: bool) -> None:
        if new:
            A, B = STARTS[self.start](matrix(frozen).detach().float(), len(self.A), self.scale)
            for tensor, value in ((self.A, A), (self.A0, A), (self.B, B), (self.B0, B)):
                tensor.copy_(value)

    def forward(self, x, y):
        first = F.linear(F.linear(x, self.A0), self.B0)
        return y + self.scale * (F.linear(F.linear(self.dropout(x), self.A), self.B) - first)

    def merged(self, weight, bias):
        """W + s (B A - B0 A0), and the bias as it was."""
        return weight + self.scale * (self.B @ self.A - self.B0 @ self.A0), bias


class LoRAConfig(Method):
    """rank: r. alpha: s = alpha / r, or alpha / sqrt(r) when stabilised; 2 r unless given. dropout: of x.

    start: "zero", B = 0; or A and B made of the frozen matrix, by "pissa" or "olora", see `StartedLoRA`.
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
    start: str = "zero"
    sites: tuple[str, ...] = ("query", "value")

    def check(self):
        self.positive("rank")
        if self.alpha is Ellipsis:
            object.__setattr__(self, "alpha", 2 * self.rank)
        self.between("alpha", 0)
        self.between("dropout", 0, 1)
        self.among("start", ("zero", *STARTS))
        if self.start != "zero" and (self.gated or not self.alpha or self.name != "lora"):
            raise UserError(f'{self.name}: start="{self.start}" is for a LoRA without a gate and with an alpha above 0')

    @property
    def scale(self) -> float:
        return self.alpha / (math.sqrt(self.rank) if self.stabilised else self.rank)

    def build(self, site):
        self.positive("rank", limit=min(site.width, site.source_width))
        settings = site.source_width, site.width, self.rank, self.scale, self.dropout
        module = LoRA(*settings) if self.start == "zero" else StartedLoRA(*settings, start=self.start)
        return Gated(module, site.source_width) if self.gated else module
