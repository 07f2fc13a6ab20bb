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

# ---- 09b: can it be merged?


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


is_affine = exercise("09b", "f, width", _is_affine, (), "", _judges_affine, returns=True)

# ---- 09c: the same budget


def _same_budget(method, budget, sites, d):
    """The largest size, rank or length whose parameters at `sites` sites, d wide on both sides, keep the budget."""
    each = budget // sites
    if method == "bottleneck":
        return (each - d) // (2 * d + 1)
    return each // (2 * d)


BOTTLENECK = [
    ("bottleneck", *case)
    for case in ((222_000, 12, 384), (368_640, 12, 384), (9_000, 6, 100), (1_153, 5, 10), (100_000, 1, 10))
]
LORA, PREFIX = (
    [(method, budget, sites, d) for budget, d in ((227_000, 384), (50_000, 384), (39_000, 100), (24_001, 100))]
    for method, sites in (("lora", 12), ("prefix_tuning", 6))
)


same_budget = exercise(
    "09c",
    "method, budget, sites, d",
    _same_budget,
    BOTTLENECK + LORA + PREFIX,
    [
        """
        right(method, budget, 1, d)          # the budget is for the whole model: divide it by the number of sites
        right(method, budget, sites, d) + 1  # it rounds up, and so it goes beyond the budget
        (budget / sites - d) / (2 * d + 1) if method == 'bottleneck' else budget / sites / (2 * d)
            # a size is a whole number: round down
        round((budget / sites - d) / (2 * d + 1) if method == 'bottleneck' else budget / sites / (2 * d))
            # it rounds to the nearest, which goes beyond the budget half of the time: round down
        """,
        (
            BOTTLENECK,
            """
        round((budget / sites - d) / (2 * d + 1))
            # bottleneck: it rounds to the nearest, which goes beyond the budget half of the time: round down
        budget // sites // (2 * d)              # bottleneck: its two biases, m and d, count as well
        budget // sites // (2 * d + 1)  # bottleneck: the bias of width d comes off the budget first, whatever the size
        (budget // sites - d) // (2 * d)  # bottleneck: the bias of down counts as well, one number a unit: 2·d + 1
        """,
        ),
        (
            LORA,
            """
        budget // sites // d            # lora has two matrices, A and B: 2·d a rank
        budget // sites // (d * d)      # lora: the rank replaces one of the two d's, r·(d + d) and not d·d
        budget // sites // (2 * d + 1)  # lora has no biases: 2·d a rank
        """,
        ),
        (
            PREFIX,
            """
        budget // sites // d  # prefix_tuning: a position has a key and a value, d numbers each: 2·d a position
        """,
        ),
    ],
)
