"""Every common wrong answer of 13_life_cycle_and_sharing gets its own message; right ones in other words pass."""

import pytest
import torch

from adapterlab import check
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED


def differ(names, b, a, equal=torch.equal):
    return sorted(n for n in names if n not in b or n not in a or not equal(b[n], a[n]))


WRONG = {
    "changed_tensors": [
        (lambda b, a: differ(set(b) & set(a), b, a, torch.allclose), "allclose has a tolerance"),
        (lambda b, a: differ(set(b) | set(a), b, a, torch.allclose), "allclose has a tolerance"),
        (lambda b, a: [n for n in b if n in a and torch.equal(b[n], a[n])], "those that changed are asked for"),
        (lambda b, a: differ(set(b) & set(a), b, a), "only in one of the two"),
        (lambda b, a: differ(b, b, a), "new in `after`"),
        (lambda b, a: [], "allclose has a tolerance|expected"),
    ],
    "serving_megabytes": [
        (lambda b, a, n: (n * b / 1e6, (b + n * a) / 1e6), "takes 4 bytes"),
        (lambda b, a, n: (n * b / 2**18, (b + n * a) / 2**18), "MiB"),
        (lambda b, a, n: (4e-6 * n * b, 4e-6 * n * (b + a)), "it is there once"),
        (lambda b, a, n: (4e-6 * n * b, 4e-6 * n * a), "lacks the base"),
        (lambda b, a, n: (4e-6 * (b + n * a), 4e-6 * n * b), "change places"),
        (lambda b, a, n: (0, 0), "expected"),
    ],
    "safe_archive": [
        (lambda e, k, m: all(n.split("/")[-1] in k for n, _, _ in e), "whole name"),
        (lambda e, k, m: not any(".." in n for n, _, _ in e), '"run.sh" passes'),
        (lambda e, k, m: all(n in k for n, _, _ in e), "a link passes"),
        (lambda e, k, m: all(n in k and not link for n, _, link in e), "above the limit"),
        (lambda e, k, m: all(n in k and not link and s <= m for n, s, link in e), "the sum counts"),
        (lambda e, k, m: all(n in k and not q for n, _, q in e) and sum(s for _, s, _ in e) <= m, "twice"),
        (lambda e, k, m: False, "expected True"),
    ],
}
RIGHT = {
    "changed_tensors": lambda b, a: differ(set(b) | set(a), b, a),
    "serving_megabytes": lambda b, a, n: [n * b * 4e-6, b * 4e-6 + n * a * 4e-6],
    "safe_archive": lambda e, k, m: (
        len({n for n, _, q in e if n in k and not q}) == len(e) and sum(s for _, s, _ in e) <= m
    ),
}


@pytest.mark.parametrize("name, answer, words", [(n, *w) for n, ws in WRONG.items() for w in ws])
def test_a_wrong_answer_is_diagnosed(name, answer, words):
    said = getattr(check, name).verdict(answer)
    assert said != CORRECT and any(word in said for word in words.split("|")), said


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_and_stubs(name):
    assert getattr(check, name).verdict(RIGHT[name]) == CORRECT
    assert getattr(check, name).verdict(getattr(check, name).reference) == CORRECT

    def stub(*a): ...

    assert getattr(check, name).verdict(stub) == NOT_ATTEMPTED
