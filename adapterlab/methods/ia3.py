"""(IA)^3: Liu et al. 2022, section 3.3 and equation 1 of "Few-Shot Parameter-Efficient Fine-Tuning"."""

import torch
from torch import nn

from .base import Change, Method


class Scale(Change):
    """y * l, the identity when it is new (l = 1). y: (..., width) -> the same shape. width parameters.

    reads: y is the input of a frozen matrix, not its output; it matters to merging alone.
    """

    outermost = ("scale",)

    def __init__(self, width: int, reads: bool = False):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))
        self.reads = reads

    def forward(self, x, y):
        return y * self.scale

    def merged(self, weight, bias):
        """diag(l) W and l b; where y is the input, W diag(l) and the bias as it was."""
        if self.reads:
            return weight * self.scale, bias
        return weight * self.scale[:, None], None if bias is None else bias * self.scale


class IA3Config(Method):
    """Keys, values and the feed-forward's hidden units, scaled.

    "hidden" is the paper's place, behind the activation. AdapterHub scales before it: sites=("key", "value", "inner").
    With a gated feed-forward both are the same. A fused projection is scaled as a whole, its queries too.
    """

    name = "ia3"
    formula = "y·l"
    paper = "Liu et al. 2022"
    parameters = "d"
    fits = ("linear", "hidden")
    merges = True
    sites: tuple[str, ...] = ("key", "value", "hidden")

    def build(self, site):
        return Scale(site.width, reads=site.form == "hidden")
