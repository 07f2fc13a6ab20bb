"""Exercise checks by name: `check.count_bottleneck` is looked up in the lessons' exercises.py.

A new exercise is a new `exercise(...)` in its lesson's file; nothing is listed here.
"""

import importlib
import pkgutil

from .. import lessons
from ..errors import suggest
from .kit.exercise import Exercise


def exercises() -> dict[str, Exercise]:
    """Every exercise by name. ValueError when two lessons use one name."""
    known: dict[str, Exercise] = {}
    home: dict[str, str] = {}
    for info in pkgutil.iter_modules(lessons.__path__):
        if info.name.startswith("nb"):
            module = importlib.import_module(f"{lessons.__name__}.{info.name}.exercises")
            for name, value in vars(module).items():
                if isinstance(value, Exercise):
                    if name in known and known[name] is not value:
                        raise ValueError(f"check.{name} is defined in {home[name]} and in {info.name}")
                    known[name], home[name] = value, info.name
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
