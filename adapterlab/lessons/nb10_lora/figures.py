"""Figures of 10_lora: starts, scales, rank and place, directions, drift, and what a step costs."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme

WHERE = {  # what the workbook calls it -> kinds of sites
    "query": ("query",),
    "value": ("value",),
    "query + value": ("query", "value"),
    "attention": ("query", "key", "value", "attention_dense"),
    "feed-forward": ("inner", "outer"),
    "all linears": ("query", "key", "value", "attention_dense", "inner", "outer"),
}
SCALES = ("alpha / r", "alpha / √r")
UNDER = {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"}  # a legend under the title
TOP = {"legend": UNDER, "margin": {"l": 90, "r": 30, "t": 110, "b": 75}, "title_y": 0.96}


def _line(name: str, index: int, **more) -> dict:
    """A line whose colour, dash and marker are its own."""
    style = theme.series("live", name, index, **more)
    style["line"] = style["line"] | {"dash": theme.DASHES[index % len(theme.DASHES)]}
    style["marker"] = style["marker"] | {"symbol": theme.MARKERS[index % len(theme.MARKERS)]}
    return style


def starts(frame: pd.DataFrame) -> go.Figure:
    """Loss over the steps, a line a start. Columns start, step, loss."""
    fig = theme.figure(
        title="Learning from four starts",
        xaxis={"title": "step"},
        yaxis={"title": "loss", "rangemode": "tozero"},
        **TOP,
    )
    for i, (name, part) in enumerate(frame.groupby("start", sort=False)):
        style = _line(name, i, mode="lines")
        style["line"]["width"] = 9 if i == 0 else 3  # the other starts may lie on the first
        fig.add_scatter(
            x=part["step"].tolist(),
            y=part["loss"].tolist(),
            hovertemplate=f"{name}<br>step %{{x}}: %{{y:.2f}}<extra></extra>",
            **style,
        )
    return fig


def over_rank(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """How far the first step moves the output, a line a scale; both axes log. Columns scale, rank, change.

    guess: by what factor the first scale's change shrinks from the smallest rank to 64; a star shows where that ends.
    """
    ranks = sorted(set(frame["rank"]))
    fig = theme.figure(
        title="Change of the output after one step of Adam",
        xaxis={"title": "rank r (log scale)", "type": "log", "tickvals": ranks, "ticktext": [str(r) for r in ranks]},
        yaxis={"title": "root mean square", "type": "log", "exponentformat": "power", "dtick": "D2"},
        **TOP,
    )
    for i, (name, part) in enumerate(frame.groupby("scale", sort=False)):
        fig.add_scatter(
            x=part["rank"].tolist(),
            y=part["change"].tolist(),
            hovertemplate=f"{name}<br>rank %{{x}}: %{{y:.1e}}<extra></extra>",
            **_line(name, i),
        )
    if guess:
        first = frame[(frame["scale"] == frame["scale"].iloc[0]) & (frame["rank"] == ranks[0])]["change"].iloc[0]
        star = theme.series("your guess", f"{guess:g} times less at rank 64")
        fig.add_scatter(x=[64], y=[first / guess], **star)
    return fig


def grid(frame: pd.DataFrame, source: str = "live") -> go.Figure:
    """Accuracy by rank and place as a heatmap, the numbers in the cells.

    Columns rank, where, accuracy (in %), trained_percent; several rows a cell (seeds) are averaged.
    """
    mean = frame.groupby(["where", "rank"], sort=False)[["accuracy", "trained_percent"]].mean()
    rows, ranks = list(dict.fromkeys(frame["where"])), sorted(set(frame["rank"]))
    cells = [[mean.loc[(w, r)] if (w, r) in mean.index else None for r in ranks] for w in rows]
    low = float(mean["accuracy"].min())
    high = max(float(mean["accuracy"].max()), low + 1)
    fig = theme.figure(
        title="Accuracy, %, by rank and place" + (f" ({source})" if source != "live" else ""),
        height=180 + 110 * len(rows),
        xaxis={"title": "rank", "tickvals": list(range(len(ranks))), "ticktext": [str(r) for r in ranks]},
        yaxis={"tickvals": list(range(len(rows))), "ticktext": rows, "autorange": "reversed"},
    )
    fig.update_xaxes(showgrid=False).update_yaxes(showgrid=False)
    fig.add_heatmap(
        z=[[None if cell is None else float(cell["accuracy"]) for cell in line] for line in cells],
        colorscale=theme.MAGNITUDE,
        zmin=low,
        zmax=high,
        colorbar={"title": {"text": "%"}},
        hoverinfo="skip",
        xgap=3,
        ygap=3,
    )
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            if cell is None:
                continue
            dark = cell["accuracy"] < (low + high) / 2
            fig.add_annotation(
                x=x,
                y=y,
                text=f"<b>{cell['accuracy']:.1f}</b><br>{cell['trained_percent']:.2f}% trained",
                showarrow=False,
                font={"color": "#FFFFFF" if dark else "#000000"},
            )
    return fig


def directions(frame: pd.DataFrame, guess: int | None = None) -> go.Figure:
    """What share of a change's squared size its first k directions hold. Columns matrix, k, share (in %)."""
    fig = theme.figure(
        title="How much of the change do the first k directions hold?",
        xaxis={"title": "k, directions by their singular value"},
        yaxis={"title": "share of the squared size, %", "range": [0, 102]},
        legend={"x": 0.98, "xanchor": "right", "y": 0.05, "yanchor": "bottom"},
    )
    for i, (name, part) in enumerate(frame.groupby("matrix", sort=False)):
        fig.add_scatter(
            x=part["k"].tolist(),
            y=theme.f32(part["share"]),
            hovertemplate=f"{name}<br>%{{x}} directions: %{{y:.0f}}%<extra></extra>",
            **_line(name, i, mode="lines"),
        )
    fig.add_hline(90, line={"color": "#000000", "dash": "dot", "width": 2})
    if guess is not None:
        fig.add_scatter(x=[guess], y=[90], **theme.series("your guess", f"{guess:g}"))
    return fig


def drift(frame: pd.DataFrame) -> go.Figure:
    """How far a matrix is from its original after so many merges and subtractions. Columns dtype, swaps, drift."""
    fig = theme.figure(
        title="Merge, subtract, merge the next: what is left over",
        xaxis={"title": "adapters merged and subtracted"},
        yaxis={"title": "|W' - W| / |W|", "type": "log", "exponentformat": "power", "dtick": 1},
        **TOP,
    )
    for i, (name, part) in enumerate(frame.groupby("dtype", sort=False)):
        part = part[part["drift"] > 0]  # no logarithm of 0
        fig.add_scatter(
            x=part["swaps"].tolist(),
            y=part["drift"].tolist(),
            hovertemplate=f"{name}<br>after %{{x}}: %{{y:.1e}}<extra></extra>",
            **_line(name, i, mode="lines"),
        )
    fig.add_annotation(
        x=0.98, y=0.5, xref="paper", yref="paper", xanchor="right", showarrow=False,
        text="restored from a copy: 0, bit for bit",
    )  # fmt: skip
    return fig


def stacked(frame: pd.DataFrame, title: str, unit: str, guess: float | None = None) -> go.Figure:
    """One bar a method, made of its parts, its total at the end. Columns method, part, value.

    The last method is the one that the others are compared with: totals also show as a share of it.
    guess: a share of the last method's total, in %, drawn at the first method's bar.
    """
    methods, parts = list(dict.fromkeys(frame["method"])), list(dict.fromkeys(frame["part"]))
    totals = frame.groupby("method")["value"].sum()
    whole = totals[methods[-1]]
    fig = theme.figure(
        title=title,
        barmode="stack",
        height=230 + 70 * len(methods),
        xaxis={"title": unit, "range": [0, 1.28 * totals.max()]},
        yaxis={"autorange": "reversed", "showgrid": False},
        **{**TOP, "legend": {**UNDER, "traceorder": "normal"}},
    )
    for i, part in enumerate(parts):
        rows = frame[frame["part"] == part]
        style = theme.bars("live", part, i)
        style["marker"]["pattern"] = {"shape": ("", "/", "x", ".")[i % 4], "fgcolor": "white", "fillmode": "overlay"}
        fig.add_bar(
            orientation="h",
            y=rows["method"].tolist(),
            x=rows["value"].tolist(),
            hovertemplate=f"%{{y}}<br>{part}: %{{x:.1f}} {unit}<extra></extra>",
            **style,
        )
    for method in methods:
        fig.add_annotation(
            x=totals[method], y=method, xanchor="left", showarrow=False,
            text=f" {totals[method]:.0f} ({100 * totals[method] / whole:.0f}%)",
        )  # fmt: skip
    if guess is not None:
        star = theme.series("your guess", f"{guess:g}%")
        fig.add_scatter(x=[guess / 100 * whole], y=[methods[0]], **star)
    return fig


def drawing(shapes: dict[str, tuple[int, int]], chosen, rank: int, title: str) -> go.Figure:
    """The linear maps of one layer to scale: W frozen (blue), and where LoRA is chosen its B and A (red) beside it.

    shapes: kind -> (outputs, inputs). B is rank wide and stands at the right of W, A is rank high and lies under it.
    """
    unit = min(min(shape) for shape in shapes.values())
    blue, red = theme.OKABE_ITO[0], theme.OKABE_ITO[1]
    thick, gap, x = rank / unit, 0.22, 0.0
    tall = max(outputs for outputs, _ in shapes.values()) / unit
    fig = theme.figure(title=title, height=430, margin={"l": 20, "r": 20, "t": 60, "b": 20})
    fig.update_layout(title_font_size=18)

    def box(x0, y0, wide, high, colour, solid):
        fig.add_shape(
            type="rect", x0=x0, x1=x0 + wide, y0=y0, y1=y0 + high, line={"color": colour, "width": 2},
            fillcolor=colour if solid else "#E6F0F7",
        )  # fmt: skip

    for kind, (outputs, inputs) in shapes.items():
        high, wide = outputs / unit, inputs / unit
        box(x, 0, wide, high, blue, False)
        if kind in chosen:
            box(x + wide + 0.06, 0, thick, high, red, True)
            box(x, -0.06 - thick, wide, thick, red, True)
        name = kind.replace("_", "<br>")
        fig.add_annotation(x=x + wide / 2, y=high + 0.1, yanchor="bottom", text=name, showarrow=False,
                           font={"size": 16, "color": red if kind in chosen else "#222222"})  # fmt: skip
        fig.add_annotation(x=x + wide / 2, y=high / 2, text=f"{outputs}<br>×<br>{inputs}" if wide < 2 else
                           f"{outputs} × {inputs}", showarrow=False, font={"size": 14})  # fmt: skip
        x += wide + max(thick, 0.3) + gap
    fig.add_annotation(
        x=0, xref="paper", y=1, yref="paper", xanchor="left", yanchor="top", align="left", showarrow=False,
        text="one layer, to scale<br>blue: W, frozen<br>red: B beside it, A below, trained", font={"size": 16},
    )  # fmt: skip
    fig.update_xaxes(visible=False, range=[-0.2, x])
    fig.update_yaxes(visible=False, range=[-0.2 - max(thick, 0.2), tall + 0.8])
    return fig
