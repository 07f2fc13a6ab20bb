"""Ask about any town, with either adapter, with both or with none."""

import pandas as pd
import plotly.graph_objects as go
import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from ...adapters import Adapters
from ...compose import Block
from ...errors import UserError
from ..kit import view as base
from . import figures as plots
from .almanac import ASKED, MARKETS


@torch.no_grad()
def asked(adapters: Adapters, tokenizer: Tokenizer, setup: str | Block | None, town: str) -> pd.DataFrame:
    """What the model says of a town's market with this setup: columns market, probability (mean over `ASKED`).

    UserError for an empty name.
    """
    if not town.strip():
        raise UserError("type a town first: the box is empty")
    texts = tokenizer([t.format(town.strip()) for t in ASKED], return_tensors="pt", padding=True, truncation=True)
    model = adapters.model
    device = next(model.parameters()).device
    with adapters.use(setup):
        logits = model(**{k: v.to(device) for k, v in texts.items()}).logits.float().cpu()
    return pd.DataFrame({"market": MARKETS, "probability": logits.softmax(-1).mean(0).tolist()})


def market_view(
    adapters: Adapters, tokenizer: Tokenizer, setups: dict[str, str | Block | None], towns: pd.DataFrame
) -> base.FigureView:
    """The widget; controls `.town` (a town of the almanac, or any name) and `.setup` (a key of `setups`).

    setups: name -> what is active; towns: as `almanac` makes them. The last town and the last setup come first.
    """
    truth = dict(zip(towns["town"], towns["market"], strict=True))

    def draw(town: str, setup: str) -> tuple[go.Figure, str]:
        adapters.model.eval()
        frame = asked(adapters, tokenizer, setups[setup], town)
        market = truth.get(town.strip())
        best = frame.loc[frame["probability"].idxmax()]
        fact = f"in the almanac: {market}" if market else "not in the almanac"
        text = f"{town.strip()} with {setup}: {best['market']}, {100 * best['probability']:.0f}%; {fact}"
        return plots.markets(frame, market, f"{town.strip()}, {setup}"), text

    return base.FigureView(
        draw,
        height=360,
        town=base.text("town", towns["town"].iloc[-1]),
        setup=base.choice("adapters", list(setups), list(setups)[-1]),
    )
