"""Recorded runs in data/results: one line of JSON a finished run, written at once, safe against a cut and a rival.

A line is {"check": ..., "row": {...}}; check is the first 12 hex digits of the SHA-256 of the row as it stands there.
So a line that was cut off or damaged is recognised.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from .. import __version__
from ..errors import UserError, suggest
from ..paths import RESULTS, ROOT

CHECK = 12


def stable(value) -> str:
    """One text for one value: sorted keys, no spaces. UserError for what JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"a row of results holds what JSON cannot: {error}; use numbers, texts and lists") from None


def key(setting: dict) -> str:
    """Sixteen hex digits that stand for a setting; the order of its entries does not count."""
    return hashlib.sha256(stable(setting).encode()).hexdigest()[:16]


def path_of(name, folder=RESULTS) -> Path:
    """data/results/<name>.jsonl; a name is a plain word."""
    if not isinstance(name, str) or not name or any(c in name for c in "/\\. \n"):
        raise UserError(f"{name!r} cannot name results; use letters, digits, - and _")
    return Path(folder) / f"{name}.jsonl"


def line_of(row: dict) -> bytes:
    text = stable(row)
    return f'{{"check":"{_check(text)}","row":{text}}}\n'.encode()


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:CHECK]


def _parse(line: bytes) -> dict | None:
    """The row of a line, or None when the line is not whole."""
    try:
        text = line.decode()
        head, body = f'{{"check":"{"0" * CHECK}","row":', text.rstrip("\n")
        if not text.endswith("}\n") or body[10 : 10 + CHECK] != _check(body[len(head) : -1]):
            return None
        return json.loads(body)["row"]
    except (ValueError, KeyError):
        return None


def record(name: str, row: dict, folder=RESULTS, unless=None) -> bool:
    """Append one row and force it to disk; what a killed writer left half-written at the end is cut off first.

    unless: the name of a column; nothing is written (and False returned) when a row with the same value in it is there,
    so two sweeps at once cannot record a run twice.
    """
    path, line = path_of(name, folder), line_of(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file, locked(file):
        end = _mend(path, file)
        if unless is not None and any(old.get(unless) == row.get(unless) for old in _rows(path, file)):
            return False
        file.seek(end)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return True


def _mend(path: Path, file) -> int:
    """Cut off a last line that is not whole; returns where the next line begins."""
    size = file.seek(0, os.SEEK_END)
    if not size:
        return 0
    start, back = 0, 1 << 16
    while True:  # the beginning of the last line, looked for from the end
        file.seek(max(0, size - back))
        cut = file.read(back).rstrip(b"\n").rfind(b"\n")
        if cut >= 0 or back >= size:
            start = max(0, size - back) + cut + 1 if cut >= 0 else 0
            break
        back *= 2
    file.seek(start)
    last = file.read(size - start)
    if _parse(last) is not None:
        return size
    if last.endswith(b"\n"):
        raise UserError(_damaged(path, _count_lines(file, start) + 1))
    warnings.warn(_partial(path) + "; it is cut off", stacklevel=4)
    file.truncate(start)
    return start


def _count_lines(file, end: int) -> int:
    file.seek(0)
    return file.read(end).count(b"\n")


def _rows(path: Path, file) -> list[dict]:
    file.seek(0)
    lines, rows = file.readlines(), []
    for number, line in enumerate(lines, 1):
        row = _parse(line)
        if row is not None:
            rows.append(row)
        elif number == len(lines) and not line.endswith(b"\n"):
            warnings.warn(_partial(path) + "; it is left out", stacklevel=4)
        else:
            raise UserError(_damaged(path, number))
    return rows


def _partial(path: Path) -> str:
    return f"{path}: the last line is half-written (a run was stopped while it wrote)"


def _damaged(path: Path, number: int) -> str:
    return f"{path}, line {number}: damaged (its checksum does not fit); delete that line, and its run is done again"


def read(name: str, folder=RESULTS) -> list[dict]:
    """All rows, in the order in which they were recorded; [] when nothing has been.

    A last line that is half-written is left out with a warning. UserError, with file and line, for damage elsewhere.
    """
    path = path_of(name, folder)
    if not path.exists():
        return []
    with open(path, "rb") as file:
        return _rows(path, file)


def frame(name: str, folder=RESULTS):
    """The rows as a pandas DataFrame; UserError when there are none."""
    import pandas as pd

    rows = read(name, folder)
    if not rows:
        known = sorted(p.stem for p in Path(folder).glob("*.jsonl"))
        raise UserError(
            f'nothing is recorded under "{name}"{suggest(name, known)}; recorded: {", ".join(known) or "nothing"}'
        )
    return pd.DataFrame(rows)


def frame_or_none(name: str, folder=RESULTS, hint: str = ""):
    """The rows as a DataFrame; None, and one printed line that says how to record them, when there are none.

    hint: what record.py needs besides, as "--data GLUE_ROOT".
    """
    if not read(name, folder):
        words = " ".join(filter(None, ["python benchmarks/record.py --only", name, hint]))
        print(f"not recorded yet: {name}; `{words}` records it")
        return None
    return frame(name, folder)


@contextmanager
def locked(file):
    """Keep other writers out of this file; where the system has no such lock, appends are single writes at least."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


@lru_cache
def commit() -> str:
    """The commit of the checkout, "+dirty" when the package differs from it, "unknown" outside of git."""

    def git(*words):
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        if not head:
            return os.environ.get("ADAPTERLAB_COMMIT") or "unknown"
        return head + ("+dirty" if git("status", "--porcelain", "--", "adapterlab", "benchmarks") else "")
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("ADAPTERLAB_COMMIT") or "unknown"


def command() -> str:
    """The command line, with the paths of this machine cut down to their last part."""
    words = [Path(sys.argv[0]).name if sys.argv[0] else "python", *sys.argv[1:]]
    short = [f"{w.split('=')[0]}={Path(w.split('=', 1)[1]).name}" if "=" in w else w for w in words]
    return " ".join(Path(w).name if "/" in w or "\\" in w else w for w in short)


def provenance(device=None) -> dict:
    """Where a number comes from: command, commit, device, versions, date (UTC); no name of a host or a person."""
    import torch
    import transformers

    from ..lab import device_name, pick_device

    return {
        "command": command(),
        "commit": commit(),
        "device": device_name(pick_device("auto") if device is None else torch.device(device)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "adapterlab": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
