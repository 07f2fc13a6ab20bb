"""Choose a model, a method, a size and a number of tasks: formula, table, megabytes."""

import pandas as pd
import plotly.graph_objects as go

from ...errors import UserError
from ...methods import BottleneckConfig, LayerNormConfig, houlsby
from ...studies.count import checkpoints, count, parts
from ..kit import view as base
from . import figures as plots

METHODS = {
    "Houlsby: 2 bottlenecks a layer + LayerNorms": houlsby,
    "bottleneck, attention only": lambda size: (BottleneckConfig(size=size, sites=("attention",)),),
    "bottleneck, feed-forward only": lambda size: (BottleneckConfig(size=size, sites=("feedforward",)),),
    "LayerNorms only (no size)": lambda size: (LayerNormConfig(),),
}
SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 512)


def budget(model: str, method: str, bottleneck: int, tasks: int) -> tuple[go.Figure, str]:
    """(figure, summary) for the view. method: a key of METHODS. UserError for a size that is wider than the model."""
    recipe = METHODS[method](bottleneck)
    width = min((part["width"] for part in parts(model, recipe) if part["method"] == "bottleneck"), default=bottleneck)
    if bottleneck > width:
        raise UserError(f"size {bottleneck} is wider than {model}, which is {width} wide: choose a smaller one")
    row = count(model, recipe, tasks)
    text = (
        f"{model}, {method}, size {bottleneck}: {row['adapter']:,} of {row['base']:,} parameters "
        f"({row['share_percent']:.2f}%); {tasks} task{'s' * (tasks > 1)}: {row['adapters_mb']:,.0f} MB with adapters, "
        f"{row['copies_mb']:,.0f} MB as copies"
    )
    return plots.budget(pd.DataFrame(parts(model, recipe)), row), text


def budget_view(model: str = "bert-large", size: int = 64, tasks: int = 9) -> base.FigureView:
    """The widget; its controls are `.model`, `.method`, `.bottleneck` (the size) and `.tasks`."""
    return base.FigureView(
        budget,
        height=520,
        model=base.choice("model", list(checkpoints()), model),
        method=base.choice("method", list(METHODS)),
        bottleneck=base.select("bottleneck size m", SIZES, size),
        tasks=base.slider("tasks", tasks, 1, 100),
    )
