"""Build a composition by hand: the drawn flow, and what it says about your text."""

from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from ...adapters import Adapters
from ...compose import Average, BatchSplit, Block, Fuse, Parallel, Split, Stack
from ...errors import UserError
from ...suits import spoken
from ..kit import view as base
from . import figures as plots

NONE = "-"
BLOCKS = ("Average", "Stack", "Fuse", "Split", "BatchSplit", "Parallel")
INNER = ("nothing", "Stack", "Average", "Parallel")


def build(
    block: str, slots: Sequence[str], inner: str = INNER[0], share: int = 50, fusion: str | None = None
) -> Block | None:
    """The setup that the controls say.

    slots: names in their order, NONE for empty; a name that stands twice counts once; None when all are empty.
    inner: the block around the first two of them, inside the outer one. share: the first one's weight in % in
    Average, the first's tokens in Split. fusion: the adapter that Fuse uses.
    Errors: UserError, as the blocks raise it.
    """
    children: list = [name for name in dict.fromkeys(slots) if name != NONE]
    if not children:
        return None
    if inner != INNER[0]:
        if len(children) < 2:
            raise UserError(f"{inner} inside needs two adapters; choose a second one")
        children[:2] = [{"Stack": Stack, "Average": Average, "Parallel": Parallel}[inner](*children[:2])]
    rest = len(children) - 1
    if block == "Average":
        return Average(*children, weights=[share, *[(100 - share) / rest] * rest] if rest else None)
    if block == "Split":
        return Split(*children, at=tuple(max(1, share) * (i + 1) for i in range(rest)))
    if block == "Fuse":
        return Fuse(*children, name=fusion)
    return {"Stack": Stack, "BatchSplit": BatchSplit, "Parallel": Parallel}[block](*children)


@torch.no_grad()
def say(adapters: Adapters, tokenizer: Tokenizer, setup: str | Block | None, text: str, max_length: int = 64) -> list:
    """One line an answer: "positive 93%", with the child's name where several children answer.

    Every row of a BatchSplit is this text.
    """
    rows = sum(setup.sizes) if isinstance(setup, BatchSplit) else 1
    device = next(adapters.model.parameters()).device
    inputs = tokenizer([text] * rows, return_tensors="pt", truncation=True, max_length=max_length).to(device)
    adapters.model.eval()
    with adapters.use(setup):
        answers = adapters.answers(adapters.model(**inputs).logits)
    if setup is None:
        return ["no adapter, no answer"]
    lines = []
    for child, logits in answers.items():
        labels = spoken(adapters, child)
        for p in logits.softmax(-1):
            line = f"{labels[p.argmax()]} {100 * p.max():.0f}%" if labels else "no head answers"
            lines.append(f"{child}: {line}" if len(answers) > 1 or len(logits) > 1 else line)
    return lines


def composition_view(
    adapters: Adapters, tokenizer: Tokenizer, names: Sequence[str], fusion: str, text: str = "", max_length: int = 64
) -> base.FigureView:
    """The widget; its controls are `.block`, `.first`, `.second`, `.third`, `.inner`, `.share` and `.typed`.

    names: the adapters to choose from. fusion: an adapter made by `add_fusion` over some of them, in their order.
    text: the first one; max_length: in tokens.
    """

    def draw(block: str, inner: str, share: int, typed: str, **slots: str) -> tuple[go.Figure, str]:
        setup = build(block, tuple(slots.values()), inner, share, fusion)
        over = adapters[fusion].info.fusion.of
        if isinstance(setup, Fuse) and setup.children != over:
            raise UserError(f"the fusion was trained over {', '.join(over)}, in this order; choose these")
        answers = say(adapters, tokenizer, setup, typed, max_length)
        return plots.flow(setup, answers, f"“{typed[:60]}”"), f"{setup!r} on “{typed}”: {'; '.join(answers)}"

    view = base.FigureView(
        draw,
        height=420,
        block=base.choice("block", BLOCKS),
        first=base.choice("first", (*names, NONE), names[0]),
        second=base.choice("second", (*names, NONE), names[1]),
        third=base.choice("third", (*names, NONE), NONE),
        inner=base.choice("around the first two", INNER),
        share=base.slider("first's weight, % (Average), or tokens (Split)", 50, 0, 100),
        typed=base.text("text", text),
    )

    def enable(change: dict) -> None:
        view.share.disabled = change["new"] not in ("Average", "Split")

    view.block.observe(enable, "value")
    return view
