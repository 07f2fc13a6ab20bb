"""Figures of 00_start_here: what copies cost, what adapters cost, what a little training brings."""

import pandas as pd
import plotly.graph_objects as go

from ...studies.stats import accuracy_error
from ..kit import theme

COPIES, ADAPTERS = "a full copy for every task", "one model and an adapter for every task"


def storage(
    frame: pd.DataFrame, guess: float | None = None, title: str = "On disk, for so many tasks", unit: str = "mb",
    at: int | None = None,
) -> go.Figure:  # fmt: skip
    """What is kept over the number of tasks. frame: rows of `count.storage`, or columns tasks, copies_mb, adapters_mb.

    unit: "mb", or "times" the model's size. guess: for `at` tasks (None: for the last row's).
    """
    fig = theme.figure(
        title,
        "number of tasks",
        {"title": {"mb": "size, MB", "times": "size, times the model"}[unit], "rangemode": "tozero"},
        legend={"x": 0.02, "y": 0.98},
    )
    names = {f"adapters_{unit}": ADAPTERS, f"copies_{unit}": COPIES}
    long = frame.rename(columns=names).melt("tasks", list(names.values()), "way", "size")
    theme.lines(fig, long, "tasks", "size", "way", f"%{{x}} tasks: %{{y:,.2f}} {unit.replace('mb', 'MB')}")
    return theme.star(fig, int(frame["tasks"].iloc[-1]) if at is None else at, guess)


def budget(row: dict, title: str = "") -> go.Figure:
    """Two lying bars, in MB: copies, and one model with adapters. row: as `count.count` returns it."""
    copies, shared = f"{row['tasks']} copies", f"1 model,<br>{row['tasks']} adapters"
    base_mb = row["copies_mb"] / row["tasks"]
    parts = [(copies, 0.0, row["copies_mb"]), (shared, base_mb, row["adapters_mb"] - base_mb)]
    bars = pd.DataFrame(parts, columns=["way", "stored once", "added by the tasks"])
    bars = bars.melt("way", var_name="part", value_name="mb")
    totals = bars.groupby("way", sort=False)["mb"].sum()
    room = [0, 1.22 * float(totals.max())]
    fig = theme.figure(title, {"title": "size in float32, MB", "range": room}, legend=2, height=360)
    return theme.beside(theme.stack(fig, bars, "way", "mb", "part", "%{x:,.1f} MB"), totals, "{:,.0f} MB".format)


def scores(frame: pd.DataFrame, guess: float | None = None, rows: int | None = None) -> go.Figure:
    """One bar a row, its note below its name. frame: columns who, accuracy (in %, on validation), note.

    guess: of the last row, drawn across that bar alone. rows: how many were judged, which gives the intervals.
    """
    who, percent = list(frame["who"]), frame["accuracy"]
    names = [f'{w}<br><span style="font-size: 15px">{n}</span>' for w, n in zip(who, frame["note"], strict=True)]
    fig = theme.figure("Accuracy on validation", y={"title": "validation accuracy, %", "range": [0, 109]}, legend=2)
    half = {} if rows is None else {"error_y": theme.error([100 * accuracy_error(p / 100, rows) for p in percent])}
    theme.columns(fig.update_layout(showlegend=False), names, percent, "%{x}: %{y:.1f}%", inside=bool(half), **half)
    return theme.mark(fig, guess, unit="%", at=len(who) - 1.0)
