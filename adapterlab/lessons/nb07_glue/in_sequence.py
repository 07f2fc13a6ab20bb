"""Tasks one after another on one base: an adapter for each, or full fine-tuning of the same model again and again.

jobs: {name: (Task, {"train": Encoded, "test": Encoded})} in the order of learning; epochs: for all, or {name: epochs}.
Both functions return rows for a DataFrame: method, step (1, 2, ...), after (the task just learned), task (the one that
is tested), score, moved (the largest change of its test logits since it was learned), identical (not one bit changed).
"""

from collections.abc import Callable

import torch
from torch import nn

from ...adapters import Adapters
from ...methods import houlsby
from ...studies.ways import unfreeze
from ...tasks import Encoded, Task, score
from ...train import Run, fit, predict

Jobs = dict[str, tuple[Task, dict[str, Encoded]]]
Epochs = int | dict[str, int]


def adapters_in_sequence(
    model: nn.Module,
    jobs: Jobs,
    *,
    size: int = 64,
    epochs: Epochs = 3,
    lr: float = 1e-3,
    seed: int = 0,
    show: bool = True,
) -> tuple[list[dict], list[Run], Adapters]:
    """A fresh adapter with its own head for each task. Returns (rows, runs, Adapters)."""
    adapters = Adapters(model)

    def learn(name: str, task: Task) -> None:
        adapters.add(name, houlsby(size), head=task.labels or ("score",), seed=seed)
        adapters.train(name)

    settings = {"lr": lr, "seed": seed, "show": show}
    return *_in_sequence(model, jobs, learn, adapters.activate, "adapters", epochs, **settings), adapters


def full_in_sequence(
    model: nn.Module, jobs: Jobs, *, epochs: Epochs = 3, lr: float = 1e-4, seed: int = 0, show: bool = True
) -> tuple[list[dict], list[Run]]:
    """The whole model goes on training with each task; every task keeps the head it was learned with, untouched.

    model: a classifier whose head is called `classifier`, as BERT's. Returns (rows, runs).
    """
    heads: dict[str, nn.Linear] = {}

    def ask(name: str) -> None:
        model.classifier = heads[name]

    def learn(name: str, task: Task) -> None:
        old = model.classifier
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = nn.Linear(old.in_features, task.num_outputs)
        heads[name] = head.to(old.weight.device)
        ask(name)
        unfreeze(model)

    return _in_sequence(model, jobs, learn, ask, "full fine-tuning", epochs, lr=lr, seed=seed, show=show)


def _in_sequence(
    model: nn.Module,
    jobs: Jobs,
    learn: Callable[[str, Task], None],
    ask: Callable[[str], None],
    method: str,
    epochs: Epochs,
    **settings,
) -> tuple[list[dict], list[Run]]:
    """Learn every job in turn; after each, test all that were learned so far. settings: of `fit`."""
    rows: list[dict] = []
    runs: list[Run] = []
    first: dict[str, torch.Tensor] = {}  # a task's test logits when it was just learned
    for step, (name, (task, data)) in enumerate(jobs.items(), 1):
        learn(name, task)
        number = epochs[name] if isinstance(epochs, dict) else epochs
        title = f"{method}: {name}"
        runs.append(fit(model, data["train"], epochs=number, metric=task.metric, name=title, **settings))
        for earlier in list(jobs)[:step]:
            ask(earlier)
            metric, test = jobs[earlier][0].metric, jobs[earlier][1]["test"]
            logits = predict(model, test)
            begun = first.setdefault(earlier, logits)
            rows.append(
                {
                    "method": method,
                    "step": step,
                    "after": name,
                    "task": earlier,
                    "score": score(metric, logits, test.labels),
                    "moved": (logits - begun).abs().max().item(),
                    "identical": torch.equal(logits, begun),
                }
            )
    return rows, runs
