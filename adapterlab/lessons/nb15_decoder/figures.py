"""Figures of 15_a_decoder_learns: who foretells which text how well, and the mood between two adapters."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ...studies.stats import accuracy_error
from ..kit import theme


def perplexities(frame: pd.DataFrame) -> go.Figure:
    """Columns critic, text, perplexity: a cell for each pair, coloured by the logarithm, so that ratios look alike."""
    table = frame.pivot_table(index="critic", columns="text", values="perplexity", sort=False)
    logs = np.log10(table.to_numpy())
    fig = theme.figure("Perplexity, the lower the less surprised", "text", "active", height=400)
    hover = "%{y} on %{x}: %{text}"
    low, high = float(logs.min()), float(logs.max())
    text = table.map("{:.0f}".format).to_numpy()
    return theme.heat(fig, logs, list(table), table.index.tolist(), text, hover, low, high, "log₁₀ perplexity")


def moods(frame: pd.DataFrame, rows: int, guess: float | None = None, at: float | None = None) -> go.Figure:
    """Share of the texts that the judge calls pleased, over the pleased adapter's weight, with what `rows` leave open.

    Columns weight (0 to 1), share (in %). guess: of weight 0.5; at: the weight whose point is ringed.
    """
    half = [100 * accuracy_error(share / 100, rows) for share in frame["share"]]
    x = {"title": "weight of the pleased critic in the Average", "range": [-0.06, 1.06]}
    y = {"title": "judged pleased, %", "range": [-4, 104]}
    fig = theme.figure(f"What the judge calls pleased, of {rows} texts each", x, y, legend=2)
    theme.lines(fig, frame.assign(who="written", half=half), "weight", "share", "who", "%{x}: %{y:.0f}%", half="half")
    ring = {"symbol": "circle-open", "size": 24, "line": {"width": 3}, "color": theme.OKABE_ITO[1]}
    here = frame[frame["weight"] == at]
    if len(here):
        fig.add_scatter(x=here["weight"], y=here["share"], mode="markers", marker=ring, name="this weight")
    return theme.star(fig, None if guess is None else 0.5, guess)
