"""Exercises of 15_a_decoder_learns."""

import torch
from torch.nn import functional as F

from ..kit.exercise import exercise, random_tensors

# ---- 15a: which tokens are learned


def _row(prompt, text, end, length, front=False, stop=True, back=False):
    """(ids, labels): prompt, text, end and padding; of these the labels hold what is learned, and -100 elsewhere."""
    padding = [end] * (length - len(prompt) - len(text) - 1)

    def labels(part, learned):
        return part if learned else [-100] * len(part)

    said = labels(prompt, front) + text + labels([end], stop) + labels(padding, back)
    return prompt + text + [end] + padding, said


A = "prompt, text, end, length"
labelled_row = exercise(
    "15a",
    A,
    _row,
    [([5, 6], [7, 8, 9], 2, 8), ([4], [3, 7], 2, 4), ([2, 3, 1], [9], 2, 7)],
    f"""
    right({A}, front=True, back=True)  # everything is learned, prompt and padding too: their labels are -100
    right({A}, front=True)             # the prompt is learned: it is given, so its labels are -100
    right({A}, back=True)              # the padding is learned: behind the first end token every label is -100
    right({A}, stop=False)
        # the end token that closes the text is masked with the padding, which looks like it: nothing learns to stop
    right(prompt, text, end, len(prompt + text) + 1)  # the padding is missing: both lists have `length` entries
    (prompt + text + [-100] * (length - len(prompt + text)), right({A})[1])
    (prompt + text + [end] + [-100] * (length - len(prompt + text) - 1), right({A})[1])
        # -100 is a label, no token: the row itself is filled up with `end`
    (right({A})[0], right({A})[1][1:] + [-100])
        # the labels are shifted already: leave each at its own token, the loss will shift
    (right({A})[0], [0 if label == -100 else label for label in right({A})[1]])
        # 0 is a token like any other: what is not learned gets the label -100
    right({A})[::-1]                 # the two change places: the row first
    right({A})[1]                    # those are the labels alone; the row itself is due, too
    right({A})[0]                    # that is the row alone; its labels are due, too
    """,
)

# ---- 15b: the loss of the next token

LABELS = [[[-100, 3, 1, -100], [-100, 2, 4, 0]], [[-100, -100, 2], [-100, 1, 0]], [[-100, 4, 4, 1, 2]]]
LOSSES = [(*random_tensors((*torch.tensor(labels).shape, 5), seed=i), torch.tensor(labels))
          for i, labels in enumerate(LABELS)]  # fmt: skip
EACH = "F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), reduction='none')"

next_token_loss = exercise(
    "15b",
    "logits, labels",
    lambda logits, labels: F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()),
    LOSSES,
    f"""
    F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        # nothing is shifted: the scores at a token are for the *next* one, logits[:, :-1] for labels[:, 1:]
    F.cross_entropy(logits[:, 1:].flatten(0, 1), labels[:, :-1].flatten())
        # it is shifted the wrong way: here each token foretells the one before it
    F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].clamp(min=0).flatten())
        # -100 counts as a token: where the label is -100, prompt and padding, nothing is learned
    {EACH}.mean()
        # it divides by all positions; take the mean over those whose label is not -100
    {EACH}.sum()  # that is the sum; the loss is the mean over the labels that are not -100
    sum(F.cross_entropy(x[:-1], y[1:]) for x, y in zip(logits, labels)) / len(logits)
        # a mean of the rows' means gives a token of a short text more weight; every token counts alike
    F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()).exp()
        # that is the perplexity, exp of the loss
    -F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())   # the sign is turned round
    F.nll_loss(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
        # the scores are no log-probabilities yet: F.cross_entropy takes their log_softmax first
    """,
    gradients=True,
)

# ---- 15c: padding on the left


def _positions(mask):
    return (mask.cumsum(1) - 1).clamp(min=0)


def _pad(rows, pad, left=True, by_token=False, positions=_positions):
    """(ids, mask, positions), each (rows, longest): padding first; 1 at real tokens, which count from position 0."""

    def block(values, fill):
        fills = [[fill] * (max(map(len, rows)) - len(row)) for row in rows]
        return torch.tensor([f + v if left else v + f for f, v in zip(fills, values, strict=True)])

    ids, mask = block(rows, pad), block([[1] * len(row) for row in rows], 0)
    mask = (ids != pad).long() if by_token else mask
    return ids, mask, positions(mask)


pad_left = exercise(
    "15c",
    "rows, pad",
    _pad,
    [([[5, 6, 7, 8], [9, 4]], 2), ([[3], [2, 7, 2], [1, 6]], 2), ([[4, 5]], 0)],
    """
    right(rows, pad, left=False)
    right(rows, pad, left=False, positions=lambda m: torch.arange(m.shape[1]).expand_as(m))
        # the padding stands on the right, between a prompt and what is written: put it on the left
    right(rows, pad, by_token=True)
        # the mask is read off the tokens, and a prompt may hold the padding token itself: count with len(row)
    right(rows, pad, positions=lambda m: torch.arange(m.shape[1]).expand_as(m))
        # the positions count the padding: each row's first real token is at position 0
    right(rows, pad, positions=lambda m: m.cumsum(1))      # the positions begin at 1; the first real token is at 0
    right(rows, pad, positions=lambda m: m.cumsum(1) - 1)  # padding is at position -1: clamp(min=0)
    (right(rows, pad)[0], torch.ones_like(right(rows, pad)[1]), right(rows, pad)[2])
        # the mask is 1 everywhere: padding would be read
    (right(rows, pad)[0], 1 - right(rows, pad)[1], right(rows, pad)[2])
        # the mask is turned round: 1 is a token to read
    (right(rows, pad)[0], *right(rows, pad)[:0:-1])         # mask and positions change places
    right(rows, pad)[:2]                                    # the positions are missing
    right(rows, pad)[0]  # those are the tokens alone; mask and positions are due, too
    """,
)

# ---- 15d: greedy writing, with an adapter that changes on the way


def _write(step, prompt, adapter_at, steps, end, again=False, forget=False, early=0, last=False):
    """The tokens that are written behind a prompt, the likeliest each time.

    step(tokens, cache, adapter) -> (scores of the next token, cache); adapter_at(i): who writes token i.
    """
    tokens, cache, written = prompt, None, []
    for i in range(steps):
        scores, cache = step(tokens, cache, adapter_at(i + early))
        token = int(scores.argmax())
        if token == end:
            return written + [end] * last
        written.append(token)
        tokens, cache = prompt + written if again else [token], None if forget else cache
    return written


def _step(tokens, cache, adapter):
    """A toy for the check: the score depends on all tokens read, their order, and who read them."""
    seen = [*(cache or []), *((t, adapter) for t in tokens)]
    total = sum((i + 2) * (t + 5 * (who == "b") + 1) for i, (t, who) in enumerate(seen))
    return torch.eye(11)[(3 * total + 7 * len(seen)) % 11], seen


def _turns(i):
    return "ab"[i // 2 % 2]


ALL = "step, prompt, adapter_at, steps, end"
write = exercise(
    "15d",
    ALL,
    _write,
    [(_step, [3, 1, 4], _turns, 8, 11), (_step, [5], _turns, 6, 11), (_step, [3, 1, 4], _turns, 8, 1),
     (_step, [7, 2], lambda i: "b", 1, 11)],
    f"""
    right({ALL}, again=True)
        # the cache holds what was read, and here it is read again: after the first step, feed the new token alone
    right({ALL}, forget=True)
        # the cache is not handed on, so each step reads one token and forgets all before it
    right({ALL}, early=1)
        # the adapter changes a token too early: adapter_at(i) writes token i, and i begins at 0
    right({ALL}, early=-1)
        # the adapter changes a token too late: adapter_at(i) writes token i, and i begins at 0
    right(step, prompt, lambda i: adapter_at(0), steps, end)
        # the adapter never changes: ask adapter_at(i) at every step
    right({ALL}, last=True)       # the end token is no part of the text: stop before it is noted
    right(step, prompt, adapter_at, steps, -1)                # it writes on behind the end token: stop there
    prompt + right({ALL})         # the prompt is in front: return what was written alone
    right(step, prompt, adapter_at, steps + 1, end)
    right(step, prompt, adapter_at, steps - 1, end)           # that is one token more or less than `steps`
    right(lambda *a: (-step(*a)[0], step(*a)[1]), prompt, adapter_at, steps, end)
        # it takes the least likely token: argmax, not argmin
    """,
)  # fmt: skip

QUIZ = """c a b a
    1 a  # what was never learned is not said more often for it
    1 b  # which label is masked changes what is learned; work out which token carries that number
    2 b  # the prompt is the same everywhere: how hard is it to foretell after a few steps?
    2 c  # the mean is then taken over more tokens, and these are easier than the others
    3 a  # ask what the cache holds, and which of it the query's matrix has a part in
    3 c  # the position of a token is the same, whoever reads it
    4 b  # were its weights changed? think of what a forward pass without the adapter computes
    4 c  # it was measured on texts that neither critic has read
"""
