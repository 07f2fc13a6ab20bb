"""Parallel and scaled parallel adapters: He et al. 2022, section 4.2 and 4.6 (Tables 3 and 6)."""

import math

from torch import nn

from .bottleneck import Bottleneck, BottleneckConfig


class ScaledParallel(Bottleneck):
    """y + s * up(act(down(x))): beside the sub-layer, not behind it; nothing at all when it is new (up = 0).

    x: what the sub-layer is given, y: (batch, tokens, width) -> the same shape. 2*width*size + width + size parameters.
    down starts as LoRA's A does, as in the published code.
    """

    def __init__(self, width: int, size: int, act: str = "relu", scale: float = 4.0):
        super().__init__(width, size, act)
        self.scale = scale
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x, y):
        return y + self.scale * self.up(self.act(self.down(x)))


class ParallelConfig(BottleneckConfig):
    """scale: s, 4 in the paper; 1 is its plain parallel adapter. `std` has no effect."""

    name = "parallel"
    formula = "y + s·up(act(down(x)))"
    paper = "He et al. 2022"
    fits = ("sublayer", "block")
    act: str = "relu"
    scale: float = 4.0
    sites: tuple[str, ...] = ("feedforward",)

    def check(self):
        super().check()
        self.between("scale", 0)

    def build(self, site):
        self.positive("size", limit=site.width)
        return ScaledParallel(site.width, self.size, self.act, self.scale)
