"""Tasks one after another on one base: an adapter for each, or full fine-tuning of the same model again and again.

jobs: {name: (Task, {"train": Encoded, "test": Encoded})} in the order of learning.
Both functions return rows for a DataFrame: method, step (1, 2, ...), after (the task just learned), task (the one that
is tested), score, moved (the largest change of its test logits since it was learned), identical (not one bit changed).
"""

import torch
from torch import nn

from ...adapters import Adapters
from ...methods import houlsby
from ...tasks import score
from ...train import Run, fit, predict, unfreeze


def adapters_in_sequence(model, jobs, *, size=64, epochs=3, lr=1e-3, seed=0, show=True):
    """A fresh adapter with its own head for each task. Returns (rows, runs, Adapters)."""
    adapters = Adapters(model)

    def learn(name, task):
        adapters.add(name, houlsby(size), head=task.labels or ("score",), seed=seed)
        adapters.train(name)

    return *_in_sequence(model, jobs, learn, adapters.activate, "adapters", epochs, lr, seed, show), adapters


def full_in_sequence(model, jobs, *, epochs=3, lr=1e-4, seed=0, show=True):
    """The whole model goes on training with each task; every task keeps the head it was learned with, untouched.

    model: a classifier whose head is called `classifier`, as BERT's. Returns (rows, runs).
    """
    heads = {}

    def ask(name):
        model.classifier = heads[name]

    def learn(name, task):
        old = model.classifier
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = nn.Linear(old.in_features, task.num_outputs)
        heads[name] = head.to(old.weight.device)
        ask(name)
        unfreeze(model)

    return _in_sequence(model, jobs, learn, ask, "full fine-tuning", epochs, lr, seed, show)


def _in_sequence(model, jobs, learn, ask, method, epochs, lr, seed, show):
    """Learn every job in turn; after each, test all that were learned so far."""
    rows: list[dict] = []
    runs: list[Run] = []
    first: dict[str, torch.Tensor] = {}
    for step, (name, (task, data)) in enumerate(jobs.items(), 1):
        learn(name, task)
        many = epochs[name] if isinstance(epochs, dict) else epochs
        runs.append(
            fit(model, data["train"], epochs=many, lr=lr, seed=seed, metric=task.metric, name=f"{method}: {name}", show=show)
        )  # fmt: skip
        for old in list(jobs)[:step]:
            ask(old)
            task_then, data_then = jobs[old]
            logits = predict(model, data_then["test"])
            then = first.setdefault(old, logits)
            rows.append(
                {
                    "method": method,
                    "step": step,
                    "after": name,
                    "task": old,
                    "score": score(task_then.metric, logits, data_then["test"].labels),
                    "moved": (logits - then).abs().max().item(),
                    "identical": torch.equal(logits, then),
                }
            )
    return rows, runs
