"""The notebooks of the workbook as data: what there is, what was asked for, which parameters they take."""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError, suggest
from ..paths import NOTEBOOKS

FILES = (".csv", ".tsv", ".jsonl", ".json")


@dataclass(frozen=True)
class Notebook:
    """One notebook file; `name` is its stem ("02_fine_tune"), `number` what stands before the first "_"."""

    path: Path
    title: str
    question: str
    cells: int

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def number(self) -> str:
        return self.name.split("_")[0]


def notebooks(folder: Path = NOTEBOOKS) -> list[Notebook]:
    """Every `NN_name.ipynb` in the folder, in the order of the book. UserError for a file that is not a notebook."""
    return [_read(path) for path in sorted(Path(folder).glob("[0-9][0-9]_*.ipynb"))]


def _read(path: Path) -> Notebook:
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        first = "".join(cells[0]["source"]) if cells else ""
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not a readable notebook ({type(error).__name__}); restore it with git") from error
    lines = [line.strip() for line in first.splitlines()]
    title = next((line.lstrip("# ") for line in lines if line.startswith("#")), path.stem)
    prose = next((line for line in lines if line and not line.startswith(("#", "**Time", "|", "-", "<", "!"))), "")
    prose = re.sub(r"^\*\*[^*]*[:.]\*\*\s*|[*_`]", "", prose)
    return Notebook(path, title.split("·")[-1].strip(), re.split(r"(?<=[.?!])\s", prose)[0], len(cells))


def choose(names, book: list[Notebook]) -> list[Notebook]:
    """The notebooks meant by `names` (none: all), each once, in the order of the book.

    A name is a number ("02", "2"), a file name, or the start of a name with or without its number
    ("02_fine", "fine_tune"). UserError when it fits none or several.
    """
    if not book:
        raise UserError("no notebooks found; run this from a checkout of the project that has its notebooks/ folder")
    wanted = set()
    for name in names:
        stem = Path(name).name.removesuffix(".ipynb")
        exact = [n for n in book if stem in (n.name, n.number) or (stem.isdigit() and int(stem) == int(n.number))]
        fits = exact or [n for n in book if stem and (n.name.startswith(stem) or n.name[3:].startswith(stem))]
        if len(fits) != 1:
            known = ", ".join(n.name for n in (fits or book))
            hint = "" if fits else suggest(stem, [n.name for n in book] + [n.name[3:] for n in book]).rstrip("?")
            problem = "fits several notebooks" if fits else "is no notebook of this book"
            raise UserError(f'"{name}" {problem}{hint}; choose from {known}')
        wanted.add(fits[0].name)
    return [n for n in book if not wanted or n.name in wanted]


def parameters(notebook: Notebook) -> dict[str, object]:
    """Name -> default of the notebook's `parameters` cell, as papermill reads it."""
    from papermill import inspect_notebook

    try:
        return {name: _literal(what["default"]) for name, what in inspect_notebook(notebook.path).items()}
    except Exception as error:  # papermill raises ValueError, KeyError or its own for a broken notebook
        raise UserError(f"papermill cannot read the parameters of {notebook.name}: {error}") from error


def assign(chosen: list[Notebook], given: list[tuple[str, str]]) -> dict[str, dict[str, object]]:
    """Which value each notebook gets for the `-p name value` pairs: {notebook name: {parameter: value}}.

    A value is read as papermill reads it (True, False, None, int, float, else text), and as a Python literal
    where the default is a list, tuple or dict. UserError, before anything runs, for a name that none of the
    chosen notebooks has and for a value of another type than the default.
    """
    defaults = {notebook.name: parameters(notebook) for notebook in chosen}
    known = sorted({name for each in defaults.values() for name in each})
    for name, _ in given:
        if name not in known:
            near = suggest(name, known).rstrip("?")
            raise UserError(f'no chosen notebook has a parameter "{name}"{near}; known: {", ".join(known)}')
    return {
        notebook: {name: _typed(name, text, each[name], notebook) for name, text in given if name in each}
        for notebook, each in defaults.items()
    }


def _typed(name: str, text: str, default, notebook: str):
    from papermill.cli import _resolve_type

    if isinstance(default, str):
        return callers(text)
    value = callers(_literal(text)) if isinstance(default, (list, tuple, dict)) else _resolve_type(text)
    if default is None or type(value) is type(default) or (type(default), type(value)) == (float, int):
        return value
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "text", type(None): "None"}
    due, given = (names.get(type(each), f"a {type(each).__name__}") for each in (default, value))
    raise UserError(f'parameter "{name}" of {notebook} is {due} (its default is {default!r}), "{text}" is {given}')


def callers(value):
    """The value; a path, or a text in a list, that is one, is made whole: the kernel works in another folder."""
    if isinstance(value, list | tuple):
        return type(value)(map(callers, value))
    if isinstance(value, str) and value and (value.endswith(FILES) or Path(value).exists()):
        return str(Path(value).expanduser().absolute())
    return value


def _literal(text: str):
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
