"""The Pfeiffer adapter: Pfeiffer et al. 2021 (AdapterFusion), appendix, MAD-X: a bottleneck a layer, after the norm."""

from .bottleneck import Bottleneck, BottleneckConfig
from .gate import Gated


class Pfeiffer(Bottleneck):
    """y + up(act(down(LN(y + x)))): it reads what the layer will put out, and adds to what the layer's norm gets.

    x: the residual stream, y: (batch, tokens, width) -> the same shape. norm: the frozen LayerNorm LN; a model that
    norms before its sub-layers has none here, and the adapter then reads y. 2*width*size + width + size parameters.
    """

    wants_norm = True

    def forward(self, x, y, norm=None):
        h = y if norm is None else norm(y + x)
        return y + self.up(self.act(self.down(h)))


class PfeifferConfig(BottleneckConfig):
    """The bottleneck's settings, at the feed-forward alone. gated: times UniPELT's gate of x."""

    name = "pfeiffer"
    formula = "y + up(act(down(LN(y + x))))"
    paper = "Pfeiffer et al. 2021"
    fits = ("sublayer",)
    act: str = "relu"
    gated: bool = False
    sites: tuple[str, ...] = ("feedforward",)

    def build(self, site):
        self.positive("size", limit=site.width)
        module = Pfeiffer(site.width, self.size, self.act, self.std)
        return Gated(module, site.source_width) if self.gated else module
