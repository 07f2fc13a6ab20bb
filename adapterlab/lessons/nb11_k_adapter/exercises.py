"""Exercises of 11_k_adapter."""

import torch

from ..kit.exercise import agrees, exercise, mistake, same


def _random(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for shape in shapes]


# ---- 11a: the chain beside the model


def _chain(states, layers):
    """What the last of the adapter's layers puts out; each reads a frozen state plus what the one before put out."""
    k = 0
    for h, layer in zip(states, layers, strict=True):
        k = layer(h + k)
    return k


LAYERS = [lambda h: 2 * h + 1, lambda h: h * h, lambda h: 3 - h]  # no two orders of them agree
CHAINS = ((_random((2, 4), (2, 4), (2, 4)), LAYERS), (_random((1, 3), (1, 3)), LAYERS[:2]))


def _separate(states, layers):
    return [layer(h) for h, layer in zip(states, layers, strict=True)]


def _after(states, layers):
    k = 0
    for h, layer in zip(states, layers, strict=True):
        k = layer(h) + k
    return k


def _deep(states, layers):
    k = states[0]
    for layer in layers:
        k = layer(k)
    return k


def _twice(states, layers):
    k = 0
    for h, layer in zip(states, layers, strict=True):
        k = h + layer(h + k)
    return k


chain = exercise(
    "11a",
    _chain,
    mistake(
        lambda s, ls: _separate(s, ls)[-1],
        "the last layer never sees what the ones before put out: hand k on, layer(h + k)",
        *CHAINS,
    ),
    mistake(_after, "k is added behind the layer; it goes in together with the hidden state: layer(h + k)", *CHAINS),
    mistake(_deep, "only the first hidden state is read; every layer reads its own h", *CHAINS),
    mistake(_twice, "h is added twice; the layer has its own residual connection, so k = layer(h + k)", *CHAINS),
    mistake(lambda s, ls: _chain(s[::-1], ls[::-1]), "it runs from the top layer down; begin at the lowest", *CHAINS),
    mistake(lambda s, ls: s[-1] + _chain(s, ls), "the frozen state is added to the result; return k alone", *CHAINS),
    mistake(
        lambda s, ls: _chain(s[:1], ls[:1]),
        "it returns after the first layer: the `return` stands inside the loop",
        *CHAINS,
    ),
    agrees(_chain, *CHAINS),
)

# ---- 11b: what it costs


def _kadapter_count(d, m, inner, depth):
    """Parameters of one adapter layer: down, `depth` transformer layers m wide, up."""
    encoder = 4 * (m * m + m) + (m * inner + inner) + (inner * m + m) + 2 * 2 * m
    return (d * m + m) + depth * encoder + (m * d + d)


COSTS = ((5, 2, 3, 1), (7, 4, 6, 2), (384, 64, 256, 2))

kadapter_count = exercise(
    "11b",
    _kadapter_count,
    mistake(lambda d, m, i, n: 2 * d * m + m + d, "that is down and up; the transformer layers are missing", *COSTS),
    mistake(
        lambda d, m, i, n: _kadapter_count(d, m, i, n) - n * 4 * m,
        "each transformer layer has two LayerNorms of 2·m parameters",
        *COSTS,
    ),
    mistake(
        lambda d, m, i, n: _kadapter_count(d, m, i, n) - n * (m * m + m),
        "attention has four matrices: query, key, value and the output's",
        *COSTS,
    ),
    mistake(
        lambda d, m, i, n: 2 * d * m + n * (4 * m * m + 2 * m * i + 4 * m),
        "the biases are missing: every matrix has one, as long as its output",
        *COSTS,
    ),
    mistake(
        lambda d, m, i, n: _kadapter_count(d, m, i, 1),
        "depth has no effect; there are `depth` transformer layers",
        (7, 4, 6, 2),
        (384, 64, 256, 2),
    ),
    mistake(
        lambda d, m, i, n: n * _kadapter_count(d, m, i, 1),
        "down and up are there once, whatever the depth",
        (7, 4, 6, 2),
        (384, 64, 256, 2),
    ),
    mistake(
        lambda d, m, i, n: _kadapter_count(d, d, i, n),
        "its transformer layers are m wide, not d: down comes first",
        *COSTS,
    ),
    agrees(_kadapter_count, *COSTS),
)

# ---- 11c: attention that does not look at padding


def _attend(scores, mask):
    """Softmax over the columns of scores (tokens, tokens), 0 where mask (tokens,) is 0."""
    return scores.masked_fill(mask == 0, -torch.inf).softmax(-1)


SCORES = tuple(
    (scores, torch.tensor(mask))
    for scores, mask in zip(_random((4, 4), (5, 5)), ([1, 1, 0, 0], [1, 1, 1, 1, 0]), strict=True)
)


def _told(weights):
    """A wrong mask makes rows of nan, and nan equals nothing: -1 in their place."""
    return weights.nan_to_num(-1.0)


attend = exercise(
    "11c",
    _attend,
    mistake(lambda s, m: s.softmax(-1), "padding is still looked at: the mask is not used", *SCORES),
    mistake(
        lambda s, m: (s * m).softmax(-1),
        "a score of 0 is not a weight of 0, since exp(0) = 1: the scores of padding must be -inf",
        *SCORES,
    ),
    mistake(
        lambda s, m: s.softmax(-1) * m,
        "the weights of a row no longer sum to 1: mask the scores, before the softmax",
        *SCORES,
    ),
    lambda fn: (
        "the softmax runs down the columns; every token shares out its own row, dimension -1"
        if same(_told(fn(*SCORES[0])), _told(SCORES[0][0].masked_fill(SCORES[0][1] == 0, -torch.inf).softmax(0)))
        else None
    ),
    mistake(
        lambda s, m: s.masked_fill(m == 1, -torch.inf).softmax(-1),
        "it hides the real tokens and looks at the padding: 1 in the mask is a real token",
        *SCORES,
    ),
    lambda fn: (
        "it hides the rows of padding; what must not be *looked at* are the columns"
        if fn(*SCORES[0]).isnan().any()
        else None
    ),
    agrees(_attend, *SCORES),
)
