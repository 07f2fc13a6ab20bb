"""Exercises of 05_ablation."""

from ..kit.exercise import exercise


def _keep(depth, first, last):
    return tuple(not first <= layer <= last for layer in range(depth))


span_mask = exercise(
    "05a",
    "depth, first, last",
    _keep,
    [(6, 1, 3), (6, 0, 5), (6, 4, 4), (12, 0, 4)],
    """
    tuple(first <= layer <= last for layer in range(depth))
        # it is True where the adapters go; True must mean that they stay
    tuple(not first <= layer < last for layer in range(depth))
        # the last layer of the span keeps its adapters; the span includes it
    tuple(layer not in (first, last) for layer in range(depth))
        # only the two ends of the span lose their adapters; the layers between them must, too
    tuple(not first < layer <= last for layer in range(depth))
        # the first layer of the span keeps its adapters; the span includes it
    tuple(not first < layer < last for layer in range(depth))
        # both ends of the span keep their adapters; the span includes them
    tuple(not first <= layer <= last for layer in range(1, depth + 1))  # layers are counted from 0: range(depth)
    tuple(layer for layer in range(depth) if not first <= layer <= last)
        # it lists the layers that stay; return one bool a layer
    """,
)


def _evaluations(patterns):
    naive = sum(len(pattern) for pattern in patterns)
    shared = len({tuple(pattern[:k]) for pattern in patterns for k in range(1, len(pattern) + 1)})
    return naive, shared


def _all(depth):
    """The intact model and every span, as `patterns`."""
    spans = [_keep(depth, i, j) for i in range(depth) for j in range(i, depth)]
    return ([(True,) * depth, *spans],)


def _trunk_only(patterns):
    """Only the layers that are all on are shared."""
    parts = [p[:k] for p in patterns for k in range(1, len(p) + 1)]
    return sum(map(len, patterns)), len({p for p in parts if all(p)}) + sum(not all(p) for p in parts)


# all spans together look the same from both ends; the other cases do not, and the last holds one pattern twice
SPANS = [_all(3), _all(4)]
PATTERNS = [*SPANS, ([(True, False), (True, True), (False, True)],), ([_keep(6, 1, 2), _keep(6, 2, 3)],),
            ([(True, False), (True, False), (False, False)],)]  # fmt: skip

layer_evaluations = exercise(
    "05b",
    "patterns",
    _evaluations,
    PATTERNS,
    [
        """
        (len(patterns), right(patterns)[1])  # the first number counts patterns; every pattern evaluates all its layers
        (right(patterns)[0],) * 2  # nothing is shared: a beginning that two patterns have in common counts once
        (right(patterns)[0], 1 + right(patterns)[1])
            # one too many: the empty beginning, pattern[:0], evaluates no layer
        (right(patterns)[0], len({p[:k] for p in patterns for k in range(1, len(p))}))
            # the last layer is not counted: the beginnings go up to the whole pattern, pattern[:len(pattern)]
        (right(patterns)[0], len({p[k:] for p in patterns for k in range(len(p))}))
            # it counts endings, pattern[k:]; layers run from the first on: what is shared are beginnings, pattern[:k]
        (right(patterns)[0], len(set(patterns)) * len(patterns[0]))
            # only patterns that are equal throughout are shared; count every beginning once
        (right(patterns)[0], len(set(patterns)))  # the second counts patterns; it must count their beginnings
        right(patterns)[::-1]  # the two numbers change places: first the naive loop's, then the shared
        right(patterns)[1]     # that is the second number alone; return both, naive and shared
        """,
        (
            SPANS,
            """
        trunk_only(patterns)
            # only the layers below a span are shared; spans that begin at the same layer share the layers without
            # adapters, too
        """,
        ),
    ],
    names={"trunk_only": _trunk_only},
)
