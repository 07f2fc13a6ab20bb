"""A transformer layer as BERT's (Vaswani et al. 2017, post-norm): what a K-Adapter is made of."""

from torch import nn
from torch.nn import functional as F


class Encoder(nn.Module):
    """A transformer layer, post-norm as BERT's. h: (batch, tokens, width), mask: (batch, tokens) or None -> h's shape."""

    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.dense = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, h, mask):
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = None if mask is None else mask[:, None, None, :].bool()
        h = self.norms[0](h + self.dense(F.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).flatten(2)))
        return self.norms[1](h + self.outer(F.gelu(self.inner(h))))
