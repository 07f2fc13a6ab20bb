"""Exercises of 09_one_idea_many_methods."""

import torch
from torch.nn import functional as F

from ..kit.exercise import exercise, random_tensors

# ---- 09a: four methods, a line each


def _one_line(name, x, y, w):
    """y' of "bitfit" (w["delta"]), "ia3" (w["l"]), "lora" (A, B, s) or "parallel" (down, up, s)."""
    if name == "bitfit":
        return y + w["delta"]
    if name == "ia3":
        return y * w["l"]
    if name == "lora":
        return y + w["s"] * x @ w["A"].T @ w["B"].T
    return y + w["s"] * torch.relu(x @ w["down"].T) @ w["up"].T


_X, _Y, _VECTOR, _IN, _OUT = random_tensors((2, 3, 4), (2, 3, 4), (4,), (2, 4), (4, 2), seed=9)
METHODS = {
    "bitfit": ("bitfit", _X, _Y, {"delta": _VECTOR}),
    "ia3": ("ia3", _X, _Y, {"l": _VECTOR}),
    "lora": ("lora", _X, _Y, {"A": _IN, "B": _OUT, "s": 3.0}),
    "parallel": ("parallel", _X, _Y, {"down": _IN, "up": _OUT, "s": 3.0}),
}
ADAPTED = """
    w['s'] * (CHANGE)      # the frozen output y is missing from the sum
    y + w['s'] * (OF_Y)    # it must read x, not y
    x + w['s'] * (CHANGE)  # it adds to x; the change belongs on y
    y + (CHANGE)           # the scale s is missing
    w['s'] * (y + CHANGE)  # s scales the change alone, not y
"""
#: method -> what its line may be instead
LINES = {
    "bitfit": """
    y * w['delta']                # a bias is added, not multiplied
    x + w['delta']                # it adds to x; y, what came out, has the bias
    w['delta'].expand_as(y)       # the frozen output y is missing from the sum
    """,
    "ia3": """
    y + w['l']                    # l scales y, it is not added to it
    x * w['l']                    # l scales y, what came out, and not x
    y * (1 + w['l'])              # (IA)^3's l starts at 1, so it is y * l; with 1 + l a new one would double y
    """,
    "lora": """
    y + w['s'] * F.relu(x @ w['A'].T) @ w['B'].T
    y + w['s'] * F.gelu(x @ w['A'].T) @ w['B'].T            # there is no activation between A and B
    y + w['s'] / len(w['A']) * x @ w['A'].T @ w['B'].T      # s is alpha / r already; do not divide again
    """
    + ADAPTED.replace("CHANGE", "x @ w['A'].T @ w['B'].T").replace("OF_Y", "y @ w['A'].T @ w['B'].T"),
    "parallel": """
    y + w['s'] * x @ w['down'].T @ w['up'].T                # the relu between down and up is missing, and so it is LoRA
    y + w['s'] * F.relu(x @ w['down'].T @ w['up'].T)        # the relu belongs between down and up, not behind both
    F.relu(y + w['s'] * F.relu(x @ w['down'].T) @ w['up'].T)  # the relu bends y, too; it belongs between down and up
    y + w['s'] * F.gelu(x @ w['down'].T) @ w['up'].T        # it is a relu between down and up, not a gelu
    y + w['s'] * torch.tanh(x @ w['down'].T) @ w['up'].T    # it is a relu between down and up, not a tanh
    """
    + ADAPTED.replace("CHANGE", "F.relu(x @ w['down'].T) @ w['up'].T").replace(
        "OF_Y", "F.relu(y @ w['down'].T) @ w['up'].T"
    ),
}

one_line = exercise(
    "09a",
    "name, x, y, w",
    _one_line,
    list(METHODS.values()),
    [
        "y  # y comes back unchanged",
        *(([METHODS[name]], lines.replace("# ", f"# {name}: ")) for name, lines in LINES.items()),
    ],
    gradients=True,
    keeps={"y": "it changes y in place; the frozen model's own output must stay as it is: write y + ..., not y += ..."},
)

# ---- 09b: a prefix is a gated parallel adapter


def _share(q, K, P_k):
    """(tokens, 1): the part of each query's softmax that the prefix gets, beside the text's keys."""
    text, prefix = ((q @ keys.T / q.shape[-1] ** 0.5).exp().sum(-1, keepdim=True) for keys in (K, P_k))
    return prefix / (prefix + text)


def _attend(q, K, V):
    return (q @ K.T / q.shape[-1] ** 0.5).softmax(-1) @ V


def _gated(q, K, V, P_k, P_v):
    """(λ, (1 - λ) attn(C) + λ attn(P)) of one head."""
    gate = _share(q, K, P_k)
    return gate, (1 - gate) * _attend(q, K, V) + gate * _attend(q, P_k, P_v)


#: q, K, V, P_k, P_v: 3 tokens, 2 of prefix, 4 wide; and 2 of each, where a wrong order fits as well
HEADS = [
    tuple(random_tensors((3, 4), (3, 4), (3, 4), (2, 4), (2, 4), seed=3)),
    tuple(random_tensors((2, 2), (2, 2), (2, 2), (2, 2), (2, 2), seed=4)),
]
GATE, TEXT, PREFIX = "share(q, K, P_k)", "attend(q, K, V)", "attend(q, P_k, P_v)"

gated_prefix = exercise(
    "09b",
    "q, K, V, P_k, P_v",
    _gated,
    HEADS,
    f"""
    (1 - {GATE}, {GATE} * {TEXT} + (1 - {GATE}) * {PREFIX})  # λ is the text's share; it is the prefix's
    (1 - {GATE}, right(q, K, V, P_k, P_v)[1])                # λ is the text's share; it is the prefix's
    ({GATE}, {GATE} * {TEXT} + (1 - {GATE}) * {PREFIX})      # the two outputs have each other's share
    ({GATE}, {TEXT} + {GATE} * {PREFIX})   # the prefix takes from the text what it gets: attn(C) times 1 - λ
    ({GATE}, {TEXT} + {PREFIX})            # the gate is not used: (1 - λ) attn(C) + λ attn(P)
    ({GATE}, {TEXT})                       # the prefix is missing from the output
    ({GATE}, {PREFIX})                     # the text is missing from the output
    right(q * q.shape[-1] ** 0.5, K, V, P_k, P_v)  # the scores are not divided by √d, d = q.shape[-1]
    (share(q * q.shape[-1] ** 0.5, K, P_k), right(q, K, V, P_k, P_v)[1])  # the scores in λ are divided by √d, too
    ((q @ P_k.T).sum(-1, keepdim=True) / (q @ torch.cat([P_k, K]).T).sum(-1, keepdim=True), right(q, K, V, P_k, P_v)[1])
        # λ is a share of the exponentials of the scores, not of the scores
    (len(P_k) / (len(P_k) + len(K)) * torch.ones(len(q), 1), right(q, K, V, P_k, P_v)[1])
        # that is the prefix's share of the positions; λ is its share of the softmax
    """,
    names={"share": _share, "attend": _attend},
    gradients=True,
)

# ---- 09c: can it be merged?


def _is_affine(f, width):
    """Is f, from (width,) to (width,), of the form W x + b? Tried on random points, in both directions."""
    a, b, zero = torch.randn(width), torch.randn(width), torch.zeros(width)
    return torch.allclose(f(a + b) + f(zero), f(a) + f(b), atol=1e-4)


WIDTH = 24  # wide enough that two random points never lie on the same side of every relu


def _functions():
    """name -> (function, is it affine?)"""
    W, V, b = random_tensors((WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH,), seed=9)
    return {
        "W x": (lambda x: W @ x, True),
        "W x + b": (lambda x: W @ x + b, True),
        "relu": (lambda x: V @ torch.relu(W @ x), False),
        "relu + b": (lambda x: V @ torch.relu(W @ x + b), False),
        "gelu": (lambda x: x + V @ F.gelu(W @ x + b), False),
        "|x|": (lambda x: x.abs(), False),
        "x^2": (lambda x: x + x * x, False),
        "x^3": (lambda x: (W @ x) ** 3, False),
        "x + x^2 / 10": (lambda x: x + x * x / 10, False),
    }


FUNCTIONS = _functions()


def _judges_affine(fn):
    """The learner may choose the points: what can be compared is the verdict on known functions."""
    verdicts = {name: {fn(f, WIDTH) for _ in range(3)} for name, (f, _) in FUNCTIONS.items()}
    wrong = {name for name, verdict in verdicts.items() if verdict != {FUNCTIONS[name][1]}}
    if not wrong:
        return None
    if set.union(*verdicts.values()) == {False}:
        return "it says False of every function: compare with torch.allclose, for sums of floats are seldom equal"
    if set.union(*verdicts.values()) == {True}:
        return "it says True of every function"
    if all(verdicts[name] == {not affine} for name, (_, affine) in FUNCTIONS.items()):
        return "it is turned round: True must mean affine"
    if "W x + b" in wrong and "W x" not in wrong:
        return "W x + b is affine too: with a bias f(a + b) has one b and f(a) + f(b) has two; f(0) is that bias"
    if wrong == {"x + x^2 / 10"}:
        return "x + x^2 / 10 passes your test: the tolerance is too wide, rounding is off by 1e-4 at most"
    if wrong == {"relu"} or wrong == {"relu", "|x|"}:
        return "a relu without a bias passes your test: scaling by a positive number goes through it, so add two points"
    if {"x^3"} <= wrong <= {"x^3", "relu", "gelu", "relu + b"}:
        return "a cube passes your test, for f(-a) = -f(a) holds for it as well; add two different points"
    name = min(wrong, key=list(FUNCTIONS).index)
    kind = "affine" if FUNCTIONS[name][1] else "not affine"
    return f"{name} is {kind}, and your test says otherwise"


is_affine = exercise("09c", "f, width", _is_affine, (), "", _judges_affine, returns=True)
