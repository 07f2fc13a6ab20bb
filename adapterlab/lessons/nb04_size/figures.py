"""Figures of 04_bottleneck_size: accuracy against size, and the accuracy-parameters frontier."""

import math

import pandas as pd
import plotly.graph_objects as go

from ...studies.stats import mean_interval
from ..kit import theme

# Houlsby et al. 2019, section 3.6: mean validation accuracy over eight GLUE tasks, BERT-Large
PAPER = pd.DataFrame({"size": [8, 64, 256], "accuracy": [86.2, 85.8, 85.7]})
QUANTILES = (0.2, 0.5, 0.8)


def size_curve(live=None, recorded=None, guess: int | None = None, paper: bool = True) -> go.Figure:
    """Accuracy over the bottleneck size (log scale), mean and 95% interval over seeds.

    live, recorded: columns size, accuracy (in %), one row a seed; recorded may have n_train, a curve for each.
    guess: the size that the learner thinks is best.
    """
    fig = theme.figure(
        title="Accuracy against bottleneck size",
        xaxis={
            "title": "bottleneck size m (log scale)",
            "type": "log",
            "tickvals": [2**n for n in range(10)],
            "ticktext": [str(2**n) for n in range(10)],
        },
        yaxis={"title": "accuracy, %"},
        legend={"x": 0.98, "xanchor": "right", "y": 0.02, "yanchor": "bottom"},
    )
    parts = [("live", "Rotten Tomatoes, MiniLM", live)]
    for n, part in [] if recorded is None else _by_rows(recorded):
        parts.append(("recorded", f"{n:,} sentences" if n else "Rotten Tomatoes, MiniLM", part))
    for i, (source, name, frame) in enumerate(parts):
        if frame is None or frame.empty:
            continue
        sizes = sorted(set(int(size) for size in frame["size"]))
        means = [mean_interval(frame[frame["size"] == size]["accuracy"]) for size in sizes]
        counts = [int((frame["size"] == size).sum()) for size in sizes]
        fig.add_scatter(
            x=sizes,
            y=[mean for mean, _ in means],
            error_y={"array": [0 if half != half else half for _, half in means], "thickness": 2, "width": 6},
            customdata=[
                f"{n} seed{'s' * (n > 1)}" + ("" if half != half else f", ± {half:.1f}")
                for n, (_, half) in zip(counts, means, strict=True)
            ],
            hovertemplate=f"{source}, {name}: size %{{x}}<br>%{{y:.1f}}% (%{{customdata}})<extra></extra>",
            **theme.series(source, name, i),
        )
    if paper:
        fig.add_scatter(
            x=PAPER["size"].tolist(),
            y=PAPER["accuracy"].tolist(),
            hovertemplate="paper: size %{x}<br>%{y:.1f}%, mean of eight GLUE tasks<extra></extra>",
            **theme.series("paper", "eight GLUE tasks, BERT-Large"),
        )
    if guess is not None:
        fig.add_vline(guess, line={"color": theme.GUESS_COLOUR, "dash": "dashdot", "width": 3})
        fig.add_annotation(
            x=math.log10(guess), y=1.04, yref="paper", showarrow=False, text=f"your guess: {guess}",
            font={"color": theme.GUESS_COLOUR},
        )  # fmt: skip
    return fig


def _by_rows(frame: pd.DataFrame) -> list[tuple]:
    """(training sentences, their rows), fewest first; (None, all) where the frame does not say."""
    return list(frame.groupby("n_train")) if "n_train" in frame else [(None, frame)]


def frontier(frame: pd.DataFrame) -> go.Figure:
    """The frontier of Figures 1, 3 and 4: score relative to full fine-tuning over trained parameters.

    frame: columns method, trained_percent, accuracy (in %), seed; with rows of "full". Adapters of all sizes make one
    line, top-k fine-tuning another; the bars span the 20th to the 80th percentile over the seeds.
    """
    full = frame[frame["method"] == "full"].groupby("seed")["accuracy"].mean()
    rows = frame[frame["method"] != "full"].assign(
        delta=lambda f: f["accuracy"] - f["seed"].map(full).fillna(full.mean()),
        kind=lambda f: f["method"].str.replace(r" \d+$", "", regex=True),
    )
    fig = theme.figure(
        title="What each trained parameter buys",
        xaxis={"title": "trained parameters, % of the model (log scale)", "type": "log", "dtick": 1},
        yaxis={"title": "points from full"},
        legend={"x": 0.98, "xanchor": "right", "y": 0.02, "yanchor": "bottom"},
    )
    names = {
        "adapter": "adapters of all sizes",
        "top": "top k layers",
        "LayerNorm only": "LayerNorm only",
        "head only": "head only",
    }
    for i, (kind, name) in enumerate(names.items()):
        part = rows[rows["kind"] == kind].groupby("method")
        points = part["delta"].quantile(QUANTILES).unstack()
        if points.empty:
            continue
        points = points.assign(x=part["trained_percent"].first()).sort_values("x")
        low, mid, high = (points[q] for q in QUANTILES)
        style = theme.series("recorded", name, i)
        style["marker"] = style["marker"] | {"symbol": theme.MARKERS[i]}
        fig.add_scatter(
            x=points["x"].tolist(),
            y=mid.tolist(),
            error_y={"array": (high - mid).tolist(), "arrayminus": (mid - low).tolist(), "thickness": 2, "width": 6},
            customdata=[
                f"{method}<br>median {m:+.1f}, 20th to 80th percentile {lo:+.1f} to {hi:+.1f}"
                for method, lo, m, hi in zip(points.index, low, mid, high, strict=True)
            ],
            hovertemplate="%{customdata}<br>%{x:.3g}% trained<extra></extra>",
            **style,
        )
    fig.add_hline(0, line={"color": "#000000", "width": 2})
    fig.add_annotation(
        x=0.01, xref="paper", y=0, yanchor="bottom", showarrow=False, text="full fine-tuning", font={"size": 16}
    )
    return fig


def size_choice(frame: pd.DataFrame, size: int, base_percent: pd.DataFrame, source: str = "recorded") -> go.Figure:
    """One size picked out: its trained share on the left, the measured accuracy on the right.

    frame: columns size, accuracy, one row a seed; base_percent: columns size, trained_percent, for every size.
    source: of the accuracy, "live" or "recorded".
    """
    from plotly.subplots import make_subplots

    fig = theme.apply(
        make_subplots(1, 2, subplot_titles=("trained share, %", f"accuracy, % ({source})"), horizontal_spacing=0.12)
    )
    means = frame.groupby("size")["accuracy"].mean()
    sizes = base_percent["size"].tolist()
    colours = [theme.OKABE_ITO[1] if s == size else "#BBBBBB" for s in sizes]
    labels = [str(s) for s in sizes]
    share = base_percent["trained_percent"]
    fig.add_bar(
        x=labels, y=theme.f32(share), marker={"color": colours}, showlegend=False, row=1, col=1,
        text=[f"{p:.2f}" if s == size else "" for s, p in zip(sizes, share, strict=True)], textposition="outside",
        hovertemplate="size %{x}: %{y:.2f}% trained<extra></extra>",
    )  # fmt: skip
    measured = [float(means.get(s, float("nan"))) for s in sizes]
    fig.add_bar(
        x=labels, y=theme.f32(measured), marker={"color": colours}, showlegend=False, row=1, col=2,
        text=[f"{m:.1f}" if s == size and m == m else "" for s, m in zip(sizes, measured, strict=True)],
        textposition="outside", hovertemplate="size %{x}: %{y:.1f}%<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(type="category", title="bottleneck size m")
    low = float(means.min()) if len(means) else 50.0
    fig.update_yaxes(range=[max(0.0, min(50.0, low - 5)), 100], row=1, col=2)
    fig.update_yaxes(range=[0, 1.15 * float(share.max())], row=1, col=1)
    return fig
