"""Exercises of 13_life_cycle_and_sharing."""

import hashlib

import torch
from safetensors.torch import load, save

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


# ---- 13b: a file with a fresh checksum


def _sha(packed):
    return hashlib.sha256(packed).hexdigest()


def _forge(packed, name, shift, at=-1, change=torch.add):
    """(bytes, SHA-256 in hex) of the file `packed` with `shift` added to the last number of tensor `name`."""
    tensors = load(packed)
    tensors[name][at] = change(tensors[name][at], shift)
    new = save(tensors)
    return new, _sha(new)


FILES = [
    (save({"bias": torch.tensor([0.5, -1.0, 2.0]), "weight": torch.arange(6.0)}), "bias", 50.0),
    (save({"bias": torch.tensor([0.5, -1.0]), "weight": torch.arange(6.0)}), "weight", -3.0),
]

forge = exercise(
    "13b",
    "packed, name, shift",
    lambda packed, name, shift: _forge(packed, name, shift),
    FILES,
    """
    (right(packed, name, shift)[0], sha(packed))  # that is the old file's checksum: hash the new bytes
    (right(packed, name, shift)[0], hashlib.sha256(right(packed, name, shift)[0]).digest())
        # the checksum is bytes; adapter.json holds it in hex: .hexdigest()
    (right(packed, name, shift)[0], hashlib.md5(right(packed, name, shift)[0]).hexdigest())
        # that is an MD5; the config holds a SHA-256: hashlib.sha256
    (packed, sha(packed))                         # the bytes are those that came: save(tensors) makes new ones
    forged(packed, name, shift, slice(None))      # the shift is added to every number; the last one alone: [-1]
    forged(packed, name, shift, 0)                # the shift is added to the first number; the last one is [-1]
    forged(packed, name, shift, change=lambda old, new: new)
        # the last number becomes the shift itself; add it to what is there
    forged(packed, name, -shift)                  # the shift is taken away; add it
    right(packed, name, shift)[0]                 # those are the bytes alone; return the checksum as well
    right(packed, name, shift)[1]                 # that is the checksum alone; return the bytes first
    right(packed, name, shift)[::-1]              # the two change places: bytes first
    (load(right(packed, name, shift)[0]), right(packed, name, shift)[1])
        # the first are tensors; save(tensors) makes the bytes of a file
    """,
    names={"forged": _forge, "sha": _sha, "hashlib": hashlib, "load": load},
)

QUIZ = """a b c a
    1 b  # the checksum is of the file; no answer is in it
    1 c  # nothing of B runs when A does, so there is nothing to add up
    2 a  # its size is in its file, and loading builds it so
    2 c  # how it was trained is not asked: only what it needs to run right
    3 a  # whoever writes a file writes its checksum, too
    3 b  # a wrong number can be finite and have the right shape
    4 b  # a well-trained adapter answers nonsense, too, where it does not run, or another head answers
    4 c  # loading has read every byte of it already; ask first what runs now
"""
