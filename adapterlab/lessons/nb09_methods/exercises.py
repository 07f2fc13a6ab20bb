"""Exercises of 09_one_idea_many_methods."""

import torch
from torch.nn import functional as F

from ..kit.exercise import agrees, exercise, mistake

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


def _wrongly(**other):
    return lambda name, x, y, w: (other.get(name) or _one_line)(name, x, y, w)


def _cases():
    def tensor(*shape):
        return torch.randn(*shape, generator=generator)

    generator = torch.Generator().manual_seed(9)
    x, y = tensor(2, 3, 4), tensor(2, 3, 4)
    return {
        "bitfit": (x, y, {"delta": tensor(4)}),
        "ia3": (x, y, {"l": tensor(4)}),
        "lora": (x, y, {"A": tensor(2, 4), "B": tensor(4, 2), "s": 3.0}),
        "parallel": (x, y, {"down": tensor(2, 4), "up": tensor(4, 2), "s": 3.0}),
    }


METHODS = {name: ((name, *case),) for name, case in _cases().items()}
ALL = tuple(case for cases in METHODS.values() for case in cases)


def _plain(name, x, y, w, read=None):
    """The change of LoRA or the parallel adapter without its scale."""
    h = x if read is None else read
    if name == "lora":
        return h @ w["A"].T @ w["B"].T
    return torch.relu(h @ w["down"].T) @ w["up"].T


def _of(which, wrong, message):
    """A mistake in one of the four alone; the other three are right."""
    return mistake(_wrongly(**{which: wrong}), message, *METHODS[which])


one_line = exercise(
    "09a",
    _one_line,
    mistake(lambda name, x, y, w: y, "y comes back unchanged", *ALL),
    _of("bitfit", lambda name, x, y, w: y * w["delta"], "bitfit: a bias is added, not multiplied"),
    _of("ia3", lambda name, x, y, w: y + w["l"], "ia3: l scales y, it is not added to it"),
    _of("ia3", lambda name, x, y, w: x * w["l"], "ia3: l scales y, what came out, and not x"),
    _of(
        "ia3",
        lambda name, x, y, w: y * (1 + w["l"]),
        "ia3: (IA)^3's l starts at 1, so it is y * l; with 1 + l a new one would double y",
    ),
    *(
        check
        for name in ("lora", "parallel")
        for check in (
            _of(
                name,
                lambda name, x, y, w: w["s"] * _plain(name, x, y, w),
                f"{name}: the frozen output y is missing from the sum",
            ),
            _of(name, lambda name, x, y, w: y + w["s"] * _plain(name, x, y, w, y), f"{name}: it must read x, not y"),
            _of(name, lambda name, x, y, w: y + _plain(name, x, y, w), f"{name}: the scale s is missing"),
            _of(
                name,
                lambda name, x, y, w: w["s"] * (y + _plain(name, x, y, w)),
                f"{name}: s scales the change alone, not y",
            ),
        )
    ),
    _of(
        "parallel",
        lambda name, x, y, w: y + w["s"] * x @ w["down"].T @ w["up"].T,
        "parallel: the relu between down and up is missing, and so it is LoRA",
    ),
    _of(
        "parallel",
        lambda name, x, y, w: y + w["s"] * torch.relu(x @ w["down"].T @ w["up"].T),
        "parallel: the relu belongs between down and up, not behind both",
    ),
    _of(
        "lora",
        lambda name, x, y, w: y + w["s"] * torch.relu(x @ w["A"].T) @ w["B"].T,
        "lora: there is no activation between A and B",
    ),
    agrees(_one_line, *ALL),
)

# ---- 09b: can it be merged?


def _is_affine(f, width):
    """Is f, from (width,) to (width,), of the form W x + b? Tried on random points, in both directions."""
    a, b, zero = torch.randn(width), torch.randn(width), torch.zeros(width)
    return torch.allclose(f(a + b) + f(zero), f(a) + f(b), atol=1e-4)


WIDTH = 24  # wide enough that two random points never lie on the same side of every relu


def _functions():
    """name -> (function, is it affine?)"""
    generator = torch.Generator().manual_seed(9)
    W, V = (torch.randn(WIDTH, WIDTH, generator=generator) for _ in range(2))
    b = torch.randn(WIDTH, generator=generator)
    return {
        "W x": (lambda x: W @ x, True),
        "W x + b": (lambda x: W @ x + b, True),
        "relu": (lambda x: V @ torch.relu(W @ x), False),
        "relu + b": (lambda x: V @ torch.relu(W @ x + b), False),
        "gelu": (lambda x: x + V @ F.gelu(W @ x + b), False),
        "|x|": (lambda x: x.abs(), False),
        "x^2": (lambda x: x + x * x, False),
        "x^3": (lambda x: (W @ x) ** 3, False),
    }


FUNCTIONS = _functions()


def _answers(fn):
    found = {}
    for name, (f, _) in FUNCTIONS.items():
        found[name] = [bool(fn(f, WIDTH)) for _ in range(3)]
    return found


def _judges_affine(fn):
    """The learner may choose the points: what can be compared is the verdict on known functions."""
    if not isinstance(fn(FUNCTIONS["W x"][0], WIDTH), bool | torch.Tensor):
        return "it must return True or False"
    found = _answers(fn)
    wrong = {name for name, said in found.items() if any(s != FUNCTIONS[name][1] for s in said)}
    if not wrong:
        return None
    said = {s for answers in found.values() for s in answers}
    if said == {False}:
        return "it says False of every function: compare with torch.allclose, for sums of floats are seldom equal"
    if said == {True}:
        return "it says True of every function"
    if "W x + b" in wrong and "W x" not in wrong:
        return "W x + b is affine too: with a bias f(a + b) has one b and f(a) + f(b) has two; f(0) is that bias"
    if wrong == {"relu"} or wrong == {"relu", "|x|"}:
        return "a relu without a bias passes your test: scaling by a positive number goes through it, so add two points"
    if {"x^3"} <= wrong <= {"x^3", "relu", "gelu", "relu + b"}:
        return "a cube passes your test, for f(-a) = -f(a) holds for it as well; add two different points"
    name = min(wrong, key=list(FUNCTIONS).index)
    kind = "affine" if FUNCTIONS[name][1] else "not affine"
    return f"{name} is {kind}, and your test says otherwise"


is_affine = exercise("09b", _is_affine, _judges_affine)

# ---- 09c: the same budget


def _same_budget(method, budget, sites, d):
    """The largest size, rank or length whose parameters at `sites` sites, each d wide on both sides, keep the budget."""
    each = budget // sites
    if method == "bottleneck":
        return (each - d) // (2 * d + 1)
    return each // (2 * d)


BOTTLENECK = tuple(("bottleneck", *case) for case in ((222_000, 12, 384), (368_640, 12, 384), (9_000, 6, 100)))
OTHERS = tuple(
    (method, budget, sites, d)
    for method, sites in (("lora", 12), ("prefix_tuning", 6))
    for budget, d in ((227_000, 384), (50_000, 384), (39_000, 100))
)
BUDGETS = BOTTLENECK + OTHERS

same_budget = exercise(
    "09c",
    _same_budget,
    mistake(
        lambda m, budget, sites, d: _same_budget(m, budget, 1, d),
        "the budget is for the whole model: divide it by the number of sites",
        *BUDGETS,
    ),
    mistake(
        lambda m, budget, sites, d: _same_budget(m, budget, sites, d) + 1,
        "it rounds up, and so it goes beyond the budget",
        *BUDGETS,
    ),
    mistake(
        lambda m, budget, sites, d: (
            budget / sites / (2 * d) if m != "bottleneck" else (budget / sites - d) / (2 * d + 1)
        ),
        "a size is a whole number: round down",
        *BUDGETS,
    ),
    mistake(
        lambda m, budget, sites, d: budget // sites // (2 * d),
        "bottleneck: its two biases, m and d, count as well",
        *BOTTLENECK,
    ),
    mistake(
        lambda m, budget, sites, d: budget // sites // (2 * d + 1),
        "bottleneck: the bias of width d comes off the budget first, whatever the size",
        *BOTTLENECK,
    ),
    mistake(
        lambda m, budget, sites, d: budget // sites // d,
        "lora has two matrices, A and B, and a prefix has keys and values: 2·d a unit",
        *OTHERS,
    ),
    mistake(
        lambda m, budget, sites, d: budget // sites // (d * d),
        "lora: the rank replaces one of the two d's, r·(d + d) and not d·d",
        *OTHERS,
    ),
    agrees(_same_budget, *BUDGETS),
)
