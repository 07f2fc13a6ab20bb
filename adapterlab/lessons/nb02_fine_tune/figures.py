"""Figures of 02_fine_tune: accuracy against trained parameters, loss curves, cost."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme
from ..nb01_build.figures import losses

# one colour and one marker a way to fine-tune, the same in every figure
KINDS = ("head only", "LayerNorm only", "top", "adapter", "full")


def _index(method: str) -> int:
    """Of "adapter 64" the place of "adapter" in KINDS."""
    return next((i for i, kind in enumerate(KINDS) if method.startswith(kind)), len(KINDS))


def accuracy_against_parameters(
    live: pd.DataFrame, recorded: pd.DataFrame | None = None, guess: float | None = None, rows: int | None = None
) -> go.Figure:
    """Test accuracy over trained parameters in % of the model (log scale), mean and 95% interval over the seeds.

    live, recorded: columns method, trained_percent, accuracy (in %), one row a seed; recorded stands a little to the
    left of live. rows: test sentences, which alone give a single run its interval. guess: for the adapter.
    """
    fig = theme.figure(
        "Accuracy against trained parameters<br>filled: live, one seed; open: recorded",
        theme.log("trained parameters, % of the model (log scale)", 0.002, 200), "test accuracy, %",
        legend={"x": 1.02, "y": 1}, margin_t=100, width=1000,
    )  # fmt: skip
    for source, frame, shift in (("recorded", recorded, 0.86), ("live", live, 1.16)):
        if frame is None or frame.empty:
            continue
        points = theme.means(frame, "method", rows=rows if source == "live" else None)
        percent = points["method"].map(frame.groupby("method")["trained_percent"].first())
        notes = [f"{p:.3g}% trained<br>{source}, {n}" for p, n in zip(percent, points["note"], strict=True)]
        points = points.assign(x=shift * percent, note=notes)
        points = points.sort_values("method", key=lambda names: names.map(_index))
        theme.lines(
            fig, points, "x", "mean", "method", "%{customdata}<br>accuracy %{y:.1f}%", source=source, index=_index,
            half="half", note="note", mode="markers",
        )  # fmt: skip
        if source == "recorded":
            seeds = ", ".join(f"{row.method} {row.runs}" for row in points.itertuples())
            theme.caption(fig, f"recorded seeds: {seeds}")
    fig.update_traces(marker_size=16, marker_line_width=3)
    if recorded is not None and set(live["method"]) >= set(recorded["method"]):
        fig.for_each_trace(lambda trace: trace.update(showlegend=not trace.name.endswith("(recorded)")))
    theme.mark(fig, guess, name="adapter", unit="%")
    return fig if recorded is None else theme.old_head(fig, recorded)


def loss_curves(history: pd.DataFrame) -> go.Figure:
    """Training loss over steps, a line a method. history: columns method, step, loss; the mean of ten steps."""
    return losses(history, by="method", index=_index)


def relative_cost(ledger: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Step time and bytes on disk of every method, in % of full fine-tuning.

    ledger: columns method, "step ms", "disk MB", with a row "full". guess: of the adapter's step time, in %.
    """
    frame = ledger.set_index("method")
    fig = theme.figure(
        "Cost, full fine-tuning = 100%",
        y={"title": "% of full fine-tuning", "range": [0, max(118, 1.05 * (guess or 0))]},
        legend=2,
        barmode="group",
    )
    for i, (column, name) in enumerate((("step ms", "time of a step"), ("disk MB", "bytes to keep a task"))):
        percent = 100 * frame[column] / frame.loc["full", column]
        hover = f"%{{x}}<br>{name}: %{{y:.1f}}% of full fine-tuning"
        text = [f"{p:.0f}" if p >= 1 else f"{p:.1g}" for p in percent]
        theme.columns(fig, frame.index, percent, hover, name=name, index=2 * i, hatch=theme.HATCHES[i], text=text)
    adapter = next((i for i, method in enumerate(frame.index) if method.startswith("adapter")), 0)
    return theme.mark(fig, guess, name="adapter's step time", at=(adapter - 0.45, adapter), unit="%")


def step_parts(names: Sequence[str], seconds: Sequence[float]) -> go.Figure:
    """What a training step's parts take, in % of their sum. seconds: of each."""
    percent = [100 * part / sum(seconds) for part in seconds]
    fig = theme.figure(
        "A step of full fine-tuning, part by part",
        y={"title": "% of the step", "range": [0, 1.25 * max(percent)]},
        height=400,
    )
    return theme.columns(fig, names, percent, "%{x}: %{y:.0f}%", ".0f")
