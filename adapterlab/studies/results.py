"""Recorded runs in data/results: one line of JSON a finished run, written at once, safe against a cut and a rival.

A line that ends is whole; one that does not was cut off while it was written.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from .. import __version__
from ..errors import UserError, suggest
from ..paths import RESULTS, ROOT

if TYPE_CHECKING:
    import pandas as pd


def stable(value) -> str:
    """One text for one value: sorted keys, no spaces. UserError for what JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(f"a row of results holds what JSON cannot: {error}; use numbers, texts and lists") from None


def key(setting: dict) -> str:
    """Sixteen hex digits that stand for a setting; the order of its entries does not count."""
    return hashlib.sha256(stable(setting).encode()).hexdigest()[:16]


def path_of(name: str, folder: Path | str = RESULTS) -> Path:
    """data/results/<name>.jsonl; a name is a plain word."""
    if not isinstance(name, str) or not name or any(c in name for c in "/\\. \n"):
        raise UserError(f"{name!r} cannot name results; use letters, digits, - and _")
    return Path(folder) / f"{name}.jsonl"


def record(name: str, row: dict, folder: Path | str = RESULTS, unless: str | None = None) -> bool:
    """Append one row and force it to disk; what a killed writer left half-written at the end is cut off first.

    unless: the name of a column; nothing is written (and False returned) when a row with the same value in it is there,
    so two sweeps at once cannot record a run twice.
    """
    path, line = path_of(name, folder), stable(row).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")), open(path, "a+b") as file:
        rows, end = _rows(path)
        if unless is not None and any(old.get(unless) == row.get(unless) for old in rows):
            return False
        file.truncate(end)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return True


def _rows(path: Path) -> tuple[list[dict], int]:
    """The rows of a file, and how many of its bytes they take; what comes behind those is a half-written line."""
    rows, end = [], 0
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            warnings.warn(f"{path}: the last line is half-written (a run was stopped); it is left out", stacklevel=3)
            break
        try:
            row = json.loads(line)
            rows.append(row["row"] if row.keys() == {"check", "row"} else row)  # the first form had a checksum
        except (ValueError, AttributeError):
            raise UserError(f"{path}, line {number}: damaged; delete that line, and its run is done again") from None
        end += len(line)
    return rows, end


def read(name: str, folder: Path | str = RESULTS) -> list[dict]:
    """All rows, in the order in which they were recorded; [] when nothing has been.

    A last line that is half-written is left out with a warning. UserError, with file and line, for damage elsewhere.
    """
    path = path_of(name, folder)
    return _rows(path)[0] if path.exists() else []


def frame(name: str, folder: Path | str = RESULTS) -> "pd.DataFrame":
    """The rows as a pandas DataFrame; UserError when there are none."""
    import pandas as pd

    rows = read(name, folder)
    if not rows:
        known = sorted(p.stem for p in Path(folder).glob("*.jsonl"))
        raise UserError(
            f'nothing is recorded under "{name}"{suggest(name, known)}; recorded: {", ".join(known) or "nothing"}'
        )
    return pd.DataFrame(rows)


def frame_or_none(name: str, folder: Path | str = RESULTS, hint: str = "") -> "pd.DataFrame | None":
    """The rows as a DataFrame; None, and one printed line that says how to record them, when there are none.

    hint: what record.py needs besides, as "--data GLUE_ROOT".
    """
    if not read(name, folder):
        words = " ".join(filter(None, ["python benchmarks/record.py --only", name, hint]))
        print(f"not recorded yet: {name}; `{words}` records it")
        return None
    return frame(name, folder)


@lru_cache
def commit(beside: str = "benchmarks") -> str:
    """The checkout's commit, "+dirty" when the package or `beside` differs from it, "unknown" outside git."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        head = git("rev-parse", "--short=12", "HEAD")
        dirty = head and git("status", "--porcelain", "--", "adapterlab", beside)
    except (OSError, subprocess.SubprocessError):
        head = dirty = ""
    return head + ("+dirty" if dirty else "") or os.environ.get("ADAPTERLAB_COMMIT") or "unknown"


def command() -> str:
    """The command line, with the paths of this machine cut down to their last part."""
    words = [Path(sys.argv[0]).name if sys.argv[0] else "python", *sys.argv[1:]]
    short = [f"{w.split('=')[0]}={Path(w.split('=', 1)[1]).name}" if "=" in w else w for w in words]
    return " ".join(Path(w).name if "/" in w or "\\" in w else w for w in short)


def provenance(device=None, beside: str = "benchmarks") -> dict[str, str]:
    """Where a number comes from: command, commit, device, versions, date (UTC); no name of a host or a person.

    device: where it was computed; None: where `lab.setup` would. beside: as in `commit`.
    """
    import torch

    from ..lab import device_name, pick_device

    return {
        "command": command(),
        "commit": commit(beside),
        "device": device_name(pick_device("auto") if device is None else torch.device(device)),
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
        "adapterlab": __version__,
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
