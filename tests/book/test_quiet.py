"""Times are not taken beside other work: what a busy machine looks like, and who refuses then."""

import multiprocessing
import os
import re
import time

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from adapterlab import __main__, profiles
from adapterlab.book import notebooks as book
from adapterlab.book import quiet, refresh, run, times
from adapterlab.errors import UserError

BUSY = "a fixed load got 48% of a core"


def burn():
    while True:
        pass


def test_other_work_is_seen_and_named():
    others = [multiprocessing.get_context("spawn").Process(target=burn) for _ in range(2 * profiles.usable_cores())]
    try:
        for other in others:
            other.start()
        while not all(quiet._cpu(quiet.psutil.Process(other.pid)) > 0.5 for other in others):
            time.sleep(0.05)  # they take a moment to start
        assert quiet.share() < 0.75  # each core is shared by three
        named = re.fullmatch(r" \(most by .+, pid (\d+)\)", quiet.busiest())
        assert named and int(named[1]) != os.getpid()
    finally:
        for other in others:
            other.kill()
            other.join()


def test_the_core_that_gets_least_counts_and_of_the_rounds_the_middle_one(monkeypatch):
    gets = iter([1.0, 0.4, 0.9, 1.0, 0.1, 1.0])
    monkeypatch.setattr(quiet, "usable_cores", lambda: 2)
    monkeypatch.setattr(quiet, "_load", lambda work: next(gets))
    assert quiet.share() == 0.4


@pytest.mark.parametrize(("got", "said"), [(1.0, ""), (0.91, ""), (0.48, BUSY)])
def test_what_is_quiet(got, said, monkeypatch):
    monkeypatch.setattr(quiet, "share", lambda: got)
    assert said in quiet.noise() and bool(said) == bool(quiet.noise())


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A notebook, a run of it that takes no time, and an empty table of times."""
    nb = new_notebook(cells=[new_markdown_cell("# Toy\n\n**Time:** ?"), new_code_cell("1", execution_count=1)])
    nbformat.write(nb, tmp_path / "00_toy.ipynb")
    monkeypatch.setattr(times, "TIMES", tmp_path / "times.csv")
    for function in (times.read, times.record):
        monkeypatch.setattr(function, "__defaults__", (tmp_path / "times.csv",))

    def run_jobs(jobs, *_):
        jobs[0].status, jobs[0].nb = "ok", nbformat.from_dict(nb)
        return True

    monkeypatch.setattr(refresh, "run_jobs", run_jobs)
    monkeypatch.setattr(run, "run_jobs", run_jobs)
    return book.notebooks(tmp_path)[0]


@pytest.mark.parametrize("noises", [[BUSY], ["", BUSY]], ids=["before", "since"])
def test_refresh_stores_nothing_beside_other_work(toy, noises, monkeypatch):
    before, answers = toy.path.read_bytes(), iter(noises)
    monkeypatch.setattr(quiet, "noise", lambda: next(answers))
    with pytest.raises(UserError, match=r"^00_toy is left as it was, since a fixed load .*; stop it, or give --anyway"):
        refresh.refresh([toy], "smoke")
    assert toy.path.read_bytes() == before and times.read() == []


def test_refresh_anyway_records_no_time(toy, monkeypatch):
    monkeypatch.setattr(quiet, "noise", lambda: BUSY)
    assert refresh.refresh([toy], "smoke", anyway=True) == 0
    assert "not measured yet" in toy.path.read_text() and times.read() == []
    monkeypatch.setattr(quiet, "noise", lambda: "")
    assert refresh.refresh([toy], "smoke") == 0
    assert "0.0 min on" in toy.path.read_text() and times.read()[0]["notebook"] == "00_toy"


def test_run_refuses_to_record_and_says_what_works(toy, tmp_path, monkeypatch):
    answers = iter([BUSY, "", BUSY])
    monkeypatch.setattr(quiet, "noise", lambda: next(answers))
    for _ in range(2):
        with pytest.raises(UserError, match="^no time is recorded, since .*leave out --record$"):
            run.run(record=True, out=tmp_path / "runs", book=tmp_path)
    assert times.read() == []
    monkeypatch.setattr(quiet, "noise", lambda: "")
    assert run.run(record=True, out=tmp_path / "runs", book=tmp_path) == 0 and len(times.read()) == 1


def test_the_command_line_hands_it_on(monkeypatch):
    asked = []
    monkeypatch.setattr(refresh, "refresh", lambda *words: asked.append(words[1:]) or 0)
    assert __main__.main(["refresh", "00", "--anyway"]) == __main__.main(["refresh", "00"]) == 0
    assert asked == [("class", True, True), ("class", True, False)]
