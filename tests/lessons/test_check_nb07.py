"""Exercises of 07: every common wrong answer has its own message, and the right one passes."""

import math

import pytest
import torch

from adapterlab import check
from adapterlab.tasks.metrics import f1, matthews

BELOW = "((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))"


def verdict(exercise, body, arguments="tp, fp, fn, tn"):
    space = {"sqrt": math.sqrt}
    exec(f"def answer({arguments}):\n    return {body}", space)
    return exercise.verdict(space["answer"])


@pytest.mark.parametrize(
    "body, message",
    [
        ("(tp + tn) / (tp + fp + fn + tn)", "the accuracy"),
        (f"(tp * tn - fp * fn) / {BELOW}", "square root"),
        (f"(tp * tn + fp * fn) / sqrt({BELOW})", "subtracted"),
        (f"100 * (tp * tn - fp * fn) / sqrt({BELOW})", "per cent"),
        (f"(tp * tn - fp * fn) / sqrt({BELOW})", "divide by 0"),
        (f"(tp * tn - fp * fn) / max(sqrt({BELOW}), 3000)", "expected"),
        (f"(tp * tn - fp * fn) / (sqrt({BELOW}) or 1)", "correct"),
    ],
)
def test_matthews_by_hand(body, message):
    assert message in verdict(check.matthews_by_hand, body)


@pytest.mark.parametrize(
    "body, message",
    [
        ("(tp + tn) / (tp + fp + fn + tn)", "the accuracy"),
        ("tp / (tp + fp)", "precision"),
        ("tp / (tp + fn)", "recall"),
        ("(tp / (tp + fp) + tp / (tp + fn)) / 2", "harmonic"),
        ("2 * tn / (2 * tn + fp + fn)", "class 0"),
        ("tp / (tp + fp + fn)", "count twice"),
        ("2 * tp / (2 * tp + fp + fn)", "divides by 0"),
        ("2 * tp / (2 * tp + fp + fn or 1)", "correct"),
    ],
)
def test_f1_by_hand(body, message):
    assert message in verdict(check.f1_by_hand, body)


DROPS = "scores[j][j] - scores[-1][j] for j in range(len(scores) - 1)"


@pytest.mark.parametrize(
    "body, message",
    [
        (f"-sum({DROPS}) / (len(scores) - 1)", "sign"),
        (f"sum({DROPS}) / len(scores)", "last task"),
        ("sum(max(r[j] for r in scores[j:]) - scores[-1][j] for j in range(len(scores) - 1)) / (len(scores) - 1)",
         "best one ever"),
        (f"sum({DROPS})", "the sum"),
        ("scores[0][0] - scores[-1][0]", "first task alone"),
        (f"sum({DROPS}) / (len(scores) - 1)", "correct"),
    ],
)  # fmt: skip
def test_forgotten(body, message):
    assert message in verdict(check.forgotten, body, "scores")


def test_the_references_agree_with_the_package_metrics():
    said, true = torch.tensor([1, 1, 0, 0, 1, 0, 1]), torch.tensor([1, 0, 0, 1, 1, 0, 1])
    counts = [int(((said == s) & (true == t)).sum()) for s, t in ((1, 1), (1, 0), (0, 1), (0, 0))]
    assert check.matthews_by_hand.reference(*counts) == pytest.approx(matthews(said, true))
    assert check.f1_by_hand.reference(*counts) == pytest.approx(f1(said, true))
