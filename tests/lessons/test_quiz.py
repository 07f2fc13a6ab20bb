"""Every question of every quiz: right, wrong, not given and odd; and the table against what the notebook says."""

import re
from fractions import Fraction

import numpy as np
import pytest
import torch

from adapterlab.errors import UserError
from adapterlab.lessons import check
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED, table
from adapterlab.lessons.kit.quiz import judge, verdicts
from notebooks import notebooks, read, tags

QUIZZES = check.quizzes()
WRONG = [(n, *code.split(), said) for n, quiz in QUIZZES.items() for code, said in table(quiz.partition("\n")[2])]


def rights(number):
    return QUIZZES[number].partition("\n")[0].split()


def lines(number, answers):
    return list(verdicts(number, QUIZZES[number], answers))


@pytest.mark.parametrize("number", QUIZZES)
@pytest.mark.parametrize("nothing", [None, {}, [], dict.fromkeys(range(1, 9)), {1: ...}, {"2": " "}])
def test_nothing_given_is_nothing_attempted(number, nothing):
    due = [f"quiz {number}.{i}: not attempted" for i in range(1, len(rights(number)) + 1)]
    assert lines(number, nothing)[: len(due)] == due


@pytest.mark.parametrize("number", QUIZZES)
def test_right_answers(number):
    given, numeric = rights(number), [right for right in rights(number) if not right.isalpha()]
    for how in (given, dict(enumerate(given, 1)), [f" {right.upper()}) " for right in given]):
        assert [line.split(": ")[1] for line in lines(number, how)] == [CORRECT] * len(given)
    for right in numeric:
        for value in (float(right), np.float64(right), Fraction(right), torch.tensor(float(right), dtype=torch.double)):
            assert judge(value, right, {"*": "no"}) == CORRECT


@pytest.mark.parametrize(("number", "question", "wrong", "said"), WRONG)
def test_a_wrong_answer_gets_its_remark_and_no_more(number, question, wrong, said):
    right = rights(number)[int(question) - 1]
    for answer in (
        [9.75e9, -1] if wrong == "*" else [wrong, wrong.upper()] + ([] if wrong.isalpha() else [float(wrong)])
    ):
        assert lines(number, {int(question): answer})[int(question) - 1] == f"quiz {number}.{question}: not yet: {said}"
    assert wrong != right and not re.search(rf"(?<![\w.]){re.escape(right)}(?![\w.])", said.replace("a ", ""))


@pytest.mark.parametrize(
    "odd",
    [True, [1], {"b"}, object(), 1j, b"b", torch.ones(3), np.zeros((2, 2)), print, float, 10**400, "z", "3 or 4", -5.5],
)
def test_odd_answers_get_a_sentence(odd):
    numbers = {"*": "no", "3": "three"}
    for right, said, words in (
        ("b", {"a": "no"}, "one of the letters a, b, not"),
        ("4", numbers, "a number is asked for"),
    ):
        verdict = judge(odd, right, said)
        assert words in verdict or (verdict == "no" and odd == -5.5)
        assert len(verdict) < 140
    assert judge(float("nan"), "4", numbers) == judge(float("inf"), "0.8", numbers) == "no"


def test_decimals_are_rounded_and_whole_numbers_are_not():
    assert judge(0.7968, "0.8", {"*": "no"}) == CORRECT and judge(64.2, "64", {"*": "no"}) == "no"


@pytest.mark.parametrize("given", ["b", 3, print])
def test_answers_that_are_no_dict(given):
    first, *rest = lines("03", given)
    assert "answers are a dict such as {1: 'a', 2: 'c'}, not " in first
    assert {line.split(": ")[1] for line in rest} == {NOT_ATTEMPTED}


def test_by_number(capsys):
    check.quiz("03", {9: "a", 1: 4})
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "quiz 03.1: correct" and said[-1] == "quiz 03: there is no question 9, only 1 to 4"
    with pytest.raises(UserError, match="there is no quiz '77'; there are 00, 01"):
        check.quiz("77", {})


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_the_notebook_asks_what_the_table_judges(path):
    """Its choices are the table's letters, its folded answers the right ones, its cell asks for all of them."""
    number, nb = path.name[:2], read(path)
    (at,) = [i for i, cell in enumerate(nb.cells) if "quiz" in tags(cell)]
    asked = nb.cells[at - 1].source.split("## Quiz")[1]
    questions = re.split(r"^\d+\. ", asked, flags=re.M)[1:]
    for i, (right, text) in enumerate(zip(rights(number), questions, strict=True), 1):
        known = sorted({right, *(w for n, q, w, _ in WRONG if (n, q) == (number, str(i)))})
        assert re.findall(r"^   - \*\*(\w)\*\* ", text, re.M) == (known if right.isalpha() else [])
        assert right.isalpha() or (re.search(r"\((a|a whole) number\)|\(one decimal\)", text) and "*" in known)
    assert re.findall(r"^\d+\. \*\*(.+?)\*\*: ", nb.cells[at + 1].source, re.M) == rights(number)
    names = ", ".join(f"{i}: None" for i in range(1, len(questions) + 1))
    assert nb.cells[at].source.startswith(f"my_answers = {{{names}}}") and f'check.quiz("{number}", my_answers)' in nb.cells[at].source  # fmt: skip
