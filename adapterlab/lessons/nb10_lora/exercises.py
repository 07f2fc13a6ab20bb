"""Exercises of 10_lora."""

import copy

import torch

from ..kit.exercise import agrees, exercise, mistake


def _random(*shapes):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


# ---- 10a: the forward pass


def _forward(x, y, A, B, alpha):
    """y + (alpha / r) B A x for rows x: A is (r, inputs), B is (outputs, r)."""
    return y + alpha / A.shape[0] * x @ A.T @ B.T


# x, y, A, B, alpha: 3 inputs, 4 outputs, rank 2; and all of them 3, where a wrong order fits as well
TALL = ((*_random((5, 3), (5, 4), (2, 3), (4, 2)), 6.0), (*_random((1, 3), (1, 4), (2, 3), (4, 2)), 5.0))
SQUARE = ((*_random((5, 3), (5, 3), (3, 3), (3, 3)), 6.0),)


def _keeps_y(fn):
    case = copy.deepcopy(TALL[0])
    fn(*case)
    if not torch.equal(case[1], TALL[0][1]):
        return "it changes y in place; the frozen model's own output must stay as it is: write y + ..., not y += ..."
    return None


lora_forward = exercise(
    "10a",
    _forward,
    mistake(
        lambda x, y, A, B, alpha: y + alpha / len(A) * x @ B.T @ A.T,
        "x meets B first; it must meet A first, which takes it down to r numbers",
        *SQUARE,
    ),
    mistake(
        lambda x, y, A, B, alpha: y + alpha / len(A) * x @ A @ B,
        "the matrices are not transposed: for rows x, A x is written x @ A.T",
        *SQUARE,
    ),
    mistake(
        lambda x, y, A, B, alpha: x + alpha / len(A) * x @ A.T @ B.T,
        "it adds to x; the change belongs on y, the frozen matrix's output",
        *SQUARE,
    ),
    mistake(lambda x, y, A, B, alpha: alpha / len(A) * x @ A.T @ B.T, "the frozen matrix's output y is missing", *TALL),
    mistake(lambda x, y, A, B, alpha: y + x @ A.T @ B.T, "the scale alpha / r is missing", *TALL),
    mistake(lambda x, y, A, B, alpha: y + alpha * x @ A.T @ B.T, "the scale is alpha; it must be divided by r", *TALL),
    mistake(
        lambda x, y, A, B, alpha: y + alpha / len(A) ** 0.5 * x @ A.T @ B.T,
        "the scale is alpha / sqrt(r), the rank-stabilised one; here it is alpha / r",
        *TALL,
    ),
    mistake(lambda x, y, A, B, alpha: y + len(A) / alpha * x @ A.T @ B.T, "the scale is upside down: r / alpha", *TALL),
    mistake(
        lambda x, y, A, B, alpha: y + alpha / A.shape[1] * x @ A.T @ B.T,
        "it divides by A.shape[1], the width of x; r is the number of rows of A",
        *TALL,
    ),
    mistake(
        lambda x, y, A, B, alpha: y + alpha / B.shape[0] * x @ A.T @ B.T,
        "it divides by B.shape[0], the width of y; r is the number of rows of A",
        *TALL,
    ),
    mistake(
        lambda x, y, A, B, alpha: alpha / len(A) * (y + x @ A.T @ B.T),
        "y is scaled too; only B A x has the scale",
        *TALL,
    ),
    agrees(_forward, *TALL),
    _keeps_y,
)

# ---- 10b: what it costs


def _count(rank, shapes):
    """Parameters of LoRA of this rank on matrices of these shapes, each (outputs, inputs)."""
    return sum(rank * (outputs + inputs) for outputs, inputs in shapes)


COUNTS = ((2, [(5, 3)]), (8, [(384, 384), (1536, 384), (384, 1536)]), (3, [(4, 6), (4, 6)]))
UNEVEN = ((2, [(5, 3)]), (3, [(4, 6), (4, 6)]))  # no symmetry between outputs and inputs

lora_count = exercise(
    "10b",
    _count,
    mistake(
        lambda r, shapes: sum(r * o * i for o, i in shapes),
        "that is r whole matrices; B has outputs times r numbers, A has r times inputs: add the two",
        *COUNTS,
    ),
    mistake(lambda r, shapes: sum(o * i for o, i in shapes), "that is the frozen matrix W itself", *COUNTS),
    mistake(
        lambda r, shapes: sum(2 * r * o for o, i in shapes),
        "2 r outputs holds for square matrices only; A is as wide as the input",
        *UNEVEN,
    ),
    mistake(
        lambda r, shapes: sum(2 * r * i for o, i in shapes),
        "2 r inputs holds for square matrices only; B is as tall as the output",
        *UNEVEN,
    ),
    mistake(lambda r, shapes: sum(r * o for o, i in shapes), "only B is counted; A is missing", *UNEVEN),
    mistake(lambda r, shapes: sum(r * i for o, i in shapes), "only A is counted; B is missing", *UNEVEN),
    mistake(
        lambda r, shapes: sum(r * (o + i) + o for o, i in shapes),
        "LoRA has no bias; the frozen one stays as it is",
        *COUNTS,
    ),
    mistake(lambda r, shapes: r * (shapes[0][0] + shapes[0][1]), "only the first matrix is counted", *COUNTS),
    mistake(
        lambda r, shapes: sum(o * i + r * (o + i) for o, i in shapes),
        "the frozen matrix is counted too; it is not trained",
        *COUNTS,
    ),
    agrees(_count, *COUNTS),
)

# ---- 10c: merging


def _merge(W, A, B, scale):
    """A new matrix: W + scale B A. W: (outputs, inputs)."""
    return W + scale * B @ A


# W, A, B, scale: 4 x 3 of rank 2; 3 x 3 of rank 2, where a transpose fits; 3 x 3 of rank 3, where A B fits
WIDE = ((*_random((4, 3), (2, 3), (4, 2)), 2.0),)
EVEN = ((*_random((3, 3), (2, 3), (3, 2)), 2.0),)
FULL = ((*_random((3, 3), (3, 3), (3, 3)), 2.0),)


def _keeps_w(fn):
    case = copy.deepcopy(WIDE[0])
    fn(*case)
    if not torch.equal(case[0], WIDE[0][0]):
        return "it changes W itself; return a new matrix, and the old one is still there to go back to"
    return None


lora_merge = exercise(
    "10c",
    _merge,
    mistake(lambda W, A, B, scale: W + scale * A @ B, "it adds A B; x meets A first, so the product is B A", *FULL),
    mistake(
        lambda W, A, B, scale: W + scale * (B @ A).T,
        "the change is transposed: B A is (outputs, inputs), as W is",
        *EVEN,
    ),
    mistake(lambda W, A, B, scale: scale * B @ A, "W is missing: this is the change alone", *WIDE),
    mistake(lambda W, A, B, scale: W + B @ A, "the scale is missing", *WIDE),
    mistake(lambda W, A, B, scale: W - scale * B @ A, "it subtracts: that is what unmerging would do", *WIDE),
    mistake(lambda W, A, B, scale: scale * (W + B @ A), "W is scaled too", *WIDE),
    agrees(_merge, *WIDE, *EVEN, *FULL),
    _keeps_w,
)
