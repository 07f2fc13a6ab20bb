"""Figures of 04_bottleneck_size: accuracy against size, and against trained parameters."""

import pandas as pd
import plotly.graph_objects as go

from ...studies import results
from ...studies.experiments import choose
from ...studies.stats import accuracy_error
from ..kit import theme
from ..kit.rows import todays

# Houlsby et al. 2019, section 3.6: mean validation accuracy over eight GLUE tasks, BERT-Large
PAPER = pd.DataFrame({"size": [8, 64, 256], "accuracy": [86.2, 85.8, 85.7], "name": "eight GLUE tasks, BERT-Large"})
TICKS = {"tickvals": [2**n for n in range(10)], "ticktext": [str(2**n) for n in range(10)]}
KINDS = {"adapter": "adapters of all sizes", "top": "top k layers", "LayerNorm": "LayerNorm only"}


def recorded(*names: str) -> pd.DataFrame:
    """The rows of these experiments on Rotten Tomatoes, each method at the rate that validation chose, today's head
    before the old one; of one setting: with full fine-tuning where one has it, then with the most methods.

    Columns: those of `studies.experiments`, accuracy (on test, in %) and kind.
    """
    rows = todays(pd.concat([results.frame(name) for name in names], ignore_index=True))
    kind = rows["method"].str.replace(r" \d+$", "", regex=True).replace(KINDS)
    rows = rows.assign(kind=kind, accuracy=100 * rows["test"])
    rows = rows[rows["kind"].isin([*KINDS.values(), "head only", "full"])]
    setting = ["n_train", "epochs"]
    has = rows.assign(full=rows["method"] == "full").groupby(setting).agg(full=("full", "max"), n=("method", "nunique"))
    n_train, epochs = has.sort_values(["full", "n"]).index[-1]
    return choose(rows[(rows["n_train"] == n_train) & (rows["epochs"] == epochs)], by=[*setting, "method"])


def size_curve(
    recorded: pd.DataFrame,
    live: pd.DataFrame | None = None,
    rows: int | None = None,
    guess: int | None = None,
    size: int | None = None,
) -> go.Figure:
    """Accuracy over the bottleneck size, mean and 95% interval over seeds, and the paper's.

    recorded, live: columns size, accuracy (in %), one row a seed. rows: the live run's test sentences. guess: the size
    that the learner expects; size: another one to mark.
    """
    fig = theme.figure(
        "Accuracy against bottleneck size", theme.log("bottleneck size m (log scale)", 1, 512, **TICKS),
        "accuracy, %", legend=3, height=520,
    )  # fmt: skip
    for i, (source, frame) in enumerate({"live": live, "recorded": recorded}.items()):
        if frame is None:
            continue
        means = theme.means(frame, "size", rows=rows if source == "live" else None).sort_values("size")
        means = means.assign(name="Rotten Tomatoes, MiniLM", x=means["size"] * 1.06 ** (i - 0.5))
        means["note"] = "size " + means["size"].astype(str) + ", " + means["note"]
        hover = "%{customdata}<br>%{y:.1f}%"
        theme.lines(
            fig, means, "x", "mean", "name", hover, source=source, index=lambda _, i=i: i, half="half", note="note"
        )
    theme.lines(fig, PAPER, "size", "accuracy", "name", "size %{x}: %{y:.1f}%", source="paper")
    theme.mark(fig, size, "live", axis="x", text=f"size {size}")
    return theme.old_head(theme.mark(fig, guess, axis="x"), recorded)


def frontier(rows: pd.DataFrame) -> go.Figure:
    """Figures 1, 3 and 4: accuracy relative to full fine-tuning, seed by seed, over trained parameters.

    rows: columns method, kind, trained_percent, accuracy (in %), seed, with rows of "full"; means and 95% intervals.
    """
    full = rows[rows["kind"] == "full"].groupby("seed")["accuracy"].mean()
    rows = rows[rows["kind"] != "full"].sort_values("trained_percent")
    rows = rows.assign(points=rows["accuracy"] - rows["seed"].map(full).fillna(full.mean()))
    points = theme.means(rows, "method", "points").merge(rows.drop_duplicates("method"), on="method")
    points["note"] = points["method"] + ", " + points["note"]
    fig = theme.figure(
        "What each trained parameter buys",
        theme.log("trained parameters, % of the model (log scale)", 0.003, 100), "accuracy, points from full",
        legend=3, height=520,
    )  # fmt: skip
    hover = "%{customdata}<br>%{x:.3g}% trained: %{y:+.1f}"
    theme.lines(fig, points, "trained_percent", "mean", "kind", hover, source="recorded", half="half", note="note")
    return theme.old_head(theme.mark(fig, 0, "live", "full fine-tuning"), rows)


def budget(live: pd.DataFrame, mine: pd.DataFrame, rows: int, most: int = 100_000) -> go.Figure:
    """The open task: accuracy on test, in %, over trained parameters; the sizes of the live run, and the learner's.

    live, mine: columns trained, accuracy, note; rows: test sentences, of which a single run has its interval.
    """
    points = pd.concat([live.assign(name="sizes of section 3"), mine.assign(name="yours")])
    points["half"] = [100 * accuracy_error(value / 100, rows) for value in points["accuracy"]]
    low, high = points["trained"].min(), max(most, points["trained"].max())
    fig = theme.figure(
        "Under 100,000 parameters", theme.log("trained parameters (log scale)", low / 1.3, 1.3 * high),
        "accuracy on test, %", legend=2,
    )  # fmt: skip
    hover = "%{customdata}: %{x:,} parameters, %{y:.1f}%"
    theme.lines(fig, points, "trained", "accuracy", "name", hover, half="half", note="note")
    return theme.mark(fig, most, "live", axis="x", text="100,000 parameters")
