"""K-Adapter: Wang et al. 2021, section 3: knowledge in transformer layers beside a frozen model, which they only read.

The third exception: y stays as it is at every layer but the last. The adapter reads the frozen hidden states at chosen
layers, hands its own state on from one to the next, and adds it to the model's last hidden state.
"""

from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from ..sites import match
from .base import Change, Method, start_small

FUSIONS = ("add", "linear")


class Encoder(nn.Module):
    """A layer, post-norm as BERT's. h: (batch, tokens, width), mask: (batch, tokens) or None -> h's shape."""

    def __init__(self, width: int, heads: int, inner: int):
        super().__init__()
        self.heads = heads
        self.qkv, self.dense = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.inner, self.outer = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, h, mask):
        q, k, v = self.qkv(h).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)  # (batch, heads, tokens, ...)
        seen = None if mask is None else mask[:, None, None, :].bool()  # (batch, 1, 1, tokens)
        attended = F.scaled_dot_product_attention(q, k, v, seen).transpose(1, 2).flatten(2)  # (batch, tokens, width)
        h = self.norms[0](h + self.dense(attended))
        return self.norms[1](h + self.outer(F.gelu(self.inner(h))))


class Join(nn.Module):
    """Where the adapter's state goes into y: at the last layer, plainly or through a matrix that starts at 0."""

    def __init__(self, last: str, width: int, fusion: str):
        super().__init__()
        self.last = last
        self.matrix = nn.Linear(width, width, bias=False) if fusion == "linear" else None
        if self.matrix is not None:
            nn.init.zeros_(self.matrix.weight)

    def forward(self, site, y, state):
        if site != self.last:
            return y
        return y + (state if self.matrix is None else self.matrix(state))


class KLayer(Change):
    """k = h + up(encoders(down(h))), h = the frozen hidden state + the k of the adapter layer before; `Join` adds it.

    y: (batch, tokens, width) -> the same shape. Padding is masked, which the published code does not do.
    """

    wants_context = True

    def __init__(self, site: str, width: int, size: int, heads: int, inner: int, depth: int):
        super().__init__()
        self.site, self.down, self.up = site, nn.Linear(width, size), nn.Linear(size, width)
        self.encoders = nn.ModuleList(Encoder(size, heads, inner) for _ in range(depth))
        start_small(self.down, self.up, std=2e-4)

    def forward(self, x, y):
        context, join = self.here.context, self.common[0]
        if "mask" not in context:
            raise UserError("kadapter: a layer ran outside a pass of the model; call the model itself")
        mask = context["mask"]
        if mask is not None and mask.shape != y.shape[:2]:
            raise UserError(
                f"kadapter: an attention mask of shape {tuple(mask.shape)} does not fit {tuple(y.shape[:2])} positions"
            )
        frozen = context.setdefault(self.site, y)  # y itself may hold another K-Adapter's state by now
        h = frozen + context.get(id(join), 0)  # (batch, tokens, width)
        k = self.down(h)  # (batch, tokens, size)
        for encoder in self.encoders:
            k = encoder(k, mask)
        context[id(join)] = k = h + self.up(k)
        return join(self.site, y, k)


class KAdapterConfig(Method):
    """layers: which hidden states are read (None: the first and the middle, as 0 and 11 of 24), the last one always.

    size, heads, inner: of its transformer layers (768, 12 and 3072 in the paper); depth: how many of them at each.
    fusion: "add" (the published code) or "linear", a trained matrix on its state that starts at 0, so that two adapters
    that were trained apart can be used together and the new one changes nothing at first.
    """

    name = "kadapter"
    formula = "y + kₙ at the last layer, kᵢ = hᵢ + up(encoders(down(hᵢ))), hᵢ = yᵢ + kᵢ₋₁"
    paper = "Wang et al. 2021"
    parameters = "2·d·m + d + m + depth·(4·m² + 2·m·i + i + 9·m)"
    fits = ("block",)
    blocks = frozenset({"Stack"})
    refusal = "kadapter runs beside the whole model with a state of its own, which cannot be shared out"
    size: int = 64
    heads: int = 4
    inner: int = 256
    depth: int = 2
    fusion: str = "add"
    sites: tuple[str, ...] = ("block",)

    def check(self):
        self.positive("size", "heads", "inner", "depth")
        self.among("fusion", FUSIONS)
        if self.size % self.heads:
            raise UserError(f"kadapter: size {self.size} must be a multiple of heads={self.heads}")

    def targets(self, sites):
        blocks = [site for site in sites.values() if site.kind == "block"]
        stacks = {site.name.split(".")[0] for site in blocks}
        if len(stacks) != 1 or "shared" in stacks or any(site.causal for site in blocks):
            raise UserError(
                "kadapter attends in both directions beside one stack of separate layers: it fits encoders such as "
                "BERT, and not this model"
            )
        last = len(blocks) - 1
        layers = (0, last // 2) if self.layers is None else self.layers
        return match(sites, ("block",), tuple(sorted({*layers, last})))

    def common(self, sites):
        return Join(sites[-1].name, sites[-1].width, self.fusion)

    def build(self, site):
        return KLayer(site.name, site.width, self.size, self.heads, self.inner, self.depth)
