"""The texts of lesson 12: three tasks with rows enough, and a fourth, made of the same texts, with few."""

from transformers import PreTrainedTokenizerBase as Tokenizer

from ...tasks import Encoded, Rows, encode, load_task

WORDS, TOKENS = 20, 48  # of a text of "writer" and "both"; of one of "sentences" and "reviews"
LABELS = {
    "sentences": ("negative", "positive"),
    "reviews": ("negative", "positive"),
    "writer": ("critic", "viewer"),
    "both": ("critic, displeased", "critic, pleased", "viewer, displeased", "viewer, pleased"),
}
SOURCES = {"sentences": "rotten_tomatoes", "reviews": "imdb"}


def four_tasks(
    tokenizer: Tokenizer, train: int, test: int, few: int, draws: int, seed: int
) -> dict[tuple[str, str], Encoded]:
    """(task, split) -> its rows: `train`, `test` and `test` of the first three tasks.

    "both" has `draws` training and validation splits, "train 0", "validation 0" and so on, of `few` rows each, which no
    other task and no other draw has seen, and one test split.
    """
    half = few // 2
    pool = {
        name: load_task(source).subset(train + draws * half, test + draws * half, test, seed)
        for name, source in SOURCES.items()
    }
    data = {}
    for split, rows in (("train", train), ("validation", test), ("test", test)):
        for name, task in pool.items():
            data[name, split] = encode(task.split(split).take(range(rows)), tokenizer, TOKENS)
        data["writer", split] = _mixed(pool, split, range(rows // 2), tokenizer, four=False)
        for draw in range(draws if split != "test" else 0):
            rest = range(rows + draw * half, rows + (draw + 1) * half)
            data["both", f"{split} {draw}"] = _mixed(pool, split, rest, tokenizer, four=True)
    data["both", "test"] = _mixed(pool, "test", range(test), tokenizer, four=True)
    return data


def _mixed(pool: dict, split: str, rows: range, tokenizer: Tokenizer, four: bool) -> Encoded:
    """The first words of these rows of either source. Label: who wrote it; four: and was the writer pleased?"""
    texts, labels = [], []
    for who, task in enumerate(pool.values()):
        part = task.split(split).take(rows)
        texts += [" ".join(text.split()[:WORDS]) for text in part.texts]
        labels += [2 * who + mood if four else who for mood in part.labels]
    return encode(Rows(tuple(texts), None, tuple(labels)), tokenizer, TOKENS)
