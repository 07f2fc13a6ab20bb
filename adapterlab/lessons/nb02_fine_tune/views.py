"""Type a sentence, see what every model says."""

from collections.abc import Sequence
from contextlib import nullcontext

import pandas as pd
import plotly.graph_objects as go
import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from ...errors import UserError
from ..kit import theme
from ..kit import view as base

EXAMPLES = (
    "a quiet , moving film that earns every tear",
    "the plot creaks and the jokes fall flat",
    "not bad at all , which is more than i expected",
    "it is hard to say who this is for",
)


@torch.no_grad()
def opinions(models: dict[str, tuple], tokenizer: Tokenizer, text: str, labels: Sequence[str]) -> pd.DataFrame:
    """What each model says of one sentence: columns model, label, probability.

    models: name -> (model, None) or (model, its Adapters, the adapter's name), so that several adapters
    can share a model. UserError for an empty sentence.
    """
    if not text.strip():
        raise UserError("type a sentence first: the box is empty")
    inputs = tokenizer(text, return_tensors="pt", truncation=True)
    rows = []
    for name, (model, adapters, *adapter) in models.items():
        device = next(model.parameters()).device
        with adapters.use(adapter[0]) if adapters else nullcontext():
            logits = model.eval()(**{k: v.to(device) for k, v in inputs.items()}).logits[0].float().cpu()
        rows += [
            {"model": name, "label": label, "probability": float(p)}
            for label, p in zip(labels, logits.softmax(-1), strict=True)
        ]
    return pd.DataFrame(rows)


def bars(frame: pd.DataFrame, text: str) -> go.Figure:
    """One horizontal bar a model: the probability of the last label, for the `opinions` of a sentence."""
    last = frame["label"].iloc[-1]
    rows = frame[frame["label"] == last]
    short = text if len(text) <= 60 else text[:57] + "..."
    fig = theme.figure(
        title=f"“{short}”",
        xaxis={"title": f"probability of “{last}”, %", "range": [0, 112], "tickvals": [0, 25, 50, 75, 100]},
        yaxis={"autorange": "reversed"},
        height=150 + 55 * len(rows),
    )
    percent = theme.f32(100 * rows["probability"])
    fig.add_bar(
        x=percent,
        y=list(rows["model"]),
        orientation="h",
        text=[f"{p:.0f}" for p in percent],
        textposition="outside",
        marker={"color": [theme.OKABE_ITO[0] if p >= 50 else theme.OKABE_ITO[1] for p in percent]},
        hovertemplate=f"%{{y}}<br>{last}: %{{x:.1f}}%<extra></extra>",
    )
    fig.add_vline(50, line={"color": "#666666", "dash": "dot"})
    return fig


def sentence_view(models: dict[str, tuple], tokenizer: Tokenizer, labels: Sequence[str]) -> base.FigureView:
    """A text box and example sentences; the bars show what every model says. Controls `.example`, `.sentence`.

    models: as `opinions` takes them. Without a sentence the example is asked.
    """

    def draw(example: str, sentence: str) -> tuple[go.Figure, str]:
        text = sentence.strip() or example
        frame = opinions(models, tokenizer, text, labels)
        last = frame["label"].iloc[-1]
        rows = frame[frame["label"] == last].itertuples()
        shares = ", ".join(f"{row.model} {100 * row.probability:.0f}%" for row in rows)
        return bars(frame, text), f"“{text}” is {last}: {shares}"

    return base.FigureView(
        draw,
        height=150 + 55 * len(models),
        example=base.choice("an example", list(EXAMPLES)),
        sentence=base.text("or your own sentence, then Enter"),
    )
