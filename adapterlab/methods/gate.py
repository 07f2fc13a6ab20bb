"""UniPELT's gate: Mao et al. 2022, section 3.2 and Figure 2. It says for each sentence how much a method may change."""

import torch
from torch import nn

from .base import Change, start_small


class Gate(nn.Module):
    """sigmoid(w x + b), its mean over a sentence's tokens. x: (batch, tokens, width) -> (batch, 1, 1). width + 1."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, 1)
        start_small(self.linear)

    def forward(self, x):
        return torch.sigmoid(self.linear(x)).mean(dim=-2, keepdim=True)


class Gated(Change):
    """y + g(x) (method(x, y) - y): the method's change of y, times the gate."""

    def __init__(self, method: Change, source_width: int):
        super().__init__()
        self.method, self.gate = method, Gate(source_width)
        self.wants_norm = method.wants_norm

    def forward(self, x, y, *norm):
        return y + self.gate(x) * (self.method(x, y, *norm) - y)
