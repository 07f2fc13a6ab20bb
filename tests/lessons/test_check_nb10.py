"""Exercises of 10: every common wrong answer has its own message, and the right one passes."""

import pytest
import torch
from torch import nn

from adapterlab import check
from adapterlab.methods import LoRAConfig
from adapterlab.sites import Site


def answer(arguments, body):
    space = {"torch": torch}
    lines = "\n    ".join(body.split("; "))
    exec(f"def answer({arguments}):\n    {lines}", space)
    return space["answer"]


@pytest.mark.parametrize(
    "body, message",
    [
        ("return y + alpha / len(A) * x @ B.T @ A.T", "x meets B first"),
        ("return y + alpha / len(A) * x @ A @ B", "not transposed"),
        ("return x + alpha / len(A) * x @ A.T @ B.T", "adds to x"),
        ("return alpha / len(A) * x @ A.T @ B.T", "output y is missing"),
        ("return y + x @ A.T @ B.T", "alpha / r is missing"),
        ("return y + alpha * x @ A.T @ B.T", "must be divided by r"),
        ("return y + alpha / len(A) ** 0.5 * x @ A.T @ B.T", "rank-stabilised"),
        ("return y + len(A) / alpha * x @ A.T @ B.T", "upside down"),
        ("return y + alpha / A.shape[1] * x @ A.T @ B.T", "the width of x"),
        ("return y + alpha / B.shape[0] * x @ A.T @ B.T", "the width of y"),
        ("return alpha / len(A) * (y + x @ A.T @ B.T)", "y is scaled too"),
        ("y += alpha / len(A) * x @ A.T @ B.T; return y", "in place"),
        ("return y - alpha / len(A) * x @ A.T @ B.T", "expected"),
        ("return (y + alpha / len(A) * x @ A.T @ B.T).T", "expected"),
        ("return y + A @ x", "it raised RuntimeError"),
        ("z = y + alpha / len(A) * x @ A.T @ B.T", "`return` missing"),
        ("return ...", "not attempted"),
        ("return y + alpha / len(A) * x @ A.T @ B.T", "correct"),
        ("return y + torch.nn.functional.linear(x, B @ A) * alpha / B.shape[1]", "correct"),
    ],
)
def test_lora_forward(body, message):
    assert message in check.lora_forward.verdict(answer("x, y, A, B, alpha", body))


@pytest.mark.parametrize(
    "body, message",
    [
        ("return sum(rank * o * i for o, i in shapes)", "r whole matrices"),
        ("return sum(o * i for o, i in shapes)", "W itself"),
        ("return sum(2 * rank * o for o, i in shapes)", "2 r outputs"),
        ("return sum(2 * rank * i for o, i in shapes)", "2 r inputs"),
        ("return sum(rank * o for o, i in shapes)", "A is missing"),
        ("return sum(rank * i for o, i in shapes)", "B is missing"),
        ("return sum(rank * (o + i) + o for o, i in shapes)", "no bias"),
        ("return sum(o * i + rank * (o + i) for o, i in shapes)", "not trained"),
        ("return rank * sum(shapes[0])", "only the first"),
        ("return 7", "expected"),
        ("return rank * sum(map(sum, shapes))", "correct"),
    ],
)
def test_lora_count(body, message):
    assert message in check.lora_count.verdict(answer("rank, shapes", body))


@pytest.mark.parametrize(
    "body, message",
    [
        ("return W + scale * A @ B", "x meets A first"),
        ("return W + scale * (B @ A).T", "transposed"),
        ("return W + scale * A.T @ B.T", "transposed"),
        ("return scale * B @ A", "W is missing"),
        ("return W + B @ A", "scale is missing"),
        ("return W - scale * B @ A", "subtracts"),
        ("return scale * (W + B @ A)", "W is scaled too"),
        ("W += scale * B @ A; return W", "changes W itself"),
        ("return W + scale * scale * B @ A", "expected"),
        ("return W + scale * B @ A", "correct"),
        ("return torch.addmm(W, B, A, alpha=scale)", "correct"),
    ],
)
def test_lora_merge(body, message):
    assert message in check.lora_merge.verdict(answer("W, A, B, scale", body))


def test_an_untouched_stub_gets_the_reference(capsys):
    def stub(*arguments): ...

    for checker in (check.lora_forward, check.lora_count, check.lora_merge):
        assert checker(stub) is checker.reference
        assert capsys.readouterr().out.strip().endswith("not attempted, using the reference")


def test_the_references_are_what_the_package_builds():
    site = Site("s", "query", 0, "m", "m", 7, 5, form="linear")
    config = LoRAConfig(rank=3, alpha=6)
    module, frozen, x = config.build(site), nn.Linear(5, 7), torch.randn(2, 4, 5)
    nn.init.normal_(module.B)
    with torch.no_grad():
        y, A, B = frozen(x), module.A, module.B
        torch.testing.assert_close(check.lora_forward.reference(x, y, A, B, 6), module(x, y))
        merged = check.lora_merge.reference(frozen.weight, A, B, module.scale)
        torch.testing.assert_close(nn.functional.linear(x, merged, frozen.bias), module(x, y))
    assert check.lora_count.reference(3, [(7, 5)]) == sum(p.numel() for p in module.parameters())
