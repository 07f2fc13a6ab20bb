"""Compacter: Karimi Mahabadi et al. 2021, section 4: a bottleneck whose matrices are sums of Kronecker products."""

import torch
from torch import nn

from ..errors import UserError
from .base import Change
from .bottleneck import ACTIVATIONS, BottleneckConfig


class LPHM(nn.Module):
    """x W + b with W = sum_i A_i (x) (s_i t_i): a matrix out of n rules and n pairs of thin matrices (equation 5).

    x: (..., ins) -> (..., outs). rank * (ins + outs) + outs parameters, the rule not counted.
    """

    def __init__(self, ins: int, outs: int, n: int, rank: int):
        super().__init__()
        self.s = nn.Parameter(torch.empty(n, ins // n, rank))
        self.t = nn.Parameter(torch.empty(n, rank, outs // n))
        self.bias = nn.Parameter(torch.zeros(outs))
        for part in (*self.s, *self.t):
            nn.init.xavier_uniform_(part)

    def forward(self, x, rule):
        W = torch.einsum("iab,ice->acbe", rule, self.s @ self.t)  # (n, ins/n, n, outs/n), rule: (n, n, n)
        return x @ W.reshape(x.shape[-1], -1) + self.bias


class Compacter(Change):
    """y + up(act(down(y))), nearly the identity when it is new, for the rule starts near 0.

    y: (batch, tokens, width) -> the same shape. 2 * rank * (width + size) + width + size parameters.
    """

    def __init__(self, width: int, size: int, act: str, n: int, rank: int):
        super().__init__()
        self.down, self.up = LPHM(width, size, n, rank), LPHM(size, width, n, rank)
        self.act = ACTIVATIONS[act]

    def forward(self, x, y):
        rule = self.common[0].get_parameter("rule")
        return y + self.up(self.act(self.down(y, rule)), rule)


class CompacterConfig(BottleneckConfig):
    """n: number of rules, a divisor of the width and the size. rank: of each s_i t_i. std: of the rule.

    Compacter++ is sites="feedforward".
    """

    name = "compacter"
    formula = "y + up(act(down(y))), W = Σᵢ Aᵢ ⊗ (sᵢ tᵢ)"
    paper = "Karimi Mahabadi et al. 2021"
    parameters = "2·r·(d + m) + d + m, and n³ once"
    size: int = 24
    n: int = 4
    rank: int = 1
    std: float = 1e-4

    def check(self):
        super().check()
        self.positive("n", "rank")
        self.between("std", 0)
        if self.size % self.n:
            raise UserError(f"compacter: size {self.size} must be a multiple of n={self.n}")

    def common(self, sites):
        """A_1 ... A_n, n x n each: the slow weights. n^3 parameters."""
        return nn.ParameterDict({"rule": torch.randn(self.n, self.n, self.n) * self.std})

    def build(self, site):
        self.positive("size", limit=site.width)
        if site.width % self.n:
            raise UserError(f'compacter: n={self.n} does not divide the width {site.width} of "{site.name}"')
        self.positive("rank", limit=self.size // self.n)
        return Compacter(site.width, self.size, self.act, self.n, self.rank)
