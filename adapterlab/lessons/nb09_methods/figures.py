"""Figures and tables of 09_one_idea_many_methods: the family, what a new method does, accuracy against cost."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ...methods import METHODS
from ...studies.experiments import FAMILY, family_rates
from ...studies.stats import mean_interval
from ..kit import theme

GROUPS = {
    "bottlenecks": ("bottleneck", "pfeiffer", "parallel", "variant", "compacter", "loreft", "invertible"),
    "changes of a matrix": ("lora", "dora", "vera"),
    "scalings and shifts": ("ia3", "bitfit", "layernorm"),
    "added positions": ("prefix_tuning", "prompt_tuning"),
    "beside the model": ("kadapter",),
    "combinations": (),
    "without a method": (),
}
EXACTLY, NEARLY, NOT = "exactly", "nearly", "no"
IDENTITY = {
    **dict.fromkeys(("parallel", "lora", "dora", "vera", "ia3", "bitfit", "layernorm"), EXACTLY),
    **dict.fromkeys(("bottleneck", "pfeiffer", "variant", "compacter", "invertible"), NEARLY),
    **dict.fromkeys(("loreft", "prefix_tuning", "prompt_tuning", "kadapter"), NOT),
}
"""Does a new one leave the model's output as it was? With each method's default settings."""


def group_of(name: str) -> str:
    """The group of a method, of an entry of FAMILY, or of "head only" and "full"."""
    if name in ("head only", "full"):
        return "without a method"
    parts = [part["method"] for part in FAMILY[name][1:]] if name in FAMILY else [name]
    found = [group for group, members in GROUPS.items() if set(parts) & set(members)]
    if len(found) > 1 and parts[-1] != "layernorm":
        return "combinations"
    return found[0]


def family(sites: dict, base: int) -> pd.DataFrame:
    """Every method with its default settings, on a model with these sites and `base` parameters; the head is left out.

    Columns: group, method, formula, at a site, trained, %, merges, identity, paper.
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
                    "at a site": cls.parameters,
                    "trained": trained,
                    "%": round(100 * trained / base, 3),
                    "merges": "yes" if cls.merges else "no",
                    "identity": IDENTITY[name],
                    "paper": cls.paper,
                }
            )
    return pd.DataFrame(rows)


def starts(frame: pd.DataFrame, guess: int | None = None) -> go.Figure:
    """How far each new method moves the logits: columns method, moved; a log axis, and words where it is 0."""
    rows = frame.sort_values("moved", ascending=False).iloc[::-1]
    zero = rows["moved"] == 0
    title = f"What a new method does to the logits: {zero.sum()} of {len(rows)} change nothing beyond rounding"
    if guess is not None:
        title += f" (your guess: {guess})"
    fig = theme.figure(
        title={"text": title, "font": {"size": 17}},
        xaxis={"title": "largest change of a logit (log scale)", "type": "log", "range": [-6, 0], "exponentformat": "power", "dtick": 1},
        height=110 + 28 * len(rows),
        margin={"l": 150},
    )  # fmt: skip
    fig.add_bar(
        orientation="h",
        y=rows["method"].tolist(),
        x=[None if still else float(m) for m, still in zip(rows["moved"], zero, strict=True)],
        hovertemplate="%{y}: moves a logit by up to %{x:.1e}<extra></extra>",
        showlegend=False,
        **theme.bars("live"),
    )
    for name in rows["method"][zero]:
        fig.add_annotation(
            x=-5.9, y=name, text="nothing beyond rounding", showarrow=False, xanchor="left", font={"size": 16}
        )
    fig.update_yaxes(categoryorder="array", categoryarray=rows["method"].tolist())
    return fig


def budgets(frame: pd.DataFrame, budget: float) -> go.Figure:
    """Columns method, percent: what each recipe trains, in % of the model, as bars by group; a line at the budget."""
    fig = theme.figure(
        title=f"What each recipe trains, % of the model (log scale; dotted: {budget:g}%)",
        xaxis={"type": "log", "dtick": 1, "range": [-2, 0.5], "tickformat": "~g"},
        height=130 + 26 * len(frame),
        margin={"l": 170},
        legend={"x": 0.99, "xanchor": "right", "y": 0.02, "yanchor": "bottom", "font": {"size": 15}},
    )
    rows = frame.sort_values("percent")
    for i, group in enumerate(GROUPS):
        part = rows[[group_of(name) == group for name in rows["method"]]]
        if len(part):
            fig.add_bar(
                orientation="h",
                y=part["method"].tolist(),
                x=part["percent"].tolist(),
                base=0.01,
                hovertemplate="%{y}: %{customdata:.3f}%<extra>" + group + "</extra>",
                customdata=part["percent"].tolist(),
                **theme.bars("live", group, i),
            )
            fig.data[-1].x = [p - 0.01 for p in part["percent"]]
    fig.update_yaxes(categoryorder="array", categoryarray=rows["method"].tolist())
    fig.add_vline(budget, line={"color": "#000000", "dash": "dot", "width": 3})
    return fig


# ---- accuracy against cost

COSTS = {
    "trained_percent": "trained, % of the model",
    "step_ms": "training step, ms",
    "memory_mb": "memory of a step, MB",
}


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a method, the best mean first: method, group, accuracy, half (of the 95% interval), to_full,
    to_full_half, seeds, lr, edge, costs.

    frame: columns method, seed, lr, accuracy (in %), trained_percent, step_ms, memory_mb, one row a run of the chosen
    learning rate. edge: that rate is the lowest or the highest that was tried, so a better one may lie beyond. The costs
    are medians over the runs. to_full: points from full fine-tuning, seed by seed, with the half of its 95% interval.
    """
    rows, by_seed = [], frame.groupby(["method", "seed"])["accuracy"].mean()
    known = "full" in by_seed.index.get_level_values(0)
    for name, part in frame.groupby("method", sort=False):
        mean, half = mean_interval(part["accuracy"])
        gap = mean_interval((by_seed[name] - by_seed["full"]).dropna()) if known else (None, None)
        lr, tried = float(part["lr"].iloc[0]), family_rates(name)
        rows.append(
            {
                "method": name,
                "group": group_of(name),
                "accuracy": mean,
                "half": half,
                "to_full": gap[0],
                "to_full_half": gap[1],
                "seeds": len(part),
                "lr": lr,
                "edge": bool(tried) and lr in (min(tried), max(tried)),
                **{cost: float(part[cost].median()) for cost in COSTS},
            }
        )
    return pd.DataFrame(rows).sort_values("accuracy", ascending=False, ignore_index=True)


def board(table: pd.DataFrame, source: str = "recorded", guess: float | None = None) -> go.Figure:
    """`summary` as dots, a row a method and the best on top: accuracy with its interval, and the three costs beside.

    source: of the accuracy, "live" or "recorded"; times and memory are measured live.
    guess: the learner's, for the best accuracy.
    """
    rows, seeds = table.iloc[::-1], int(table["seeds"].max())
    said = "" if guess is None else f"; dash-dotted: your guess for the best, {guess:g}"
    panels = {"accuracy": "test accuracy, %", **COSTS}
    fig = theme.apply(
        make_subplots(1, 4, shared_yaxes=True, horizontal_spacing=0.03, column_widths=[0.4, 0.2, 0.2, 0.2]),
        title=f"One task, {seeds} seed{'s' * (seeds > 1)} a method{said}<br>accuracy {source}, time and memory live",
        width=1100,
        height=260 + 26 * len(rows),
        margin={"l": 170, "b": 90},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "font": {"size": 15}},
    )
    for column, (what, title) in enumerate(panels.items(), 1):
        for i, group in enumerate(GROUPS):
            part = rows[rows["group"] == group]
            if part.empty:
                continue
            colour = theme.OKABE_ITO[i]
            symbol = theme.MARKERS[i] + ("-open" if source == "recorded" else "")
            fig.add_scatter(
                row=1,
                col=column,
                x=part[what].tolist(),
                y=part["method"].tolist(),
                error_x={"array": part["half"].fillna(0).tolist(), "thickness": 2, "width": 4} if column == 1 else None,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 12, "line": {"width": 2.5, "color": colour}},
                name=group,
                legendgroup=group,
                showlegend=column == 1,
                hovertemplate="%{y}: %{x:.4g}<extra>" + title + "</extra>",
            )
        log = {"type": "log", "dtick": 2, "tickformat": "~g"} if what == "trained_percent" else {"nticks": 5}
        fig.update_xaxes(title={"text": title, "font": {"size": 15}}, row=1, col=column, **log)
    fig.update_yaxes(categoryorder="array", categoryarray=rows["method"].tolist(), showgrid=True, tickfont={"size": 15})
    fig.update_layout(margin_t=130, title={"yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 14}})
    if guess is not None:
        fig.add_vline(guess, row=1, col=1, line={"color": theme.GUESS_COLOUR, "dash": "dashdot", "width": 3})
    return fig


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
        xaxis={"visible": False, "range": [-0.2, 10]},
        yaxis={"visible": False, "range": [-0.7, len(PLACES) - 0.3]},
        margin={"l": 10, "r": 10, "t": 60, "b": 10},
    )
    for x in (0.5, 1.75, 3.0):
        fig.add_shape(type="line", x0=x, x1=x, y0=0, y1=4, line={"color": grey, "width": 2}, layer="below")
    fig.add_annotation(
        x=1.75, y=len(PLACES) - 0.45, ax=1.75, ay=4, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
        arrowhead=2, arrowwidth=2, arrowcolor=grey,
    )  # fmt: skip
    for y, (kind, name, solid) in enumerate(PLACES):
        line = {"color": blue if solid else grey, "width": 2.5, "dash": "solid" if solid else "dot"}
        left, right = BESIDE.get(kind, (0, 3.5))
        fig.add_shape(
            type="rect", x0=left, x1=right, y0=y - 0.38, y1=y + 0.38, line=line, fillcolor="white", layer="below"
        )
        fig.add_annotation(x=(left + right) / 2, y=y, text=name, showarrow=False, font={"size": 14}, bgcolor="white")
        if kind not in placed:
            continue
        method, sites = placed[kind]
        text = (
            f"<b>{method}</b>  y' = {METHODS[method].formula}"
            if method != "kadapter"
            else f"<b>{method}</b>  y + k at the last layer"
        )
        fig.add_shape(type="line", x0=right, x1=4.1, y0=y, y1=y, line={"color": red, "width": 3})
        fig.add_annotation(
            x=4.1, y=y, xanchor="left", text=f"{text}  (× {sites})", showarrow=False, font={"size": 14, "color": red},
            bordercolor=red, borderwidth=2, borderpad=3, bgcolor="white",
        )  # fmt: skip
    return fig
