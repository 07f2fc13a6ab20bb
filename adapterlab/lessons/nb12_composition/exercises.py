"""Exercises of 12_composition."""

import copy

import torch

from ..kit.exercise import agrees, exercise, mistake


def _random(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


# ---- 12a: the weighted average


def _average(outputs, weights):
    """The weighted mean of tensors of one shape."""
    return sum(w * y for w, y in zip(weights, outputs, strict=True)) / sum(weights)


# two outputs with weights 3 and 1; three with weights that do not sum to 1; weights 1 and 0
MEANS = ((_random((2, 3), (2, 3)), [3.0, 1.0]), (_random((2,), (2,), (2,)), [1.0, 2.0, 2.0]))
FIRST = ((_random((2, 3), (2, 3)), [1.0, 0.0]),)


def _keeps_outputs(fn):
    outputs, weights = copy.deepcopy(MEANS[0])
    fn(outputs, weights)
    if not all(torch.equal(a, b) for a, b in zip(outputs, MEANS[0][0], strict=True)):
        return "it changes the outputs in place; other blocks may still need them"
    return None


average_outputs = exercise(
    "12a",
    _average,
    mistake(
        lambda ys, ws: sum(w * y for w, y in zip(ws, ys, strict=True)) / sum(ws) / len(ys),
        "it divides twice, by the sum of the weights and by the number of adapters: Average(a, a) would be half of a",
        *MEANS,
    ),
    mistake(
        lambda ys, ws: sum(w * y for w, y in zip(ws, ys, strict=True)) / len(ys),
        "it divides by the number of adapters; divide by the sum of the weights",
        *MEANS,
    ),
    mistake(
        lambda ys, ws: sum(w * y for w, y in zip(ws, ys, strict=True)),
        "it is the weighted sum; the weights must be made to sum to 1",
        *MEANS,
    ),
    mistake(lambda ys, ws: sum(ys) / len(ys), "the weights are not used", *MEANS),
    mistake(
        lambda ys, ws: sum(w * y for w, y in zip(torch.tensor(ws).softmax(0), ys, strict=True)),
        "it is a softmax of the weights; weights 3 and 1 are to mean 3/4 and 1/4",
        *MEANS,
    ),
    agrees(_average, *MEANS, *FIRST),
    _keeps_outputs,
)

# ---- 12b: fusion


def _fuse(h, z, Q, K, V):
    """h: (tokens, width), z: (adapters, tokens, width); Q, K, V: (width, width) -> (tokens, width)."""
    scores = torch.einsum("nd,tnd->tn", h @ Q.T, z @ K.T)
    return (scores.softmax(0)[..., None] * (z @ V.T)).sum(0)


FUSIONS = (tuple(_random((4, 3), (2, 4, 3), (3, 3), (3, 3), (3, 3))),)


def _fused(h, z, Q, K, V, dim=0, scale=1.0, weigh=torch.softmax):
    scores = scale * torch.einsum("nd,tnd->tn", h @ Q.T, z @ K.T)
    return (weigh(scores, dim)[..., None] * (z @ V.T)).sum(0)


fuse_outputs = exercise(
    "12b",
    _fuse,
    mistake(
        lambda h, z, Q, K, V: _fused(h, z, Q, K, V, dim=1),
        "the softmax runs over the tokens; each token chooses among the adapters, dimension 0",
        *FUSIONS,
    ),
    mistake(
        lambda h, z, Q, K, V: _fused(h, z, Q, K, V, weigh=lambda s, d: s),
        "the softmax is missing: the weights of a token must sum to 1",
        *FUSIONS,
    ),
    mistake(
        lambda h, z, Q, K, V: _fused(h, z, Q, K, V, scale=h.shape[-1] ** -0.5),
        "it divides the scores by the root of the width, as a Transformer does; AdapterFusion does not",
        *FUSIONS,
    ),
    mistake(lambda h, z, Q, K, V: _fused(h, z, Q, K, torch.eye(len(V))), "the value matrix V is missing", *FUSIONS),
    mistake(lambda h, z, Q, K, V: _fused(h, z, torch.eye(len(Q)), K, V), "the query matrix Q is missing", *FUSIONS),
    mistake(lambda h, z, Q, K, V: _fused(h, z, Q, torch.eye(len(K)), V), "the key matrix K is missing", *FUSIONS),
    mistake(
        lambda h, z, Q, K, V: _fused(h, z, Q.T, K.T, V.T),
        "the matrices are not transposed: for rows h, Q h is written h @ Q.T",
        *FUSIONS,
    ),
    mistake(lambda h, z, Q, K, V: (z @ V.T).mean(0), "all adapters weigh the same; the scores are missing", *FUSIONS),
    agrees(_fuse, *FUSIONS),
)

# ---- 12c: the exact sum of LoRAs


def _concatenate(parts):
    """parts: (scale, B, A) of each -> (B, A) with B A = the sum of scale B A; the ranks add up."""
    return torch.cat([s * B for s, B, A in parts], dim=1), torch.cat([A for s, B, A in parts])


_b1, _a1, _b2, _a2, _b3, _a3 = _random((4, 2), (2, 5), (4, 2), (2, 5), (4, 3), (3, 5))
LORAS = ([(2.0, _b1, _a1), (0.5, _b2, _a2)], [(2.0, _b1, _a1), (3.0, _b3, _a3)])


def _product(fn, parts):
    made = fn(copy.deepcopy(parts))
    if not isinstance(made, tuple | list) or len(made) != 2:
        raise ValueError("it must return two matrices, B and A")
    return made[0] @ made[1]


def _adds_up(fn):
    even, uneven = LORAS
    true = sum(s * B @ A for s, B, A in even)
    wrong = {
        "it adds the matrices up: (B1 + B2)(A1 + A2) has the cross terms B1 A2 and B2 A1; put them side by side": (
            sum(s * B for s, B, A in even) @ sum(A for s, B, A in even),
            sum(B for s, B, A in even) @ sum(s * A for s, B, A in even),
            sum(B for s, B, A in even) @ sum(A for s, B, A in even),
        ),
        "the scales are missing: each B A is multiplied by its own": (sum(B @ A for s, B, A in even),),
        "the scale is on both B and A, so it counts twice": (sum(s * s * B @ A for s, B, A in even),),
        "it averages; the exact sum is asked for": (true / 2,),
    }
    got = _product(fn, even)
    for message, products in wrong.items():
        if any(got.shape == p.shape and torch.allclose(got, p, atol=1e-5) for p in products):
            return message
    for parts in LORAS:
        true, got = sum(s * B @ A for s, B, A in parts), _product(fn, parts)
        if got.shape != true.shape:
            return f"B A has the shape {tuple(got.shape)}, not {tuple(true.shape)}: join B's columns and A's rows"
        if not torch.allclose(got, true, atol=1e-5):
            return f"B A is off by {(got - true).norm() / true.norm():.2f} of the true sum's size"
    return None


concatenate = exercise("12c", _concatenate, _adds_up)
