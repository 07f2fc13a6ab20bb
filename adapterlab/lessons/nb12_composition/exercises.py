"""Exercises of 12_composition."""

import torch

from ...compose import Average, Stack
from ..kit.exercise import exercise, expression, random_tensors, table
from ..kit.values import Unfit

# ---- 12a: a setup is evaluated


def _chain(run, setup, y):
    for child in setup.children:
        y = run(child, y)
    return y


def _mean(run, setup, y):
    return sum(w * run(child, y) for w, child in zip(setup.weights, setup.children, strict=True))


def _evaluate(setup, methods, x, y, stack=_chain, average=_mean):
    """y' of a name, a Stack or an Average. methods: name -> function of (x, y); x, y: tensors of one shape."""

    def run(child, y, x=x):
        return _evaluate(child, methods, x, y, stack, average)

    if isinstance(setup, str):
        return methods[setup](x, y)
    return (stack if isinstance(setup, Stack) else average)(run, setup, y)


def _fed_twice(run, setup, y):
    """Each child reads what the one before it made, as x too."""
    x = None
    for child in setup.children:
        y = run(child, y) if x is None else run(child, y, x)
        x = y
    return y


METHODS = {"a": lambda x, y: y + torch.tanh(2 * y + x), "b": lambda x, y: y + x * y, "c": lambda x, y: y.square() - x}
SETUPS = (
    "c",
    Stack("a", "b"),
    Average("a", "b", weights=(3, 1)),
    Stack("b", Average("a", "c", weights=(1, 4)), "a"),
    Average(Stack("a", "b"), Stack("c"), weights=(2, 3)),
)
PLAIN = SETUPS[:3]
CASES = [(setup, METHODS, *random_tensors((2, 3), (2, 3), seed=1)) for setup in SETUPS]


def _nested(fn):
    """Plain blocks work, and a block within a block is looked up by name."""
    for case in CASES:
        try:
            fn(*case)
        except (KeyError, TypeError, AttributeError):
            if case[0] in PLAIN:
                return None
            return f"{case[0]!r} holds blocks, which `methods` does not know: evaluate a child, do not look it up"
    return None


evaluate_setup = exercise(
    "12a",
    "setup, methods, x, y",
    lambda setup, methods, x, y: _evaluate(setup, methods, x, y),
    CASES,
    """
    walk(setup, methods, x, y, stack=lambda run, s, y: run(s.children[-1], y))
        # in a Stack each child gets as y what the one before it made; here the last one starts from the first y
    walk(setup, methods, x, y, stack=lambda run, s, y: chain(run, Stack(*s.children[::-1]), y))
        # the children of a Stack run in the wrong order: the first one first
    walk(setup, methods, x, y, stack=lambda run, s, y: run(s.children[0], y))
        # of a Stack only the first child runs: is the `return` inside the loop?
    walk(setup, methods, x, y, stack=lambda run, s, y: sum(run(child, y) for child in s.children))
        # a Stack is no sum: the next child starts from what the one before it made
    walk(setup, methods, x, y, stack=twice)
        # in a Stack x stays as it came; only y is handed on
    walk(setup, methods, x, y, stack=lambda run, s, y: y)
    walk(setup, methods, x, y, average=lambda run, s, y: y)
        # a block gives y back as it came: is what the children make put into y?
    walk(setup, methods, x, y, average=lambda run, s, y: sum(run(child, y) for child in s.children))
        # an Average adds the outputs up; multiply each by its weight
    walk(setup, methods, x, y, average=lambda run, s, y: sum(run(child, y) for child in s.children) / len(s.children))
        # the weights of the Average are not used: setup.weights, one a child
    walk(setup, methods, x, y, average=lambda run, s, y: mean(run, s, y) / len(s.children))
        # it divides by the number of children too: the weights sum to 1 already
    walk(setup, methods, x, y, average=chain)
        # the children of an Average all start from the same y; here each gets what the one before it made
    walk(setup, methods, y, x)                # x and y are swapped
    """,
    _nested,
    names={"walk": _evaluate, "chain": _chain, "mean": _mean, "twice": _fed_twice, "Stack": Stack},
    gradients=True,
)

# ---- 12b: fusion


def _fused(h, z, Q, K, V, dim=0, scale=1.0, weigh=torch.softmax):
    """h: (tokens, width), z: (adapters, tokens, width); Q, K, V: (width, width) -> (tokens, width)."""
    scores = scale * torch.einsum("nd,tnd->tn", h @ Q.T, z @ K.T)
    return (weigh(scores, dim)[..., None] * (z @ V.T)).sum(0)


FUSIONS = [tuple(random_tensors((4, 3), (2, 4, 3), (3, 3), (3, 3), (3, 3), seed=seed)) for seed in (0, 1)]
ALL = "h, z, Q, K, V"

fuse_outputs = exercise(
    "12b",
    ALL,
    lambda h, z, Q, K, V: _fused(h, z, Q, K, V),
    FUSIONS,
    f"""
    fused({ALL}, dim=1)  # the softmax runs over the tokens; each token chooses among the adapters, dimension 0
    fused({ALL}, weigh=lambda s, d: s)    # the softmax is missing: the weights of a token must sum to 1
    fused({ALL}, weigh=lambda s, d: s.sigmoid())
        # it is a sigmoid; the weights of a token must sum to 1: softmax over the adapters
    fused({ALL}, scale=h.shape[-1] ** -0.5)
        # it divides the scores by the root of the width, as a Transformer does; AdapterFusion does not
    fused(h, z, Q, K, torch.eye(len(V)))  # the value matrix V is missing
    fused(h, z, torch.eye(len(Q)), K, V)  # the query matrix Q is missing
    fused(h, z, Q, torch.eye(len(K)), V)  # the key matrix K is missing
    fused(h, z, Q.T, K.T, V.T)            # the matrices are not transposed: for rows h, Q h is written h @ Q.T
    fused(h, z, Q.T, K, V)                # Q is not transposed: for rows h, Q h is written h @ Q.T
    fused(h, z, Q, K.T, V)                # K is not transposed: for rows z, K z is written z @ K.T
    fused(h, z, Q, K, V.T)                # V is not transposed: for rows z, V z is written z @ V.T
    fused(h, z, Q.T, K.T, V)              # Q and K are not transposed: for rows h, Q h is written h @ Q.T
    fused(h, z, K, Q, V)  # Q and K are swapped: Q reads h, the model's state, and K what the adapters made of it
    (z @ V.T).mean(0)                     # all adapters weigh the same; the scores are missing
    h + fused({ALL})                      # h is added; return what the adapters put together alone
    fused({ALL}) / len(z)                 # it takes the mean over the adapters; the weights sum to 1 already, so sum
    fused({ALL}, weigh=lambda s, d: torch.nn.functional.one_hot(s.argmax(0), len(s)).T.float())
        # each token takes its best adapter alone; softmax mixes them
    """,
    gradients=True,
    names={"fused": _fused},
)

# ---- 12c: the exact sum of LoRAs


def _concatenate(parts):
    """parts: (scale, B, A) of each -> (B, A) with B A = the sum of scale B A; the ranks add up."""
    return torch.cat([s * B for s, B, A in parts], dim=1), torch.cat([A for s, B, A in parts])


_b1, _a1, _b2, _a2, _b3, _a3 = random_tensors((4, 2), (2, 5), (4, 2), (2, 5), (4, 3), (3, 5))
#: the same ranks; another rank; a LoRA that is subtracted
LORAS = [[(2.0, _b1, _a1), (0.5, _b2, _a2)], [(2.0, _b1, _a1), (3.0, _b3, _a3)], [(1.0, _b1, _a1), (-1.5, _b2, _a2)]]
#: what B A may be instead of the sum of s B A, and what to say then
PRODUCTS = table("""
    sum(s * B for s, B, A in parts) @ sum(A for s, B, A in parts)
    sum(B for s, B, A in parts) @ sum(s * A for s, B, A in parts)
    sum(B for s, B, A in parts) @ sum(A for s, B, A in parts)
        # it adds the matrices up: (B1 + B2)(A1 + A2) has the cross terms B1 A2 and B2 A1; put them side by side
    sum(B @ A for s, B, A in parts)           # the scales are missing: each B A is multiplied by its own
    sum(s * s * B @ A for s, B, A in parts)   # the scale is on both B and A, so it counts twice
    sum(s * B @ A for s, B, A in parts) / 2   # it averages; the exact sum is asked for
""")


def _adds_up(fn):
    made = fn([tuple(part) for part in LORAS[0]])
    if len(made) != 2:
        return f"it gives {len(made)} matrices; return two, B and A"
    B, A = made
    if B.ndim != 2 or A.ndim != 2 or (B.shape[1], B.shape[0], A.shape[1]) != (A.shape[0], 4, 5):
        found = f"B is {tuple(B.shape)} and A {tuple(A.shape)}"
        turned = A.ndim == B.ndim == 2 and A.shape[0] == 4 and B.shape[1] == 5
        return f"{found}: " + ("return B first" if turned else "join B's columns and A's rows, (4, 4) and (4, 5)")
    for code, message in PRODUCTS:
        if torch.allclose(B @ A, expression("parts", code, {})(LORAS[0]), atol=1e-5):
            return message
    for parts in LORAS:
        got, true = torch.matmul(*fn(parts)), sum(s * B @ A for s, B, A in parts)
        if got.isnan().any() and parts is LORAS[2]:
            return "a LoRA may be subtracted: the root of a negative scale is nan; put the scale on B or on A alone"
        if got.shape != true.shape or not torch.allclose(got, true, atol=1e-5):
            scales = ", ".join(f"{s:g}" for s, _, _ in parts)
            return (
                f"for the scales {scales} B A is off by {(got - true).norm() / true.norm():.2f} of the true sum's size"
            )
    return None


def _roots(fn):
    """math.sqrt and ** raise or turn complex where torch gives nan."""
    try:
        fn(LORAS[2])
    except (ValueError, TypeError, RuntimeError, Unfit):
        fn(LORAS[0])
        return "a LoRA may be subtracted: a negative scale has no root; put the scale on B or on A alone"
    return None


concatenate = exercise(
    "12c", "parts", _concatenate, (), "", _roots, _adds_up, returns=(torch.zeros(1, 1), torch.zeros(1, 1))
)
