"""Exercises of 12_composition."""

from functools import reduce

import torch

from ...compose import Average, Stack
from ..kit.exercise import exercise, expression, random_tensors, table
from ..kit.values import Unfit

# ---- 12a: a setup is evaluated


def _chain(run, setup, y):
    return reduce(lambda y, child: run(child, y), setup.children, y)


def _mean(run, setup, y):
    return sum(w * run(child, y) for w, child in zip(setup.weights, setup.children, strict=True))


def _evaluate(setup, methods, x, y, stack=_chain, average=_mean):
    """y' of a name, a Stack or an Average. methods: name -> function of (x, y); x, y: tensors of one shape."""

    def run(child, y, x=x):
        return _evaluate(child, methods, x, y, stack, average)

    if isinstance(setup, str):
        return methods[setup](x, y)
    return (stack if isinstance(setup, Stack) else average)(run, setup, y)


METHODS = {"a": lambda x, y: y + torch.tanh(2 * y + x), "b": lambda x, y: y + x * y, "c": lambda x, y: y.square() - x}
SETUPS = (
    "c",
    Stack("a", "b"),
    Average("a", "b", weights=(3, 1)),
    Stack("b", Average("a", "c", weights=(1, 4)), "a"),
    Average(Stack("a", "b"), Stack("c"), weights=(2, 3)),
)
CASES = [(setup, METHODS, *random_tensors((2, 3), (2, 3), seed=1)) for setup in SETUPS]


def _nested(fn):
    """Plain blocks work, and a block within a block is looked up by name."""
    for case in CASES:
        try:
            fn(*case)
        except (KeyError, TypeError, AttributeError):
            text = f"{case[0]!r} holds blocks, which `methods` does not know: evaluate a child, do not look it up"
            return None if case[0] in SETUPS[:3] else text
    return None


SETUP = "setup, methods, x, y"
WALK = f"right({SETUP}, "
evaluate_setup = exercise("12a", SETUP, _evaluate, CASES, f"""
    {WALK} stack=lambda run, s, y: run(s.children[-1], y))
        # in a Stack each child gets as y what the one before it made; here the last one starts from the first y
    {WALK} stack=lambda run, s, y: chain(run, Stack(*s.children[::-1]), y))
        # the children of a Stack run in the wrong order: the first one first
    {WALK} stack=lambda run, s, y: run(s.children[0], y))
        # of a Stack only the first child runs: is the `return` inside the loop?
    {WALK} stack=lambda run, s, y: sum(run(child, y) for child in s.children))
        # a Stack is no sum: the next child starts from what the one before it made
    {WALK} stack=lambda run, s, y: reduce(lambda z, child: run(child, z, z), s.children[1:], run(s.children[0], y)))
        # in a Stack x stays as it came; only y is handed on
    {WALK} stack=lambda run, s, y: y)
    {WALK} average=lambda run, s, y: y)
        # a block gives y back as it came: is what the children make put into y?
    {WALK} average=lambda run, s, y: sum(run(child, y) for child in s.children))
        # an Average adds the outputs up; multiply each by its weight
    {WALK} average=lambda run, s, y: sum(run(child, y) for child in s.children) / len(s.children))
        # the weights of the Average are not used: setup.weights, one a child
    {WALK} average=lambda run, s, y: mean(run, s, y) / len(s.children))
        # it divides by the number of children too: the weights sum to 1 already
    {WALK} average=chain)
        # the children of an Average all start from the same y; here each gets what the one before it made
    right(setup, methods, y, x)  # x and y are swapped
""", _nested, names={"chain": _chain, "mean": _mean, "Stack": Stack, "reduce": reduce},
    gradients=True)  # fmt: skip

# ---- 12b: fusion


def _fused(h, z, Q, K, V, dim=0, scale=1.0, weigh=torch.softmax):
    """h: (tokens, width), z: (adapters, tokens, width); Q, K, V: (width, width) -> (tokens, width)."""
    scores = scale * torch.einsum("nd,tnd->tn", h @ Q.T, z @ K.T)
    return (weigh(scores, dim)[..., None] * (z @ V.T)).sum(0)


FUSIONS = [tuple(random_tensors((4, 3), (2, 4, 3), (3, 3), (3, 3), (3, 3), seed=seed)) for seed in (0, 1)]
ALL = "h, z, Q, K, V"

fuse_outputs = exercise("12b", ALL, _fused, FUSIONS, f"""
    right({ALL}, dim=1)  # the softmax runs over the tokens; each token chooses among the adapters, dimension 0
    right({ALL}, weigh=lambda s, d: s)
    right({ALL}, weigh=lambda s, d: s.sigmoid())  # the weights of a token must sum to 1: softmax over the adapters
    right({ALL}, scale=h.shape[-1] ** -0.5)
        # it divides the scores by the root of the width, as a Transformer does; AdapterFusion does not
    right(h, z, Q, K, torch.eye(len(V)))  # the value matrix V is missing
    right(h, z, torch.eye(len(Q)), K, V)  # the query matrix Q is missing
    right(h, z, Q, torch.eye(len(K)), V)  # the key matrix K is missing
    right(h, z, Q.T, K.T, V.T)
    right(h, z, Q.T, K, V)
    right(h, z, Q, K.T, V)
    right(h, z, Q, K, V.T)
    right(h, z, Q.T, K.T, V)  # a matrix is not transposed: for rows h, Q h is written h @ Q.T, and K z is z @ K.T
    right(h, z, K, Q, V)  # Q and K are swapped: Q reads h, the model's state, and K what the adapters made of it
    (z @ V.T).mean(0)         # all adapters weigh the same; the scores are missing
    h + right({ALL})          # h is added; return what the adapters put together alone
    right({ALL}) / len(z)     # it takes the mean over the adapters; the weights sum to 1 already, so sum
""", gradients=True)  # fmt: skip

# ---- 12c: the exact sum of LoRAs


def _concatenate(parts):
    """parts: (scale, B, A) of each -> (B, A) with B A = the sum of scale B A; the ranks add up."""
    return torch.cat([s * B for s, B, A in parts], dim=1), torch.cat([A for s, B, A in parts])


_b1, _a1, _b2, _a2, _b3, _a3 = random_tensors((4, 2), (2, 5), (4, 2), (2, 5), (4, 3), (3, 5))
#: the same ranks; another rank; a LoRA that is subtracted
LORAS = [[(2.0, _b1, _a1), (0.5, _b2, _a2)], [(2.0, _b1, _a1), (3.0, _b3, _a3)], [(1.0, _b1, _a1), (-1.5, _b2, _a2)]]
SUM = "sum(s * B @ A for s, B, A in parts)"
#: what B A may be instead of the sum of s B A, and what to say then
PRODUCTS = table(f"""
    sum(s * B for s, B, A in parts) @ sum(A for s, B, A in parts)
    sum(B for s, B, A in parts) @ sum(s * A for s, B, A in parts)
    sum(B for s, B, A in parts) @ sum(A for s, B, A in parts)
        # it adds the matrices up: (B1 + B2)(A1 + A2) has the cross terms B1 A2 and B2 A1; put them side by side
    sum(B @ A for s, B, A in parts)           # the scales are missing: each B A is multiplied by its own
    sum(s * s * B @ A for s, B, A in parts)   # the scale is on both B and A, so it counts twice
    {SUM} / 2                                 # it averages; the exact sum is asked for
""")


def _adds_up(fn):
    if len(fn(LORAS[0])) != 2:
        return "return two matrices, B and A"
    B, A = fn(LORAS[0])
    shapes = tuple(B.shape), tuple(A.shape)
    if B.ndim != 2 or A.ndim != 2 or (B.shape[1], B.shape[0], A.shape[1]) != (A.shape[0], 4, 5):
        mend = "return B first" if shapes == ((4, 5), (4, 4)) else "join B's columns and A's rows, (4, 4) and (4, 5)"
        return f"B is {shapes[0]} and A {shapes[1]}: {mend}"
    for code, message in PRODUCTS:
        if torch.allclose(B @ A, expression("parts", code, {})(LORAS[0]), atol=1e-5):
            return message
    for parts in LORAS[:2]:
        true = expression("parts", SUM, {})(parts)
        off = (torch.matmul(*fn(parts)) - true).norm() / true.norm()
        if not off < 1e-5:
            return f"for the scales {', '.join(f'{s:g}' for s, _, _ in parts)} B A is off by {off:.2f} of the true size"
    return None


def _subtracts(fn):
    """Of a negative scale math.sqrt and ** raise or turn complex, where torch gives nan."""
    try:
        made = torch.matmul(*fn(LORAS[2]))
    except (ValueError, TypeError, RuntimeError, Unfit):
        fn(LORAS[0])
        made = torch.tensor(torch.nan)
    mend = "a LoRA may be subtracted: a negative scale has no root; put the scale on B or on A alone"
    return None if torch.allclose(made, expression("parts", SUM, {})(LORAS[2]), atol=1e-5) else mend


concatenate = exercise(
    "12c", "parts", _concatenate, (), "", _adds_up, _subtracts, returns=(torch.zeros(1, 1), torch.zeros(1, 1))
)

QUIZ = """c b 12 a
    1 a   # slow would be allowed: compare the shapes that are to be averaged
    1 b   # that is not in the way: compare the shapes that are to be averaged
    2 a   # a softmax over one is 1, whatever its score
    2 c   # the attention is not all that is trained there
    3 8   # that would do only if the smaller one lay within the larger
    3 32  # the changes are added, not multiplied
    3 *   # set the two A's below each other and the two B's side by side
    4 b   # the same adapters went into both
    4 c   # a rank says how a change may be written, not how far it moves the model
"""
