"""Bottleneck adapters: Houlsby et al. 2019, section 2.1 and Figure 2."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from .base import Change, Method

ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "gelu": F.gelu,
    "relu": F.relu,
    "tanh": F.tanh,
    "swish": F.silu,
    "identity": lambda h: h,
}


class Bottleneck(Change):
    """Houlsby et al. 2019: y + up(act(down(y))), nearly the identity when it is new.

    y: (batch, tokens, width) -> the same shape. 2*width*size + width + size parameters.
    Weights start at N(0, std^2) cut off at two standard deviations, biases at 0 (section 2.1 and 3.6).
    """

    outermost = ("up.weight", "up.bias")

    def __init__(self, width: int, size: int, act: str = "gelu", std: float = 1e-2):
        super().__init__()
        self.down = nn.Linear(width, size)
        self.up = nn.Linear(size, width)
        self.act = ACTIVATIONS[act]
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
            nn.init.zeros_(linear.bias)

    def forward(self, x, y):
        return y + self.up(self.act(self.down(y)))


class BottleneckConfig(Method):
    """Two serial adapters a layer, before the residual and the LayerNorm: the paper's placement.

    size: the bottleneck m. act: "gelu" (published code), "relu", "tanh", "swish" (AdapterHub), "identity".
    std: of the initial weights; 1e-2 in the paper's text, 1e-3 in the published code.
    """

    name = "bottleneck"
    formula = "y + up(act(down(y)))"
    paper = "Houlsby et al. 2019"
    parameters = "2·m·d + m + d"
    size: int = 64
    act: str = "gelu"
    std: float = 1e-2
    sites: tuple[str, ...] = ("attention", "feedforward")

    def check(self):
        self.positive("size")
        self.among("act", ACTIVATIONS, "activation")
        if not 0 < self.std < float("inf"):
            raise UserError(f"{self.name}: std must be above 0, not {self.std!r} (two zero matrices would never learn)")

    def build(self, site):
        self.positive("size", limit=site.width)
        return Bottleneck(site.width, self.size, self.act, self.std)
