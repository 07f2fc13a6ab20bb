"""A slider over the bottleneck size: what it costs, and what was measured."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import view as base
from . import figures as plots


def size_view(measured: pd.DataFrame, share: pd.DataFrame, source: str = "recorded") -> base.FigureView:
    """The widget; its control is `.size`, one of the sizes of `share`.

    measured: columns size, accuracy (in %), one row a seed; share: columns size, trained, trained_percent.
    source: "live" or "recorded", said in the figure and in the summary.
    """
    sizes = share["size"].astype(int).tolist()

    def draw(size: int) -> tuple[go.Figure, str]:
        row = share[share["size"] == size].iloc[0]
        accuracies = measured[measured["size"] == size]["accuracy"]
        result = base.accuracy(accuracies, source, "seed") if len(accuracies) else "not measured"
        trained = f"{int(row['trained']):,} parameters, {row['trained_percent']:.2f}% of the model"
        summary = f"size {size}: {trained}; accuracy {result}"
        return plots.size_choice(measured, size, share, source), summary

    return base.FigureView(draw, size=base.select("bottleneck size", sizes, 64 if 64 in sizes else sizes[0]))
