"""What 01 plays with: how far a new adapter moves the output, and where adapters sit in a layer."""

from functools import lru_cache

import ipywidgets
import pandas as pd
import torch
from torch.nn import functional as F

from ...methods import Bottleneck
from ..kit import view as base
from . import figures as build

STDS = (1e-7, 1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 1.0)
FEW = (1e-7, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


@torch.no_grad()
def movement(model, inputs: dict, make) -> float:
    """How far new adapters move a BERT's last hidden states: 100 ||h' - h|| / ||h|| over the real tokens.

    make: () -> a module, y -> y', called for each of the two places a layer. The model is left as it was.
    """
    bert, kept = model.base_model, inputs["attention_mask"].bool()
    before = bert(**inputs).last_hidden_state[kept]
    handles = []
    try:
        for layer in bert.encoder.layer:
            for place in (layer.attention.output.dropout, layer.output.dropout):
                adapter = make().to(before.device)
                handles.append(place.register_forward_hook(lambda m, args, y, adapter=adapter: adapter(y)))
        after = bert(**inputs).last_hidden_state[kept]
    finally:
        for handle in handles:
            handle.remove()
    return 100 * ((after - before).norm() / before.norm()).item()


def curve(model, inputs: dict, make, who: str, stds=STDS, seed: int = 0) -> pd.DataFrame:
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

    def __init__(self, width, size, std, skip=True):
        super().__init__(width, size, std=std)
        self.skip = skip

    def forward(self, y):
        return super().forward(y, y) if self.skip else self.up(F.gelu(self.down(y)))


def how_far(model, inputs: dict, seed: int = 0) -> base.FigureView:
    """The view: controls `std` (logarithmic), `bottleneck` and `skip`; a live forward pass at every change."""
    width, total = model.config.hidden_size, sum(p.numel() for p in model.base_model.parameters())
    places = 2 * model.config.num_hidden_layers

    @lru_cache(maxsize=64)
    def line(size: int, skip: str) -> pd.DataFrame:
        who = f"size {size}" + ("" if skip == "with" else ", no skip")
        return curve(model, inputs, lambda s: Plain(width, size, s, skip == "with"), who, FEW, seed)

    def draw(std: float, bottleneck: int, skip: str):
        chosen = curve(
            model, inputs, lambda s: Plain(width, bottleneck, s, skip == "with"), f"std {std:.0e}", [std], seed
        )
        moved = chosen["moved_percent"].iloc[0]
        frame = pd.concat([line(bottleneck, skip), chosen])
        each = 2 * width * bottleneck + width + bottleneck
        summary = (
            f"std {std:.1e}, bottleneck {bottleneck}, {skip} the skip: the output moves by {moved:.2g}%; "
            f"{places} adapters of {each:,} = {places * each:,} parameters, {100 * places * each / total:.2f}% of the model"
        )
        return build.movement(frame, title=f"A new adapter moves the output by {moved:.2g}%"), summary

    return base.FigureView(
        draw,
        height=500,
        std=ipywidgets.FloatLogSlider(
            1e-2, min=-7, max=0, step=0.5, description="std", readout_format=".0e",
            continuous_update=False, style=base.LABEL, layout=base.WIDE,
        ),
        bottleneck=base.slider("bottleneck size", 64, 1, 256),
        skip=base.toggles("skip connection", ["with", "without"]),
    )  # fmt: skip


def where(width: int = 384, size: int = 64, layers: int = 6) -> base.FigureView:
    """The view: one layer's boxes; toggles `attention` and `feedforward` show or hide its adapters."""

    def draw(attention: bool, feedforward: bool, bottleneck: int):
        count = attention + feedforward
        each = 2 * width * bottleneck + width + bottleneck
        names = " and ".join(n for n, on in (("attention", attention), ("feed-forward", feedforward)) if on)
        summary = (
            f"{count} adapter{'s' * (count != 1)} a layer ({names or 'none'}): "
            f"{count} x {each:,} x {layers} layers = {count * each * layers:,} parameters"
        )
        return build.block(attention, feedforward, width, bottleneck), summary

    return base.FigureView(
        draw,
        height=600,
        attention=ipywidgets.Checkbox(True, description="after the attention", style=base.LABEL, indent=False),
        feedforward=ipywidgets.Checkbox(
            True, description="after the feed-forward block", style=base.LABEL, indent=False
        ),
        bottleneck=base.slider("bottleneck size", size, 1, 256),
    )
