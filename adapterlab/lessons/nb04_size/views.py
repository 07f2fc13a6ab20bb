"""A slider over the bottleneck size: what it costs, and what was measured."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import view as base
from .figures import size_curve


def size_view(recorded: pd.DataFrame, share: pd.DataFrame) -> base.FigureView:
    """The widget; its control is `.size`.

    recorded: columns size, accuracy (in %), one row a seed; share: columns size, trained, trained_percent.
    """
    costs = share.set_index("size")

    def draw(size: int) -> tuple[go.Figure, str]:
        accuracies = recorded[recorded["size"] == size]["accuracy"]
        result = base.accuracy(accuracies, "recorded", "seed") if len(accuracies) else "not measured"
        trained = f"{costs['trained'][size]:,} parameters, {costs['trained_percent'][size]:.2f}% of the model"
        return size_curve(recorded, size=size), f"size {size}: {trained}; accuracy {result}"

    return base.FigureView(draw, size=base.select("bottleneck size", list(costs.index), 64))
