"""Choose rank, alpha and place: the matrices to scale, their parameters and megabytes, the scale, what was measured."""

import pandas as pd
import plotly.graph_objects as go

from ...methods import LoRAConfig
from ...sites import Site
from ..kit import view as base
from . import figures as plots

STABLE = plots.SCALES[1]


def lora_view(
    measured: pd.DataFrame, sites: dict[str, Site], total: int, alpha: float = 16, source: str = "live"
) -> base.FigureView:
    """The widget; its controls are `.rank`, `.alpha`, `.where` (a key of `figures.WHERE`) and `.scale`.

    measured: columns where, rank, alpha, accuracy (in %), one row a run with the scale alpha / r.
    sites: of the model, as `find_sites` gives them; total: the model's parameters, for the share.
    alpha: where the slider starts; source: "live" or "recorded", said in the summary.
    """
    kinds = plots.WHERE["all linears"]
    first = min(site.layer for site in sites.values() if site.kind in kinds)
    shapes = {s.kind: (s.width, s.source_width) for s in sites.values() if s.kind in kinds and s.layer == first}
    most = min(min(shape) for shape in shapes.values())
    ranks = [2**n for n in range(most.bit_length()) if 2**n <= most]
    wheres = [name for name, needed in plots.WHERE.items() if set(needed) <= shapes.keys()]
    alphas = sorted({2**n for n in range(8)} | {alpha} | set(measured["alpha"]))

    def draw(rank: int, alpha: float, where: str, scale: str) -> tuple[go.Figure, str]:
        config = LoRAConfig(rank=rank, alpha=alpha, stabilised=scale == STABLE, sites=plots.WHERE[where])
        trained, s = config.total(sites), config.scale
        same = (measured["where"] == where) & (measured["rank"] == rank) & (measured["alpha"] == alpha)
        runs = measured[same & (scale != STABLE or rank == 1)]["accuracy"]
        result = base.accuracy(runs, source) if len(runs) else "not measured"
        title = f"{where}, rank {rank}: y' = W x + b + {s:.3g} · B A x"
        summary = (
            f"{where}, rank {rank}, alpha {alpha:g}: {trained:,} parameters, "
            f"{100 * trained / total:.2f}% of the model, {4 * trained / 1e6:.2f} MB in float32; "
            f"{scale} = {s:.3g}; accuracy {result}"
        )
        return plots.drawing(shapes, plots.WHERE[where], rank, title), summary

    return base.FigureView(
        draw,
        height=430,
        rank=base.select("rank", ranks, 8 if 8 in ranks else ranks[-1]),
        alpha=base.select("alpha", alphas, alpha),
        where=base.choice("where", wheres, "query + value" if "query + value" in wheres else None),
        scale=base.toggles("scale", plots.SCALES),
    )
