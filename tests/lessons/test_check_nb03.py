"""Exercises of 03: every common wrong answer has its own diagnosis, the right one passes."""

import math

import pytest

from adapterlab import check


def verdict(exercise, arguments, body):
    space = {"math": math}
    exec(f"def answer({arguments}):\n    return {body}", space)
    return exercise.verdict(space["answer"])


RECIPE = "layers * 2 * (2 * d * m + d + m) + (2 * layers + 1) * 2 * d"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (RECIPE, "correct"),
        ("layers * (2 * d * m + d + m) + (2 * layers + 1) * 2 * d", "one adapter a layer"),
        ("layers * 2 * (2 * d * m + d + m)", "the LayerNorms are missing"),
        ("layers * 2 * (2 * d * m + d + m) + 2 * layers * 2 * d", "LayerNorm of the embeddings is missing"),
        ("layers * 2 * (2 * d * m + d + m) + (2 * layers + 1) * d", "a scale and a shift"),
        ("layers * 2 * (2 * d * m + d + m) + (layers + 1) * 2 * d", "one LayerNorm a layer"),
        ("layers * 2 * (2 * d * m) + (2 * layers + 1) * 2 * d", "biases are missing"),
        ("layers * (2 * (2 * d * m + d + m) + 3 * 2 * d)", "counted once a layer"),
        ("layers * 2 * d * m", "expected 605184"),
        ("d / 0", "ZeroDivisionError"),
        ("...", "not attempted"),
    ],
)
def test_count_recipe(body, message):
    assert message in verdict(check.count_recipe, "d, m, layers", body)


LARGEST = "math.floor((percent / 100 * base / sites - d) / (2 * d + 1))"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (LARGEST, "correct"),
        ("int((percent * base / 100 - sites * d) // (sites * (2 * d + 1)))", "correct"),
        ("(percent / 100 * base / sites - d) / (2 * d + 1)", "round down"),
        ("math.ceil((percent / 100 * base / sites - d) / (2 * d + 1))", "rounds up"),
        ("math.floor((percent * base / sites - d) / (2 * d + 1))", "divide by 100"),
        ("math.floor((percent / 100 * base - d) / (2 * d + 1))", "at one site"),
        ("math.floor(percent / 100 * base / sites / (2 * d))", "the biases are not paid for"),
        ("math.floor(percent / 100 * base / sites / (2 * d + 1))", "the bias of up"),
        ("64", "expected"),
    ],
)
def test_largest_size(body, message):
    assert message in verdict(check.size_for_budget, "d, sites, base, percent", body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("max(1, int(width // factor))", "correct"),
        ("width * factor", "it multiplies"),
        ("factor / width", "wrong way round"),
        ("width / factor", "whole number"),
        ("int(width // factor)", "at least 1"),
        ("max(1, math.ceil(width / factor))", "rounds up"),
        ("max(1, width // factor) if factor >= 1 else width", "below 1"),
        ("max(1, round(width / factor))", "nearest"),
        ("48", "expected"),
    ],
)
def test_size_from_factor(body, message):
    assert message in verdict(check.size_from_factor, "width, factor", body)


def test_the_reference_is_the_package():
    """The exercise's closed form is what the real recipe counts on BERT."""
    from adapterlab.methods import houlsby
    from adapterlab.studies.count import count

    for name, d, layers in (("minilm", 384, 6), ("bert-base", 768, 12), ("bert-large", 1024, 24)):
        assert check.count_recipe.reference(d, 64, layers) == count(name, houlsby(64))["adapter"]
