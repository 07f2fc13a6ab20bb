"""Exercises of 14_quantized_base."""

import torch

from ..kit.exercise import exercise

# ---- 14a: eight bits, a scale a row


def _int8_rows(w, most=127, largest=None, turn=torch.round):
    """(codes, scale): int8 codes in -127 ... 127 and one scale a row, so that codes * scale is nearly w."""
    scale = (w.abs().max(dim=1, keepdim=True).values if largest is None else largest) / most
    return turn(w / scale).to(torch.int8), scale


int8_rows = exercise(
    "14a",
    "w",
    lambda w: _int8_rows(w),
    [(torch.tensor([[0.5, -1.0, 0.26], [2.0, 0.9, -0.123]]),), (torch.tensor([[0.5, -4.0, 0.3], [-2.0, 0.9, 0.1]]),)],
    """
    rows(w, largest=w.abs().max().expand(len(w), 1))
    rows(w, largest=w.abs().max())
        # one scale for the whole matrix: the largest weight of all makes the steps of every row coarse
    rows(w, largest=w.abs().max(dim=0, keepdim=True).values)
        # that is one scale a column; a row is an output, and has its own: dim=1
    rows(w, turn=torch.trunc)         # the codes are cut off instead of rounded: call .round() first
    rows(w, turn=torch.floor)         # the codes are rounded down; .round() takes the nearest
    rows(w, most=128)
    rows(w, most=255)                 # 127 is the largest code: signed bytes reach from -128 to 127
    rows(w, largest=w.max(dim=1, keepdim=True).values)
        # the scale must come from the largest |w|: here a row's largest weight is negative
    ((w / right(w)[1]).round(), right(w)[1])
    ((w / right(w)[1]).round().int(), right(w)[1])
    ((w / right(w)[1]).round().long(), right(w)[1])
        # the codes take four bytes each, or eight: .to(torch.int8) makes them a byte
    (right(w)[0], right(w)[1].squeeze(1))
        # the scales have lost a dimension, and codes * scale fits no more: keepdim=True
    (right(w)[0], 1 / right(w)[1])
    (right(w)[0], right(w)[1] * 127)  # codes * scale does not give w back: the scale is a 127th of the largest |w|
    right(w)[::-1]                    # the two change places: codes first
    """,
    names={"rows": _int8_rows},
)

# ---- 14b: four bits, the nearest of sixteen levels


def _nearest(block, levels):
    """(codes, absmax): for every weight of the block the index of the nearest level, after dividing by absmax."""
    absmax = block.abs().max()
    return ((block / absmax)[:, None] - levels).abs().argmin(dim=1), absmax


_LEVELS = torch.tensor([-1.0, -0.4, 0.0, 0.3, 1.0])
BLOCKS = [(torch.tensor(block), _LEVELS) for block in ([0.2, -0.08, 0.05, -0.2], [3.0, -1.1, 0.2, 1.0],
                                                       [0.5, -2.0, 1.3, 0.1, -0.7, 1.25])]  # fmt: skip
DISTANCE = "((block / block.abs().max())[:, None] - levels)"

nearest_level = exercise(
    "14b",
    "block, levels",
    _nearest,
    BLOCKS,
    f"""
    ((block[:, None] - levels).abs().argmin(dim=1), block.abs().max())
        # the block is not divided by its largest |weight|, and the levels reach from -1 to 1
    (levels[right(block, levels)[0]], block.abs().max())     # it returns the levels; four bits hold their *index*
    ({DISTANCE}.argmin(dim=1), block.abs().max())
        # the smallest difference is the most negative one; take .abs() of it first
    ({DISTANCE}.abs().argmax(dim=1), block.abs().max())      # it takes the farthest level; argmin is the nearest
    ({DISTANCE}.abs().argmin(dim=0), block.abs().max())
        # that is the nearest weight for each level; each weight wants its level: dim=1
    ({DISTANCE}.abs().min(dim=1).values, block.abs().max())  # that is the distance; return the index, argmin
    (torch.searchsorted(levels, block / block.abs().max()).clamp(max=len(levels) - 1), block.abs().max())
    (torch.searchsorted(levels, block / block.abs().max(), right=True) - 1, block.abs().max())
        # it takes the next level above or below, not the nearest
    (((block / block.max())[:, None] - levels).abs().argmin(dim=1), block.max())
    (right(block, levels)[0], block.max())  # the largest |weight| is meant, which may be a negative one's
    right(block, levels)[::-1]                               # the two change places: codes first
    right(block, levels)[0]  # those are the codes alone; without absmax nobody gets the weights back
    """,
)  # fmt: skip

# ---- 14c: what a weight costs

bits_per_weight = exercise(
    "14c",
    "block, double",
    "4 + (8 / block + 32 / (256 * block) if double else 32 / block)",
    [(64, False), (64, True), (128, False), (128, True), (32, True)],
    """
    4  # the scales cost something, too: 32 bits a block, or fewer when double
    4 + 32 / block                                 # `double` has no effect: then a scale has 8 bits, not 32
    4 + (8 if double else 32) / block  # the 8-bit scales have scales themselves: 32 bits for every 256 of them
    4 + (8 / block + 32 / 256 if double else 32 / block)
        # 256 scales stand for 256 * block weights, which share those 32 bits
    4 + (8 / block + 32 / block if double else 32 / block)
        # 256 scales share the 32 bits of their own scale: 32 / (256 * block)
    right(block, not double)                       # `double` is turned round: it makes the scales smaller
    right(block, double) - 4                       # that is the scales' share; the code itself has 4 bits
    4 + (8 / block if double else 4 * 8 // block)  # // cuts the fraction off: divide with /
    round(right(block, double), 2)
    round(right(block, double), 1)                 # do not round: the notebook rounds when it prints
    """,
    tolerance=1e-9,
)

QUIZ = """8 c a b
    1 32   # that is a whole scale, and four weights share it
    1 0.5  # that is for blocks of 64
    1 *    # a scale has 32 bits, and its block shares them
    2 a    # they are a few percent of the model
    2 b    # a matrix is unpacked for its product, and then let go
    3 b    # with room for them, would the weights get anywhere?
    3 c    # one could unfreeze it: what becomes of a step when the weight is packed again?
    4 a    # packing the sum again rounds the change away
    4 c    # the adapter is not what is too coarse
"""
