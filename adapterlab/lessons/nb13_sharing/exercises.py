"""Exercises of 13_life_cycle_and_sharing."""

import torch

from ..kit.exercise import agrees, exercise, mistake


def _changed(before, after):
    def differs(name):
        old, new = before.get(name), after.get(name)
        return old is None or new is None or old.dtype != new.dtype or not torch.equal(old, new)

    return sorted(name for name in before.keys() | after.keys() if differs(name))


ONES = torch.ones(3)
SAME = ({"a": ONES, "b": ONES}, {"a": ONES, "b": ONES})
DUST = ({"a": ONES, "b": ONES}, {"a": ONES, "b": ONES + 2e-7})
BIG = ({"a": ONES, "b": ONES}, {"a": 2 * ONES, "b": ONES})
ADDED = ({"a": ONES}, {"a": ONES, "b": ONES})
GONE = ({"a": ONES, "b": ONES}, {"a": ONES})


def _common(before, after, equal=torch.equal):
    return sorted(n for n in before.keys() & after.keys() if not equal(before[n], after[n]))


changed_tensors = exercise(
    "13a",
    _changed,
    mistake(
        lambda b, a: _common(b, a, torch.allclose),
        "a change of 2e-7 goes unseen: allclose has a tolerance, and bit by bit allows none",
        DUST,
        BIG,
    ),
    mistake(
        lambda b, a: sorted(set(b) - set(_common(b, a))),
        "it lists the tensors that stayed; those that changed are asked for",
        SAME,
        BIG,
    ),
    mistake(_common, "a tensor that is only in one of the two goes unseen; it changed as well", BIG, ADDED, GONE),
    mistake(
        lambda b, a: sorted(n for n in b if n not in a or not torch.equal(b[n], a[n])),
        "a tensor that is new in `after` goes unseen; walk through the names of both",
        ADDED,
        GONE,
    ),
    agrees(_changed, SAME, DUST, BIG, ADDED, GONE),
)


def _megabytes(base, adapter, tasks):
    return 4 * tasks * base / 1e6, 4 * (base + tasks * adapter) / 1e6


ROOM = ((22_700_000, 600_000, 10), (100, 10, 3))

serving_megabytes = exercise(
    "13b",
    _megabytes,
    mistake(
        lambda b, a, n: (n * b / 1e6, (b + n * a) / 1e6),
        "these are millions of parameters; a float32 takes 4 bytes",
        *ROOM,
    ),
    mistake(
        lambda b, a, n: (4 * n * b / 2**20, 4 * (b + n * a) / 2**20),
        "these are MiB of 2**20 bytes; a MB is 10**6",
        *ROOM,
    ),
    mistake(
        lambda b, a, n: (4 * n * b / 1e6, 4 * n * (b + a) / 1e6),
        "the second counts the base once for every task; it is there once",
        *ROOM,
    ),
    mistake(
        lambda b, a, n: (4 * n * b / 1e6, 4 * n * a / 1e6),
        "the second lacks the base, which must be in memory as well",
        *ROOM,
    ),
    mistake(lambda b, a, n: _megabytes(b, a, n)[::-1], "the two change places: copies first", *ROOM),
    agrees(_megabytes, *ROOM),
)

KNOWN, LIMIT = ("adapter.json", "adapter.safetensors"), 100
GOOD = [("adapter.json", 10, False), ("adapter.safetensors", 80, False)]


def _safe(entries, known, limit):
    names = [name for name, _, _ in entries]
    return (
        set(names) <= set(known)
        and len(set(names)) == len(names)
        and not any(link for _, _, link in entries)
        and sum(size for _, size, _ in entries) <= limit
    )


def _archive(*entries):
    return list(entries), KNOWN, LIMIT


FINE = _archive(*GOOD)
CLIMBS = _archive(("../adapter.json", 10, False))
STRANGER = _archive(*GOOD, ("run.sh", 1, False))
LINK = _archive(("adapter.json", 10, True))
BOMB = _archive(("adapter.json", 60, False), ("adapter.safetensors", 60, False))
HUGE = _archive(("adapter.json", 101, False))
TWICE = _archive(GOOD[0], GOOD[0])


def _accepts(*cases):
    """A check that the function says False to each (case, reason)."""

    def check(fn):
        for case, reason in cases:
            if fn(*case):
                return reason
        return None

    return check


safe_archive = exercise(
    "13c",
    _safe,
    _accepts(
        (CLIMBS, '"../adapter.json" passes: compare the whole name, not its last part'),
        (STRANGER, '"run.sh" passes: allow the known names only; a list of bad ones is never complete'),
        (LINK, "a link passes: it can point at any file of the machine"),
        (HUGE, "one entry above the limit passes"),
        (BOMB, "two entries of 60 pass a limit of 100: the sum counts"),
        (TWICE, "the same name twice passes: which of the two would be checked, and which read?"),
    ),
    agrees(_safe, FINE, CLIMBS, STRANGER, LINK, HUGE, BOMB, TWICE),
)
