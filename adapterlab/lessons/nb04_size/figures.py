"""Figures of 04_bottleneck_size: accuracy against size, and the accuracy-parameters frontier."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...studies.stats import accuracy_error
from ..kit import theme

# Houlsby et al. 2019, section 3.6: mean validation accuracy over eight GLUE tasks, BERT-Large
PAPER = pd.DataFrame({"size": [8, 64, 256], "accuracy": [86.2, 85.8, 85.7], "name": "eight GLUE tasks, BERT-Large"})
QUANTILES = (0.2, 0.5, 0.8)
SIZES = [2**n for n in range(10)]
NAMES = {
    "adapter": "adapters of all sizes",
    "top": "top k layers",
    "LayerNorm only": "LayerNorm only",
    "head only": "head only",
}


def size_curve(
    live: pd.DataFrame | None = None,
    recorded: pd.DataFrame | None = None,
    guess: int | None = None,
    paper: bool = True,
    rows: int | None = None,
) -> go.Figure:
    """Accuracy over the bottleneck size (log scale), mean and 95% interval over seeds.

    live, recorded: columns size, accuracy (in %), one row a seed; recorded may have n_train, a curve for each; the
    curves stand a little apart. guess: the size that the learner thinks is best. rows: the live run's test sentences.
    """
    ticks = {"tickvals": SIZES, "ticktext": [str(size) for size in SIZES]}
    fig = theme.figure(
        title="Accuracy against bottleneck size",
        xaxis=theme.log("bottleneck size m (log scale)", 1, 512, **ticks),
        yaxis={"title": "accuracy, %"},
        height=520,
        **theme.above(3),
    )
    parts = [("live", "Rotten Tomatoes, MiniLM", live)]
    for n, part in [] if recorded is None else _by_rows(recorded):
        parts.append(("recorded", f"{n:,} sentences" if n else "Rotten Tomatoes, MiniLM", part))
    for i, (source, name, frame) in enumerate(parts):
        if frame is None or frame.empty:
            continue
        means = theme.means(frame, "size", rows=rows if source == "live" else None).sort_values("size")
        means = means.assign(
            name=name,
            x=means["size"] * 1.06 ** (i - 1),
            note="size " + means["size"].astype(str) + ", " + means["note"],
        )
        hover = "%{customdata}<br>%{y:.1f}%"
        theme.lines(
            fig, means, "x", "mean", "name", hover, source=source, index=lambda _, i=i: i, half="half", note="note"
        )
    if paper:
        theme.lines(fig, PAPER, "size", "accuracy", "name", "size %{x}: %{y:.1f}%", source="paper")
    return theme.mark(fig, guess, axis="x")


def _by_rows(frame: pd.DataFrame) -> list[tuple]:
    """(training sentences, their rows), fewest first; (None, all) where the frame does not say."""
    return list(frame.groupby("n_train")) if "n_train" in frame else [(None, frame)]


def frontier(frame: pd.DataFrame) -> go.Figure:
    """The frontier of Figures 1, 3 and 4: score relative to full fine-tuning over trained parameters.

    frame: columns method, trained_percent, accuracy (in %), seed; with rows of "full". Adapters of all sizes make one
    line, top-k fine-tuning another; the bars span the 20th to the 80th percentile over the seeds.
    """
    full = frame[frame["method"] == "full"].groupby("seed")["accuracy"].mean()
    runs = frame[frame["method"] != "full"].assign(
        delta=lambda f: f["accuracy"] - f["seed"].map(full).fillna(full.mean()),
        kind=lambda f: f["method"].str.replace(r" \d+$", "", regex=True),
    )
    methods = runs.groupby("method")
    points = methods["delta"].quantile(QUANTILES).unstack().set_axis(["low", "median", "high"], axis=1)
    points = points.join(methods[["trained_percent", "kind"]].first()).sort_values("trained_percent")
    points["note"] = [
        f"{row.Index}<br>median {row.median:+.1f}, 20th to 80th percentile {row.low:+.1f} to {row.high:+.1f}"
        for row in points.itertuples()
    ]
    points = points.assign(up=points["high"] - points["median"], down=points["median"] - points["low"])
    points = pd.concat([points[points["kind"] == kind].assign(kind=name) for kind, name in NAMES.items()])
    fig = theme.figure(
        title="What each trained parameter buys",
        xaxis=theme.log("trained parameters, % of the model (log scale)", 0.003, 100),
        yaxis={"title": "accuracy, points from full"},
        height=520,
        **theme.above(3),
    )
    theme.lines(
        fig, points, "trained_percent", "median", "kind", "%{customdata}<br>%{x:.3g}% trained", source="recorded",
        index=list(NAMES.values()).index, half=("up", "down"), note="note",
    )  # fmt: skip
    return theme.mark(fig, 0, "live", "full fine-tuning")


def budget(live: pd.DataFrame, trained: int, accuracy: float, rows: int, most: int = 100_000) -> go.Figure:
    """The open task: accuracy on test, in %, over trained parameters; the sizes of the live run, and the learner's.

    live: columns size, trained, accuracy; rows: test sentences, of which a single run has its interval.
    """
    mine = pd.DataFrame({"trained": [trained], "accuracy": [accuracy], "name": "yours", "note": "yours"})
    sizes = live.assign(name="sizes of section 3", note="size " + live["size"].astype(str))
    low = min(trained, int(live["trained"].min()))
    fig = theme.figure(
        title="Under 100,000 parameters",
        xaxis=theme.log(
            "trained parameters (log scale)", low / 1.3, 1.3 * max(most, trained, int(live["trained"].max()))
        ),
        yaxis={"title": "accuracy on test, %"},
        **theme.LEGEND,
    )
    for i, part in enumerate((sizes, mine)):
        part = part.assign(half=[100 * accuracy_error(value / 100, rows) for value in part["accuracy"]])
        hover = "%{customdata}: %{x:,} parameters, %{y:.1f}%"
        theme.lines(fig, part, "trained", "accuracy", "name", hover, index=lambda _, i=i: i, half="half", note="note")
    return theme.mark(fig, most, "live", axis="x", text="100,000 parameters")


def size_choice(frame: pd.DataFrame, size: int, base_percent: pd.DataFrame, source: str = "recorded") -> go.Figure:
    """One size picked out: its trained share on the left, the measured accuracy on the right.

    frame: columns size, accuracy, one row a seed; base_percent: columns size, trained_percent, for every size.
    source: of the accuracy, "live" or "recorded".
    """
    titles = ("trained share, % of the model", f"accuracy, % ({source})")
    fig = theme.apply(make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.12), showlegend=False)
    means = frame.groupby("size")["accuracy"].mean()
    sizes, share = base_percent["size"].tolist(), base_percent["trained_percent"]
    marker = {"color": [theme.OKABE_ITO[1] if s == size else "#BBBBBB" for s in sizes]}
    panels = ((share, ".2f", "trained"), (means.reindex(sizes), ".1f", "accuracy"))
    for column, (values, form, name) in enumerate(panels, 1):
        fig.add_bar(
            x=[str(s) for s in sizes], y=theme.f32(values), marker=marker, row=1, col=column, textposition="outside",
            text=[f"{v:{form}}" if s == size and v == v else "" for s, v in zip(sizes, values, strict=True)],
            textfont={"size": 18}, constraintext="none",
            hovertemplate=f"size %{{x}}: {name} %{{y:{form}}}%<extra></extra>",
        )  # fmt: skip
    fig.update_xaxes(type="category", title="bottleneck size m", tickangle=0, tickfont={"size": 14})
    low = float(means.min()) if len(means) else 50.0
    fig.update_yaxes(range=[max(0.0, min(50.0, low - 5)), 100], row=1, col=2)
    return fig.update_yaxes(range=[0, 1.15 * float(share.max())], row=1, col=1)
