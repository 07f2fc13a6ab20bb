"""Exercises of 11_k_adapter."""

import torch

from ..kit.exercise import exercise, random_tensors

# ---- 11a: the chain beside the model


def _chain(states, layers):
    """What the last of the adapter's layers puts out; each reads a frozen state plus what the one before put out."""
    k = 0
    for h, layer in zip(states, layers, strict=True):
        k = layer(h + k)
    return k


LAYERS = [lambda h: 2 * h + 1, lambda h: h * h, lambda h: 3 - h]  # no two orders of them agree
CHAINS = [(random_tensors((2, 4), (2, 4), (2, 4)), LAYERS), (random_tensors((1, 3), (1, 3)), LAYERS[:2])]


def _step(states, layers, step):
    """A chain whose k is what `step` makes of layer, h and the k before."""
    k = 0
    for h, layer in zip(states, layers, strict=True):
        k = step(layer, h, k)
    return k


chain = exercise("11a", "states, layers", _chain, CHAINS, """
    layers[-1](states[-1])  # the last layer never sees what the ones before put out: hand k on, layer(h + k)
    step(states, layers, lambda layer, h, k: layer(h) + k)
        # k is added behind the layer; it goes in together with the hidden state: layer(h + k)
    step(states, layers, lambda layer, h, k: layer(h if h is states[0] else k))
        # only the first hidden state is read; every layer reads its own h
    step(states, layers, lambda layer, h, k: h + layer(h + k))
    step(states, layers, lambda layer, h, k: k + layer(h + k))
        # h or k is added twice; the layer has its own residual connection, so k = layer(h + k)
    step(states, layers, lambda layer, h, k: layer(h - k))  # k is subtracted; it is added to h
    right(states[::-1], layers[::-1])                       # it runs from the top layer down; begin at the lowest
    states[-1] + right(states, layers)                      # the frozen state is added to the result; return k alone
    right(states[:1], layers[:1])  # it returns after the first layer: the `return` stands inside the loop
    right(states[:-1], layers[:-1])
    right(states[1:], layers[1:])                           # the first layer or the last does not run
""", names={"step": _step}, gradients=True)  # fmt: skip

# ---- 11b: what it costs


def _kadapter_count(d, m, inner, depth):
    """Parameters of one adapter layer: down, `depth` transformer layers m wide, up."""
    encoder = 4 * (m * m + m) + (m * inner + inner) + (inner * m + m) + 2 * 2 * m
    return (d * m + m) + depth * encoder + (m * d + d)


kadapter_count = exercise("11b", "d, m, inner, depth", _kadapter_count,
    [(5, 2, 3, 1), (7, 4, 6, 2), (384, 64, 256, 2)], """
    2 * d * m + m + d                                # that is down and up; the transformer layers are missing
    right(d, m, inner, depth) - depth * 4 * m
    right(d, m, inner, depth) - depth * 2 * m        # each transformer layer has two LayerNorms of 2·m parameters
    right(d, m, inner, depth) - depth * (m * m + m)  # attention has four matrices: query, key, value and the output's
    2 * d * m + depth * (4 * m * m + 2 * m * inner + 4 * m)
        # the biases are missing: every matrix has one, as long as its output
    right(d, m, inner, 1)                            # depth has no effect; there are `depth` transformer layers
    depth * right(d, m, inner, 1)                    # down and up are there once, whatever the depth
    right(d, d, inner, depth)                        # its transformer layers are m wide, not d: down comes first
    right(d, m, inner, depth) - (2 * d * m + d + m)  # those are the transformer layers; down and up are missing
    right(d, m, inner, depth) - depth * (2 * m * inner + inner + m)
        # each transformer layer has two feed-forward matrices, to `inner` and back
    right(d, m, m, depth)
    right(d, m, 4 * m, depth)                        # the feed-forward block is `inner` wide inside, not m or 4·m
""")  # fmt: skip

# ---- 11c: attention that does not look at padding

SCORES = [
    (scores, torch.tensor(mask))
    for scores, mask in zip(
        random_tensors((4, 4), (5, 5), (3, 3)), ([1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1]), strict=True
    )
]
HIDDEN = "scores.masked_fill(mask == 0, -torch.inf)"

attend = exercise("11c", "scores, mask", f"{HIDDEN}.softmax(-1)", SCORES, f"""
    scores.softmax(-1)           # padding is still looked at: the mask is not used
    (scores * mask).softmax(-1)
        # a score of 0 is not a weight of 0, since exp(0) = 1: the scores of padding must be -inf
    scores.softmax(-1) * mask    # the weights of a row no longer sum to 1: mask the scores, before the softmax
    {HIDDEN}.softmax(0)
    scores.softmax(0)            # the softmax runs down the columns; every token shares out its own row, dimension -1
    scores.masked_fill(mask == 1, -torch.inf).softmax(-1)
        # it hides the real tokens and looks at the padding: 1 in the mask is a real token
    scores.masked_fill((mask == 0)[:, None], -torch.inf).softmax(-1)
    scores.masked_fill((mask == 0)[:, None], -1e9).softmax(-1)
    scores.masked_fill((mask == 0)[:, None] | (mask == 0), -torch.inf).softmax(-1)
        # the rows of padding are hidden; what must not be *looked at* are its columns, and they alone
    (scores + mask).softmax(-1)
    (scores - mask).softmax(-1)  # adding the mask leaves padding in: the scores of padding must be -inf
    {HIDDEN}
    {HIDDEN}.exp()
    {HIDDEN}.sigmoid()           # the weights of a row do not sum to 1: it must be a softmax
""", gradients=True,
    keeps={"scores": "it changes the scores in place; masked_fill without the underscore makes a copy"})  # fmt: skip

QUIZ = """b c a b
    1 a  # eval mode switches dropout off, not gradients
    1 c  # size does not matter: which way would a gradient have to go to reach it?
    2 a  # then it would also know towns that it has not seen
    2 b  # that would score the same on towns it has seen and on others
    3 b  # it reads the frozen states, and they are what they were
    3 c  # something on top has to read states that it has never seen
    4 a  # what the attention makes has to go through `up`
    4 c  # put up = 0 into h + up(...), and look at what is added to y
"""
