"""Two tasks, one after the other: what the second does to the first, for every way to go on.

Both tasks answer through one head that has the labels of both; a row is asked among its own task's labels. So only the
part under the head can forget: the old labels' rows of the head get no gradient from the new task.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...adapter import base_parameters, trained_parameters
from ...adapters import Adapters
from ...errors import UserError
from ...methods import LoRAConfig
from ...studies.ways import unfreeze
from ...tasks import Encoded, Rows, Task, encode
from ...tasks.encode import Tokenizer
from ...train import Run, default_loss, fit, predict

Examples = list[tuple[str, int]]  # (text, label), the label counted among those of both tasks


@dataclass(frozen=True)
class Way:
    """How to go on. rank: of the LoRA from the start; rate: times the rate of the first task; share: of the old rows
    that are mixed in; fresh: a new adapter; full: no adapter, the whole model; shuffled: the new labels at random.
    """

    rank: int = 16
    rate: float = 1.0
    share: float = 0.0
    fresh: bool = False
    full: bool = False
    shuffled: bool = False


WAYS = {
    "same adapter": Way(),
    "new adapter": Way(fresh=True),
    "replay 50%": Way(share=0.5),
    "full fine-tuning": Way(full=True),
    "random labels": Way(shuffled=True),
    "replay 10%": Way(share=0.1),
    "rank 2": Way(rank=2),
    "a fifth of the rate": Way(rate=0.2),
}
NOISE = "random change"
"""The control of `Course.disturb`: the old adapter, moved as far as "same adapter" moves it, in a random direction."""


@dataclass(frozen=True)
class Pair:
    """labels: of the old task, then the new; first: how many are the old one's; train, test: "old", "new" -> rows."""

    labels: tuple[str, ...]
    first: int
    train: dict[str, Examples]
    test: dict[str, Examples]


def pair(old: Task, new: Task, rows: int, test: int, seed: int = 0) -> Pair:
    """At most `rows` to train and `test` to test on of two classifications of single texts; UserError for others."""
    tasks, first = {"old": old, "new": new}, len(old.labels)
    splits: dict[str, dict[str, Examples]] = {"train": {}, "test": {}}
    for name, task in tasks.items():
        if task.kind != "classification" or task.train.pairs is not None:
            raise UserError(f'"{task.name}" cannot be one of the two tasks here: take a classification of single texts')
        small = task.subset(train=rows, test=test, seed=seed)
        for split, into in splits.items():
            part = small.split(split)
            into[name] = [
                (t, label + first * (name == "new")) for t, label in zip(part.texts, part.labels, strict=True)
            ]
    return Pair((*old.labels, *new.labels), first, **splits)


@dataclass
class Course:
    """A model, its adapters and two tasks. lr, full_lr: Adam's rates, of an adapter and of the whole model."""

    model: nn.Module
    tokenizer: Tokenizer
    data: Pair
    lr: float = 3e-3
    full_lr: float = 1e-4
    epochs: int = 3
    show: bool = True
    runs: list[Run] = field(default_factory=list)

    def __post_init__(self):
        self.adapters = Adapters(self.model, overwrite=True)
        self.base = {name: p.detach().clone() for name, p in base_parameters(self.model).items()}
        self.test = {name: self.encoded(rows) for name, rows in self.data.test.items()}
        self.learned: dict[tuple, tuple[list[Tensor], Tensor]] = {}  # (rank, seed) -> the old adapter, its answers
        self.moved: dict[int, list[Tensor]] = {}  # seed -> what "same adapter" made of it

    def encoded(self, rows: Examples) -> Encoded:
        texts, labels = zip(*rows, strict=True)
        return encode(Rows(texts, None, labels), self.tokenizer, 48)

    def own(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The logits, (rows, labels of both tasks), with those of the other task at -inf."""
        of_old = torch.arange(logits.shape[1], device=logits.device) < self.data.first
        return logits.masked_fill(of_old != (labels < self.data.first)[:, None], -torch.inf)

    def loss(self, output, labels: Tensor) -> Tensor:
        """Cross-entropy among the labels of each row's own task."""
        output.logits = self.own(output.logits.float(), labels)
        return default_loss(output, labels)

    def right(self, name: str) -> Tensor:
        """Which test rows of "old" or "new" are right: (rows,) bool."""
        labels = self.test[name].labels
        return self.own(predict(self.model, self.test[name]), labels).argmax(-1) == labels

    def add(self, name: str, way: Way, seed: int) -> list[nn.Parameter]:
        """A new adapter (a head alone for `full`) on the base as it was, active and in training; its parameters."""
        with torch.no_grad():
            for key, p in base_parameters(self.model).items():
                p.copy_(self.base[key])
        recipe = () if way.full else LoRAConfig(rank=way.rank, alpha=2 * way.rank, sites=("query", "value", "outer"))
        self.adapters.add(name, recipe, head=self.data.labels, seed=seed)
        self.adapters.train(name)
        if way.full:
            unfreeze(self.model)
        return trained_parameters(self.model)

    def fit(self, rows: Examples, way: Way, seed: int, name: str) -> None:
        rate = way.rate * (self.full_lr if way.full else self.lr)
        loop = {"epochs": self.epochs, "batch_size": 16, "loss": self.loss, "show": self.show}
        self.runs.append(fit(self.model, self.encoded(rows), lr=rate, seed=seed, name=f"{name}, seed {seed}", **loop))

    def learn(self, way: Way, seed: int) -> Tensor:
        """Learn the old task, or take what was learned before; which of its test rows are right."""
        parameters, key = self.add("old", way, seed), (way.rank, seed)
        if way.full or key not in self.learned:
            self.fit(self.data.train["old"], Way(full=way.full), seed, "old task")
            before = self.right("old")
            if way.full:
                return before
            self.learned[key] = [p.detach().clone() for p in parameters], before
        with torch.no_grad():
            for p, value in zip(parameters, self.learned[key][0], strict=True):
                p.copy_(value)
        return self.learned[key][1]

    def go_on(self, name: str, way: Way, seed: int, mix: Callable) -> dict:
        """The old task, then the new one in this way. mix: (old, new, share, order) -> the rows to train on.

        Returns before and old (which old test rows are right before and after) and new, each (rows,) bool.
        """
        before, rows = self.learn(way, seed), self.data.train["new"]
        draw, old = random.Random(seed), self.data.train["old"]
        if way.shuffled:
            labels = [label for _, label in rows]
            draw.shuffle(labels)
            rows = [(text, label) for (text, _), label in zip(rows, labels, strict=True)]
        if way.share:
            rows = mix(old, rows, way.share, draw.sample(range(len(old)), len(old)))
        if way.fresh:
            self.add("new", way, seed + 1000)
        self.fit(rows, way, seed, name)
        if way == Way():
            self.moved[seed] = [p.detach().clone() for p in self.adapters["old"].parameters()]
        new = self.right("new")
        self.adapters.activate("old")
        return {"before": before, "old": self.right("old"), "new": new}

    def disturb(self, seed: int, equal_norm: Callable) -> dict:
        """As `go_on` for "same adapter", but under the head noise takes the place of what the new task changed.

        equal_norm: (change, noise) -> the noise with the norm of the change.
        """
        before, generator = self.learn(Way(), seed), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for (key, p), moved in zip(self.adapters["old"].named_parameters(), self.moved[seed], strict=True):
                noise = torch.randn(p.shape, generator=generator).to(p.device)
                p.copy_(moved if key.startswith("head.") else p + equal_norm(moved - p, noise))
        return {"before": before, "old": self.right("old"), "new": self.right("new")}
