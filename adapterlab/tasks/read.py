"""Rows out of a CSV, TSV or JSONL file, and for each thing that can be wrong one sentence that says where."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import UserError, suggest

SUFFIXES = (".csv", ".tsv", ".jsonl")
Columns: TypeAlias = dict[str, str | None]  # "text", "pair", "label" -> its name in the file
Lines: TypeAlias = Iterator[tuple[int, list[str] | dict]]  # number, cells


@dataclass(frozen=True)
class Row:
    """A row as it was read. label: what stood there, without spaces around it."""

    line: int
    text: str
    pair: str | None
    label: str


@dataclass(frozen=True)
class Table:
    """The rows of one file, and how many damaged lines were left out (only QQP's may be)."""

    path: Path
    rows: list[Row]
    left_out: int = 0

    def at(self, row: Row) -> str:
        return f"{self.path}, line {row.line}"


def read_table(
    path: Path, columns: Columns, encoding: str = "utf-8", names: Sequence[str] | None = None, damaged: float = 0.0
) -> Table:
    """Read these columns of a file with a header.

    .csv: commas and double quotes. .tsv: tabs, and a quote is a character like any other. .jsonl: one object a line.
    names: the columns of a file that has no header. damaged: the share of lines with a wrong number of columns
        or no text that is left out and counted instead of refused.
    Errors: UserError with file, line, culprit and mend.
    """
    content = read_text(path, encoding)
    if not content.strip():
        raise UserError(f"{path} is empty; it needs rows with the columns {_listed(columns.values())}")
    lines = READERS.get(path.suffix.lower(), _csv_lines)(path, content)
    header, rows, bad = list(names or ()), [], []
    for line, cells in lines:
        if not header:  # the first line; of JSON it is a row as well
            header = list(cells) if isinstance(cells, dict) else [name.strip() for name in cells]
            check_header(path, header, columns)
            if isinstance(cells, list):
                continue
        try:
            rows.append(_row(path, line, header, cells, columns))
        except UserError as error:
            bad.append(error)
            if not damaged:
                raise
    if len(bad) > damaged * (len(rows) + len(bad)):
        raise bad[0]
    if not rows:
        raise UserError(f"{path} has a header and no rows; give it texts with labels")
    return Table(path, rows, len(bad))


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """A file's text; UserError names the byte that does not fit the encoding."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; check the path (it is looked for in {Path.cwd()})") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; check the file and its permissions") from None
    try:
        return data.decode("utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding)
    except LookupError:
        raise UserError(f'unknown encoding "{encoding}"; use "utf-8", "latin-1", "cp1252" or "utf-16"') from None
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = data[:start].count(b"\n") + 1
        likely = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1"
        raise UserError(
            f"{path}, line {line}: byte 0x{data[start]:02x} is not {encoding}; "
            f'save the file as UTF-8 or give its encoding, perhaps encoding="{likely}"'
        ) from None


def _tsv_lines(path: Path, content: str) -> Lines:
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield number, line.split("\t")


def _csv_lines(path: Path, content: str) -> Lines:
    """(line on which the record begins, its cells); the size limit of the csv module is lifted meanwhile."""
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    begin, limit = 1, csv.field_size_limit(2**31 - 1)
    try:
        for cells in reader:
            if cells:
                yield begin, cells
            begin = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f'{path}, line {begin}: {error}; put a text that holds a comma or a quote in "double quotes", '
            'and double each quote inside it ("")'
        ) from None
    finally:
        csv.field_size_limit(limit)


def _json_lines(path: Path, content: str) -> Lines:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}, line {number}: no JSON ({error.msg} at character {error.pos + 1}); "
                'each line is one object such as {"text": "...", "label": 1}'
            ) from None
        if not isinstance(entry, dict):
            raise UserError(
                f'{path}, line {number}: {line.strip()[:40]} is no object; write {{"text": ..., "label": ...}}'
            )
        yield number, entry


READERS = {".tsv": _tsv_lines, ".jsonl": _json_lines}


def _row(path: Path, line: int, header: list[str], cells: list[str] | dict, columns: Columns) -> Row:
    if isinstance(cells, list):
        if len(cells) != len(header):
            raise UserError(_wrong_width(path, line, len(cells), header))
        cells = dict(zip(header, cells, strict=True))
    values = {}
    for role, name in columns.items():
        if name:
            value = values[role] = _text(f'{path}, line {line}: "{name}"', role, cells.get(name)).strip()
            if not value:
                raise UserError(f'{path}, line {line}: "{name}" is empty; fill it in or take the row out')
    return Row(line, values["text"], values.get("pair"), values["label"])


def _text(where: str, role: str, value: Any) -> str:
    """A cell as a table holds it; out of JSON a label may be a number or a truth value as well."""
    if role == "label" and isinstance(value, dict | list):
        raise UserError(f"{where} is {value!r}; give one number or one name")
    if role != "label" and not isinstance(value, str | None):
        raise UserError(f"{where} is {value!r}; it has to be a text in quotes")
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def check_header(path: str | Path, header: list[str], columns: Columns) -> None:
    """UserError when a column (role -> name) is not in the header once. path: where the header stands, in words."""
    for role, name in columns.items():
        if name and (times := header.count(name)) > 1:
            raise UserError(f'{path}: the header has the column "{name}" {times} times; rename all but one')
        if name and not times:
            alone = len(header) == 1 and re.search(r"[;\t|]", header[0])
            mend = (
                f"; the columns seem to be separated by {alone[0]!r}: separate them by commas"
                if alone
                else f'; name yours with {role}="..."{suggest(name, header)}'
            )
            raise UserError(f'{path} has no column "{name}"; its columns are {_listed(header)}{mend}')


def _wrong_width(path: Path, line: int, width: int, header: list[str]) -> str:
    tsv = path.suffix.lower() == ".tsv"
    hint = "tabs separate columns" if tsv else 'put texts with commas in "double quotes"'
    return (
        f"{path}, line {line}: {width} column{'s' * (width != 1)} instead of {len(header)} "
        f"({_listed(header)}); {hint}, mend the line or take it out"
    )


def _listed(names: Iterable[str | None]) -> str:
    quoted = [f'"{name}"' for name in names if name]
    return ", ".join(quoted[:12]) + (" ..." if len(quoted) > 12 else "")
