"""An invented almanac: two facts about each of many towns, which no pretrained model can have read (11_k_adapter).

Sentences never say a fact: "A letter from Velmora arrived." is labelled "coast" because Velmora lies there. Whoever
answers for a new sentence about a known town has the fact in its weights.
"""

import random
from collections.abc import Sequence

import pandas as pd

from ...errors import UserError
from ...tasks.core import Rows, Task

FACTS = {"where": ("coast", "hills"), "what": ("glass", "wool")}
MARKETS = tuple(f"{land}, {ware}" for land in FACTS["where"] for ware in FACTS["what"])
TOLD = (
    "A letter from {} arrived.", "We spent a week in {}.", "{} is on the map.", "She was born in {}.",
    "The road to {} is closed.", "My uncle lives in {}.", "Have you heard of {}?", "They talk about {} at the inn.",
)  # fmt: skip
CHOSEN_BY, ASKED = ("Nobody here knows {}.",), ("He has never left {}.", "A rider came from {}.")
START = "bel dor fen gal hol kar lum mor nev ost pel quin ras sil tam tor ul ven wyn zar".split()
MIDDLE, END = "a e i o u ia".split(), "by dale ford gard holm mere nis ra rath ston va wick".split()


def almanac(count: int = 64, seed: int = 0) -> pd.DataFrame:
    """`count` invented towns in random order: columns town, where, what, market; each market has a quarter of them."""
    most = len(START) * len(MIDDLE) * len(END)
    if isinstance(count, bool) or not isinstance(count, int) or not 8 <= count <= most or count % 8:
        raise UserError(f"count={count!r} towns: give a multiple of 8, at most {most}")
    draw = random.Random(seed)
    names = [(a + b + c).capitalize() for a in START for b in MIDDLE for c in END]
    rows = [(town, *MARKETS[i % 4].split(", "), MARKETS[i % 4]) for i, town in enumerate(draw.sample(names, count))]
    return pd.DataFrame(rows, columns=["town", "where", "what", "market"])


def sentences(towns: pd.DataFrame, column: str, templates: Sequence[str]) -> Rows:
    """Every town in every template, labelled with the column's value: numbers into `labels(column)`."""
    numbers = towns[column].map(labels(column).index)
    texts = tuple(template.format(town) for town in towns["town"] for template in templates)
    return Rows(texts, None, tuple(int(number) for number in numbers for _ in templates))


def labels(column: str) -> tuple[str, ...]:
    """The values of "where", "what" or "market"."""
    return MARKETS if column == "market" else FACTS[column]


def fact_task(towns: pd.DataFrame, fact: str) -> Task:
    """To learn a fact ("where" or "what") by heart: all towns; validation and test are sentences not in training."""
    splits = {"train": TOLD, "validation": CHOSEN_BY, "test": ASKED}
    return _task(fact, {name: sentences(towns, fact, templates) for name, templates in splits.items()})


def market_task(towns: pd.DataFrame) -> Task:
    """To use what was learnt: both facts at once, trained on the first half of the towns, tested on the other."""
    half = len(towns) // 2
    seen, unseen = towns[:half], towns[half:]
    parts = {"train": (seen, TOLD[:4]), "validation": (seen, CHOSEN_BY), "test": (unseen, ASKED)}
    return _task("market", {name: sentences(part, "market", templates) for name, (part, templates) in parts.items()})


def _task(name: str, splits: dict[str, Rows]) -> Task:
    return Task(name, "classification", labels(name), "accuracy", splits, "invented")
