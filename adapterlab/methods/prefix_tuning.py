"""Prefix tuning: Li and Liang 2021, section 4: learned keys and values in front of the frozen ones.

The first exception: y is not what a module puts out but what an attention looks at, its keys and values, and y' is
longer than y. Every query may look at the new positions; nothing looks from there.
"""

import inspect

import torch
from torch import nn
from torch.nn import functional as F

from ..errors import UserError
from ..sites import Site
from .base import Change, Method
from .gate import Gate


def group(site: Site) -> str:
    """Which network makes a site's prefix: each stack and kind of attention has one of its own."""
    return f"{site.name.split('.')[0]}_{site.kind}"


class Prefixes(nn.Module):
    """The prefixes of a group of sites out of one small network, up(tanh(down(tokens))), which trains more steadily.

    length * width + (width + 1) * hidden + (hidden + 1) * 2 * wide * sites parameters.
    """

    def __init__(self, sites: list[Site], length: int, hidden: int):
        super().__init__()
        self.sites, width = [site.name for site in sites], sites[0].source_width
        self.tokens = nn.Parameter(torch.randn(length, width))
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, 2 * sites[0].width * len(sites))

    def forward(self, site: str) -> torch.Tensor:
        """(length, 2 * wide): this site's outputs of `up`, keys, then values."""
        W, b = (p.chunk(len(self.sites))[self.sites.index(site)] for p in (self.up.weight, self.up.bias))
        return F.linear(torch.tanh(self.down(self.tokens)), W, b)


class PrefixTuning(Change):
    """[P; y] for keys and values alike. y: (batch, 2, heads, tokens, head_width) -> with `length` more tokens.

    Without the network: 2 * length * wide parameters of its own, wide = heads * head_width.
    """

    def __init__(self, site: Site, length: int, direct: bool, gated: bool, counted: bool = False):
        super().__init__()
        self.site, self.group, self.counted = site.name, group(site), counted
        self.own = nn.Parameter(torch.randn(length, 2 * site.width)) if direct else None
        self.gate = Gate(site.source_width) if gated else None

    def bind(self, frozen, owner, new):
        super().bind(frozen, owner, new)
        if self.counted:
            base = type(owner.model.base_model)
            if not {"position_ids", "past_key_values"} <= set(inspect.signature(base.forward).parameters):
                raise UserError(f"prefix_tuning: a {base.__name__} takes no positions or no cache; say counted=False")

    def prefix(self) -> torch.Tensor:
        """(length, 2 * wide): keys, then values."""
        return self.common[0][self.group](self.site) if self.own is None else self.own

    def forward(self, x, y):
        batch, _, heads, _, head_width = y.shape
        P = self.prefix().view(-1, 2, heads, head_width).permute(1, 2, 0, 3)  # (2, heads, length, head_width)
        P = P.expand(batch, -1, -1, -1, -1)
        if self.gate is not None:
            P = P * self.gate(x)[..., None, None]  # one number a text
        return torch.cat([P, y], dim=3)  # (batch, 2, heads, length + tokens, head_width)


class PrefixTuningConfig(Method):
    """length: of the prefix. hidden: width of the network that makes it (0: the prefixes are trained directly).

    gated: the prefixes times UniPELT's gate of what enters the attention.
    counted: the prefixes take up the first positions, and the text's begin behind them, as where a cache holds them
    (Li and Liang's code, PEFT); False: the text keeps its positions (AdapterHub).
    """

    name = "prefix_tuning"
    formula = "[P; y], y = the keys and values"
    paper = "Li and Liang 2021"
    parameters = "2·L·d, or L·d + (d + 1)·h + (h + 1)·2·d·layers once"
    fits = ("memory",)
    blocks = frozenset({"Stack", "BatchSplit", "Parallel"})
    refusal = "prefix tuning adds positions to the keys and values and has no output to mix"
    optional = True
    needs = "an attention that goes through transformers' attention interface"
    length: int = 30
    hidden: int = 512
    gated: bool = False
    counted: bool = False
    sites: tuple[str, ...] = ("memory", "cross_memory")

    def check(self):
        self.positive("length")
        if self.hidden != 0:
            self.positive("hidden")
        if self.counted:  # the positions are those of all rows and layers
            object.__setattr__(self, "blocks", frozenset({"Stack"}))
            if self.layers is not None:
                raise UserError("prefix_tuning: counted prefixes are in every layer; leave layers=None")

    def common(self, sites):
        if not self.hidden:
            return None
        groups = {name: [site for site in sites if group(site) == name] for name in map(group, sites)}
        return nn.ModuleDict({name: Prefixes(group, self.length, self.hidden) for name, group in groups.items()})

    def build(self, site):
        return PrefixTuning(site, self.length, not self.hidden, self.gated, self.counted)
