"""The recorded ablations (benchmarks/ablation.py), and the paper's two findings held against one."""

from pathlib import Path

import pandas as pd

from ...studies import results
from ...studies.spans import Ablation
from ...studies.stats import accuracy_error

COLUMNS = ("what", "first", "last", "score", "drop", "lost", "gained", "error")
"""What a recorded run keeps of every row."""


def claims(ablation: Ablation, majority: float) -> pd.DataFrame:
    """The paper's two findings, held against this ablation: columns claim, measured, 95%, bound (all in %), verdict.

    A claim says that something is at most its bound. It holds where the whole 95% interval lies below, fails where all
    of it lies above, and is open in between. majority: the score of always saying the most frequent class.
    """
    none = ablation.span(0, ablation.depth - 1)
    worst = max(ablation.singles, key=lambda row: row["drop"])
    rows = [
        ("without any adapter: no better than the majority class", none["score"],
         accuracy_error(none["score"], ablation.rows), majority),
        (f"the worst single layer ({worst['first']}) costs at most a quarter of what all cost", worst["drop"],
         1.96 * worst["error"] / worst["intact"], none["drop"] / 4),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["claim", "measured", "95%", "bound"])
    above, below = (table["measured"] + sign * table["95%"] > table["bound"] for sign in (-1, 1))
    verdict = [
        ("open" if over else "holds") if not under else "fails" for under, over in zip(above, below, strict=True)
    ]
    table[["measured", "95%", "bound"]] *= 100
    return table.round(1).assign(verdict=verdict)


def record_name(base: str) -> str:
    """The name of the recorded runs on a base model: "ablation" for the bundled one."""
    return "ablation" if base == "minilm" else "ablation_" + base.replace(".", "-")


def recorded(folder: Path | str = results.RESULTS) -> pd.DataFrame:
    """The recorded runs on every base model, one row a span or half and seed: the run's own columns and COLUMNS."""
    names = [path.stem for path in sorted(Path(folder).glob("ablation*.jsonl"))]
    return pd.DataFrame(
        [run | dict(zip(COLUMNS, span, strict=True)) | {"rows_train": run["n_train"]}
         for name in names for run in results.read(name, folder) for span in run["spans"]]
    )  # fmt: skip
