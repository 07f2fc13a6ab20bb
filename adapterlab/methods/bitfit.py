"""BitFit: Ben Zaken et al. 2022, section 3: only the biases are trained."""

import torch
from torch import nn

from .base import Change, Method


class Shift(Change):
    """y + delta: exactly a trained bias, W x + (b + delta). y: (..., width) -> the same shape. width parameters."""

    needs_bias = True
    outermost = ("delta",)

    def __init__(self, width: int):
        super().__init__()
        self.delta = nn.Parameter(torch.zeros(width))

    def forward(self, x, y):
        return y + self.delta

    def merged(self, weight, bias):
        """W as it was, and b + delta."""
        return weight, bias + self.delta


class BitFitConfig(Method):
    """Every linear map and norm of the layers that the model has, and the norms outside them.

    In a model without biases (T5, Llama) the deltas are biases that it did not have; those cannot be merged.
    """

    name = "bitfit"
    formula = "y + δ"
    paper = "Ben Zaken et al. 2022"
    parameters = "d"
    fits = ("linear", "norm", "head")
    merges = True
    optional = True
    sites: tuple[str, ...] = (
        *("query", "key", "value", "qkv", "attention_dense"),
        *("cross_query", "cross_key", "cross_value", "cross_qkv", "cross_attention_dense"),
        *("gate", "inner", "gate_inner", "outer", "norm"),
    )

    def build(self, site):
        return Shift(site.width)
