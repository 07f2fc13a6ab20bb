"""Choose a variant and the size of its initial weights: its formula as a drawing, what was measured, what it costs."""

import pandas as pd
import plotly.graph_objects as go

from ...sites import Site
from ...studies.experiments import VARIANTS, recipe_of, setting
from ..kit import view as base
from . import figures as plots


def count(variant: str, size: int, sites: dict[str, Site]) -> int:
    """Parameters that a variant trains on a model with these sites, LayerNorms included, head not."""
    recipe = recipe_of(setting("any", f"adapter {size}", lr=1e-3, epochs=1, variant=variant))
    return sum(config.total(sites) for config in recipe)


def variant_view(measured: pd.DataFrame, sites: dict[str, Site], size: int = 64, total: int = 1) -> base.FigureView:
    """The widget; its controls are `.variant` and `.std`, of the initial weights.

    measured: columns variant, std, accuracy (in %), source ("live" or "recorded"), one row a run. sites: of the model,
    as `find_sites` gives them; total: the model's parameters.
    """
    stds = sorted(set(measured["std"]) | {1e-2})
    width = next(site.width for site in sites.values() if site.kind == "attention")

    def draw(variant: str, std: float) -> tuple[go.Figure, str]:
        runs = measured[(measured["variant"] == variant) & (measured["std"] == std)]
        parts = [base.accuracy(rows, source) for source, rows in runs.groupby("source", sort=False)["accuracy"]]
        trained = count(variant, size, sites)
        result = "accuracy " + ", ".join(parts) if parts else f"not measured with std {std:g}"
        cost = f"{trained:,} parameters, {100 * trained / total:.2f}% of the model"
        summary = f"{variant}: {plots.formula(variant)}; {cost}; {result}"
        return plots.drawing(variant, size, width), summary

    return base.FigureView(
        draw,
        height=360,
        variant=base.choice("variant", list(VARIANTS)),
        std=base.select("std of the initial weights", [(f"{std:g}", std) for std in stds], 1e-2),
    )
