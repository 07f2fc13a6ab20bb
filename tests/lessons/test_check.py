"""Every exercise there is, tried in every way that the table knows; and the structural ones, answer by answer."""

import pytest
import torch

from adapterlab.lessons import check
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED
from adapterlab.lessons.kit.values import unchanged

EXERCISES = check.exercises()
MISTAKES = [(name, m) for name, ex in EXERCISES.items() for m in ex.mistakes]
VARIANTS = [(name, how, fn) for name, ex in EXERCISES.items() for how, fn in ex.accepted_variants()]


def blank(*arguments): ...


@pytest.mark.parametrize("name", EXERCISES)
def test_the_reference_is_right_and_a_stub_not_attempted(name, capsys):
    exercise = EXERCISES[name]
    assert exercise.verdict(exercise.reference) == CORRECT
    assert exercise(blank) is exercise.reference and exercise.verdict(lambda *a: ...) == NOT_ATTEMPTED
    assert capsys.readouterr().out == f"exercise {exercise.ident}: not attempted, using the reference\n"


def only(exercise, mistake):
    """The reference, but for the cases that the mistake is about."""
    cases = [list(exercise.cases[i]) for i in mistake.cases]

    def answer(*args):
        return (mistake.wrong if any(unchanged(case, list(args)) for case in cases) else exercise.reference)(*args)

    return answer


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=[f"{name}: {m.message[:60]}" for name, m in MISTAKES])
def test_a_wrong_answer_gets_its_own_message(name, mistake):
    assert EXERCISES[name].verdict(only(EXERCISES[name], mistake)) == mistake.message


@pytest.mark.parametrize(("name", "how", "variant"), VARIANTS, ids=[f"{name}: {how}" for name, how, _ in VARIANTS])
def test_an_accepted_answer_has_the_references_type_ever_after(name, how, variant):
    exercise = EXERCISES[name]
    mine = exercise(variant)
    assert mine is not exercise.reference
    for case in exercise.cases:
        got, want = mine(*case), exercise.reference(*case)
        torch.testing.assert_close(got, want) if isinstance(want, torch.Tensor) else None
        assert type(got) is type(want)
        if isinstance(want, list | tuple):
            assert [type(v) for v in got] == [type(v) for v in want]


def test_exercises_have_one_id_each():
    idents = [ex.ident for ex in EXERCISES.values()]
    assert len(set(idents)) == len(idents)
