"""Exercises of 02_fine_tune."""

from torch import nn

from ...train import linear_schedule
from ..kit.exercise import exercise

# 16 steps: round(1.6) is 2, int(1.6) is 1; 4 steps: round(0.4) is 0, and one step of warm-up is due all the same
STEPS = [(step, 100) for step in (0, 4, 9, 10, 55, 99)]
SCHEDULES = [*STEPS, (0, 7), (6, 7), (1, 16), (2, 16), (0, 4), (1, 4), (1, 2)]

warmup_then_decay = exercise(
    "02a",
    "step, total",
    lambda step, total: linear_schedule(step, total, warmup=0.1),
    SCHEDULES,
    [
        (
            STEPS,
            """
        1 - step / total                                          # there is no warm-up: it starts at its highest
        min(1.0, (step + 1) / (0.1 * total))
        right(step, total) if step < round(0.1 * total) else 1.0  # it never decays after the warm-up
        step / round(0.1 * total) if step < round(0.1 * total) else right(step, total)
            # step 0 has the factor 0, so the first batch teaches nothing: count the first step as 1
        right(step, total) if step < round(0.1 * total) else (total - step) / total
        right(step, total) if step < round(0.1 * total) else 1 - (step + 1) / total
            # at the end of the warm-up it jumps down: the decay must start from 1
        right(step, total) if step < rise(total) else (total - 1 - step) / max(1, total - 1 - rise(total))
            # the line reaches 0 at the last step, total - 1, which then teaches nothing; it is 0 at `total`
        right(step, total) if step < rise(total) else (step - rise(total)) / (total - rise(total))
            # it climbs again after the warm-up: (step - rise) grows, (total - step) falls
        """,
        ),
        """
        (step + 1) / rise(total) if step <= rise(total) else right(step, total)
            # at step = rise it goes beyond 1: the warm-up holds for step < rise
        scaled(step, total, max(1, int(0.1 * total)))
            # int(0.1 * total) cuts off; `rise` is rounded: round(0.1 * total)
        scaled(step, total, 0.1 * total)  # `rise` is a whole number of steps: max(1, round(0.1 * total))
        scaled(step, total, round(0.1 * total))
            # `rise` becomes 0 for few steps, and then there is no warm-up step at all: max(1, ...)
        100 * right(step, total)  # the factor goes up to 1, not to 100
        """,
    ],
    names={
        "rise": lambda total: max(1, round(0.1 * total)),
        "scaled": lambda step, total, rise: (step + 1) / rise if step < rise else (total - step) / max(1, total - rise),
    },
)


def _perceptron(trained: int, total: int) -> tuple[nn.Module, int]:
    """(two layers of 144 and 68 parameters of which one is trained, what `total` says)."""
    model = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 4))
    model[1 - trained].requires_grad_(False)
    return model, total


trained_share = exercise(
    "02b",
    "model, total",
    "100 * sum(p.numel() for p in model.parameters() if p.requires_grad) / total",
    # `total` is the base's count, which is neither the model's own nor that of its frozen part
    [_perceptron(1, 150), _perceptron(0, 150), (nn.Linear(3, 2).requires_grad_(False), 10)],
    """
    100 * sum(p.numel() for p in model.parameters()) / total
        # every parameter is counted as trained: keep those with p.requires_grad
    100 * sum(p.requires_grad for p in model.parameters()) / total  # it counts tensors; count numbers, with p.numel()
    100 * sum(len(p) for p in model.parameters() if p.requires_grad) / total
        # len(p) is the number of rows; count numbers, with p.numel()
    right(model, total) / 100          # it is a fraction; multiply by 100 for percent
    100 * sum(p.numel() for p in model.parameters() if not p.requires_grad) / total  # it counts the frozen parameters
    right(model, total) * total / sum(p.numel() for p in model.parameters())
        # it divides by the model's own count, adapters and head included; divide by `total`, the base's
    right(model, total) * total / 100  # that is the count; divide it by `total`, and multiply by 100
    right(model, total) * total        # it is not divided by `total`
    round(right(model, total), 2)
    round(right(model, total), 1)
    round(right(model, total))         # do not round: the notebook rounds when it prints
    """,
)
