"""The recorded ablations (benchmarks/ablation.py), and the paper's two findings held against one."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

from ...studies import results
from ...studies.spans import Ablation

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("what", "first", "last", "score", "drop", "lost", "gained", "error")
"""What a recorded run keeps of every row."""

RUN_COLUMNS = (
    "base", "seed", "size", "n_train", "rows", "norms", "depth", "intact", "majority",
    "seconds", "command", "commit", "device", "torch", "date",
)  # fmt: skip


def claims(ablation: Ablation, majority: float) -> list[dict]:
    """The paper's two findings, held against this ablation: dicts with claim, measured, bound, holds (scores in %).

    majority: the score of always saying the most frequent class. Each bound leaves room for three standard errors of
    what is compared, so that a sample of this size breaks a true claim about once in a thousand runs.
    """
    everything = ablation.span(0, ablation.depth - 1)
    chance = majority + 3 * math.sqrt(majority * (1 - majority) / ablation.rows)
    worst = max(ablation.singles, key=lambda row: row["drop"] - 3 * row["error"] / row["intact"])
    quarter = everything["drop"] / 4 + 3 * worst["error"] / worst["intact"]
    return [
        {
            "claim": "without any adapter the model does no better than the majority class",
            "measured": round(100 * everything["score"], 1),
            "bound": round(100 * chance, 1),
            "holds": everything["score"] <= chance,
        },
        {
            "claim": f"no single layer costs a quarter of what all of them cost (worst: layer {worst['first']})",
            "measured": round(100 * worst["drop"], 1),
            "bound": round(100 * quarter, 1),
            "holds": worst["drop"] <= quarter,
        },
    ]


def record_name(base: str) -> str:
    """The name of the recorded runs on a base model: "ablation" for the bundled one."""
    return "ablation" if base == "minilm" else "ablation_" + base.replace(".", "-")


def recorded(folder: Path | str = results.RESULTS) -> "pd.DataFrame | None":
    """The recorded runs on every base model as a DataFrame, one row a span or half and seed; None when there are none.

    Columns: COLUMNS, and of the run RUN_COLUMNS.
    """
    import pandas as pd

    names = [path.stem for path in sorted(Path(folder).glob("ablation*.jsonl"))]
    rows = [
        dict(zip(COLUMNS, span, strict=True)) | {key: run[key] for key in RUN_COLUMNS}
        for name in names
        for run in results.read(name, folder)
        for span in run["spans"]
    ]
    return pd.DataFrame(rows) if rows else None
