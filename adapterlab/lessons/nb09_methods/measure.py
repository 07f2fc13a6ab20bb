"""What 09_one_idea_many_methods measures: an attention with a prefix, and the cost of a step of every method."""

import pandas as pd
import torch
from torch import Tensor

from ...adapters import Adapters
from ...compose import Block
from ...studies import experiments, results
from ...studies.cost import step_memory, step_times
from ...studies.ways import prepare
from ..kit import theme


@torch.no_grad()
def attention(adapters: Adapters, setup: str | Block | None, inputs: dict[str, Tensor], layer: int = 0) -> dict:
    """q, K, V and out, what comes of them, of one layer and one text: (heads, tokens, head_width) each, on the CPU.

    K and V are the text's own, without what a prefix puts in front of them.
    """
    model, seen = adapters.model, {}
    names = {"q": "query", "K": "key", "V": "value"}
    modules = {key: model.get_submodule(adapters.sites[f"layers.{layer}.{kind}"].module) for key, kind in names.items()}
    hooks = [m.register_forward_hook(lambda m, x, y, key=key: seen.update({key: y})) for key, m in modules.items()]
    dense = model.get_submodule(adapters.sites[f"layers.{layer}.attention_dense"].module)
    hooks.append(dense.register_forward_pre_hook(lambda m, x: seen.update({"out": x[0]})))
    try:
        with adapters.use(setup):
            model(**inputs)
    finally:
        for hook in hooks:
            hook.remove()
    heads = model.config.num_attention_heads
    return {key: value[0].unflatten(-1, (heads, -1)).transpose(0, 1).cpu() for key, value in seen.items()}


def costs(adapters: Adapters, labels: tuple[str, ...], inputs: dict, targets: Tensor, repeats: int) -> pd.DataFrame:
    """Time and memory of a training step of every method of FAMILY, of a head alone and of full fine-tuning.

    Index: the method; columns step_ms, memory_mb. The adapters are put beside those that are there and deleted again.
    """
    device = next(adapters.model.parameters()).device
    full, _, _ = prepare("full", labels, device=device)
    rows = {"full": _cost(full, inputs, targets, repeats)}
    for name in ["head only", *experiments.FAMILY]:
        recipe = experiments.family_recipe(name) if name in experiments.FAMILY else ()
        adapters.add("costs", recipe, head=labels)
        adapters.train("costs")
        rows[name] = _cost(adapters.model, inputs, targets, repeats)
        adapters.delete("costs")
    return pd.DataFrame(rows).T


def _cost(model, inputs, targets, repeats) -> dict[str, float]:
    times, memory = step_times(model, inputs, targets, repeats), step_memory(model, inputs, targets)
    return {"step_ms": sum(times.values()), "memory_mb": sum(memory.values())}


def recorded(task: str) -> tuple[pd.DataFrame | None, str]:
    """(the recorded runs at the rate that validation chose, what is to be known of them); None where there are none.

    Rows that say which pooling their head had go before those of the old head.
    """
    frame = results.frame_or_none("methods")
    if frame is None:
        return None, "nothing is recorded here"
    frame = frame[(frame["task"] == task) & (frame["base"] == "minilm")]
    if frame.empty:
        return None, f"nothing is recorded for {task}"
    new = frame["pooling"].notna() if "pooling" in frame else pd.Series(False, frame.index)
    frame = experiments.choose(frame[new] if new.any() else frame)
    frame = frame.drop(columns="step_ms").assign(accuracy=100 * frame["test"].fillna(frame["majority"]))
    one, last = frame.iloc[0], (frame["best_epoch"] == frame["epochs"]).mean()
    steps = -(-one["rows_train"] // one["batch_size"]) * one["epochs"]
    text = (
        f"{one['rows_train']:.0f} sentences, {steps:.0f} steps, {frame['seed'].nunique()} seeds, "
        f"{min(frame['date'])[:10]}; in {100 * last:.0f}% of the chosen runs the best epoch is the last"
    )
    return frame, text if new.any() else f"{text}; {theme.OLD_HEAD}"
