"""Questions and answers in the format of SQuAD v1.1 (Rajpurkar et al. 2016), and its two scores.

An answer is a stretch of the passage: its text, and the character at which it begins. Nothing else is ever right.
"""

import json
import random
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import UserError
from ..paths import DATA
from .core import SPLIT_SEED, shuffled
from .hub import open_data_set
from .read import read_text

BUNDLED = {"mini_squad": DATA / "mini_squad.json"}
SHAPE = (
    '{"data": [{"title", "paragraphs": [{"context", "qas": '
    '[{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}'
)
INSTEAD = 'load_questions takes "mini_squad" (bundled) and any SQuAD v1.1 JSON file'


@dataclass(frozen=True)
class Question:
    """One question on one passage. starts: for each accepted answer, the character of `context` where it begins."""

    ident: str
    title: str
    context: str
    question: str
    answers: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Questions:
    """Questions in the order of their file."""

    items: tuple[Question, ...]
    source: str

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Question]:
        return iter(self.items)

    def __getitem__(self, row: int) -> Question:
        return self.items[row]

    def __repr__(self) -> str:
        passages = len({q.context for q in self})
        return f"Questions({len(self):,} on {passages:,} passages of {len(self.titles):,} articles, {self.source})"

    @property
    def titles(self) -> tuple[str, ...]:
        """The articles, in the order of their first question."""
        return tuple(dict.fromkeys(q.title for q in self))

    def of(self, titles: Iterable[str]) -> "Questions":
        """The questions on these articles."""
        kept = set(titles)
        return Questions(tuple(q for q in self if q.title in kept), self.source)

    def first(self, count: int) -> "Questions":
        """The first `count` questions."""
        return Questions(self.items[:count], self.source)

    def split(self, test: int, seed: int = SPLIT_SEED) -> tuple["Questions", "Questions"]:
        """(train, test): `test` whole articles are held out, so that no passage is on both sides; UserError if all."""
        if not 1 <= test < len(self.titles):
            raise UserError(f"{test} articles of {len(self.titles)} in {self.source} cannot be held out; leave some")
        order = shuffled(self.titles, random.Random(seed))
        return self.of(order[test:]), self.of(order[:test])


Asked: TypeAlias = Questions | Sequence[Question]


# ---- reading


def load_questions(name: str | Path = "mini_squad", split: str = "train") -> Questions:
    """Questions from a bundled set, a SQuAD v1.1 file or the Hub.

    name: "mini_squad" (bundled: small, written for this workbook), the path of a JSON file, or "hub:owner/dataset"
        (its `split`), as in "hub:rajpurkar/squad".
    Errors: UserError that names the file, the question and the mend.
    """
    name = str(name)
    if name.startswith("hub:"):
        return _collect(_hub_entries(name, split), f"{name}, {split}")
    path = BUNDLED.get(name, Path(name).expanduser())
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a SQuAD v1.1 JSON file in it, such as train-v1.1.json")
    try:
        data = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}: no JSON ({error.msg}, column {error.colno}); it needs SQuAD v1.1's {SHAPE}"
        ) from None
    return parse_squad(data, name if name in BUNDLED else path.name)


def parse_squad(data: Any, source: str) -> Questions:
    """What a SQuAD v1.1 file holds, once it is JSON -> Questions."""
    return _collect(_entries(_get(data, "data", list, source), source), source)


def _entries(articles: list, source: str) -> Iterator[Question]:
    """Every question of a file; what SQuAD v2 calls impossible has no answers."""
    for a, article in enumerate(articles, 1):
        where = f"{source}, article {a}"
        for p, paragraph in enumerate(_get(article, "paragraphs", list, where), 1):
            passage = f"{where}, paragraph {p}"
            context = _get(paragraph, "context", str, passage)
            for entry in _get(paragraph, "qas", list, passage):
                ident = _get(entry, "id", (str, int), passage)
                at = f"{source}, question {ident}"
                asked, golds = _get(entry, "question", str, at), _get(entry, "answers", list, at)
                pairs = [(_get(gold, "text", str, at), _get(gold, "answer_start", int, at)) for gold in golds]
                answers = [] if entry.get("is_impossible") else zip(*pairs, strict=True)
                yield Question(str(ident), str(article.get("title", f"article {a}")), context, asked, *answers)


def _get(entry: Any, key: str, kind: Any, where: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise UserError(f'{where}: "{key}" is missing; SQuAD v1.1 has {SHAPE}')
    if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
        name = {str: "a text", list: "a list", int: "a whole number"}.get(kind, "a text or a number")
        raise UserError(f'{where}: "{key}" has to be {name}, not {entry[key]!r:.40}')
    return entry[key]


def _hub_entries(name: str, split: str) -> Iterator[Question]:
    rows = open_data_set(name, INSTEAD, split)
    needed = {"id", "title", "context", "question", "answers"}
    if missing := sorted(needed - set(rows.column_names)):
        raise UserError(f'{name} has no column "{missing[0]}"; SQuAD on the Hub has {", ".join(sorted(needed))}')
    for row in rows:
        answers = (tuple(row["answers"][key]) for key in ("text", "answer_start"))
        yield Question(row["id"], row["title"], row["context"], row["question"], *answers)


def _collect(asked: Iterable[Question], source: str) -> Questions:
    """The questions, each with answers that are where they are said to be."""
    questions: dict[str, Question] = {}
    for question in asked:
        if wrong := _wrong_answer(question):
            raise UserError(f"{source}, question {question.ident}: {wrong}")
        if question.ident in questions:
            raise UserError(f'{source}: two questions have the id "{question.ident}"; give each its own')
        questions[question.ident] = question
    if not questions:
        raise UserError(f"{source} holds no question; it needs SQuAD v1.1's {SHAPE}")
    return Questions(tuple(questions.values()), source)


def _wrong_answer(question: Question) -> str:
    """What is wrong with a question's answers, '' when nothing is."""
    if not question.answers:
        return "it has no answer, as in SQuAD v2; SQuAD v1.1 is meant here, where each has one: take that file"
    for text, start in zip(question.answers, question.starts, strict=True):
        stretch = question.context[start : start + len(text)] if start >= 0 else ""
        if not text or stretch != text:
            places = [m.start() for m in re.finditer(re.escape(text), question.context)] if text else []
            near = min(places, key=lambda place: abs(place - start), default=None)
            mend = "correct the file" if near is None else f"it stands at {near}: correct answer_start"
            return f'the answer "{text}" is not at answer_start {start}, where the passage says "{stretch}"; {mend}'
    return ""


# ---- the two scores


def normalise(text: str) -> str:
    """Lower case, no ASCII punctuation, no articles, single spaces: SQuAD v1.1's evaluation script, in that order."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def exact_match(answer: str, gold: str) -> float:
    """1.0 when the two texts are the same once normalised, else 0.0."""
    return float(normalise(answer) == normalise(gold))


def f1(answer: str, gold: str) -> float:
    """The harmonic mean of precision and recall over the words that two normalised texts share, with repeats."""
    a, b = normalise(answer).split(), normalise(gold).split()
    shared = sum((Counter(a) & Counter(b)).values())
    return 2 * shared / (len(a) + len(b)) if shared else 0.0


def best_over(metric: Callable[[str, str], float], answer: str, golds: Iterable[str]) -> float:
    """The score against whichever accepted answer suits best."""
    return max(metric(answer, gold) for gold in golds)


def score_answers(answers: Sequence[str], questions: Asked) -> dict[str, float]:
    """{"exact", "f1"}: means over the questions, between 0 and 1; `answers` holds one answer a question, in order."""
    if not answers or len(answers) != len(questions):
        raise UserError(f"{len(answers)} answers for {len(questions)} questions; give one to each, in their order")
    pairs = list(zip(answers, questions, strict=True))
    means = {"exact": exact_match, "f1": f1}
    return {name: sum(best_over(m, text, q.answers) for text, q in pairs) / len(pairs) for name, m in means.items()}
