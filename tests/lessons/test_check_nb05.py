"""Every common wrong answer of 05_ablation gets its own message; right ones in other words pass."""

import pytest

from adapterlab import check
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED
from adapterlab.studies import spans as ablation


def left_out(p, q=1):
    return sum(map(len, p)), len({tuple(x[:k]) for x in p for k in range(q, len(x) + 1)})


WRONG = {
    "span_mask": [
        (lambda d, a, b: [a <= i <= b for i in range(d)], "True must mean that they stay"),
        (lambda d, a, b: [i not in range(a, b) for i in range(d)], "last layer of the span keeps"),
        (lambda d, a, b: [i <= a or i > b for i in range(d)], "first layer of the span keeps"),
        (lambda d, a, b: [i != a and i != b for i in range(d)], "only the two ends"),
        (lambda d, a, b: [True] * d, "for 6, 1, 3 it gives"),
    ],
    "layer_evaluations": [
        (lambda p: (len(p), left_out(p)[1]), "counts patterns"),
        (lambda p: (sum(map(len, p)), sum(map(len, p))), "nothing is shared"),
        (lambda p: left_out(p, 0), "one too many"),
        (lambda p: (left_out(p)[0], left_out([x[:-1] for x in p])[1]), "last layer is not counted"),
        (lambda p: tuple(reversed(left_out(p))), "change places"),
        (lambda p: (0, 0), "expected"),
    ],
}
RIGHT = {"span_mask": lambda d, a, b: [i < a or i > b for i in range(d)], "layer_evaluations": left_out}


@pytest.mark.parametrize("name, answer, words", [(n, *w) for n, ws in WRONG.items() for w in ws])
def test_a_wrong_answer_is_diagnosed(name, answer, words):
    assert words in getattr(check, name).verdict(answer)


def test_sharing_the_trunk_alone_is_diagnosed():
    """Every span starts from the output of the layer below it, and shares nothing more."""

    def trunk(patterns):
        depth = len(patterns[0])
        return len(patterns) * depth, depth + sum(depth - p.index(False) for p in patterns if not all(p))

    ex = check.layer_evaluations
    assert "spans that begin at the same layer" in ex.verdict(trunk)


@pytest.mark.parametrize("name", RIGHT)
def test_right_answers_and_stubs(name):
    assert getattr(check, name).verdict(RIGHT[name]) == CORRECT
    assert getattr(check, name).verdict(getattr(check, name).reference) == CORRECT

    def stub(*a): ...

    assert getattr(check, name).verdict(stub) == NOT_ATTEMPTED


@pytest.mark.parametrize("depth", [1, 6, 12])
def test_the_references_agree_with_the_engine(depth):
    keep = check.span_mask.reference
    spans = ablation.all_spans(depth)
    for first, last in spans:
        assert ablation.span_pattern(depth, first, last)[::2] == keep(depth, first, last)
    patterns = [(True,) * depth, *(keep(depth, *span) for span in spans)]
    assert check.layer_evaluations.reference(patterns) == ablation.layer_evaluations(depth)
