"""What every exercise check is made of: a reference, some known mistakes, and a verdict that diagnoses.

    def count(width, size):
        return 2 * width * size + width + size

    count_bottleneck = exercise(
        "01a",
        count,
        mistake(lambda width, size: 2 * width * size, "the two biases are missing", (4, 2)),
        agrees(count, (4, 2), (384, 64)),
    )

In the notebook, under the learner's function: `count = check.count_bottleneck(count)`.
"""

import ast
import copy
import inspect
import linecache
import random
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import torch

NOT_ATTEMPTED = "not attempted"
CORRECT = "correct"


class _Blank(Exception):
    """The learner's function gave back `...`."""


@dataclass(frozen=True)
class Exercise:
    """Call it with the learner's function: prints one verdict, returns that function or the reference.

    checks: functions of the learner's function that return None, or one clause that says what is wrong.
    in_place: the right function returns None, so None is an answer.
    """

    ident: str
    reference: Callable
    checks: tuple
    in_place: bool = False

    def __call__(self, fn):
        verdict = self.verdict(fn)
        if verdict == CORRECT:
            print(f"exercise {self.ident}: correct")
            return fn
        if verdict == NOT_ATTEMPTED:
            print(f"exercise {self.ident}: not attempted, using the reference")
        else:
            print(f"exercise {self.ident}: not yet: {verdict}; using the reference")
        return self.reference

    def verdict(self, fn) -> str:
        """ "correct", "not attempted", or the first diagnosis. Leaves the random generators as they were."""
        if fn is None or fn is Ellipsis or _is_empty(fn):
            return NOT_ATTEMPTED
        state = random.getstate()
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                for check in self.checks:
                    diagnosis = check(fn if self.in_place or inspect.isclass(fn) else _watched(fn))
                    if diagnosis:
                        return diagnosis
        except (_Blank, NotImplementedError):
            return NOT_ATTEMPTED
        except Exception as error:
            return NOT_ATTEMPTED if _has_blank(fn) else _explain(error, fn)
        finally:
            random.setstate(state)
        return CORRECT


def exercise(ident: str, reference: Callable, *checks: Callable, in_place: bool = False) -> Exercise:
    """An exercise: its id ("01a"), the reference solution, and the checks in the order they are tried.

    Put the known mistakes first, so that they win over the general comparison.
    """
    return Exercise(ident, reference, checks, in_place)


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer: says `message` when the learner's function agrees with it on every case."""

    wrong: Callable
    message: str
    cases: tuple

    def __call__(self, fn):
        return self.message if all(same(_run(fn, c), _run(self.wrong, c)) for c in self.cases) else None


def mistake(wrong: Callable, message: str, *cases: tuple) -> Mistake:
    """A check that recognises one wrong answer. cases: argument tuples on which it differs from the right one."""
    return Mistake(wrong, message, cases)


def agrees(reference: Callable, *cases: tuple, tolerance: float = 1e-5) -> Callable:
    """A check that compares with the reference on argument tuples (each is copied before every call)."""

    def check(fn):
        for case in cases:
            got, want = _run(fn, case), _run(reference, case)
            if not same(got, want, tolerance):
                return f"for {_arguments(case)} it gives {_short(got)}, expected {_short(want)}"
        return None

    return check


def same(got, want, tolerance: float = 1e-5) -> bool:
    """Equal in shape, and in value within the tolerance (relative, and absolute around zero)."""
    if isinstance(want, torch.Tensor):
        if not isinstance(got, torch.Tensor) or got.shape != want.shape:
            return False
        return torch.allclose(got.double(), want.double(), rtol=tolerance, atol=tolerance)
    if isinstance(want, dict):
        return isinstance(got, dict) and got.keys() == want.keys() and all(same(got[k], want[k]) for k in want)
    if isinstance(want, list | tuple):
        return (
            isinstance(got, list | tuple)
            and len(got) == len(want)
            and all(same(g, w, tolerance) for g, w in zip(got, want, strict=True))
        )
    if isinstance(want, float) or isinstance(got, float):
        try:
            return abs(float(got) - float(want)) <= tolerance * max(1.0, abs(float(want)))
        except (TypeError, ValueError):
            return False
    return bool(got == want)


def _run(fn, case):
    return fn(*copy.deepcopy(case))


def _watched(fn):
    """fn, with the answers `...` and None turned into exceptions."""

    def call(*args, **kwargs):
        result = fn(*args, **kwargs)
        if result is Ellipsis:
            raise _Blank
        if result is None:
            raise ValueError("it returned None: is a `return` missing?")
        return result

    return call


def _trees(fn) -> list:
    """The syntax trees of a function, or of a class's methods; none when the source is not to be had."""
    functions = [f for f in vars(fn).values() if inspect.isfunction(f)] if inspect.isclass(fn) else [fn]
    trees = []
    for function in functions:
        try:
            trees.append(ast.parse(textwrap.dedent(inspect.getsource(function))).body[0])
        except (OSError, TypeError, SyntaxError, IndexError):
            continue
    return trees


def _is_dots(node) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def _is_empty(fn) -> bool:
    """The function, or a method of the class, has nothing in it but a docstring, `...` and `pass`."""
    return any(
        isinstance(tree, ast.FunctionDef)
        and all(isinstance(s, ast.Pass) or isinstance(getattr(s, "value", None), ast.Constant) for s in tree.body)
        and not any(isinstance(s, ast.Return) for s in tree.body)
        for tree in _trees(fn)
    )


def _has_blank(fn) -> bool:
    """A `...` is left as a statement or as a value."""
    trees = _trees(fn)
    if not trees:
        return False
    return any(
        _is_dots(getattr(node, "value", None))
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return)
    )


def _explain(error: Exception, fn) -> str:
    """One clause for an exception: what it says and, when it came from the learner's code, the line."""
    if isinstance(error, ValueError) and str(error).startswith("it returned None"):
        return str(error)
    name = type(error).__name__
    text = " ".join(str(error).split())
    said = f"it raised {name}: {text[:160]}" if text else f"it raised {name}"
    codes = {
        inspect.unwrap(f).__code__
        for f in ([fn] if inspect.isfunction(fn) else vars(fn).values())
        if inspect.isfunction(f)
    }
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if frame.f_code in codes:
            source = linecache.getline(frame.f_code.co_filename, line).strip()
            return f"{said} (in the line `{source}`)" if source else said
    return said


def _arguments(case: tuple) -> str:
    return ", ".join(_short(value) for value in case)


def _short(value) -> str:
    if isinstance(value, torch.Tensor):
        if value.numel() <= 4:
            return f"a tensor {[round(v, 4) for v in value.flatten().tolist()]} of shape {tuple(value.shape)}"
        return (
            f"a tensor of shape {tuple(value.shape)} that begins {[round(v, 4) for v in value.flatten()[:3].tolist()]}"
        )
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
