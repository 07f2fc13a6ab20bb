"""Figures of 11_k_adapter: where the adapter runs, what a model knows, what adapters do to one another."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme
from ..kit.drawing import arrow, box

FROZEN, OWN, HEAD = "#E8E8E8", "#CFE3F1", "#F6E3B4"


def beside(layers: int, reads, names=("K-Adapter",)) -> go.Figure:
    """A frozen model of `layers` layers, read from below, and beside it each adapter's layers at `reads`."""
    fig = theme.figure(
        title="Frozen model in grey, adapters beside it",
        xaxis={"range": [-0.2, 3.4 + 3.6 * len(names)], "visible": False},
        yaxis={"range": [-1.4, layers + 1.2], "visible": False},
        height=160 + 62 * layers,
        margin={"l": 10, "r": 10, "t": 60, "b": 10},
    )
    for row in range(-1, layers):
        text = "embeddings" if row < 0 else f"layer {row}"
        box(fig, 0, row, 2.4, 0.7, text, FROZEN, 16)
        arrow(fig, 1.2, row + 0.7, 1.2, row + 1)
    box(fig, 0, layers, 2.4, 0.7, "head", HEAD, 16)
    for column, name in enumerate(names):
        left = 3.4 + 3.6 * column
        for i, row in enumerate(reads):
            box(fig, left, row, 3.1, 0.7, f"{name}, {i + 1}", OWN, 16)
            if column == 0:
                arrow(fig, 2.4, row + 0.35, left, row + 0.35)
            if i:
                arrow(fig, left + 1.5, reads[i - 1] + 0.7, left + 1.5, row)
        arrow(fig, left + 1.5, reads[-1] + 0.7, 2.4, layers + 0.35)
    return fig


def knows(frame: pd.DataFrame, chance: float, guess: float | None = None) -> go.Figure:
    """Accuracy on the towns that the head never saw: columns setup, accuracy, error (both in %, error: half of 95%).

    chance: of guessing, in %; guess: what the learner expects of both adapters together.
    """
    fig = theme.figure(
        title="Markets of towns that the head never saw",
        yaxis={"title": "accuracy, %", "range": [0, 112], "tickvals": [0, 25, 50, 75, 100]},
    )
    fig.add_bar(
        x=frame["setup"].tolist(), y=theme.f32(frame["accuracy"]), text=[f"{a:.0f}" for a in frame["accuracy"]],
        textposition="inside", insidetextanchor="start", textfont={"size": 22}, showlegend=False,
        error_y={"array": theme.f32(frame["error"].clip(upper=110 - frame["accuracy"])), "arrayminus": theme.f32(frame["error"]), "thickness": 2, "width": 6},
        hovertemplate="%{x}: %{y:.1f}%<extra></extra>", **theme.bars("live", "live"),
    )  # fmt: skip
    fig.add_hline(chance, line={"color": "#000000", "dash": "dot", "width": 2}, annotation_text=f"guessing: {chance:g}%", annotation_position="top left")  # fmt: skip
    if guess is not None:
        theme.mark(fig, guess)
    return fig.update_annotations(bgcolor="rgba(255,255,255,0.85)")


def company(frame: pd.DataFrame, guess: str | None = None) -> go.Figure:
    """Columns kind, layer, disturbed: how far two adapters at once are from the sum of what each does alone, in %.

    guess: the kind that the learner expects to be disturbed less; said in the title.
    """
    said = "" if guess is None else f"; your guess: {guess}"
    fig = theme.figure(
        title=f"Two adapters at once, against the sum of each alone{said}",
        xaxis={"title": "output of layer", "dtick": 1},
        yaxis={"title": "difference, % of the state's size", "rangemode": "tozero"},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        margin={"t": 100},
    )
    for i, (kind, rows) in enumerate(frame.groupby("kind", sort=False)):
        style = theme.series("live", kind, i)
        style["line"]["dash"], style["marker"]["symbol"] = theme.DASHES[i], theme.MARKERS[i]
        fig.add_scatter(
            x=rows["layer"].tolist(), y=theme.f32(rows["disturbed"]),
            hovertemplate=f"{kind}, layer %{{x}}: %{{y:.2g}}%<extra></extra>", **style,
        )  # fmt: skip
    return fig


def padding(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Columns attention, padding, moved: how far real tokens' states move, in %, over the number of padding tokens."""
    fig = theme.figure(
        title="The same sentence with padding behind it",
        xaxis={"title": "tokens of padding"},
        yaxis={"title": "state moved, %", "rangemode": "tozero"},
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        margin={"t": 100},
    )
    for i, (attention, rows) in enumerate(frame.groupby("attention", sort=False)):
        style = theme.series("live", attention, i)
        style["line"]["dash"], style["marker"]["symbol"] = theme.DASHES[i], theme.MARKERS[i]
        fig.add_scatter(
            x=rows["padding"].tolist(), y=theme.f32(rows["moved"]),
            hovertemplate=f"{attention}, %{{x}} of padding: %{{y:.3g}}%<extra></extra>", **style,
        )  # fmt: skip
    return fig if guess is None else theme.mark(fig, guess)


def markets(frame: pd.DataFrame, truth: str | None, title: str) -> go.Figure:
    """Columns market, probability: a bar each; the true market, where there is one, is marked with a tick."""
    fig = theme.figure(
        title=title,
        xaxis={"title": "probability, %", "range": [0, 115], "tickvals": [0, 25, 50, 75, 100]},
        yaxis={"autorange": "reversed"},
        height=360,
    )
    percent = 100 * frame["probability"]
    fig.add_bar(
        orientation="h", x=theme.f32(percent), y=[f"{m} ✓" if m == truth else m for m in frame["market"]],
        text=[f"{p:.0f}" for p in percent], textposition="outside", cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f}%<extra></extra>", showlegend=False, **theme.bars("live", "live"),
    )  # fmt: skip
    return fig
