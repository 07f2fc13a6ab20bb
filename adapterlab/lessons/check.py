"""Exercise checks by name: `check.count_bottleneck` is looked up in the lessons' exercises.py.

A new exercise is a new `exercise(...)` in its lesson's file, a quiz its `QUIZ`; nothing is listed here.
"""

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .. import lessons
from ..errors import UserError, suggest
from .kit.exercise import Exercise
from .kit.quiz import verdicts


def _lessons() -> Iterator[tuple[str, ModuleType]]:
    """(folder, its exercises.py), in the order of the book."""
    for info in pkgutil.iter_modules(lessons.__path__):
        if info.name.startswith("nb"):
            yield info.name, importlib.import_module(f"{lessons.__name__}.{info.name}.exercises")


def quizzes() -> dict[str, str]:
    """Number of a lesson -> its quiz, as `kit.quiz` describes one."""
    return {name[2:4]: module.QUIZ for name, module in _lessons() if hasattr(module, "QUIZ")}


def quiz(number: str, answers: Any) -> None:
    """Print a line on each answer to a lesson's quiz: quiz("03", {1: 4, 2: "b"}); what is None is not attempted."""
    known = quizzes()
    if number not in known:
        raise UserError(f"there is no quiz {number!r}; there are {', '.join(known)}")
    print(*verdicts(number, known[number], answers), sep="\n")


def exercises() -> dict[str, Exercise]:
    """Every exercise by name. ValueError when two lessons use one name."""
    known: dict[str, Exercise] = {}
    home: dict[str, str] = {}
    for folder, module in _lessons():
        for name, value in vars(module).items():
            if isinstance(value, Exercise):
                if name in known and known[name] is not value:
                    raise ValueError(f"check.{name} is defined in {home[name]} and in {folder}")
                known[name], home[name] = value, folder
    return known


def __getattr__(name: str) -> Exercise:
    if name.startswith("__"):
        raise AttributeError(name)
    known = exercises()
    if name not in known:
        near = suggest(name, known) or f"; the checks are {', '.join(sorted(known)) or 'none yet'}"
        raise AttributeError(f'there is no check "{name}"{near}')
    return known[name]


def __dir__():
    return sorted([*globals(), *exercises()])
