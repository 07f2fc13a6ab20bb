"""Exercises of 00_start_here."""

from ..kit.exercise import exercise

FITS = [(100, 30), (110, 30), (90, 30), (90_868_376, 2_432_550)]

adapters_in_one_copy = exercise(
    "00a",
    "copy_bytes, adapter_bytes",
    "copy_bytes // adapter_bytes",
    FITS,
    """
    copy_bytes / adapter_bytes             # it is a fraction; adapters come whole, so round down with //
    adapter_bytes / copy_bytes
    adapter_bytes // copy_bytes            # the wrong way round: divide the large by the small
    round(copy_bytes / adapter_bytes)      # it rounds up when the last adapter nearly fits; round down
    math.ceil(copy_bytes / adapter_bytes)  # it rounds up: the last adapter does not fit any more
    copy_bytes // adapter_bytes + 1        # one too many: the last adapter does not fit any more
    copy_bytes - adapter_bytes             # that is the space left beside one adapter; divide, do not subtract
    copy_bytes % adapter_bytes             # % is what is left over; // is how often it goes in
    """,
)

times_the_base = exercise(
    "00b",
    "tasks, percent",
    "1 + tasks * percent / 100",
    [(9, 3.6), (17, 1.14), (10, 2.67), (1, 100.0)],
    """
    1 + tasks * percent               # percent are hundredths: divide by 100
    tasks * percent / 100             # the base itself is missing: no adapter works without it
    1 + percent / 100                 # that is one task; every task brings an adapter of its own
    tasks                             # that is a full copy for every task
    tasks * (1 + percent / 100)       # every task pays for the base again; it is stored once
    (1 + percent / 100) ** tasks      # adapters add up, they do not multiply
    100 + tasks * percent             # that is in percent of the model; return multiples of it, so divide by 100
    round(1 + tasks * percent / 100, 1)
    round(1 + tasks * percent / 100, 2)
    round(1 + tasks * percent / 100)  # do not round: the paper's 1.3 is rounded for the eye
    """,
)
