"""A slip in a right answer is seen: every small change of the notebooks' solutions is refused, in one short clause."""

import ast
import hashlib
import math
import re
import string
from collections import Counter

import pytest
import torch
from mutants import mutants
from safetensors.torch import load, save
from torch import nn
from torch.nn import functional as F

import notebooks
from adapterlab.compose import Average, Stack
from adapterlab.lessons import check
from adapterlab.tasks.questions import normalise

EXERCISES = {exercise.ident: exercise for exercise in check.exercises().values()}
SPACE = {
    "torch": torch, "nn": nn, "F": F, "math": math, "re": re, "string": string, "Counter": Counter, "check": check,
    "normalise": normalise, "Stack": Stack, "Average": Average, "hashlib": hashlib, "load": load, "save": save,
}  # fmt: skip
#: Changed lines that are as right as the solution's own. Anything else that is accepted wants one more case.
EQUIVALENT = {
    "00a": [  # within the tolerance
        f"return (tasks * model_bytes / {a}, (model_bytes + tasks * adapter_bytes) / {b})"
        for a, b in ((1000001.0, 1e6), (999999.0, 1e6), (1e6, 1000001.0), (1e6, 999999.0))
    ],
    "00b": ["return 100 * (logits.argmax(dim=1) == labels).float().mean()"],  # a tensor counts as a number
    "01a": ["def __init__(self, width, size, std=1.01):"],  # the argument is always given
    "02a": ["return (total - step) / max(0, total - rise)"],  # no step is left to decay when total is rise
    "02b": ["losses.append(value)"],
    "03b": [  # d is whole, and 22.0 counts as 22
        "cost = percent / 100 * base // sites",
        "return (cost - d) // (2 * d + 1)",
        "return int((cost - d) / (2 * d + 1))",
    ],
    "03c": ["return max(1, width // factor)", "return max(1, int(width / factor))"],
    "08b": ["return max(pairs, key=lambda pair: start[pair[0]] + end[pair[1]])"],
    "09b": [  # of two dimensions the last is 1
        "gate = prefix.exp().sum(1, keepdim=True)",
        "gate = gate / (gate + text.exp().sum(1, keepdim=True))",
        "text, prefix = (q @ K.T / q.shape[1] ** 0.5, q @ P_k.T / q.shape[-1] ** 0.5)",
        "text, prefix = (q @ K.T / q.shape[-1] ** 0.5, q @ P_k.T / q.shape[1] ** 0.5)",
        "return (gate, (1 - gate) * text.softmax(1) @ V + gate * prefix.softmax(-1) @ P_v)",
        "return (gate, (1 - gate) * text.softmax(-1) @ V + gate * prefix.softmax(1) @ P_v)",
    ],
    "10b": ["gradient = g.T @ (x @ A.T)", "B = -lr / gradient.sign()"],  # the sign is the same, and its own inverse
    "11c": ["return scores.masked_fill(mask == 0, -torch.inf).softmax(1)"],
    "13a": [  # the text asks for equal numbers; a dtype is the solution's own extra
        "return torch.equal(before[name], after[name])",
        "return sorted((name for name in before | after.keys() if not same(name)))",
        "return sorted((name for name in before.keys() | after if not same(name)))",
    ],
    "15d": ["token = scores.argmax()"],  # a tensor counts as a number
    "14b": ["return ((levels - (block / absmax)[:, None]).abs().argmin(dim=1), absmax)"],
}
SOLUTIONS = {
    ident: notebooks.FENCE.search(cell.source)[1]
    for path in notebooks.notebooks()
    for ident, cell in notebooks.tagged(notebooks.read(path), "solution-").items()
}


def answer(source: str):
    """What the source defines last; None where it does not run."""
    space, last = dict(SPACE), [n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef | ast.ClassDef)][-1]
    try:
        exec(source, space)
    except Exception:
        return None
    return space[last.name]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("ident", SOLUTIONS)
def test_a_slip_is_seen(ident):
    exercise, lines = EXERCISES[ident], ast.unparse(ast.parse(SOLUTIONS[ident])).splitlines()
    assert exercise.verdict(answer(SOLUTIONS[ident])) == "correct"
    accepted = []
    for source in mutants(SOLUTIONS[ident]):
        changed = [line.strip() for line in source.splitlines() if line not in lines]
        mine = answer(source)
        if mine is not None and changed not in [[line] for line in EQUIVALENT.get(ident, [])]:
            verdict = exercise.verdict(mine)
            assert len(verdict) < 300 and "the check cannot" not in verdict, (changed, verdict)
            accepted += changed if verdict in ("correct", "not attempted") else []
    assert not accepted, "accepted, although changed: one more case in the exercise, or an entry in EQUIVALENT"
