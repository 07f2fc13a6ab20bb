"""Figures of 01_build_an_adapter: how far a new adapter moves the output, what it adds, where it sits, its runs."""

import math
from collections.abc import Callable

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme
from ..kit.drawing import arrow, box

START = {"in the paper": 1e-2, "in its code": 1e-3}


def movement(frame: pd.DataFrame, guess: float | None = None, title: str = "") -> go.Figure:
    """How far new adapters move the last hidden states, in %, over std (both axes logarithmic).

    frame: columns std, moved_percent, who (a line each); guess: the std at which the learner expects 10%. What does not
    move at all has no place on a logarithmic axis: the caption says where that begins.
    """
    moves, still = frame[frame["moved_percent"] > 0], frame[frame["moved_percent"] == 0]
    fig = theme.figure(
        title or "How far a new adapter moves the output", theme.log("std of the initial weights", 1e-7, 1),
        theme.log("output moved, %", min(1e-4, float(moves["moved_percent"].min())), 1000), legend=2,
        height=530,
    )  # fmt: skip
    theme.lines(fig, moves, "std", "moved_percent", "who", "std %{x:.0e}: moved by %{y:.2g}%")
    for name, std in START.items():
        fig.add_vline(std, line={"color": theme.PAPER_COLOUR, "dash": "dot", "width": 2})
        fig.add_annotation(
            x=math.log10(std), y=0.01, yref="y domain", text=name, showarrow=False, xanchor="right", textangle=-90,
            xshift=-2,
        )  # fmt: skip
    if len(still):
        worst = still.nlargest(1, "std").iloc[0]
        theme.caption(fig, f"{worst['who']}: not moved at all (exactly 0) at std {theme.power(worst['std'])} and below")
    return theme.star(fig, guess, 10, f"10% at {guess:g}" if guess else "")


def shares(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Adapter parameters in % of the model. frame: columns size, percent, parameters; guess: in %, a line."""
    fig = theme.figure(
        "Two adapters in each of six layers",
        {"title": "bottleneck size", "type": "category"},
        {"title": "parameters, % of the model", "range": [0, 1.2 * max(frame["percent"].max(), guess or 0)]},
        legend=2,
    )
    hover, sizes = "size %{x}: %{customdata:,} parameters, %{y:.2f}%", [str(size) for size in frame["size"]]
    theme.columns(fig, sizes, frame["percent"], hover, ".2f", customdata=frame["parameters"].to_numpy())
    return theme.mark(fig.update_layout(showlegend=False), guess, unit="%")


#: One BERT layer from below: text, kind. Those of kind "site" are where an adapter can go.
BLOCK = (
    ("self-attention", "frozen"),
    ("attention.output.dense", "frozen"),
    ("attention.output.dropout", "site"),
    ("+ residual, LayerNorm", "norm"),
    ("intermediate.dense, GELU", "frozen"),
    ("output.dense", "frozen"),
    ("output.dropout", "site"),
    ("+ residual, LayerNorm", "norm"),
)
COLOURS = {"frozen": "#DDDDDD", "site": "#DDDDDD", "norm": "#F6E3B4"}


def block(attention: bool, feedforward: bool, width: int, size: int) -> go.Figure:
    """One BERT layer as boxes, from below; the adapters hang at the two dropouts, before residual and LayerNorm."""
    fig = theme.figure("One BERT layer, read from below", height=600, margin={"l": 10, "r": 10, "t": 60, "b": 10})
    fig.update_xaxes(range=[-0.5, 10], visible=False).update_yaxes(range=[-0.9, 8.3], visible=False)
    for row, (text, kind) in enumerate(BLOCK):
        box(fig, 0.4, row, 4.2, 0.74, text, COLOURS[kind], hover="trained" if kind == "norm" else "frozen")
        arrow(fig, 2.5, row - 0.26, 2.5, row - 0.02)
    for row, on, name in ((2, attention, "attention"), (6, feedforward, "feed-forward")):
        if on:
            text = f"{name} adapter<br>{width} → {size} → {width}, GELU<br>+ skip"
            box(fig, 6.0, row - 0.35, 3.7, 1.45, text, theme.OKABE_ITO[4], hover="trained")
            arrow(fig, 4.6, row + 0.5, 6.0, row + 0.5)
            arrow(fig, 6.0, row + 0.25, 4.6, row + 0.25)
    for low, high in ((0, 3), (4, 7)):
        path = f"M 2.5 {low - 0.15} L -0.2 {low - 0.15} L -0.2 {high + 0.37} L 0.4 {high + 0.37}"
        fig.add_shape(type="path", path=path, line={"color": "#666666", "width": 2, "dash": "dash"})
    return fig


def losses(history: pd.DataFrame, window: int = 10, by: str = "who", index: Callable | None = None) -> go.Figure:
    """Training loss over steps, a line a run. history: columns who (or `by`), step, loss; smoothed over `window` steps.

    index: a run's name -> its colour.
    """
    fig = theme.figure(
        f"Training loss (mean of {window} steps)" if window > 1 else "Training loss",
        "training step",
        "loss (cross-entropy)",
    )
    mean = history.groupby(by, sort=False)["loss"].transform(lambda loss: loss.rolling(window, min_periods=1).mean())
    return theme.lines(
        fig, history.assign(loss=mean), "step", "loss", by, "step %{x}: %{y:.3f}", index=index, mode="lines"
    )


def runs(frame: pd.DataFrame, title: str = "", guess: float | None = None, chance: float | None = None) -> go.Figure:
    """A point for every run, beside each other by their seed, and a line at each group's mean.

    frame: columns who (a group), seed, accuracy (between 0 and 1, on validation). guess: of the first group, in %;
    chance: what the most frequent class scores, in %.
    """
    names = list(dict.fromkeys(frame["who"]))
    seeds = sorted(frame["seed"].unique())
    fig = theme.figure(
        title or "Validation accuracy, a point for each run",
        {"tickvals": list(range(len(names))), "ticktext": names, "range": [-0.6, len(names) - 0.4]},
        "validation accuracy, %",
        legend=3,
    )
    shift = {seed: 0.14 * (place - (len(seeds) - 1) / 2) for place, seed in enumerate(seeds)}
    x = frame["who"].map(names.index) + frame["seed"].map(shift)
    points = frame.assign(x=x, percent=100 * frame["accuracy"], line=[f"seed {seed}" for seed in frame["seed"]])
    theme.lines(
        fig, points.sort_values("seed", kind="stable"), "x", "percent", "line", "%{customdata}: %{y:.1f}%", note="who",
        mode="markers",
    )  # fmt: skip
    for place, mean in enumerate(frame.groupby("who", sort=False)["accuracy"].mean()):
        fig.add_shape(type="line", x0=place - 0.3, x1=place + 0.3, y0=100 * mean, y1=100 * mean, line={"width": 2})
    if chance is not None:
        theme.mark(fig, chance, "paper", text=f"most frequent class: {chance:.1f}%")
    return theme.mark(fig, guess, unit="%", at=0.0)


def designs(frame: pd.DataFrame, limit: int) -> go.Figure:
    """Validation accuracy over trained parameters, with the budget. frame: columns who, trained, accuracy (0 to 1)."""
    low, high = 0.5 * min(limit, frame["trained"].min()), 2 * max(limit, frame["trained"].max())
    fig = theme.figure(
        f"Which design stays below {limit:,}? A point is one run",
        theme.log("trained parameters (log scale)", float(low), float(high)),
        "validation accuracy, %",
        legend=3,
    )
    percent = frame.assign(percent=100 * frame["accuracy"])
    theme.lines(fig, percent, "trained", "percent", "who", "%{x:,} parameters: %{y:.1f}%", mode="markers")
    return theme.mark(fig, limit, "paper", axis="x", text=f"{limit:,} parameters")
