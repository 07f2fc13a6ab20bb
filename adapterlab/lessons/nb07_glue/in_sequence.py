"""Tasks one after another on one base: an adapter for each, or full fine-tuning of the same model again and again.

jobs: {name: (Task, {"train": Encoded, "test": Encoded})} in the order of learning; epochs: for all, or {name: epochs}.
Rows for a DataFrame: method, seed, step (1, 2, ...), after (the task just learned), task (the one that is tested),
score, moved (the largest change of its test logits since it was learned), identical (not one bit changed).
"""

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
    model: nn.Module, jobs: Jobs, *, size: int = 64, epochs: Epochs = 3, lr: float = 1e-3, seed: int = 0, **settings
) -> tuple[list[dict], list[Run], Adapters]:
    """A fresh adapter with its own head for each task. settings: of `fit`. Returns (rows, runs, Adapters)."""
    return _in_sequence(model, jobs, houlsby(size), "adapters", epochs, lr=lr, seed=seed, **settings)


def full_in_sequence(
    model: nn.Module, jobs: Jobs, *, epochs: Epochs = 3, lr: float = 1e-4, seed: int = 0, **settings
) -> tuple[list[dict], list[Run]]:
    """The whole model goes on training with each task; every task keeps the head it was learned with, untouched."""
    return _in_sequence(model, jobs, (), "full fine-tuning", epochs, lr=lr, seed=seed, **settings)[:2]


def _in_sequence(
    model: nn.Module, jobs: Jobs, recipe: tuple, method: str, epochs: Epochs, seed: int, **settings
) -> tuple[list[dict], list[Run], Adapters]:
    """Learn every job in turn; after each, test all that were learned so far. No recipe: the base is trained."""
    adapters, rows, runs = Adapters(model), [], []
    first: dict[str, torch.Tensor] = {}  # a task's test logits when it was just learned
    for step, (name, (task, data)) in enumerate(jobs.items(), 1):
        adapters.add(name, recipe, head=task.labels or ("score",), seed=seed)
        adapters.train(name)
        if not recipe:
            unfreeze(model)
        number = epochs[name] if isinstance(epochs, dict) else epochs
        title = f"{method}: {name}"
        runs.append(fit(model, data["train"], epochs=number, metric=task.metric, name=title, seed=seed, **settings))
        for earlier in list(jobs)[:step]:
            adapters.activate(earlier)
            metric, test = jobs[earlier][0].metric, jobs[earlier][1]["test"]
            logits = predict(model, test)
            begun = first.setdefault(earlier, logits)
            rows.append(
                {
                    "method": method,
                    "seed": seed,
                    "step": step,
                    "after": name,
                    "task": earlier,
                    "score": score(metric, logits, test.labels),
                    "moved": (logits - begun).abs().max().item(),
                    "identical": torch.equal(logits, begun),
                }
            )
    return rows, runs, adapters
