"""From the labels that were read to class numbers or scores."""

import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Sequence

from ..errors import UserError, suggest
from .core import Rows
from .read import Row, Table

WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
FRACTION = re.compile(r"[+-]?(\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?")
MISSING, PERHAPS = ("nan", "null", "n/a", "#n/a", "<na>"), ("na", "none")
"""What programs write where a label is missing: never a class, and now and then one (in lower case)."""


def to_splits(
    tables: dict[str, Table], kind: str, labels: Sequence[str] | None = None
) -> tuple[tuple[str, ...], dict[str, Rows]]:
    """(names of the classes, splits) of the tables; the classes are those of "train", whole numbers by value.

    labels: the names where they are known; the files then hold these names, or 0, 1, ... in their place.
    Errors: UserError for an unknown, missing, unseen or non-numeric label, or a single class; with its line.
    """
    names: tuple[str, ...] = ()
    value: Callable[[Table, Row], int | float] = _number
    if kind == "classification":
        names = tuple(labels) if labels else _names(tables["train"])
        value = _finder(names, tables["train"])
    splits = {}
    for split, table in tables.items():
        pairs = None if table.rows[0].pair is None else tuple(row.pair or "" for row in table.rows)
        numbers = tuple(value(table, row) for row in table.rows)
        splits[split] = Rows(tuple(row.text for row in table.rows), pairs, numbers)
    if kind == "classification":
        _all_seen(names, splits["train"], tables["train"])
    return names, splits


def _names(table: Table) -> tuple[str, ...]:
    """The classes in a file: sorted names, or whole numbers in their order."""
    rows: dict[str, list[Row]] = {}
    for row in table.rows:
        rows.setdefault(_tidy(row.label), []).append(row)
    whole = [name for name in rows if WHOLE.fullmatch(name)]
    for name, (row, *_) in rows.items():
        if name.lower() in MISSING:
            raise UserError(f'{table.at(row)}: the label is missing ("{name}"); fill it in or take the row out')
        if FRACTION.fullmatch(name) and name not in whole:
            raise UserError(f'{table.at(row)}: label "{name}" is no class; for scores give kind="regression"')
        if whole and name not in whole:
            raise UserError(
                f'{table.at(row)}: label "{name}" is not a number and others are ({", ".join(whole[:4])}); '
                "mend it, or name all the classes with labels=(...)"
            )
    if len(rows) > max(10, len(table.rows) / 2):
        raise UserError(
            f"{table.path}: {len(rows)} different labels in {len(table.rows)} rows are no classes; "
            'name the label column with label="...", or give kind="regression" for scores'
        )
    for name, slip in _slips(rows):
        lines = ", ".join(str(row.line) for row in rows[name][:3]) + " ..." * (len(rows[name]) > 3)
        keep = "mend it, or name all the classes with labels=(...) to keep it without this warning"
        warnings.warn(f'{table.path}, line {lines}: label "{name}" {slip}; {keep}', stacklevel=2)
    return tuple(sorted(rows, key=int if whole else None))


def _slips(rows: dict[str, list[Row]]) -> Iterable[tuple[str, str]]:
    """(name, what it looks like) of each class that may be a slip of the pen: the rarer of two that read alike."""
    usual: dict[str, str] = {}
    for name in sorted(rows, key=lambda name: -len(rows[name])):
        plain = unicodedata.normalize("NFKC", name).casefold().strip("\"' ")
        if plain in PERHAPS:
            yield name, "may mean that there is none"
        elif name[0] == name[-1] == '"':
            yield name, "has quotes of its own, as after a comma and a space"
        if usual.setdefault(plain, name) != name:
            yield name, f'looks like "{usual[plain]}", in {len(rows[usual[plain]])} rows, and is another class'


def _tidy(label: str) -> str:
    """ "+1", "1.0" and "01" are the class 1, as spreadsheets and pandas write it."""
    return str(int(float(label))) if WHOLE.fullmatch(label) else label


def _finder(names: tuple[str, ...], train: Table) -> Callable[[Table, Row], int]:
    """A function (table, row) -> class number."""
    number = {name: i for i, name in enumerate(names)}
    if not any(name in number or _tidy(name) in number for name in (row.label for row in train.rows)):
        number = {str(i): i for i in range(len(names))} if WHOLE.fullmatch(train.rows[0].label) else number

    def find(table: Table, row: Row) -> int:
        for name in (row.label, _tidy(row.label)):
            if name in number:
                return number[name]
        raise UserError(
            f'{table.at(row)}: label "{row.label}" is not one of {_few(number)}'
            f"{' that training has' if table is not train else ''}{suggest(row.label, number) or '; mend it'}"
        )

    return find


def _number(table: Table, row: Row) -> float:
    try:
        value = float(row.label)
    except ValueError:
        raise UserError(
            f'{table.at(row)}: score "{row.label}" is not a number; mend it, or give kind="classification" for classes'
        ) from None
    if not math.isfinite(value):
        raise UserError(f'{table.at(row)}: score "{row.label}" is not a finite number; fill it in or take the row out')
    return value


def _all_seen(names: tuple[str, ...], train: Rows, table: Table) -> None:
    if len(names) == 1:
        raise UserError(f'{table.path}: every label is "{names[0]}"; classification needs two classes or more')
    unseen = set(range(len(names))) - set(train.labels)
    if unseen:
        raise UserError(
            f'{table.path}: class "{names[min(unseen)]}" is never seen in training; '
            f"add rows of it or leave it out of the labels {_few(names)}"
        )


def _few(names: Iterable[str]) -> str:
    names = [f'"{name}"' for name in names]
    return ", ".join(names[:10]) + (f" ... ({len(names)} in all)" if len(names) > 10 else "")
