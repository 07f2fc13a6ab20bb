"""Prefix tuning: Li and Liang 2021, section 4: learned keys and values in front of the frozen ones.

The first exception: y is not what a module puts out but what an attention looks at, its keys and values, and y' is
longer than y. Every query may look at the new positions; nothing looks from there.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional as F

from ..sites import Site
from .base import Change, Method, positive
from .gate import Gate


class Prefixes(nn.Module):
    """The prefixes of a stack's layers out of one small network, up(tanh(down(tokens))), which trains more steadily.

    length * width + (width + 1) * hidden + (hidden + 1) * 2 * wide * layers parameters.
    """

    def __init__(self, length: int, width: int, wide: int, layers: int, hidden: int):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(length, width))
        self.down, self.up = nn.Linear(width, hidden), nn.Linear(hidden, 2 * wide * layers)

    def forward(self, layer: int, wide: int):
        part = slice(2 * wide * layer, 2 * wide * (layer + 1))  # this layer's outputs of `up`: keys, then values
        return F.linear(torch.tanh(self.down(self.tokens)), self.up.weight[part], self.up.bias[part])


class Networks(nn.ModuleDict):
    """A network for each group of sites, one stack and kind of attention; `prefix` is that of one site."""

    def __init__(self, groups: dict[str, list[Site]], length: int, hidden: int):
        networks = {
            group: Prefixes(length, sites[0].source_width, sites[0].width, len(sites), hidden)
            for group, sites in groups.items()
        }
        super().__init__(networks)
        self.layer = {site.name: (group, i) for group, sites in groups.items() for i, site in enumerate(sites)}

    def prefix(self, site: str, wide: int) -> torch.Tensor:
        """(length, 2 * wide)."""
        group, layer = self.layer[site]
        return self[group](layer, wide)


class PrefixTuning(Change):
    """[P; y] for keys and values alike. y: (batch, 2, heads, tokens, head_width) -> with `length` more tokens.

    Without the network: 2 * length * wide parameters of its own, wide = heads * head_width.
    """

    def __init__(self, name: str, length: int, wide: int, source_width: int, direct: bool, gated: bool):
        super().__init__()
        self.name, self.wide = name, wide
        self.own = nn.Parameter(torch.randn(length, 2 * wide)) if direct else None
        self.gate = Gate(source_width) if gated else None

    def prefix(self):
        """(length, 2 * wide): keys, then values."""
        if self.own is not None:
            return self.own
        return self.common[0].prefix(self.name, self.wide)

    def forward(self, x, y):
        batch, _, heads, _, head_width = y.shape
        P = self.prefix().view(-1, 2, heads, head_width).permute(1, 2, 0, 3)  # (2, heads, length, head_width)
        P = P.expand(batch, -1, -1, -1, -1)
        if self.gate is not None:
            P = P * self.gate(x)[..., None, None]  # one number a text
        return torch.cat([P, y], dim=3)  # (batch, 2, heads, length + tokens, head_width)


@dataclass(frozen=True, kw_only=True)
class PrefixTuningConfig(Method):
    """length: of the prefix. hidden: width of the network that makes it (0: the prefixes are trained directly).

    gated: the prefixes times UniPELT's gate of what enters the attention.
    """

    name: ClassVar[str] = "prefix_tuning"
    formula: ClassVar[str] = "[P; y], y = the keys and values"
    paper: ClassVar[str] = "Li and Liang 2021"
    parameters: ClassVar[str] = "2·L·d, or L·d + (d + 1)·h + (h + 1)·2·d·layers once"
    fits: ClassVar[tuple[str, ...]] = ("memory",)
    blocks: ClassVar[frozenset[str]] = frozenset({"Stack", "BatchSplit", "Parallel"})
    refusal: ClassVar[str] = "prefix tuning adds positions to the keys and values and has no output to mix"
    optional: ClassVar[bool] = True
    needs: ClassVar[str] = "an attention that goes through transformers' attention interface"
    length: int = 30
    hidden: int = 512
    gated: bool = False
    sites: tuple[str, ...] = ("memory", "cross_memory")

    def __post_init__(self):
        super().__post_init__()
        positive("prefix_tuning", "length", self.length)
        if self.hidden != 0:
            positive("prefix_tuning", "hidden", self.hidden)

    def groups(self, sites: list[Site]) -> dict[str, list[Site]]:
        """Sites by stack and kind: each group has a network of its own."""
        groups: dict[str, list[Site]] = {}
        for site in sites:
            groups.setdefault(f"{site.name.split('.')[0]}_{site.kind}", []).append(site)
        return groups

    def common(self, sites: list[Site]) -> nn.Module | None:
        if not self.hidden:
            return None
        return Networks(self.groups(sites), self.length, self.hidden)

    def count_common(self, sites: list[Site]) -> int:
        L, h = self.length, self.hidden
        return sum(
            L * s[0].source_width + (s[0].source_width + 1) * h + (h + 1) * 2 * s[0].width * len(s)
            for s in self.groups(sites).values()
        ) * bool(h)

    def build(self, site: Site) -> Change:
        return PrefixTuning(site.name, self.length, site.width, site.source_width, not self.hidden, self.gated)

    def count(self, site: Site) -> int:
        direct = 0 if self.hidden else 2 * self.length * site.width
        return direct + self.gated * (site.source_width + 1)
