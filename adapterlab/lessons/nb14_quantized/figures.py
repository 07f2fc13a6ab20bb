"""Figures of 14_quantized_base: where the levels lie, what is saved, what it costs."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit import theme


def levels(weights: Sequence[float], grids: dict[str, Sequence[float]]) -> go.Figure:
    """Weights divided by their block's largest, as a histogram, above the levels of each grid.

    weights: 1-D numbers in [-1, 1]; grids: name -> its levels. A level is a tick mark in the row of its grid.
    """
    fig = theme.apply(
        make_subplots(2, 1, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.06),
        title="Where the weights are, and where the levels are",
        showlegend=False,
    )
    counts = pd.cut(pd.Series(weights), [i / 25 - 1 for i in range(51)], include_lowest=True).value_counts(sort=False)
    share = 100 * counts / len(weights)
    fig.add_bar(
        x=theme.f32([i / 25 - 0.98 for i in range(50)]), y=theme.f32(share), width=0.038,
        marker={"color": theme.OKABE_ITO[0]}, hovertemplate="around %{x:.2f}: %{y:.1f}% of the weights<extra></extra>",
        row=1, col=1,
    )  # fmt: skip
    for i, (name, grid) in enumerate(grids.items()):
        fig.add_scatter(
            x=theme.f32(grid), y=[name] * len(grid), mode="markers", row=2, col=1,
            marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": theme.OKABE_ITO[1 + i]}},
            hovertemplate=f"{name}: level %{{x:.3f}}<extra></extra>",
        )  # fmt: skip
    fig.update_yaxes(title="% of weights", row=1, col=1)
    fig.update_xaxes(title="weight / largest of its block", row=2, col=1)
    return fig


def errors(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Columns grid, error (root mean square, % of the weights'): one bar a grid, its number on it.

    guess: of the last grid.
    """
    top = 1.15 * max(float(frame["error"].max()), guess or 0)
    axis = {"title": "rms error, % of the weights' rms", "range": [0, top]}
    fig = theme.figure(title="Error of the packed weights", yaxis=axis, **theme.LEGEND)
    theme.columns(fig, frame["grid"], frame["error"], "%{x}: %{y:.2f}%", name="measured")
    return theme.mark(fig, guess, at=len(frame) - 1, unit="%")


def memory(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Columns base, part, mb: stacked bars, a bar a kind of base. guess: the megabytes the learner expects in 4 bits.

    4 bits are the last base.
    """
    totals = frame.groupby("base", sort=False)["mb"].sum()
    room = [0, 1.15 * max(totals.max(), guess or 0)]
    fig = theme.figure(
        title="What the frozen base takes in memory", xaxis={"title": "memory, MB", "range": room}, **theme.above(3)
    )
    theme.stack(fig, frame, "base", "mb", "part", "%{x:.1f} MB")
    for bar in fig.data:
        bar.update(text=[f"{mb:.0f}" if mb > 3 else "" for mb in bar.x], textposition="inside")
    theme.beside(fig, totals, "{:.0f}".format)
    return theme.mark(fig, guess, axis="x", at=len(totals) - 1, unit=" MB")


PANELS = {"memory_mb": "base, MB", "step_ms": "training step, ms", "accuracy": "accuracy, %"}


def side_by_side(frame: pd.DataFrame, noise: float = 0.0) -> go.Figure:
    """Columns base, memory_mb, step_ms, accuracy: three panels. noise: of an accuracy, in points (95%)."""
    fig = theme.apply(
        make_subplots(1, 3, subplot_titles=list(PANELS.values()), horizontal_spacing=0.09),
        title="The same adapter on every base",
        showlegend=False,
        margin={"t": 110},
    )
    for i, column in enumerate(PANELS, 1):
        x, values, hover = frame["base"].tolist(), frame[column].astype(float), "%{x}: %{y:.1f}"
        if column != "accuracy":
            theme.columns(fig, x, values, hover, ".0f", index=i - 1, inside=True, row=1, col=i)
            continue
        fig.add_scatter(  # points: bars would have to start at 0
            x=x, y=theme.f32(values), text=[f"{v:.1f}" for v in values], textposition="middle right",
            cliponaxis=False, error_y=theme.error([noise] * len(frame)), row=1, col=i,
            hovertemplate=f"{hover}<extra></extra>", **theme.series("live", "", i - 1, mode="markers+text"),
        )  # fmt: skip
    return fig.update_xaxes(range=[-0.5, len(frame) - 0.3], row=1, col=3)


def transfer(table: pd.DataFrame, low: float = 50, high: float = 100) -> go.Figure:
    """Accuracy (%) of an adapter trained on one base (rows) and run on another (columns), as numbers in a heatmap.

    low, high: the ends of the colours, chance and everything right.
    """
    fig = theme.figure(
        title="Trained on one base, run on another: accuracy, %",
        xaxis={"title": "run on", "type": "category"},
        yaxis={"title": "trained on", "type": "category"},
        height=420,
    )
    text, hover = table.map("{:.1f}".format).to_numpy(), "trained on %{y}, run on %{x}: %{z:.1f}%"
    low, high = min(low, table.min(axis=None)), max(high, table.max(axis=None))
    return theme.heat(fig, theme.f32(table), list(table.columns), list(table.index), text, hover, low, high, size=20)


def training_memory(frame: pd.DataFrame, limit: float, title: str) -> go.Figure:
    """Columns way, part, gb: what must be held while training, before activations. limit: a device's memory in GB."""
    totals = frame.groupby("way", sort=False)["gb"].sum()
    room = [0, 1.12 * max(totals.max(), limit)]
    axis = {"title": "memory, GB, activations not counted", "range": room}
    fig = theme.figure(title=title, xaxis=axis, **theme.LEGEND)
    theme.stack(fig, frame, "way", "gb", "part", "%{x:.2f} GB")
    theme.beside(fig, totals, lambda total: f"{total:.2g}" if total < 10 else f"{total:.0f}")
    return theme.mark(fig, limit, "live", "the device", axis="x", unit=" GB")
