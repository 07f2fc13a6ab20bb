"""Exercise checks, one file per notebook: `check.count_bottleneck` is looked up in check/nb*.py.

A new exercise is a new `exercise(...)` in its notebook's file; nothing is listed here.
"""

import importlib
import pkgutil

from ..errors import suggest
from . import base as base


def exercises() -> dict[str, "base.Exercise"]:
    """Every exercise by name. ValueError when two files use one name."""
    found, home = {}, {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("nb"):
            module = importlib.import_module(f"{__name__}.{info.name}")
            for name, value in vars(module).items():
                if isinstance(value, base.Exercise):
                    if name in found and found[name] is not value:
                        raise ValueError(f"check.{name} is defined in {home[name]}.py and in {info.name}.py")
                    found[name], home[name] = value, info.name
    return found


def __getattr__(name: str):
    if name.startswith("__") or name.startswith("nb"):
        raise AttributeError(name)
    known = exercises()
    if name not in known:
        near = suggest(name, known) or f"; the checks are {', '.join(sorted(known)) or 'none yet'}"
        raise AttributeError(f'there is no check "{name}"{near}')
    return known[name]


def __dir__():
    return sorted([*globals(), *exercises()])
