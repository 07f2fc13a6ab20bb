"""Recorded rows survive cuts, damage and rivals, and say where they come from."""

import hashlib
import re
import threading

import pytest
import torch
from filelock import FileLock

from adapterlab.errors import UserError
from adapterlab.studies import results

ROW = {"key": "a1", "lr": 1e-3, "method": "größe", "losses": [[1, 0.5]], "test": None}


def test_what_is_recorded_is_read(tmp_path):
    assert results.read("runs", tmp_path) == []
    for i in range(3):
        assert results.record("runs", {**ROW, "i": i}, tmp_path)
    assert results.read("runs", tmp_path) == [{**ROW, "i": i} for i in range(3)]
    first = (tmp_path / "runs.jsonl").read_text().splitlines()[0]
    assert first == '{"i":0,"key":"a1","losses":[[1,0.5]],"lr":0.001,"method":"größe","test":null}'
    assert list(results.frame("runs", tmp_path)["i"]) == [0, 1, 2]


def test_rows_of_the_first_form_are_read_and_added_to(tmp_path):
    old = '{"check":"c839107ce157","row":{"adapterlab":"0.1.0","base":"minilm","commit":"8fdf0d8d4857","seed":0}}\n'
    (tmp_path / "runs.jsonl").write_text(old)
    results.record("runs", ROW, tmp_path)
    assert [row["commit"] for row in results.read("runs", tmp_path)[:1]] == ["8fdf0d8d4857"]
    assert results.read("runs", tmp_path)[1] == ROW


@pytest.mark.parametrize("cut", [1, 2, 20, -1])
def test_a_file_cut_off_at_any_place_of_its_last_line_is_mended(tmp_path, cut):
    for i in range(2):
        results.record("runs", {**ROW, "i": i}, tmp_path)
    path = tmp_path / "runs.jsonl"
    data = path.read_bytes()
    whole = data.index(b"\n") + 1
    path.write_bytes(data[: whole + 1] if cut == -1 else data[:-cut])
    with pytest.warns(UserWarning, match="half-written"):
        assert results.read("runs", tmp_path) == [{**ROW, "i": 0}]
    with pytest.warns(UserWarning, match="half-written"):
        results.record("runs", {**ROW, "i": 9}, tmp_path)
    assert [row["i"] for row in results.read("runs", tmp_path)] == [0, 9]


@pytest.mark.parametrize(
    ("line", "old", "new"), [(2, b'"i":1', b'"i":'), (3, b'{"i":2', b'["i":2'), (1, b'{"i":0', b"\0\0\0")]
)
def test_damage_elsewhere_names_file_and_line(tmp_path, line, old, new):
    for i in range(3):
        results.record("runs", {**ROW, "i": i}, tmp_path)
    path = tmp_path / "runs.jsonl"
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    before = path.read_bytes()
    for use in (lambda: results.read("runs", tmp_path), lambda: results.record("runs", ROW, tmp_path)):
        with pytest.raises(UserError, match=rf"runs\.jsonl, line {line}: damaged"):
            use()
    assert path.read_bytes() == before
    path.write_text("[1, 2]\n")
    with pytest.raises(UserError, match=r"line 1: damaged"):
        results.read("runs", tmp_path)


def test_a_writer_waits_for_the_other(tmp_path):
    results.record("runs", ROW, tmp_path)
    late = threading.Thread(target=results.record, args=("runs", {**ROW, "i": 1}, tmp_path))
    with FileLock(tmp_path / "runs.lock"):
        late.start()
        late.join(0.5)
        assert results.read("runs", tmp_path) == [ROW]
    late.join(30)
    assert results.read("runs", tmp_path) == [ROW, {**ROW, "i": 1}]


def test_key_is_stable():
    assert results.key({"a": 1, "b": (1, 2)}) == results.key({"b": [1, 2], "a": 1})
    assert results.key({"a": 1}) != results.key({"a": 2})
    assert results.key({"a": 1, "b": "x"}) == hashlib.sha256(b'{"a":1,"b":"x"}').hexdigest()[:16]


def test_bad_input(tmp_path):
    for name in ("", "a/b", "..", "a b", None):
        with pytest.raises(UserError, match="cannot name results"):
            results.read(name, tmp_path)
    for value in (float("nan"), {1, 2}):
        with pytest.raises(UserError, match="JSON"):
            results.record("runs", {"x": value}, tmp_path)
    assert not (tmp_path / "runs.jsonl").exists()
    results.record("size_sweep", ROW, tmp_path)
    with pytest.raises(UserError, match='did you mean "size_sweep"'):
        results.frame("size_swep", tmp_path)


def test_provenance(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.argv", ["/home/someone/benchmarks/record.py", "--out", "/home/someone/x", "--data=/y/z"])
    found = results.provenance("cpu")
    assert set(found) >= {"command", "commit", "device", "python", "torch", "transformers", "adapterlab", "date"}
    assert found["command"] == "record.py --out x --data=z"
    assert re.fullmatch(r"unknown|[0-9a-f]{12}(\+dirty)?", found["commit"])
    assert found["torch"] == torch.__version__
    results.commit.cache_clear()
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.delenv("ADAPTERLAB_COMMIT", raising=False)
    assert results.commit() == "unknown"
    results.commit.cache_clear()
