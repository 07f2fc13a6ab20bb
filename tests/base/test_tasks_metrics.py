"""Scores against scikit-learn and scipy (recorded by fixtures/tasks/make_expected_metrics.py) and closed forms."""

import json

import pytest
import torch
from here import FIXTURES

from adapterlab.errors import UserError
from adapterlab.tasks import Task, metrics, score

RECORDED = json.loads((FIXTURES / "tasks" / "expected_metrics.json").read_text())["cases"]


@pytest.mark.parametrize("case", RECORDED)
def test_scores_are_those_of_scikit_learn_and_scipy(case):
    said, true = torch.tensor(case["said"]), torch.tensor(case["true"])
    for name, expected in case["score"].items():
        assert score(name, said, true) == pytest.approx(expected, abs=1e-12), name


def test_logits_and_columns_are_taken():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.5]])
    assert score("accuracy", logits, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)
    assert score("pearson", torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([2.0, 4.0, 6.0])) == pytest.approx(1)


def test_closed_forms():
    said, true = torch.tensor([1, 1, 1, 0, 0, 0]), torch.tensor([1, 1, 0, 0, 0, 1])
    assert score("f1", said, true) == pytest.approx(2 * 2 / (2 * 2 + 1 + 1))
    assert score("matthews", said, true) == pytest.approx((2 * 2 - 1 * 1) / 9)
    assert score("spearman", torch.tensor([1.0, 10.0, 100.0]), torch.tensor([1.0, 2.0, 3.0])) == pytest.approx(1)
    assert score("pearson", torch.tensor([1e-14, 2e-14, 3e-14]), torch.tensor([3.0, 2.0, 1.0])) == pytest.approx(-1)


@pytest.mark.parametrize("said", [0, 1])
def test_constant_predictions_have_a_score(said):
    true = torch.tensor([0, 1, 1, 0])
    constant = torch.full((4,), said)
    assert score("matthews", constant, true) == 0 and score("accuracy", constant, true) == 0.5
    assert score("f1", constant, true) == pytest.approx(2 / 3 if said else 0)
    assert score("pearson_spearman", constant + 0.1, true.float()) == 0
    assert score("f1", torch.zeros(4), torch.zeros(4)) == 0


def test_nan_stays_nan():
    values = torch.tensor([float("nan"), 1.0, 2.0])
    assert all(score(m, values, torch.tensor([1.0, 2.0, 3.0])) != 0 for m in ("pearson", "spearman"))
    assert score("pearson_spearman", values, torch.ones(3)) != score("pearson_spearman", values, torch.ones(3))


def test_a_task_reports_what_glue_reports():
    task = Task("t", "classification", ("n", "y"), "f1", {}, "")
    true = torch.tensor([0, 1, 1, 0])
    assert metrics(task, true, true) == {"f1": 1.0, "accuracy": 1.0}
    task = Task("t", "regression", (), "pearson_spearman", {}, "")
    assert list(metrics(task, true.float(), true.float())) == ["pearson_spearman", "pearson", "spearman"]


def test_misuse_is_named():
    with pytest.raises(UserError, match='unknown metric "acuracy"; did you mean "accuracy"'):
        score("acuracy", torch.zeros(1), torch.zeros(1))
    with pytest.raises(UserError, match="got 2 with 3"):
        score("accuracy", torch.zeros(2), torch.zeros(3))
