"""Exercises of 07_glue."""

import math

from ..kit.exercise import divides, exercise

COUNTS = "tp, fp, fn, tn"
PRODUCT = "((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))"


DIVIDES = "makes the formula divide by 0; the score is then 0"


def _matthews(tp, fp, fn, tn):
    """Matthews' correlation of the four counts; 0 where the formula divides by 0."""
    below = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / below if below else 0.0


matthews_by_hand = exercise("07a", COUNTS, _matthews,
    [(50, 20, 10, 20), (7, 1, 2, 3), (2, 5, 4, 1), (70, 30, 0, 0), (0, 0, 20, 10)], f"""
    (tp + tn) / (tp + fp + fn + tn)                  # that is the accuracy
    (tp * tn - fp * fn) / ({PRODUCT} or 1)           # the square root below the line is missing
    (tp * tn + fp * fn) / math.sqrt({PRODUCT} or 1)
    (tp * fp - fn * tn) / math.sqrt({PRODUCT} or 1)
    (fp * fn - tp * tn) / math.sqrt({PRODUCT} or 1)  # the counts are mixed up: above the line is tp·tn - fp·fn
    100 * right(tp, fp, fn, tn)                      # that is in per cent; return a fraction of 1
    abs(right(tp, fp, fn, tn))
    max(0.0, right(tp, fp, fn, tn))                  # worse than chance is below 0: no abs, nothing cut off
    round(right(tp, fp, fn, tn), 2)
    round(right(tp, fp, fn, tn), 3)                  # do not round
""", divides(f"who always says 1 {DIVIDES}", 70, 30, 0, 0),
    divides(f"who always says 0 {DIVIDES}", 0, 0, 20, 10))  # fmt: skip

forgotten = exercise("07b", "scores",
    "sum(scores[j][j] - scores[-1][j] for j in range(len(scores) - 1)) / (len(scores) - 1)",
    [([[0.8], [0.7, 0.9], [0.5, 0.85, 0.6]],), ([[0.9], [0.95, 0.6]],),
     ([[0.8], [0.9, 0.7], [0.85, 0.4, 0.6], [0.7, 0.5, 0.7, 0.9]],)], """
    -right(scores)                     # the sign is turned round: forgetting is a loss, and positive
    right(scores) * (len(scores) - 1) / len(scores)
        # the last task has had no time to be forgotten; leave it out of the mean
    sum(max(row[j] for row in scores[j:]) - scores[-1][j] for j in range(len(scores) - 1)) / (len(scores) - 1)
        # compare with the score right after learning, not with the best one ever
    right(scores) * (len(scores) - 1)  # that is the sum; return the mean over the tasks
    scores[0][0] - scores[-1][0]       # that is the first task alone; take the mean over all but the last
    max(scores[j][j] - scores[-1][j] for j in range(len(scores) - 1))
        # that is the task that lost most; return the mean
    sum(scores[j][j] - scores[j + 1][j] for j in range(len(scores) - 1)) / (len(scores) - 1)
        # that is the loss one stage later; the end is the last row, scores[-1]
    sum(max(0, scores[j][j] - scores[-1][j]) for j in range(len(scores) - 1)) / (len(scores) - 1)
        # a task that has become better counts too, with its sign
    100 * right(scores)                # that is in per cent; return a fraction of 1
""")  # fmt: skip

QUIZ = """a b c
    1 b  # a model that always says the frequent class has about the same there
    1 c  # that says what it costs, not what it knows
    2 a  # size is no reason: think of which sets you can score on at home
    2 c  # a set that chose scores too high: it must not do both
    3 a  # its weights are its own, and they run only while it is active
    3 b  # however long a step is, it moves only what is trained
"""
