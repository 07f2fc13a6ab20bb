"""What every method cost, a row a run: the table at the end of a lesson."""

import platform
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..train import Run

if TYPE_CHECKING:
    import pandas as pd


def disk_bytes(path: str | Path) -> int:
    """The bytes of a file, or of all files of a folder."""
    path = Path(path)
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size


class Ledger:
    """`ledger.add(run, disk=folder)`, then `ledger.frame()`."""

    def __init__(self):
        self.rows: list[dict] = []

    def add(self, run: Run, disk: int | str | Path | None = None, **more) -> None:
        """disk: bytes, or the path whose bytes count."""
        size = disk if disk is None or isinstance(disk, int) else disk_bytes(disk)
        self.rows.append(
            {
                "method": run.name,
                f"validation {run.metric}": round(100 * run.best, 1),
                "trained": run.trained,
                "trained %": round(run.trained_percent, 3),
                "step ms": round(run.step_ms, 1),
                "seconds": round(run.seconds, 1),
                "peak MB": round(run.peak_mb),
                "disk MB": None if size is None else round(size / 1e6, 2),
                "device": run.device,
                "torch": torch.__version__,
                "python": platform.python_version(),
                **more,
            }
        )

    def frame(self) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame(self.rows)
