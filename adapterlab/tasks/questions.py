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
from typing import Any

from ..errors import UserError
from ..paths import DATA
from .core import SPLIT_SEED
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
    """Questions in the order of their file. left_out: how many were skipped because they could not be used."""

    items: tuple[Question, ...]
    source: str
    left_out: int = 0

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
        """(train, test): `test` whole articles are held out, so that no passage is on both sides.

        Errors: UserError when one side would be empty.
        """
        titles = self.titles
        if not 1 <= test < len(titles):
            raise UserError(
                f"{test} articles of {len(titles)} cannot be held out; give 1 to {len(titles) - 1}"
                if len(titles) > 1
                else f"{self.source} has one article only and cannot be split by article; give a second file"
            )
        draw = random.Random(seed).random
        number = {title: draw() for title in titles}
        held_out = set(sorted(titles, key=number.__getitem__)[:test])
        return self.of(t for t in titles if t not in held_out), self.of(held_out)


# ---- reading


def load_questions(name: str | Path = "mini_squad", split: str = "train", skip: bool = False) -> Questions:
    """Questions from a bundled set, a SQuAD v1.1 file or the Hub.

    name: "mini_squad" (bundled: small, written for this workbook), the path of a JSON file, or "hub:owner/dataset"
        (its `split`; needs a network or a copy in the cache), as in "hub:rajpurkar/squad".
    skip: leave out the questions whose answer is not where the file says, or that have none, and count them.
    Errors: UserError that names the file, the question and the mend.
    """
    name = str(name)
    if name.startswith("hub:"):
        return _from_hub(name, split, skip)
    path = BUNDLED.get(name, Path(name).expanduser())
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a SQuAD v1.1 JSON file in it, such as train-v1.1.json")
    text = read_text(path)
    if not text.strip():
        raise UserError(f"{path} is empty; it needs SQuAD v1.1 JSON: {SHAPE}")
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}, line {error.lineno}: no JSON ({error.msg}, column {error.colno}); "
            "download it again or mend the line"
        ) from None
    return parse_squad(data, name if name in BUNDLED else path.name, skip)


def parse_squad(data: Any, source: str, skip: bool = False) -> Questions:
    """What a SQuAD v1.1 file holds, once it is JSON -> Questions."""
    if not isinstance(data, dict) or not isinstance(data.get("data"), list):
        raise UserError(f'{source} is JSON but not SQuAD\'s: it has no list "data"; the format is {SHAPE}')
    return _collect(_entries(data["data"], source), source, skip)


def _entries(articles: list, source: str) -> Iterator[Question]:
    """Every question of a file; what SQuAD v2 calls impossible has no answers."""
    for a, article in enumerate(articles, 1):
        where = f"{source}, article {a}"
        title = _get(article, "title", str, where) if "title" in article else f"article {a}"
        for p, paragraph in enumerate(_get(article, "paragraphs", list, where), 1):
            passage = f'{where} ("{title}"), paragraph {p}'
            context = _get(paragraph, "context", str, passage)
            for k, entry in enumerate(_get(paragraph, "qas", list, passage), 1):
                ident = _get(entry, "id", (str, int), f"{passage}, question {k}")
                at = f"{source}, question {ident}"
                asked, golds = _get(entry, "question", str, at), _get(entry, "answers", list, at)
                pairs = [(_get(gold, "text", str, at), _get(gold, "answer_start", int, at)) for gold in golds]
                answers = [] if entry.get("is_impossible") else zip(*pairs, strict=True)
                yield Question(str(ident), title, context, asked, *answers)


def _get(entry: Any, key: str, kind: Any, where: str) -> Any:
    if not isinstance(entry, dict) or key not in entry:
        raise UserError(f'{where}: "{key}" is missing; SQuAD v1.1 has {SHAPE}')
    if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
        name = {str: "a text", list: "a list", int: "a whole number"}.get(kind, "a text or a number")
        raise UserError(f'{where}: "{key}" has to be {name}, not {entry[key]!r:.40}')
    return entry[key]


def _collect(asked: Iterable[Question], source: str, skip: bool) -> Questions:
    """The questions that can be used; skip: leave the others out, and count them."""
    questions: dict[str, Question] = {}
    left_out = 0
    for question in asked:
        if wrong := _wrong_answer(question):
            left_out += 1
            if not skip:
                at = f"{source}, question {question.ident}"
                raise UserError(f"{at}: {wrong}, or leave such questions out with skip=True")
        elif question.ident in questions:
            raise UserError(f'{source}: two questions have the id "{question.ident}"; give each its own')
        else:
            questions[question.ident] = question
    if not questions:
        raise UserError(f"{source} holds no question that can be used ({left_out} left out); check the file")
    return Questions(tuple(questions.values()), source, left_out)


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


def _from_hub(name: str, split: str, skip: bool) -> Questions:
    rows = open_data_set(name, INSTEAD, split)
    needed = {"id", "title", "context", "question", "answers"}
    if missing := sorted(needed - set(rows.column_names)):
        raise UserError(f'{name} has no column "{missing[0]}"; SQuAD on the Hub has {", ".join(sorted(needed))}')
    asked = (
        Question(row["id"], row["title"], row["context"], row["question"],
                 tuple(row["answers"]["text"]), tuple(row["answers"]["answer_start"]))
        for row in rows
    )  # fmt: skip
    return _collect(asked, f"{name}, {split}", skip)


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


def score_answers(answers: Sequence[str], questions: Questions | Sequence[Question]) -> dict[str, float]:
    """{"exact", "f1"}: means over the questions, between 0 and 1; `answers` holds one answer a question, in order."""
    if len(answers) != len(questions):
        raise UserError(f"{len(answers)} answers for {len(questions)} questions; give one to each, in their order")
    if not answers:
        raise UserError("nothing to score: there are no questions")
    return {
        name: sum(best_over(metric, answer, q.answers) for answer, q in zip(answers, questions, strict=True))
        / len(answers)
        for name, metric in (("exact", exact_match), ("f1", f1))
    }
