"""Three tasks made from the bundled reviews by a rule, for the lessons that need several tasks and no download.

Sentences have 6 to 30 words; a review gives its sentences to one row alone. The rules draw with SPLIT_SEED, so the rows
are the same everywhere; validation and test are cut off as for a user's own file.
"""

import random
import re
from functools import lru_cache
from itertools import pairwise

from .bundled import load_reviews
from .core import SPLIT_SEED, Options, Rows, Task, assemble, shuffled

MOST = 10_000
"""Rows of a task at most, before validation and test are cut off."""


@lru_cache(maxsize=3)
def make_task(name: str) -> Task:
    """The task of a name in MADE."""
    rule, labels, metric = MADE[name]
    rows = rule(random.Random(SPLIT_SEED))[:MOST]
    texts, pairs, classes = zip(*rows, strict=True)
    split = Rows(texts, None if pairs[0] is None else pairs, classes)
    return assemble(name, labels, {"train": split}, "a rule over the reviews", Options(metric=metric))


def _swapped_words(draw: random.Random) -> list[tuple]:
    """70% of the sentences as they are (1), 30% with two different neighbouring words swapped (0)."""
    rows = []
    for sentence in _critics(draw):
        words = sentence.split()
        pairs = [i for i, (a, b) in enumerate(pairwise(words)) if a.isalpha() and b.isalpha() and a != b]
        if pairs and (swap := draw.random() < 0.3):
            i = draw.choice(pairs)
            words[i], words[i + 1] = words[i + 1], words[i]
        if pairs:
            rows.append((" ".join(words) if swap else sentence, None, int(not swap)))
    return rows


def _same_review(draw: random.Random) -> list[tuple]:
    """Two sentences of one review (1), or the first of its two and one of another review (0), in turns."""
    reviews = [review for review in _viewers(draw) if len(review) >= 2]
    rows = []
    while len(reviews) >= 3 and len(rows) < MOST:
        one, two, three = reviews.pop(), reviews.pop(), reviews.pop()
        rows += [(*draw.sample(one, 2), 1), (draw.choice(two), draw.choice(three), 0)]
    return rows


def _critic_or_viewer(draw: random.Random) -> list[tuple]:
    """A critic's sentence (0) and one of a viewer's review (1), in turns, in lower case with spaces at the marks."""
    viewers = (re.sub(r"([^\w\s'])", r" \1 ", draw.choice(review)).lower() for review in _viewers(draw) if review)
    both = zip(_critics(draw), viewers, strict=False)
    return [row for critic, viewer in both for row in ((critic, None, 0), (" ".join(viewer.split()), None, 1))]


def _critics(draw: random.Random) -> list[str]:
    """The critics' sentences, shuffled."""
    return [text for text in shuffled(_texts("rotten_tomatoes"), draw) if _fits(text)]


def _viewers(draw: random.Random) -> list[list[str]]:
    """The sentences of every viewer's review, the reviews shuffled."""
    return [[s for s in re.split(r"(?<=[.!?])\s+", text) if _fits(s)] for text in shuffled(_texts("imdb"), draw)]


def _texts(name: str) -> list[str]:
    return [text for split in load_reviews(name).splits.values() for text in split.texts]


def _fits(sentence: str) -> bool:
    return 6 <= len(sentence.split()) <= 30


MADE = {
    "swapped_words": (_swapped_words, ("swapped", "as written"), "matthews"),
    "same_review": (_same_review, ("two reviews", "one review"), "f1"),
    "critic_or_viewer": (_critic_or_viewer, ("critic", "viewer"), "accuracy"),
}
"""Name -> the rule that makes rows (text, pair or None, class), the classes' names, the metric."""
