"""Figures of 16_forgetting_and_choosing: the old task against the new one, and how many methods there are of a kind."""

import pandas as pd
import plotly.graph_objects as go

from ...studies.stats import mean_interval
from ..kit import theme
from .course import NOISE, WAYS

PLACES = (*WAYS, NOISE)
"""Each way's colour and marker, live and recorded, is that of its place here; others come behind."""
KINDS = ("added", "masked", "multiplied", "selected", "prompt")
"""Of data/peft_methods.csv: a change is added; few fixed numbers of it are trained; it multiplies; what is there is
trained or mixed; positions are added."""


def plane(
    frame: pd.DataFrame, before: float, guess: tuple[float, float] | None = None, source: str = "live"
) -> go.Figure:
    """Columns way, seed, old, new (accuracies in %): a mean with 95% intervals for every way; up and right is better.

    before: the old task's mean before the new one came. guess: (new, old) expected of the first way.
    """
    fig = theme.figure(
        f"What the new task costs the old ({source})", "new task, %", "old task afterwards, %", height=620
    )
    places = list(dict.fromkeys([*PLACES, *frame["way"]]))
    for way, rows in frame.groupby("way", sort=False):
        (old, up), (new, right) = mean_interval(rows["old"]), mean_interval(rows["new"])
        style = theme.series(source, str(way), places.index(way)) | {"mode": "markers"}
        hover = f"{style['name']}<br>new %{{x:.1f}}%, old %{{y:.1f}}%<br>{len(rows)} seeds<extra></extra>"
        errors = {f"error_{axis}": theme.error([half]) for axis, half in (("x", right), ("y", up)) if half == half}
        fig.add_scatter(x=[new], y=[old], hovertemplate=hover, **errors, **style)
    theme.mark(fig, before, "paper", text=f"old task before: {before:.1f}%")
    return theme.star(fig, *(guess or (None, None)))


def kinds(methods: pd.DataFrame) -> go.Figure:
    """Rows of data/peft_methods.csv: how many there are of each kind, those of this package apart."""
    known = methods["ours"].fillna("").ne("").map({True: "in this package too", False: "in PEFT alone"})
    counts = methods.assign(whose=known).groupby(["kind", "whose"]).size().rename("methods").reset_index()
    counts = counts.sort_values("kind", key=lambda kind: kind.map(KINDS.index))
    fig = theme.figure(f"{len(methods)} methods of PEFT 0.21.2, by what they do", "methods", legend=1)
    return theme.stack(fig, counts.sort_values("whose", kind="stable"), "kind", "methods", "whose", "%{x:.0f} methods")
