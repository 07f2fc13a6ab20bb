"""07: the numbers of its view and figures, where its tasks come from, tasks one after another."""

import pandas as pd
import pytest
import torch
from lesson_views import GLUE as GLUE_RUNS
from tiny_bert import tiny_bert

from adapterlab.errors import UserError
from adapterlab.lessons.nb07_glue import figures as plots
from adapterlab.lessons.nb07_glue.in_sequence import in_sequence
from adapterlab.lessons.nb07_glue.source import glue_source
from adapterlab.lessons.nb07_glue.views import metric_view
from adapterlab.methods import houlsby
from adapterlab.tasks import Encoded, Task
from adapterlab.tasks.made import MADE
from adapterlab.tasks.metrics import accuracy, f1, matthews


def best(frame):
    return plots.chosen(frame).groupby(["task", "kind"])["score"].agg(["mean", "count"]).round(3)


def test_validation_chooses_the_size_and_gaps_go_seed_by_seed():
    chosen = plots.chosen(GLUE_RUNS)
    assert set(chosen["method"]) == {"adapter 64", "full"} and best(GLUE_RUNS).loc[("CoLA", "adapters"), "mean"] == 42
    (gap,) = plots.gaps(chosen).itertuples()
    assert gap.mean == pytest.approx(0) and gap.half == pytest.approx(12.706 * 2) and gap.runs == 2
    assert gap.paper == pytest.approx(59.5 - 60.5) and gap.head == "old"
    ours, paper = plots.gap_points(plots.gaps(chosen)).data
    assert list(ours.x) == ["CoLA<br>2 seeds<br>old head"] and paper.y[0] == pytest.approx(-1)
    assert plots.gaps(chosen[chosen["kind"] == "full"]).empty


@pytest.mark.parametrize(
    "more", [{"n_train": 8000}, {"n_train": None}, {"epochs": 5}, {"pooling": "mean", "epochs": 1}]
)
def test_todays_head_then_the_largest_setting_of_a_task_counts_alone(more):
    larger = GLUE_RUNS[GLUE_RUNS["seed"] == 0].assign(test=0.7, validation=0.1, **more)
    frame = pd.concat([GLUE_RUNS, larger, GLUE_RUNS.assign(task="glue/RTE")])
    assert best(frame).to_numpy().tolist() == [[70, 1], [70, 1], [42, 2], [42, 2]]
    assert list(plots.gaps(plots.chosen(frame))["head"]) == ["today's" if "pooling" in more else "old", "old"]


def test_the_total_of_table_1_is_not_the_mean_of_its_columns():
    row = plots.table1().loc["full fine-tuning"]
    assert row["Total"] == 80.4 and row["CoLA":"RTE"].astype(float).mean() == pytest.approx(82.0, abs=0.05)


def test_the_widget_says_what_always_saying_1_scores():
    view = metric_view(guess=40)
    assert view.summary == "70% are class 1: always saying 1 scores accuracy 70%, F1 82%, Matthews 0%"
    assert view.figure.data[-1].y == (40,)
    view.share.value = 0.1
    assert "accuracy 10%, F1 18%, Matthews 0%" in view.summary


def test_not_reading_scores_what_the_metrics_say():
    """The closed form against many coin flips."""
    g = torch.Generator().manual_seed(0)
    true, said = ((torch.rand(200_000, generator=g) < p).long() for p in (0.7, 0.4))
    table = plots.constant_scores(0.7).set_index(["p", "metric"])["score"]
    for name, metric in (("accuracy", accuracy), ("F1", f1), ("Matthews", matthews)):
        assert table[0.4, name] == pytest.approx(100 * metric(said, true), abs=0.6)


def test_without_glue_the_tasks_come_from_the_reviews(monkeypatch):
    monkeypatch.delenv("GLUE_DATA", raising=False)
    source = glue_source()
    assert list(source.tasks) == list(MADE)
    assert source.load("same_review").metric == "f1"


def test_sources(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="holds no GLUE task"):
        glue_source(tmp_path)
    (tmp_path / "SST-2").mkdir()
    rows = "".join(f"sentence {i}\t{i % 2}\n" for i in range(40))
    for split in ("train", "dev"):
        (tmp_path / "SST-2" / f"{split}.tsv").write_text("sentence\tlabel\n" + rows.replace("sentence", split))
    monkeypatch.setenv("GLUE_DATA", str(tmp_path))
    source = glue_source()
    assert source.tasks == {"SST-2": "glue/SST-2"} and len(source.load("SST-2").test) == 40
    assert glue_source("hub").places.folders["glue/SST-2"] == "hub:nyu-mll/glue/sst2"
    with pytest.raises(UserError, match="no such folder"):
        glue_source(tmp_path / "nowhere")


def job(labels, seed):
    """A task of random tokens and random labels, and its rows."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 60, (12, 6), generator=draw).tolist()
    rows = Encoded(ids, None, torch.arange(12) % labels, 0, 6, 0)
    names = tuple(str(i) for i in range(labels))
    return Task("random", "classification", names, "accuracy", {}, ""), {"train": rows, "test": rows}


def test_adapters_keep_earlier_tasks_bit_for_bit_and_full_does_not():
    jobs = {"one": job(2, seed=0), "two": job(3, seed=1)}
    loop = {"epochs": 1, "show": False}
    rows, runs, adapters = in_sequence(tiny_bert(), jobs, houlsby(4), lr=1e-3, **loop)
    assert [(r["step"], r["task"]) for r in rows] == [(1, "one"), (2, "one"), (2, "two")]
    assert all(r["identical"] for r in rows) and list(adapters) == ["one", "two"]
    model = tiny_bert()
    for _ in range(2):  # a cell may run twice
        rows, runs, _ = in_sequence(model, jobs, lr=1e-2, **loop)
    later = next(r for r in rows if (r["step"], r["task"]) == (2, "one"))
    assert not later["identical"] and len(runs) == 2
    figure = plots.forgetting(pd.DataFrame(rows), guess=50)
    assert list(figure.data[0].x) == ["one", "two"] and "your guess" in figure.data[-1].name


def test_forgetting_is_a_mean_over_seeds_and_the_open_task_shows_each():
    rows = [
        {"method": "full", "seed": seed, "step": step, "after": after, "task": task, "score": score + 0.1 * seed}
        for seed in (0, 1)
        for step, after, task, score in ((1, "one", "one", 0.8), (2, "two", "one", 0.5), (2, "two", "two", 0.6))
    ]
    frame = pd.DataFrame(rows)
    line = plots.forgetting(frame).data[0]
    assert list(line.y) == pytest.approx([85, 55], abs=1e-4)
    assert line.error_y.array[0] == pytest.approx(12.706 * 5, rel=1e-3)
    full, mine = plots.kept(frame, frame[frame["seed"] == 1], rows=100).data
    assert list(full.x) == pytest.approx([60, 70], abs=1e-4) and list(full.y) == pytest.approx([50, 60], abs=1e-4)
    assert "yours" in mine.name and list(mine.y) == pytest.approx([60], abs=1e-4)
    assert mine.error_y.array[0] == pytest.approx(196 * (0.6 * 0.4 / 100) ** 0.5, rel=1e-3)
