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
        yaxis=theme.log("time, ms (log scale)", min(seen) / 2, 2 * max(seen)),
        xaxis={"type": "category"},
        **theme.LEGEND,
    )
    text = {"text": [f"{ms:.3g} ms" for ms in frame["ms"]], "textposition": "middle right", "cliponaxis": False}
    theme.lines(
        fig, frame.assign(who="measured"), "step", "ms", "who", "%{x}: %{y:.3g} ms", mode="markers+text", **text
    )
    return theme.star(fig, frame["step"].iloc[0], guess, f"{guess or 0:g} ms")


def back_door(frame: pd.DataFrame) -> go.Figure:
    """Honest and yours: right on clean test rows, and turned by the trigger. Columns as of `strangers.back_door`."""
    fig = theme.figure(
        title="What the accuracy shows, and what it does not",
        xaxis={"type": "category"},
        yaxis={"title": "test sentences, %", "range": [0, 105]},
        **theme.above(2),
    )
    names = {"clean": "right, clean (95% range)", "triggered": "of other labels: turned by the trigger"}
    long = frame.rename(columns=names).melt(["adapter", "noise"], list(names.values()), "what", "percent")
    long["noise"] = long["noise"].where(long["what"] == names["clean"])
    return theme.lines(
        fig, long, "adapter", "percent", "what", "%{x}: %{y:.1f}%", half="noise", mode="markers"
    ).update_traces(marker_size=14)
