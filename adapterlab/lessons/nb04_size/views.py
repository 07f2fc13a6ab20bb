"""A slider over the bottleneck size: what it costs, and what was measured."""

import ipywidgets
import pandas as pd

from ..kit import view as base
from . import figures as plots


def size_view(measured: pd.DataFrame, share: pd.DataFrame, source: str = "recorded") -> base.FigureView:
    """measured: columns size, accuracy (in %), one row a seed; share: columns size, trained, trained_percent.

    source: "live" or "recorded", said in the figure and in the summary.
    """
    sizes = share["size"].astype(int).tolist()

    def draw(size):
        row = share[share["size"] == size].iloc[0]
        found = measured[measured["size"] == size]["accuracy"]
        said = f"accuracy {found.mean():.1f}% ({source}, {len(found)} seeds)" if len(found) else "accuracy not measured"
        summary = f"size {size}: {int(row['trained']):,} parameters, {row['trained_percent']:.2f}% of the model; {said}"
        return plots.size_choice(measured, size, share, source), summary

    return base.FigureView(
        draw,
        size=ipywidgets.SelectionSlider(
            options=sizes,
            value=64 if 64 in sizes else sizes[0],
            description="bottleneck size",
            style=base.LABEL,
            layout=base.WIDE,
            continuous_update=False,
        ),
    )
