"""What stands behind every exercise: stubs, exceptions, types, messages, names."""

import random

import pytest
import torch

from adapterlab.lessons import check
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED, exercise
from adapterlab.lessons.kit.values import same


def count(width, size):
    return 2 * width * size + width + size


CHECK = exercise("01a", "width, size", count, [(4, 2), (384, 64)], {"2 * width * size": "the two biases are missing"})


def blank(width, size): ...


def documented(width, size):
    """Count."""
    ...


def half_done(width, size):
    biases = ...
    return 2 * width * size + biases


def unfinished(width, size):
    product = width * size  # noqa: F841
    ...


def raises(width, size):
    raise NotImplementedError


class Blank(torch.nn.Module):
    def __init__(self):
        super().__init__()
        ...

    def forward(self, y): ...


@pytest.mark.parametrize("stub", [blank, documented, half_done, raises, None, ..., lambda w, s: ...])
def test_a_stub_is_not_attempted(stub, capsys):
    assert CHECK(stub) is count
    assert capsys.readouterr().out == "exercise 01a: not attempted, using the reference\n"


def test_a_class_with_an_empty_method_is_not_attempted():
    assert exercise("01b", "", Blank, (), {}, lambda cls: "wrong").verdict(Blank) == NOT_ATTEMPTED


def test_a_right_answer_is_returned(capsys):
    def mine(width, size):
        return size + width + size * width * 2
        ...

    assert CHECK(mine) is mine
    assert capsys.readouterr().out == "exercise 01a: correct\n"


def no_return(width, size):
    count(width, size)


def divides(width, size):
    return width / 0


@pytest.mark.parametrize(
    "fn, diagnosis",
    [
        (lambda w, s: 2 * w * s, "the two biases are missing"),
        (lambda w, s: 2 * w * s + w, "for width=4, size=2 it gives 20, expected 22"),
        (unfinished, "it returned None: is a `return` missing?"),
        (no_return, "it returned None: is a `return` missing?"),
        (divides, "it raised ZeroDivisionError: division by zero (in the line `return width / 0`)"),
        (lambda w: w, "it must take the arguments width, size"),
        (lambda w, s: "x", "it gives a string, where a whole number is due"),
    ],
)
def test_a_wrong_answer_is_diagnosed(fn, diagnosis, capsys):
    assert CHECK(fn) is count
    said = capsys.readouterr().out
    assert said.startswith(f"exercise 01a: not yet: {diagnosis}") and said.endswith("; using the reference\n")


def test_a_check_leaves_the_random_generators_alone():
    def draws(cls):
        torch.rand(3), random.random()

    torch.manual_seed(5), random.seed(5)
    want = torch.rand(1), random.random()
    torch.manual_seed(5), random.seed(5)
    assert exercise("x", "width, size", count, (), {}, draws).verdict(count) == CORRECT
    assert (torch.rand(1), random.random()) == want


def test_in_place_answers_return_nothing():
    def freeze(layer):
        layer.requires_grad_(False)

    def frozen(fn):
        layer = torch.nn.Linear(2, 2)
        fn(layer)
        return "the bias is still trained" if layer.bias.requires_grad else None

    ex = exercise("x", "layer", freeze, (), {}, frozen, in_place=True)
    assert ex.verdict(freeze) == CORRECT
    assert ex.verdict(lambda layer: layer.weight.requires_grad_(False)) == "the bias is still trained"


def test_same():
    x = torch.ones(2)
    assert same(x, x + 1e-7) and not same(x, x + 0.01) and not same(x, torch.ones(1)) and not same([1, 1], x)
    assert same((1, 0.1 + 0.2), [1, 0.3]) and not same([1], [1, 2]) and not same({"a": 1}, {"b": 1})
    assert not same("x", 1.0) and same({"a": x}, {"a": x})


def test_an_unknown_check_names_its_neighbour(monkeypatch):
    monkeypatch.setattr(check, "exercises", lambda: {"count_bottleneck": CHECK})
    assert check.count_bottleneck is CHECK
    with pytest.raises(AttributeError, match='no check "count_botleneck"; did you mean "count_bottleneck"'):
        check.count_botleneck  # noqa: B018
