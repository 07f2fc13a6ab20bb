"""Tasks one after another on one base: an adapter for each, or full fine-tuning of the same model again and again."""

import torch
from torch import nn

from ...adapters import Adapters
from ...lab import release_memory
from ...studies.ways import unfreeze
from ...tasks import Encoded, Task, score
from ...train import Run, fit, predict


def in_sequence(
    model: nn.Module,
    jobs: dict[str, tuple[Task, dict[str, Encoded]]],
    recipe: tuple = (),
    *,
    lr: float,
    epochs: int | dict[str, int] = 3,
    seed: int = 0,
    **settings,
) -> tuple[list[dict], list[Run], Adapters]:
    """Learn every job in turn, each with a head of its own; after each, test all that were learned so far.

    jobs: {name: (Task, {"train": Encoded, "test": Encoded})} in their order. recipe: of a fresh adapter for each task;
    none: the whole model goes on training. epochs: for all, or {name: epochs}; settings: of `fit`.
    Returns (rows, runs, Adapters). A row: method, seed, step (1, 2, ...), after (the task just learned), task (the one
    that is tested), score, identical (not one bit of its test logits changed since it was learned).
    """
    release_memory()  # of the model of a run before
    adapters, rows, runs = Adapters(model, overwrite=True), [], []
    method, first = "adapters" if recipe else "full fine-tuning", {}  # first: a task's logits when just learned
    for step, (name, (task, data)) in enumerate(jobs.items(), 1):
        adapters.add(name, recipe, head=task.labels or ("score",), seed=seed)
        adapters.train(name)
        if not recipe:
            unfreeze(model)
        number = epochs[name] if isinstance(epochs, dict) else epochs
        loop = {"metric": task.metric, "name": f"{method}: {name}", "seed": seed, **settings}
        runs.append(fit(model, data["train"], epochs=number, lr=lr, **loop))
        for earlier, (its, sets) in list(jobs.items())[:step]:
            adapters.activate(earlier)
            logits = predict(model, sets["test"])
            same = torch.equal(logits, first.setdefault(earlier, logits))
            row = {"method": method, "seed": seed, "step": step, "after": name, "task": earlier, "identical": same}
            rows.append({**row, "score": score(its.metric, logits, sets["test"].labels)})
    return rows, runs, adapters
