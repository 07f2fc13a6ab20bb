"""Rows out of a CSV, TSV or JSONL file, and for each thing that can be wrong one sentence that says where."""

import csv
import io
import json
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError, suggest

SUFFIXES = (".csv", ".tsv", ".jsonl")


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


def read_table(path, text, label, pair=None, encoding="utf-8", names=None, damaged=0.0) -> Table:
    """Read the columns `text`, `label` and perhaps `pair` of a file with a header.

    .csv: commas and double quotes. .tsv: tabs, and a quote is a character like any other. .jsonl: one object a line.
    names: the columns of a file that has no header. damaged: the share of lines with a wrong number of columns
        or no text that is left out and counted instead of refused.
    Errors: UserError with file, line, culprit and mend.
    """
    path = Path(path)
    content = read_text(path, encoding)
    if not content.strip():
        raise UserError(f"{path} is empty; it needs rows with the columns {_listed([text, pair, label])}")
    if path.suffix.lower() == ".jsonl":
        return Table(path, _json_rows(path, content, text, pair, label))
    lines = _tsv_lines(content) if path.suffix.lower() == ".tsv" else _csv_lines(path, content)
    header = list(names) if names else [name.strip() for name in next(lines)[1]]
    _check_header(path, header, [text, pair, label])
    where = [header.index(name) if name else None for name in (text, label, pair)]
    rows, bad = [], []
    for line, cells in lines:
        try:
            if len(cells) != len(header):
                raise UserError(_wrong_width(path, line, len(cells), header))
            t, l, p = (None if i is None else cells[i] for i in where)
            rows.append(_row(path, line, t, p, l, text, pair, label))
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


def _tsv_lines(content: str):
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield number, line.split("\t")


def _csv_lines(path: Path, content: str):
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


def _json_rows(path: Path, content: str, text: str, pair: str | None, label: str) -> list[Row]:
    rows = []
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
                f'{path}, line {number}: {line.strip()[:40]} is no object; write {{"{text}": ..., "{label}": ...}}'
            )
        if not rows:
            _check_header(path, list(entry), [text, pair, label])
        for name in filter(None, (text, pair)):
            if name in entry and not isinstance(entry[name], str):
                raise UserError(f'{path}, line {number}: "{name}" is {entry[name]!r}; it has to be a text in quotes')
        value = entry.get(label)
        if isinstance(value, dict | list):
            raise UserError(f'{path}, line {number}: "{label}" is {value!r}; give one number or one name')
        value = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        rows.append(_row(path, number, entry.get(text), entry.get(pair) if pair else None, value, text, pair, label))
    return rows


def _row(path, line, text, pair, label, text_name, pair_name, label_name) -> Row:
    for value, name in ((text, text_name), (pair, pair_name), (label, label_name)):
        if name and not (value and value.strip()):
            raise UserError(f'{path}, line {line}: "{name}" is empty; fill it in or take the row out')
    return Row(line, text.strip(), pair.strip() if pair_name else None, label.strip())


def _check_header(path: Path, header: list[str], wanted: list[str | None]) -> None:
    twice = next((name for name in header if header.count(name) > 1 and name in wanted), None)
    if twice:
        raise UserError(f'{path}: the header has the column "{twice}" {header.count(twice)} times; rename all but one')
    for role, name in zip(("text", "pair", "label"), wanted, strict=True):
        if name and name not in header:
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


def _listed(names) -> str:
    names = [f'"{name}"' for name in names if name]
    return ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
