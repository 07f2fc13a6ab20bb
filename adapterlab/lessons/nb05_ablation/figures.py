"""Figures of 05_ablation: the heatmap of spans (Houlsby et al. 2019, Figure 6), single layers, halves, margins."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..kit import theme

KINDS = {  # what became of a sentence -> (colour, marker)
    "still right": (theme.OKABE_ITO[0], "circle-open"),
    "still wrong": ("#888888", "x-thin-open"),
    "became wrong": (theme.OKABE_ITO[1], "square"),
    "became right": (theme.OKABE_ITO[2], "diamond"),
}
KEY = {
    "showlegend": True,
    "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
    "margin": {"l": 90, "r": 30, "t": 115, "b": 75},
    "title_y": 0.96,
}


def level(fig: go.Figure, x, value: float, source: str, name: str) -> None:
    """A level line over the x's, in black and dotted, with its number in the legend."""
    fig.add_scatter(
        x=x,
        y=[value] * len(x),
        mode="lines",
        name=f"{theme.label(name, source)}: {value:.3g}%",
        line={"color": theme.PAPER_COLOUR, "dash": "dot", "width": 3},
        hovertemplate=f"{theme.label(name, source)}: {value:.3g}%<extra></extra>",
    )


def heatmap(spans: pd.DataFrame, source: str = "live", title: str = "") -> go.Figure:
    """Relative drop of the score for every span of layers, in %; the numbers stand in the cells.

    spans: columns first, last, drop (a fraction), score, intact; several rows a span (seeds) are averaged. Rows are the
    first layer removed, columns the last; the triangle below the diagonal holds no spans and stays empty, as in the
    paper's Figure 6.
    """
    mean = spans.groupby(["first", "last"], as_index=False)[["drop", "score", "intact"]].mean()
    seeds, depth = len(spans) // len(mean), int(mean["last"].max()) + 1
    z, hover = np.full((depth, depth), np.nan, np.float32), np.full((depth, depth), "", object)
    for row in mean.itertuples():
        z[row.first, row.last] = 100 * row.drop
        layers = f"layer {row.first}" if row.first == row.last else f"layers {row.first} to {row.last}"
        hover[row.first, row.last] = (
            f"without the adapters of {layers}<br>score {100 * row.score:.1f} of {100 * row.intact:.1f}<br>"
            f"relative drop {100 * row.drop:.1f}%"
        )
    low, high = min(0.0, float(np.nanmin(z))), max(1.0, float(np.nanmax(z)))
    ticks = {"tickvals": list(range(depth)), "showgrid": False, "constrain": "domain"}
    name = title or "Relative drop, %, without the adapters of a span"
    more = f"; mean of {seeds} seeds" if seeds > 1 else ""
    fig = theme.figure(
        title=name + (f" ({source}{more})" if source != "live" or more else ""),
        height=560 if depth <= 8 else 760,
        xaxis={"title": "last layer removed", **ticks},
        yaxis={"title": "first layer removed", "autorange": "reversed", **ticks},
    )
    fig.add_heatmap(
        x=list(range(depth)),
        y=list(range(depth)),
        z=z,
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        hoverongaps=False,
        colorscale=theme.MAGNITUDE,
        zmin=low,
        zmax=high,
        colorbar={"title": {"text": "drop, %"}},
        xgap=2,
        ygap=2,
    )
    first, last = np.nonzero(~np.isnan(z))
    cells = z[first, last]
    fig.add_scatter(
        x=last,
        y=first,
        text=[f"{round(float(value), 1) + 0.0:.1f}" for value in cells],
        mode="text",
        textfont={
            "size": 18 if depth <= 8 else 14,
            "color": ["black" if value > (low + high) / 2 else "white" for value in cells],
        },
        hoverinfo="skip",
        showlegend=False,
    )
    return fig


def single_layers(
    singles: pd.DataFrame, guess: int | None = None, paper: float | None = 2.0, source: str = "live"
) -> go.Figure:
    """Relative drop when one layer alone loses its adapters, with 95% intervals.

    singles: columns first, drop, error (one standard error of the score's difference), intact. guess: the layer that the
    learner expects to matter most. paper: the paper's largest single-layer drop, in %.
    """
    layers = singles["first"].to_numpy()
    drop, half = 100 * singles["drop"].to_numpy(), 196 * (singles["error"] / singles["intact"]).to_numpy()
    fig = theme.figure(
        title="One layer at a time",
        xaxis={"title": "the layer without its adapters", "tickvals": list(layers)},
        yaxis={"title": "relative drop, %"},
        **KEY,
    )
    fig.add_bar(
        x=layers,
        y=theme.f32(drop),
        error_y={"array": theme.f32(half), "thickness": 2, "width": 8},
        customdata=theme.f32(half),
        hovertemplate="layer %{x}<br>relative drop %{y:.1f}% ± %{customdata:.1f}<extra></extra>",
        **theme.bars(source, "measured, with 95% interval"),
    )
    if guess is not None and guess in layers:
        top = float(np.nanmax(np.append(drop + half, paper or 0.0)))
        fig.add_scatter(
            x=[guess],
            y=[1.12 * top],
            hovertemplate="your guess: layer %{x}<extra></extra>",
            **theme.series("your guess", "layer that matters most"),
        )
    if paper is not None:
        level(fig, layers, paper, "paper", "largest drop of one layer")
    return fig


def from_both_ends(spans: pd.DataFrame, majority: float | None = None) -> go.Figure:
    """Score in % against how many layers have lost their adapters, counted from the bottom and from the top.

    spans: columns first, last, score, intact. majority: the score of always saying the most frequent class.
    """
    depth = int(spans["last"].max()) + 1
    intact = float(spans["intact"].iloc[0])
    fig = theme.figure(
        title="Layers without adapters, from below and from above",
        xaxis={"title": "how many layers", "tickvals": list(range(depth + 1))},
        yaxis={"title": "score, %"},
        **KEY,
    )
    ends = {
        "the lowest layers": spans[spans["first"] == 0].sort_values("last"),
        "the highest layers": spans[spans["last"] == depth - 1].sort_values("first", ascending=False),
    }
    for i, (name, rows) in enumerate(ends.items()):
        fig.add_scatter(
            x=list(range(depth + 1)),
            y=theme.f32([100 * intact, *(100 * rows["score"])]),
            hovertemplate=f"{name}: %{{x}} without adapters<br>score %{{y:.1f}}%<extra></extra>",
            **{**theme.series("live", name, i), "line": {"color": theme.OKABE_ITO[i], "dash": theme.DASHES[i], "width": 3},
               "marker": {"color": theme.OKABE_ITO[i], "symbol": theme.MARKERS[i], "size": 12}},
        )  # fmt: skip
    if majority is not None:
        level(fig, list(range(depth + 1)), 100 * majority, "live", "majority class")
    return fig


def halves(scores: pd.DataFrame, guesses: dict[str, float] | None = None, majority: float | None = None) -> go.Figure:
    """Score in % with all adapters, with one half of them, with none.

    scores: columns what, score, rows (sentences; gives the 95% interval). guesses: what -> the learner's guess in %.
    """
    score = scores["score"].to_numpy()
    half = 196 * np.sqrt(score * (1 - score) / scores["rows"].to_numpy())
    fig = theme.figure(
        title="Which half of the adapters carries the task?", yaxis={"title": "score, %", "range": [0, 105]}, **KEY
    )
    fig.add_bar(
        x=list(scores["what"]),
        y=theme.f32(100 * score),
        error_y={"array": theme.f32(half), "thickness": 2, "width": 8},
        text=[f"{100 * s:.1f}" for s in score],
        textposition="inside",
        insidetextanchor="middle",
        hovertemplate="%{x}<br>score %{y:.1f}%<extra></extra>",
        **theme.bars("live", "measured, with 95% interval"),
    )
    if guesses:
        fig.add_scatter(
            x=list(guesses),
            y=list(guesses.values()),
            hovertemplate="your guess for %{x}: %{y:.0f}%<extra></extra>",
            **theme.series("your guess"),
        )
    if majority is not None:
        level(fig, list(scores["what"]), 100 * majority, "live", "majority class")
    return fig


def margins(sentences: pd.DataFrame, title: str = "") -> go.Figure:
    """How sure the model is of the right class, with every adapter and with the chosen ones; a point a sentence.

    sentences: columns text, label, before, after (logit of the right class less the best other one; above 0 is right)
    and kind (a key of KINDS).
    """
    fig = theme.figure(
        title=title,
        xaxis={"title": "margin with every adapter on", "zeroline": True, "zerolinecolor": "#666666"},
        yaxis={"title": "margin now", "zeroline": True, "zerolinecolor": "#666666"},
        legend={"orientation": "v", "x": 1.01, "y": 1},
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
    return fig


def _wrap(text: str, width: int = 60) -> str:
    import html
    import textwrap

    return "<br>".join(html.escape(line) for line in textwrap.wrap(text, width))
