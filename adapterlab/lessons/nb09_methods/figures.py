"""Tables and figures of 09_one_idea_many_methods: the family, accuracy against cost, and a block with its places."""

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from ...methods import METHODS
from ...studies.experiments import FAMILY, family_rates
from ...studies.stats import accuracy_error
from ..kit import theme
from ..kit.drawing import arrow, box, write

GROUPS = {
    "bottlenecks": ("bottleneck", "pfeiffer", "parallel", "variant", "compacter", "loreft", "invertible"),
    "changes of a matrix": ("lora", "dora", "vera", "shira", "oft"),
    "scalings and shifts": ("ia3", "bitfit", "layernorm"),
    "added positions": ("prefix_tuning", "prompt_tuning"),
    "beside the model": ("kadapter",),
    "combinations": (),
    "without a method": ("head only", "full"),
    "yours": (),
}
READS = {
    "bottleneck": "y", "pfeiffer": "LN(y + x)", "parallel": "x", "variant": "y or x", "compacter": "y", "loreft": "y",
    **dict.fromkeys(("lora", "dora", "vera", "shira", "oft"), "x"), "invertible": "y", "ia3": "nothing",
    "bitfit": "nothing", "layernorm": "nothing", "prefix_tuning": "x, as queries", "prompt_tuning": "x, as queries",
    "kadapter": "frozen states",
}  # fmt: skip
COMBINES = {
    **dict.fromkeys(READS, "y + f"),
    "parallel": "y + s·f", "lora": "y + s·f", "ia3": "y·l", "layernorm": "y·l + f", "dora": "m·(y + s·f)",
    "prefix_tuning": "(1 − λ)·y + λ·f", "prompt_tuning": "(1 − λ)·y + λ·f, layer by layer",
}  # fmt: skip
"""The axes of He et al. 2022, Table 1, beside a method's formula and its places: what f reads, how it meets y."""


def group_of(name: str) -> str:
    """The group of a method, of an entry of FAMILY, of "head only" and "full"; any other name is the learner's."""
    parts = [part["method"] for part in FAMILY[name][1:]] if name in FAMILY else [name]
    groups = [group for group, members in GROUPS.items() if set(parts) & set(members)]
    return "combinations" if len(groups) > 1 and parts[-1] != "layernorm" else [*groups, "yours"][0]


def family(sites: dict, base: int) -> pd.DataFrame:
    """Every method with its default settings, on a model with these sites and `base` parameters; the head is left out.

    Index: the method; columns formula, reads, changes (kinds of sites), combines, merges, trained, %.
    """
    rows = {
        name: {
            "formula": METHODS[name].formula,
            "reads": READS[name],
            "changes": ", ".join(dict.fromkeys(site.kind for site in METHODS[name]().targets(sites))),
            "combines": COMBINES[name],
            "merges": "yes" if METHODS[name].merges else "no",
            "trained": METHODS[name]().total(sites),
        }
        for name in READS
    }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("method")
    return table.assign(**{"%": (100 * table["trained"] / base).round(3)})


# ---- accuracy against cost

PANELS = {
    "accuracy": "test accuracy, %",
    "trained_percent": "trained, % of the model",
    "step_ms": "training step, ms",
    "memory_mb": "memory of a step, MB",
}


def compared(frame: pd.DataFrame, rows: int, disagree: float, to: str = "full") -> pd.DataFrame:
    """One row a method, by group: accuracy, half, gap and gap_half to the method `to`, seeds, lr, edge, costs, verdict.

    frame: columns method, seed, lr, accuracy (in %) and the costs, a row a run of the chosen rate; rows: of the test.
    disagree: the share of them that two methods answer differently, as far as is known. Both halves are of 95%
    intervals and hold what seeds and test rows add to one another: gap is taken over the seeds that both have; a
    method's seeds spread as they do, or as those of the median method where they happen to agree more. edge: the rate
    is the lowest or the highest that was tried.
    """
    scores = frame.pivot_table(index="seed", columns="method", values="accuracy")
    gaps = scores.sub(scores.get(to, np.nan), axis=0)

    def half(runs: pd.DataFrame, of_rows: pd.Series | float) -> pd.Series:
        spread = runs.drop(columns=to, errors="ignore").std()
        spread = runs.std().clip(lower=spread.median()).fillna(spread.median())
        return ((1.96 * spread).pow(2).div(runs.count()).fillna(0) + np.square(of_rows)).pow(0.5)

    table = frame.groupby("method").agg({"lr": "first", **dict.fromkeys(set(PANELS) & set(frame), "median")})
    table["accuracy"], table["gap"], table["seeds"] = scores.mean(), gaps.mean(), scores.count()
    table["half"] = half(scores, scores.mean().map(lambda mean: 100 * accuracy_error(mean / 100, rows)))
    table["gap_half"] = half(gaps, 196 * (disagree / rows) ** 0.5).where(gaps.count() > 0)
    tried = [family_rates(name) or (0,) for name in table.index]
    table["edge"] = [lr in (min(rates), max(rates)) for lr, rates in zip(table["lr"], tried, strict=True)]
    told = zip(table["gap"], table["gap_half"], gaps.count(), strict=True)
    table["verdict"] = [_verdict(*row, to) for row in told]
    table.loc[table.index == to, "verdict"] = ""
    order = [list(GROUPS).index(group_of(name)) for name in table.index]
    table = table.assign(order=order).sort_values(["order", "accuracy"], ascending=[True, False])
    return table.drop(columns="order").reset_index()


def _verdict(gap: float, half: float, seeds: int, to: str) -> str:
    if seeds == 0:
        return ""
    if seeds == 1:
        return f"one seed beside {to}: no verdict"
    return f"not told apart from {to}" if abs(gap) <= half else f"{'below' if gap < 0 else 'above'} {to}"


def board(table: pd.DataFrame, source: str, note: str = "", guess: float | None = None) -> go.Figure:
    """`compared`, joined with costs, as dots, a row a method and its rate: accuracy with its interval, three costs.

    The rows stand by group: a ranking of all would say more than the intervals do. source: of the accuracies, "live" or
    "recorded"; note: under the figure; guess: the learner's, for the best accuracy.
    """
    table = table.assign(group=table["method"].map(group_of))
    table["label"] = [f"{method} ({lr:g})" for method, lr in zip(table["method"], table["lr"], strict=True)]
    dots = table.melt(["label", "group", "half"], list(PANELS), "panel")
    dots["half"] = dots["half"].where(dots["panel"] == "accuracy")
    fig = px.scatter(
        dots, x="value", y="label", color="group", symbol="group", facet_col="panel", error_x="half",
        category_orders={"label": table["label"].tolist(), "group": list(GROUPS)}, facet_col_spacing=0.03,
        color_discrete_sequence=[*theme.OKABE_ITO, "#7F7F7F"], template=theme.TEMPLATE,  # an eighth group: yours
        symbol_sequence=[marker + theme.SOURCES[source][0] for marker in (*theme.MARKERS, "hexagram")],
    )  # fmt: skip
    fig.update_traces(marker_size=11)
    fig.layout.annotations = ()
    title = f"One task; accuracy {source}, time and memory live"
    fig.update_layout(theme.above(3), title_text=title, legend_title_text="", width=1100, height=270 + 34 * len(table))
    fig.update_xaxes(matches=None, nticks=5, tickfont_size=16).update_yaxes(title="", tickfont_size=17)
    fig.update_xaxes(theme.log("", table["trained_percent"].min(), table["trained_percent"].max()), col=2)
    for column, text in enumerate(PANELS.values(), 1):
        fig.update_xaxes(title={"text": text, "font": {"size": 17}}, col=column)
    return theme.mark(theme.caption(fig, note, shift=85), guess, name="the best", axis="x", unit="%")


# ---- a transformer block with methods at its places

PLACES = (  # site's kind, what it is called, does it stand apart as a box of the frozen model?
    ("prompt", "embedded text", True),
    ("query", "query", True),
    ("key", "key", True),
    ("value", "value", True),
    ("memory", "keys and values", False),
    ("attention_dense", "attention's output matrix", True),
    ("attention", "attention, whole", False),
    ("norm", "+ x, LayerNorm", True),
    ("inner", "feed-forward, inner matrix", True),
    ("hidden", "hidden units", False),
    ("outer", "feed-forward, outer matrix", True),
    ("feedforward", "feed-forward, whole", False),
    ("norm", "+ x, LayerNorm", True),
    ("block", "the block's output", False),
)
BESIDE = {"query": (0, 1.0), "key": (1.25, 2.25), "value": (2.5, 3.5)}  # three maps of one input


def block(placed: dict[str, tuple[str, int]], title: str) -> go.Figure:
    """A BERT block from the bottom up: frozen parts on the left, what is placed there on the right.

    placed: kind of site -> (method, how many sites of that kind carry it).
    """
    blue, red, grey = *theme.OKABE_ITO[:2], "#888888"
    fig = theme.figure(title, title_font_size=17, height=90 + 40 * len(PLACES))
    fig.update_layout(margin={"l": 10, "r": 10, "t": 60, "b": 10})
    fig.update_xaxes(visible=False, range=[-0.2, 10]).update_yaxes(visible=False, range=[-0.7, len(PLACES) - 0.3])
    for x in (0.5, 1.75, 3.0):
        fig.add_shape(type="line", x0=x, x1=x, y0=0, y1=4, line={"color": grey, "width": 2}, layer="below")
    arrow(fig, 1.75, 4, 1.75, len(PLACES) - 0.45, grey)
    for y, (kind, name, solid) in enumerate(PLACES):
        left, right = BESIDE.get(kind, (0, 3.5))
        look = {"edge": blue, "dash": "solid"} if solid else {"edge": grey, "dash": "dot"}
        box(fig, left, y - 0.38, right - left, 0.76, width=2.5, **look)
        write(fig, (left + right) / 2, y, name, 14, bgcolor="white")
        if kind in placed:
            method, sites = placed[kind]
            what = "y + k at the last layer" if method == "kadapter" else f"y' = {METHODS[method].formula}"
            text = f"<b>{method}</b>  {what}  (× {sites}{', both places' * (kind == 'norm')})"
            fig.add_shape(type="line", x0=right, x1=4.1, y0=y, y1=y, line={"color": red, "width": 3})
            frame = {"bordercolor": red, "borderwidth": 2, "borderpad": 3, "bgcolor": "white"}
            write(fig, 4.1, y, text, 14, xanchor="left", **frame)
    return fig
