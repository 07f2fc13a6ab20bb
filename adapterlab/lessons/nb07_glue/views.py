"""A slider over the share of the frequent class: what not reading scores."""

import plotly.graph_objects as go

from ..kit import view as base
from .figures import constant_scores, misleading


def metric_view(share: float = 0.7, guess: float | None = None) -> base.FigureView:
    """The widget; its control is `.share`, of class 1 in the data. guess: the learner's Matthews at p = 1, in %."""

    def draw(share: float) -> tuple[go.Figure, str]:
        always = constant_scores(share).set_index(["p", "metric"])["score"][1.0]
        scores = ", ".join(f"{name} {score:.0f}%" for name, score in always.items())
        return misleading(share, guess), f"{100 * share:.0f}% are class 1: always saying 1 scores {scores}"

    return base.FigureView(draw, share=base.slider("share of class 1", share, 0.1, 0.9, 0.1))
