"""Figures of 14_quantized_base: where the levels lie, what is saved, what it costs."""

from collections.abc import Sequence

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit import theme


def levels(weights: Sequence[float], grids: dict[str, Sequence[float]]) -> go.Figure:
    """Weights divided by their block's largest, as a histogram, above the levels of each grid.

    weights: 1-D numbers in [-1, 1]; grids: name -> its levels. A level is a tick mark in the row of its grid.
    """
    fig = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.06)
    theme.apply(fig, title="Where the weights are, and where the levels are", showlegend=False)
    edges = [i / 25 - 1 for i in range(51)]
    share = 100 * pd.cut(pd.Series(weights), edges, include_lowest=True).value_counts(sort=False) / len(weights)
    hover = "around %{x:.2f}: %{y:.1f}% of the weights<extra></extra>"
    middles = theme.f32([edge + 0.02 for edge in edges[:-1]])
    fig.add_bar(x=middles, y=theme.f32(share), width=0.038, hovertemplate=hover, row=1, col=1)
    for i, (name, grid) in enumerate(grids.items(), 1):
        fig.add_scatter(
            x=theme.f32(grid), y=[name] * len(grid), mode="markers", hovertemplate="level %{x:.3f}", row=2, col=1,
            marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": theme.OKABE_ITO[i]}},
        )  # fmt: skip
    fig.update_yaxes(title="% of weights", row=1, col=1)
    return fig.update_xaxes(title="weight / largest of its block", row=2, col=1)


def errors(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Columns grid, error (root mean square, % of the weights'): a bar a grid. guess: of the last grid."""
    room = [0, 1.15 * max(float(frame["error"].max()), guess or 0)]
    axis = {"title": "rms error, % of the weights' rms", "range": room}
    fig = theme.figure(title="Error of the packed weights", yaxis=axis, **theme.LEGEND)
    theme.columns(fig, frame["grid"], frame["error"], "%{x}: %{y:.2f}%", name="measured")
    return theme.mark(fig, guess, at=len(frame) - 1, unit="%")


def memory(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Columns base, part, mb: stacked bars, a bar a kind of base. guess: the megabytes expected of the last, 4 bits."""
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


def accuracies(frame: pd.DataFrame) -> go.Figure:
    """Columns base, seed, accuracy (in %): a line a seed, over the bases."""
    frame = frame.assign(seed=frame["seed"].astype(str))
    fig = px.line(
        frame, x="base", y="accuracy", color="seed", line_dash="seed", symbol="seed", template=theme.TEMPLATE,
        color_discrete_sequence=theme.OKABE_ITO, title="The same adapter on every base, seed by seed",
    )  # fmt: skip
    return fig.update_traces(marker_size=11).update_layout(yaxis_title="test accuracy, %", xaxis_title="")


def training_memory(frame: pd.DataFrame, limit: float, title: str) -> go.Figure:
    """Columns way, part, gb: what must be held while training, before activations. limit: a device's memory in GB."""
    totals = frame.groupby("way", sort=False)["gb"].sum()
    room = [0, 1.12 * max(totals.max(), limit)]
    axis = {"title": "memory, GB, activations not counted", "range": room}
    fig = theme.figure(title=title, xaxis=axis, **theme.LEGEND)
    theme.stack(fig, frame, "way", "gb", "part", "%{x:.2f} GB")
    theme.beside(fig, totals, lambda total: f"{total:.2g}" if total < 10 else f"{total:.0f}")
    return theme.mark(fig, limit, "live", "the device", axis="x", unit=" GB")
