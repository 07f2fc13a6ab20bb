"""Exercises of 14: every common wrong answer has its own message, and the right one passes."""

import pytest
import torch

from adapterlab import check

LARGEST = "w.abs().max(dim=1, keepdim=True).values"


@pytest.mark.parametrize(
    "scale, codes, message",
    [
        ("w.abs().max() / 127 * torch.ones(len(w), 1)", "(w / scale).round().to(torch.int8)", "whole matrix"),
        (f"{LARGEST} / 127", "(w / scale).to(torch.int8)", "cut off instead of rounded"),
        (f"{LARGEST} / 128", "(w / scale).round().to(torch.int8)", "which int8 does not have"),
        ("w.max(dim=1, keepdim=True).values / 127", "(w / scale).round().to(torch.int8)", "is negative"),
        (f"{LARGEST} / 127", "(w / scale).round()", "still floats"),
        (f"{LARGEST} / 100", "(w / scale).round().to(torch.int8)", "expected"),
        (f"{LARGEST} / 127", "(w / scale).round().to(torch.int8)", "correct"),
    ],
)
def test_int8_rows(scale, codes, message):
    space = {"torch": torch}
    exec(f"def answer(w):\n    scale = {scale}\n    return {codes}, scale", space)
    assert message in check.int8_rows.verdict(space["answer"])


TABLE = "((block / block.abs().max())[:, None] - levels)"


@pytest.mark.parametrize(
    "codes, message",
    [
        ("(block[:, None] - levels).abs().argmin(dim=1)", "not divided by"),
        (f"levels[{TABLE}.abs().argmin(dim=1)]", "their *index*"),
        (f"{TABLE}.argmin(dim=1)", "take .abs()"),
        ("torch.searchsorted(levels, block / block.abs().max())", "next level above"),
        (f"{TABLE}.abs().argmax(dim=1)", "expected"),
        (f"{TABLE}.abs().argmin(dim=1)", "correct"),
    ],
)
def test_nearest_level(codes, message):
    space = {"torch": torch}
    exec(f"def answer(block, levels):\n    return {codes}, block.abs().max()", space)
    assert message in check.nearest_level.verdict(space["answer"])


@pytest.mark.parametrize(
    "answer, message",
    [
        (lambda block, double: 4, "scales cost something"),
        (lambda block, double: 4 + 32 / block, "no effect"),
        (lambda block, double: 4 + (8 if double else 32) / block, "scales themselves"),
        (lambda block, double: 4 + (8 / block + 32 / 256 if double else 32 / block), "share those 32 bits"),
        (lambda block, double: 8, "expected"),
        (lambda block, double: 4 + (8 / block + 32 / (256 * block) if double else 32 / block), "correct"),
    ],
)
def test_bits_per_weight(answer, message):
    assert message in check.bits_per_weight.verdict(answer)


def test_the_reference_packs_as_bitsandbytes_does():
    functional = pytest.importorskip("bitsandbytes").functional
    w = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    packed, state = functional.quantize_4bit(w, quant_type="nf4", compress_statistics=False, blocksize=64)
    levels = functional.get_4bit_type("nf4", device="cpu")
    ours = torch.stack([levels[c] * a for c, a in (check.nearest_level.reference(row, levels) for row in w)])
    torch.testing.assert_close(functional.dequantize_4bit(packed, state), ours, rtol=1e-6, atol=1e-6)
