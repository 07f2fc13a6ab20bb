"""Choose a model, a method, a size and a number of tasks: formula, sum, megabytes."""

import plotly.graph_objects as go

from ...methods import BottleneckConfig, LayerNormConfig, houlsby
from ...studies.count import checkpoints, count, parts
from ..kit import view as base
from ..nb00_start import figures as start

METHODS = {
    "Houlsby: 2 bottlenecks a layer + LayerNorms": houlsby,
    "bottleneck, attention only": lambda size: (BottleneckConfig(size=size, sites=("attention",)),),
    "bottleneck, feed-forward only": lambda size: (BottleneckConfig(size=size, sites=("feedforward",)),),
    "LayerNorms only (no size)": lambda size: (LayerNormConfig(),),
}
SIZES = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 512)


def draw(model: str, method: str, bottleneck: int, tasks: int) -> tuple[go.Figure, str]:
    """(figure, summary) for the view. method: a key of METHODS. UserError for a size that is wider than the model."""
    recipe = METHODS[method](bottleneck)
    added, row = parts(model, recipe), count(model, recipe, tasks)
    formula = " + ".join(f"{part['sites']} × ({part['numbers']})" for part in added)
    text = (
        f"{model}, {method}, size {bottleneck}: {formula} = {row['adapter']:,} of {row['base']:,} parameters "
        f"({row['share_percent']:.2f}%); {tasks} task{'s' * (tasks > 1)}: {row['adapters_mb']:,.0f} MB with adapters "
        f"({row['adapters_times']:.2f} times the model), {row['copies_mb']:,.0f} MB as copies"
    )
    return start.budget(row, f"{model}: {row['share_percent']:.2f}% trained"), text


def budget_view(model: str = "bert-large", size: int = 64, tasks: int = 9) -> base.FigureView:
    """The widget; its controls are `.model`, `.method`, `.bottleneck` (the size) and `.tasks`."""
    return base.FigureView(
        draw,
        height=360,
        model=base.choice("model", list(checkpoints()), model),
        method=base.choice("method", list(METHODS)),
        bottleneck=base.select("bottleneck size m", SIZES, size),
        tasks=base.slider("tasks", tasks, 1, 100),
    )
