"""A class at a glance: each student's exercises, quiz answers and predictions, as a CSV file and a page."""

import ast
import json
import os
import re
from collections import Counter
from html import escape
from pathlib import Path

from ..errors import UserError
from ..paths import NOTEBOOKS, write_whole
from .pages import STYLE

VERDICT = re.compile(r"^(?:exercise|quiz) ([\w.]{1,8}): (correct|not attempted|not yet)(.*)$", re.M)
MOST_MB = 50
COLUMNS = ("file", "notebook", "kind", "item", "verdict", "detail")
SIGN = {"correct": "✓", "not attempted": "·", "wrong": "✗", "not run": "?"}


def report(folder: str | Path, out: str | Path = "report", seconds: int | None = None) -> int:
    """Read every notebook below `folder`; write `out`/report.csv (a row an item) and `out`/report.html.

    seconds: execute copies first, in the smoke profile, a cell at most so long. Students' code then runs with your
    rights; without it nothing is executed. Returns 0, or 1 when a file could not be read. UserError without notebooks.
    """
    import pandas as pd

    folder, out = Path(folder), Path(out)
    paths = sorted(p for p in folder.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts and not p.is_symlink())
    if not paths:
        raise UserError(f"{folder} holds no notebooks; give the folder in which the students' .ipynb files lie")
    book = expected()
    rows = [row for path in paths for row in one(path, path.relative_to(folder).as_posix(), book, seconds)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).fillna("")
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "report.csv", frame.map(harmless).to_csv(index=False))
    write_whole(out / "report.html", page(frame))
    unread = frame[frame["kind"] == "file"]
    right = frame[frame["verdict"] == "correct"]["kind"].value_counts()
    said = f"{right.get('exercise', 0)} exercises solved, {right.get('quiz', 0)} quiz answers right"
    print(f"{len(paths)} notebooks, {said}: {out / 'report.html'} and report.csv")
    for row in unread.itertuples():
        print(f"not read: {row.file!r} ({row.detail})")
    return int(len(unread) > 0)


def one(path: Path, name: str, book: dict, seconds: int | None) -> list[dict]:
    """The rows of one file; a single one that says why, where it cannot be read."""
    try:
        nb = executed(path, seconds) if seconds else load(path)
        return [{"file": name, **row} for row in items(nb, book, name)]
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f"{type(error).__name__}: {error}"[:200]
        return [{"file": name, "kind": "file", "verdict": "not read", "detail": why}]


def load(path: Path) -> dict:
    """A notebook as JSON; ValueError for what is too large or is none."""
    if path.stat().st_size > MOST_MB * 1e6:
        raise ValueError(f"more than {MOST_MB} MB")
    nb = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(nb.get("cells"), list):
        raise ValueError("not a notebook: no cells")
    return nb


def executed(path: Path, seconds: int) -> dict:
    """The same after its cells have run in a copy; a cell that fails or is too slow ends the run there."""
    import tempfile

    import papermill

    load(path)
    os.environ["ADAPTERLAB_PROFILE"] = "smoke"
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "copy.ipynb"
        try:
            papermill.execute_notebook(str(path), str(copy), kernel_name="python3", language="python", cwd=scratch,
                                       progress_bar=False, execution_timeout=seconds)  # fmt: skip
        except Exception as error:  # whatever a student's cell raises: what ran before it is in the copy
            print(f"{path.name!r} did not run to the end: {type(error).__name__}")
        return load(copy if copy.exists() else path)


def expected() -> dict[str, dict]:
    """Number of a notebook of the book -> {"name", "exercise" and "quiz": its items, "guesses": name -> as shipped}."""
    book = {}
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        nb = load(path)
        tags = [tag for cell in nb["cells"] for tag in cell["metadata"].get("tags", [])]
        exercises = [tag.removeprefix("exercise-") for tag in tags if tag.startswith("exercise-")]
        asked = ["".join(cell["source"]) for cell in nb["cells"] if "quiz" in cell["metadata"].get("tags", [])]
        quiz = [f"{path.name[:2]}.{i}" for i in re.findall(r"(\d+): None", "".join(asked))]
        book[path.name[:2]] = {"name": path.stem, "exercise": exercises, "quiz": quiz, "guesses": guesses(nb)}
    return book


def items(nb: dict, book: dict, file: str) -> list[dict]:
    """A row an exercise, question or prediction. Which notebook it is, its verdicts say, or the number in its name."""
    verdicts = {ident: rest for cell in nb["cells"] for ident, *rest in VERDICT.findall(printed(cell))}
    numbers = Counter(ident[:2] for ident in verdicts if ident[:2] in book)
    named = re.search(r"(?<!\d)(\d\d)_", Path(file).name)
    number = numbers.most_common(1)[0][0] if numbers else named and named[1]
    if number not in book:
        raise ValueError("no notebook of this book: neither its name nor an exercise says which")
    rows = []
    for ident in book[number]["exercise"] + book[number]["quiz"]:
        verdict, detail = verdicts.get(ident, ("not run", ""))
        wrong = detail.removeprefix(": ").removesuffix("; using the reference") if verdict == "not yet" else ""
        kind = "quiz" if ident in book[number]["quiz"] else "exercise"
        rows.append({"kind": kind, "item": ident, "verdict": "wrong" if wrong else verdict, "detail": wrong})
    given = guesses(nb)
    for name, shipped in book[number]["guesses"].items():
        verdict = "not there" if name not in given else "as shipped" if given[name] == shipped else "predicted"
        rows.append({"kind": "prediction", "item": name, "verdict": verdict, "detail": str(given.get(name, ""))[:80]})
    return [{"notebook": book[number]["name"], **row} for row in rows]


def printed(cell: dict) -> str:
    """What a cell has printed."""
    outputs = cell.get("outputs", []) if cell.get("cell_type") == "code" else []
    return "\n".join("".join(o.get("text", "")) for o in outputs if o.get("output_type") == "stream")


def guesses(nb: dict) -> dict[str, object]:
    """Every `my_..._guess = literal` and `my_guess_... = literal` of the notebook."""
    values = {}
    for cell in nb["cells"]:
        if cell.get("cell_type") == "code":
            for name, value in re.findall(r"^(my_\w*guess\w*) = ([^\n#]+)", "".join(cell["source"]), re.M):
                try:
                    values[name] = ast.literal_eval(value.strip())
                except (ValueError, SyntaxError, MemoryError, RecursionError):
                    values[name] = value.strip()
    return values


def harmless(value) -> str:
    """A cell of the CSV that no spreadsheet takes for a formula."""
    text = str(value)
    return "'" + text if text[:1] in "=+-@\t\r" and text[:1] else text


def page(frame) -> str:
    """A table a notebook: students down, exercises and questions across; below it the commonest wrong answers."""
    parts = []
    for name, rows in frame[frame["kind"].isin(["exercise", "quiz"])].groupby("notebook"):
        table = rows.pivot(index="file", columns="item", values="verdict").fillna("not run")
        head = "".join(f"<th>{escape(item)}</th>" for item in table.columns)
        lines = "".join(
            f"<tr><td>{escape(file)}</td>{''.join(f'<td title={v!r}>{SIGN.get(v, v)}</td>' for v in line)}</tr>"
            for file, line in zip(table.index, table.to_numpy(), strict=True)
        )
        solved = "".join(f"<td>{(table[item] == 'correct').sum()} of {len(table)}</td>" for item in table.columns)
        wrong = rows[rows["verdict"] == "wrong"].groupby(["item", "detail"]).size().sort_values(ascending=False)
        said = "".join(f"<li>{item}, {n} times: {escape(detail)}</li>" for (item, detail), n in wrong.items())
        parts.append(f"<h2>{escape(name)}</h2><table><tr><th>file</th>{head}</tr>{lines}<tr><td>solved</td>{solved}</tr>"
                     f"</table><ul>{said}</ul>")  # fmt: skip
    guessed = frame[frame["kind"] == "prediction"].groupby("file")["verdict"].agg(lambda v: (v == "predicted").sum())
    lines = "".join(f"<tr><td>{escape(file)}</td><td>{n}</td></tr>" for file, n in guessed.items())
    unread = "".join(
        f"<li>{escape(r.file)}: {escape(r.detail)}</li>" for r in frame[frame["kind"] == "file"].itertuples()
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>adapterlab: the class</title><style>{STYLE}</style></head><body>
<h1>The class</h1><p>✓ correct, ✗ wrong, · not attempted, ? not run. report.csv has every item, predictions too.</p>
{"".join(parts)}
<h2>Predictions changed from what was shipped</h2><table><tr><th>file</th><th>how many</th></tr>{lines}</table>
{f"<h2>Not read</h2><ul>{unread}</ul>" if unread else ""}
</body></html>
"""
