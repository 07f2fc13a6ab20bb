"""How sure a mean over a few seeds is."""

import math
import statistics
from collections.abc import Iterable

import torch
from torch import Tensor

# Student's t, 97.5th percentile, for 1, 2, 3, ... degrees of freedom
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def mean_interval(values: Iterable[float]) -> tuple[float, float]:
    """(mean, half-width of its 95% interval by Student's t); the half-width of a single value is nan."""
    values = [float(v) for v in values]
    if len(values) < 2:
        return (values[0] if values else math.nan), math.nan
    t = T_975[len(values) - 2] if len(values) - 2 < len(T_975) else 1.96
    return statistics.fmean(values), t * statistics.stdev(values) / math.sqrt(len(values))


def accuracy_error(accuracy: float, rows: int) -> float:
    """Half-width of the 95% interval that the number of test rows alone leaves around an accuracy in [0, 1]."""
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / rows)


def share_interval(share: float, rows: int) -> tuple[float, float]:
    """(low, high) of the 95% interval of a share of so many test rows, both within [0, 1] (Wilson 1927)."""
    z2 = 1.96**2 / rows
    middle, half = share + z2 / 2, math.sqrt(z2 * (share * (1 - share) + z2 / 4))
    return (middle - half) / (1 + z2), (middle + half) / (1 + z2)


def paired(one: Tensor, other: Tensor) -> tuple[float, float]:
    """(mean, half-width of its 95% interval) of other - one, in points, from what both made of the same test rows.

    one, other: is a row right? (rows,), or (seeds, rows): then the interval holds what other seeds would change, too.
    """
    gaps = 100 * torch.atleast_2d(other.double() - one.double())
    of_rows = 1.96 * gaps.mean(0).std().item() / math.sqrt(gaps.shape[1])
    of_seeds = mean_interval(gaps.mean(1).tolist())[1] if len(gaps) > 1 else 0.0
    return gaps.mean().item(), math.hypot(of_rows, of_seeds)
