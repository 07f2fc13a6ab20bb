"""Exercises of 14_quantized_base."""

import torch

from ..kit.exercise import agrees, exercise, mistake

# ---- 14a: eight bits, a scale a row


def _int8_rows(w):
    """(codes, scale): int8 codes in -127 ... 127 and one scale a row, so that codes * scale is nearly w."""
    scale = w.abs().max(dim=1, keepdim=True).values / 127
    return (w / scale).round().to(torch.int8), scale


def _rows(scale_of, turn=torch.round, most=127):
    def wrong(w):
        scale = scale_of(w) / most
        return turn(w / scale).to(torch.int8), scale

    return wrong


def _absmax(w):
    return w.abs().max(dim=1, keepdim=True).values


def _are_bytes(fn):
    """Codes of another type compare equal in value, and take four times the room."""
    codes, _ = fn(_W.clone())
    if codes.dtype != torch.int8:
        return f"the codes are still floats ({codes.dtype}): .to(torch.int8) makes them a byte each"
    return None


_W = torch.tensor([[0.5, -1.0, 0.26], [2.0, 0.9, -0.123]])
_NEGATIVE = torch.tensor([[0.5, -4.0, 0.3], [-2.0, 0.9, 0.1]])

int8_rows = exercise(
    "14a",
    _int8_rows,
    mistake(
        _rows(lambda w: w.abs().max().expand(len(w), 1)),
        "one scale for the whole matrix: the largest weight of all makes the steps of every row coarse",
        (_W,),
    ),
    mistake(_rows(_absmax, torch.trunc), "the codes are cut off instead of rounded: call .round() first", (_W,)),
    mistake(
        _rows(_absmax, most=128),
        "the scale is |w| / 128, so the largest weight becomes 128, which int8 does not have",
        (_W,),
    ),
    mistake(
        _rows(lambda w: w.max(dim=1, keepdim=True).values),
        "the scale must come from the largest |w|: here a row's largest weight is negative",
        (_NEGATIVE,),
    ),
    _are_bytes,
    agrees(_int8_rows, (_W,), (_NEGATIVE,)),
)

# ---- 14b: four bits, the nearest of sixteen levels


def _nearest(block, levels):
    """(codes, absmax): for every weight of the block the index of the nearest level, after dividing by absmax."""
    absmax = block.abs().max()
    return ((block / absmax)[:, None] - levels).abs().argmin(dim=1), absmax


_LEVELS = torch.tensor([-1.0, -0.4, 0.0, 0.3, 1.0])
_BLOCKS = ((torch.tensor([0.2, -0.08, 0.05, -0.2]), _LEVELS), (torch.tensor([3.0, -1.1, 0.2, 1.0]), _LEVELS))

nearest_level = exercise(
    "14b",
    _nearest,
    mistake(
        lambda b, t: ((b[:, None] - t).abs().argmin(dim=1), b.abs().max()),
        "the block is not divided by its largest |weight|, and the levels reach from -1 to 1",
        *_BLOCKS,
    ),
    mistake(
        lambda b, t: (t[_nearest(b, t)[0]], b.abs().max()),
        "it returns the levels; four bits hold their *index*",
        *_BLOCKS,
    ),
    mistake(
        lambda b, t: (((b / b.abs().max())[:, None] - t).argmin(dim=1), b.abs().max()),
        "the smallest difference is the most negative one; take .abs() of it first",
        *_BLOCKS,
    ),
    mistake(
        lambda b, t: (torch.searchsorted(t, b / b.abs().max()).clamp(max=len(t) - 1), b.abs().max()),
        "it takes the next level above, not the nearest",
        *_BLOCKS,
    ),
    agrees(_nearest, *_BLOCKS),
)

# ---- 14c: what a weight costs


def _bits(block, double):
    """Bits a weight: 4, and its share of the block's scale; double: scales in 8 bits, 256 of them to a float32."""
    return 4 + (8 / block + 32 / (256 * block) if double else 32 / block)


_BITS = ((64, False), (64, True), (128, False), (128, True))

bits_per_weight = exercise(
    "14c",
    _bits,
    mistake(lambda b, d: 4, "the scales cost something, too: 32 bits a block, or fewer when double", *_BITS),
    mistake(lambda b, d: 4 + 32 / b, "`double` has no effect: then a scale has 8 bits, not 32", *_BITS),
    mistake(
        lambda b, d: 4 + (8 if d else 32) / b,
        "the 8-bit scales have scales themselves: 32 bits for every 256 of them",
        *_BITS,
    ),
    mistake(
        lambda b, d: 4 + (8 / b + 32 / 256 if d else 32 / b),
        "256 scales stand for 256 * block weights, which share those 32 bits",
        *_BITS,
    ),
    agrees(_bits, *_BITS),
)
