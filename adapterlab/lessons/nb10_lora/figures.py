"""Figures of 10_lora: starts, scales, accuracy over parameters, directions, and what a step costs."""

from collections.abc import Sequence

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from ...studies.stats import accuracy_error
from ..kit import theme
from ..kit.drawing import box, write

WHERE = {  # what the workbook calls it -> kinds of sites
    "query": ("query",),
    "value": ("value",),
    "query + value": ("query", "value"),
    "attention": ("query", "key", "value", "attention_dense"),
    "feed-forward": ("inner", "outer"),
    "all linears": ("query", "key", "value", "attention_dense", "inner", "outer"),
}
SCALES = ("alpha / r", "alpha / √r")


def starts(frame: pd.DataFrame) -> go.Figure:
    """Loss over the steps, a line a start. Columns start, step, loss."""
    fig = theme.figure("Learning from four starts", "training step", legend=2)
    fig.update_yaxes(title="loss (mean squared error)", rangemode="tozero")
    theme.lines(fig, frame, "step", "loss", "start", "step %{x}: %{y:.2f}", mode="lines")
    fig.data[0].line.width = 9  # the other starts may lie on the first
    return fig


def relative(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns regime, scale, rank, change, with a column more: times, the change as a multiple of rank 1's."""
    first = frame[frame["rank"] == 1].set_index(["regime", "scale"])["change"]
    return frame.assign(
        times=frame["change"] / first.loc[pd.MultiIndex.from_frame(frame[["regime", "scale"]])].to_numpy()
    )


def over_rank(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """How far the first step moves the output, a panel a regime, a line a scale; both axes log.

    frame: as `relative` gives it. guess: by what factor the first scale's change shrinks from rank 1 to 64 in the last
    regime; a star shows where that ends.
    """
    fig = px.line(
        frame, x="rank", y="times", color="scale", line_dash="scale", symbol="scale", facet_col="regime",
        facet_col_spacing=0.04, color_discrete_sequence=theme.OKABE_ITO, template=theme.TEMPLATE,
    )  # fmt: skip
    fig.update_traces(line_width=3, marker_size=11)
    fig.for_each_annotation(lambda note: note.update(text=note.text.partition("=")[2], font_size=16))
    title = "Change of the output in Adam's first step, rank 1 = 1"
    fig.update_layout(theme.above(2), title_text=title, width=1100, legend_title_text="", legend_y=1.12)
    ranks, times = sorted(set(frame["rank"])), [*frame["times"], 1 / (guess or 1)]
    ticks = {"tickvals": ranks, "ticktext": [str(rank) for rank in ranks]}
    fig.update_xaxes(theme.log("rank r (log scale)", ranks[0], ranks[-1], **ticks))
    fig.update_yaxes(theme.log("", min(times), max(times))).update_yaxes(title="times rank 1 (log scale)", col=1)
    if guess:
        style = theme.series("your guess", f"{guess:g} times less at rank 64")
        fig.add_scatter(x=[64], y=[1 / guess], row=1, col=frame["regime"].nunique(), **style)
    return fig


def contest(frame: pd.DataFrame, rows: int, limit: int | None = None) -> go.Figure:
    """Test accuracy of a run in each row, with the interval of the test rows alone; its parameters stand by its name.

    Columns setting, where, trained, accuracy (in %). rows: of the test; limit: of the parameters, at the title.
    """
    frame = frame.assign(
        half=[100 * accuracy_error(accuracy / 100, rows) for accuracy in frame["accuracy"]],
        run=[
            f"{setting}<br>{trained:,} parameters"
            for setting, trained in zip(frame["setting"], frame["trained"], strict=True)
        ],
    ).sort_values("trained")
    title = f"Each at the rate that validation chose; {rows} test rows" + (f"; the limit: {limit:,}" if limit else "")
    fig = px.scatter(
        frame, x="accuracy", y="run", error_x="half", color="where", symbol="where", title=title,
        color_discrete_sequence=theme.OKABE_ITO, template=theme.TEMPLATE,
        category_orders={"run": frame["run"].tolist()},
    )  # fmt: skip
    fig.update_traces(marker_size=12).update_xaxes(title="test accuracy, %")
    return fig.update_layout(showlegend=False, height=190 + 62 * len(frame), yaxis_title="")


def directions(frame: pd.DataFrame, guess: int | None = None) -> go.Figure:
    """What share of a change's squared size its first k directions hold. Columns matrix, k, share (in %)."""
    fig = theme.figure(
        "How much of the change do the first k directions hold?", "k, directions by their singular value",
        {"title": "share of the squared size, %", "range": [0, 102]}, legend={"x": 1.02, "y": 1}, width=1000,
    )  # fmt: skip
    theme.lines(fig, frame, "k", "share", "matrix", "%{x} directions: %{y:.0f}%", mode="lines")
    return theme.star(theme.mark(fig, 90, "live", text="90%"), guess, 90, f"{guess or 0:g}")


def stacked(frame: pd.DataFrame, title: str, unit: str, guess: float | None = None) -> go.Figure:
    """One bar a method, made of its parts, its total at the end. Columns method, part, value.

    The last method is the one that the others are compared with: totals also show as a share of it.
    guess: a share of the last method's total, in %, drawn across the first method's bar.
    """
    totals = frame.groupby("method", sort=False)["value"].sum()
    whole, quantity = totals.iloc[-1], {"ms": "time", "MB": "memory"}[unit]
    room = {"title": f"{quantity}, {unit}", "range": [0, 1.28 * totals.max()]}
    fig = theme.figure(title, room, legend=2, height=230 + 70 * len(totals))
    theme.stack(fig, frame, "method", "value", "part", f"%{{x:.1f}} {unit}")
    guessed = guess and guess / 100 * whole
    theme.beside(fig, totals, lambda total: f"{total:.0f} ({100 * total / whole:.0f}%)", first=guessed)
    return theme.mark(fig, guessed, axis="x", at=0, text=f"your guess: {guess or 0:g}% of the last")


def drawing(shapes: dict[str, tuple[int, int]], chosen: Sequence[str], rank: int, title: str) -> go.Figure:
    """The linear maps of one layer to scale: W frozen (blue), and where LoRA is chosen its B and A (red) beside it.

    shapes: kind -> (outputs, inputs). B is rank wide and stands at the right of W, A is rank high and lies under it.
    """
    unit = min(min(shape) for shape in shapes.values())
    blue, red = theme.OKABE_ITO[0], theme.OKABE_ITO[1]
    thick, gap, x = rank / unit, 0.22, 0.0
    tall = max(outputs for outputs, _ in shapes.values()) / unit
    fig = theme.figure(title, height=430, margin={"l": 20, "r": 20, "t": 60, "b": 20}, title_font_size=18)
    frozen, trained = {"fill": "#E6F0F7", "edge": blue, "width": 2}, {"fill": red, "edge": red, "width": 2}
    for kind, (outputs, inputs) in shapes.items():
        high, wide = outputs / unit, inputs / unit
        text = f"{outputs}<br>×<br>{inputs}" if wide < 2 else f"{outputs} × {inputs}"
        box(fig, x, 0, wide, high, text, size=14, **frozen)
        if kind in chosen:
            box(fig, x + wide + 0.06, 0, thick, high, **trained)
            box(fig, x, -0.06 - thick, wide, thick, **trained)
        name = kind.replace("_", "<br>")
        write(fig, x + wide / 2, high + 0.1, f"<b>{name}</b>" if kind in chosen else name, yanchor="bottom")
        x += wide + max(thick, 0.3) + gap
    key = "one layer, to scale<br>blue: W, frozen<br>red: B beside it, A below, trained"
    corner = {"xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "top", "align": "left"}
    write(fig, 0, 1, key, **corner)
    fig.update_xaxes(visible=False, range=[-0.2, x])
    return fig.update_yaxes(visible=False, range=[-0.2 - max(thick, 0.2), tall + 0.8])
