"""What Houlsby et al. 2019, section 3.6, tried beside the plain bottleneck, and found no better."""

from collections.abc import Callable

from torch import nn

from .base import Change
from .bottleneck import ACTIVATIONS, BottleneckConfig

PLACES = ("serial", "parallel", "multiply")


class TokenBatchNorm(nn.BatchNorm1d):
    """BatchNorm over every token of the batch: (batch, tokens, size) -> the same shape."""

    def forward(self, h):
        return super().forward(h.flatten(0, -2)).view_as(h)


NORMS: dict[str | None, Callable[[int], nn.Module]] = {
    None: nn.Identity,
    "batch": TokenBatchNorm,
    "layer": nn.LayerNorm,
}


class Variant(Change):
    """A bottleneck with a norm inside, more hidden layers, or beside the sub-layer instead of behind it.

    serial: y + f(y). parallel: y + f(x). multiply: y * (1 + f(x)). f = up(act(norm(down(.)))), and with depth n there
    are n hidden layers of `size` units. x, y: (batch, tokens, width) -> the same shape.
    """

    def __init__(self, width, size, act="gelu", std=1e-2, norm=None, depth=1, place="serial"):
        super().__init__()
        self.act, self.place = ACTIVATIONS[act], place
        self.down = nn.ModuleList(nn.Linear(width if i == 0 else size, size) for i in range(depth))
        self.norm = nn.ModuleList(NORMS[norm](size) for _ in range(depth))
        self.up = nn.Linear(size, width)
        for linear in (self.down[0], self.up):
            nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
            nn.init.zeros_(linear.bias)

    def forward(self, x, y):
        h = y if self.place == "serial" else x
        for down, norm in zip(self.down, self.norm, strict=True):
            h = self.act(norm(down(h)))
        return y * (1 + self.up(h)) if self.place == "multiply" else y + self.up(h)


class VariantConfig(BottleneckConfig):
    """The bottleneck's settings, and: norm (None, "batch", "layer" normalisation of the hidden units, before the
    activation), depth (hidden layers; the paper says "increasing the number of layers per adapter" and no more),
    place ("serial", "parallel", "multiply", the last its "multiplicative interaction").

    std holds for the first and the last matrix; those between hidden layers start as nn.Linear does, or nothing of the
    signal would come through.
    """

    name = "variant"
    formula = "y + f(y), y + f(x) or y·(1 + f(x))"
    parameters = "2·m·d + m + d + (depth − 1)·(m² + m), with a norm + 2·m·depth"
    norm: str | None = None
    depth: int = 1
    place: str = "serial"

    def check(self):
        super().check()
        self.positive("depth")
        self.among("norm", NORMS)
        self.among("place", PLACES)

    def build(self, site):
        self.positive("size", limit=site.width)
        return Variant(site.width, self.size, self.act, self.std, self.norm, self.depth, self.place)
