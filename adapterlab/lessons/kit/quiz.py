"""A quiz is a table too: its right answers in their order, and below them what each wrong one is told.

    QUIZ = '''b 64
        1 a   # no copy of the model fits into an adapter's file
        1 c   # a head is too small for that
        2 85  # that is BERT-Large
        2 *   # divide the width by the factor
    '''

It stands in the lesson's exercises.py; the questions and the letters' meanings in the notebook, above a cell tagged
"quiz" with `my_answers = {1: None, 2: None}` and `check.quiz("03", my_answers)`. A letter that is neither right nor in
the table is none of the choices; `*` is any other number. A remark says what is wrong and never what is right.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from .exercise import CORRECT, NOT_ATTEMPTED, table
from .values import short


def verdicts(number: str, quiz: str, answers: Any) -> Iterator[str]:
    """A line for every question, whatever the answers are: "quiz 03.1: correct", "not attempted" or "not yet: why"."""
    first, _, rest = quiz.partition("\n")
    rights, remarks = first.split(), {tuple(code.split()): said for code, said in table(rest)}
    if isinstance(answers, list | tuple):
        answers = dict(enumerate(answers, start=1))
    if not isinstance(answers, Mapping | None):
        yield f"quiz {number}: answers are a dict such as {{1: 'a', 2: 'c'}}, not {short(answers)}"
    given = {str(key).strip(): value for key, value in answers.items()} if isinstance(answers, Mapping) else {}
    for i, right in enumerate(rights, start=1):
        said = {wrong: remark for (question, wrong), remark in remarks.items() if question == str(i)}
        verdict = judge(given.pop(str(i), None), right, said)
        yield f"quiz {number}.{i}: " + (verdict if verdict in (CORRECT, NOT_ATTEMPTED) else f"not yet: {verdict}")
    for key in given:
        yield f"quiz {number}: there is no question {key}, only 1 to {len(rights)}"


def judge(answer: Any, right: str, said: Mapping[str, str]) -> str:
    """ "correct", "not attempted" or what is wrong with one answer; said: wrong answer -> remark."""
    if isinstance(answer, str):
        answer = answer.strip(" \t\n().:").lower()
    if answer is None or answer is Ellipsis or (isinstance(answer, str) and not answer):
        return NOT_ATTEMPTED
    if right.isalpha():
        choices = {**said, right: CORRECT}
        unknown = f"answer with one of the letters {', '.join(sorted(choices))}, not {short(answer)}"
        return choices.get(answer, unknown) if isinstance(answer, str) else unknown
    try:
        value = float(answer if not isinstance(answer, bool) else "")
    except Exception:  # whatever the object says of itself
        return f"a number is asked for, not {short(answer)}"
    decimals = len(right.partition(".")[2])
    if (round(value, decimals) if decimals and abs(value) < 1e9 else value) == float(right):
        return CORRECT
    return next((remark for wrong, remark in said.items() if wrong != "*" and float(wrong) == value), said["*"])
