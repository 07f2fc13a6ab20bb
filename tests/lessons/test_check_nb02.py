"""Exercises of 02: every common wrong answer is told apart, the right one passes."""

import pytest

from adapterlab import check


def verdict(exercise, source):
    space = {}
    exec(source, space)
    return exercise.verdict(space["answer"])


RIGHT_SCHEDULE = """
def answer(step, total):
    rise = max(1, round(0.1 * total))
    return (step + 1) / rise if step < rise else (total - step) / (total - rise)
"""


@pytest.mark.parametrize(
    "body, message",
    [
        ("1 - step / total", "no warm-up"),
        ("min(1.0, (step + 1) / (0.1 * total))", "never decays"),
        ("step / (0.1 * total) if step < 0.1 * total else (total - step) / (total - 0.1 * total)", "step 0 has"),
        ("(step + 1) / (0.1 * total) if step < 0.1 * total else (total - step) / total", "jumps down"),
        ("0.5", "expected"),
    ],
)
def test_wrong_schedules(body, message):
    assert message in verdict(check.warmup_then_decay, f"def answer(step, total):\n    return {body}")


def test_right_schedule():
    assert verdict(check.warmup_then_decay, RIGHT_SCHEDULE) == "correct"


@pytest.mark.parametrize(
    "body, message",
    [
        ("100 * sum(p.numel() for p in model.parameters()) / total", "every parameter"),
        ("100 * sum(p.requires_grad for p in model.parameters()) / total", "counts tensors"),
        ("sum(p.numel() for p in model.parameters() if p.requires_grad) / total", "fraction"),
        ("100 * sum(p.numel() for p in model.parameters() if not p.requires_grad) / total", "frozen"),
        ("42.0", "expected"),
    ],
)
def test_wrong_shares(body, message):
    assert message in verdict(check.trained_share, f"def answer(model, total):\n    return {body}")


def test_right_share():
    body = "100 * sum(p.numel() for p in model.parameters() if p.requires_grad) / total"
    assert verdict(check.trained_share, f"def answer(model, total):\n    return {body}") == "correct"


@pytest.mark.parametrize("name", ["warmup_then_decay", "trained_share"])
def test_a_stub_is_not_attempted(name):
    def answer(*args): ...

    assert getattr(check, name).verdict(answer) == "not attempted"
