"""How long each notebook took where: data/results/notebook_times.csv, written by `run --record`."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

from ..paths import RESULTS, write_whole
from ..profiles import PROFILES, usable_cores

TIMES = RESULTS / "notebook_times.csv"
COLUMNS = tuple("notebook profile seconds peak_mb device cores python torch commit command date".split())
KEY = ("notebook", "profile", "device", "cores")
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


def read(path: Path = TIMES) -> list[dict[str, str]]:
    """The recorded rows, all values text; none when nothing was recorded yet."""
    if not Path(path).exists():
        return []
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def record(rows: list[dict], path: Path = TIMES) -> None:
    """Add rows; a row of the same notebook, profile, device and cores is replaced."""
    kept = {tuple(str(row[k]) for k in KEY): row for row in [*read(path), *rows]}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(kept.values(), key=_order))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.getvalue())


def _order(row: Mapping) -> tuple:
    return row["notebook"], PROFILES.index(row["profile"]), row["device"], int(row["cores"])


def where(row: dict) -> str:
    """ "two CPU cores", or the name of the GPU."""
    if row["device"] != "CPU":
        return row["device"]
    cores = int(row["cores"])
    return f"{NUMBERS[cores] if cores < len(NUMBERS) else cores} CPU core{'s' if cores != 1 else ''}"


def minutes(name: str, rows: list[dict]) -> str:
    """The measured minutes of one notebook, class first: "2.1 min on two CPU cores (class), ..."."""
    order = ("class", "smoke", "full")
    mine = sorted((r for r in rows if r["notebook"] == name), key=lambda r: order.index(r["profile"]))
    return ", ".join(f"{float(r['seconds']) / 60:.1f} min on {where(r)} ({r['profile']})" for r in mine)


def time_line(name: str, rows: list[dict]) -> str:
    """The line of a notebook's first cell that says how long it takes."""
    return f"**Time:** {minutes(name, rows) or 'not measured yet'}"


def cores() -> int:
    """The usable cores, or OMP_NUM_THREADS where that is less."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable_cores(), int(threads)) if threads.isdigit() and int(threads) else usable_cores()
