"""Figures and tables of 09_one_idea_many_methods: the family, what a new method does, accuracy against cost."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...methods import METHODS
from ...studies.experiments import FAMILY, family_rates
from ...studies.stats import accuracy_error
from ..kit import theme
from ..kit.drawing import arrow, box, write

GROUPS = {
    "bottlenecks": ("bottleneck", "pfeiffer", "parallel", "variant", "compacter", "loreft", "invertible"),
    "changes of a matrix": ("lora", "dora", "vera"),
    "scalings and shifts": ("ia3", "bitfit", "layernorm"),
    "added positions": ("prefix_tuning", "prompt_tuning"),
    "beside the model": ("kadapter",),
    "combinations": (),
    "without a method": (),
    "yours": (),
}
EXACTLY, NEARLY, NOT = "exactly", "nearly", "no"
IDENTITY = {
    **dict.fromkeys(("parallel", "lora", "dora", "vera", "ia3", "bitfit", "layernorm"), EXACTLY),
    **dict.fromkeys(("bottleneck", "pfeiffer", "variant", "compacter", "invertible"), NEARLY),
    **dict.fromkeys(("loreft", "prefix_tuning", "prompt_tuning", "kadapter"), NOT),
}
"""Does a new one leave the model's output as it was? With each method's default settings."""


def group_of(name: str) -> str:
    """The group of a method, of an entry of FAMILY, of "head only" and "full"; any other name is the learner's."""
    if name in ("head only", "full"):
        return "without a method"
    parts = [part["method"] for part in FAMILY[name][1:]] if name in FAMILY else [name]
    found = [group for group, members in GROUPS.items() if set(parts) & set(members)]
    if len(found) > 1 and parts[-1] != "layernorm":
        return "combinations"
    return found[0] if found else "yours"


READS = {
    "bottleneck": "y", "pfeiffer": "LN(y + x)", "parallel": "x", "variant": "y or x", "compacter": "y", "loreft": "y",
    "invertible": "y", "lora": "x", "dora": "x", "vera": "x", "ia3": "nothing", "bitfit": "nothing",
    "layernorm": "nothing", "prefix_tuning": "x, as queries", "prompt_tuning": "x, as queries",
    "kadapter": "frozen states",
}  # fmt: skip
COMBINES = {
    **dict.fromkeys(READS, "y + f"),
    "parallel": "y + s·f", "lora": "y + s·f", "ia3": "y·l", "layernorm": "y·l + f", "dora": "m·(y + s·f)",
    "prefix_tuning": "(1 − λ)·y + λ·f", "prompt_tuning": "(1 − λ)·y + λ·f, layer by layer",
}  # fmt: skip
"""The axes of He et al. 2022, Table 1, beside a method's formula and its places: what f reads, how it meets y."""


def family(sites: dict, base: int) -> pd.DataFrame:
    """Every method with its default settings, on a model with these sites and `base` parameters; the head is left out.

    Columns: group, method, formula, reads, changes (kinds of sites), combines, merges, identity, trained, %, paper.
    """
    rows = []
    for group, members in GROUPS.items():
        for name in members:
            cls = METHODS[name]
            trained = cls().total(sites)
            rows.append(
                {
                    "group": group,
                    "method": name,
                    "formula": cls.formula,
                    "reads": READS[name],
                    "changes": ", ".join(dict.fromkeys(site.kind for site in cls().targets(sites))),
                    "combines": COMBINES[name],
                    "merges": "yes" if cls.merges else "no",
                    "identity": IDENTITY[name],
                    "trained": trained,
                    "%": round(100 * trained / base, 3),
                    "paper": cls.paper,
                }
            )
    return pd.DataFrame(rows)


def starts(frame: pd.DataFrame, guess: int | None = None) -> go.Figure:
    """How far each new method moves the logits, a dot each: columns method, moved; words where it is 0."""
    rows = frame.sort_values("moved", ascending=False).iloc[::-1]
    still, moves = rows[rows["moved"] == 0], rows[rows["moved"] > 0]
    title = f"What a new method does to the logits: {len(still)} of {len(rows)} change nothing beyond rounding"
    if guess is not None:
        title += f" (your guess: {guess})"
    fig = theme.figure(
        title={"text": title, "font": {"size": 17}},
        xaxis=theme.log("largest change of a logit (log scale)", 1e-6, 1),
        height=110 + 28 * len(rows),
        margin={"l": 150},
    )
    fig.add_scatter(
        x=moves["moved"].tolist(),
        y=moves["method"].tolist(),
        hovertemplate="%{y}: moves a logit by up to %{x:.1e}<extra></extra>",
        **theme.series("live", mode="markers", showlegend=False),
    )
    for name in still["method"]:
        write(fig, -5.9, name, "nothing beyond rounding", xanchor="left")
    return fig.update_yaxes(categoryorder="array", categoryarray=rows["method"].tolist())


def _by_group(fig: go.Figure, rows: pd.DataFrame, x: str, hover: str, source: str = "live", **more) -> None:
    """A dot a method, with the colour and the marker of its group."""
    for i, group in enumerate(GROUPS):
        part = rows[rows["group"] == group]
        if len(part):
            style = theme.series(source, "", i, mode="markers") | {"name": group, "legendgroup": group}
            interval = {"error_x": theme.error(part["half"])} if x == "accuracy" else {}
            text = f"{hover}<extra>{group}</extra>"
            values, names = part[x].tolist(), part["method"].tolist()
            fig.add_scatter(x=values, y=names, hovertemplate=text, **style, **interval, **more)


# ---- accuracy against cost

COSTS = {
    "trained_percent": "trained, % of the model",
    "step_ms": "training step, ms",
    "memory_mb": "memory of a step, MB",
}


def summary(frame: pd.DataFrame, rows: int | None = None) -> pd.DataFrame:
    """One row a method: method, group, accuracy, half, to_full, to_full_half, verdict, seeds, lr, edge, costs.

    frame: columns method, seed, lr, accuracy (in %), trained_percent, step_ms, memory_mb, one row a run of the chosen
    learning rate. rows: of the test; they alone give a single run its interval. half: of the 95% interval of the mean,
    to_full: points from full fine-tuning, seed by seed. Three seeds that happen to agree say little, so both intervals
    take a method's own spread or the median over all methods, whichever is larger. edge: the rate is the lowest or
    the highest that was tried.
    The costs are medians over the runs.
    """
    by_seed = frame.pivot_table(index="seed", columns="method", values="accuracy")
    gaps = by_seed.sub(by_seed["full"], axis=0) if "full" in by_seed else by_seed * float("nan")
    spread, spread_of_gaps = (_spread(runs.drop(columns="full", errors="ignore")) for runs in (by_seed, gaps))
    table = []
    for name, part in frame.groupby("method", sort=False):
        mean, gap, seeds = by_seed[name].mean(), gaps[name].mean(), int(by_seed[name].count())
        half = 1.96 * spread.get(name, spread.median()) / seeds**0.5
        if half != half and rows:
            half = 100 * accuracy_error(mean / 100, rows)
        to_full_half = 1.96 * spread_of_gaps.get(name, float("nan")) / seeds**0.5
        lr, tried = float(part["lr"].iloc[0]), family_rates(name)
        table.append(
            {
                "method": name,
                "group": group_of(name),
                "accuracy": mean,
                "half": half,
                "to_full": gap,
                "to_full_half": to_full_half,
                "verdict": _told(gap, to_full_half),
                "seeds": seeds,
                "lr": lr,
                "edge": bool(tried) and lr in (min(tried), max(tried)),
                **{cost: float(part[cost].median()) for cost in COSTS},
            }
        )
    return pd.DataFrame(table).sort_values("accuracy", ascending=False, ignore_index=True)


def _spread(by_seed: pd.DataFrame) -> pd.Series:
    """Of every method, the standard deviation between seeds, or the methods' median where that is larger."""
    own = by_seed.std()
    return own.clip(lower=own.median())


def _told(gap: float, half: float) -> str:
    if half != half:
        return ""
    return "not told apart" if abs(gap) <= half else "below full" if gap < 0 else "above full"


def board(table: pd.DataFrame, source: str = "recorded", guess: float | None = None, note: str = "") -> go.Figure:
    """`summary` as dots, a row a method: accuracy with its interval, and the three costs beside.

    The rows stand by group, the best of each on top: a ranking of all would say more than the intervals do.
    source: of the accuracy, "live" or "recorded"; times and memory are measured live. guess: the learner's, for the
    best accuracy. note: of the accuracies, under the figure.
    """
    places = {group: i for i, group in enumerate(GROUPS)}
    rows = table.assign(place=table["group"].map(places)).sort_values(["place", "accuracy"], ascending=[False, True])
    seeds, panels = int(table["seeds"].max()), {"accuracy": "test accuracy, %", **COSTS}
    fig = theme.apply(
        make_subplots(1, 4, shared_yaxes=True, horizontal_spacing=0.03, column_widths=[0.4, 0.2, 0.2, 0.2]),
        title=f"One task, {seeds} seed{'s' * (seeds > 1)} a method; accuracy {source}, time and memory live",
        width=1100,
        height=270 + 26 * len(rows),
        **theme.above(3),
    )
    for column, (what, title) in enumerate(panels.items(), 1):
        hover = f"%{{y}}: %{{x:.4g}}<br>{title}"
        _by_group(fig, rows, what, hover, source, row=1, col=column, showlegend=column == 1)
        fig.update_xaxes(
            title={"text": title, "font": {"size": 15}}, tickfont={"size": 15}, nticks=5, row=1, col=column
        )
    axis = theme.log(COSTS["trained_percent"], rows["trained_percent"].min(), rows["trained_percent"].max())
    fig.update_xaxes({key: value for key, value in axis.items() if key != "title"}, row=1, col=2)
    names = rows["method"].tolist()
    fig.update_yaxes(categoryorder="array", categoryarray=names, showgrid=True, tickfont={"size": 15})
    fig = theme.caption(fig, note, shift=85) if note else fig
    return theme.mark(fig, guess, name="the best", axis="x", unit="%")


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
    blue, red, grey = theme.OKABE_ITO[0], theme.OKABE_ITO[1], "#888888"
    fig = theme.figure(
        title={"text": title, "font": {"size": 17}},
        height=90 + 40 * len(PLACES),
        margin={"l": 10, "r": 10, "t": 60, "b": 10},
    )
    fig.update_xaxes(visible=False, range=[-0.2, 10]).update_yaxes(visible=False, range=[-0.7, len(PLACES) - 0.3])
    for x in (0.5, 1.75, 3.0):
        fig.add_shape(type="line", x0=x, x1=x, y0=0, y1=4, line={"color": grey, "width": 2}, layer="below")
    arrow(fig, 1.75, 4, 1.75, len(PLACES) - 0.45, grey)
    for y, (kind, name, solid) in enumerate(PLACES):
        left, right = BESIDE.get(kind, (0, 3.5))
        look = {"edge": blue if solid else grey, "width": 2.5, "dash": "solid" if solid else "dot"}
        box(fig, left, y - 0.38, right - left, 0.76, **look)
        write(fig, (left + right) / 2, y, name, 14, bgcolor="white")
        if kind not in placed:
            continue
        method, sites = placed[kind]
        what = "y + k at the last layer" if method == "kadapter" else f"y' = {METHODS[method].formula}"
        text = f"<b>{method}</b>  {what}  (× {sites}{', both places' * (kind == 'norm')})"
        fig.add_shape(type="line", x0=right, x1=4.1, y0=y, y1=y, line={"color": red, "width": 3})
        frame = {"bordercolor": red, "borderwidth": 2, "borderpad": 3, "bgcolor": "white"}
        write(fig, 4.1, y, text, 14, xanchor="left", **frame)
    return fig
