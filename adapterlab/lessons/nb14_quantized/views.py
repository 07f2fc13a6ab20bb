"""Choose a model, an adapter and a device: what must be held to train, with full, 16, 8 and 4 bits in the base."""

from functools import cache

import pandas as pd
import plotly.graph_objects as go
from torch import nn

from ...errors import UserError
from ...methods import LoRAConfig, houlsby
from ...sites import find_layers
from ...studies.count import blueprint, checkpoints, measure, parts
from ..kit import view as base
from . import figures as plots

ADAM = 16  # bytes a trained parameter: weight, gradient and Adam's two means, in float32
BITS = {"float32": 32.0, "bfloat16": 16.0, "int8": 8.0, "4-bit": 4 + 8 / 64 + 32 / (256 * 64)}
DEVICES = (2, 8, 16, 24, 80)


@cache
def packable(name: str) -> tuple[int, int]:
    """(weights in the layers' nn.Linear, which can be packed; all parameters) of a model in `checkpoints()`."""
    model = blueprint(name)
    layers = [model.get_submodule(path) for path in find_layers(model).values()]
    linears = {id(m): m for layer in layers for m in layer.modules() if type(m) is nn.Linear}
    return sum(m.weight.numel() for m in linears.values()), measure(name)[0]


def needs(name: str, trained: int) -> pd.DataFrame:
    """Columns way, part, gb (10^9 bytes): full fine-tuning, and `trained` adapter parameters on each kind of base."""
    inside, total = packable(name)
    rows = [("full fine-tuning", "trained, with gradient and Adam", ADAM * total / 1e9)]
    for kind, bits in BITS.items():
        rest = 2 if kind == "bfloat16" else 4  # bytes of a weight that is not packed, as an embedding
        frozen = inside * bits / 8 + (total - inside) * rest
        rows += [(f"adapter, {kind}", "frozen", frozen / 1e9), (f"adapter, {kind}", rows[0][1], ADAM * trained / 1e9)]
    return pd.DataFrame(rows, columns=["way", "part", "gb"])


def fit_view(model: str = "bert-base", device: int = 8) -> base.FigureView:
    """The widget; its controls are `.model`, `.method`, `.size` and `.device`."""
    recipes = {"Houlsby bottlenecks": houlsby, "LoRA (query, value)": lambda n: (LoRAConfig(rank=n),)}

    def draw(model: str, method: str, size: int, device: int) -> tuple[go.Figure, str]:
        trained = sum(part["total"] for part in parts(model, recipes[method](size)))
        frame = needs(model, trained)
        if not packable(model)[0]:
            raise UserError(f"{model} has no nn.Linear in its layers: it cannot be packed; choose another model")
        totals = frame.groupby("way", sort=False)["gb"].sum()
        fits = [way for way, gb in totals.items() if gb < device]
        verdict = f"{len(fits)} of {len(totals)} ways fit ({', '.join(fits)})" if fits else "none fits"
        text = (
            f"{model}, {method}, size {size}: {trained:,} trained; in {device} GB, activations not counted: {verdict}"
        )
        return plots.training_memory(frame, device, f"Training {model}"), text

    return base.FigureView(
        draw,
        height=520,
        model=base.choice("model", list(checkpoints()), model),
        method=base.choice("method", list(recipes)),
        size=base.slider("size or rank", 16, 1, 64),
        device=base.choice("memory of the device, GB", DEVICES, device),
    )
