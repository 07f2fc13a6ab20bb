"""Choose a variant and the size of its initial weights: its formula as a drawing, what was measured, what it costs."""

import ipywidgets
import pandas as pd

from ...studies.experiments import VARIANTS, recipe_of, setting
from ..kit import view as base
from . import figures as plots


def count(variant: str, size: int, sites: dict) -> int:
    """Parameters that a variant trains on a model with these sites, LayerNorms included, head not."""
    recipe = recipe_of(setting("any", f"adapter {size}", lr=1e-3, epochs=1, variant=variant))
    return sum(config.count(site) for config in recipe for site in config.targets(sites))


def variant_view(measured: pd.DataFrame, sites: dict, size: int = 64, total: int | None = None) -> base.FigureView:
    """measured: columns variant, std, accuracy (in %), source ("live" or "recorded"), one row a run.

    sites: of the model, as `find_sites` gives them; total: the model's parameters, for the share.
    """
    stds = sorted(set(measured["std"]) | {1e-2})
    width = next(site.width for site in sites.values() if site.kind == "attention")

    def draw(variant, std):
        found = measured[(measured["variant"] == variant) & (measured["std"] == std)]
        parts = [
            f"{part['accuracy'].mean():.1f}% ({source}, {len(part)} run{'s' * (len(part) > 1)})"
            for source, part in found.groupby("source", sort=False)
        ]
        trained = count(variant, size, sites)
        share = f" ({100 * trained / total:.2f}% of the model)" if total else ""
        said = "accuracy " + ", ".join(parts) if parts else f"not measured with std {std:g}"
        summary = f"{variant}: {plots.formula(variant)}; {trained:,} parameters{share}; {said}"
        return plots.drawing(variant, size, width), summary

    return base.FigureView(
        draw,
        height=360,
        variant=base.choice("variant", list(VARIANTS)),
        std=ipywidgets.SelectionSlider(
            options=[(f"{std:g}", std) for std in stds],
            value=1e-2,
            description="std of the initial weights",
            style=base.LABEL,
            layout=base.WIDE,
            continuous_update=False,
        ),
    )
