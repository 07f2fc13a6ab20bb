"""Exercises of 06_init_and_variants."""

import torch
from torch import nn

from ..kit.exercise import agrees, exercise, mistake

# ---- 06a: the initial weights


def _new_weight(rows, columns, std):
    """(rows, columns) from N(0, std^2), cut off at two standard deviations (Houlsby et al. 2019, section 3.6)."""
    return nn.init.trunc_normal_(torch.empty(rows, columns), std=std, a=-2 * std, b=2 * std)


STDS = (1e-3, 1e-2, 5.0)
ROWS, COLUMNS = 300, 400
SPREAD = 0.8796  # standard deviation of N(0, 1) cut off at 2


def _is_cut_normal(fn):
    """The learner draws random numbers: their shape, largest value and spread are what can be compared."""
    for std in STDS:
        w = fn(ROWS, COLUMNS, std)
        if not isinstance(w, torch.Tensor) or tuple(w.shape) != (ROWS, COLUMNS):
            return f"for ({ROWS}, {COLUMNS}, {std}) it must return a tensor of shape ({ROWS}, {COLUMNS})"
        w = w.detach()
        if not w.any():
            return "all weights are 0: then neither matrix ever gets a gradient, and the adapter never learns"
        most, spread = (w.abs().max() / std).item(), (w.std() / std).item()
        if std < 1 and abs(spread / (SPREAD * std**-0.5) - 1) < 0.2:
            return "std looks like a variance: the square root of std came out as the spread"
        if abs(spread - 1) < 0.02 and most > 2.5:
            cut = " (trunc_normal_ cuts at a=-2 and b=2, not at two standard deviations)"
            return f"at std={std} a weight lies {most:.1f} standard deviations from 0, and 2 is the limit{cut}"
        if abs(most - 2) < 0.02 and abs(spread - 2 / 3**0.5) < 0.02:
            return "the weights are spread evenly between -2 std and 2 std; they should be normal"
        if abs(spread - 1) < 0.1 and most <= 2.01:
            return "clamping heaps the cut-off weights up at exactly 2 std; draw them again, as trunc_normal_ does"
        if most > 2.01 or abs(spread - SPREAD) > 0.02:
            return f"at std={std} the weights spread {spread:.2f} std and reach {most:.1f} std, expected {SPREAD:.2f} and 2"
        if abs(w.mean().item()) > 0.02 * std:
            return f"at std={std} their mean is {w.mean().item():.2g}, not near 0"
    return None


new_weight = exercise("06a", _new_weight, _is_cut_normal)

# ---- 06b: where the adapter sits


def _place(place, x, y, f):
    """y': "serial" y + f(y), "parallel" y + f(x), "multiply" y * (1 + f(x))."""
    if place == "serial":
        return y + f(y)
    return y + f(x) if place == "parallel" else y * (1 + f(x))


def _wrongly(**other):
    return lambda place, x, y, f: other[place](x, y, f) if place in other else _place(place, x, y, f)


def _double(h):
    return 2 * h + 1


_X, _Y = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
PLACES = tuple((place, _X, _Y, _double) for place in ("serial", "parallel", "multiply"))

place_adapter = exercise(
    "06b",
    _place,
    mistake(lambda place, x, y, f: y + f(y), "it is serial whatever `place` says; the others read x", *PLACES),
    mistake(
        _wrongly(multiply=lambda x, y, f: y * f(x)),
        "multiply: a new f is nearly 0, so y * f(x) wipes the sub-layer out; it must be the identity when f is 0",
        *PLACES,
    ),
    mistake(_wrongly(parallel=lambda x, y, f: y + f(y)), "parallel: f must read x, not y", *PLACES),
    mistake(_wrongly(multiply=lambda x, y, f: y * (1 + f(y))), "multiply: f must read x, not y", *PLACES),
    mistake(
        _wrongly(parallel=lambda x, y, f: x + f(x)),
        "parallel: it adds to x, so the sub-layer's own output y is lost",
        *PLACES,
    ),
    mistake(
        lambda place, x, y, f: _place(place, x, y, f) - y if place != "multiply" else y * f(x),
        "the skip is missing: only the adapter's part comes out",
        *PLACES,
    ),
    agrees(_place, *PLACES),
)

# ---- 06c: what a variant costs


def _count(width, size, depth, norm):
    """Parameters of one adapter with `depth` hidden layers of `size` units, each with a norm inside when norm."""
    ends = 2 * width * size + size + width
    return ends + (depth - 1) * (size * size + size) + (2 * size * depth if norm else 0)


COUNTS = ((4, 2, 1, False), (4, 2, 1, True), (384, 64, 3, False), (384, 64, 2, True))

count_variant = exercise(
    "06c",
    _count,
    mistake(
        lambda w, s, d, n: d * (2 * w * s + s + w) + (2 * s * d if n else 0),
        "a further hidden layer goes from size to size, not through the model's width again",
        *COUNTS,
    ),
    mistake(lambda w, s, d, n: _count(w, s, d, n) - (d - 1) * s, "the further hidden layers have biases too", *COUNTS),
    mistake(
        lambda w, s, d, n: _count(w, s, d, n) - (2 * s * (d - 1) if n else 0),
        "there is a norm after every hidden layer, not only after one",
        *COUNTS,
    ),
    mistake(
        lambda w, s, d, n: _count(w, s, d, n) - (s * d if n else 0),
        "a norm has two numbers a unit, a scale and a shift",
        *COUNTS,
    ),
    mistake(
        lambda w, s, d, n: _count(w, s, d + 1, False) + (2 * s * d if n else 0),
        "depth counts the hidden layers; with depth 1 there is no matrix from size to size",
        *COUNTS,
    ),
    agrees(_count, *COUNTS),
)
