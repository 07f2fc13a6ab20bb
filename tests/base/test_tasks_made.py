"""The tasks made from the reviews: the rules hold for every row, the rows are always the same."""

import pytest

from adapterlab.tasks import load_task
from adapterlab.tasks.bundled import load_reviews
from adapterlab.tasks.made import MADE


def reviews(name):
    return [text for split in load_reviews(name).splits.values() for text in split.texts]


def test_a_swapped_sentence_is_a_real_one_with_two_neighbours_exchanged():
    task, real = load_task("swapped_words"), set(reviews("rotten_tomatoes"))
    assert task.metric == "matthews" and 0.68 < sum(task.train.labels) / len(task.train) < 0.72
    for text, label in list(zip(task.train.texts, task.train.labels, strict=True))[:500]:
        words = text.split()
        back = {" ".join([*words[:i], words[i + 1], words[i], *words[i + 2 :]]) for i in range(len(words) - 1)}
        assert text in real if label else text not in real and back & real


def test_a_pair_is_from_one_review_or_from_two_and_no_review_is_in_two_rows():
    task, whole = load_task("same_review"), reviews("imdb")
    pairs = list(zip(task.test.texts, task.test.pairs, task.test.labels, strict=True))[:40]
    for one, two, label in pairs:
        assert any(one in review and two in review for review in whole) == bool(label)
    assert sum(task.test.labels) * 2 == len(task.test)
    sentences = {s for split in ("train", "test") for s in task.split(split).texts}
    assert len(sentences) > 0.99 * (len(task.train) + len(task.test))


@pytest.mark.parametrize("name", MADE)
def test_lengths_splits_and_an_order_that_never_changes(name):
    task = load_task(name)
    train, test = (set(task.split(split).keys()) for split in ("train", "test"))
    assert not train & test and all(len(task.split(s)) > 500 for s in task.splits)
    assert task.train.digest == DIGESTS[name]


DIGESTS = {
    "swapped_words": "d571d0b8e9f0decc",
    "same_review": "bb3140c5837edbc4",
    "critic_or_viewer": "896c486b216f24f2",
}
