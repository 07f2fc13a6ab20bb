"""Figures of 00_start_here: what copies cost, what adapters cost, what a little training brings."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme

COPIES, ADAPTERS = "a full copy for every task", "one model and an adapter for every task"


def storage(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """MB on disk over the number of tasks. frame: columns tasks, copies_mb, adapters_mb; guess: for the last row."""
    fig = theme.figure(
        title="On disk, for so many tasks",
        xaxis={"title": "tasks", "dtick": 1},
        yaxis={"title": "MB", "rangemode": "tozero"},
        legend={"x": 0.02, "y": 0.98},
    )
    for index, (column, name) in enumerate((("adapters_mb", ADAPTERS), ("copies_mb", COPIES))):
        fig.add_scatter(
            x=frame["tasks"].to_numpy(),
            y=theme.f32(frame[column]),
            hovertemplate=f"{name}<br>%{{x}} tasks: %{{y:.0f}} MB<extra></extra>",
            **(look := theme.series("live", name, index))
            | {"marker": look["marker"] | {"symbol": theme.MARKERS[index]}},
        )
    if guess is not None:
        fig.add_scatter(
            x=[int(frame["tasks"].iloc[-1])],
            y=[guess],
            hovertemplate="your guess: %{y:.0f} MB<extra></extra>",
            **theme.series("your guess"),
        )
    return fig


def budget(frame: pd.DataFrame, title: str = "") -> go.Figure:
    """Two bars, in MB. frame: columns way, base_mb, tasks_mb (what is stored once, what the tasks add)."""
    fig = theme.figure(
        title=title,
        barmode="stack",
        xaxis={"title": "MB in float32", "range": [0, 1.22 * float((frame["base_mb"] + frame["tasks_mb"]).max())]},
        yaxis={"autorange": "reversed"},
        height=360,
        legend={"orientation": "h", "x": 0, "y": 1.2, "traceorder": "normal"},
        margin={"t": 100},
    )
    for index, (column, name) in enumerate((("base_mb", "stored once"), ("tasks_mb", "added by the tasks"))):
        style = theme.bars("live", name, index)
        style["marker"]["pattern"]["shape"] = ("", "/")[index]
        fig.add_bar(
            x=theme.f32(frame[column]),
            y=list(frame["way"]),
            orientation="h",
            hovertemplate=f"%{{y}}<br>{name}: %{{x:,.1f}} MB<extra></extra>",
            **style,
        )
    for way, total in zip(frame["way"], frame["base_mb"] + frame["tasks_mb"], strict=True):
        fig.add_annotation(x=float(total), y=way, text=f"{total:,.0f} MB", showarrow=False, xanchor="left", xshift=6)
    return fig


def scores(frame: pd.DataFrame, guess: float | None = None, title: str = "Accuracy on validation") -> go.Figure:
    """One bar a row, in %. frame: columns who, accuracy (between 0 and 1), note; guess: a line, in %."""
    fig = theme.figure(title=title, yaxis={"title": "accuracy, %", "range": [0, 109]}, showlegend=False)
    colours = [theme.OKABE_ITO[i % len(theme.OKABE_ITO)] for i in (6, 4, 0, 2, 5)][: len(frame)]
    percent = theme.f32(100 * frame["accuracy"])
    fig.add_bar(
        x=list(frame["who"]),
        y=percent,
        text=[f"{p:.1f}" for p in percent],
        textposition="outside",
        marker={"color": colours},
        customdata=list(frame["note"]),
        hovertemplate="%{x}: %{y:.1f}%<br>%{customdata}<extra></extra>",
    )
    return fig if guess is None else theme.mark(fig, guess, "your guess")
