"""What 09_one_idea_many_methods measures: a method by itself, the cost of a step, and what was recorded."""

from collections.abc import Callable, Iterable, Mapping

import pandas as pd
import torch
from torch import Tensor

from ...adapters import Adapters
from ...methods import METHODS, Method
from ...studies import experiments, results
from ...studies.cost import step_memory, step_times
from ...studies.ways import prepare
from ..kit import theme


def as_function(adapters: Adapters, name: str) -> tuple[Callable[[Tensor], Tensor], int]:
    """Method `name`, with random weights, as a function of x and y, one behind the other; and how long they are."""
    config = METHODS[name](first=None) if name == "loreft" else METHODS[name]()  # LoReFT at every token
    adapter = adapters.add("probe", config, seed=0)
    for p in adapter.parameters():
        torch.nn.init.normal_(p, std=0.3)
    module = next(iter(adapter.at.values()))[0].cpu()
    adapters.delete("probe")
    return lambda xy: module(*xy.chunk(2)).detach(), 2 * adapters.sites["layers.0.query"].width


def costs(
    adapters: Adapters,
    recipes: Mapping[str, Iterable[Method] | None],
    labels: tuple[str, ...],
    batch: tuple,
    repeats: int,
) -> pd.DataFrame:
    """Time and memory of a training step of every recipe, one after another; None stands for full fine-tuning.

    Index: the recipes' names; columns step_ms, memory_mb. batch: (inputs, targets).
    """
    rows = {}
    for name, recipe in recipes.items():
        if recipe is None:
            model, _, _ = prepare("full", labels, device=next(adapters.model.parameters()).device)
        else:
            model = adapters.model
            adapters.add("costs", recipe, head=labels)
            adapters.train("costs")
        times, memory = step_times(model, *batch, repeats), step_memory(model, *batch)
        rows[name] = {"step_ms": sum(times.values()), "memory_mb": sum(memory.values())}
        if recipe is not None:
            adapters.delete("costs")
    return pd.DataFrame(rows).T


def recorded(task: str) -> pd.DataFrame:
    """The recorded runs at the rate that validation chose, a row a run, with accuracy in %; empty where there are none.

    Rows that say which pooling their head had go before those of the old head.
    """
    frame = results.frame_or_none("methods")
    frame = pd.DataFrame(columns=["task", "base", "method", "lr"]) if frame is None else frame
    frame = frame[(frame["task"] == task) & (frame["base"] == "minilm")]
    if frame.empty:
        return frame
    if "pooling" in frame and frame["pooling"].notna().any():
        frame = frame[frame["pooling"].notna()]
    frame = experiments.choose(frame).drop(columns="step_ms")
    return frame.assign(accuracy=100 * frame["test"].fillna(frame["majority"]))


def source(frame: pd.DataFrame) -> str:
    """Two lines on what recorded runs are: sentences, steps, seeds, head, and how often the last epoch was best."""
    one, seeds = frame.iloc[0], frame.groupby("method")["seed"].nunique()
    steps = -(-one["rows_train"] // one["batch_size"]) * one["epochs"]
    last = 100 * (frame["best_epoch"] == frame["epochs"]).mean()
    many = "–".join(str(n) for n in sorted({seeds.min(), seeds.max()}))
    head = f"the head reads the {one['pooling']}" if isinstance(one.get("pooling"), str) else theme.OLD_HEAD
    return (
        f"{one['rows_train']:,.0f} sentences, {steps:,.0f} steps, {many} seeds a method; {head}"
        f"<br>in brackets the rate that validation chose; the last epoch was best in {last:.0f}%"
    )
