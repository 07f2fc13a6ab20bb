"""Invertible adapters: Pfeiffer et al. 2020 (MAD-X), section 4.2: a language's own view of the embeddings, and back."""

import torch
from torch import nn

from ..errors import UserError
from .base import Change, Method, start_small


class Coupling(nn.Module):
    """NICE (Dinh et al. 2015): y1 += F(y2), then y2 += G(y1); to be undone exactly, step by step backwards.

    y: (batch, tokens, width) -> the same shape. F and G: width/2 -> width/4 -> width/2, relu between.
    """

    def __init__(self, width: int):
        super().__init__()
        half, small = width // 2, max(1, width // 4)
        for name in ("F", "G"):
            net = nn.Sequential(nn.Linear(half, small), nn.ReLU(), nn.Linear(small, half))
            start_small(net[0], net[2])
            self.add_module(name, net)

    def forward(self, y):
        y1, y2 = y.chunk(2, dim=-1)
        y1 = y1 + self.F(y2)
        return torch.cat([y1, y2 + self.G(y1)], dim=-1)

    def inverse(self, y):
        y1, y2 = y.chunk(2, dim=-1)
        y2 = y2 - self.G(y1)
        return torch.cat([y1 - self.F(y2), y2], dim=-1)


class Invertible(Change):
    """The coupling on what enters the first layer; its inverse on what enters the output embeddings."""

    def __init__(self, inverse: bool):
        super().__init__()
        self.inverse = inverse

    def forward(self, x, y):
        (coupling,) = self.common
        return coupling.inverse(y) if self.inverse else coupling(y)


class InvertibleConfig(Method):
    """One coupling for the model, at both ends of the stream (at its entry alone without a language head)."""

    name = "invertible"
    formula = "y₁ + F(y₂), y₂ + G(y₁′); undone before the output embeddings"
    paper = "Pfeiffer et al. 2020"
    parameters = "2·(2·⌊d/2⌋·⌊d/4⌋ + ⌊d/2⌋ + ⌊d/4⌋) once"
    fits = ("stream",)
    blocks = frozenset({"Stack"})
    refusal = "an invertible adapter is undone at the model's end, which a mixture could not be"
    optional = True
    sites: tuple[str, ...] = ("embedding", "unembedding")

    def common(self, sites):
        widths = {site.width for site in sites}
        if len(widths) > 1 or min(widths) % 2:
            raise UserError(
                f"invertible: one coupling needs one even width, not {sorted(widths)} "
                f"at {', '.join(site.name for site in sites)}"
            )
        return Coupling(sites[0].width)

    def build(self, site):
        return Invertible(site.kind == "unembedding")
