"""What a task is: texts and labels in splits, and how splits are cut so that they are the same everywhere."""

import hashlib
import random
from collections import Counter
from dataclasses import dataclass, replace

from ..errors import UserError, suggest

SPLIT_SEED = 2019
"""The seed of every split that this package cuts itself."""


@dataclass(frozen=True)
class Split:
    """Texts (or pairs of texts) and labels, row by row: class numbers, or scores when it is a regression."""

    texts: tuple[str, ...]
    pairs: tuple[str, ...] | None
    labels: tuple[int | float, ...]

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"Split({len(self):,} {'rows' if self.pairs is None else 'pairs'})"

    def take(self, rows) -> "Split":
        """The rows with these numbers, in this order."""
        rows = list(rows)
        pairs = None if self.pairs is None else tuple(self.pairs[i] for i in rows)
        return Split(tuple(self.texts[i] for i in rows), pairs, tuple(self.labels[i] for i in rows))

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


def stratified_order(labels, seed: int) -> list[int]:
    """Row numbers in an order of which every beginning holds the classes in their proportions.

    Rows are shuffled within their class; the k-th of a class of n stands at (k + 1/2) / n. So the first m
    rows hold round(m * share) of each class, give or take one, and they begin with the first m - 1.
    Scores (floats) are simply shuffled. Only `random.random` is used: Python promises the same
    numbers from it in every version.
    """
    draw = random.Random(seed).random
    classes = {}
    for i, label in enumerate(labels):
        classes.setdefault(0 if isinstance(label, float) else label, []).append((draw(), i))
    place = []
    for label, members in sorted(classes.items()):
        place += [((k + 0.5) / len(members), label, i) for k, (_, i) in enumerate(sorted(members))]
    return [i for _, _, i in sorted(place)]


def cut(split: Split, *sizes: int, seed: int = SPLIT_SEED) -> list[Split]:
    """Stratified pieces of these sizes, then all the rest: cut(rows, 1000, 500) -> [1000, 500, the rest].

    A text that occurs more than once stays in the rest, so that no text is in two pieces.
    """
    times = Counter(keys := split.keys())
    order = stratified_order(split.labels, seed)
    single = [i for i in order if times[keys[i]] == 1]
    pieces, start = [], 0
    for size in sizes:
        pieces.append(single[start : start + size])
        start += size
    taken = set(single[:start])
    return [split.take(piece) for piece in [*pieces, [i for i in order if i not in taken]]]


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
    splits: dict[str, Split]
    source: str
    licence: str

    @property
    def train(self) -> Split:
        return self.split("train")

    @property
    def validation(self) -> Split:
        return self.split("validation")

    @property
    def test(self) -> Split:
        return self.split("test")

    @property
    def num_outputs(self) -> int:
        """The width of the head: one output a class, one for a regression."""
        return 1 if self.kind == "regression" else len(self.labels)

    def split(self, name: str) -> Split:
        """A split by its name; UserError when the task has none of that name."""
        if name not in self.splits:
            raise UserError(
                f'task "{self.name}" has no split "{name}"; it has {", ".join(self.splits)}{suggest(name, self.splits)}'
            )
        return self.splits[name]

    def subset(self, train=2000, validation=500, test=None, seed: int = 0) -> "Task":
        """The same task with fewer rows: stratified, the same for the same seed, the small within the large.

        train, validation, test: at most so many rows; None for all. Extra test splits shrink with test.
        """
        sizes = {"train": train, "validation": validation, "test": test}
        for name, size in sizes.items():
            if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
                raise UserError(f"{name}={size!r} is no number of rows; give 1 or more, or None for all of them")
        small = {}
        for name, split in self.splits.items():
            size = sizes[name.split("_")[0]]
            small[name] = split if size is None else split.take(stratified_order(split.labels, seed)[:size])
        return replace(self, splits=small)

    def majority(self, split: str = "test") -> float:
        """The score, on a split, of always saying what is most frequent in training (or its mean score)."""
        import torch

        from .metrics import score

        labels = self.split(split).labels
        if self.kind == "regression":
            said = torch.full((len(labels),), sum(self.train.labels) / len(self.train))
        else:
            said = torch.full((len(labels),), Counter(self.train.labels).most_common(1)[0][0])
        return score(self.metric, said, torch.tensor(labels))

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split):,}" for name, split in self.splits.items())
        what = "a score" if self.kind == "regression" else " / ".join(self.labels[:8]) + " ..." * (len(self.labels) > 8)
        return f'Task "{self.name}": {self.kind}, {what}; {sizes}; {self.metric}; from {self.source}'
