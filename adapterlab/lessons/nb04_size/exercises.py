"""Exercises of 04_bottleneck_size."""

import torch

from ..kit.exercise import agrees, exercise, mistake


def _keep(down, up, size):
    """Copies of down (units, width) and up (width, units) in which the units from `size` on are zero."""
    down, up = down.clone(), up.clone()
    down[size:], up[:, size:] = 0, 0
    return down, up


def _wrong_axis(down, up, size):
    down, up = down.clone(), up.clone()
    down[:, size:], up[size:] = 0, 0
    return down, up


def _first_lost(down, up, size):
    down, up = down.clone(), up.clone()
    down[:size], up[:, :size] = 0, 0
    return down, up


CASES = tuple(
    (torch.randn(4, 6, generator=g), torch.randn(6, 4, generator=g), 3) for g in [torch.Generator().manual_seed(0)]
)

keep_units = exercise(
    "04a",
    _keep,
    mistake(_wrong_axis, "that cuts the model's width; the units are the rows of down and the columns of up", *CASES),
    mistake(_first_lost, "it zeroes the units that should stay", *CASES),
    mistake(
        lambda down, up, size: (down[:size], up[:, :size]),
        "the shapes must stay as they are, or the sizes no longer fit into one tensor: fill up with zeros",
        *CASES,
    ),
    mistake(lambda down, up, size: (_keep(down, up, size)[0], up), "up still reads the units that are off", *CASES),
    agrees(_keep, *CASES),
)


def _report(runs):
    """The test score of the run with the best validation score."""
    return max(runs, key=lambda run: run["validation"])["test"]


RUNS = (
    [
        {"size": 8, "validation": 0.80, "test": 0.83},
        {"size": 64, "validation": 0.84, "test": 0.81},
        {"size": 256, "validation": 0.82, "test": 0.79},
    ],
)

chosen_on_validation = exercise(
    "04b",
    _report,
    mistake(lambda runs: max(r["test"] for r in runs), "it chooses by the test score: test must not choose", RUNS),
    mistake(lambda runs: max(r["validation"] for r in runs), "it reports the validation score of the chosen run", RUNS),
    mistake(
        lambda runs: max(runs, key=lambda run: run["validation"]),
        "it returns the whole run; return its test score",
        RUNS,
    ),
    agrees(_report, RUNS, ([{"size": 1, "validation": 0.1, "test": 0.2}],)),
)
