"""OFT: Qiu et al. 2023: the input of the frozen matrix is turned, by small rotations side by side."""

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from ..quantize import matrix
from .base import Change, Method


class OFT(Change):
    """W R^T x + b, with R orthogonal: the frozen matrix is multiplied, where LoRA adds to it. New, R = I.

    R has blocks of size m on its diagonal, each (I - Q) (I + Q)^-1 of a skew-symmetric Q (Cayley's transform), which is
    orthogonal whatever Q is: lengths and angles among inputs stay, and of W the singular values.
    x: (..., source_width), y = W x + b: (..., width) -> the shape of y. source_width * (m - 1) / 2 parameters.
    """

    def __init__(self, source_width: int, size: int):
        super().__init__()
        self.size = size
        self.upper = nn.Parameter(torch.zeros(source_width // size, size * (size - 1) // 2))  # of each Q, row by row

    def bind(self, frozen: nn.Module, owner, new: bool) -> None:
        self.frozen = (frozen,)

    @property
    def blocks(self) -> torch.Tensor:
        """R's blocks: (source_width / m, m, m), in float32, for half precision cannot be inverted."""
        row, column = torch.triu_indices(self.size, self.size, 1, device=self.upper.device)
        Q = torch.zeros(len(self.upper), self.size, self.size, device=self.upper.device)
        Q = Q.index_put((torch.arange(len(Q), device=Q.device)[:, None], row, column), self.upper.float())
        Q, eye = Q - Q.mT, torch.eye(self.size, device=Q.device)
        return torch.linalg.solve(eye + Q, eye - Q, left=False)

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        """R^T x, block by block: (..., source_width) -> the same shape."""
        return torch.einsum("...bi,bij->...bj", x.unflatten(-1, (-1, self.size)), self.blocks.to(x.dtype)).flatten(-2)

    def forward(self, x, y):
        return y + F.linear(self.turned(x) - x, matrix(self.frozen[0]).to(x.dtype))

    def merged(self, weight, bias):
        """W R^T: every row of W is turned back. The bias as it was."""
        R = self.blocks.to(weight.dtype)
        return torch.einsum("...bj,bij->...bi", weight.unflatten(-1, (-1, self.size)), R).flatten(-2), bias


class OFTConfig(Method):
    """size: m, of the blocks; it must divide the width of the input. LoRA's relatives add, this one multiplies."""

    name = "oft"
    formula = "W Rᵀ x + b, R orthogonal"
    paper = "Qiu et al. 2023"
    parameters = "d_in·(m − 1)/2"
    fits = ("linear", "head")
    merges = True
    size: int = 32
    sites: tuple[str, ...] = ("query", "value")

    def check(self):
        self.positive("size")
        if self.size < 2:
            raise UserError("oft: size must be at least 2, for there is no turn in one dimension")

    def build(self, site):
        if site.source_width % self.size:
            raise UserError(f'oft: size {self.size} does not divide the width {site.source_width} of "{site.name}"')
        return OFT(site.source_width, self.size)
