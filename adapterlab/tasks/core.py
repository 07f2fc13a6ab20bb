"""What a task is: texts and labels in splits, and how splits are cut so that they are the same everywhere."""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch

from ..errors import UserError, suggest
from .metrics import CLASS_METRICS, VALUE_METRICS, score

SPLIT_SEED = 2019
"""The seed of every split that this package cuts itself."""
FEWEST = 10
"""Training rows of which splits that are missing can be cut."""


@dataclass(frozen=True)
class Rows:
    """Texts (or pairs of texts) and labels, row by row: class numbers, or scores when it is a regression."""

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: tuple[int | float, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"Rows({len(self):,} {'rows' if self.pairs is None else 'pairs'})"

    def take(self, rows: Iterable[int]) -> "Rows":
        """The rows with these numbers, in this order."""
        rows = list(rows)
        pairs = None if self.pairs is None else tuple(self.pairs[i] for i in rows)
        return Rows(tuple(self.texts[i] for i in rows), pairs, tuple(self.labels[i] for i in rows))

    def keys(self) -> list:
        """What makes a row a duplicate of another: its text, or its two texts."""
        return list(self.texts) if self.pairs is None else list(zip(self.texts, self.pairs, strict=True))

    @property
    def digest(self) -> str:
        """Sixteen hex digits that change with any text, label or order: the fingerprint for a record."""
        sha = hashlib.sha256()
        for key, label in zip(self.keys(), self.labels, strict=True):
            sha.update(repr((key, label)).encode("utf-8", "surrogatepass"))
        return sha.hexdigest()[:16]


def shuffled(items: Iterable[Any], draw: random.Random) -> list[Any]:
    """Like random.shuffle, with the one function whose numbers Python promises to keep."""
    return sorted(items, key=lambda _: draw.random())


def stratified_order(labels: Sequence[int | float], seed: int) -> list[int]:
    """Row numbers in an order of which every beginning holds the classes in their proportions.

    Rows are shuffled within their class; the k-th of a class of n stands at (k + 1/2) / n. So the first m rows hold
    round(m * share) of each class, give or take one. Scores (floats) are simply shuffled.
    """
    draw = random.Random(seed).random
    classes: dict[int | float, list[tuple[float, int]]] = {}
    for i, label in enumerate(labels):
        classes.setdefault(0 if isinstance(label, float) else label, []).append((draw(), i))
    places = []
    for label, members in sorted(classes.items()):
        places += [((k + 0.5) / len(members), label, i) for k, (_, i) in enumerate(sorted(members))]
    return [i for _, _, i in sorted(places)]


def cut(split: Rows, *sizes: int) -> list[Rows]:
    """Stratified pieces of these sizes, then all the rest: cut(rows, 1000, 500) -> [1000, 500, the rest].

    A text that occurs more than once stays in the rest, so that no text is in two pieces.
    """
    times = Counter(keys := split.keys())
    order = stratified_order(split.labels, SPLIT_SEED)
    single = (i for i in order if times[keys[i]] == 1)
    pieces = [list(islice(single, size)) for size in sizes]
    taken = {i for piece in pieces for i in piece}
    return [split.take(piece) for piece in [*pieces, [i for i in order if i not in taken]]]


@dataclass(frozen=True)
class Options:
    """How a user's data is to be read: what `load_task` takes besides the name, which says what each means."""

    text: str = "text"
    label: str = "label"
    pair: str | None = None
    kind: str = "classification"
    labels: Sequence[str] | None = None
    metric: str | None = None
    encoding: str = "utf-8"

    def __post_init__(self):
        if self.kind not in ("classification", "regression"):
            raise UserError(f'unknown kind "{self.kind}"; use "classification" or "regression"')
        known = CLASS_METRICS if self.kind == "classification" else VALUE_METRICS
        if self.metric is not None and self.metric not in known:
            raise UserError(
                f'metric "{self.metric}" is none for {self.kind}{suggest(self.metric, known)}; use {" or ".join(known)}'
            )

    @property
    def columns(self) -> dict[str, str | None]:
        """What each column is -> its name in the data."""
        return {"text": self.text, "pair": self.pair, "label": self.label}


@dataclass(frozen=True)
class Task:
    """A data set that is ready to train on.

    kind: "classification" (labels are numbers into `labels`) or "regression" (`labels` is empty).
    metric: the score that picks the best model, see `score`.
    splits: "train", "validation", "test"; MNLI has "test_mismatched" besides.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    metric: str
    splits: dict[str, Rows]
    source: str

    train = property(lambda self: self.split("train"))
    validation = property(lambda self: self.split("validation"))
    test = property(lambda self: self.split("test"))

    @property
    def num_outputs(self) -> int:
        """The width of the head: one output a class, one for a regression."""
        return 1 if self.kind == "regression" else len(self.labels)

    def split(self, name: str) -> Rows:
        """A split by its name; UserError when the task has none of that name."""
        if name not in self.splits:
            raise UserError(
                f'task "{self.name}" has no split "{name}"; it has {", ".join(self.splits)}{suggest(name, self.splits)}'
            )
        return self.splits[name]

    def subset(
        self, train: int | None = 2000, validation: int | None = 500, test: int | None = None, seed: int = 0
    ) -> "Task":
        """The same task with fewer rows: stratified, the same for the same seed, the small within the large.

        train, validation, test: at most so many rows; None for all. Extra test splits shrink with test.
        """
        sizes, small = {"train": train, "validation": validation, "test": test}, dict(self.splits)
        for name, size in sizes.items():
            if size is not None and (not isinstance(size, int) or size < 1):
                raise UserError(f"{name}={size!r} is no number of rows; give 1 or more, or None for all of them")
        for name, split in self.splits.items():
            if size := sizes[name.split("_")[0]]:
                small[name] = split.take(stratified_order(split.labels, seed)[:size])
        return replace(self, splits=small)

    def majority(self, split: str = "test") -> float:
        """The score, on a split, of always saying what is most frequent in training (or its mean score)."""
        labels = self.split(split).labels
        if self.kind == "regression":
            answer = sum(self.train.labels) / len(self.train)
        else:
            answer = Counter(self.train.labels).most_common(1)[0][0]
        return score(self.metric, torch.full((len(labels),), answer), torch.tensor(labels))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        what = "a score" if self.kind == "regression" else " / ".join(self.labels[:8]) + " ..." * (len(self.labels) > 8)
        return f'Task "{self.name}": {self.kind}, {what}; {sizes}; {self.metric}; from {self.source}'


def assemble(name: str, labels: tuple[str, ...], splits: dict[str, Rows], source: str, options: Options) -> Task:
    """A task of these splits; "validation" and "test" are cut from "train" where they are missing.

    Each is a tenth of the training rows, at most 2,000, at least 1.
    """
    rows, missing = len(splits["train"]), [split for split in ("validation", "test") if split not in splits]
    if missing and rows < FEWEST:
        raise UserError(
            f"{source} has {rows} training rows; at least {FEWEST} are needed to cut off {' and '.join(missing)}"
        )
    *pieces, train = cut(splits["train"], *[max(1, min(2000, round(0.1 * rows)))] * len(missing))
    if not all(len(piece) for piece in pieces):
        raise UserError(
            f"{source}: nearly every text occurs more than once, so none is left for {' and '.join(missing)}"
        )
    whole = {**splits, **dict(zip(missing, pieces, strict=True)), **({"train": train} if missing else {})}
    splits = {split: whole[split] for split in ("train", "validation", "test")} | whole
    metric = options.metric or ("accuracy" if options.kind == "classification" else "pearson_spearman")
    if metric == "f1" and len(labels) != 2:
        raise UserError(f'metric "f1" is for two classes and {source} has {len(labels)}; use "accuracy" or "matthews"')
    return Task(name, options.kind, labels, metric, splits, source)
