"""How much room do many tasks take? Copies of the model against adapters on one model."""

import plotly.graph_objects as go

from ...methods import houlsby
from ...studies.count import count
from ..kit import view as base
from . import figures as start

#: what a reader chooses -> its name in data/configs
MODELS = {"MiniLM-L6 (bundled)": "minilm", "BERT-Base": "bert-base", "BERT-Large": "bert-large"}


def draw(model: str, tasks: int, bottleneck: int) -> tuple[go.Figure, str]:
    """(figure, summary) for Houlsby's adapters of this size, without a head. model: a key of MODELS."""
    row = count(MODELS[model], houlsby(bottleneck), tasks)
    summary = (
        f"{model}, {tasks} tasks, bottleneck {bottleneck}: {row['adapter']:,} parameters a task "
        f"({row['share_percent']:.2f}% of the model); {row['copies_mb']:,.0f} MB as copies, "
        f"{row['adapters_mb']:,.0f} MB with adapters, {row['copies_mb'] / row['adapters_mb']:.1f} times less; "
        f"all in all {row['adapters_times']:.2f} times the model"
    )
    return start.budget(row, f"{model}, bottleneck {bottleneck}"), summary


def budget(tasks: int = 10, size: int = 64, model: str = "MiniLM-L6 (bundled)") -> base.FigureView:
    """The view: controls `model`, `tasks` and `bottleneck`."""
    return base.FigureView(
        draw,
        height=360,
        model=base.choice("model", list(MODELS), model),
        tasks=base.slider("tasks", tasks, 1, 100),
        bottleneck=base.slider("bottleneck size", size, 1, 384),
    )
