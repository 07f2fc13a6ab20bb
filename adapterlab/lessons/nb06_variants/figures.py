"""Figures and the table of 06_init_and_variants: initial weights, and what section 3.6 of the paper tried."""

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from ...studies.experiments import VARIANTS
from ...studies.stats import mean_interval
from ..kit import theme
from ..kit.drawing import arrow, box, write

ROBUST_BELOW = 1e-2  # Houlsby et al. 2019, section 3.6 and Figure 6, right
SILENT = ("relu", "swish", "feed-forward only")
"""Our variants that section 3.6 does not name; in the others it finds no gain."""


def _std_axis() -> dict:
    return theme.log("standard deviation of the initial weights (log scale)", 1e-7, 1)


def over_std(frame: pd.DataFrame, title: str, axis: str, guess: float | None = None) -> go.Figure:
    """Columns std, name, value: a line a name, both axes log; what is 0 has no logarithm and is left out."""
    frame = frame[frame["value"] > 0]
    ends = float(frame["value"].min()), float(frame["value"].max())
    fig = theme.figure(title, _std_axis(), theme.log(axis, *ends), legend=2)
    theme.lines(fig, frame, "std", "value", "name", "std %{x:.0e}: %{y:.1e}")
    return theme.mark(fig, guess, axis="x")


def init_curve(recorded: pd.DataFrame, live: pd.DataFrame, rows: int, guess: float | None = None) -> go.Figure:
    """Figure 6, right: accuracy over the std of the initial weights; mean and 95% interval over the seeds.

    recorded, live: columns std, accuracy (in %), one row a seed. rows: the live run's test sentences, which alone give
    it an interval.
    """
    fig = theme.figure("Accuracy against the size of the initial weights", _std_axis(), "accuracy on test, %", legend=2)
    for i, (source, frame) in enumerate({"live": live, "recorded": recorded}.items()):
        means = theme.means(frame, "std", rows=rows if source == "live" else None).sort_values("std")
        means = means.assign(name="Rotten Tomatoes", down=means["half"].clip(upper=means["mean"]))
        means["up"] = means["half"].clip(upper=100 - means["mean"])
        theme.lines(
            fig, means, "std", "mean", "name", "std %{x:.0e}: %{y:.1f}% (%{customdata})", source=source,
            index=lambda _, i=i: i, half=("up", "down"), note="note",
        )  # fmt: skip
    fig.add_vrect(1e-7, ROBUST_BELOW, fillcolor="#000000", opacity=0.06, line_width=0)
    write(fig, -4.5, 0.01, "the paper's scores: robust here", yref="y domain", yanchor="bottom")
    return theme.old_head(theme.mark(fig, guess, axis="x"), recorded)


def against_plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Every variant less the plain bottleneck, seed by seed: a row a variant.

    rows: columns variant, seed, accuracy (in %), with rows of "plain". Columns: variant, points, 95%, seeds, verdict,
    paper; without an interval of three seeds at least nothing is told apart.
    """
    scores = rows.pivot_table(index="seed", columns="variant", values="accuracy")
    table = []
    for variant in [name for name in VARIANTS if name in scores and name != "plain"]:
        points = (scores[variant] - scores["plain"]).dropna()
        mean, half = mean_interval(points)
        verdict = "not told apart" if len(points) < 3 or not abs(mean) > half else "helped" if mean > 0 else "hurt"
        paper = "says nothing" if variant in SILENT else "tried, no gain"
        table.append(
            {"variant": variant, "points": mean, "95%": half, "seeds": len(points), "verdict": verdict, "paper": paper}
        )
    return pd.DataFrame(table)


def variant_bars(table: pd.DataFrame, rows: pd.DataFrame) -> go.Figure:
    """The rows of `against_plain` as bars with their 95% intervals; rows: the recorded ones, for the head they say."""
    fig = px.bar(
        table, x="points", y="variant", error_x="95%", color="verdict", orientation="h", height=520,
        hover_data=["seeds", "paper"], title="Less the plain bottleneck (recorded)", template=theme.TEMPLATE,
        category_orders={"variant": list(VARIANTS)}, labels={"points": "difference in accuracy, points (95% interval)"},
    )  # fmt: skip
    fig.add_vline(0, line={"color": "#000000", "width": 2})
    return theme.old_head(fig.update_layout(margin_l=220, yaxis_title=None), rows)


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
    fig = theme.figure(f"{name}: {formula(name)}", height=360, margin={"l": 20, "r": 20, "t": 60, "b": 20})
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
