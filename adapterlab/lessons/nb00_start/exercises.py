"""Exercises of 00_start_here."""

import math

from ..kit.exercise import agrees, exercise, mistake

FITS = ((100, 30), (110, 30), (90, 30), (90_868_376, 2_432_550))


def _fit(copy_bytes, adapter_bytes):
    return copy_bytes // adapter_bytes


adapters_in_one_copy = exercise(
    "00a",
    _fit,
    mistake(lambda c, a: c / a, "it is a fraction; adapters come whole, so round down with //", *FITS),
    mistake(lambda c, a: a / c, "the wrong way round: divide the large by the small", *FITS),
    mistake(lambda c, a: a // c, "the wrong way round: divide the large by the small", *FITS),
    mistake(lambda c, a: round(c / a), "it rounds up when the last adapter nearly fits; round down", *FITS),
    mistake(lambda c, a: math.ceil(c / a), "it rounds up: the last adapter does not fit any more", *FITS),
    mistake(lambda c, a: c - a, "that is the space left beside one adapter; divide, do not subtract", *FITS),
    agrees(_fit, *FITS),
)

TIMES = ((9, 3.6), (17, 1.14), (10, 2.67), (1, 100.0))


def _times(tasks, percent):
    return 1 + tasks * percent / 100


times_the_base = exercise(
    "00b",
    _times,
    mistake(lambda n, p: 1 + n * p, "percent are hundredths: divide by 100", *TIMES),
    mistake(lambda n, p: n * p / 100, "the base itself is missing: no adapter works without it", *TIMES),
    mistake(lambda n, p: 1 + p / 100, "that is one task; every task brings an adapter of its own", *TIMES),
    mistake(lambda n, p: n, "that is a full copy for every task", *TIMES),
    mistake(lambda n, p: n * (1 + p / 100), "every task pays for the base again; it is stored once", *TIMES),
    mistake(lambda n, p: (1 + p / 100) ** n, "adapters add up, they do not multiply", *TIMES),
    agrees(_times, *TIMES),
)
