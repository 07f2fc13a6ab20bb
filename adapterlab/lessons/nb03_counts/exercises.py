"""Exercises of 03_parameter_counts."""

import math

from ...studies.count import size_from_reduction
from ..kit.exercise import agrees, exercise, mistake

# ---- 03a: the whole recipe

MODELS = ((384, 64, 6), (768, 64, 12), (1024, 8, 24))


def _recipe(d, m, layers, adapters=2, norms=2, outer=1, scale=2, biases=True):
    one = 2 * d * m + (d + m if biases else 0)
    return layers * adapters * one + (norms * layers + outer) * scale * d


def _wrong(message, **changes):
    return mistake(lambda d, m, layers: _recipe(d, m, layers, **changes), message, *MODELS)


count_recipe = exercise(
    "03a",
    _recipe,
    _wrong("one adapter a layer is counted; each layer holds two, after attention and after the feed-forward", adapters=1),
    _wrong("the LayerNorms are missing: the recipe trains them, too", norms=0, outer=0),
    _wrong("the LayerNorm of the embeddings is missing: it lies before the first layer", outer=0),
    _wrong("a LayerNorm is counted with one vector; it has a scale and a shift", scale=1),
    _wrong("one LayerNorm a layer is counted; each layer has two", norms=1),
    _wrong("the adapters' biases are missing: m and d values an adapter", biases=False),
    mistake(
        lambda d, m, layers: layers * (2 * (2 * d * m + d + m) + 6 * d),
        "the LayerNorm of the embeddings is counted once a layer; there is one in the model",
        *MODELS,
    ),
    agrees(_recipe, *MODELS, (256, 16, 12)),
)  # fmt: skip


# ---- 03b: the largest size within a budget

BUDGETS = (
    (768, 24, 109_482_240, 2.0),
    (64, 4, 1_000_000, 5.0),
    (384, 12, 22_713_216, 1.0),
    (1024, 48, 335_141_888, 2.1),
)


def _largest(d, sites, base, percent):
    return math.floor((percent / 100 * base / sites - d) / (2 * d + 1))


size_for_budget = exercise(
    "03b",
    _largest,
    mistake(lambda d, n, b, p: (p / 100 * b / n - d) / (2 * d + 1), "a size is a whole number: round down", *BUDGETS),
    mistake(lambda d, n, b, p: math.ceil((p / 100 * b / n - d) / (2 * d + 1)), "it rounds up, and so breaks the budget", *BUDGETS),
    mistake(lambda d, n, b, p: math.floor((p * b / n - d) / (2 * d + 1)), "percent are hundredths: divide by 100", *BUDGETS),
    mistake(lambda d, n, b, p: math.floor((p / 100 * b - d) / (2 * d + 1)), "that spends the whole budget at one site; divide it by the number of sites", *BUDGETS),
    mistake(lambda d, n, b, p: math.floor(p / 100 * b / n / (2 * d)), "the biases are not paid for: each adapter costs 2·m·d + m + d", *BUDGETS),
    mistake(lambda d, n, b, p: math.floor(p / 100 * b / n / (2 * d + 1)), "the bias of up (d values) is not paid for", *BUDGETS),
    agrees(_largest, *BUDGETS, (512, 12, 60_506_624, 0.5)),
)  # fmt: skip


# ---- 03c: AdapterHub's reduction factor

FACTORS = ((768, 16), (1024, 2), (100, 16), (763, 16), (8, 16), (768, 0.5))


size_from_factor = exercise(
    "03c",
    size_from_reduction,
    mistake(lambda w, f: w * f, "it multiplies; a larger factor makes a smaller bottleneck", *FACTORS),
    mistake(lambda w, f: f / w, "the wrong way round: divide the width by the factor", *FACTORS),
    mistake(lambda w, f: w / f, "a size is a whole number: round down", *FACTORS),
    mistake(lambda w, f: int(w // f), "a factor above the width gives size 0; a bottleneck has at least 1 unit", *FACTORS),
    mistake(lambda w, f: max(1, math.ceil(w / f)), "it rounds up; AdapterHub rounds down", *FACTORS),
    mistake(lambda w, f: max(1, round(w / f)), "it rounds to the nearest; AdapterHub rounds down", *FACTORS),
    mistake(lambda w, f: max(1, w // int(f or 1)) if f >= 1 else w, "factors below 1 are allowed: they make a bottleneck wider than the model", *FACTORS),
    agrees(size_from_reduction, *FACTORS, (4096, 128), (770, 16)),
)  # fmt: skip
