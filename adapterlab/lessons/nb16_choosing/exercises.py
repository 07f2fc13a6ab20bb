"""Exercises of 16_forgetting_and_choosing."""

from ..kit.exercise import divides, exercise, random_tensors

# ---- 16a: a mixture of old rows and new

_OLD = [(f"old {i}", i % 2) for i in range(10)]
_NEW = [(f"new {i}", 2 + i % 2) for i in range(6)]
_ORDERS = [[7, 2, 9, 0, 4, 1, 8, 3, 6, 5], [3, 8, 1, 6, 0, 9, 5, 2, 7, 4]]

mix = exercise(
    "16a",
    "old, new, share, order",
    "new + [old[i] for i in order[: round(share * len(old))]]",
    [(_OLD, _NEW, 0.5, _ORDERS[0]), (_OLD, _NEW, 0.2, _ORDERS[1]), (_OLD, _NEW, 0.0, _ORDERS[1]),
     (_OLD[:4], _NEW, 1.0, [2, 0, 3, 1])],
    """
    new + old[: round(share * len(old))]
        # it takes the first old rows, and the same ones for every seed: take those that `order` names first
    new + old                                             # all old rows come along; only a share of them should
    [old[i] for i in order[: round(share * len(old))]]    # the new rows are missing: new + [...]
    new + [old[i] for i in order[: round(share * len(new))]]
        # the share is one of the *old* rows: round(share * len(old))
    new + order[: round(share * len(old))]                # those are row numbers; the rows are old[i]
    new + [old[i] for i in order if i < round(share * len(old))]
        # that chooses by the row's number; take the first round(share * len(old)) of `order`
    new[: len(new) - round(share * len(old))] + [old[i] for i in order[: round(share * len(old))]]
        # new rows have been dropped to make room; all of them stay
    new + [old[i] for i in order[-round(share * len(old)):]]
        # with a share of 0 a slice from -0 takes everything; count from the front: order[:n]
    new + [new[i % len(new)] for i in order[: round(share * len(old))]]  # those rows come from new, not from old
    """,
)  # fmt: skip

# ---- 16c: noise of equal norm

_CHANGES = [tuple(random_tensors((4, 3), (4, 3), seed=1)), tuple(random_tensors((2, 6), (2, 6), seed=2))]
_CHANGES[0] = (0.1 * _CHANGES[0][0], _CHANGES[0][1])

equal_norm = exercise(
    "16c",
    "change, noise",
    "noise * change.norm() / noise.norm()",
    _CHANGES,
    """
    noise * change.norm()                # noise has a norm of its own: divide by it
    noise / noise.norm()                 # that has norm 1; it should have the norm of `change`
    change * noise.norm() / change.norm()
        # that is the change with the norm of the noise; the other way round is asked for
    change.norm() / noise.norm()         # that is the factor alone; multiply the noise by it
    noise * noise.norm() / change.norm() # the factor is upside down
    noise * change.std() / noise.std()   # standard deviations subtract the mean; norms are asked for
    noise * change.abs().max() / noise.abs().max()  # largest values are compared there; compare norms: t.norm()
    noise * change.norm(p=1) / noise.norm(p=1)      # that is the sum of |t|; .norm() is the root of the sum of squares
    noise.sign() * change.abs()          # that keeps each value's size; only the norm of the whole should be the same
    change + noise * change.norm() / noise.norm()   # the change itself is still in it: return the noise alone
    noise                                # its norm is not that of `change`
    change                               # that is the change itself, not noise
    """,
)  # fmt: skip

# ---- 16b: how much was forgotten

forgetting = exercise(
    "16b",
    "before, after, chance",
    "(before - after) / (before - chance) if before > chance else 0.0",
    [(0.8, 0.65, 0.5), (0.9, 0.5, 0.25), (0.7, 0.75, 0.5), (0.5, 0.5, 0.5), (0.45, 0.4, 0.5)],
    """
    before - after if before > chance else 0.0
    before - after                     # that is in points; divide by what there was to lose, before - chance
    (before - after) / before if before > chance else 0.0
    (before - after) / before          # part of `before` is chance, and nobody loses that: divide by before - chance
    (after - chance) / (before - chance) if before > chance else 0.0    # that is what was kept: take it from 1
    (after - before) / (before - chance) if before > chance else 0.0    # the sign is turned: a loss is positive
    (before - after) / (after - chance) if before > chance and after != chance else 0.0
        # divide by what there was to lose, before - chance, not by what is left
    max(0.0, (before - after) / (before - chance)) if before > chance else 0.0
        # a task can have become better: that is negative forgetting, and counts
    (before - after) / (before - chance) if before != chance else 0.0
        # below chance there was nothing to lose, either: 0
    100 * (before - after) / (before - chance) if before > chance else 0.0  # in per cent: return a fraction
    """,
    divides("nothing was learned when `before` equals `chance`, and the formula divides by 0: return 0", 0.5, 0.5, 0.5),
    tolerance=1e-9,
)

QUIZ = """50 b a c
    1 19   # that is in percent of the score before; chance was never learned
    1 15   # those are points; divide by what there was to lose
    1 *    # points lost, divided by the points above chance before
    2 a    # a smaller rank moves the same weights
    2 c    # a lower rate only moves them less
    3 b    # the noise went through the same adapter
    3 c    # then there would have been nothing to lose
    4 a    # both have their labels in the head
    4 b    # one adapter serves both: nobody has to say
"""
