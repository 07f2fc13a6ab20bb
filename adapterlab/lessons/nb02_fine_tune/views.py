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
def opinions(models: dict[str, tuple], tokenizer: Tokenizer, text: str) -> pd.DataFrame:
    """What each model says of one sentence: columns model, percent (of the last label's probability).

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
            logits = model.eval()(**{k: v.to(device) for k, v in inputs.items()}).logits[0]
        rows.append({"model": name, "percent": 100 * logits.float().softmax(-1)[-1].item()})
    return pd.DataFrame(rows)


def bars(frame: pd.DataFrame, text: str, label: str) -> go.Figure:
    """A lying bar a model: the probability of the label, for the `opinions` of a sentence."""
    fig = theme.figure(
        f"“{(text if len(text) <= 60 else text[:57] + '...')}”",
        {"title": f"probability of “{label}”, %", "range": [0, 112], "tickvals": [0, 25, 50, 75, 100]},
        {"autorange": "reversed"},
        height=150 + 55 * len(frame),
    )
    theme.columns(fig, frame["model"], frame["percent"], f"%{{y}}<br>{label}: %{{x:.1f}}%", ".0f", lying=True)
    return theme.mark(fig, 50, "paper", axis="x", text="")


def sentence_view(models: dict[str, tuple], tokenizer: Tokenizer, labels: Sequence[str]) -> base.FigureView:
    """A text box and example sentences; the bars show what every model says. Controls `.example`, `.sentence`.

    models: as `opinions` takes them. Without a sentence the example is asked.
    """

    def draw(example: str, sentence: str) -> tuple[go.Figure, str]:
        text = sentence.strip() or example
        frame = opinions(models, tokenizer, text)
        shares = ", ".join(f"{row.model} {row.percent:.0f}%" for row in frame.itertuples())
        return bars(frame, text, labels[-1]), f"“{text}” is {labels[-1]}: {shares}"

    return base.FigureView(
        draw,
        height=150 + 55 * len(models),
        example=base.choice("an example", list(EXAMPLES)),
        sentence=base.text("or your own sentence, then Enter"),
    )
