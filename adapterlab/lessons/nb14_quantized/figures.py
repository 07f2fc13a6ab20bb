"""Figures of 14_quantized_base: where the levels lie, what is saved, what it costs."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit import theme

PAPER = "rgba(255,255,255,0.9)"  # behind a line's label, which may lie over a bar
LEGEND_ABOVE = {
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "traceorder": "normal"},
    "title_y": 0.96,
    "margin_t": 120,
}


def _hatch(index: int) -> dict:
    """Thin white lines over a bar's own colour: without "overlay" the bar itself would not be painted at all."""
    shape = ("", "/", "x", ".")[index % 4]
    return {"shape": shape, "fgcolor": "white", "fillmode": "overlay", "solidity": 0.15}


def levels(weights, grids: dict) -> go.Figure:
    """Weights divided by their block's largest, as a histogram, above the levels of each grid.

    weights: 1-D numbers in [-1, 1]; grids: name -> its levels. A level is a tick mark in the row of its grid.
    """
    fig = theme.apply(
        make_subplots(2, 1, shared_xaxes=True, row_heights=[0.6, 0.4], vertical_spacing=0.06),
        title="Where the weights are, and where the levels are",
        showlegend=False,
    )
    counts = pd.cut(pd.Series(weights), [i / 25 - 1 for i in range(51)]).value_counts(sort=False)
    share = 100 * counts / len(weights)
    fig.add_bar(
        x=theme.f32([i / 25 - 0.98 for i in range(50)]), y=theme.f32(share), width=0.038,
        marker={"color": theme.OKABE_ITO[0]}, hovertemplate="around %{x:.2f}: %{y:.1f}% of the weights<extra></extra>",
        row=1, col=1,
    )  # fmt: skip
    for i, (name, grid) in enumerate(grids.items()):
        fig.add_scatter(
            x=theme.f32(grid), y=[name] * len(grid), mode="markers", row=2, col=1,
            marker={"symbol": "line-ns", "size": 22, "line": {"width": 3, "color": theme.OKABE_ITO[1 + i]}},
            hovertemplate=f"{name}: level %{{x:.3f}}<extra></extra>",
        )  # fmt: skip
    fig.update_yaxes(title="% of weights", row=1, col=1)
    fig.update_xaxes(title="weight / largest of its block", row=2, col=1)
    return fig


def errors(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Columns grid, error (root mean square, % of the weights'): one bar a grid, its number on it."""
    fig = theme.figure(title="Error of the packed weights", yaxis={"title": "% of the weights (rms)"})
    fig.add_bar(
        x=frame["grid"].tolist(), y=theme.f32(frame["error"]), text=[f"{e:.1f}" for e in frame["error"]],
        textposition="outside", cliponaxis=False, showlegend=False,
        hovertemplate="%{x}: %{y:.2f}%<extra></extra>", **theme.bars("live", "measured"),
    )  # fmt: skip
    return fig if guess is None else theme.mark(fig, guess).update_annotations(bgcolor=PAPER)


def memory(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Columns base, part, mb: stacked bars, a bar a kind of base. guess: the megabytes the learner expects in 4 bits."""
    fig = theme.figure(
        title="What the frozen base takes in memory", barmode="stack",
        xaxis={"title": "MB"}, yaxis={"autorange": "reversed"}, **LEGEND_ABOVE,
    )  # fmt: skip
    for i, (part, rows) in enumerate(frame.groupby("part", sort=False)):
        style = theme.bars("live", part, i)
        style["marker"]["pattern"] = _hatch(i)
        fig.add_bar(
            orientation="h", y=rows["base"].tolist(), x=theme.f32(rows["mb"]),
            text=[f"{mb:.0f}" if mb > 3 else "" for mb in rows["mb"]], textposition="inside",
            hovertemplate=f"{part}, %{{y}}: %{{x:.1f}} MB<extra></extra>", **style,
        )  # fmt: skip
    return fig if guess is None else theme.mark(fig, guess, axis="x").update_annotations(bgcolor=PAPER)


PANELS = {"memory_mb": "base, MB", "step_ms": "training step, ms", "accuracy": "accuracy, %"}


def side_by_side(frame: pd.DataFrame, noise: float = 0.0) -> go.Figure:
    """Columns base, memory_mb, step_ms, accuracy: three panels. noise: of an accuracy, in points (95%)."""
    fig = theme.apply(
        make_subplots(1, 3, subplot_titles=list(PANELS.values()), horizontal_spacing=0.09),
        title="The same adapter on every base",
        showlegend=False,
        margin={"t": 110},
    )
    for i, column in enumerate(PANELS, 1):
        values = frame[column].astype(float)
        given = {
            "x": frame["base"].tolist(),
            "y": theme.f32(values),
            "row": 1,
            "col": i,
            "hovertemplate": "%{x}: %{y:.1f}<extra></extra>",
        }
        if column == "accuracy":  # points: bars would have to start at 0
            fig.add_scatter(
                **given, text=[f"{v:.1f}" for v in values], textposition="middle right", cliponaxis=False,
                error_y={"array": [noise] * len(frame), "thickness": 2, "width": 8},
                **theme.series("live", "", i - 1, mode="markers+text"),
            )  # fmt: skip
        else:
            text = [f"{v:.0f}" for v in values]
            fig.add_bar(**given, text=text, textposition="inside", insidetextanchor="start", **theme.bars("live", "", i - 1))  # fmt: skip
    fig.update_xaxes(range=[-0.5, len(frame) - 0.3], row=1, col=3)
    return fig


def transfer(table: pd.DataFrame) -> go.Figure:
    """Accuracy (%) of an adapter trained on one base (rows) and run on another (columns), as numbers in a heatmap."""
    fig = theme.figure(
        title="Trained on one base, run on another: accuracy, %",
        xaxis={"title": "run on", "type": "category"},
        yaxis={"title": "trained on", "type": "category", "autorange": "reversed"},
        height=420,
    )
    fig.add_heatmap(
        z=theme.f32(table.to_numpy()), x=list(table.columns), y=list(table.index), colorscale=theme.MAGNITUDE,
        texttemplate="%{z:.1f}", textfont={"size": 20}, colorbar={"title": "%"},
        hovertemplate="trained on %{y}, run on %{x}: %{z:.1f}%<extra></extra>",
    )  # fmt: skip
    return fig


def training_memory(frame: pd.DataFrame, limit: float, title: str) -> go.Figure:
    """Columns way, part, gb: what must be held while training, before activations. limit: a device's memory in GB."""
    fig = theme.figure(
        title=title, barmode="stack", xaxis={"title": "GB, activations not counted"},
        yaxis={"autorange": "reversed"}, **LEGEND_ABOVE,
    )  # fmt: skip
    for i, (part, rows) in enumerate(frame.groupby("part", sort=False)):
        style = theme.bars("live", part, i)
        style["marker"]["pattern"] = _hatch(i)
        fig.add_bar(
            orientation="h", y=rows["way"].tolist(), x=theme.f32(rows["gb"]),
            hovertemplate=f"%{{y}}, {part}: %{{x:.2f}} GB<extra></extra>", **style,
        )  # fmt: skip
    for way, total in frame.groupby("way", sort=False)["gb"].sum().items():
        fig.add_annotation(x=total, y=way, text=f"{total:.2g}" if total < 10 else f"{total:.0f}", showarrow=False, xanchor="left", xshift=4)  # fmt: skip
    line = {"color": "#000000", "dash": "dot", "width": 3}
    fig.add_vline(limit, line=line, annotation_text=f"{limit:g} GB", annotation_bgcolor=PAPER)
    return fig
