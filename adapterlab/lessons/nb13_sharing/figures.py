"""Figures of 13_life_cycle_and_sharing."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme
from ..nb00_start.figures import storage


def growth(frame: pd.DataFrame, guess: float | None = None, title: str = "") -> go.Figure:
    """MB of N copies of the model, and of one model with N adapters. frame: columns tasks, copies, shared.

    guess: the learner's MB for the last N, adapters only with their base.
    """
    frame = frame.rename(columns={"copies": "copies_mb", "shared": "adapters_mb"})
    return storage(frame, guess, title or "Copies, or one model with adapters?")


def times(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Milliseconds on a logarithmic axis, a dot a step. frame: columns step, ms. guess: ms for the first step."""
    seen = [*frame["ms"], *([] if guess is None else [guess])]
    fig = theme.figure(
        title="From a file to an answer",
        xaxis=theme.log("time, ms (log scale)", min(seen) / 2, 2 * max(seen)),
        yaxis={"autorange": "reversed"},
        **theme.LEGEND,
    )
    fig.add_scatter(
        x=theme.f32(frame["ms"]),
        y=list(frame["step"]),
        text=[f"{ms:.3g} ms" for ms in frame["ms"]],
        textposition="top center",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.3g} ms<extra></extra>",
        **theme.series("live", "measured", mode="markers+text"),
    )
    return theme.star(fig, guess, frame["step"].iloc[0], f"{guess or 0:g} ms")
