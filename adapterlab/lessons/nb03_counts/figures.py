"""Figures of 03_parameter_counts: the matrices of an adapter, shares, megabytes over tasks, reduction factors."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from ..kit import theme
from ..kit.drawing import box, write

ADAPTERS, COPIES = theme.OKABE_ITO[0], theme.OKABE_ITO[1]
BASE = "#BBBBBB"


def tensors(frame: pd.DataFrame) -> go.Figure:
    """The tensors of one bottleneck drawn to scale, in the order of the frame.

    frame: columns tensor, rows, columns (its shape as a picture), parameters.
    """
    fig = theme.figure(title=f"One bottleneck: {frame['parameters'].sum():,} parameters", height=460)
    wide = frame["columns"].sum()
    slot, thin, x = 0.19 * wide, 0.012 * wide, 0.0
    tall = max(frame["rows"].max(), 0.3 * wide)
    for row in frame.itertuples():
        width, height = max(row.columns, thin), max(row.rows, thin)
        colour = theme.OKABE_ITO[0 if min(row.rows, row.columns) > 1 else 1]
        left = x + max(0, slot - width) / 2
        box(fig, left, -height / 2, width, height, fill=colour, edge=colour)
        text = f"<b>{row.tensor}</b><br>{row.rows} × {row.columns}<br>= {row.parameters:,}"
        write(fig, left + width / 2, height / 2, text, 17, yshift=8, yanchor="bottom")
        x += max(slot, width) + 0.03 * wide
    fig.update_layout(margin={"l": 20, "r": 20, "b": 20})
    fig.update_xaxes(visible=False, range=[-0.02 * wide, x])
    fig.update_yaxes(visible=False, range=[-0.55 * tall, 0.85 * tall], scaleanchor="x")
    return fig


def shares(frame: pd.DataFrame, guess: float | None = None, title: str = "Trained share of the model") -> go.Figure:
    """A horizontal bar a model, the largest share on top. frame: columns model, share_percent, adapter, base."""
    frame = frame.sort_values("share_percent")
    room = [0, max(1.2 * frame["share_percent"].max(), 1.1 * (guess or 0))]
    fig = theme.figure(
        title=title,
        xaxis={"title": "adapter parameters, % of the model", "range": room},
        height=190 + 27 * len(frame),
        **theme.LEGEND,
    )
    theme.columns(
        fig, frame["model"], frame["share_percent"], "%{y}<br>%{customdata[0]:,} of %{customdata[1]:,}<br>%{x:.3f}%",
        lying=True, text=[f"{s:.2f}%" for s in frame["share_percent"]], textfont={"size": 15},
        customdata=frame[["adapter", "base"]].to_numpy(),
    )  # fmt: skip
    fig.update_yaxes(tickfont={"size": 15}, dtick=1, showgrid=False).update_layout(showlegend=False)
    return theme.mark(fig, guess, axis="x", unit="%")


def storage(frame: pd.DataFrame, guess: float | None = None, at: int = 9) -> go.Figure:
    """Times the base model against the number of tasks, both ways, logarithmic.

    frame: columns tasks, adapters_times, copies_times, adapters_mb, copies_mb. guess: the learner's, at `at` tasks.
    """
    fig = theme.figure(
        title="What you keep: one model with adapters, or a copy a task",
        xaxis=theme.log("number of tasks", 1, 100),
        yaxis=theme.log("size, times the base model", min(1, guess or 1), max(100, guess or 1)),
        legend={"x": 0.02, "y": 0.98},
    )
    for i, (way, name) in enumerate((("adapters", "adapters"), ("copies", "a copy a task"))):
        hover = f"{name}<br>%{{x}} tasks: %{{y:.2f}} times<br>%{{customdata:,.0f}} MB<extra></extra>"
        times, style = theme.f32(frame[f"{way}_times"]), theme.series("live", name, i, mode="lines")
        mb = theme.f32(frame[f"{way}_mb"])
        fig.add_scatter(x=frame["tasks"].tolist(), y=times, customdata=mb, hovertemplate=hover, **style)
        for value in frame.loc[frame["tasks"] == at, f"{way}_times"]:
            text, place = f" {value:.1f} × at {at} tasks ", "bottom right" if way == "copies" else "top left"
            style |= {"mode": "markers+text", "showlegend": False, "hoverinfo": "skip"}
            fig.add_scatter(x=[at], y=theme.f32([value]), text=[text], textposition=place, **style)
    return theme.star(fig, at, guess)


def reduction(frame: pd.DataFrame) -> go.Figure:
    """Bottleneck sizes as a table of numbers: a row a width, a column a reduction factor.

    frame: columns width, factor, size.
    """
    grid = frame.pivot(index="width", columns="factor", values="size").sort_index()
    fig = theme.figure(
        title="Bottleneck size = width / reduction factor, rounded down",
        xaxis={"title": "reduction factor", "type": "category"},
        yaxis={"title": "width of the model", "type": "category"},
        height=150 + 55 * len(grid),
    )
    powers = np.log2(grid.to_numpy(dtype="float64"))
    x, y, sizes = [f"{factor:g}" for factor in grid.columns], [f"{width}" for width in grid.index], grid.to_numpy()
    hover = "width %{y}, factor %{x}<br>bottleneck size %{text}"
    text = sizes.astype(int).astype(str)
    return theme.heat(fig, theme.f32(powers), x, y, text, hover, powers.min(), powers.max(), showscale=False)


def budget(parts: pd.DataFrame, row: dict) -> go.Figure:
    """A recipe on one model: a table of what it adds, and bars of the megabytes of all tasks, both ways.

    parts: what `counting.parts` returns, one row a method and width; row: what `counting.count` returns.
    """
    fig = make_subplots(
        rows=2, cols=1, row_heights=[0.52, 0.48], vertical_spacing=0.06, specs=[[{"type": "domain"}], [{"type": "xy"}]]
    )
    theme.apply(fig, title=f"{row['model']}: {row['share_percent']:.2f}% trained", height=520)
    _table(fig, parts, row["adapter"])
    per_mb = row["copies_mb"] / row["copies_parameters"]
    bars = pd.DataFrame(
        [
            ("adapters", "the base model", row["base"] * per_mb),
            ("adapters", "adapters", row["tasks"] * row["adapter"] * per_mb),
            ("copies", "copies", row["copies_mb"]),
        ],
        columns=["way", "part", "mb"],
    )
    theme.stack(fig, bars, "way", "mb", "part", "%{x:,.1f} MB", (2, 0, 1))
    fig.update_traces(selector={"name": "the base model"}, marker_color=BASE)
    for way in ("adapters", "copies"):
        text = f" {row[f'{way}_mb']:,.0f} MB ({row[f'{way}_times']:.2f} ×)"
        write(fig, row[f"{way}_mb"], way, text, 18, xanchor="left")
    room = [0, 1.4 * max(row["adapters_mb"], row["copies_mb"])]
    fig.update_xaxes(title=f"MB for {row['tasks']} task{'s' * (row['tasks'] > 1)}", range=room)
    return fig.update_layout(legend=theme.LEGEND["legend"] | {"y": 0.47})


def _table(fig: go.Figure, parts: pd.DataFrame, total: int) -> None:
    """What is added, method by method, with a last row of their sum."""
    last = {"method": "all", "sites": parts["sites"].sum(), "numbers": "", "each": "", "total": total}
    cells = pd.concat([parts, pd.DataFrame([last])])
    columns = {"method": "method", "sites": "sites", "numbers": "parameters a site", "each": "", "total": "in all"}
    header = [f"<b>{text}</b>" for text in columns.values()]
    look = {"align": "left", "font": {"size": 17}}
    fig.add_table(
        columnwidth=[1.2, 0.6, 2.2, 1, 1.2],
        header={"values": header, "fill": {"color": "#EEEEEE"}, "height": 34, **look},
        cells={
            "values": [[_plain(v) for v in cells[c]] for c in columns],
            "fill": {"color": "white"},
            "height": 32,
            **look,
        },
    )


def _plain(value) -> str:
    return f"{value:,}" if isinstance(value, int | np.integer) else str(value)
