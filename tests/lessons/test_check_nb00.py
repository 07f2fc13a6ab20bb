"""Every common wrong answer to the exercises of 00 gets its own message."""

import math

import pytest

from adapterlab import check

FIT = {
    "fraction": (lambda c, a: c / a, "fraction"),
    "upside down": (lambda c, a: a / c, "wrong way round"),
    "upside down, whole": (lambda c, a: a // c, "wrong way round"),
    "rounded": (lambda c, a: round(c / a), "nearly fits"),
    "rounded up": (lambda c, a: math.ceil(c / a), "does not fit any more"),
    "subtracted": (lambda c, a: c - a, "divide, do not subtract"),
    "something else": (lambda c, a: 7, "expected 3"),
    "raises": (lambda c, a: c / 0, "ZeroDivisionError"),
}
TIMES = {
    "percent": (lambda n, p: 1 + n * p, "hundredths"),
    "no base": (lambda n, p: n * p / 100, "base itself is missing"),
    "one task": (lambda n, p: 1 + p / 100, "that is one task"),
    "copies": (lambda n, p: n, "full copy"),
    "base for each": (lambda n, p: n * (1 + p / 100), "pays for the base again"),
    "compound": (lambda n, p: (1 + p / 100) ** n, "add up"),
    "something else": (lambda n, p: 0.0, "expected 1.324"),
}


@pytest.mark.parametrize("case", FIT)
def test_adapters_in_one_copy(case):
    wrong, message = FIT[case]
    assert message in check.adapters_in_one_copy.verdict(wrong)


@pytest.mark.parametrize("case", TIMES)
def test_times_the_base(case):
    wrong, message = TIMES[case]
    assert message in check.times_the_base.verdict(wrong)


def test_right_and_blank(capsys):
    def fit(copy_bytes, adapter_bytes):
        return math.floor(copy_bytes / adapter_bytes)

    def times(tasks, percent):
        """Nothing yet."""
        ...

    assert check.adapters_in_one_copy(fit) is fit
    assert check.times_the_base(times)(9, 3.6) == pytest.approx(1.324)
    assert capsys.readouterr().out == ("exercise 00a: correct\nexercise 00b: not attempted, using the reference\n")
    assert check.times_the_base.verdict(lambda n, p: (100 + n * p) / 100) == "correct"
