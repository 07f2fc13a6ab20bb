"""Exercises of 02_fine_tune."""

from torch import nn

from ...train import linear_schedule
from ..kit.exercise import agrees, exercise, mistake

CASES = ((0, 100), (4, 100), (9, 100), (10, 100), (55, 100), (99, 100), (0, 7), (6, 7))


def _warm(step, total):
    return linear_schedule(step, total, warmup=0.1)


warmup_then_decay = exercise(
    "02a",
    _warm,
    mistake(lambda s, t: 1 - s / t, "there is no warm-up: it starts at its highest", *CASES[:6]),
    mistake(lambda s, t: min(1.0, (s + 1) / (0.1 * t)), "it never decays after the warm-up", *CASES[:6]),
    mistake(
        lambda s, t: s / max(1, round(0.1 * t)) if s < round(0.1 * t) else (t - s) / (t - round(0.1 * t)),
        "step 0 has the factor 0, so the first batch teaches nothing: count the first step as 1",
        *CASES[:6],
    ),
    mistake(
        lambda s, t: (s + 1) / round(0.1 * t) if s < round(0.1 * t) else (t - s) / t,
        "at the end of the warm-up it jumps down: the decay must start from 1",
        *CASES[:6],
    ),
    agrees(_warm, *CASES),
)


def _share(model, total):
    return 100 * sum(p.numel() for p in model.parameters() if p.requires_grad) / total


def _tiny():
    """(a two-layer perceptron whose upper layer alone is trained, the parameters that it counts as its total)."""
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    model[0].requires_grad_(False)
    return model, 144


trained_share = exercise(
    "02b",
    _share,
    mistake(
        lambda model, total: 100 * sum(p.numel() for p in model.parameters()) / total,
        "every parameter is counted as trained: keep those with p.requires_grad",
        _tiny(),
    ),
    mistake(
        lambda model, total: 100 * sum(p.requires_grad for p in model.parameters()) / total,
        "it counts tensors; count numbers, with p.numel()",
        _tiny(),
    ),
    mistake(
        lambda model, total: sum(p.numel() for p in model.parameters() if p.requires_grad) / total,
        "it is a fraction; multiply by 100 for percent",
        _tiny(),
    ),
    mistake(
        lambda model, total: 100 * sum(p.numel() for p in model.parameters() if not p.requires_grad) / total,
        "it counts the frozen parameters",
        _tiny(),
    ),
    agrees(_share, _tiny(), (nn.Linear(3, 2).requires_grad_(False), 10)),
)
