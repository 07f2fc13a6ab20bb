"""Exercises of 05_ablation."""

from ..kit.exercise import agrees, exercise, mistake


def _keep(depth, first, last):
    return tuple(not first <= layer <= last for layer in range(depth))


SPANS = ((6, 1, 3), (6, 0, 5), (6, 4, 4), (12, 0, 4))

span_mask = exercise(
    "05a",
    _keep,
    mistake(
        lambda depth, first, last: tuple(first <= layer <= last for layer in range(depth)),
        "it is True where the adapters go; True must mean that they stay",
        *SPANS,
    ),
    mistake(
        lambda depth, first, last: tuple(not first <= layer < last for layer in range(depth)),
        "the last layer of the span keeps its adapters; the span includes it",
        *SPANS,
    ),
    mistake(
        lambda depth, first, last: tuple(layer not in (first, last) for layer in range(depth)),
        "only the two ends of the span lose their adapters; the layers between them must, too",
        *SPANS,
    ),
    mistake(
        lambda depth, first, last: tuple(not first < layer <= last for layer in range(depth)),
        "the first layer of the span keeps its adapters; the span includes it",
        *SPANS,
    ),
    agrees(_keep, *SPANS),
)


def _evaluations(patterns):
    naive = sum(len(pattern) for pattern in patterns)
    shared = len({pattern[:k] for pattern in patterns for k in range(1, len(pattern) + 1)})
    return naive, shared


def _all(depth):
    """The intact model and every span, as `patterns`."""
    spans = [_keep(depth, i, j) for i in range(depth) for j in range(i, depth)]
    return ([(True,) * depth, *spans],)


def _trunk_only(patterns):
    """Only the layers that are all on are shared."""
    trunk = {p[:k] for p in patterns for k in range(1, len(p) + 1) if all(p[:k])}
    return sum(map(len, patterns)), len(trunk) + sum(
        1 for p in patterns for k in range(1, len(p) + 1) if not all(p[:k])
    )


PATTERNS = (_all(3), _all(4), ([(True, False), (True, True), (False, True)],))

layer_evaluations = exercise(
    "05b",
    _evaluations,
    mistake(
        lambda patterns: (len(patterns), _evaluations(patterns)[1]),
        "the first number counts patterns; every pattern evaluates all its layers",
        *PATTERNS,
    ),
    mistake(
        lambda patterns: (_evaluations(patterns)[0],) * 2,
        "nothing is shared: a beginning that two patterns have in common counts once",
        *PATTERNS,
    ),
    mistake(
        lambda patterns: (_evaluations(patterns)[0], 1 + _evaluations(patterns)[1]),
        "one too many: the empty beginning, pattern[:0], evaluates no layer",
        *PATTERNS,
    ),
    mistake(
        lambda patterns: (_evaluations(patterns)[0], len({p[:k] for p in patterns for k in range(1, len(p))})),
        "the last layer is not counted: the beginnings go up to the whole pattern, pattern[:len(pattern)]",
        *PATTERNS,
    ),
    mistake(
        _trunk_only,
        "only the layers below a span are shared; spans that begin at the same layer share the layers without adapters, too",
        *PATTERNS[:2],
    ),
    mistake(
        lambda patterns: _evaluations(patterns)[::-1],
        "the two numbers change places: first the naive loop's, then the shared",
        *PATTERNS[:2],
    ),
    agrees(_evaluations, *PATTERNS),
)
