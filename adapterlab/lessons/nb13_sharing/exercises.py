"""Exercises of 13_life_cycle_and_sharing."""

import torch

from ..kit.exercise import exercise

# ---- 13a: what has changed, bit by bit


def _changed(before, after):
    def differs(name):
        old, new = before.get(name), after.get(name)
        return old is None or new is None or old.dtype != new.dtype or not torch.equal(old, new)

    return sorted(name for name in before.keys() | after.keys() if differs(name))


def _pair(before, after):
    """Two state dicts of tensors made of these numbers: no tensor is shared, so `is` tells nothing."""
    return tuple({name: torch.tensor(v) for name, v in state.items()} for state in (before, after))


ONES = [1.0, 1.0, 1.0]
SAME = _pair({"a": ONES, "b": ONES}, {"a": ONES, "b": ONES})
DUST = ({"a": torch.ones(3), "b": torch.ones(3)}, {"a": torch.ones(3), "b": torch.ones(3) + 2e-7})
BIG = _pair({"a": ONES, "b": ONES}, {"a": [2.0, 2.0, 2.0], "b": ONES})
ADDED = _pair({"a": ONES}, {"a": ONES, "b": ONES})
GONE = _pair({"a": ONES, "b": ONES}, {"a": ONES})
MOVED = _pair({"a": [1.0, 2.0], "b": ONES}, {"a": [2.0, 1.0], "b": ONES})  # of the same sum
RESHAPED = _pair({"a": [[1.0, 2.0]], "b": ONES}, {"a": [1.0, 2.0], "b": ONES})
UNSORTED = _pair({"c": ONES, "b": ONES, "a": ONES}, {"d": ONES, "c": [0.0, 1.0, 1.0], "b": ONES, "a": [1.0, 1.0, 0.0]})


def _common(before, after, equal=torch.equal):
    return sorted(n for n in before.keys() & after.keys() if not equal(before[n], after[n]))


def _all(before, after, equal):
    ends = before.keys() ^ after.keys()
    return sorted([*ends, *_common(before, after, equal)])


def _names_sorted(fn):
    got, want = fn(*UNSORTED), _changed(*UNSORTED)
    return "the names are right, and not sorted: sorted(...)" if got != want and sorted(got) == want else None


changed_tensors = exercise(
    "13a",
    "before, after",
    _changed,
    [SAME, DUST, BIG, ADDED, GONE, MOVED, RESHAPED, UNSORTED],
    [
        """
        every(before, after, lambda old, new: old is new)
        every(before, after, lambda old, new: old.data_ptr() == new.data_ptr())
        common(before, after, lambda old, new: old is new)
            # `is` and data_ptr ask for the same object; equal numbers in another tensor have not changed: torch.equal
        every(before, after, lambda old, new: bool(old.sum() == new.sum()))
            # [1, 2] and [2, 1] have one sum and are not equal: compare every number, torch.equal
        every(before, after, lambda old, new: old.shape == new.shape)
            # the shapes alone are compared; compare the numbers, torch.equal
        every(before, after, torch.allclose)
        common(before, after, torch.allclose)
            # a change of 2e-7 goes unseen: allclose has a tolerance, and bit by bit allows none
        common(before, after)  # a tensor that is only in one of the two goes unseen; it changed as well
        sorted(n for n in before if n not in after or not torch.equal(before[n], after[n]))
            # a tensor that is new in `after` goes unseen; walk through the names of both
        sorted(n for n in after if n not in before or not torch.equal(before[n], after[n]))
            # a tensor that is gone from `after` goes unseen; walk through the names of both
        right(before, after)[::-1]  # the names are sorted backwards
        len(right(before, after))   # that is how many; return their names
        bool(right(before, after))  # that is whether any changed; return their names
        """,
        (
            [SAME, BIG],
            """
        sorted(set(before) - set(common(before, after)))
            # it lists the tensors that stayed; those that changed are asked for
        """,
        ),
    ],
    _names_sorted,
    names={"every": _all, "common": _common},
)


# ---- 13b: what a server holds


serving_megabytes = exercise(
    "13b",
    "base, adapter, tasks",
    "(4 * tasks * base / 1e6, 4 * (base + tasks * adapter) / 1e6)",
    [(22_700_000, 600_000, 10), (100, 10, 3)],
    """
    (tasks * base / 1e6, (base + tasks * adapter) / 1e6)     # these are millions of parameters; a float32 takes 4 bytes
    (4 * tasks * base, 4 * (base + tasks * adapter))         # these are bytes; a MB is 10**6 of them
    (4 * tasks * base / 2**20, 4 * (base + tasks * adapter) / 2**20)  # these are MiB of 2**20 bytes; a MB is 10**6
    (32 * tasks * base / 1e6, 32 * (base + tasks * adapter) / 1e6)  # these are megabits; a byte has 8 of them
    (4 * tasks * base / 1e6, 4 * tasks * (base + adapter) / 1e6)
        # the second counts the base once for every task; it is there once
    (4 * tasks * base / 1e6, 4 * tasks * adapter / 1e6)  # the second lacks the base, which must be in memory as well
    (4 * tasks * base / 1e6, 4 * (base + adapter) / 1e6)     # the second has one adapter; every task brings its own
    (4 * base / 1e6, 4 * (base + tasks * adapter) / 1e6)     # the first has one copy; every task has its own
    (4 * tasks * (base + adapter) / 1e6, 4 * (base + tasks * adapter) / 1e6)
        # the first has adapters besides; a fully tuned copy has none
    right(base, adapter, tasks)[::-1]                        # the two change places: copies first
    tuple(round(x) for x in right(base, adapter, tasks))
    tuple(round(x, 1) for x in right(base, adapter, tasks))  # do not round
    """,
)

# ---- 13c: an archive that may be opened

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


REFUSED = (
    (_archive(("../adapter.json", 10, False)), '"../adapter.json" passes: compare the whole name, not its last part'),
    (
        _archive(*GOOD, ("run.sh", 1, False)),
        '"run.sh" passes: allow the known names only; a list of bad ones is never complete',
    ),
    (_archive(("adapter.json", 10, True)), "a link passes: it can point at any file of the machine"),
    (_archive(("adapter.json", 101, False)), "one entry above the limit passes"),
    (
        _archive(("adapter.json", 60, False), ("adapter.safetensors", 60, False)),
        "two entries of 60 pass a limit of 100: the sum counts",
    ),
    (_archive(GOOD[0], GOOD[0]), "the same name twice passes: which of the two would be checked, and which read?"),
)
ALLOWED = (
    (_archive(*GOOD), "two known files of 90 bytes in all are refused; the limit is 100"),
    (
        _archive(("adapter.json", 20, False), GOOD[1]),
        "100 bytes are refused: at most `limit` includes the limit itself",
    ),
    (_archive(GOOD[0]), "an archive without adapter.safetensors is refused; names must be known, not all there"),
    (_archive(GOOD[1], GOOD[0]), "the same two files in another order are refused"),
)


def _sorts_out(fn):
    """False for each bad archive, True for each good one."""
    if not any(fn(*case) for case, _ in ALLOWED):
        return "it refuses every archive, the good ones too; expected True for two known files of 90 bytes in all"
    wrong = [why for good, cases in ((False, REFUSED), (True, ALLOWED)) for case, why in cases if fn(*case) is not good]
    return wrong[0] if wrong else None


safe_archive = exercise("13c", "entries, known, limit", _safe, (), "", _sorts_out, returns=True)
