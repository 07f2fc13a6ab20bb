"""Ask a question on a passage of your own: the answer in its place, the runners-up, and where it starts and ends."""

import html
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import groupby

import pandas as pd
import plotly.graph_objects as go
import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from ...errors import UserError
from ...tasks.answers import Span, ask
from ...tasks.questions import Question
from ..kit import view as base
from . import figures as plots
from .tables import token_rows

#: tag -> its look: the best span, the others
STYLES = {
    "mark": "background:#F6D18B;color:#000;padding:1px 3px;border-bottom:4px solid #D55E00;font-weight:bold",
    "span": "background:#E3F1FA;color:#000;border-bottom:3px dotted #0072B2",
}


def highlight(passage: str, spans: Sequence[Span]) -> str:
    """HTML: the passage with the best span marked and the others underlined, then every span with its share.

    The share is a softmax over the scores of the spans that are listed: it ranks them, and is no probability of being
    right.
    """
    tags = [""] * len(passage)  # of every character
    for rank, span in reversed(list(enumerate(spans))):  # the best span comes last and covers the others
        tags[span.begin : span.end] = ["span" if rank else "mark"] * (span.end - span.begin)
    pieces = []
    for tag, run in groupby(zip(tags, passage, strict=True), key=lambda pair: pair[0]):
        text = html.escape("".join(character for _, character in run)).replace("\n", "<br>")
        pieces.append(f'<{tag} style="{STYLES[tag]}">{text}</{tag}>' if tag else text)
    rows = [
        f"<li><b>{html.escape(span.text)}</b> &nbsp; score {span.score:.1f}, share {100 * share:.0f}%</li>"
        for span, share in zip(spans, _shares(spans), strict=True)
    ]
    look = "font-size:18px;line-height:1.6;max-width:880px;background:white;color:#222;padding:8px"
    return f'<div style="{look}">{"".join(pieces)}<ol style="line-height:1.4">{"".join(rows)}</ol></div>'


def _shares(spans: Sequence[Span]) -> list[float]:
    return torch.tensor([s.score for s in spans]).softmax(0).tolist()


def respond(
    model: tuple, tokenizer: Tokenizer, passage: str, question: str, *lengths: int
) -> tuple[list[Span], pd.DataFrame, int]:
    """(spans, frame of token probabilities in the best span's window, how many windows).

    model: (model, None) or (model, its Adapters, the adapter's name); lengths: of the window, the overlap, the longest
    answer, in tokens. Errors: UserError for a passage without a word.
    """
    model, adapters, *name = model
    with adapters.use(name[0]) if adapters else nullcontext():
        spans, windows, logits = ask(model, tokenizer, passage, question, *lengths)
    if not spans:
        raise UserError("the passage has no word that could be an answer; type a longer one")
    best = spans[0].window
    return spans, pd.DataFrame(token_rows(logits[best], windows, best, passage)), len(windows)


def question_view(
    models: dict[str, tuple],
    tokenizer: Tokenizer,
    examples: Iterable[Question],
    max_length: int = 192,
    stride: int = 48,
) -> base.FigureView:
    """Choose an example or type a passage and a question; the answer is marked in its place.

    A passage without a question of its own is asked the example's. Controls: `.example`, `.passage`, `.question`,
    `.model_name` and `.longest`; `.note` is the highlighted passage as HTML.

    models: name -> (model, None) or (model, its Adapters, the adapter's name). examples: Questions to choose from.
    """
    by_label = {f"{q.title}: {q.question}": q for q in examples}

    def draw(example: str, passage: str, question: str, model_name: str, longest: int) -> tuple[go.Figure, str, str]:
        given = by_label[example]
        text = passage.strip() or given.context
        asked = question.strip() or given.question
        spans, frame, count = respond(models[model_name], tokenizer, text, asked, max_length, stride, longest)
        share = 100 * _shares(spans)[0]
        gold = f"; accepted: “{given.answers[0]}”" if not passage.strip() and not question.strip() else ""
        windows = f"{count} window{'s' * (count > 1)}"
        summary = f"{asked} {model_name} says “{spans[0].text}” ({share:.0f}% of five candidates, {windows}){gold}"
        figure = plots.start_end(frame, f"“{asked}”" if len(asked) < 55 else f"“{asked[:52]}...”")
        return figure, summary, highlight(text, spans)

    return base.FigureView(
        draw,
        height=420,
        note="above",
        example=base.choice("an example", list(by_label), layout={"width": "860px"}),
        passage=base.area("or your own passage", "paste any English text, as long as you like"),
        question=base.text("and your question, then Enter"),
        model_name=base.choice("answered by", list(models)),
        longest=base.slider("longest answer, tokens", 15, 1, 40),
    )
