"""What 01 plays with: how far a new adapter moves the output, and where adapters sit in a layer."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...methods import Bottleneck
from ..kit import view as base
from . import figures as build

STDS = (1e-7, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
FEW = (1e-7, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@torch.no_grad()
def movement(model: nn.Module, inputs: dict, make: Callable[[], nn.Module]) -> float:
    """How far new adapters move a BERT's last hidden states: 100 ||h' - h|| / ||h|| over the real tokens.

    make: () -> a module, y -> y', called for each of the two places a layer. The model is left as it was.
    """
    bert, kept = model.base_model, inputs["attention_mask"].bool()
    before = bert(**inputs).last_hidden_state[kept]
    handles = []
    try:
        for layer in bert.encoder.layer:
            for sublayer in (layer.attention.output.dropout, layer.output.dropout):
                adapter = make().to(before.device)
                handles.append(sublayer.register_forward_hook(lambda m, args, y, adapter=adapter: adapter(y)))
        after = bert(**inputs).last_hidden_state[kept]
    finally:
        for handle in handles:
            handle.remove()
    return 100 * ((after - before).norm() / before.norm()).item()


def curve(
    model: nn.Module,
    inputs: dict,
    make: Callable[[float], nn.Module],
    who: str,
    stds: Sequence[float] = STDS,
    seed: int = 0,
) -> pd.DataFrame:
    """`movement` for several stds, the same random draw each time: columns std, moved_percent, who.

    make: std -> a module, y -> y'.
    """
    rows = []
    for std in stds:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            moved = movement(model, inputs, lambda std=std: make(std))
        rows.append({"std": std, "moved_percent": moved, "who": who})
    return pd.DataFrame(rows)


class Plain(Bottleneck):
    """Bottleneck as y -> y', with the skip connection or without."""

    def __init__(self, width: int, size: int, std: float, skip: bool = True):
        super().__init__(width, size, std=std)
        self.skip = skip

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y, y) if self.skip else self.up(F.gelu(self.down(y)))


def how_far(model: nn.Module, inputs: dict, seed: int = 0) -> base.FigureView:
    """The view: controls `std` (logarithmic), `bottleneck` and `skip`; a live forward pass at every change."""
    width = model.config.hidden_size

    @lru_cache(maxsize=64)
    def line(size: int, skip: str, stds: tuple[float, ...], who: str) -> pd.DataFrame:
        return curve(model, inputs, lambda std: Plain(width, size, std, skip == "with"), who, stds, seed)

    def draw(std: float, bottleneck: int, skip: str) -> tuple[go.Figure, str]:
        chosen = line(bottleneck, skip, (std,), f"std {std:.0e}")
        moved = chosen["moved_percent"].iloc[0]
        who = f"size {bottleneck}" + ("" if skip == "with" else ", no skip")
        frame = pd.concat([line(bottleneck, skip, FEW, who), chosen])
        summary = f"std {std:.1e}, bottleneck {bottleneck}, {skip} the skip: the output moves by {moved:.2g}%"
        return build.movement(frame, title=f"A new adapter moves the output by {moved:.2g}%"), summary

    return base.FigureView(
        draw,
        height=500,
        std=base.power("std", 1e-2, -7, 0),
        bottleneck=base.slider("bottleneck size", 64, 1, 256),
        skip=base.toggles("skip connection", ["with", "without"]),
    )


def where(width: int = 384, size: int = 64, layers: int = 6) -> base.FigureView:
    """The view: one layer's boxes; boxes to tick, `attention` and `feedforward` show or hide its adapters."""

    def draw(attention: bool, feedforward: bool, bottleneck: int) -> tuple[go.Figure, str]:
        count = attention + feedforward
        names = " and ".join(n for n, on in (("attention", attention), ("feed-forward", feedforward)) if on)
        summary = (
            f"{count} adapter{'s' * (count != 1)} a layer ({names or 'none'}), "
            f"{count} x {layers} layers = {count * layers} in all"
        )
        return build.block(attention, feedforward, width, bottleneck), summary

    return base.FigureView(
        draw,
        height=600,
        attention=base.checkbox("after the attention"),
        feedforward=base.checkbox("after the feed-forward block"),
        bottleneck=base.slider("bottleneck size", size, 1, 256),
    )
