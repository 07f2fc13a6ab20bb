"""`python -m adapterlab report`: what it reads off students' notebooks, and what it survives."""

import json

import nbformat
import pandas as pd
import pytest

from adapterlab.__main__ import main
from adapterlab.book import report
from adapterlab.paths import NOTEBOOKS


def notebook(printed=(), cells=()):
    """A student's notebook: what its cells printed, and its code cells."""
    new = nbformat.v4.new_code_cell
    outputs = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in printed]
    return nbformat.v4.new_notebook(cells=[new("pass", outputs=outputs), *map(new, cells)])


def write(path, nb):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nb if isinstance(nb, str) else nbformat.writes(nb))


def read(out):
    return pd.read_csv(out / "report.csv", keep_default_na=False)


@pytest.fixture(scope="module")
def class_of_three(tmp_path_factory):
    folder, out = tmp_path_factory.mktemp("class"), tmp_path_factory.mktemp("out")
    wrong = "exercise 01a: not yet: up.weight is not near zero: the output moved by 0.31, not 0; using the reference\n"
    write(
        folder / "anna" / "01_build_an_adapter.ipynb",
        notebook(
            ["x\nexercise 01a: correct (a list)\nquiz 01.1: correct\nquiz 01.2: not yet: follow y\n"],
            ["my_std_guess = 1e-2"],
        ),
    )
    write(folder / "01_build <b>.ipynb", notebook([wrong]))
    write(folder / "=cmd().ipynb", notebook(["exercise 01a: not attempted, using the reference\n"]))
    return main(["report", str(folder), "--out", str(out)]), read(out), (out / "report.html").read_text()  # fmt: skip


def test_exercises_and_predictions(class_of_three):
    code, frame, page = class_of_three
    rows = frame[frame["item"] == "01a"].set_index("file")
    assert code == 0 and set(frame["notebook"]) == {"01_build_an_adapter"}
    assert rows["verdict"].to_dict() == {
        "anna/01_build_an_adapter.ipynb": "correct", "01_build <b>.ipynb": "wrong", "'=cmd().ipynb": "not attempted",
    }  # fmt: skip
    assert rows["detail"]["01_build <b>.ipynb"] == "up.weight is not near zero: the output moved by 0.31, not 0"
    anna = frame[frame["file"].str.startswith("anna")].set_index("item")
    assert anna["verdict"]["my_std_guess"] == "predicted" and anna["detail"]["my_std_guess"] == "0.01"
    assert set(anna[anna["kind"] == "exercise"].drop(index="01a")["verdict"]) == {"not run"}
    answers = anna[anna["kind"] == "quiz"]
    assert answers["verdict"].to_dict() == {"01.1": "correct", "01.2": "wrong", "01.3": "not run"}
    assert answers["detail"]["01.2"] == "follow y" and "01.2, 1 times: follow y" in page
    assert "<b>" not in page and "1 of 3" in page and "not near zero" in page


def test_every_notebook_of_the_book_is_read(tmp_path):
    assert report.report(NOTEBOOKS, tmp_path) == 0
    frame = read(tmp_path)
    assert set(frame["notebook"]) == {p.stem for p in NOTEBOOKS.glob("*.ipynb")}
    assert set(frame["verdict"]) == {"not attempted", "as shipped"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSONDecodeError"),
        ("[]", "AttributeError"),
        ('{"cells": 3}', "no cells"),
        ("[" * 100_000, "RecursionError"),
        (json.dumps({"cells": [{"cell_type": "code", "source": 7}]}), "TypeError"),
        (nbformat.writes(notebook(["exercise 77a: correct\n"])), "no notebook of this book"),
    ],
)
def test_a_broken_file_stops_nobody(text, words, tmp_path, capsys):
    name = "bad.ipynb" if "no notebook" in words else "02_bad.ipynb"
    write(tmp_path / "in" / name, text)
    write(tmp_path / "in" / "good.ipynb", notebook(["exercise 02a: correct\n"]))
    (tmp_path / "in" / "link.ipynb").symlink_to("/etc/passwd")
    assert main(["report", str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 1
    frame = read(tmp_path / "out").set_index("file")
    assert words in frame.loc[name, "detail"] and "link.ipynb" not in frame.index
    assert "correct" in set(frame.loc["good.ipynb", "verdict"]) and name in capsys.readouterr().out


def test_nothing_there(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2 and "holds no notebooks" in capsys.readouterr().err


@pytest.mark.notebook
def test_executed_on_demand(tmp_path):
    """A cell that fails or hangs ends that run; what ran before it counts."""
    write(tmp_path / "in" / "a.ipynb", notebook((), ["print('exercise 02a: correct')", "while True: pass"]))
    assert report.report(tmp_path / "in", tmp_path / "out", seconds=5) == 0
    assert read(tmp_path / "out").set_index("item").loc["02a", "verdict"] == "correct"
