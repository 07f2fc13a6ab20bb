"""Figures of 00_start_here: what copies cost, what adapters cost, what a little training brings."""

import pandas as pd
import plotly.graph_objects as go

from ...studies.stats import accuracy_error
from ..kit import theme

COPIES, ADAPTERS = "a full copy for every task", "one model and an adapter for every task"


def storage(frame: pd.DataFrame, guess: float | None = None, title: str = "On disk, for so many tasks") -> go.Figure:
    """MB over the number of tasks. frame: columns tasks, copies_mb, adapters_mb; guess: for the last row."""
    fig = theme.figure(
        title=title,
        xaxis={"title": "number of tasks"},
        yaxis={"title": "size, MB", "rangemode": "tozero"},
        legend={"x": 0.02, "y": 0.98},
    )
    names = {"adapters_mb": ADAPTERS, "copies_mb": COPIES}
    long = frame.rename(columns=names).melt("tasks", list(names.values()), "way", "mb")
    theme.lines(fig, long, "tasks", "mb", "way", "%{x} tasks: %{y:.0f} MB")
    return theme.star(fig, int(frame["tasks"].iloc[-1]), guess)


def budget(frame: pd.DataFrame, title: str = "") -> go.Figure:
    """Two bars, in MB. frame: columns way, base_mb, tasks_mb (what is stored once, what the tasks add)."""
    names = {"base_mb": "stored once", "tasks_mb": "added by the tasks"}
    totals = frame.set_index("way")[list(names)].sum(axis=1)
    room = [0, 1.22 * float(totals.max())]
    fig = theme.figure(title=title, xaxis={"title": "size in float32, MB", "range": room}, height=360, **theme.LEGEND)
    long = frame.rename(columns=names).melt("way", list(names.values()), "part", "mb")
    return theme.beside(theme.stack(fig, long, "way", "mb", "part", "%{x:,.1f} MB"), totals, "{:,.0f} MB".format)


def scores(frame: pd.DataFrame, guess: float | None = None, rows: int | None = None) -> go.Figure:
    """One bar a row, its note below its name. frame: columns who, accuracy (in %, on validation), note.

    guess: of the last row, drawn across that bar alone. rows: how many were judged, which gives the intervals.
    """
    who, percent = list(frame["who"]), frame["accuracy"]
    names = [f'{w}<br><span style="font-size: 15px">{n}</span>' for w, n in zip(who, frame["note"], strict=True)]
    fig = theme.figure(
        title="Accuracy on validation", yaxis={"title": "validation accuracy, %", "range": [0, 109]}, **theme.LEGEND
    )
    half = {} if rows is None else {"error_y": theme.error([100 * accuracy_error(p / 100, rows) for p in percent])}
    theme.columns(fig.update_layout(showlegend=False), names, percent, "%{x}: %{y:.1f}%", inside=bool(half), **half)
    return theme.mark(fig, guess, unit="%", at=len(who) - 1.0)
