"""Exercises of 06: every common wrong answer has its own message, and the right one passes."""

import pytest
import torch
from torch import nn

from adapterlab import check
from adapterlab.methods import BottleneckConfig, VariantConfig
from adapterlab.sites import Site


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda w, s: nn.init.trunc_normal_(w, std=s), "not at two standard deviations"),
        (lambda w, s: nn.init.normal_(w, std=s), "2 is the limit"),
        (lambda w, s: nn.init.normal_(w, std=s).clamp_(-2 * s, 2 * s), "heaps"),
        (lambda w, s: nn.init.uniform_(w, -2 * s, 2 * s), "spread evenly"),
        (lambda w, s: nn.init.trunc_normal_(w, std=s**0.5, a=-2 * s**0.5, b=2 * s**0.5), "variance"),
        (lambda w, s: nn.init.zeros_(w), "never learns"),
        (lambda w, s: nn.init.trunc_normal_(w.T.contiguous(), std=s, a=-2 * s, b=2 * s), "shape"),
        (lambda w, s: 0.5 * s * torch.randn_like(w), "expected"),
        (lambda w, s: nn.init.trunc_normal_(w, std=s, a=-2 * s, b=2 * s), "correct"),
    ],
)
def test_new_weight(draw, message):
    def answer(rows, columns, std):
        return draw(torch.empty(rows, columns), std)

    assert message in check.new_weight.verdict(answer)


@pytest.mark.parametrize(
    "serial, parallel, multiply, message",
    [
        ("y + f(y)", "y + f(y)", "y + f(y)", "serial whatever"),
        ("y + f(y)", "y + f(x)", "y * f(x)", "wipes the sub-layer out"),
        ("y + f(y)", "y + f(y)", "y * (1 + f(x))", "parallel: f must read x"),
        ("y + f(y)", "y + f(x)", "y * (1 + f(y))", "multiply: f must read x"),
        ("y + f(y)", "x + f(x)", "y * (1 + f(x))", "own output y is lost"),
        ("f(y)", "f(x)", "y * f(x)", "skip is missing"),
        ("y + f(x)", "y + f(x)", "y * (1 + f(x))", "expected"),
        ("y + f(y)", "y + f(x)", "y * (1 + f(x))", "correct"),
    ],
)
def test_place_adapter(serial, parallel, multiply, message):
    space = {}
    exec(
        "def answer(place, x, y, f):\n"
        f"    return {serial} if place == 'serial' else {parallel} if place == 'parallel' else {multiply}",
        space,
    )
    assert message in check.place_adapter.verdict(space["answer"])


ENDS = "2 * width * size + size + width"


@pytest.mark.parametrize(
    "body, message",
    [
        (f"depth * ({ENDS}) + (2 * size * depth if norm else 0)", "width again"),
        (f"{ENDS} + (depth - 1) * size**2 + (2 * size * depth if norm else 0)", "biases too"),
        (f"{ENDS} + (depth - 1) * (size**2 + size) + (2 * size if norm else 0)", "every hidden layer"),
        (f"{ENDS} + (depth - 1) * (size**2 + size) + (size * depth if norm else 0)", "a scale and a shift"),
        (f"{ENDS} + depth * (size**2 + size) + (2 * size * depth if norm else 0)", "with depth 1"),
        (ENDS, "expected"),
        (f"{ENDS} + (depth - 1) * (size**2 + size) + (2 * size * depth if norm else 0)", "correct"),
    ],
)
def test_count_variant(body, message):
    space = {}
    exec(f"def answer(width, size, depth, norm):\n    return {body}", space)
    assert message in check.count_variant.verdict(space["answer"])


def test_the_references_are_what_the_package_builds():
    site = Site("s", "attention", 0, "m", "m", 12, 12)
    for depth, norm in ((1, None), (2, "layer"), (3, "batch")):
        module = VariantConfig(size=5, depth=depth, norm=norm).build(site)
        assert check.count_variant.reference(12, 5, depth, norm is not None) == sum(
            p.numel() for p in module.parameters()
        )
    x, y = torch.randn(2, 3, 12), torch.randn(2, 3, 12)
    for place in ("serial", "parallel", "multiply"):
        module = VariantConfig(size=5, place=place, std=0.5).build(site)

        def f(h, module=module):
            return module.up(module.act(module.down[0](h)))

        torch.testing.assert_close(module(x, y), check.place_adapter.reference(place, x, y, f))
    down = BottleneckConfig(size=300, std=0.3).build(Site("s", "attention", 0, "m", "m", 400, 400)).down.weight
    mine = check.new_weight.reference(300, 400, 0.3)
    assert abs(down.std() / mine.std() - 1).item() < 0.02 and mine.abs().max().item() <= 0.6
