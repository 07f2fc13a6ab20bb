"""What the learner's source says: is it begun at all, and which of its lines raised."""

import ast
import inspect
import linecache
import sysconfig
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType

#: Code that is not the learner's: this package, what is installed, Python itself, compiled references.
OTHERS = (
    str(Path(__file__).parents[2]),
    sysconfig.get_path("purelib"),
    sysconfig.get_path("platlib"),
    sysconfig.get_path("stdlib"),
    "<frozen",
)
OWN = "<an exercise's expression>"


class Blank(Exception):
    """The learner's function gave back `...`."""


def methods(fn: Callable) -> list[Callable]:
    """The function, or the functions that a class defines."""
    return [f for f in vars(fn).values() if inspect.isfunction(f)] if inspect.isclass(fn) else [fn]


def _tree(function: Callable) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None


def _is_dots(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def is_empty(function: Callable) -> bool:
    """Nothing in it but a docstring, `...` and `pass`."""
    tree = _tree(function)
    return isinstance(tree, ast.FunctionDef) and all(
        isinstance(line, ast.Pass) or isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)
        for line in tree.body
    )


def has_dots(function: Callable, as_value: bool = False) -> bool:
    """A `...` is left, as a statement or as a value (as_value: as a value alone, `total = ...`)."""
    tree = _tree(function)
    kinds = ast.Assign | ast.AnnAssign | ast.Return if as_value else ast.Expr | ast.Assign | ast.AnnAssign | ast.Return
    return tree is not None and any(
        isinstance(node, kinds) and _is_dots(getattr(node, "value", None)) for node in ast.walk(tree)
    )


def is_begun(function: Callable) -> bool:
    """A `...` is left, but there are lines that do more than a stub: a loop, or a call other than super().__init__."""
    tree = _tree(function)
    return isinstance(tree, ast.FunctionDef) and any(
        isinstance(line, ast.For)
        or (isinstance(line, ast.Expr) and isinstance(line.value, ast.Call) and "super()" not in ast.unparse(line))
        for line in tree.body
    )


def _is_learners(code: CodeType, fn: Callable) -> bool:
    if any(getattr(inspect.unwrap(f), "__code__", None) is code for f in methods(fn)):
        return True
    return code.co_filename != OWN and not code.co_filename.startswith(OTHERS)


def explain(error: BaseException, fn: Callable) -> str:
    """One clause for an exception: what it says and the learner's line that raised it.

    An exception that never went through the learner's code is the check's, and is not shown as the learner's.
    """
    frames = [
        (frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__) if _is_learners(frame.f_code, fn)
    ]
    name = type(error).__name__
    if not frames:
        return f"the check cannot work with what it gives ({name}); compare its type with what the text asks for"
    text = " ".join(str(error).split())
    raised = f"it raised {name}: {text[:160]}" if text else f"it raised {name}"
    code, line = frames[-1]
    source = linecache.getline(code.co_filename, line).strip()
    return f"{raised} (in the line `{source}`)" if source else raised
