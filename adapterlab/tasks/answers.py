"""Extractive question answering: a passage in windows, a span head, and answers read off its scores.

The head gives every token two numbers: how well an answer would start here, and how well it would end here. Two
softmaxes over the window train it; an answer is the pair start <= end with the highest sum.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import UserError
from ..lab import mixed_precision, move
from .encode import Encoded, Tokenizer, batches, longest_row, pad_id
from .questions import Asked, Question, score_answers

Characters: TypeAlias = tuple[int, int]  # begin and end, as a slice takes them

WINDOW = 384  # tokens, where nothing else is asked for, as in BERT's own recipe for SQuAD
HEAD = ("start", "end")
"""The labels of a span head: `adapters.add("qa", houlsby(64), head=HEAD)`."""


@dataclass(frozen=True, repr=False)
class Windows(Encoded):
    """Question and passage as rows of [CLS] question [SEP] part of the passage [SEP].

    labels: (rows, 2) long, the first and the last token of the answer; both point to [CLS] in a window without it.
    owner: for each row, which question it belongs to. offsets: for each row and token, (begin, end) in characters of
    the passage, None for what is not the passage.
    """

    owner: list[int]
    offsets: list[list[Characters | None]]

    def __repr__(self) -> str:
        return (
            f"Windows({len(self):,} of at most {self.max_length} tokens on {len(set(self.owner)):,} questions, "
            f"{sum(self.holds_answer()):,} hold the answer)"
        )

    def holds_answer(self) -> list[bool]:
        """Which rows contain their question's answer whole."""
        return [spans[s] is not None for spans, s in zip(self.offsets, self.labels[:, 0].tolist(), strict=True)]

    def passage(self, row: int) -> dict[int, Characters]:
        """Token -> its characters, of a row's tokens of the passage."""
        return {i: characters for i, characters in enumerate(self.offsets[row]) if characters is not None}


def encode_questions(
    questions: Asked, tokenizer: Tokenizer, max_length: int | None = None, stride: int = 64
) -> Windows:
    """Cut every passage into windows of at most max_length tokens, question included.

    stride: how many tokens two neighbouring windows share (transformers' meaning; BERT's "doc_stride" is the step).
    A question's first answer is the label; without answers (a question of your own) it is [CLS].
    Errors: UserError for a tokenizer without offsets, a max_length that the model cannot take, a question that leaves
    no room for the passage, a stride that is not smaller than that room.
    """
    questions = list(questions)
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(f"{type(tokenizer).__name__} gives no offsets: questions need a fast tokenizer")
    longest = longest_row(tokenizer, max_length, WINDOW)
    asked = [" ".join(q.question.split()) for q in questions]
    for q, text in zip(questions, asked, strict=True):
        _check_room(q, text, tokenizer, longest, stride)
    passages = [q.context for q in questions]
    cut = {"truncation": "only_second", "return_overflowing_tokens": True, "return_offsets_mapping": True}
    out = tokenizer(asked, passages, max_length=longest, stride=stride, return_attention_mask=False, **cut)
    ids, owner = out["input_ids"], list(out["overflow_to_sample_mapping"])
    offsets = [
        [tuple(span) if part == 1 else None for span, part in zip(spans, out.sequence_ids(row), strict=True)]
        for row, spans in enumerate(out["offset_mapping"])
    ]
    cls = [row.index(tokenizer.cls_token_id) if tokenizer.cls_token_id in row else 0 for row in ids]
    labels = [token_span(o, questions[k]) or (c, c) for o, k, c in zip(offsets, owner, cls, strict=True)]
    ends = torch.tensor(labels, dtype=torch.long).reshape(-1, 2)  # (rows, 2)
    cuts = len(owner) - len(set(owner))
    return Windows(ids, out.get("token_type_ids"), ends, pad_id(tokenizer), longest, cuts, owner, offsets)


def _check_room(q: Question, text: str, tokenizer: Tokenizer, longest: int, stride: int) -> None:
    if not text or not q.context.strip():
        raise UserError(f"question {q.ident} {'has an empty passage' if text else 'is empty'}; fill it in")
    asked = len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    room = longest - asked - tokenizer.num_special_tokens_to_add(pair=True)
    if room < 1:
        raise UserError(
            f"question {q.ident} has {asked} tokens and fills the window of {longest}: shorten it or raise max_length"
        )
    if not 0 <= stride < room:
        raise UserError(
            f"stride={stride} must be 0 or more and less than the {room} tokens that a window of {longest} leaves to "
            f"the passage (question {q.ident}); mend stride or raise max_length"
        )


def token_span(offsets: Sequence[Characters | None], question: Question) -> tuple[int, int] | None:
    """The first and the last token of the first answer, None when the window does not hold it whole."""
    inside = [(i, *characters) for i, characters in enumerate(offsets) if characters is not None]
    if not question.answers or not inside:
        return None
    begin, end = question.starts[0], question.starts[0] + len(question.answers[0])
    touched = [i for i, left, right in inside if right > begin and left < end]
    return (touched[0], touched[-1]) if touched and inside[0][1] <= begin and end <= inside[-1][2] else None


# ---- training


def span_loss(output, labels: Tensor) -> Tensor:
    """Mean of two cross-entropies: which token starts the answer, which one ends it. labels: (batch, 2)."""
    return (
        F.cross_entropy(output.start_logits.float(), labels[:, 0])
        + F.cross_entropy(output.end_logits.float(), labels[:, 1])
    ) / 2


def span_judge(
    windows: Windows, questions: Asked, metric: str = "f1", max_answer: int = 30
) -> Callable[[nn.Module], float]:
    """model -> score from 0 to 1: `fit(model, train, loss=span_loss, judge=span_judge(windows, dev), metric="f1")`."""
    return lambda model: score_answers(answer(model, windows, questions, max_answer), questions)[metric]


@torch.no_grad()
def span_logits(model: nn.Module, windows: Windows, batch_size: int = 32) -> list[Tensor]:
    """For each row its start and end scores, (2, tokens of the row), float32 on the CPU."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    logits: list[Any] = [None] * len(windows)
    with mixed_precision(device):
        for inputs, _, rows in batches(windows, batch_size):
            output = model(**move(inputs, device))
            both = torch.stack([output.start_logits, output.end_logits], 1).float().cpu()
            for scores, row in zip(both, rows.tolist(), strict=True):
                logits[row] = scores[:, : len(windows.ids[row])]
    model.train(was)
    return logits


# ---- decoding


@dataclass(frozen=True)
class Span:
    """A candidate: characters [begin, end) of the passage, their text, start score + end score, and which window."""

    begin: int
    end: int
    text: str
    score: float
    window: int


def best_spans(
    start: Tensor, end: Tensor, allowed: Tensor, count: int = 20, max_answer: int = 30
) -> list[tuple[float, int, int]]:
    """The `count` best (score, first token, last token) of one window: first <= last, at most max_answer tokens.

    start, end: (tokens,) scores. allowed: (tokens,) bool, the tokens that belong to the passage.
    """
    start, end = (scores.masked_fill(~allowed, -torch.inf) for scores in (start, end))
    ends = F.pad(end, (0, max_answer - 1), value=-torch.inf).unfold(0, max_answer, 1)
    top = (start[:, None] + ends).flatten()  # [s * max_answer + k]: from token s to token s + k
    values, places = top.topk(min(count, len(top)))
    first, more = places // max_answer, places % max_answer
    spans = zip(values.tolist(), first.tolist(), (first + more).tolist(), strict=True)
    return [span for span in spans if span[0] > -torch.inf]


def decode(
    logits: list[Tensor], windows: Windows, questions: Asked, max_answer: int = 30, count: int = 20
) -> list[list[Span]]:
    """For every question its `count` best spans over all its windows, the best first; no stretch comes twice."""
    if max_answer < 1:
        raise UserError(f"max_answer={max_answer} must be at least 1 token")
    questions = list(questions)
    best: list[dict[Characters, Span]] = [{} for _ in questions]
    for row, (start, end) in enumerate(logits):
        inside, k = windows.passage(row), windows.owner[row]
        allowed = torch.tensor([i in inside for i in range(len(start))])
        for score, first, last in best_spans(start, end, allowed, count, max_answer):
            begin, stop = inside[first][0], inside[last][1]
            if (begin, stop) not in best[k] or score > best[k][begin, stop].score:
                best[k][begin, stop] = Span(begin, stop, questions[k].context[begin:stop], score, row)
    return [sorted(spans.values(), key=lambda s: -s.score)[:count] for spans in best]


def answer(model: nn.Module, windows: Windows, questions: Asked, max_answer: int = 30) -> list[str]:
    """The model's answer to every question, '' where a window has no token of a passage."""
    ranked = decode(span_logits(model, windows), windows, questions, max_answer, count=1)
    return [spans[0].text if spans else "" for spans in ranked]


def ask(
    model: nn.Module,
    tokenizer: Tokenizer,
    passage: str,
    question: str,
    max_length: int | None = None,
    stride: int = 64,
    max_answer: int = 30,
) -> tuple[list[Span], Windows, list[Tensor]]:
    """One question on one passage of your own: (its five best spans, the windows, their scores)."""
    mine = [Question("yours", "yours", passage, question)]
    windows = encode_questions(mine, tokenizer, max_length, stride)
    logits = span_logits(model, windows)
    return decode(logits, windows, mine, max_answer, count=5)[0], windows, logits
