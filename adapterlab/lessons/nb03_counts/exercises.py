"""Exercises of 03_parameter_counts."""

from ...studies.count import size_from_reduction
from ..kit.exercise import exercise


def _recipe(d, m, layers, adapters=2, norms=2, outer=1, scale=2, biases=True):
    one = 2 * d * m + (d + m if biases else 0)
    return layers * adapters * one + (norms * layers + outer) * scale * d


count_recipe = exercise("03a", "d, m, layers", _recipe, [(384, 64, 6), (768, 64, 12), (1024, 8, 24), (256, 16, 12)], """
    right(d, m, layers, adapters=1)
        # one adapter a layer is counted; each layer holds two, after attention and after the feed-forward
    right(d, m, layers, norms=0, outer=0)     # the LayerNorms are missing: the recipe trains them, too
    right(d, m, layers, outer=0)  # the LayerNorm of the embeddings is missing: it lies before the first layer
    right(d, m, layers, scale=1)              # a LayerNorm is counted with one vector; it has a scale and a shift
    right(d, m, layers, norms=1)              # one LayerNorm a layer is counted; each layer has two
    right(d, m, layers, biases=False)         # the adapters' biases are missing: m and d values an adapter
    layers * (2 * (2 * d * m + d + m) + 6 * d)
        # the LayerNorm of the embeddings is counted once a layer; there is one in the model
    2 * (2 * d * m + d + m) + 6 * d           # that is one layer; multiply by `layers`
    right(d, m, layers) - layers * 2 * d * m  # only one of an adapter's two matrices is counted: down and up
""")  # fmt: skip

BUDGETS = [
    (768, 24, 109_482_240, 2.0),
    (64, 4, 1_000_000, 5.0),
    (384, 12, 22_713_216, 1.0),
    (1024, 48, 335_141_888, 2.1),
    (512, 12, 60_506_624, 0.5),
    (10, 2, 5_000, 9.228),
    (10, 2, 5_000, 8.8168),
]  # fmt: skip  (the last two: 10.51 and 10.02 units, where roundings and forgotten biases part)

size_for_budget = exercise("03b", "d, sites, base, percent",
    "math.floor((percent / 100 * base / sites - d) / (2 * d + 1))", BUDGETS, """
    (percent / 100 * base / sites - d) / (2 * d + 1)             # a size is a whole number: round down
    math.ceil((percent / 100 * base / sites - d) / (2 * d + 1))  # it rounds up, and so breaks the budget
    round((percent / 100 * base / sites - d) / (2 * d + 1))
        # it rounds to the nearest, and so breaks the budget half of the time: round down
    right(d, sites, base, percent) - 1                           # one more unit fits into the budget
    math.floor((percent * base / sites - d) / (2 * d + 1))       # percent are hundredths: divide by 100
    math.floor((percent / 100 * base - d) / (2 * d + 1))
        # that spends the whole budget at one site; divide it by the number of sites
    math.floor(percent / 100 * base / sites / (2 * d))  # the biases are not paid for: each adapter costs 2·m·d + m + d
    math.floor(percent / 100 * base / sites / (2 * d + 1))       # the bias of up (d values) is not paid for
    math.floor((percent / 100 * base / sites - d) / (2 * d))     # the bias of down (m values) is not paid for
    math.floor((percent / 100 * base / sites + d) / (2 * d + 1))
        # the bias of up is added to the budget; it comes off: (cost - d) / (2d + 1)
""")  # fmt: skip

size_from_factor = exercise("03c", "width, factor", size_from_reduction,
    [(768, 16), (1024, 2), (100, 16), (763, 16), (8, 16), (768, 0.5), (4096, 128), (770, 16)], """
    width * factor                     # it multiplies; a larger factor makes a smaller bottleneck
    factor / width                     # the wrong way round: divide the width by the factor
    width / factor
    max(1, width / factor)             # a size is a whole number: round down
    int(width // factor)               # a factor above the width gives size 0; a bottleneck has at least 1 unit
    max(1, math.ceil(width / factor))  # it rounds up; AdapterHub rounds down
    max(1, round(width / factor))      # it rounds to the nearest; AdapterHub rounds down
    max(1, width // int(factor or 1)) if factor >= 1 else width
    min(width, right(width, factor))   # factors below 1 are allowed: they make a bottleneck wider than the model
""")  # fmt: skip

QUIZ = """4 85 b a
    1 2   # both factors of 2·m·d double
    1 8   # this is about one adapter, not about a model with more layers
    1 *   # put 2m and 2d into 2·m·d, and divide by what was there before
    2 64  # a factor fixes the share of the width, not the size: BERT-Large is wider
    2 86  # the fraction is cut off, not rounded up
    2 *   # divide BERT-Large's width by the factor, and leave the fraction away
    3 a   # it is measured, like its neighbours, and no other column is averaged into it
    3 c   # a share is counted, and you counted this one above
    4 b   # the two have the same number of layers
    4 c   # width and size are the same, so the adapters are: look at what their count is divided by
"""
