"""What so many tasks weigh, by method."""

import pandas as pd
import plotly.graph_objects as go

from ...studies.count import storage
from ..kit import view as base
from ..nb00_start.figures import storage as growth


def serving_view(base_count: int, counts: dict[str, int], tasks: int = 10) -> base.FigureView:
    """Controls `method` (of counts: name -> parameters of one adapter) and `tasks`.

    base_count: parameters of the model.
    """

    def draw(method: str, tasks: int) -> tuple[go.Figure, str]:
        frame = pd.DataFrame([storage(base_count, counts[method], n) for n in range(1, tasks + 1)])
        copies, shared = frame["copies_mb"].iloc[-1], frame["adapters_mb"].iloc[-1]
        summary = (
            f"{tasks} tasks with {method}: {4e-6 * counts[method]:.2f} MB a task; {copies:,.0f} MB as copies, "
            f"{shared:,.0f} MB on one model, {copies / shared:.1f} times less"
        )
        return growth(frame, title=f"{tasks} tasks with {method}"), summary

    return base.FigureView(draw, method=base.choice("method", list(counts)), tasks=base.slider("tasks", tasks, 1, 100))
