"""Figures of 11_k_adapter: where the adapter runs, what a model knows, what adapters do to one another."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme
from ..kit.drawing import arrow, box

FROZEN, OWN, HEAD = "#E8E8E8", "#CFE3F1", "#F6E3B4"


def beside(layers: int, reads: Sequence[int], names: Sequence[str] = ("K-Adapter",)) -> go.Figure:
    """A frozen model of `layers` layers, read from below, and beside it each adapter's layers at `reads`."""
    fig = theme.figure("Frozen model in grey, adapters beside it", height=160 + 62 * layers)
    fig.update_layout(margin={"l": 10, "r": 10, "t": 60, "b": 10})
    fig.update_xaxes(range=[-0.2, 3.4 + 3.6 * len(names)], visible=False)
    fig.update_yaxes(range=[-1.4, layers + 1.2], visible=False)
    for row in range(-1, layers):
        box(fig, 0, row, 2.4, 0.7, "embeddings" if row < 0 else f"layer {row}", FROZEN)
        arrow(fig, 1.2, row + 0.7, 1.2, row + 1)
    box(fig, 0, layers, 2.4, 0.7, "head", HEAD)
    for column, name in enumerate(names):
        left = 3.4 + 3.6 * column
        for i, row in enumerate(reads):
            box(fig, left, row, 3.1, 0.7, f"{name}, {i + 1}", OWN)
            if column == 0:
                arrow(fig, 2.4, row + 0.35, left, row + 0.35)
            if i:
                arrow(fig, left + 1.5, reads[i - 1] + 0.7, left + 1.5, row)
        arrow(fig, left + 1.5, reads[-1] + 0.7, 2.4, layers + 0.35)
    return fig


def knows(frame: pd.DataFrame, chance: float, guess: float | None = None, whose: str = "both") -> go.Figure:
    """Accuracy on the towns that the head never saw: columns setup, accuracy, low, high (its 95% interval; in %).

    chance: of guessing, in %; guess: what the learner expects of the row `whose`.
    """
    axis = {"title": "test accuracy, %", "range": [0, 112], "tickvals": [0, 25, 50, 75, 100]}
    fig = theme.figure("Markets of towns that the head never saw", y=axis, legend=2)
    bars = {"name": "measured, with 95% interval", "inside": True, "textfont": {"size": 22}}
    bars["error_y"] = theme.error(frame["high"] - frame["accuracy"], frame["accuracy"] - frame["low"])
    theme.columns(fig, frame["setup"], frame["accuracy"], "%{x}: %{y:.1f}%", ".0f", **bars)
    theme.mark(fig, chance, "live", "guessing", unit="%")
    return theme.mark(fig, guess, at=list(frame["setup"]).index(whose), unit="%")


def company(frame: pd.DataFrame, guess: str | None = None) -> go.Figure:
    """Columns kind, layer, disturbed: how far two adapters at once are from the sum of what each does alone, in %.

    guess: the kind that the learner expects to be disturbed less; said in the title.
    """
    more = "" if guess is None else f"; your guess: {guess}"
    fig = theme.figure(f"Two adapters at once, against the sum of each alone{more}", legend=2)
    fig.update_xaxes(title="output of layer", dtick=1).update_yaxes(title="difference, % of the state's size")
    return theme.lines(fig, frame, "layer", "disturbed", "kind", "layer %{x}: %{y:.2g}%").update_yaxes(
        rangemode="tozero"
    )


def padding(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Columns attention, padding, moved: how far real tokens' states move, in %, over the number of padding tokens."""
    fig = theme.figure("The same sentence with padding behind it", legend=2)
    fig.update_xaxes(title="number of padding tokens").update_yaxes(title="state moved, %", rangemode="tozero")
    theme.lines(fig, frame, "padding", "moved", "attention", "%{x} of padding: %{y:.3g}%")
    return theme.mark(fig, guess, unit="%")


def markets(frame: pd.DataFrame, truth: str | None, title: str) -> go.Figure:
    """Columns market, probability: a bar each; the true market, where there is one, is marked with a tick."""
    room = {"title": "probability, %", "range": [0, 115], "tickvals": [0, 25, 50, 75, 100]}
    fig = theme.figure(title, room, height=360).update_yaxes(autorange="reversed")
    names = [f"{market} ✓" if market == truth else market for market in frame["market"]]
    return theme.columns(fig, names, 100 * frame["probability"], "%{y}: %{x:.1f}%", ".0f", lying=True)
