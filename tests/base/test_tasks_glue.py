"""GLUE in its original layout: real files where they are, tiny ones of the same shape where not."""

import pytest
from here import SHARED

from adapterlab.errors import UserError
from adapterlab.tasks import load_task

REAL = SHARED / "glue"
MNLI = "index promptID pairID genre sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse sentence1 sentence2"
NLI3 = ("contradiction", "entailment", "neutral")


def tsv(path, header, rows):
    path.parent.mkdir(exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in ([header.split(), *rows] if header else rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def glue_folder(root, n=40):
    """A small glue_data: every task, with the columns and label names of the original download."""
    for part, size in (("train", n), ("dev", 6)):
        s = [f"\"{part} sentence {i} isn't closed" for i in range(size)]
        p = [f"{part} other {i}" for i in range(size)]
        two = [("not_entailment", "entailment")[i % 2] for i in range(size)]
        tsv(root / "CoLA" / f"{part}.tsv", None, [("gj04", i % 2, "*" * (1 - i % 2), s[i]) for i in range(size)])
        tsv(root / "SST-2" / f"{part}.tsv", "sentence label", [(s[i] + " ", i % 2) for i in range(size)])
        header = "index genre filename year old_index source1 source2 sentence1 sentence2 score"
        score = [
            ("main", "MSRvid", "2012test", "0001", "none", "none", s[i], p[i], f"{i % 11 / 2:.3f}") for i in range(size)
        ]
        tsv(root / "STS-B" / f"{part}.tsv", header, [(i, *row) for i, row in enumerate(score)])
        header = "id qid1 qid2 question1 question2 is_duplicate"
        tsv(root / "QQP" / f"{part}.tsv", header, [(i, 2 * i, 2 * i + 1, s[i], p[i], i % 2) for i in range(size)])
        for task, names in {"QNLI": "question sentence", "RTE": "sentence1 sentence2"}.items():
            rows = [(i, s[i], p[i], two[i]) for i in range(size)]
            tsv(root / task / f"{part}.tsv", f"index {names} label", rows)
        mrpc = [[i % 2, 10 + i, 20 + i, s[i], p[i]] for i in range(size)]
        tsv(root / "MRPC" / f"{part}.tsv", None, [["Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"], *mrpc])
        parses = ("fiction", "( a )", "( b )", "(ROOT)", "(ROOT)")
        for file in ("train",) if part == "train" else ("dev_matched", "dev_mismatched"):
            more = "label1" if part == "train" else "label1 label2 label3 label4 label5"
            body = [
                (i, i, f"{i}n", *parses, s[i], p[i], *["neutral"] * len(more.split()), NLI3[i % 3]) for i in range(size)
            ]
            tsv(root / "MNLI" / f"{file}.tsv", f"{MNLI} {more} gold_label", body)
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return glue_folder(tmp_path_factory.mktemp("glue_data"))


@pytest.mark.parametrize(
    ("task", "pair", "labels", "metric", "first"),
    [
        ("CoLA", False, ("unacceptable", "acceptable"), "matthews", 0),
        ("SST-2", False, ("negative", "positive"), "accuracy", 0),
        ("MRPC", True, ("not_equivalent", "equivalent"), "f1", 0),
        ("STS-B", True, (), "pearson_spearman", 0.0),
        ("QQP", True, ("not_duplicate", "duplicate"), "f1", 0),
        ("MNLI", True, ("entailment", "neutral", "contradiction"), "accuracy", 2),
        ("QNLI", True, ("entailment", "not_entailment"), "accuracy", 1),
        ("RTE", True, ("entailment", "not_entailment"), "accuracy", 1),
    ],
)
def test_each_task_in_its_own_layout(root, task, pair, labels, metric, first):
    loaded = load_task(f"glue/{task.lower()}", root=root)
    assert (loaded.labels, loaded.metric) == (labels, metric)
    assert loaded.test.texts[0] == "\"dev sentence 0 isn't closed" and loaded.test.labels[0] == first
    assert loaded.test.pairs == (tuple(f"dev other {i}" for i in range(6)) if pair else None)
    assert (len(loaded.train), len(loaded.validation), len(loaded.test)) == (36, 4, 6)
    assert ("test_mismatched" in loaded.splits) == (task == "MNLI")
    assert load_task(root / task).splits == loaded.splits


def test_mismatched_shrinks_with_test(root):
    assert len(load_task("glue/MNLI", root=root).subset(test=3).splits["test_mismatched"]) == 3


def test_lines_that_the_original_qqp_breaks_are_left_out_and_counted(tmp_path):
    folder = glue_folder(tmp_path, 3000) / "QQP"
    lines = (folder / "train.tsv").read_text().split("\n")
    lines[5:6] = ["4\t8\t9\tWhat is", "this?\tother\t1"]
    (folder / "train.tsv").write_text("\n".join(lines))
    task = load_task(folder)
    assert len(task.train) + len(task.validation) == 2999 and "2 damaged lines" in task.source
    lines[5:7] = ["broken"] * 4
    (folder / "train.tsv").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"train.tsv, line 6: 1 column instead of 6"):
        load_task(folder)


@pytest.mark.parametrize(
    ("task", "change", "says"),
    [
        ("RTE", lambda t: t.replace("\tentailment\n", "\tentailmant\n", 1), 'line 3: label "entailmant".*did you mean "entailment"'),
        ("RTE", lambda t: t.replace("train other 7", "train\tother 7"), "line 9: 5 columns instead of 4"),
        ("RTE", lambda t: t[: len(t) // 2].rsplit("\t", 1)[0], r"line \d+: \d columns? instead of 4"),
        ("STS-B", lambda t: t.replace("0.500", "nan", 1), 'line 3: score "nan" is not a finite number'),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_glue_file(tmp_path, task, change, says):
    train = glue_folder(tmp_path) / task / "train.tsv"
    train.write_text(change(train.read_text()))
    with pytest.raises(UserError, match=rf"train.tsv, {says}"):
        load_task(f"glue/{task}", root=tmp_path)


def test_what_is_wrong_with_a_glue_folder(tmp_path):
    (glue_folder(tmp_path) / "RTE" / "dev.tsv").unlink()
    for name, root, says in (
        ("glue/RTE", tmp_path, "RTE has no dev.tsv, which GLUE's RTE needs; there is train.tsv"),
        ("glue/RTF", tmp_path, 'unknown GLUE task "glue/RTF"; did you mean "glue/RTE"'),
        ("glue/RTE", tmp_path / "nowhere", 'no folder .*nowhere.*root="..."'),
    ):
        with pytest.raises(UserError, match=says):
            load_task(name, root=root)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real GLUE files are not at hand")
@pytest.mark.parametrize(
    ("task", "train", "dev"), [("CoLA", 8551, 1043), ("SST-2", 67349, 872), ("MRPC", 3667, 408), ("RTE", 2490, 277)]
)
def test_real_files(task, train, dev):
    loaded = load_task(f"glue/{task}", root=REAL)
    assert (len(loaded.train) + len(loaded.validation), len(loaded.test)) == (train, dev)
    assert not set(loaded.train.keys()) & set(loaded.validation.keys())


@pytest.mark.skipif(not REAL.is_dir(), reason="the real GLUE files are not at hand")
def test_known_scores_of_always_saying_the_most_frequent():
    """Dev: MRPC has 279 of 408 paraphrases (F1 2 * 279 / (279 + 408)), SST-2 444 of 872 positive."""
    assert load_task("glue/MRPC", root=REAL).majority() == pytest.approx(2 * 279 / (279 + 408))
    assert load_task("glue/SST-2", root=REAL).majority() == pytest.approx(444 / 872)
    assert load_task("glue/CoLA", root=REAL).majority() == 0
