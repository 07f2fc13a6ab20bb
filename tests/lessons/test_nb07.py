"""07: the numbers of its view and figures, where its tasks come from, tasks one after another."""

import pandas as pd
import pytest
import torch
from lesson_views import GLUE as GLUE_RUNS
from tiny_bert import tiny_bert

from adapterlab.errors import UserError
from adapterlab.lessons.nb07_glue import figures as plots
from adapterlab.lessons.nb07_glue.in_sequence import adapters_in_sequence, full_in_sequence
from adapterlab.lessons.nb07_glue.source import glue_source
from adapterlab.lessons.nb07_glue.views import glue_view
from adapterlab.tasks import Encoded, Task
from adapterlab.tasks.made import MADE
from adapterlab.tasks.metrics import accuracy, f1, matthews


def test_validation_chooses_the_size_and_gaps_go_seed_by_seed():
    best = plots.best_rows(GLUE_RUNS).set_index("method")
    assert best.loc["adapters", "chosen"] == "adapter 64, lr 0.001" and best.loc["adapters", "mean"] == pytest.approx(
        42
    )
    gap = plots.gaps(best.reset_index()).iloc[0]
    assert gap["ours"] == pytest.approx(0) and gap["half"] == pytest.approx(12.706 * 2)
    assert gap["paper"] == pytest.approx(59.5 - 60.5)
    assert len(plots.gap_bars(plots.gaps(best.reset_index())).data) == 2


@pytest.mark.parametrize("more", [{"n_train": 8000}, {"n_train": None}, {"epochs": 5}])
def test_the_largest_setting_of_a_task_counts_alone(more):
    larger = GLUE_RUNS[GLUE_RUNS["seed"] == 0].assign(test=0.7, validation=0.1, **more)
    other = GLUE_RUNS.assign(task="glue/RTE")
    best = plots.best_rows(pd.concat([GLUE_RUNS, larger, other])).set_index(["task", "method"])
    assert list(best["mean"].round(3)) == [70, 70, 42, 42] and list(best["seeds"]) == [1, 1, 2, 2]


def test_the_total_of_table_1_is_not_the_mean_of_its_columns():
    row = plots.table1().loc["full fine-tuning"]
    assert row["Total"] == 80.4 and row["CoLA":"RTE"].astype(float).mean() == pytest.approx(82.0, abs=0.05)


def test_the_widget_shows_table_1_beside_ours():
    view = glue_view(plots.best_rows(GLUE_RUNS))
    assert view.task.value == "CoLA" and "grid of 60 runs" in view.summary
    assert "full 60.5, adapters 59.5; ours (recorded, MiniLM): full 42.0, adapters 42.0" in view.summary
    view.seeds.value = 1
    assert "grid of 12 runs" in view.summary
    view.task.value = "STS-B"
    assert "Pearson" in view.summary and "pairs" in view.summary and "not recorded" in view.summary
    assert list(view.figure.data[0].y) == [87.6, 86.9]


def test_not_reading_scores_what_the_metrics_say():
    """The closed form against many coin flips."""
    g = torch.Generator().manual_seed(0)
    true, said = ((torch.rand(200_000, generator=g) < p).long() for p in (0.7, 0.4))
    table = plots.constant_scores(0.7, 11).set_index(["p", "metric"])["score"]
    for name, metric in (("accuracy", accuracy), ("F1", f1), ("Matthews", matthews)):
        assert table[0.4, name] == pytest.approx(100 * metric(said, true), abs=0.6)


def test_without_glue_the_tasks_come_from_the_reviews(monkeypatch):
    monkeypatch.delenv("GLUE_DATA", raising=False)
    source = glue_source()
    assert source.kind == "reviews" and source.tasks == tuple(MADE)
    assert source.key("same_review") == "same_review" and source.key("CoLA") == "glue/CoLA"
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
    assert source.kind == "folder" and source.tasks == ("SST-2",) and len(source.load("SST-2").test) == 40
    assert glue_source("hub").kind == "hub"
    assert glue_source("hub").places.folders["glue/SST-2"] == "hub:nyu-mll/glue/sst2"
    with pytest.raises(UserError, match="no such folder"):
        glue_source(tmp_path / "nowhere")


def job(labels, seed):
    """A task of random tokens and random labels, and its rows."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 60, (12, 6), generator=draw).tolist()
    rows = Encoded(ids, None, torch.arange(12) % labels, 0, 6, 0)
    names = tuple(str(i) for i in range(labels))
    return Task("random", "classification", names, "accuracy", {}, "", ""), {"train": rows, "test": rows}


def test_adapters_keep_earlier_tasks_bit_for_bit_and_full_does_not():
    jobs = {"one": job(2, seed=0), "two": job(3, seed=1)}
    rows, runs, adapters = adapters_in_sequence(tiny_bert(), jobs, size=4, epochs=1, show=False)
    assert [(r["step"], r["task"]) for r in rows] == [(1, "one"), (2, "one"), (2, "two")]
    assert all(r["identical"] and r["moved"] == 0 for r in rows) and list(adapters) == ["one", "two"]
    rows, runs = full_in_sequence(tiny_bert(), jobs, epochs=1, lr=1e-2, show=False)
    later = next(r for r in rows if (r["step"], r["task"]) == (2, "one"))
    assert not later["identical"] and later["moved"] > 1e-3 and len(runs) == 2
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
