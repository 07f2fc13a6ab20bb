"""Every exercise there is, tried in every way that the table knows; and the structural ones, answer by answer."""

import numpy as np
import pytest
import torch

from adapterlab.lessons import check
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED
from adapterlab.lessons.kit.values import same, unchanged

EXERCISES = check.exercises()
MISTAKES = [(name, m) for name, ex in EXERCISES.items() for m in ex.mistakes]
VARIANTS = [(name, how, fn) for name, ex in EXERCISES.items() for how, fn in ex.accepted_variants()]
#: Arguments for those whose table has no cases.
SAMPLES = {
    "new_weight": [(2, 3, 0.1)],
    "is_affine": [(torch.relu, 8), (torch.neg, 8)],
    "concatenate": [([(2.0, torch.ones(3, 1), torch.ones(1, 2)), (-1.0, torch.ones(3, 2), torch.ones(2, 2))],)],
}
WRAPS = {
    "a list of one": lambda v: [v],
    "a tuple of one": lambda v: (v,),
    "a generator": lambda v: (x for x in [v]),
    "a dict": lambda v: {"answer": v},
    "a numpy array of objects": lambda v: np.array([v, None, v], dtype=object),
    "a set": lambda v: frozenset(["answer"]),
    "a function": lambda v: lambda: v,
    "a module": lambda v: torch.nn.Linear(1, 1),
    "nothing": lambda v: None,
}


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
    for case in [*exercise.cases, *SAMPLES.get(name, [])]:
        got, want = mine(*case), exercise.reference(*case)
        assert type(got) is type(want)
        if isinstance(want, list | tuple):
            assert [type(v) for v in got] == [type(v) for v in want]
        if name != "new_weight":
            assert same(got, want)


@pytest.mark.parametrize(
    "name", [name for name, ex in EXERCISES.items() if not ex.in_place and name != "build_adapter"]
)
@pytest.mark.parametrize("wrap", WRAPS)
def test_another_container_is_refused_in_a_sentence(name, wrap):
    """Neither taken, nor dumped, nor answered with an exception that the learner's code did not raise."""
    exercise, change = EXERCISES[name], WRAPS[wrap]
    verdict = exercise.verdict(lambda *args: change(exercise.reference(*args)))
    assert verdict not in (CORRECT, NOT_ATTEMPTED) and len(verdict) < 200
    assert not any(words in verdict for words in ("object at 0x", "it raised", "the check cannot", "tensor(["))


def test_exercises_have_one_id_each():
    idents = [ex.ident for ex in EXERCISES.values()]
    assert len(set(idents)) == len(idents)
