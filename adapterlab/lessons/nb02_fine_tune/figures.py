"""Figures of 02_fine_tune: accuracy against trained parameters, loss curves, cost, padding."""

import pandas as pd
import plotly.graph_objects as go

from ...studies.stats import mean_interval
from ..kit import theme

# one colour and one marker a way to fine-tune, the same in every figure
KINDS = ("head only", "LayerNorm only", "top", "adapter", "full")


def _index(method: str) -> int:
    """Of "adapter 64" the place of "adapter" in KINDS."""
    return next((i for i, kind in enumerate(KINDS) if method.startswith(kind)), len(KINDS))


def accuracy_against_parameters(live: pd.DataFrame, recorded: pd.DataFrame | None = None, guess: float | None = None):
    """Test accuracy over trained parameters in % of the model (log scale).

    live, recorded: columns method, trained_percent, accuracy (in %), one row a seed; recorded rows are drawn as mean
    and 95% interval over seeds. guess: the learner's guess for the adapter.
    """
    fig = theme.figure(
        title="Accuracy against trained parameters",
        xaxis={
            "title": "trained parameters, % of the model (log scale)",
            "type": "log",
            "dtick": 1,
            "range": [-2.9, 2.7],
        },
        yaxis={"title": "test accuracy, %"},
        showlegend=True,
        legend={"orientation": "v", "x": 1.02, "y": 1},
        width=1000,
    )
    for source, frame in (("recorded", recorded), ("live", live)):
        if frame is None or frame.empty:
            continue
        for method in sorted(set(frame["method"]), key=lambda m: (_index(m), m)):
            rows = frame[frame["method"] == method]
            mean, half = mean_interval(rows["accuracy"])
            colour = theme.OKABE_ITO[_index(method)]
            symbol = theme.MARKERS[_index(method)] + ("-open" if source == "recorded" else "")
            fig.add_scatter(
                x=[float(rows["trained_percent"].iloc[0])],
                y=[mean],
                error_y=None if half != half else {"array": [half], "thickness": 2, "width": 8},
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 18, "line": {"width": 3, "color": colour}},
                name=theme.label(method, source),
                hovertemplate=f"{method} ({source}, {len(rows)} seed{'s' * (len(rows) > 1)})<br>"
                "%{x:.3g}% trained<br>accuracy %{y:.1f}%"
                + ("" if half != half else f" ± {half:.1f}")
                + "<extra></extra>",
            )
    if guess is not None:
        theme.mark(fig, guess, "your guess", "adapter")
    return fig


def loss_curves(history: pd.DataFrame, window: int = 10) -> go.Figure:
    """Training loss over steps, a line a method. history: columns method, step, loss; smoothed over `window` steps."""
    fig = theme.figure(
        title=f"Training loss (mean of {window} steps)", xaxis_title="step", yaxis_title="loss (cross-entropy)"
    )
    for method in dict.fromkeys(history["method"]):
        rows = history[history["method"] == method]
        smooth = rows["loss"].rolling(window, min_periods=1).mean()
        index = _index(method)
        fig.add_scatter(
            x=rows["step"].to_numpy(),
            y=theme.f32(smooth),
            mode="lines",
            name=method,
            line={"color": theme.OKABE_ITO[index], "dash": theme.DASHES[index % len(theme.DASHES)], "width": 3},
            hovertemplate=f"{method}<br>step %{{x}}<br>loss %{{y:.3f}}<extra></extra>",
        )
    return fig


def relative_cost(ledger: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Step time and bytes on disk of every method, in % of full fine-tuning.

    ledger: `Ledger.frame()` with a row "full". guess: the learner's guess of the adapter's step time, in %.
    """
    frame = ledger.set_index("method")
    fig = theme.figure(
        title="Cost, full fine-tuning = 100%",
        barmode="group",
        yaxis={"title": "% of full fine-tuning", "range": [0, 118]},
        legend={"orientation": "h", "y": 1.08, "x": 0.45},
    )
    for i, (column, name) in enumerate((("step ms", "time of a step"), ("disk MB", "bytes to keep a task"))):
        percent = 100 * frame[column] / frame.loc["full", column]
        fig.add_bar(
            x=list(frame.index),
            y=theme.f32(percent),
            text=[f"{p:.0f}" if p >= 1 else f"{p:.1g}" for p in percent],
            textposition="outside",
            hovertemplate=f"%{{x}}<br>{name}: %{{y:.1f}}% of full fine-tuning<extra></extra>",
            **theme.bars("live", name, 2 * i),
        )
    if guess is not None:
        theme.mark(fig, guess, "your guess", "adapter's step time").update_annotations(bgcolor="white")
    return fig


def padding_share(lengths: dict[str, list[list[int]]]) -> go.Figure:
    """Share of padding in each batch. lengths: a way of batching -> the token counts of the texts of every batch."""
    fig = theme.figure(
        title="How much of a batch is padding",
        xaxis_title="batch, sorted by its share",
        yaxis={"title": "padding, % of the tokens", "range": [0, 100]},
    )
    for i, (name, batches) in enumerate(lengths.items()):
        share = sorted(100 * (1 - sum(b) / (max(b) * len(b))) for b in batches)
        fig.add_scatter(
            x=list(range(1, len(share) + 1)),
            y=theme.f32(share),
            hovertemplate=f"{name}<br>%{{y:.0f}}% padding<extra></extra>",
            **theme.series("live", name, i),
        )
    return fig
