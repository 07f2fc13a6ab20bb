"""Figures of 12_composition: the flow of a setup, what is told apart, fusion's attention, and accuracies by draw."""

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import torch

from ... import compose
from ...studies.stats import paired
from ..kit import theme
from ..kit.drawing import arrow, box, write

WIDE, HIGH, GAP = 1.7, 0.7, 0.55  # of a box, and between boxes


def flow(setup: compose.Block | str | None, answers: list[str], title: str = "") -> go.Figure:
    """A setup as boxes and arrows from left to right: the text, the adapters, what comes out (`answers`, line by line).

    A frame with its block's name surrounds what works together; what stands below each other gets the same y.
    """
    width, height = _size(setup)
    fig = theme.figure(title, height=max(300, round(150 + 85 * height)))
    fig.update_layout(title_font_size=18, margin={"l": 15, "r": 15, "t": 60, "b": 15})
    x = WIDE + GAP
    box(fig, 0, -HIGH / 2, WIDE, HIGH, "text", "#F2F2F2")
    arrow(fig, WIDE, 0, x, 0)
    _draw(fig, setup, x, 0, width, height)
    arrow(fig, x + width, 0, x + width + GAP, 0)
    lines = [line if len(line) < 34 else line[:33] + "…" for line in answers[:6]] + ["…"] * (len(answers) > 6)
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
    box(fig, x, y - height / 2, width, height, edge=theme.OKABE_ITO[1], dash="dot", width=2)
    write(fig, x + 0.08, y + height / 2 - 0.05, f"<b>{name}</b>", 15, xanchor="left", yanchor="top")
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
            write(fig, left + w / 2, middle - h / 2, note, 14, yanchor="top", yshift=3)
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


def compare(rows: list[dict], base: str) -> str:
    """A line a setup: its mean accuracy, and its difference to `base`, paired by draw and by test row, with a verdict.

    rows: keys setup, seed, accuracy (in %), trained (how many numbers), right (is a test row right?), draw by draw.
    """
    right = {row["setup"]: torch.stack([r["right"] for r in rows if r["setup"] == row["setup"]]) for row in rows}
    trained, lines = {row["setup"]: row["trained"] for row in rows}, []
    for setup, answers in right.items():
        line = f"{setup:15s} {100 * answers.float().mean():5.1f}% on test, {trained[setup]:9,} trained"
        if setup != base:
            gap, half = paired(right[base], answers)
            verdict = "not told apart" if abs(gap) <= half else "better" if gap > 0 else "worse"
            line += f"; minus {base}: {gap:+.1f} ± {half:.1f}: {verdict}"
        lines.append(line)
    return "\n".join(lines)


def attention(frame: pd.DataFrame, guess: str | None = None) -> go.Figure:
    """Fusion's weights as a heatmap, layer by adapter, the lowest layer at the bottom. Columns layer, adapter, weight.

    weight: a mean over tokens, in %; those of one layer sum to 100. guess: the adapter that was predicted to lead.
    """
    table = frame.pivot(index="layer", columns="adapter", values="weight")[list(dict.fromkeys(frame["adapter"]))]
    title = "Whom does fusion attend to?" + (f" Your guess: {guess}" if guess else "")
    fig = theme.figure(title, "adapter", "layer", height=150 + 60 * len(table))
    text, hover = table.map("<b>{:.0f}</b>".format).to_numpy(), "layer %{y}, %{x}: %{z:.0f}%"
    theme.heat(fig, table.to_numpy(), list(table.columns), table.index.tolist(), text, hover, 0, 100, "weight, %")
    return fig.update_yaxes(autorange=True, dtick=1)


def against(rows: list[dict], base: str) -> go.Figure:
    """Test accuracy by setup: a circle a draw, a bar at their mean; `base` marks the setup to beat.

    rows: as for `compare`. Circles are jittered, so that equal ones are both seen.
    """
    frame = pd.DataFrame(rows)
    means = frame.groupby("setup", sort=False)["accuracy"].mean()
    fig = px.strip(frame, x="accuracy", y="setup", template=theme.TEMPLATE, stripmode="overlay")
    fig.update_traces(jitter=0.6, marker={"symbol": "circle-open", "size": 11, "line_width": 2}, name="one draw")
    fig.update_traces(showlegend=True, hovertemplate="%{y}: %{x:.1f}%<extra></extra>")
    fig.add_scatter(
        x=means.tolist(), y=means.index.tolist(), mode="markers", name="mean", hovertemplate="mean %{x:.1f}%",
        marker={"symbol": "line-ns", "size": 30, "line": {"width": 4, "color": "#444444"}},
    )  # fmt: skip
    title = f"The target, {len(rows[0]['right'])} test sentences"
    fig.update_layout(theme.LEGEND, title_text=title, height=170 + 60 * len(means), xaxis_title="test accuracy, %")
    fig.update_yaxes(title="", autorange="reversed", showgrid=False)
    return theme.mark(fig, means[base], "live", f"mean of {base}", axis="x", unit="%")
