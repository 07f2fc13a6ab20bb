"""A sweep repeats nothing and loses nothing, whatever runs it and whatever stops it."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest
from here import TESTS

from adapterlab.errors import UserError
from adapterlab.studies import results
from adapterlab.studies.sweep import Sweep, run_sweep

SETTINGS = [{"n": n, "seed": 0} for n in range(6)]
HERE = TESTS / "studies"


def square(setting, log=None, seconds=0.0, bad=()):
    """n squared; leaves a mark for every call."""
    time.sleep(seconds)
    if log:
        with open(log, "a") as file:
            file.write(f"{setting['n']}\n")
    if setting["n"] in bad:
        raise RuntimeError(f"no {setting['n']}")
    return {"square": setting["n"] ** 2}


def squares(settings):
    return [square(s) for s in settings]


def calls(log):
    return sorted(int(line) for line in log.read_text().split()) if log.exists() else []


def quiet(*args, **kwargs):
    return run_sweep(*args, show=False, **kwargs)


@pytest.mark.parametrize("kind", [None, "threads", "processes"])
def test_any_executor_and_the_second_time_nothing_runs(tmp_path, kind):
    log = tmp_path / "log"
    pool = {None: lambda n: None, "threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}[kind](2)
    try:
        rows = quiet(partial(square, log=log), SETTINGS, "runs", pool, tmp_path, keep={"workers": 2})
        assert {r["n"]: r["square"] for r in rows} == {n: n * n for n in range(6)}
        assert all(r["workers"] == 2 and r["commit"] and r["date"] and r["seed"] == 0 for r in rows)
        again = quiet(partial(square, log=log), SETTINGS + [{"n": 6, "seed": 0}], "runs", pool, tmp_path)
        assert len(again) == 7 and calls(log) == [0, 1, 2, 3, 4, 5, 6]
    finally:
        if pool:
            pool.shutdown()


def test_dask(tmp_path):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        rows = quiet(square, SETTINGS, "runs", client.get_executor(), tmp_path)
    assert {r["n"]: r["square"] for r in rows} == {n: n * n for n in range(6)}


def test_a_failing_run_stops_no_other_and_is_tried_again(tmp_path):
    with pytest.warns(RuntimeWarning, match=r'RuntimeError: no 2 .*its setting: \{"n":2,"seed":0\}'):
        rows = quiet(partial(square, bad=(2,)), SETTINGS, "runs", folder=tmp_path)
    assert [r["n"] for r in rows] == [0, 1, 3, 4, 5]
    log = tmp_path / "log"
    assert len(quiet(partial(square, log=log), SETTINGS, "runs", folder=tmp_path)) == 6
    assert calls(log) == [2]


def test_groups_and_a_row_too_few(tmp_path):
    pairs = lambda todo: [todo[i : i + 2] for i in range(0, len(todo), 2)]  # noqa: E731
    assert [r["square"] for r in quiet(squares, SETTINGS, "runs", folder=tmp_path, group=pairs)] == [0, 1, 4, 9, 16, 25]
    with pytest.warns(RuntimeWarning, match="2 settings made 1 rows"):
        assert quiet(lambda s: [{}], SETTINGS, "other", folder=tmp_path, group=pairs) == []


def test_nothing_begins_after_the_time_is_up(tmp_path, capsys):
    assert run_sweep(square, SETTINGS, "runs", folder=tmp_path, until=time.time() - 1) == []
    assert "6 not begun" in capsys.readouterr().out
    assert len(quiet(square, SETTINGS, "runs", folder=tmp_path)) == 6


def test_bad_input(tmp_path):
    with pytest.raises(UserError, match="same setting"):
        quiet(square, [{"n": 1}, {"n": 1}], "runs", folder=tmp_path)
    with pytest.raises(UserError, match="JSON"):
        quiet(square, [{"n": {1}}], "runs", folder=tmp_path)
    with pytest.warns(RuntimeWarning, match="JSON"):
        assert quiet(lambda s: {"x": float("nan")}, SETTINGS[:1], "runs", folder=tmp_path) == []
    quiet(square, SETTINGS[:2], "runs", folder=tmp_path)
    path = tmp_path / "runs.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"square":0', b'"square":'))
    with pytest.raises(UserError, match="line 1: damaged"):
        quiet(square, SETTINGS, "runs", folder=tmp_path)


CHILD = """
import sys
from functools import partial
from concurrent.futures import ProcessPoolExecutor
sys.path[:0] = {here!r}
from test_sweep import SETTINGS, square
from adapterlab.studies.sweep import run_sweep
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1) if {pool} else None
    run_sweep(partial(square, log={log!r}, seconds={seconds}), SETTINGS, "runs", pool, {folder!r})
"""


def child(tmp_path, seconds, pool=False):
    places = {"here": [str(HERE), str(TESTS / "kit")], "log": str(tmp_path / "log"), "folder": str(tmp_path)}
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(**places, seconds=seconds, pool=pool))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS / "kit")])}
    return subprocess.Popen(
        [sys.executable, str(script)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip


def wait_for_rows(tmp_path, count):
    path, end = tmp_path / "runs.jsonl", time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < end, "the sweep recorded nothing"
        time.sleep(0.02)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("pool", [False, True])
def test_killed_with_nine_and_started_again(tmp_path, pool):
    first = child(tmp_path, 0.4, pool)
    wait_for_rows(tmp_path, 2)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    kept = len(results.read("runs", tmp_path))
    assert 2 <= kept < 6
    with open(tmp_path / "runs.jsonl", "ab") as file:
        file.write(b'{"check":"0123')  # what a writer killed in the middle leaves
    second = child(tmp_path, 0, pool)
    out, _ = second.communicate(timeout=120)
    assert second.returncode == 0 and f"{kept} of 6 runs are recorded already" in out and "half-written" in out
    rows = results.read("runs", tmp_path)
    assert sorted(r["n"] for r in rows) == list(range(6)), "nothing lost, nothing twice"
    ran = calls(tmp_path / "log")
    # only what ended in the moment of the kill, before the parent could write it down, may have run twice
    assert set(ran) == set(range(6)) and len(ran) <= 7 + pool


@pytest.mark.skipif(os.name != "posix", reason="SIGINT")
def test_ctrl_c_leaves_what_has_ended(tmp_path):
    run = child(tmp_path, 0.4)
    wait_for_rows(tmp_path, 1)
    os.kill(run.pid, signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode != 0
    kept = [r["n"] for r in results.read("runs", tmp_path)]
    assert 1 <= len(kept) < 6 and kept == list(range(len(kept)))


def test_two_sweeps_at_once_record_each_run_once(tmp_path):
    both = [child(tmp_path, 0.05), child(tmp_path, 0.05)]
    for run in both:
        run.communicate(timeout=120)
        assert run.returncode == 0
    assert sorted(r["n"] for r in results.read("runs", tmp_path)) == list(range(6))


def test_several_sweeps_share_an_executor(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        sweeps = [Sweep(square, SETTINGS, name, tmp_path, show=False).submit(pool) for name in ("one", "two")]
        assert [len(sweep.collect()) for sweep in sweeps] == [6, 6]
