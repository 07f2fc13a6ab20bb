"""Figures and the table of 06_init_and_variants: initial weights, and what section 3.6 of the paper tried."""

import math

import pandas as pd
import plotly.graph_objects as go

from ...studies.experiments import VARIANTS
from ...studies.stats import mean_interval
from ..kit import theme
from ..kit.drawing import arrow, box, write

ROBUST_BELOW = 1e-2  # Houlsby et al. 2019, section 3.6 and Figure 6, right
NO_GAIN, SILENT = "tried, no gain", "says nothing"
PAPER = dict.fromkeys(VARIANTS, NO_GAIN) | {
    "plain": "the design",
    "relu": SILENT,
    "swish": SILENT,
    "feed-forward only": SILENT,
}
"""What section 3.6 says of each of our variants."""


def _std_axis() -> dict:
    return theme.log("standard deviation of the initial weights (log scale)", 1e-7, 1)


def movement(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """How far a new adapter moves its input: columns std, moved (a share of the input's norm). Both axes log."""
    frame = frame[frame["moved"] > 0]  # no logarithm of 0
    low, high = float(frame["moved"].min()), max(1.0, float(frame["moved"].max()))
    fig = theme.figure(
        title="A new adapter's change, relative to its input",
        xaxis=_std_axis(),
        yaxis=theme.log("change / input, |y' − y| / |y|", low, high),
        **theme.LEGEND,
    )
    theme.lines(fig, frame.assign(name="measured"), "std", "moved", "name", "std %{x:.0e}: moves by %{y:.1e}")
    return theme.mark(theme.mark(fig, 0.01, "live", text="1%"), guess, axis="x")


def gradients(frame: pd.DataFrame) -> go.Figure:
    """Columns std, quantity, value: one line a quantity, both axes log."""
    frame = frame[frame["value"] > 0]
    fig = theme.figure(
        title="First gradient, and what Adam makes of it",
        xaxis=_std_axis(),
        yaxis=theme.log("root mean square", float(frame["value"].min()), float(frame["value"].max())),
        **theme.LEGEND,
    )
    return theme.lines(fig, frame, "std", "value", "quantity", "std %{x:.0e}: %{y:.1e}")


def init_curve(
    live: pd.DataFrame | None = None,
    recorded: pd.DataFrame | None = None,
    guess: float | None = None,
    rows: int | None = None,
) -> go.Figure:
    """Figure 6, right: the score over the std; mean and 95% interval over the seeds.

    live, recorded: columns std, accuracy (in %), one row a seed; several tasks in a column `task` make several lines.
    rows: the live run's test sentences, which alone give it an interval.
    """
    fig = theme.figure(
        title="Score against the size of the initial weights",
        xaxis=_std_axis(),
        yaxis={"title": "accuracy, % (CoLA: Matthews)"},
        **theme.LEGEND,
    )
    for source, frame in (("live", live), ("recorded", recorded)):
        if frame is None or frame.empty:
            continue
        frame = frame if "task" in frame else frame.assign(task="Rotten Tomatoes")
        for i, (task, part) in enumerate(frame.groupby("task", sort=False), source == "recorded"):
            means = (
                theme.means(part, "std", rows=rows if source == "live" else None).sort_values("std").assign(task=task)
            )
            means = means.assign(
                up=means["half"].clip(upper=100 - means["mean"]), down=means["half"].clip(upper=means["mean"])
            )
            theme.lines(
                fig, means, "std", "mean", "task", "std %{x:.0e}: %{y:.1f} (%{customdata})", source=source,
                index=lambda _, i=i: i, half=("up", "down"), note="note",
            )  # fmt: skip
    fig.add_vrect(1e-7, ROBUST_BELOW, fillcolor="#000000", opacity=0.06, line_width=0)
    write(fig, -4.5, 0.99, "paper: robust", yref="y domain", yanchor="top")
    return theme.mark(fig, guess, axis="x")


def compare(recorded: pd.DataFrame | None = None, live: pd.DataFrame | None = None) -> pd.DataFrame:
    """What helped and what did not: a row a variant.

    recorded: columns variant, seed, accuracy (in %), with rows of "plain"; the difference is taken seed by seed.
    live: columns variant, accuracy (in %). Columns: variant, paper, recorded, difference, half (of the 95% interval),
    seeds, verdict, live; None where nothing is known.
    """
    rows = []
    for name, says in PAPER.items():
        row = {"variant": name, "paper": says, "recorded": None, "difference": None, "half": None, "seeds": 0}
        row |= {"verdict": "not recorded", "live": _mean(live, name)}
        if recorded is not None and name in set(recorded["variant"]):
            means = recorded.groupby(["variant", "seed"])["accuracy"].mean()
            row |= {"recorded": float(means[name].mean()), "seeds": len(means[name]), "verdict": "the design"}
            if name != "plain" and "plain" in means.index.get_level_values(0):
                differences = (means[name] - means["plain"]).dropna()
                mean, half = mean_interval(differences)
                few = len(differences) < 3  # two differences that happen to be alike would make an interval of nothing
                row |= {"difference": mean, "half": math.nan if few else half}
                row["verdict"] = "too few seeds" if few else _verdict(mean, half)
        rows.append(row)
    return pd.DataFrame(rows)


def _verdict(mean: float, half: float) -> str:
    """Of a difference and its 95% interval."""
    if not abs(mean) > half:
        return "no difference shown"
    return "helped" if mean > 0 else "hurt"


def _mean(frame, name: str):
    found = [] if frame is None else frame[frame["variant"] == name]["accuracy"]
    return float(found.mean()) if len(found) else None


def variant_bars(table: pd.DataFrame, source: str = "recorded") -> go.Figure:
    """The differences of `compare` to the plain bottleneck, in points, with 95% intervals; their numbers beside."""
    rows = table.dropna(subset=["difference"]).iloc[::-1]
    fig = theme.figure(
        title=f"Against the plain bottleneck ({source})",
        xaxis={"title": "difference in accuracy, points (95% interval)"},
        height=520,
        margin={"l": 220},
    )
    fig.add_bar(
        orientation="h",
        y=rows["variant"].tolist(),
        x=rows["difference"].astype(float).tolist(),
        error_x=theme.error(rows["half"].astype(float)),
        customdata=rows[["seeds", "paper", "verdict"]].to_numpy().tolist(),
        hovertemplate="%{y}: %{x:+.2f} points, %{customdata[0]} seeds<br>paper: %{customdata[1]}"
        "<br>ours: %{customdata[2]}<extra></extra>",
        **theme.bars(source, showlegend=False),
    )
    return fig.add_vline(0, line={"color": "#000000", "width": 2})


# ---- the forward formula as a drawing


def formula(name: str) -> str:
    """ "y' = y + f(x), f = up(gelu(down(.)))" of a variant."""
    changes = VARIANTS[name]
    outer = {"serial": "y + f(y)", "parallel": "y + f(x)", "multiply": "y · (1 + f(x))"}[changes.get("place", "serial")]
    inner = "·"
    for step in _steps(changes):
        inner = f"{step}({inner})"
    return f"y' = {outer}, f = {inner}"


def _steps(changes: dict) -> list[str]:
    norm = {None: [], "layer": ["LayerNorm"], "batch": ["BatchNorm"]}[changes.get("norm")]
    return ["down", *norm, changes.get("act", "gelu")] * changes.get("depth", 1) + ["up"]


def drawing(name: str, size: int, width: int) -> go.Figure:
    """The variant as boxes: what goes into the sub-layer (x), what comes out (y), the adapter's path, the result."""
    changes, blue, red = VARIANTS[name], theme.OKABE_ITO[0], theme.OKABE_ITO[1]
    place, sites = changes.get("place", "serial"), changes.get("sites", ("attention", "feedforward"))
    fig = theme.figure(title=f"{name}: {formula(name)}", height=360, margin={"l": 20, "r": 20, "t": 60, "b": 20})
    fig.update_layout(title_font_size=16)
    fig.update_xaxes(visible=False, range=[-0.3, 10.3]).update_yaxes(visible=False, range=[-0.4, 3.4])
    where = "<br>and ".join({"attention": "attention", "feedforward": "feed-forward"}[s] for s in sites)
    frozen, plus = {"edge": blue, "width": 3, "size": 15}, {"edge": red, "width": 3, "size": 15}
    hover = "the sub-layer's output projection, which is not trained"
    box(fig, 0.5, 0.35, 2.25, 1.3, f"{where}<br>(frozen)", hover=hover, **frozen)
    box(fig, 8.6, 0.65, 0.6, 0.7, "×" if place == "multiply" else "+", hover=formula(name), **plus)
    for x0, x1 in ((-0.2, 0.5), (2.75, 8.6), (9.2, 10.2)):
        arrow(fig, x0, 1, x1, 1)
    for x, text in ((0.2, "x"), (3.0, "y"), (9.8, "y'")):
        write(fig, x, 0.7, text, 18)
    start = 3.0 if place == "serial" else 0.2
    low = max(start, 0.6) + 0.3
    steps = _steps(changes)
    wide = (8.6 - low) / len(steps)
    arrow(fig, start, 1, start, 2.5, red)
    arrow(fig, start, 2.5, low, 2.5, red)
    for i, step in enumerate(steps):
        shape = f"{size if i else width} → {size}" if step == "down" else f"{size} → {width}"
        hover = f"trained, {shape}" if step in ("down", "up") else step
        text = {"LayerNorm": "LN", "BatchNorm": "BN"}.get(step, step)
        box(fig, low + i * wide + 0.04, 2.15, wide - 0.16, 0.7, text, hover=hover, **plus)
    arrow(fig, low + len(steps) * wide - 0.12, 2.5, 8.9, 1.4, red)
    return fig
