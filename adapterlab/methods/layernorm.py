"""LayerNorm tuning, as a delta on what the frozen LayerNorm puts out."""

import torch
from torch import nn

from .base import Change, Method


class ScaleShift(Change):
    """y * scale + shift: exactly a trained LayerNorm, for (w z + b) * s + t = (w s) z + (b s + t).

    y: (batch, tokens, width) -> the same shape. 2*width parameters; starts as the identity.
    """

    needs_bias = True
    outermost = ("scale", "shift")

    def __init__(self, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))

    def forward(self, x, y):
        return torch.addcmul(self.shift, y, self.scale)

    def merged(self, weight, bias):
        """s w and s b + t; for the rows of a matrix alike."""
        return (self.scale if weight.ndim == 1 else self.scale[:, None]) * weight, bias * self.scale + self.shift


class LayerNormConfig(Method):
    """Train every LayerNorm, the embeddings' included (Houlsby et al. 2019, section 2.1: 2d parameters each)."""

    name = "layernorm"
    formula = "y·s + t"
    paper = "Houlsby et al. 2019"
    parameters = "2·d"
    merges = True
    sites: tuple[str, ...] = ("norm",)

    def build(self, site):
        return ScaleShift(site.width)
