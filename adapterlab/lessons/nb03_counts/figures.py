"""Figures of 03_parameter_counts: the matrices of an adapter, and shares of models."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme
from ..kit.drawing import box, write


def tensors(frame: pd.DataFrame) -> go.Figure:
    """The tensors of one bottleneck drawn to scale, in the order of the frame.

    frame: columns tensor, rows, columns (its shape as a picture), parameters.
    """
    fig = theme.figure(f"One bottleneck: {frame['parameters'].sum():,} parameters", height=460)
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


def shares(
    frame: pd.DataFrame, guess: float | None = None, title: str = "Trained share of the model", band: tuple = ()
) -> go.Figure:
    """A lying bar a model, the largest share on top. frame: columns model, share_percent, adapter, base.

    band: shares, in %, that are marked by lines.
    """
    frame = frame.sort_values("share_percent")
    room = [0, max(1.2 * frame["share_percent"].max(), 1.1 * (guess or 0))]
    fig = theme.figure(
        title, {"title": "adapter parameters, % of the model", "range": room}, legend=2, height=190 + 27 * len(frame)
    )
    theme.columns(
        fig, frame["model"], frame["share_percent"], "%{y}<br>%{customdata[0]:,} of %{customdata[1]:,}<br>%{x:.3f}%",
        lying=True, text=[f"{s:.2f}%" for s in frame["share_percent"]], textfont={"size": 15},
        customdata=frame[["adapter", "base"]].to_numpy(),
    )  # fmt: skip
    fig.update_yaxes(tickfont={"size": 15}, dtick=1, showgrid=False).update_layout(showlegend=False)
    for edge in band:
        theme.mark(fig, edge, "paper", axis="x", text="")
    return theme.mark(fig, guess, axis="x", unit="%")
