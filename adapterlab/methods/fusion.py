"""AdapterFusion: Pfeiffer et al. 2021, "AdapterFusion: Non-Destructive Task Composition for Transfer Learning"."""

import torch
from torch import nn

from ..errors import UserError
from .base import Change, Method, start_small


class Fusion(Change):
    """Section 3.2: softmax over adapters of (Q h) . (K z_t), then the so weighted sum of V z_t.

    h: (batch, tokens, width), what the adapters read; z: what each of them adds, a list of the same shapes.
    Returns what they add together, of the same shape. 3*width^2 + 2*width parameters (V has no bias).
    V starts as the identity with 1e-6 beside the diagonal: the adapters' outputs, hardly changed. Q and K start at
    N(0, 0.02^2), so that every adapter begins with nearly the same weight.
    `attention` holds the last weights, (batch, tokens, adapters), while `watch` is on.
    """

    fuses = True

    def __init__(self, width: int):
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value = nn.Linear(width, width, bias=False)
        start_small(self.query, self.key)
        with torch.no_grad():
            self.value.weight.fill_(1e-6).fill_diagonal_(1.0)
        self.watch, self.attention = False, None

    def forward(self, h, z):
        z = torch.stack(z, -2)  # (batch, tokens, adapters, width)
        scores = torch.einsum("...d,...td->...t", self.query(h), self.key(z))
        weights = scores.softmax(-1)  # (batch, tokens, adapters)
        if self.watch:
            self.attention = weights.detach()
        return torch.einsum("...t,...td->...d", weights, self.value(z))

    def regularization(self) -> torch.Tensor:
        """||V - I||^2 / 100, to be added to the loss: V is to keep what the adapters know (section 4.1; the factor is
        that of the published code)."""
        return 0.01 * (self.value.weight - torch.eye(len(self.value.weight)).to(self.value.weight)).square().sum()


class FusionConfig(Method):
    """of: the adapters that it attends over. sites: where they sit; `Adapters.add_fusion` finds out."""

    name = "fusion"
    formula = "y + Σ softmax(Q h · K zᵢ)·V zᵢ, zᵢ: what adapter i adds"
    paper = "Pfeiffer et al. 2021"
    parameters = "3·d² + 2·d"
    of: tuple[str, ...] = ()

    def check(self):
        object.__setattr__(self, "of", tuple(self.of))
        if not self.of or not all(isinstance(name, str) for name in self.of):
            raise UserError(f"fusion: of must name the adapters that it attends over, not {self.of!r}")

    def build(self, site):
        return Fusion(site.width)
