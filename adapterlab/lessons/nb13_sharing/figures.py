"""Figures of 13_life_cycle_and_sharing."""

import time
from collections.abc import Callable
from statistics import median

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme


def measure(steps: dict[str, Callable], repeats: int) -> pd.DataFrame:
    """Columns step, ms: the median of so many calls of each."""

    def milliseconds(step: Callable) -> float:
        start = time.perf_counter()
        step()
        return 1000 * (time.perf_counter() - start)

    return pd.DataFrame(
        [{"step": name, "ms": median(milliseconds(step) for _ in range(repeats))} for name, step in steps.items()]
    )


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


def back_door(frame: pd.DataFrame) -> go.Figure:
    """Honest and yours: right on clean test rows, and turned by the trigger. Columns as of `strangers.back_door`."""
    fig = theme.figure(
        title="What the accuracy shows, and what it does not",
        xaxis={"title": "test sentences, %", "range": [0, 105]},
        yaxis={"type": "category", "autorange": "reversed"},
        **theme.LEGEND,
    )
    columns = {"clean": "right, clean (95% range)", "triggered": "of other labels: turned by the trigger"}
    for i, (column, name) in enumerate(columns.items()):
        fig.add_scatter(
            x=theme.f32(frame[column]),
            y=list(frame["adapter"]),
            error_x=theme.error(frame["noise"] if column == "clean" else [0.0] * len(frame)),
            hovertemplate="%{y}: %{x:.1f}%<extra></extra>",
            **theme.series("live", name, i, mode="markers"),
        )
    return fig
