"""Figures of 03_parameter_counts: the matrices of an adapter, shares, megabytes over tasks, reduction factors."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit import theme

ADAPTERS, COPIES = theme.OKABE_ITO[0], theme.OKABE_ITO[1]
BASE = "#BBBBBB"


def tensors(frame: pd.DataFrame) -> go.Figure:
    """The tensors of one bottleneck drawn to scale, in the order of the frame.

    frame: columns tensor, rows, columns (its shape as a picture), parameters.
    """
    fig = theme.figure(title=f"One bottleneck: {frame['parameters'].sum():,} parameters", height=460, showlegend=False)
    wide = frame["columns"].sum()
    slot, thin, x = 0.19 * wide, 0.012 * wide, 0.0
    tall = max(frame["rows"].max(), 0.3 * wide)
    for row in frame.itertuples():
        width, height = max(row.columns, thin), max(row.rows, thin)
        colour = theme.OKABE_ITO[0 if min(row.rows, row.columns) > 1 else 1]
        left = x + max(0, slot - width) / 2
        fig.add_scatter(
            x=[left, left + width, left + width, left, left],
            y=[-height / 2, -height / 2, height / 2, height / 2, -height / 2],
            fill="toself",
            fillcolor=colour,
            line={"color": colour, "width": 1},
            mode="lines",
            name=row.tensor,
            hoveron="fills",
            text=f"{row.tensor}: {row.rows} × {row.columns} = {row.parameters:,}",
            hoverinfo="text",
        )
        fig.add_annotation(
            x=left + width / 2,
            y=height / 2,
            yshift=8,
            text=f"<b>{row.tensor}</b><br>{row.rows} × {row.columns}<br>= {row.parameters:,}",
            showarrow=False,
            yanchor="bottom",
            font={"size": 17},
        )
        x += max(slot, width) + 0.03 * wide
    fig.update_layout(margin={"l": 20, "r": 20, "b": 20})
    fig.update_xaxes(visible=False, range=[-0.02 * wide, x])
    fig.update_yaxes(visible=False, range=[-0.55 * tall, 0.85 * tall], scaleanchor="x")
    return fig


def shares(frame: pd.DataFrame, guess: float | None = None, title="Trained share of the model") -> go.Figure:
    """A horizontal bar a model, the largest share on top. frame: columns model, share_percent, adapter, base."""
    frame = frame.sort_values("share_percent")
    fig = theme.figure(
        title=title,
        xaxis={"title": "adapter parameters, % of the model", "range": [0, 1.2 * frame["share_percent"].max()]},
        height=150 + 27 * len(frame),
    )
    fig.add_bar(
        x=theme.f32(frame["share_percent"]),
        y=list(frame["model"]),
        orientation="h",
        text=[f"{s:.2f}%" for s in frame["share_percent"]],
        textposition="outside",
        textfont={"size": 15},
        marker={"color": ADAPTERS},
        customdata=frame[["adapter", "base"]].to_numpy(),
        hovertemplate="%{y}<br>%{customdata[0]:,} of %{customdata[1]:,}<br>%{x:.3f}%<extra></extra>",
        showlegend=False,
    )
    fig.update_yaxes(tickfont={"size": 15}, dtick=1, showgrid=False)
    if guess is not None:
        theme.mark(fig, guess, "your guess", axis="x")
        fig.update_xaxes(range=[0, max(1.2 * frame["share_percent"].max(), 1.5 * guess)])
        fig.update_yaxes(range=[-0.6, len(frame) + 0.5])
    return fig


def storage(frame: pd.DataFrame, guess: float | None = None, at: int = 9) -> go.Figure:
    """Times the base model against the number of tasks, both ways, logarithmic.

    frame: columns tasks, adapters_times, copies_times, adapters_mb, copies_mb. guess: the learner's, at `at` tasks.
    """
    fig = theme.figure(
        title="What you keep: one model with adapters, or a copy a task",
        xaxis={"title": "tasks", "type": "log", "tickvals": [1, 2, 5, 10, 20, 50, 100]},
        yaxis={
            "title": "times the base model",
            "type": "log",
            "tickvals": [1, 2, 5, 10, 20, 50, 100],
            "range": [-0.1, 2.15],
        },
        legend={"x": 0.02, "y": 0.98},
    )
    for i, (way, name) in enumerate((("copies", "a copy a task"), ("adapters", "adapters"))):
        colour = {"copies": COPIES, "adapters": ADAPTERS}[way]
        fig.add_scatter(
            x=list(frame["tasks"]),
            y=theme.f32(frame[f"{way}_times"]),
            customdata=frame[[f"{way}_mb"]].to_numpy(dtype="float32"),
            mode="lines",
            name=name,
            line={"color": colour, "width": 4, "dash": theme.DASHES[1 - i]},
            hovertemplate=f"{name}<br>%{{x}} tasks: %{{y:.2f}} times<br>%{{customdata[0]:,.0f}} MB<extra></extra>",
        )
        row = frame[frame["tasks"] == at]
        if len(row):
            fig.add_scatter(
                x=[at],
                y=theme.f32(row[f"{way}_times"]),
                mode="markers+text",
                text=[f"  {row[f'{way}_times'].iloc[0]:.1f} × at {at} tasks"],
                textposition="bottom right" if way == "copies" else "top right",
                marker={"size": 13, "color": colour, "symbol": theme.MARKERS[i]},
                showlegend=False,
                hoverinfo="skip",
            )
    if guess is not None:
        fig.add_scatter(x=[at], y=[guess], **theme.series("your guess"))
    return fig


def reduction(frame: pd.DataFrame) -> go.Figure:
    """Bottleneck sizes as a table of numbers: a row a width, a column a reduction factor.

    frame: columns width, factor, size.
    """
    grid = frame.pivot(index="width", columns="factor", values="size").sort_index(ascending=False)
    fig = theme.figure(
        title="Bottleneck size = width / reduction factor, rounded down",
        xaxis_title="reduction factor",
        yaxis_title="width of the model",
        height=150 + 55 * len(grid),
    )
    fig.add_heatmap(
        z=theme.f32(np.log2(grid.to_numpy(dtype="float64"))),
        x=[f"{factor:g}" for factor in grid.columns],
        y=[f"{width}" for width in grid.index],
        text=grid.to_numpy().astype(int).astype(str),
        texttemplate="%{text}",
        textfont={"size": 18},
        colorscale=theme.MAGNITUDE,
        showscale=False,
        hovertemplate="width %{y}, factor %{x}<br>bottleneck size %{text}<extra></extra>",
    )
    fig.update_xaxes(type="category", showgrid=False)
    fig.update_yaxes(type="category", showgrid=False)
    return fig


def budget(parts: pd.DataFrame, row: dict) -> go.Figure:
    """A recipe on one model: a table of what it adds, and bars of the megabytes of all tasks, both ways.

    parts: what `counting.parts` returns, one row a method and width; row: what `counting.count` returns.
    """
    fig = make_subplots(
        rows=2, cols=1, row_heights=[0.52, 0.48], vertical_spacing=0.06, specs=[[{"type": "domain"}], [{"type": "xy"}]]
    )
    total = {"method": "all", "sites": parts["sites"].sum(), "numbers": "", "each": "", "total": row["adapter"]}
    cells = pd.concat([parts, pd.DataFrame([total])])
    columns = {"method": "method", "sites": "sites", "numbers": "parameters a site", "each": "", "total": "in all"}
    fig.add_table(
        columnwidth=[1.2, 0.6, 2.2, 1, 1.2],
        header={"values": [f"<b>{v}</b>" for v in columns.values()], "align": "left", "font": {"size": 17}, "fill": {"color": "#EEEEEE"}, "height": 34},
        cells={"values": [[_plain(v) for v in cells[c]] for c in columns], "align": "left", "font": {"size": 17}, "fill": {"color": "white"}, "height": 32},
        row=1,
        col=1,
    )  # fmt: skip
    per_mb = row["copies_mb"] / row["copies_parameters"]
    bars = [
        ("the base model", ["adapters"], [row["base"] * per_mb], BASE, ""),
        ("adapters", ["adapters"], [row["tasks"] * row["adapter"] * per_mb], ADAPTERS, "/"),
        ("copies", ["copies"], [row["copies_mb"]], COPIES, "x"),
    ]
    for name, y, x, colour, pattern in bars:
        fig.add_bar(
            x=theme.f32(x),
            y=y,
            orientation="h",
            name=name,
            marker={"color": colour, "pattern": {"shape": pattern, "fgcolor": "white", "fillmode": "overlay"}},
            hovertemplate=f"{name}: %{{x:,.1f}} MB<extra></extra>",
            row=2,
            col=1,
        )
    for way in ("adapters", "copies"):
        fig.add_annotation(
            x=row[f"{way}_mb"],
            y=way,
            text=f" {row[f'{way}_mb']:,.0f} MB ({row[f'{way}_times']:.2f} ×)",
            showarrow=False,
            xanchor="left",
            row=2,
            col=1,
        )
    fig = theme.apply(fig, barmode="stack", height=520, title=f"{row['model']}: {row['share_percent']:.2f}% trained")
    largest = max(row["adapters_mb"], row["copies_mb"])
    fig.update_xaxes(title=f"MB for {row['tasks']} task{'s' * (row['tasks'] > 1)}", range=[0, 1.4 * largest])
    fig.update_layout(legend={"orientation": "h", "y": 0.5, "yanchor": "bottom", "x": 0, "traceorder": "normal"})
    return fig


def _plain(value) -> str:
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)
