"""What stands behind every exercise: stubs, exceptions, types, messages, names."""

import random

import pytest
import torch

from adapterlab.lessons import check
from adapterlab.lessons.kit.attempt import OWN
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED, exercise
from adapterlab.lessons.kit.values import same


def count(width, size):
    return 2 * width * size + width + size


CHECK = exercise("01a", "width, size", count, [(4, 2), (384, 64)], "2 * width * size  # the two biases are missing")


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
    assert exercise("01b", "", Blank, (), "", lambda cls: "wrong").verdict(Blank) == NOT_ATTEMPTED


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
    ("fn", "diagnosis"),
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
    assert exercise("x", "width, size", count, (), "", draws).verdict(count) == CORRECT
    assert (torch.rand(1), random.random()) == want


def test_in_place_answers_return_nothing():
    def freeze(layer):
        layer.requires_grad_(False)

    def frozen(fn):
        layer = torch.nn.Linear(2, 2)
        fn(layer)
        return "the bias is still trained" if layer.bias.requires_grad else None

    ex = exercise("x", "layer", freeze, (), "", frozen, in_place=True)
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


def summed(a, b):
    return a + b


ADD = exercise("x", "a, b", summed, [(torch.ones(3), torch.arange(3.0))], gradients=True)


@pytest.mark.parametrize(
    ("fn", "words"),
    [
        (lambda a, b: a.detach() + b, "no gradient reaches a"),
        (lambda a, b: (a + b).detach(), "no gradient reaches a"),
        (lambda a, b: a + 2 * b - b.detach(), "the gradient of b is not"),
        (lambda a, b: a.add_(b), "it changes a in place"),
        (lambda a, b: (a + b).numpy(), "a numpy array, where a tensor is due: stay in torch"),
        (lambda a, b: [a, b], "a list, where a tensor is due (it holds 2)"),
        (lambda a, b: (a + b,), "a comma at the end of the line"),
        (lambda a, b: (x for x in a + b), "a generator, where a tensor is due"),
        (lambda a, b: (a + b).long(), "its numbers are int64, where float32 is due"),
        (lambda a, b: (a + b)[None], "it gives the shape (1, 3), expected (3,)"),
        (lambda a, b: a + b + 1, "for a of shape (3,), b of shape (3,) it gives 2, 3, 4, expected 1, 2, 3"),
        (lambda a, b: (a + b).double(), CORRECT),
        (summed(1, 2), "this is 3, where the function itself is due"),
    ],
)
def test_type_gradient_and_shape_are_seen(fn, words):
    assert words in ADD.verdict(fn)


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("changed_tensors", lambda b, a: set(b) ^ set(a), "a set has no order"),
        ("warmup_then_decay", lambda s, t: 0.5, "for step=0, total=100 it gives 0.5, expected 0.1"),
        ("attend", lambda scores, mask: (mask == 0).softmax(-1), "it raised NotImplementedError"),
        ("one_line", lambda name, x, y, w: y.mul_(2), "it changes y in place"),
        ("evaluate_setup", lambda setup, methods, x, y: y.add_(1), "it changes y in place"),
        ("lora_merge", lambda W, A, B, scale: print(scale), "is a `return` missing?"),
    ],
)
def test_what_readers_met(name, answer, words):
    assert words in check.exercises()[name].verdict(answer)


def test_a_tuple_that_is_no_tuple_is_told_how_to_become_one():
    flags = exercise("x", "depth", "tuple(i > 0 for i in range(depth))", [(3,), (5,)], "")
    assert "put tuple(...) around it" in flags.verdict(lambda depth: (i > 0 for i in range(depth)))
    assert "tuple(x.tolist()) makes one" in flags.verdict(lambda depth: torch.ones(depth))


def test_the_checks_own_exception_is_not_the_learners():
    check_itself = eval(compile("lambda fn: [][0]", OWN, "eval"))
    verdict = exercise("x", "width, size", count, (), "", check_itself).verdict(count)
    assert verdict.startswith("the check cannot work with what it gives (IndexError)")


def test_a_case_may_make_a_wrong_answer_raise():
    inverse = exercise("x", "n", "1 / n if n else 0.0", [(2,), (0,)], "2 / n  # twice too large")
    assert inverse.verdict(lambda n: 2 / n) == "twice too large"
    assert inverse.verdict(lambda n: 1 / n).startswith("for n=0 it raised ZeroDivisionError")
