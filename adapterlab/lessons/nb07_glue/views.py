"""Choose a GLUE task: its metric, the size of the paper's grid, Table 1's row beside ours."""

import pandas as pd
import plotly.graph_objects as go

from ...studies.experiments import glue_settings
from ...tasks.glue import GLUE
from ..kit import view as base
from . import figures as plots

SAYS = {
    "matthews": "Matthews' correlation",
    "f1": "F1",
    "pearson_spearman": "mean of Pearson's and Spearman's correlation",
}


def glue_view(ours: pd.DataFrame | None = None, source: str = "recorded") -> base.FigureView:
    """The widget; its controls are `.task` and `.seeds`.

    ours: rows of `figures.best_rows`, or None. source: where ours come from, "recorded" or "live".
    """

    def draw(task: str, seeds: int) -> tuple[go.Figure, str]:
        spec, paper = GLUE[task], plots.table1()
        runs = glue_settings(tasks=(f"glue/{task}",), seeds=range(seeds))
        printed = [paper.loc[name, plots.COLUMNS[task]] for name in ("full fine-tuning", "adapters 8-256")]
        rows = None if ours is None else ours[ours["task"] == task].set_index("method")
        result = "ours: not recorded"
        if rows is not None and len(rows):
            result = f"ours ({source}, MiniLM): " + ", ".join(
                f"{name} {rows.loc[name, 'mean']:.1f}" for name in ("full", "adapters") if name in rows.index
            )
        summary = (
            f"{task}: {SAYS.get(spec.metric, spec.metric)}, {'pairs' if spec.pair else 'single sentences'}; grid of "
            f"{len(runs)} runs; paper (BERT-Large): full {printed[0]:.1f}, adapters {printed[1]:.1f}; {result}"
        )
        return plots.task_bars(task, ours, source), summary

    return base.FigureView(draw, task=base.choice("task", list(GLUE)), seeds=base.slider("seeds in the grid", 5, 1, 10))
