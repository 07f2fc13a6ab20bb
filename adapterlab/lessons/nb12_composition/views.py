"""Build a composition by hand: the drawn flow, and what it says about your text."""

from collections.abc import Sequence

import plotly.graph_objects as go
import torch
from transformers import PreTrainedTokenizerBase as Tokenizer

from ...adapters import Adapters
from ...compose import Average, BatchSplit, Block, Fuse, Parallel, Split, Stack
from ...errors import UserError
from ...methods import FusionConfig, HeadConfig
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
    if block == "Average":
        rest = len(children) - 1
        return Average(*children, weights=[share, *[(100 - share) / rest] * rest] if rest > 0 else None)
    if block == "Split":
        step = max(1, share)
        return Split(*children, at=tuple(step * (i + 1) for i in range(len(children) - 1)))
    if block == "Fuse":
        return Fuse(*children, name=fusion)
    return {"Stack": Stack, "BatchSplit": BatchSplit, "Parallel": Parallel}[block](*children)


@torch.no_grad()
def say(
    adapters: Adapters, tokenizer: Tokenizer, setup: str | Block | None, text: str, max_length: int = 64
) -> list[str]:
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
        labels = _labels(adapters, child)
        for p in logits.softmax(-1):
            best = int(p.argmax())
            line = f"{labels[best]} {100 * p[best]:.0f}%" if labels else "no head answers"
            lines.append(f"{child}: {line}" if len(answers) > 1 or len(logits) > 1 else line)
    return lines


def _labels(adapters: Adapters, setup: str | Block) -> tuple[str, ...] | None:
    """The labels of the head that answers for a setup; None where no head does."""
    if isinstance(setup, Stack):
        return next(filter(None, (_labels(adapters, child) for child in reversed(setup.children))), None)
    if isinstance(setup, Block) and not isinstance(setup, Fuse):
        return _labels(adapters, setup.children[0])
    name = setup.name if isinstance(setup, Fuse) else setup
    return next((config.labels for config in adapters[name].info.recipe if isinstance(config, HeadConfig)), None)


def composition_view(
    adapters: Adapters,
    tokenizer: Tokenizer,
    names: Sequence[str],
    fusion: str | None = None,
    text: str = "",
    max_length: int = 64,
) -> base.FigureView:
    """The widget; its controls are `.block`, `.first`, `.second`, `.third`, `.inner`, `.share` and `.typed`.

    names: the adapters to choose from. fusion: an adapter made by `add_fusion` over some of them, in their order.
    text: the first one; max_length: in tokens.
    """
    names = tuple(names)

    def draw(
        block: str, first: str, second: str, third: str, inner: str, share: int, typed: str
    ) -> tuple[go.Figure, str]:
        setup = build(block, (first, second, third), inner, share, fusion)
        _check_fusion(adapters, setup)
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


def _check_fusion(adapters: Adapters, setup: Block | None) -> None:
    """UserError where a Fuse with a trained fusion is not over the adapters that it was trained over."""
    if isinstance(setup, Fuse) and setup.name is not None:
        config = next(config for config in adapters[setup.name].info.recipe if isinstance(config, FusionConfig))
        if setup.children != config.of:
            raise UserError(f"the fusion was trained over {', '.join(config.of)}, in this order; choose these")
