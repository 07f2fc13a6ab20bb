"""Exercises of 06_init_and_variants."""

import torch
from torch import nn

from ..kit.exercise import exercise


def _new_weight(rows, columns, std):
    """(rows, columns) from N(0, std^2), cut off at two standard deviations (Houlsby et al. 2019, section 3.6)."""
    return nn.init.trunc_normal_(torch.empty(rows, columns), std=std, a=-2 * std, b=2 * std)


ROWS, COLUMNS = 300, 400
SPREAD = 0.8796  # standard deviation of N(0, 1) cut off at 2


def _is_cut_normal(fn):
    """The learner draws random numbers: their shape, largest value and spread are what can be compared."""
    for std in (1e-3, 1e-2, 5.0):
        w = fn(ROWS, COLUMNS, std)
        if tuple(w.shape) != (ROWS, COLUMNS):
            return f"for rows={ROWS}, columns={COLUMNS} it gives the shape {tuple(w.shape)}"
        if not w.any():
            return "all weights are 0: then neither matrix ever gets a gradient, and the adapter never learns"
        diagnosis = _spread(w.detach() / std, std)
        if diagnosis:
            return diagnosis
    if torch.equal(fn(ROWS, COLUMNS, 1.0), fn(ROWS, COLUMNS, 1.0)):
        return "two calls give the same weights: a seed inside makes all adapters alike"
    return None


def _spread(w, std):
    """What is wrong with weights in units of std."""
    most, spread, mean = w.abs().max().item(), w.std().item(), w.mean().item()
    if std < 1 and abs(spread / (SPREAD * std**-0.5) - 1) < 0.2:
        return "std looks like a variance: the square root of std came out as the spread"
    if abs(spread - 1) < 0.02 and most > 2.5:
        cut = " (trunc_normal_ cuts at a=-2 and b=2, not at two standard deviations)"
        return f"at std={std} a weight lies {most:.1f} standard deviations from 0, and 2 is the limit{cut}"
    if abs(most - 2) < 0.02 and abs(spread - 2 / 3**0.5) < 0.02:
        return "the weights are spread evenly between -2 std and 2 std; they should be normal"
    if abs(spread - 1) < 0.1 and most <= 2.01:
        return "clamping heaps the cut-off weights up at exactly 2 std; draw them again, as trunc_normal_ does"
    if abs(mean) > 0.02 or most > 2.01 or abs(spread - SPREAD) > 0.02:
        measured = f"have the mean {mean:.2f} std, spread {spread:.2f} std and reach {most:.1f} std"
        return f"at std={std} the weights {measured}, where 0, {SPREAD:.2f} and 2 are due"
    return None


new_weight = exercise("06a", "rows, columns, std", _new_weight, (), "", _is_cut_normal, returns=torch.zeros(1))


def _place(place, x, y, f):
    """y': "serial" y + f(y), "parallel" y + f(x), "multiply" y * (1 + f(x))."""
    if place == "serial":
        return y + f(y)
    return y + f(x) if place == "parallel" else y * (1 + f(x))


_X, _Y = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
SERIAL, PARALLEL, MULTIPLY = (
    [(place, _X, _Y, f) for f in (lambda h: 2 * h * h + 1, lambda h: -0.5 * h)]
    for place in ("serial", "parallel", "multiply")
)

place_adapter = exercise("06b", "place, x, y, f", _place, SERIAL + PARALLEL + MULTIPLY, ["""
    y + f(y)  # it is serial whatever `place` says; the others read x
    {'serial': f(y), 'parallel': f(x), 'multiply': y * f(x)}[place]
        # the skip is missing: only the adapter's part comes out
    y         # y comes back unchanged
    """, (MULTIPLY, """
    y * f(x)
        # multiply: a new f is nearly 0, so y * f(x) wipes the sub-layer out; it must be the identity when f is 0
    y * (1 + f(y))  # multiply: f must read x, not y
    x * (1 + f(x))  # multiply: it scales x, so the sub-layer's own output y is lost
    y + f(x)        # multiply: it adds, as parallel does; y is to be scaled by 1 + f(x)
    """), (PARALLEL, """
    y + f(y)        # parallel: f must read x, not y
    x + f(x)        # parallel: it adds to x, so the sub-layer's own output y is lost
    """), (SERIAL, "y + f(x)  # serial: f must read y, what the sub-layer made, not x"),
], gradients=True)  # fmt: skip

QUIZ = """b c 200 a
    1 a  # Adam adds ε to what it divides by
    1 c  # it would be exactly the identity: that is not what is wrong
    2 a  # a rate changes the step, not the gradient
    2 b  # it starts at zero, whatever the std
    3 2  # `a` and `b` are values of w, not multiples of the std
    3 *  # look up the default of `b`, and divide it by the std
    4 b  # how often does at least one of eleven equal ones win at 95%, by chance?
    4 c  # what was tried was tried, whether it is told or not
"""
