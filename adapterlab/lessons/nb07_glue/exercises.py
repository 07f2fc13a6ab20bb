"""Exercises of 07_glue."""

import math

from ..kit.exercise import agrees, exercise, mistake

# ---- 07a, 07b: metrics from the four counts: tp, fp, fn, tn


def _matthews(tp, fp, fn, tn):
    """Matthews' correlation of the four counts; 0 where the formula divides by 0."""
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / below if below else 0.0


def _accuracy(tp, fp, fn, tn):
    return (tp + tn) / (tp + fp + fn + tn)


PLAIN = ((50, 20, 10, 20), (7, 1, 2, 3))
CONSTANT = ((70, 30, 0, 0),)


def _divides(fn):
    try:
        fn(*CONSTANT[0])
    except ZeroDivisionError:
        return "who always says 1 makes the formula divide by 0; the score is then 0"
    return None


matthews_by_hand = exercise(
    "07a",
    _matthews,
    mistake(_accuracy, "that is the accuracy", *PLAIN),
    mistake(
        lambda tp, fp, fn, tn: (tp * tn - fp * fn) / ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
        "the square root below the line is missing",
        *PLAIN,
    ),
    mistake(
        lambda tp, fp, fn, tn: (tp * tn + fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
        "above the line the errors are subtracted, not added",
        *PLAIN,
    ),
    mistake(lambda *c: 100 * _matthews(*c), "that is in per cent; return a fraction of 1", *PLAIN),
    _divides,
    agrees(_matthews, *PLAIN, *CONSTANT),
)


def _f1(tp, fp, fn, tn):
    """2 TP / (2 TP + FP + FN); 0 where that divides by 0."""
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0


def _no_positives(fn):
    try:
        fn(0, 0, 0, 5)
    except ZeroDivisionError:
        return "where nobody says 1 and none is, it divides by 0; the score is then 0"
    return None


f1_by_hand = exercise(
    "07b",
    _f1,
    mistake(_accuracy, "that is the accuracy", *PLAIN),
    mistake(lambda tp, fp, fn, tn: tp / (tp + fp), "that is the precision", *PLAIN),
    mistake(lambda tp, fp, fn, tn: tp / (tp + fn), "that is the recall", *PLAIN),
    mistake(
        lambda tp, fp, fn, tn: (tp / (tp + fp) + tp / (tp + fn)) / 2,
        "that is the plain mean of precision and recall; F1 is the harmonic one",
        *PLAIN,
    ),
    mistake(
        lambda tp, fp, fn, tn: 2 * tn / (2 * tn + fp + fn), "that is the F1 of class 0; GLUE takes class 1", *PLAIN
    ),
    mistake(lambda tp, fp, fn, tn: tp / (tp + fp + fn), "the true positives count twice, above and below", *PLAIN),
    _no_positives,
    agrees(_f1, *PLAIN, (0, 0, 0, 5)),
)

# ---- 07c: how much was forgotten


def _forgotten(scores):
    """Mean loss since learning over all tasks but the last. scores[i][j]: task j's score after stage i, j <= i."""
    last = scores[-1]
    return sum(scores[j][j] - last[j] for j in range(len(last) - 1)) / (len(last) - 1)


SCORES = (([[0.8], [0.7, 0.9], [0.5, 0.85, 0.6]],), ([[0.9], [0.95, 0.6]],))

forgotten = exercise(
    "07c",
    _forgotten,
    mistake(lambda s: -_forgotten(s), "the sign is turned round: forgetting is a loss, and positive", *SCORES),
    mistake(
        lambda s: sum(s[j][j] - s[-1][j] for j in range(len(s))) / len(s),
        "the last task has had no time to be forgotten; leave it out of the mean",
        *SCORES,
    ),
    mistake(
        lambda s: sum(max(row[j] for row in s[j:]) - s[-1][j] for j in range(len(s) - 1)) / (len(s) - 1),
        "compare with the score right after learning, not with the best one ever",
        *SCORES,
    ),
    mistake(
        lambda s: sum(s[j][j] - s[-1][j] for j in range(len(s) - 1)),
        "that is the sum; return the mean over the tasks",
        *SCORES,
    ),
    mistake(lambda s: s[0][0] - s[-1][0], "that is the first task alone; take the mean over all but the last", *SCORES),
    agrees(_forgotten, *SCORES),
)
