"""Figures of 05_ablation: the heatmap of spans (Houlsby et al. 2019, Figure 6), single layers, margins."""

import html
import textwrap

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from ...studies.spans import Ablation
from ..kit import theme

KINDS = {  # what became of a sentence -> (colour, marker)
    "still right": (theme.OKABE_ITO[0], "circle-open"),
    "still wrong": ("#888888", "x-thin-open"),
    "became wrong": (theme.OKABE_ITO[1], "square"),
    "became right": (theme.OKABE_ITO[2], "diamond"),
}


def heatmap(spans: pd.DataFrame, title: str, high: float = 40.0) -> go.Figure:
    """Relative drop of the score for every span of layers, in %; the numbers stand in the cells.

    spans: columns first, last, drop (a fraction); several rows a span (seeds) are averaged. Rows are the first layer
    removed, columns the last; the triangle below the diagonal stays empty, as in the paper's Figure 6. The colours go
    from 0 to `high` % in every heatmap, so that two can be compared.
    """
    drops = 100 * spans.pivot_table(index="first", columns="last", values="drop")
    layers, small = drops.columns.tolist(), len(drops) <= 8
    ticks = {"tickvals": layers, "constrain": "domain"}
    fig = theme.figure(
        title, {"title": "last layer removed", **ticks}, {"title": "first layer removed", **ticks},
        height=560 if small else 760, width=theme.WIDTH if small else 1000,
    )  # fmt: skip
    text = drops.map(lambda drop: "" if drop != drop else f"{round(drop, 1) + 0.0:.1f}")  # no -0.0
    hover = "without the adapters of layers %{y} to %{x}<br>relative drop %{z:.1f}%"
    return theme.heat(fig, theme.f32(drops), layers, layers, text, hover, 0, max(high, drops.max().max()), "drop, %")


def single_layers(singles: pd.DataFrame, guess: int | None = None) -> go.Figure:
    """Relative drop when one layer alone loses its adapters, with 95% intervals, and the paper's largest.

    singles: columns first, drop, error (one standard error of the score's difference), intact. guess: the layer that
    the learner expects to cost most, told at its number.
    """
    layers = singles["first"].tolist()
    half = theme.f32(196 * singles["error"] / singles["intact"])
    text = [f"{layer}<br>★ your guess" if layer == guess else str(layer) for layer in layers]
    fig = theme.figure(
        "One layer at a time",
        {"title": "the layer without its adapters", "tickvals": layers, "ticktext": text},
        "relative drop, %",
        legend=2,
    )
    more = {"text": None, "error_y": theme.error(half), "customdata": half, "name": "measured, with 95% interval"}
    theme.columns(fig, layers, 100 * singles["drop"], "layer %{x}: %{y:.1f}% ± %{customdata:.1f}", **more)
    return theme.mark(fig, 2.0, "paper", "largest drop of one layer", unit="%")


def fewest(test: Ablation, on: int, mine: dict) -> go.Figure:
    """The open task: score in % against the number of adapters that stay on; one point a span or half.

    test: of the test split; on: how many the learner keeps; mine: what `spans.compare` says of them, against all on.
    """
    rows = pd.DataFrame(test.spans + test.halves).assign(name="spans and halves", half=np.nan)
    rows["on"] = np.where(rows["what"] == "span", 2 * (test.depth - 1 - rows["last"] + rows["first"]), test.depth)
    rows["note"] = [f"without {r.first} to {r.last}" if r.what == "span" else r.what for r in rows.itertuples()]
    own = {**mine, "name": "yours, with 95% interval", "note": "yours", "on": on, "half": 196 * mine["error"]}
    points = pd.concat([rows, pd.DataFrame([own])]).assign(score=lambda t: 100 * t["score"])
    fig = theme.figure(
        "The fewest adapters that keep the score",
        {"title": "adapters on", "dtick": 1, "range": [-0.5, 2 * test.depth + 0.5]},
        "accuracy on test, %",
        legend=2,
    )
    hover = "%{customdata}: %{y:.1f}%, %{x} on"
    theme.lines(fig, points, "on", "score", "name", hover, half="half", note="note", mode="markers")
    return theme.mark(fig, 98 * test.intact, "live", "98% of the intact score", unit="%")


def margins(sentences: pd.DataFrame, title: str = "") -> go.Figure:
    """How sure the model is of the right class, with every adapter and with the chosen ones; a point a sentence.

    sentences: columns text, label, before, after (logit of the right class less the best other one; above 0 is right)
    and kind (a key of KINDS).
    """
    counts = sentences["kind"].value_counts()
    names = {kind: f"{kind} ({counts.get(kind, 0)})" for kind in KINDS}
    texts = ["<br>".join(textwrap.wrap(html.escape(text), 60)) for text in sentences["text"]]
    fig = px.scatter(
        sentences.assign(kind=sentences["kind"].map(names), sentence=texts), x="before", y="after", color="kind",
        symbol="kind", hover_data=["sentence", "label"], category_orders={"kind": [*names.values()]},
        color_discrete_sequence=[colour for colour, _ in KINDS.values()], title=title, template=theme.TEMPLATE,
        symbol_sequence=[symbol for _, symbol in KINDS.values()],
        labels={"before": "margin with every adapter on, logits", "after": "margin now, logits"},
    )  # fmt: skip
    fig.update_traces(marker={"size": 11, "line_width": 2}).update_layout(legend_title=None)
    fig.update_xaxes(zeroline=True, zerolinecolor="#666666").update_yaxes(zeroline=True, zerolinecolor="#666666")
    return theme.caption(fig, "margin: the right class's logit less the best other one's; above 0 the model is right")
