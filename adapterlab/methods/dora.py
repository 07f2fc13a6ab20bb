"""DoRA: Liu et al. 2024, equation 5: LoRA turns the rows of W, a magnitude of each row is learned apart."""

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from ..quantize import matrix
from .lora import LoRA, LoRAConfig


class DoRA(LoRA):
    """m (W + s B A) x / |W + s B A| + b, with |.| the norm of each row; m starts as |W|, so nothing changes.

    x: (..., source_width), y = W x + b: (..., width) -> the shape of y. r * (source_width + width) + width parameters.
    The norm counts as a constant for the gradient (section 4.3). With dropout, only LoRA's x is dropped.
    """

    outermost = ()

    def __init__(self, source_width: int, width: int, rank: int, scale: float, dropout: float = 0.0):
        super().__init__(source_width, width, rank, scale, dropout)
        self.magnitude = nn.Parameter(torch.ones(width))

    def bind(self, frozen: nn.Module, owner, new: bool) -> None:
        self.frozen = (frozen,)  # in a tuple: the frozen module is not a part of this one
        if new:
            self.magnitude.data = matrix(frozen).detach().to(self.magnitude.dtype).norm(dim=1)

    def ratio(self) -> torch.Tensor:
        """m / |W + s B A|: (width,)."""
        with torch.no_grad():
            norm = (matrix(self.frozen[0]).to(self.A.dtype) + self.scale * self.B @ self.A).norm(dim=1)
        return self.magnitude / norm

    def forward(self, x, y):
        bias, ratio = self.frozen[0].bias, self.ratio()
        delta = self.scale * F.linear(F.linear(self.dropout(x), self.A), self.B)
        if bias is None:
            return ratio * (y + delta)
        return torch.addcmul((1 - ratio) * bias.to(y.dtype), ratio, y + delta)  # the bias is not turned

    def merged(self, weight, bias):
        """(m / |W + s B A|) (W + s B A), and the bias as it was."""
        weight = weight + self.scale * self.B @ self.A
        return (self.magnitude / weight.norm(dim=1))[:, None] * weight, bias


class DoRAConfig(LoRAConfig):
    """LoRA's settings; a magnitude for every output besides."""

    name = "dora"
    formula = "m·(W + (α/r)·B A) x / |W + (α/r)·B A| + b"
    paper = "Liu et al. 2024"
    parameters = "r·(d_in + d) + d"

    def check(self):
        super().check()
        if self.gated:
            raise UserError("dora: there is no gated DoRA; use LoRAConfig(gated=True)")

    def build(self, site):
        self.positive("rank", limit=min(site.width, site.source_width))
        return DoRA(site.source_width, site.width, self.rank, self.scale, self.dropout)
