"""Tasks: fixed splits, nested subsets, files of the user's, the Hub's shape."""

import csv
import json
import random
import time
from collections import Counter

import pytest

from adapterlab.errors import UserError
from adapterlab.tasks import Rows, Task, load_task
from adapterlab.tasks.core import cut, stratified_order

SPLITS = {
    "rotten_tomatoes": {
        "train": (6530, 3265, "e8ac5061231cbb1f"),
        "validation": (1000, 500, "2add804fefef9af3"),
        "test": (1000, 500, "00ac0f6e18988c2a"),
    },
    "imdb": {
        "train": (19902, 9967, "9e8d6e3859ef7aed"),
        "validation": (2500, 1252, "ac1e4f6892e8f8d0"),
        "test": (2500, 1252, "6080a1db8166126d"),
    },
}


@pytest.mark.parametrize("name", SPLITS)
def test_bundled_splits_are_the_same_everywhere(name):
    task = load_task(name)
    assert {s: (len(v), sum(v.labels), v.digest) for s, v in task.splits.items()} == SPLITS[name]
    texts = [set(split.texts) for split in task.splits.values()]
    assert sum(map(len, texts)) == len(set.union(*texts)) == sum(map(len, task.splits.values()))
    assert task.labels == ("negative", "positive") and task.majority("test") == pytest.approx(0.5, abs=0.01)
    assert not any("<br" in text for text in task.test.texts)
    assert "train" in repr(task) and f"{SPLITS[name]['train'][0]:,}" in repr(task)


def test_labels_of_the_bundled_reviews_are_not_swapped():
    task = load_task("rotten_tomatoes")
    words = {label: Counter() for label in (0, 1)}
    for text, label in zip(task.train.texts, task.train.labels, strict=True):
        words[label].update(text.split())
    assert words[0]["bad"] > 4 * words[1]["bad"] and words[1]["moving"] > 2 * words[0]["moving"]


def test_subsets_are_nested_stratified_and_depend_on_the_seed():
    task = load_task("rotten_tomatoes")
    small, large = task.subset(100, 50, 20), task.subset(2000, 500)
    assert small.train.texts == large.train.texts[:100] and small.validation.texts == large.validation.texts[:50]
    assert sum(small.train.labels) == 50 and sum(large.train.labels) == 1000 and len(large.test) == 1000
    assert small == task.subset(100, 50, 20) != task.subset(100, 50, 20, seed=1)
    assert len(task.subset(10**6).train) == 6530
    with pytest.raises(UserError, match="train=0"):
        task.subset(0)


def test_every_beginning_of_the_stratified_order_has_the_classes_shares():
    draw = random.Random(0)
    labels = draw.choices([0, 1, 2], weights=[70, 25, 5], k=1000)
    order, share = stratified_order(labels, 3), Counter(labels)
    assert sorted(order) == list(range(1000))
    for m in (1, 10, 77, 500, 999):
        seen = Counter(labels[i] for i in order[:m])
        assert all(abs(seen[c] - m * share[c] / 1000) <= 1.5 for c in share), m


def test_repeated_texts_stay_on_one_side_of_a_cut():
    split = Rows(tuple(f"text {i % 60}" for i in range(100)), None, tuple(i % 60 % 2 for i in range(100)))
    held, rest = cut(split, 15)
    assert len(held) == 15 and len(rest) == 85 and not set(held.texts) & set(rest.texts)


def write(path, rows, header=("text", "label")):
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def rows_of(n, names=("no", "yes")):
    return [(f'text {i}, with a comma and a "quote"\nand a line', names[i % len(names)]) for i in range(n)]


def test_a_single_csv_is_cut_by_a_fixed_seed(tmp_path):
    task = load_task(write(tmp_path / "reviews.csv", rows_of(200)))
    assert task.name == "reviews" and task.labels == ("no", "yes") and task.metric == "accuracy"
    assert [len(task.splits[s]) for s in ("train", "validation", "test")] == [160, 20, 20]
    assert sum(task.test.labels) == 10 and task.test.texts[0].endswith('comma and a "quote"\nand a line')
    alone = tmp_path / "folder"
    alone.mkdir()
    write(alone / "anything.csv", rows_of(200))
    assert load_task(str(alone)).test == task.test


def test_a_folder_keeps_its_files_and_cuts_only_what_is_missing(tmp_path):
    write(tmp_path / "train.csv", rows_of(50))
    write(tmp_path / "dev.csv", [("left", "no"), ("right", "yes")])
    task = load_task(tmp_path)
    assert task.validation.texts == ("left", "right") and len(task.train) == 45 and len(task.test) == 5
    write(tmp_path / "test.csv", [("up", "no")])
    assert len(load_task(tmp_path).train) == 50


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (["10", "9", "2"], ("2", "9", "10")),
        (["1.0", "0.0"], ("0", "1")),
        (["-1", "+1"], ("-1", "1")),
        (["b", "a"], ("a", "b")),
        ([True, False], ("false", "true")),
        ([1, 0.0], ("0", "1")),
    ],
)
def test_class_names_are_sorted_and_whole_numbers_by_value(tmp_path, raw, names):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"t{i}", "label": raw[i % len(raw)]}) for i in range(30)))
    task = load_task(path)
    assert task.labels == names
    by_text = {t: n for split in task.splits.values() for t, n in zip(split.texts, split.labels, strict=True)}
    want = str(raw[1]).lower() if isinstance(raw[1], bool) else str(raw[1])
    assert float(names[by_text["t1"]]) == float(want) if want[-1].isdigit() else names[by_text["t1"]] == want


def test_names_for_numbered_classes(tmp_path):
    path = write(tmp_path / "a.csv", [(f"t{i}", i % 2) for i in range(30)])
    assert load_task(path, labels=("bad", "good")).labels == ("bad", "good")


def test_tsv_takes_quotes_as_text_and_pairs(tmp_path):
    path = tmp_path / "a.tsv"
    body = "".join(f'"open {i}\tother "{i}"\t{i / 4}\r\n' for i in range(20))
    path.write_text("a\tb\tscore\r\n" + body, encoding="utf-8-sig")
    task = load_task(path, text="a", pair="b", label="score", kind="regression")
    assert task.kind == "regression" and task.labels == () and task.num_outputs == 1
    assert sorted(task.train.texts)[0] == '"open 0' and task.train.pairs and isinstance(task.train.labels[0], float)
    assert task.majority() == 0.0 and task.metric == "pearson_spearman"


def test_encoding_is_a_choice(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"text,label\n" + b"".join(f"café {i},{i % 2}\n".encode("latin-1") for i in range(20)))
    with pytest.raises(UserError, match=r'line 2: byte 0xe9 is not utf-8.*encoding="latin-1"'):
        load_task(path)
    assert load_task(path, encoding="latin-1").train.texts[0].startswith("café")


def test_the_majority_is_the_training_majority():
    train, test = Rows(("a",) * 3, None, (1, 1, 0)), Rows(("b",) * 4, None, (0, 0, 0, 1))
    task = Task("t", "classification", ("n", "y"), "accuracy", {"train": train, "test": test}, "here")
    assert task.majority() == 0.25
    with pytest.raises(UserError, match='no split "validation"'):
        _ = task.validation


@pytest.fixture
def hub(monkeypatch):
    """`datasets` with a Hub of our own."""
    datasets = pytest.importorskip("datasets")
    from adapterlab import hub

    shelf = {}
    monkeypatch.setattr(hub, "answer", lambda **ask: 200)
    monkeypatch.setattr(datasets, "load_dataset", lambda repo, config, split: shelf[repo, config])

    def add(repo, config, names, **splits):
        features = datasets.Features({"label": datasets.ClassLabel(names=names) if names else datasets.Value("string")})
        made = {}
        for split, columns in splits.items():
            texts = {k: datasets.Value("string") for k in columns if k != "label"}
            made[split] = datasets.Dataset.from_dict(columns, features=datasets.Features({**texts, **features}))
        shelf[repo, config] = datasets.DatasetDict(made)

    return add


def columns(n, start=0, labels=(0, 1), **extra):
    return {
        "sentence": [f"s{start + i}" for i in range(n)],
        "label": [labels[i % len(labels)] for i in range(n)],
        **extra,
    }


def test_glue_from_the_hub_has_the_same_shape_as_from_a_folder(hub):
    names = ["unacceptable", "acceptable"]
    hub("nyu-mll/glue", "cola", names, train=columns(60), validation=columns(8, 60), test=columns(5, 80, (-1,)))
    task = load_task("hub:nyu-mll/glue/cola")
    assert {s: len(v) for s, v in task.splits.items()} == {"train": 54, "validation": 6, "test": 8}
    assert task.metric == "matthews" and task.labels == tuple(names) and task.test.texts[0] == "s60"


def test_any_data_set_of_the_hub_by_its_columns(hub):
    strings = columns(40, labels=("dog", "cat")), columns(6, 50, labels=("cat", "dog"))
    hub("me/pets", None, None, train=strings[0], test=strings[1])
    task = load_task("hub:me/pets", text="sentence")
    assert task.labels == ("cat", "dog") and task.test.labels == (0, 1) * 3 and len(task.validation) == 4
    with pytest.raises(UserError, match='no column "text".*sentence'):
        load_task("hub:me/pets")


@pytest.mark.parametrize("network", ["switched off", "refused", "silent"])
def test_without_a_network_the_hub_is_refused_at_once(network, no_hub):
    no_hub(network)
    start = time.perf_counter()
    with pytest.raises(UserError, match='needs the Hub.*offline, load_task takes "rotten_tomatoes"'):
        load_task("hub:nyu-mll/glue/cola")
    assert time.perf_counter() - start < 3
