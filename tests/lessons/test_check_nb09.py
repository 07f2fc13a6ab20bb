"""Exercises of 09: every common wrong answer has its own message, and the right one passes."""

import pytest
import torch

from adapterlab import check
from adapterlab.methods import BottleneckConfig, IA3Config, LoRAConfig, ParallelConfig, PrefixTuningConfig, Shift
from adapterlab.sites import Site

RIGHT = {
    "bitfit": "y + w['delta']",
    "ia3": "y * w['l']",
    "lora": "y + w['s'] * x @ w['A'].T @ w['B'].T",
    "parallel": "y + w['s'] * torch.relu(x @ w['down'].T) @ w['up'].T",
}


@pytest.mark.parametrize(
    "name, line, message",
    [
        (None, "", "correct"),
        ("all", "y", "y comes back unchanged"),
        ("bitfit", "y * w['delta']", "bitfit: a bias is added"),
        ("ia3", "y + w['l']", "not added to it"),
        ("ia3", "x * w['l']", "not x"),
        ("ia3", "y * (1 + w['l'])", "double y"),
        ("lora", "w['s'] * x @ w['A'].T @ w['B'].T", "lora: the frozen output y is missing"),
        ("lora", "y + w['s'] * y @ w['A'].T @ w['B'].T", "lora: it must read x"),
        ("lora", "y + x @ w['A'].T @ w['B'].T", "lora: the scale s is missing"),
        ("lora", "w['s'] * (y + x @ w['A'].T @ w['B'].T)", "lora: s scales the change alone"),
        ("lora", "y + w['s'] * torch.relu(x @ w['A'].T) @ w['B'].T", "no activation"),
        ("lora", "y + w['s'] * x @ w['A'] @ w['B']", "it raised RuntimeError"),
        ("parallel", "w['s'] * torch.relu(x @ w['down'].T) @ w['up'].T", "parallel: the frozen output y"),
        ("parallel", "y + w['s'] * torch.relu(y @ w['down'].T) @ w['up'].T", "parallel: it must read x"),
        ("parallel", "y + torch.relu(x @ w['down'].T) @ w['up'].T", "parallel: the scale s is missing"),
        ("parallel", "y + w['s'] * x @ w['down'].T @ w['up'].T", "so it is LoRA"),
        ("parallel", "y + w['s'] * torch.relu(x @ w['down'].T @ w['up'].T)", "between down and up"),
        ("parallel", "y + 2 * w['s'] * torch.relu(x @ w['down'].T) @ w['up'].T", "expected"),
    ],
)
def test_one_line(name, line, message):
    lines = {key: line if name in (key, "all") else right for key, right in RIGHT.items()}
    space = {"torch": torch}
    body = "".join(f"    if name == {key!r}:\n        return {value}\n" for key, value in lines.items())
    exec(f"def answer(name, x, y, w):\n{body}", space)
    assert message in check.one_line.verdict(space["answer"])


ZERO, A, B = "torch.zeros(width)", "torch.randn(width)", "torch.randn(width)"


@pytest.mark.parametrize(
    "test, message",
    [
        ("torch.allclose(f(a + b) + f(zero), f(a) + f(b), atol=1e-4)", "correct"),
        ("torch.allclose((f(a) + f(b)) / 2, f((a + b) / 2), atol=1e-4)", "correct"),
        ("True", "True of every function"),
        ("bool((f(a + b) + f(zero) == f(a) + f(b)).all()) and False", "False of every function: compare"),
        ("torch.allclose(f(a + b), f(a) + f(b), atol=1e-4)", "W x + b is affine too"),
        ("torch.allclose(f(3 * a) - f(zero), 3 * (f(a) - f(zero)), atol=1e-4)", "relu without a bias passes"),
        ("torch.allclose(f(-a) - f(zero), f(zero) - f(a), atol=1e-4)", "a cube passes"),
        ("torch.allclose(f(zero), zero)", "W x + b is affine too"),
        ("not torch.allclose(f(a).abs(), a.abs())", "relu is not affine, and your test says otherwise"),
        ("f(a)[0] * 0 + 7.0 if False else 'yes'", "True or False"),
    ],
)
def test_is_affine(test, message):
    space = {"torch": torch}
    exec(f"def answer(f, width):\n    a, b, zero = {A}, {B}, {ZERO}\n    return {test}", space)
    assert message in check.is_affine.verdict(space["answer"])


@pytest.mark.parametrize(
    "bottleneck, other, message",
    [
        ("(budget // sites - d) // (2 * d + 1)", "budget // sites // (2 * d)", "correct"),
        ("(budget - d) // (2 * d + 1)", "budget // (2 * d)", "whole model"),
        ("(budget // sites - d) // (2 * d + 1) + 1", "budget // sites // (2 * d) + 1", "rounds up"),
        ("(budget / sites - d) / (2 * d + 1)", "budget / sites / (2 * d)", "round down"),
        ("budget // sites // (2 * d)", "budget // sites // (2 * d)", "two biases"),
        ("budget // sites // (2 * d + 1)", "budget // sites // (2 * d)", "comes off the budget first"),
        ("(budget // sites - d) // (2 * d + 1)", "budget // sites // d", "keys and values"),
        ("(budget // sites - d) // (2 * d + 1)", "budget // sites // d ** 2", "not d·d"),
        ("(budget // sites - d) // (2 * d + 1)", "budget // sites // (3 * d)", "expected"),
    ],
)
def test_same_budget(bottleneck, other, message):
    space = {}
    exec(
        f"def answer(method, budget, sites, d):\n    return {bottleneck} if method == 'bottleneck' else {other}", space
    )
    assert message in check.same_budget.verdict(space["answer"])


def test_the_references_are_what_the_package_builds():
    site = Site("s", "feedforward", 0, "m", "m", 12, 12, form="sublayer")
    x, y = torch.randn(2, 3, 12), torch.randn(2, 3, 12)
    made = {
        "lora": LoRAConfig(rank=3, alpha=6).build(site),
        "parallel": ParallelConfig(size=3).build(site),
        "ia3": IA3Config().build(site),
        "bitfit": Shift(12),
    }
    for module in made.values():
        for p in module.parameters():
            torch.nn.init.normal_(p)
    torch.nn.init.zeros_(made["parallel"].down.bias), torch.nn.init.zeros_(made["parallel"].up.bias)
    weights = {
        "lora": {"A": made["lora"].A, "B": made["lora"].B, "s": 2.0},
        "parallel": {"down": made["parallel"].down.weight, "up": made["parallel"].up.weight, "s": 4.0},
        "ia3": {"l": made["ia3"].scale},
        "bitfit": {"delta": made["bitfit"].delta},
    }
    for name, module in made.items():
        torch.testing.assert_close(module(x, y), check.one_line.reference(name, x, y, weights[name]))
    for name, config, knob in (
        ("bottleneck", BottleneckConfig, "size"),
        ("lora", LoRAConfig, "rank"),
        ("prefix_tuning", lambda length: PrefixTuningConfig(length=length, hidden=0), "length"),
    ):
        found = check.same_budget.reference(name, 5_000, 10, 12)
        cost = [10 * config(**{knob: n}).count(site) for n in (found, found + 1)]
        assert cost[0] <= 5_000 < cost[1], name
