"""Exercises of 11: every common wrong answer has its own message, and the right one passes."""

import pytest
import torch

from adapterlab import check
from adapterlab.methods import KAdapterConfig
from adapterlab.sites import Site


def answer(arguments, body):
    space = {"torch": torch}
    exec(f"def fn({arguments}):\n    " + "\n    ".join(body.split("\n")), space)
    return space["fn"]


LOOP = "k = 0\nfor h, layer in zip(states, layers):\n    "


@pytest.mark.parametrize(
    "body, message",
    [
        (LOOP + "k = layer(h)\nreturn k", "never sees what the ones before"),
        (LOOP + "k = k + layer(h)\nreturn k", "added behind the layer"),
        ("k = states[0]\nfor layer in layers:\n    k = layer(k)\nreturn k", "only the first hidden state"),
        (LOOP + "k = h + layer(h + k)\nreturn k", "own residual connection"),
        (LOOP.replace("zip(states, layers)", "zip(states[::-1], layers[::-1])") + "k = layer(h + k)\nreturn k", "top layer down"),
        (LOOP + "k = layer(h + k)\nreturn h + k", "return k alone"),
        (LOOP + "k = layer(h + k)\n    return k", "inside the loop"),
        (LOOP + "k = layer(h - k)\nreturn k", "expected"),
        (LOOP + "k = layer(h + k)", "`return` missing"),
        ("return ...", "not attempted"),
        (LOOP + "k = layer(h + k)\nreturn k", "correct"),
    ],
)  # fmt: skip
def test_chain(body, message):
    assert message in check.chain.verdict(answer("states, layers", body))


HIDDEN = "scores.masked_fill(mask == 0, -torch.inf)"


@pytest.mark.parametrize(
    "body, message",
    [
        ("scores.softmax(-1)", "mask is not used"),
        ("(scores * mask).softmax(-1)", "exp(0) = 1"),
        ("scores.softmax(-1) * mask", "no longer sum to 1"),
        (f"{HIDDEN}.softmax(0)", "down the columns"),
        ("scores.masked_fill(mask == 1, -torch.inf).softmax(-1)", "1 in the mask is a real token"),
        ("scores.masked_fill((mask == 0)[:, None], -torch.inf).softmax(-1)", "the rows of padding"),
        (HIDDEN, "expected"),
        (f"{HIDDEN}.softmax(-1)", "correct"),
        ("torch.where(mask.bool(), scores.exp(), 0) / torch.where(mask.bool(), scores.exp(), 0).sum(-1, keepdim=True)", "correct"),
        ("torch.softmax(scores + (1 - mask) * -1e9, dim=1)", "correct"),
    ],
)  # fmt: skip
def test_attend(body, message):
    assert message in check.attend.verdict(answer("scores, mask", "return " + body))


INSIDE = "4 * (m * m + m) + m * inner + inner + inner * m + m"


@pytest.mark.parametrize(
    "body, message",
    [
        ("2 * d * m + m + d", "transformer layers are missing"),
        (f"2 * d * m + m + d + depth * ({INSIDE})", "two LayerNorms"),
        (f"2 * d * m + m + d + depth * ({INSIDE} + 4 * m - m * m - m)", "four matrices"),
        ("2 * d * m + depth * (4 * m * m + 2 * m * inner + 4 * m)", "biases are missing"),
        (f"2 * d * m + m + d + {INSIDE} + 4 * m", "depth has no effect"),
        (f"depth * (2 * d * m + m + d + {INSIDE} + 4 * m)", "there once"),
        ("2 * d * d + 2 * d + depth * (4 * d * d + 2 * d * inner + inner + 9 * d)", "m wide, not d"),
        ("d * m", "expected"),
        (f"2 * d * m + m + d + depth * ({INSIDE} + 4 * m)", "correct"),
    ],
)
def test_kadapter_count(body, message):
    assert message in check.kadapter_count.verdict(answer("d, m, inner, depth", "return " + body))


def test_the_count_is_the_modules():
    config, site = KAdapterConfig(size=4, heads=2, inner=6, depth=2), Site("s", "block", 0, "m", "m", 7, 7)
    built = sum(p.numel() for p in config.build(site).parameters())
    assert check.kadapter_count.reference(7, 4, 6, 2) == config.count(site) == built


def test_an_untouched_stub_gets_the_reference(capsys):
    def stub(*arguments): ...

    for checker in (check.chain, check.attend, check.kadapter_count):
        assert checker(stub) is checker.reference
        assert capsys.readouterr().out.strip().endswith("not attempted, using the reference")
