"""Figures and the table of 06_init_and_variants: initial weights, and what section 3.6 of the paper tried."""

import math

import pandas as pd
import plotly.graph_objects as go

from ...studies.experiments import VARIANTS
from ...studies.stats import mean_interval
from ..kit import theme

ROBUST_BELOW = 1e-2  # Houlsby et al. 2019, section 3.6 and Figure 6, right
NO_GAIN, SILENT = "tried, no gain", "says nothing"
PAPER = {name: NO_GAIN for name in VARIANTS} | {
    "plain": "the design",
    "relu": SILENT,
    "swish": SILENT,
    "feed-forward only": SILENT,
}
"""What section 3.6 says of each of our variants."""


def _std_axis(title="standard deviation of the initial weights (log scale)") -> dict:
    return {"title": title, "type": "log", "exponentformat": "power", "dtick": 1}


def movement(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """How far a new adapter moves its input: columns std, moved (a share of the input's norm). Both axes log."""
    fig = theme.figure(
        title="A new adapter's change, relative to its input",
        xaxis=_std_axis(),
        yaxis={"title": "|y' - y| / |y|", "type": "log", "exponentformat": "power", "dtick": 3},
    )
    fig.add_scatter(
        x=frame["std"].tolist(),
        y=frame["moved"].tolist(),
        hovertemplate="std %{x:.0e}: moves by %{y:.1e}<extra></extra>",
        showlegend=False,
        **theme.series("live", "measured"),
    )
    fig.add_hline(0.01, line={"color": "#000000", "dash": "dot", "width": 2})
    fig.add_annotation(x=-6, y=-2, text="1%", showarrow=False, yanchor="bottom", font={"size": 16})
    return _guess(fig, guess)


def gradients(frame: pd.DataFrame) -> go.Figure:
    """Columns std, quantity, value: one line a quantity, both axes log."""
    fig = theme.figure(
        title="First gradient, and what Adam makes of it",
        xaxis=_std_axis(),
        yaxis={"title": "root mean square", "type": "log", "exponentformat": "power", "dtick": 3},
        legend={"x": 0.98, "xanchor": "right", "y": 0.02, "yanchor": "bottom"},
    )
    for i, (name, part) in enumerate(frame.groupby("quantity", sort=False)):
        style = theme.series("live", name, i)
        style["line"] = style["line"] | {"dash": theme.DASHES[i]}
        style["marker"] = style["marker"] | {"symbol": theme.MARKERS[i]}
        fig.add_scatter(
            x=part["std"].tolist(),
            y=part["value"].tolist(),
            hovertemplate=f"{name}<br>std %{{x:.0e}}: %{{y:.1e}}<extra></extra>",
            **style,
        )
    return fig


def init_curve(live=None, recorded=None, guess: float | None = None) -> go.Figure:
    """Figure 6, right: the score over the std; mean and 95% interval over the seeds.

    live, recorded: columns std, accuracy (in %), one row a seed; several tasks in a column `task` make several lines.
    """
    fig = theme.figure(
        title="Score against the size of the initial weights",
        xaxis=_std_axis(),
        yaxis={"title": "accuracy, % (CoLA: Matthews)"},
        legend={"x": 0.02, "y": 0.02, "yanchor": "bottom"},
    )
    for source, frame in (("live", live), ("recorded", recorded)):
        if frame is None or frame.empty:
            continue
        parts = frame.groupby("task", sort=False) if "task" in frame else [("Rotten Tomatoes", frame)]
        for i, (task, part) in enumerate(parts):
            stds = sorted(set(part["std"]))
            points = [mean_interval(part[part["std"] == std]["accuracy"]) for std in stds]
            halves = [0 if half != half else half for _, half in points]
            fig.add_scatter(
                x=stds,
                y=[mean for mean, _ in points],
                error_y={
                    "array": [min(half, 100 - mean) for (mean, _), half in zip(points, halves, strict=True)],
                    "arrayminus": [min(half, mean) for (mean, _), half in zip(points, halves, strict=True)],
                    "thickness": 2,
                    "width": 6,
                },
                customdata=[f"± {half:.1f}" if half else "one run" for half in halves],
                hovertemplate=f"{task}, {source}<br>std %{{x:.0e}}: %{{y:.1f}} (%{{customdata}})<extra></extra>",
                **theme.series(source, task, i + (source == "recorded")),
            )
    fig.add_vrect(1e-7, ROBUST_BELOW, fillcolor="#000000", opacity=0.06, line_width=0)
    fig.add_annotation(
        x=-4.5, y=1.0, yref="paper", yanchor="top", showarrow=False, text="paper: robust", font={"size": 16}
    )
    return _guess(fig, guess)


def _guess(fig: go.Figure, guess: float | None) -> go.Figure:
    if guess is not None:
        fig.add_vline(guess, line={"color": theme.GUESS_COLOUR, "dash": "dashdot", "width": 3})
        fig.add_annotation(
            x=math.log10(guess), y=1.06, yref="paper", showarrow=False, text=f"your guess: {guess:g}",
            font={"color": theme.GUESS_COLOUR},
        )  # fmt: skip
    return fig


def compare(recorded=None, live=None) -> pd.DataFrame:
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
    halves = [0 if half != half else half for half in rows["half"].astype(float)]
    fig.add_bar(
        orientation="h",
        y=rows["variant"].tolist(),
        x=rows["difference"].astype(float).tolist(),
        error_x={"array": halves, "thickness": 2, "width": 6},
        customdata=rows[["seeds", "paper", "verdict"]].to_numpy().tolist(),
        hovertemplate="%{y}: %{x:+.2f} points, %{customdata[0]} seeds<br>paper: %{customdata[1]}<br>ours: %{customdata[2]}"
        "<extra></extra>",
        showlegend=False,
        **theme.bars(source),
    )
    fig.add_vline(0, line={"color": "#000000", "width": 2})
    return fig


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
    fig = theme.figure(
        title=f"{name}: {formula(name)}",
        height=360,
        xaxis={"visible": False, "range": [-0.3, 10.3]},
        yaxis={"visible": False, "range": [-0.4, 3.4]},
        margin={"l": 20, "r": 20, "t": 60, "b": 20},
    )
    fig.update_layout(title_font_size=16)

    def box(x0, x1, y, text, colour, hover, half=0.35):
        fig.add_shape(
            type="rect", x0=x0, x1=x1, y0=y - half, y1=y + half, line={"color": colour, "width": 3},
            fillcolor="white",
        )  # fmt: skip
        fig.add_annotation(x=(x0 + x1) / 2, y=y, text=text, showarrow=False, font={"size": 15}, hovertext=hover)

    def arrow(x0, y0, x1, y1, colour="#666666"):
        fig.add_annotation(
            x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
            arrowhead=2, arrowwidth=2.5, arrowcolor=colour,
        )  # fmt: skip

    where = "<br>and ".join({"attention": "attention", "feedforward": "feed-forward"}[s] for s in sites)
    arrow(-0.2, 1, 0.5, 1)
    hover = "the sub-layer's output projection, which is not trained"
    box(0.5, 2.75, 1, f"{where}<br>(frozen)", blue, hover, half=0.65)
    arrow(2.75, 1, 8.6, 1)
    box(8.6, 9.2, 1, "×" if place == "multiply" else "+", red, formula(name))
    arrow(9.2, 1, 10.2, 1)
    for x, text in ((0.2, "x"), (3.0, "y"), (9.8, "y'")):
        fig.add_annotation(x=x, y=0.7, text=text, showarrow=False, font={"size": 18})
    start = 3.0 if place == "serial" else 0.2
    arrow(start, 1, start, 2.5, red)
    steps = _steps(changes)
    low, wide = max(start, 0.6) + 0.3, (8.6 - max(start, 0.6) - 0.3) / len(steps)
    arrow(start, 2.5, low, 2.5, red)
    for i, step in enumerate(steps):
        first = i == 0
        shape = f"{width if first else size} → {size}" if step == "down" else f"{size} → {width}"
        hover = f"trained, {shape}" if step in ("down", "up") else step
        text = {"LayerNorm": "LN", "BatchNorm": "BN"}.get(step, step)
        box(low + i * wide + 0.04, low + (i + 1) * wide - 0.12, 2.5, text, red, hover)
    arrow(low + len(steps) * wide - 0.12, 2.5, 8.9, 1.4, red)
    return fig
