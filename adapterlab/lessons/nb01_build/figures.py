"""Figures of 01_build_an_adapter: how far a new adapter moves the output, what it adds, where it sits."""

import math

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme

STD_TICKS = [10.0**k for k in range(-7, 1)]
STD_TEXT = [f"1e{k}" if k else "1" for k in range(-7, 1)]
PAPER_STD, CODE_STD = 1e-2, 1e-3


def movement(frame: pd.DataFrame, guess: float | None = None, title: str = "") -> go.Figure:
    """How far new adapters move the last hidden states, in %, over std (both axes logarithmic).

    frame: columns std, moved_percent, who (a line each); guess: the std at which the learner expects 10%.
    """
    fig = theme.figure(
        title=title or "How far a new adapter moves the output",
        xaxis={
            "title": "std of the initial weights",
            "type": "log",
            "tickvals": STD_TICKS,
            "ticktext": STD_TEXT,
            "range": [-7.3, 0.3],
        },
        yaxis={
            "title": "moved, %",
            "type": "log",
            "range": [-5.7, 3],
            "tickvals": [1e-4, 1e-2, 1, 10, 100],
            "ticktext": ["0.0001", "0.01", "1", "10", "100"],
        },
        legend={"x": 0.02, "y": 0.8},
        height=500,
    )
    for index, (who, rows) in enumerate(frame.groupby("who", sort=False)):
        look = theme.series("live", str(who), index)
        look["line"]["dash"] = theme.DASHES[index]
        look["marker"]["symbol"] = theme.MARKERS[index]
        fig.add_scatter(
            x=rows["std"].to_numpy(),
            y=theme.f32(rows["moved_percent"].clip(lower=3e-6)),
            hovertemplate=f"{who}<br>std %{{x:.0e}}: moved by %{{y:.2g}}%<extra></extra>",
            **look,
        )
    for std, name in ((PAPER_STD, "paper"), (CODE_STD, "code")):
        fig.add_vline(std, line={"color": theme.PAPER_COLOUR, "dash": "dot", "width": 2})
        fig.add_annotation(x=_log(std), y=-5.4, text=name, showarrow=False, textangle=0, xanchor="left", xshift=4)
    if guess is not None:
        fig.add_scatter(
            x=[guess],
            y=[10.0],
            hovertemplate="your guess: 10% at std %{x:.1g}<extra></extra>",
            **theme.series("your guess"),
        )
    return fig


def _log(value: float) -> float:
    return math.log10(value)


def shares(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Adapter parameters in % of the model. frame: columns size, percent, parameters; guess: in %, a line."""
    fig = theme.figure(
        title="Two adapters in each of six layers",
        xaxis={"title": "bottleneck size", "type": "category"},
        yaxis={"title": "% of the model", "range": [0, 1.2 * max(float(frame["percent"].max()), guess or 0)]},
        showlegend=False,
    )
    fig.add_bar(
        x=[str(s) for s in frame["size"]],
        y=theme.f32(frame["percent"]),
        text=[f"{p:.2f}" for p in frame["percent"]],
        textposition="outside",
        customdata=frame["parameters"].to_numpy(),
        marker={"color": theme.OKABE_ITO[0]},
        hovertemplate="size %{x}: %{customdata:,} parameters, %{y:.2f}%<extra></extra>",
    )
    return fig if guess is None else theme.mark(fig, guess, "your guess")


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
    fig = theme.figure(
        title="One BERT layer, read from below",
        xaxis={"range": [-0.5, 10], "visible": False},
        yaxis={"range": [-0.9, 8.3], "visible": False},
        height=600,
        margin={"l": 10, "r": 10, "t": 60, "b": 10},
        showlegend=False,
    )
    for row, (text, kind) in enumerate(BLOCK):
        _box(fig, 0.4, row, 4.2, text, COLOURS[kind], f"{text}: {'trained' if kind == 'norm' else 'frozen'}")
        _arrow(fig, 2.5, row - 0.26, 2.5, row - 0.02)
    for row, on, name in ((2, attention, "attention"), (6, feedforward, "feed-forward")):
        if on:
            note = f"{name} adapter<br>{width} → {size} → {width}, GELU<br>+ skip"
            _box(
                fig,
                6.0,
                row - 0.35,
                3.7,
                note,
                theme.OKABE_ITO[5],
                f"adapter, {2 * width * size + width + size:,} parameters",
                1.45,
            )
            _arrow(fig, 4.6, row + 0.5, 6.0, row + 0.5)
            _arrow(fig, 6.0, row + 0.25, 4.6, row + 0.25)
    for low, high in ((0, 3), (4, 7)):
        path = f"M 2.5 {low - 0.15} L -0.2 {low - 0.15} L -0.2 {high + 0.37} L 0.4 {high + 0.37}"
        fig.add_shape(type="path", path=path, line={"color": "#666666", "width": 2, "dash": "dash"})
    return fig


def _box(fig, x, y, width, text, colour, hover, height=0.74):
    fig.add_shape(
        type="rect", x0=x, x1=x + width, y0=y, y1=y + height, fillcolor=colour, line={"width": 1}, layer="below"
    )
    fig.add_scatter(
        x=[x + width / 2],
        y=[y + height / 2],
        mode="text",
        text=[text],
        textfont={"size": 16},
        hovertext=[hover],
        hoverinfo="text",
    )


def _arrow(fig, x0, y0, x1, y1):
    fig.add_annotation(
        x=x1,
        y=y1,
        ax=x0,
        ay=y0,
        xref="x",
        yref="y",
        axref="x",
        ayref="y",
        showarrow=True,
        arrowhead=2,
        arrowwidth=2,
        text="",
    )


def losses(history: pd.DataFrame, window: int = 10) -> go.Figure:
    """Training loss over steps, a line a run. history: columns who, step, loss; smoothed over `window` steps."""
    fig = theme.figure(title=f"Training loss (mean of {window} steps)", xaxis_title="step", yaxis_title="loss")
    for index, (who, rows) in enumerate(history.groupby("who", sort=False)):
        fig.add_scatter(
            x=rows["step"].to_numpy(),
            y=theme.f32(rows["loss"].rolling(window, min_periods=1).mean()),
            mode="lines",
            name=str(who),
            line={"color": theme.OKABE_ITO[index], "dash": theme.DASHES[index], "width": 3},
            hovertemplate=f"{who}<br>step %{{x}}: %{{y:.3f}}<extra></extra>",
        )
    return fig
