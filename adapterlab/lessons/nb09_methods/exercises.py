"""Exercises of 09_one_idea_many_methods."""

import torch
from torch.nn import functional as F

from ..kit.exercise import KEEP_Y, exercise, random_tensors

# ---- 09a: four methods, a line each


def _change(name, x, w):
    """What "lora" (A, B, s) and "parallel" (down, up, s) add to y."""
    if name == "lora":
        return w["s"] * x @ w["A"].T @ w["B"].T
    return w["s"] * torch.relu(x @ w["down"].T) @ w["up"].T


def _one_line(name, x, y, w):
    """y' of "bitfit" (w["delta"]), "ia3" (w["l"]), "lora" or "parallel"."""
    if name == "bitfit":
        return y + w["delta"]
    return y * w["l"] if name == "ia3" else y + _change(name, x, w)


_X, _Y, _VECTOR, _IN, _OUT = random_tensors((2, 3, 4), (2, 3, 4), (4,), (2, 4), (4, 2), seed=9)
WEIGHTS = {
    "bitfit": {"delta": _VECTOR},
    "ia3": {"l": _VECTOR},
    "lora": {"A": _IN, "B": _OUT, "s": 3.0},
    "parallel": {"down": _IN, "up": _OUT, "s": 3.0},
}
CASES = {name: (name, _X, _Y, w) for name, w in WEIGHTS.items()}
ADAPTED = """
    change(name, x, w)               # the frozen output y is missing from the sum
    y + change(name, y, w)           # it must read x, not y
    x + change(name, x, w)           # it adds to x; the change belongs on y
    y + change(name, x, w) / w['s']  # the scale s is missing
    w['s'] * y + change(name, x, w)  # s scales the change alone, not y
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
    y + w['s'] * F.relu(x @ w['A'].T) @ w['B'].T            # there is no activation between A and B
    y + change(name, x, w) / len(w['A'])                    # s is alpha / r already; do not divide again
    """
    + ADAPTED,
    "parallel": """
    y + w['s'] * x @ w['down'].T @ w['up'].T                # the relu between down and up is missing, and so it is LoRA
    y + w['s'] * F.relu(x @ w['down'].T @ w['up'].T)
    F.relu(y + change(name, x, w))                          # the relu belongs between down and up, not behind both
    y + w['s'] * F.gelu(x @ w['down'].T) @ w['up'].T
    y + w['s'] * torch.tanh(x @ w['down'].T) @ w['up'].T    # the activation between down and up is a relu
    """
    + ADAPTED,
}

NAMED = [([CASES[name]], table.replace("# ", f"# {name}: ")) for name, table in LINES.items()]

one_line = exercise("09a", "name, x, y, w", _one_line, list(CASES.values()), ["y  # y comes back unchanged", *NAMED],
    names={"change": _change}, gradients=True, keeps={"y": KEEP_Y})  # fmt: skip

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
ARGS, GATE, TEXT, PREFIX = "q, K, V, P_k, P_v", "share(q, K, P_k)", "attend(q, K, V)", "attend(q, P_k, P_v)"

gated_prefix = exercise("09b", ARGS, _gated, HEADS, f"""
    (1 - {GATE}, {GATE} * {TEXT} + (1 - {GATE}) * {PREFIX})
    (1 - {GATE}, right({ARGS})[1])         # λ is the text's share; it is the prefix's
    ({GATE}, {GATE} * {TEXT} + (1 - {GATE}) * {PREFIX})  # the two outputs have each other's share
    ({GATE}, {TEXT} + {GATE} * {PREFIX})   # the prefix takes from the text what it gets: attn(C) times 1 - λ
    ({GATE}, {TEXT} + {PREFIX})            # the gate is not used: (1 - λ) attn(C) + λ attn(P)
    ({GATE}, {TEXT})                       # the prefix is missing from the output
    ({GATE}, {PREFIX})                     # the text is missing from the output
    right(q * q.shape[-1] ** 0.5, K, V, P_k, P_v)
    (share(q * q.shape[-1] ** 0.5, K, P_k), right({ARGS})[1])
        # the scores are divided by √d, d = q.shape[-1], in λ as in both attentions
    ((q @ P_k.T).sum(-1, keepdim=True) / (q @ torch.cat([P_k, K]).T).sum(-1, keepdim=True), right({ARGS})[1])
        # λ is a share of the exponentials of the scores, not of the scores
    (len(P_k) / (len(P_k) + len(K)) * torch.ones(len(q), 1), right({ARGS})[1])
        # that is the prefix's share of the positions; λ is its share of the softmax
""", names={"share": _share, "attend": _attend}, gradients=True)  # fmt: skip

# ---- 09c: can it be merged?


def _is_affine(f, width):
    """Is f, from (width,) to (width,), of the form W x + b? Tried on random points, in both directions."""
    a, b, zero = torch.randn(width), torch.randn(width), torch.zeros(width)
    return torch.allclose(f(a + b) + f(zero), f(a) + f(b), atol=1e-4)


WIDTH = 24  # wide enough that two random points never lie on the same side of every relu
_W, _V, _B = random_tensors((WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH,), seed=9)
#: name, function, is it affine?, what a test lacks that is wrong here before anywhere else
FUNCTIONS = (
    ("W x", lambda x: _W @ x, True, ""),
    ("W x + b", lambda x: _W @ x + _B, True,
     "with a bias f(a + b) has one b and f(a) + f(b) has two; f(0) is that bias"),
    ("relu", lambda x: _V @ torch.relu(_W @ x), False, "scaling by a positive number goes through it; add two points"),
    ("|x|", lambda x: x.abs(), False, ""),
    ("relu + b", lambda x: _V @ torch.relu(_W @ x + _B), False, ""),
    ("gelu", lambda x: x + _V @ F.gelu(_W @ x + _B), False, ""),
    ("x^2", lambda x: x + x * x, False, ""),
    ("x^3", lambda x: (_W @ x) ** 3, False, "f(-a) = -f(a) holds for it as well; add two different points"),
    ("x + x^2 / 10", lambda x: x + x * x / 10, False, "the tolerance is too wide, rounding is off by 1e-4 at most"),
)  # fmt: skip


def _judges_affine(fn):
    """The learner may choose the points: what can be compared is the verdict on known functions."""
    verdicts = [{fn(f, WIDTH) for _ in range(3)} for _, f, _, _ in FUNCTIONS]
    wrong = [row for row, said in zip(FUNCTIONS, verdicts, strict=True) if said != {row[2]}]
    if not wrong:
        return None
    if set.union(*verdicts) == {False}:
        return "it says False of every function: compare with torch.allclose, for sums of floats are seldom equal"
    if set.union(*verdicts) == {True}:
        return "it says True of every function"
    if verdicts == [{not affine} for _, _, affine, _ in FUNCTIONS]:
        return "it is turned round: True must mean affine"
    name, _, affine, lack = wrong[0]
    said = f"{name} is {'' if affine else 'not '}affine, and your test says otherwise"
    return f"{said}: {lack}" if lack else said


is_affine = exercise("09c", "f, width", _is_affine, (), "", _judges_affine, returns=True)

QUIZ = """c b a 640
    1 a       # the same two matrices have the same count
    1 b       # both are trained, and everything else is frozen beside either
    2 a       # that matrix reads the inner units, the adapter reads what enters the feed-forward
    2 c       # without the relu it is up · down · x, a matrix of rank m
    3 b       # it would be one more vector a layer
    3 c       # they are made by a linear map, as the keys are; write down a score
    4 768     # that is LoRA of rank 1: two matrices, trained
    4 196608  # these matrices are random, shared and frozen
    4 *       # one number a rank and one number an output are trained
"""
