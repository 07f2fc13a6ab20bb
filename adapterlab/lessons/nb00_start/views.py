"""How much room do many tasks take? Copies of the model against adapters on one model."""

import pandas as pd

from ...methods import BottleneckConfig
from ...sites import Site
from ..kit import view as base
from . import figures as start

#: name -> (width, layers, parameters of the encoder with embeddings and pooler).
MODELS = {
    "MiniLM-L6 (bundled)": (384, 6, 22_713_216),
    "BERT-Base": (768, 12, 109_482_240),
    "BERT-Large": (1024, 24, 335_141_888),
}
BYTES = 4  # of a float32


def adapter_parameters(width: int, layers: int, size: int, norms: bool = True) -> int:
    """Houlsby's adapter without a head: two bottlenecks a layer and, unless told otherwise, every LayerNorm."""
    place = Site("any", "attention", 0, "", "", width, width)
    return 2 * layers * BottleneckConfig(size=size).count(place) + norms * 2 * width * (2 * layers + 1)


def room(model: str, tasks: int, size: int) -> pd.DataFrame:
    """MB for so many tasks, two rows: columns way, base_mb, tasks_mb."""
    width, layers, total = MODELS[model]
    copies = tasks * total * BYTES / 1e6
    added = tasks * adapter_parameters(width, layers, size) * BYTES / 1e6
    return pd.DataFrame(
        [
            {"way": f"{tasks} copies", "base_mb": 0.0, "tasks_mb": copies},
            {"way": f"1 model,<br>{tasks} adapters", "base_mb": total * BYTES / 1e6, "tasks_mb": added},
        ]
    )


def draw(model: str, tasks: int, bottleneck: int):
    """(figure, summary) for the view."""
    width, layers, total = MODELS[model]
    frame, count = room(model, tasks, bottleneck), adapter_parameters(width, layers, bottleneck)
    copies, ours = (frame["base_mb"] + frame["tasks_mb"]).tolist()
    share = 100 * count / total
    summary = (
        f"{model}, {tasks} tasks, bottleneck {bottleneck}: {count:,} parameters a task ({share:.2f}% of the model); "
        f"{copies:,.0f} MB as copies, {ours:,.0f} MB with adapters, {copies / ours:.1f} times less; "
        f"all in all {ours / (total * BYTES / 1e6):.2f} times the model"
    )
    return start.budget(frame, f"{model}, bottleneck {bottleneck}"), summary


def budget(tasks: int = 10, size: int = 64, model: str = "MiniLM-L6 (bundled)") -> base.FigureView:
    """The view: controls `model`, `tasks` and `bottleneck`."""
    return base.FigureView(
        draw,
        height=360,
        model=base.choice("model", list(MODELS), model),
        tasks=base.slider("tasks", tasks, 1, 100),
        bottleneck=base.slider("bottleneck size", size, 1, 512),
    )
