"""Choose rank, alpha and place: the matrices to scale, their parameters and megabytes, the scale, what was measured."""

import ipywidgets
import pandas as pd

from ...methods import LoRAConfig
from ..kit import view as base
from . import figures as plots

STABLE = plots.SCALES[1]


def lora_view(
    measured: pd.DataFrame, sites: dict, total: int, alpha: float = 16, source: str = "live"
) -> base.FigureView:
    """measured: columns where, rank, alpha, accuracy (in %), one row a run with the scale alpha / r.

    sites: of the model, as `find_sites` gives them; total: the model's parameters, for the share.
    alpha: where the slider starts; source: "live" or "recorded", said in the summary.
    """
    kinds = plots.WHERE["all linears"]
    first = min(site.layer for site in sites.values() if site.kind in kinds)
    shapes = {s.kind: (s.width, s.source_width) for s in sites.values() if s.kind in kinds and s.layer == first}
    most = min(min(shape) for shape in shapes.values())
    ranks = [2**n for n in range(most.bit_length()) if 2**n <= most]
    places = [name for name, needed in plots.WHERE.items() if set(needed) <= shapes.keys()]
    alphas = sorted({2**n for n in range(8)} | {alpha} | set(measured["alpha"]))

    def draw(rank, alpha, where, scale):
        config = LoRAConfig(rank=rank, alpha=alpha, stabilised=scale == STABLE, sites=plots.WHERE[where])
        trained, s = config.total(sites), config.scale
        same = (measured["where"] == where) & (measured["rank"] == rank) & (measured["alpha"] == alpha)
        found = measured[same & (scale != STABLE or rank == 1)]["accuracy"]
        said = "accuracy not measured"
        if len(found):
            said = f"accuracy {found.mean():.1f}% ({source}, {len(found)} run{'s' * (len(found) > 1)})"
        title = f"{where}, rank {rank}: y' = W x + b + {s:.3g} · B A x"
        summary = (
            f"{where}, rank {rank}, alpha {alpha:g}: {trained:,} parameters, {100 * trained / total:.2f}% of the model, "
            f"{4 * trained / 1e6:.2f} MB in float32; {scale} = {s:.3g}; {said}"
        )
        return plots.drawing(shapes, plots.WHERE[where], rank, title), summary

    return base.FigureView(
        draw,
        height=430,
        rank=_select("rank", ranks, 8 if 8 in ranks else ranks[-1]),
        alpha=_select("alpha", alphas, alpha),
        where=base.choice("where", places, "query + value" if "query + value" in places else None),
        scale=base.toggles("scale", plots.SCALES),
    )


def _select(label: str, options, value):
    return ipywidgets.SelectionSlider(
        options=options, value=value, description=label, style=base.LABEL, layout=base.WIDE, continuous_update=False
    )
