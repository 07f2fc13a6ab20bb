"""Figures of 12_composition: the flow of a setup, the error of a merge, fusion's attention, and accuracies by seed."""

import pandas as pd
import plotly.graph_objects as go

from ... import compose
from ..kit import theme
from ..kit.drawing import arrow, box

WIDE, HIGH, GAP = 1.7, 0.7, 0.55  # of a box, and between boxes


def flow(setup, said: list[str], title: str = "") -> go.Figure:
    """A setup as boxes and arrows from left to right: the text, the adapters, what comes out (`said`, line by line).

    A frame with its block's name surrounds what works together; what stands below each other gets the same y.
    """
    width, height = _size(setup)
    fig = theme.figure(title=title, height=max(300, round(150 + 85 * height)))
    fig.update_layout(title_font_size=18, margin={"l": 15, "r": 15, "t": 60, "b": 15})
    x = WIDE + GAP
    box(fig, 0, -HIGH / 2, WIDE, HIGH, "text", "#F2F2F2")
    arrow(fig, WIDE, 0, x, 0)
    _draw(fig, setup, x, 0, width, height)
    arrow(fig, x + width, 0, x + width + GAP, 0)
    lines = [line if len(line) < 34 else line[:33] + "…" for line in said[:6]] + ["…"] * (len(said) > 6)
    fig.add_annotation(x=x + width + GAP, y=0, xanchor="left", align="left", showarrow=False, text="<br>".join(lines))
    fig.update_xaxes(visible=False, range=[-0.1, x + width + GAP + 5.2])
    fig.update_yaxes(visible=False, range=[-max(height, 2) / 2 - 0.2, max(height, 2) / 2 + 0.2])
    return fig


def _size(setup) -> tuple[float, float]:
    """(width, height) of the drawing of a setup."""
    if not isinstance(setup, compose.Block):
        return WIDE, HIGH
    sizes = [_size(child) for child in setup.children]
    if isinstance(setup, compose.Stack):
        return sum(w for w, _ in sizes) + GAP * (len(sizes) - 1) + 0.5, max(h for _, h in sizes) + 0.7
    return max(w for w, _ in sizes) + 2 * GAP + 0.6, sum(h for _, h in sizes) + 0.25 * len(sizes) + 0.6


def _draw(fig, setup, x, y, width, height) -> None:
    """Draw a setup into the box whose left edge is x and whose middle is y."""
    if not isinstance(setup, compose.Block):
        return box(fig, x, y - HIGH / 2, WIDE, HIGH, setup or "(nothing)", "#CFE3F1")
    sizes = [_size(child) for child in setup.children]
    name = type(setup).__name__
    fig.add_shape(type="rect", x0=x, x1=x + width, y0=y - height / 2, y1=y + height / 2,
                  line={"color": theme.OKABE_ITO[1], "dash": "dot", "width": 2})  # fmt: skip
    fig.add_annotation(x=x + 0.08, y=y + height / 2 - 0.05, xanchor="left", yanchor="top", showarrow=False,
                       text=name, font={"size": 15, "color": theme.OKABE_ITO[1]})  # fmt: skip
    if isinstance(setup, compose.Stack):
        at = x + 0.25
        for i, (child, (w, h)) in enumerate(zip(setup.children, sizes, strict=True)):
            _draw(fig, child, at, y - 0.1, w, h)
            if i:
                arrow(fig, at - GAP, y - 0.1, at, y - 0.1)
            at += w + GAP
        return None
    top = y + height / 2 - 0.5
    for child, note, (w, h) in zip(setup.children, _notes(setup), sizes, strict=True):
        left, middle = x + width / 2 - w / 2, top - h / 2 - 0.125
        arrow(fig, x, y, left, middle)
        _draw(fig, child, left, middle, w, h)
        arrow(fig, left + w, middle, x + width, y)
        if note:
            fig.add_annotation(x=left + w / 2, y=middle - h / 2, yanchor="top", showarrow=False, text=note,
                               font={"size": 14}, yshift=3)  # fmt: skip
        top -= h + 0.25
    return None


def _notes(setup) -> list[str]:
    """What each child gets: its weight, its tokens or its rows."""
    if isinstance(setup, compose.Average):
        return [f"{100 * w:.0f}%" for w in setup.weights]
    if isinstance(setup, compose.Split):
        ends = [*(str(at - 1) for at in setup.at), "the last"]
        return [f"tokens {a} to {b}" for a, b in zip((0, *setup.at), ends, strict=True)]
    if isinstance(setup, compose.BatchSplit):
        return [f"{n} row{'s' * (n > 1)}" for n in setup.sizes]
    return [""] * len(setup.children)


def distances(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """How far each way to merge is from the true sum, a bar each. Columns way, off (in % of the sum's size).

    guess: what was predicted for the way "linear".
    """
    fig = theme.figure(
        title="Distance from the true sum of the two changes",
        height=180 + 55 * len(frame),
        xaxis={"title": "% of the sum's size", "range": [0, 1.22 * max(1, frame["off"].max(), guess or 0)]},
        yaxis={"autorange": "reversed", "showgrid": False},
        showlegend=guess is not None,
    )
    fig.add_bar(
        orientation="h", x=frame["off"].tolist(), y=frame["way"].tolist(), hoverinfo="skip", **theme.bars("live", "live")
    )  # fmt: skip
    for row in frame.itertuples():
        text = f" {row.off:.1f}%" if row.off >= 0.05 else " exact, up to rounding"
        fig.add_annotation(x=row.off, y=row.way, text=text, xanchor="left", showarrow=False)
    if guess is not None:
        fig.add_scatter(x=[guess], y=["linear"], **theme.series("your guess", f"{guess:g}%"))
    return fig


def attention(frame: pd.DataFrame, guess: str | None = None) -> go.Figure:
    """Fusion's weights as a heatmap, layer by adapter, the lowest layer at the bottom. Columns layer, adapter, weight.

    weight: a mean over tokens, in %; those of one layer sum to 100. guess: the adapter that was predicted to lead.
    """
    table = frame.pivot(index="layer", columns="adapter", values="weight")[list(dict.fromkeys(frame["adapter"]))]
    fig = theme.figure(
        title="Whom does fusion attend to?" + (f" Your guess: {guess}" if guess else ""),
        height=150 + 60 * len(table),
        xaxis={"title": "adapter", "showgrid": False},
        yaxis={"title": "layer", "tickvals": table.index.tolist(), "showgrid": False},
    )
    fig.add_heatmap(
        z=table.values.tolist(), x=table.columns.tolist(), y=table.index.tolist(), colorscale=theme.MAGNITUDE,
        zmin=0, zmax=100, colorbar={"title": {"text": "%"}}, xgap=3, ygap=3, hoverinfo="skip",
    )  # fmt: skip
    for row in frame.itertuples():
        fig.add_annotation(x=row.adapter, y=row.layer, text=f"<b>{row.weight:.0f}</b>", showarrow=False,
                           font={"color": "#FFFFFF" if row.weight < 50 else "#000000"})  # fmt: skip
    return fig


def against(frame: pd.DataFrame, rows: int) -> go.Figure:
    """Accuracy by setup: a marker a seed, a bar at their mean; the 95% range of one run from `rows` test rows in grey.

    Columns setup, seed, accuracy (in %).
    """
    from ...studies.stats import accuracy_error

    setups = list(dict.fromkeys(frame["setup"]))
    fig = theme.figure(
        title=f"Accuracy on the target, {rows} test sentences",
        height=170 + 60 * len(setups),
        xaxis={"title": "accuracy, %"},
        yaxis={"autorange": "reversed", "showgrid": False},
    )
    for i, name in enumerate(setups):
        values = frame[frame["setup"] == name]["accuracy"]
        mean = values.mean()
        fig.add_scatter(
            x=[mean], y=[name], mode="markers", showlegend=not i, name="mean; grey: 95% range from the test rows alone",
            marker={"symbol": "line-ns", "size": 26, "line": {"width": 4, "color": "#444444"}},
            error_x={"array": [100 * accuracy_error(mean / 100, rows)], "color": "#767676", "thickness": 6},
        )  # fmt: skip
        style = theme.series("live", "one seed", 0, mode="markers")
        fig.add_scatter(x=values.tolist(), y=[name] * len(values), showlegend=not i, **style)
    fig.update_layout(legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}, title_y=0.96, margin_t=110)
    return fig
