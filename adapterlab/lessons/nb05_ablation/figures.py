"""Figures of 05_ablation: the heatmap of spans (Houlsby et al. 2019, Figure 6), single layers, halves, margins."""

import html
import textwrap

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ...studies.spans import Ablation
from ..kit import theme

KINDS = {  # what became of a sentence -> (colour, marker)
    "still right": (theme.OKABE_ITO[0], "circle-open"),
    "still wrong": ("#888888", "x-thin-open"),
    "became wrong": (theme.OKABE_ITO[1], "square"),
    "became right": (theme.OKABE_ITO[2], "diamond"),
}


def heatmap(spans: pd.DataFrame, source: str = "live", title: str = "", high: float = 40.0) -> go.Figure:
    """Relative drop of the score for every span of layers, in %; the numbers stand in the cells.

    spans: columns first, last, drop (a fraction), score, intact; several rows a span (seeds) are averaged. Rows are the
    first layer removed, columns the last; the triangle below the diagonal holds no spans and stays empty, as in the
    paper's Figure 6. The colours go from 0 to `high` % in every heatmap, so that two can be compared.
    """
    mean = spans.groupby(["first", "last"], as_index=False)[["drop", "score", "intact"]].mean()
    seeds, depth = len(spans) // len(mean), int(mean["last"].max()) + 1
    z = np.full((depth, depth), np.nan, np.float32)
    text, hover = np.full((2, depth, depth), "", object)
    for row in mean.itertuples():
        at, drop = (row.first, row.last), 100 * row.drop
        layers = f"layer {row.first}" if row.first == row.last else f"layers {row.first} to {row.last}"
        z[at], text[at] = drop, f"{round(drop, 1) + 0.0:.1f}"
        hover[at] = (
            f"without the adapters of {layers}<br>score {100 * row.score:.1f} of {100 * row.intact:.1f}<br>"
            f"relative drop {drop:.1f}%"
        )
    name = title or "Relative drop, %, without the adapters of a span"
    more = f"; mean of {seeds} seeds" if seeds > 1 else ""
    ticks = {"tickvals": list(range(depth)), "constrain": "domain"}
    fig = theme.figure(
        title=name + (f" ({source}{more})" if source != "live" or more else ""),
        height=560 if depth <= 8 else 760,
        width=theme.WIDTH if depth <= 8 else 1000,
        xaxis={"title": "last layer removed", **ticks},
        yaxis={"title": "first layer removed", **ticks},
    )
    layers, high = list(range(depth)), max(high, float(np.nanmax(z)))
    return theme.heat(fig, z, layers, layers, text, "%{customdata}", 0, high, "drop, %", customdata=hover)


def single_layers(
    singles: pd.DataFrame, guess: int | None = None, paper: float | None = 2.0, source: str = "live"
) -> go.Figure:
    """Relative drop when one layer alone loses its adapters, with 95% intervals.

    singles: columns first, drop, error (one standard error of the score's difference), intact. guess: the layer that
    the learner expects to matter most, told at its number. paper: the paper's largest single-layer drop, in %.
    """
    layers = singles["first"].tolist()
    half = theme.f32(196 * singles["error"] / singles["intact"])
    text = [f"{layer}<br>★ your guess" if layer == guess else str(layer) for layer in layers]
    fig = theme.figure(
        title="One layer at a time",
        xaxis={"title": "the layer without its adapters", "tickvals": layers, "ticktext": text},
        yaxis={"title": "relative drop, %"},
        **theme.LEGEND,
    )
    theme.columns(
        fig, layers, 100 * singles["drop"], "layer %{x}<br>relative drop %{y:.1f}% ± %{customdata:.1f}", source=source,
        name="measured, with 95% interval", text=None, error_y=theme.error(half), customdata=half,
    )  # fmt: skip
    return theme.mark(fig, paper, "paper", "largest drop of one layer", unit="%")


def from_both_ends(spans: pd.DataFrame, majority: float | None = None) -> go.Figure:
    """Score in % against how many layers have lost their adapters, counted from the bottom and from the top.

    spans: columns first, last, score, intact. majority: the score of always saying the most frequent class.
    """
    depth, intact = int(spans["last"].max()) + 1, 100 * float(spans["intact"].iloc[0])
    ends = {
        "the lowest layers": spans[spans["first"] == 0].sort_values("last"),
        "the highest layers": spans[spans["last"] == depth - 1].sort_values("first", ascending=False),
    }
    counts = list(range(depth + 1))
    lines = [
        pd.DataFrame({"end": name, "n": counts, "score": [intact, *(100 * rows["score"])]})
        for name, rows in ends.items()
    ]
    fig = theme.figure(
        title="Layers without adapters, from below and from above",
        xaxis={"title": "number of layers without adapters", "tickvals": counts},
        yaxis={"title": "score, %"},
        **theme.LEGEND,
    )
    theme.lines(fig, pd.concat(lines), "n", "score", "end", "%{x} without adapters<br>score %{y:.1f}%")
    return theme.mark(fig, majority and 100 * majority, "live", "majority class", unit="%")


def halves(scores: pd.DataFrame, guesses: dict[str, float] | None = None, majority: float | None = None) -> go.Figure:
    """Score in % with all adapters, with one half of them, with none.

    scores: columns what, score, rows (sentences; gives the 95% interval). guesses: what -> the learner's guess in %.
    """
    score, what = scores["score"], list(scores["what"])
    half = 196 * np.sqrt(score * (1 - score) / scores["rows"])
    fig = theme.figure(
        title="With all adapters, with one half of them, with none",
        yaxis={"title": "score, %", "range": [0, 105]},
        **theme.LEGEND,
    )
    name, interval = "measured, with 95% interval", theme.error(half)
    theme.columns(fig, what, 100 * score, "%{x}<br>score %{y:.1f}%", name=name, inside=True, error_y=interval)
    for name, guess in (guesses or {}).items():
        theme.mark(fig, guess, at=what.index(name), text="" if fig.layout.shapes else "your guess")
    return theme.mark(fig, majority and 100 * majority, "live", "majority class", unit="%")


def fewest(test: Ablation, on: int, mine: dict) -> go.Figure:
    """The open task: score in % against the number of adapters that stay on; one point a span or half.

    test: of the test split; on: how many the learner keeps; mine: what `spans.compare` says of them, against all on.
    """
    rows = pd.DataFrame(test.spans + test.halves)
    rows["on"] = np.where(rows["what"] == "span", 2 * (test.depth - 1 - rows["last"] + rows["first"]), test.depth)
    rows["note"] = [f"without {r.first} to {r.last}" if r.what == "span" else r.what for r in rows.itertuples()]
    fig = theme.figure(
        title="The fewest adapters that keep the score",
        xaxis={"title": "adapters on", "dtick": 1, "range": [-0.5, 2 * test.depth + 0.5]},
        yaxis={"title": "accuracy on test, %"},
        **theme.LEGEND,
    )
    own = pd.DataFrame([mine]).assign(on=on, note="yours", name="yours, with 95% interval")
    own["half"] = 196 * own["error"]
    for i, part in enumerate((rows.assign(name="spans and halves", half=np.nan), own)):
        part = part.assign(score=100 * part["score"])
        hover = "%{customdata}: %{y:.1f}%, %{x} on"
        theme.lines(
            fig, part, "on", "score", "name", hover, index=lambda _, i=i: i, half="half", note="note", mode="markers"
        )
    return theme.mark(fig, 98 * test.intact, "live", "98% of the intact score", unit="%")


def margins(sentences: pd.DataFrame, title: str = "") -> go.Figure:
    """How sure the model is of the right class, with every adapter and with the chosen ones; a point a sentence.

    sentences: columns text, label, before, after (logit of the right class less the best other one; above 0 is right)
    and kind (a key of KINDS).
    """
    zero = {"zeroline": True, "zerolinecolor": "#666666"}
    fig = theme.figure(
        title=title,
        xaxis={"title": "margin with every adapter on, logits", **zero},
        yaxis={"title": "margin now, logits", **zero},
        legend={"x": 1.01, "y": 1},
        showlegend=True,
    )
    for kind, (colour, symbol) in KINDS.items():
        rows = sentences[sentences["kind"] == kind]
        line = {"width": 2, "color": colour}
        fig.add_scatter(
            x=theme.f32(rows["before"]),
            y=theme.f32(rows["after"]),
            mode="markers",
            name=f"{kind} ({len(rows)})",
            marker={"color": colour, "symbol": symbol, "size": 11, "line": line},
            customdata=[f"{_wrap(row.text)}<br>({row.label})" for row in rows.itertuples()],
            hovertemplate=f"<b>{kind}</b><br>%{{customdata}}<br>%{{x:.2f}} before, %{{y:.2f}} now<extra></extra>",
        )
    return theme.caption(fig, "margin: the right class's logit less the best other one's; above 0 the model is right")


def _wrap(text: str, width: int = 60) -> str:
    return "<br>".join(html.escape(line) for line in textwrap.wrap(text, width))
