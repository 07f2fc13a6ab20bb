"""The scores of GLUE, a few lines each. A constant prediction scores 0 where the formula divides by 0."""

from typing import Any

import torch
from torch import Tensor

from ..errors import UserError, suggest


def accuracy(predicted: Tensor, true: Tensor) -> float:
    """The share of rows that are right."""
    return (predicted == true).double().mean().item()


def f1(predicted: Tensor, true: Tensor) -> float:
    """2 TP / (2 TP + FP + FN) of class 1 (two classes); 0 when nobody says 1 and none is."""
    hits = ((predicted == 1) & (true == 1)).sum().item()
    wrong = ((predicted == 1) != (true == 1)).sum().item()
    return 2 * hits / max(2 * hits + wrong, 1)


def matthews(predicted: Tensor, true: Tensor) -> float:
    """Matthews' correlation (Gorodkin 2004 for more than two classes): cov(predicted, true) over its largest value."""
    classes = int(torch.maximum(predicted.max(), true.max())) + 1
    p = torch.nn.functional.one_hot(predicted, classes).double()
    t = torch.nn.functional.one_hot(true, classes).double()
    p, t = p - p.mean(0), t - t.mean(0)
    below = ((p * p).sum() * (t * t).sum()).sqrt().item()
    return (p * t).sum().item() / below if below > 1e-12 else 0.0


def pearson(predicted: Tensor, true: Tensor) -> float:
    """Linear correlation; NaN when a prediction is."""
    predicted, true = predicted.double(), true.double()
    p, t = predicted - predicted.mean(), true - true.mean()
    constant = p.norm() <= 1e-12 * predicted.norm() or t.norm() <= 1e-12 * true.norm()
    return 0.0 if constant else (p @ t / (p.norm() * t.norm())).item()


def spearman(predicted: Tensor, true: Tensor) -> float:
    """Pearson's correlation of the ranks, where equal values share their mean rank."""
    if not predicted.isfinite().all():
        return float("nan")
    return pearson(_ranks(predicted), _ranks(true))


def _ranks(values: Tensor) -> Tensor:
    _, group, count = values.unique(return_inverse=True, return_counts=True)
    last = count.cumsum(0).double()
    return (last - (count - 1) / 2)[group]


def pearson_spearman(predicted: Tensor, true: Tensor) -> float:
    """The mean of the two, as GLUE ranks STS-B."""
    return (pearson(predicted, true) + spearman(predicted, true)) / 2


CLASS_METRICS = {"accuracy": accuracy, "f1": f1, "matthews": matthews}
VALUE_METRICS = {"pearson": pearson, "spearman": spearman, "pearson_spearman": pearson_spearman}
REPORTED = {
    "matthews": ("matthews", "accuracy"),
    "f1": ("f1", "accuracy"),
    "pearson_spearman": ("pearson_spearman", "pearson", "spearman"),
}


def score(metric: str, outputs: Tensor, labels: Tensor) -> float:
    """One score of a model's outputs; a fraction of 1, not per cent.

    outputs: (rows, classes) logits, or (rows,) class numbers; for a regression (rows,) or (rows, 1) values.
    labels: (rows,) class numbers or scores.
    Errors: UserError for an unknown metric, or when rows and labels do not match.
    """
    known = CLASS_METRICS | VALUE_METRICS
    if metric not in known:
        raise UserError(f'unknown metric "{metric}"{suggest(metric, known)}; the metrics are {", ".join(known)}')
    if len(outputs) != len(labels) or not len(labels):
        raise UserError(f"{metric} compares one output with one label, and got {len(outputs)} with {len(labels)}")
    outputs, labels = outputs.detach().cpu(), labels.detach().cpu()
    if metric in VALUE_METRICS:
        return known[metric](outputs.reshape(len(labels)), labels)
    return known[metric](outputs.argmax(-1) if outputs.dim() == 2 else outputs.long(), labels.long())


def metrics(task: Any, outputs: Tensor, labels: Tensor) -> dict[str, float]:
    """All the scores GLUE reports for the task, the primary one first: MRPC and QQP F1 and accuracy, ..."""
    return {name: score(name, outputs, labels) for name in REPORTED.get(task.metric, (task.metric,))}
