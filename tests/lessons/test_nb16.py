"""16: two tasks in turn on a tiny BERT, the table of PEFT's methods, the figures' numbers."""

import pandas as pd
import pytest
import tiny
import torch

from adapterlab import check
from adapterlab.errors import UserError
from adapterlab.lessons.nb16_choosing import course as lesson
from adapterlab.lessons.nb16_choosing import figures as plots
from adapterlab.lessons.nb16_choosing import views
from adapterlab.lessons.nb16_choosing.course import WAYS, Course, Pair, Way
from adapterlab.methods import METHODS
from adapterlab.tasks import Encoded, Rows
from adapterlab.tasks.core import Options, assemble

ROWS = {"old": [(f"{i} old", i % 2) for i in range(12)], "new": [(f"{i} new", 2 + i % 2) for i in range(8)]}


@pytest.fixture
def course(monkeypatch):
    """Twelve old rows and eight new; a text is its number and its task as tokens."""

    def tokens(split, tokenizer, max_length):
        ids = [[5, 6 + int(text.split()[0]) % 2, 20 + int(text.split()[0])] for text in split.texts]
        return Encoded(ids, None, torch.tensor(split.labels), 0, 48, 0)

    monkeypatch.setattr(lesson, "encode", tokens)
    data = Pair(("a", "b", "c", "d"), 2, ROWS, ROWS)
    return Course(tiny.model("bert"), None, data, lr=1e-2, epochs=1, show=False)


def seen(course, way, seed=0):
    """(what `go_on` gives, the rows of its last training)."""
    fitted, fit = [], course.fit
    course.fit = lambda rows, *more: (fitted.append(rows), fit(rows, *more))
    out = course.go_on("way", way, seed, check.mix.reference)
    course.fit = fit
    return out, fitted[-1]


def task(labels, rows, pairs=None):
    split = Rows(tuple(text for text, _ in rows), pairs, tuple(label for _, label in rows))
    return assemble("toy", labels, dict.fromkeys(("train", "validation", "test"), split), "here", Options())


def test_two_tasks_share_a_head():
    both = lesson.pair(task(("a", "b"), ROWS["old"]), task(("c", "d"), [(t, n - 2) for t, n in ROWS["new"]]), 6, 4)
    assert both.labels == ("a", "b", "c", "d") and both.first == 2
    assert set(both.train["old"]) < set(ROWS["old"]) and set(both.test["new"]) < set(ROWS["new"])
    assert [len(both.train[name]) for name in both.train] == [6, 6] and len(both.test["old"]) == 4
    with pytest.raises(UserError, match='"toy" cannot be one of the two tasks here'):
        lesson.pair(task(("a", "b"), ROWS["old"], pairs=tuple("x" * 12)), both, 6, 4)


def test_an_answer_is_asked_among_its_own_labels(course):
    logits = torch.tensor([[0.0, 1.0, 9.0, 8.0], [9.0, 8.0, 0.0, 1.0]])
    assert course.own(logits, torch.tensor([0, 3])).argmax(-1).tolist() == [1, 3]


def test_a_new_adapter_leaves_the_old_as_it_was(course):
    out, rows = seen(course, WAYS["new adapter"])
    assert rows == ROWS["new"] and torch.equal(out["before"], out["old"]) and set(course.adapters) == {"old", "new"}
    state = course.learned[16, 0][0]
    assert all(torch.equal(p, value) for p, value in zip(course.adapters["old"].parameters(), state, strict=True))


def test_each_way_trains_on_what_it_says(course):
    assert seen(course, Way())[1] == ROWS["new"]
    rows = seen(course, Way(share=0.5))[1]
    assert rows[:8] == ROWS["new"] and len(rows) == 8 + 6 and set(rows[8:]) < set(ROWS["old"])
    rows = seen(course, Way(shuffled=True))[1]
    assert [t for t, _ in rows] == [t for t, _ in ROWS["new"]] and sorted(n for _, n in rows) == [2] * 4 + [3] * 4
    assert rows != ROWS["new"]
    assert [run.lr for run in course.runs[-1:]] == [1e-2] and course.runs[-1].trained == course.adapters.count("old")


def test_full_fine_tuning_begins_at_the_base_every_time(course):
    first = seen(course, WAYS["full fine-tuning"])[0]
    moved = [n for n, p in course.model.named_parameters() if n in course.base and not torch.equal(p, course.base[n])]
    assert any("encoder" in name for name in moved)
    again = seen(course, WAYS["full fine-tuning"])[0]
    assert all(torch.equal(first[key], again[key]) for key in first)
    seen(course, Way())
    assert all(torch.equal(p, course.base[n]) for n, p in course.model.named_parameters() if n in course.base)


def test_the_noise_has_the_norm_of_the_change_and_the_head_is_the_trained_one(course):
    course.go_on("same adapter", Way(), 0, check.mix.reference)
    start, moved = course.learned[16, 0][0], course.moved[0]
    course.disturb(0, check.equal_norm.reference)
    for (name, p), a, b in zip(course.adapters["old"].named_parameters(), start, moved, strict=True):
        if name.startswith("head."):
            assert torch.equal(p, b)
        else:
            torch.testing.assert_close((p - a).norm(), (b - a).norm(), rtol=1e-4, atol=1e-6)
            assert not torch.equal(p, b)


def test_the_table_of_methods():
    table = views.peft_methods()
    assert len(table) == 45 and table["name"].is_unique and list(table["name"]) == sorted(table["name"])
    assert set(table["kind"]) == set(plots.KINDS) and table[["where", "start", "source"]].ne("").all(axis=None)
    ours = {name for names in table["ours"] for name in names.split(", ") if name in METHODS}
    assert ours == {"lora", "dora", "vera", "shira", "oft", "ia3", "layernorm", "prefix_tuning", "prompt_tuning"}


def test_the_map_is_searched():
    view = views.map_view()
    view.word.value = "Orthogonal"
    assert "OFT" in view.figure.index and "LORA" not in view.figure.index
    view.kind.value, view.word.value = "prompt", ""
    assert set(view.figure["kind"]) == {"prompt"}
    view.ours.value = True
    assert view.summary == "3 of 45 methods: CARTRIDGE, PREFIX_TUNING, PROMPT_TUNING"


def test_an_arrow_cites_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(views, "RESULTS", tmp_path)
    assert views.by_way("forgetting", "way", "old", "%").values.tolist()[0][0] == views.NOT_RECORDED
    lines = [f'{{"way": "same", "old": 0.{n}, "commit": "abcdef123", "key": "{n}"}}\n' for n in (6, 8)]
    (tmp_path / "forgetting.jsonl").write_text("".join(lines))
    (row,) = views.by_way("forgetting", "way", "old", "%", 100).values.tolist()
    assert row[0] == "same" and row[1].startswith("70.0 % ± ") and row[2] == 2
    assert row[3] == "data/results/forgetting.jsonl, commit abcdef1"


def test_every_question_has_an_answer_or_says_that_none_is_recorded():
    view = views.choose_view()
    for question in views.QUESTIONS:
        view.question.value = question
        assert view.error is None and len(view.figure)
        assert (view.figure["from"].str.contains("data/results/|adapterlab.methods")).all()


def test_figures_say_their_numbers():
    frame = pd.DataFrame([("a", s, 60.0 + s, 80.0) for s in (0, 1)] + [("b", 0, 70.0, 75.0)],
                         columns=["way", "seed", "old", "new"])  # fmt: skip
    fig = plots.plane(frame, 72.0, (80, 65))
    assert [trace.y[0] for trace in fig.data] == [60.5, 70.0, 65] and fig.data[0].error_y.array[0] == pytest.approx(
        6.353
    )
    assert fig.data[1].error_y.array is None and "72.0%" in fig.layout.shapes[0].name
    counts = plots.kinds(views.peft_methods())
    assert sum(sum(bar.x) for bar in counts.data) == 45


def test_no_two_ways_look_alike_and_each_keeps_its_looks():
    frame = pd.DataFrame([{"way": way, "seed": 0, "old": 70, "new": 60} for way in reversed(plots.PLACES)])
    looks = {t.name: (t.marker.color, t.marker.symbol) for t in plots.plane(frame, 70).data if t.name in plots.PLACES}
    assert len(set(looks.values())) == len(plots.PLACES) == 9
    few = plots.plane(frame[frame["way"] == "random labels"], 70).data[0]
    assert (few.marker.color, few.marker.symbol) == looks["random labels"]
