"""One look for every figure: large type, white paper, colours that colour-blind readers can tell apart.

Colour is never the only sign: each line has its own dash and marker, each part of a bar its own hatching, and where a
number comes from shows in the marker, the hatching and the name (SOURCES). A figure is drawn with a handful of helpers:
`lines`, `columns`, `stack`, `heat`, `star` and `mark` (guesses and other people's numbers), `log` (an axis), `caption`.
Plotly's own default template costs 6 KB a figure, this one 1 KB.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio
from numpy.typing import ArrayLike

from ...studies.stats import accuracy_error, mean_interval

WIDTH, HEIGHT = 900, 480
SMALLEST = 14  # pixels: 10.5 points on a screen 1280 pixels wide

#: Okabe and Ito 2008, in an order that keeps neighbours apart; the last two are the paper's and the guess's.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#000000", "#CC79A7")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star-diamond", "triangle-down", "hexagon")
HATCHES = ("", "/", "x", ".", "-", "|", "+")
MAGNITUDE = "Cividis"

#: Where a number comes from -> (what its marker's name ends in or is, bar pattern).
SOURCES = {"live": ("", ""), "recorded": ("-open", "/"), "paper": ("x-thin-open", "x"), "your guess": ("star", ".")}
OLD_HEAD = "recorded under the old head: a frozen pooler"
GUESS_COLOUR = OKABE_ITO[6]
PAPER_COLOUR = OKABE_ITO[5]
GUESS_LINE = {"color": GUESS_COLOUR, "dash": "dashdot", "width": 4}
LEVEL_LINE = {"color": PAPER_COLOUR, "dash": "dot", "width": 3}


def above(rows: int = 2) -> dict:
    """The layout of a horizontal legend of so many rows between title and plot, where it covers nothing."""
    return {
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "traceorder": "normal"},
        "margin": {"l": 90, "r": 30, "t": 61 + 27 * rows, "b": 75},
        "title_y": 0.96,
    }


LEGEND = above()
_AXIS = {"gridcolor": "#E5E5E5", "linecolor": "#666666", "zeroline": False, "automargin": True}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"size": 18, "color": "#222222", "family": "DejaVu Sans, Arial, sans-serif"},
        "title": {"x": 0.02, "xanchor": "left", "font": {"size": 20}},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "colorway": OKABE_ITO,
        "width": WIDTH,
        "height": HEIGHT,
        "margin": {"l": 90, "r": 30, "t": 70, "b": 75},
        "xaxis": {**_AXIS, "title": {"standoff": 12}},
        "yaxis": {**_AXIS, "title": {"standoff": 10}},
        "legend": {"bgcolor": "rgba(255,255,255,0.8)"},
        "hoverlabel": {"font": {"size": 16}, "bgcolor": "white", "align": "left", "namelength": -1},
        "modebar": {"remove": ["sendChartToCloud"]},
    }
)
pio.templates["adapterlab"] = TEMPLATE


def figure(
    title: str | None = None, x: str | dict | None = None, y: str | dict | None = None, *,
    legend: int | dict | None = None, **layout,
) -> go.Figure:  # fmt: skip
    """An empty figure in our look: `figure("Loss", "step", "cross-entropy", legend=2)`.

    x, y: an axis, as its title or its settings; legend: so many rows of one `above` the plot, or its settings.
    """
    axes = {f"{name}axis": {"title": axis} if isinstance(axis, str) else axis for name, axis in (("x", x), ("y", y))}
    rows = above(legend) if isinstance(legend, int) else {"legend": legend}
    parts = {"title": title, **axes, **rows, **layout}
    return go.Figure(layout={"template": TEMPLATE}).update_layout(**{k: v for k, v in parts.items() if v is not None})


def apply(fig: go.Figure, **layout) -> go.Figure:
    """Give a figure made elsewhere our look, in place, and return it.

    plotly.express fixes colours as it draws: pass it `template=theme.TEMPLATE` as well.
    """
    return fig.update_layout(template=TEMPLATE, **layout)


def f32(values: Iterable[float]) -> np.ndarray:
    """Numbers as float32: half the bytes in a stored figure."""
    return np.asarray(values, dtype=np.float32)


def label(name: str, source: str = "live") -> str:
    """The legend's text: live results carry the bare name, all others say where they come from."""
    if source == "your guess":
        return "your guess" if not name else f"your guess: {name}"
    return name if source == "live" else f"{name} ({source})"


def colour(source: str, index: int) -> str:
    """The colour of a number: the guess and the paper have their own, all others one an index."""
    return {"your guess": GUESS_COLOUR, "paper": PAPER_COLOUR}.get(source, OKABE_ITO[index % len(OKABE_ITO)])


def series(source: str = "live", name: str = "", index: int = 0, **more) -> dict:
    """Keyword arguments for go.Scatter: `fig.add_scatter(x=..., y=..., **series("recorded", "adapter", 1))`.

    source: a key of SOURCES; index: which colour, dash and marker, the same for one method in every figure.
    """
    own, sign = colour(source, index), SOURCES[source][0]
    symbol = MARKERS[index % len(MARKERS)] + sign if source in ("live", "recorded") else sign
    marker = {"color": own, "symbol": symbol, "size": 11, "line": {"color": own, "width": 2}}
    if source == "your guess":  # a white rim, to be seen on a bar
        marker |= {"size": 18, "line": {"color": "white", "width": 1.5}}
    return {
        "name": label(name, source),
        "mode": "markers" if source == "your guess" else "lines+markers",
        "line": {"color": own, "dash": "dot" if source == "paper" else DASHES[index % len(DASHES)], "width": 3},
        "marker": marker,
        **more,
    }


def bars(source: str = "live", name: str = "", index: int = 0, hatch: str | None = None, **more) -> dict:
    """Keyword arguments for go.Bar, the counterpart of `series`. hatch: another one than the source's."""
    shape = SOURCES[source][1] if hatch is None else hatch
    # without "overlay" the bar itself, without "solidity" its colour would not be seen
    pattern = {"shape": shape, "fgcolor": "white", "fillmode": "overlay", "solidity": 0.15}
    return {"name": label(name, source), "marker": {"color": colour(source, index), "pattern": pattern}, **more}


def error(half: Iterable[float], low: Iterable[float] | None = None) -> dict:
    """An interval, as plotly's error_x or error_y: `half` up and down, or `low` down; none where it is not a number."""
    down = {} if low is None else {"arrayminus": f32(low)}
    return {"array": f32(half), **down, "thickness": 2, "width": 6}


def means(frame: pd.DataFrame, by: str, value: str = "accuracy", rows: int | None = None) -> pd.DataFrame:
    """Mean and 95% interval of a column (in %) over the runs of every group: columns by, mean, half, runs, note.

    rows: test rows; they alone give a single run its interval, which is NaN where they are not told. note: for a hover.
    """
    table = []
    for name, part in frame.groupby(by, sort=False):
        mean, half = mean_interval(part[value])
        if len(part) == 1 and rows is not None:
            half = 100 * accuracy_error(mean / 100, rows)
        note = f"{len(part)} seed{'s' * (len(part) > 1)}" + ("" if half != half else f", ± {half:.1f}")
        table.append({by: name, "mean": mean, "half": half, "runs": len(part), "note": note})
    return pd.DataFrame(table)


def lines(
    fig: go.Figure, frame: pd.DataFrame, x: str, y: str, by: str, hover: str, *, source: str = "live",
    index: Callable[[str], int] | None = None, half: str | tuple[str, str] | None = None,
    note: str | None = None, **more,
) -> go.Figure:  # fmt: skip
    """A line for every value of the column `by`, in their order, each with its own colour, dash and marker.

    hover: what follows the name, in plotly's words ("%{x} tasks: %{y:.0f} MB"). index: name -> its colour, dash and
    marker; None: by the order. half: the column of the intervals' half widths, or of those up and down;
    note: of what %{customdata} is; more: mode="lines" ...
    """
    for place, (name, rows) in enumerate(frame.groupby(by, sort=False)):
        extra: dict = {} if note is None else {"customdata": rows[note].tolist()}
        if half is not None:
            extra["error_y"] = error(*(rows[column] for column in ([half] if isinstance(half, str) else half)))
        style = series(source, str(name), place if index is None else index(str(name)))
        fig.add_scatter(
            x=rows[x].tolist(),
            y=f32(rows[y]),
            hovertemplate=f"{style['name']}<br>{hover}<extra></extra>",
            **{**style, **extra, **more},
        )
    return fig


def columns(
    fig: go.Figure, names: Iterable[str], values: Iterable[float], hover: str, form: str = ".1f", *,
    source: str = "live", name: str = "", index: int = 0, hatch: str | None = None,
    inside: bool = False, lying: bool = False, **more,
) -> go.Figure:  # fmt: skip
    """A bar for every name with its number at its end, or `inside` at its foot where an interval needs the end.

    hover: in plotly's words ("%{x}: %{y:.1f}%"); values: NaN for no bar; form: of the number; name, index, hatch: as in
    `bars`, in the legend if it has a name; lying: from left to right; more: error_y=error(...), customdata, row, col.
    """
    place: dict = {"textposition": "outside", "cliponaxis": False}
    if inside:
        place = {"textposition": "inside", "insidetextanchor": "start"}
    place |= {"text": ["" if v != v else f"{v:{form}}" for v in values]}
    fig.add_bar(
        **{"y" if lying else "x": list(names), "x" if lying else "y": f32(values)},
        orientation="h" if lying else "v",
        hovertemplate=f"{hover}<extra></extra>",
        **{**bars(source, name, index, hatch), "showlegend": bool(name), **place, **more},
    )
    return fig


def stack(
    fig: go.Figure, frame: pd.DataFrame, row: str, value: str, by: str, hover: str,
    indices: Sequence[int] | None = None,
) -> go.Figure:  # fmt: skip
    """Lying bars, one for each `row`, made of parts, one for each value of `by`, with their own colour and hatching.

    hover: what follows row and part, in plotly's words. indices: the parts' colours; None: by the order.
    """
    for place, (name, rows) in enumerate(frame.groupby(by, sort=False)):
        style = bars("live", str(name), place if indices is None else indices[place], hatch=HATCHES[place])
        hovertemplate = f"%{{y}}<br>{name}: {hover}<extra></extra>"
        fig.add_bar(orientation="h", y=rows[row].tolist(), x=f32(rows[value]), hovertemplate=hovertemplate, **style)
    return fig.update_layout(barmode="stack").update_yaxes(autorange="reversed", showgrid=False)


def beside(fig: go.Figure, values: pd.Series, text: Callable[[float], str], first: float | None = None) -> go.Figure:
    """A number behind the end of every lying bar. values: by the bar's name; first: what the first stands behind."""
    for place, (name, value) in enumerate(values.items()):
        x = float(max(value, first or 0) if place == 0 else value)
        fig.add_annotation(x=x, y=name, text=text(value), showarrow=False, xanchor="left", xshift=6)
    return fig


def heat(
    fig: go.Figure, z: ArrayLike, x: list, y: list, text: ArrayLike, hover: str, low: float, high: float,
    unit: str = "%", **more,
) -> go.Figure:  # fmt: skip
    """A table of numbers as coloured cells; `text` stands in them, black or white, whichever is read more easily.

    low, high: the ends of the colour scale, the same for all figures that are compared. y: the first row is on top.
    """
    font = {"size": more.pop("size", 18)}
    fig.add_heatmap(
        z=z, x=x, y=y, text=text, texttemplate="%{text}", textfont=font, hovertemplate=hover + "<extra></extra>",
        colorscale=MAGNITUDE, zmin=low, zmax=high, colorbar={"title": {"text": unit, "side": "right"}}, xgap=2, ygap=2,
        hoverongaps=False, **more,
    )  # fmt: skip
    return fig.update_xaxes(showgrid=False).update_yaxes(showgrid=False, autorange="reversed")


def star(fig: go.Figure, x: float | str | None, y: float | str | None, name: str = "") -> go.Figure:
    """The learner's guess as a point; nothing where x or y is None."""
    if x is None or y is None:
        return fig
    hover = "your guess: %{x}, %{y}<extra></extra>"
    return fig.add_scatter(x=[x], y=[y], hovertemplate=hover, **series("your guess", name))


def mark(
    fig: go.Figure, value: float | None, source: str = "your guess", name: str = "", axis: str = "y",
    at: float | tuple[float, float] | None = None, unit: str = "", text: str | None = None,
) -> go.Figure:  # fmt: skip
    """A number as a line across the figure, named in the legend, where it covers nothing: a guess, the paper's, chance.

    axis: the axis that the number is on; at: the bar (0: the first; or from, to) that it is about, and then the line
    crosses it alone; text: the legend's, if it is another one ("": none). None as value: nothing is drawn.
    """
    if value is None:
        return fig
    other = "x" if axis == "y" else "y"
    ends = (0, 1) if at is None else at if isinstance(at, tuple) else (at - 0.48, at + 0.48)
    fig.add_shape(
        type="line", line=GUESS_LINE if source == "your guess" else LEVEL_LINE, showlegend=text != "",
        name=f"{label(name, source)}: {value:.3g}{unit}" if text is None else text,
        **{f"{axis}0": value, f"{axis}1": value, f"{other}0": ends[0], f"{other}1": ends[1]},
        **{f"{axis}ref": axis, f"{other}ref": f"{other} domain" if at is None else other},
    )  # fmt: skip
    scale = fig.layout[f"{axis}axis"]  # a line alone would not widen the axis
    scale.autorangeoptions.include = (*(scale.autorangeoptions.include or ()), value)
    return fig.update_layout(showlegend=True)


def power(value: float) -> str:
    """A power of ten, or a few of them, as it is printed: 10⁻³, 2·10⁻³."""
    exponent = math.floor(math.log10(value) + 1e-9)
    times = round(value / 10.0**exponent)
    return f"{'' if times == 1 else f'{times}·'}10<sup>{exponent}</sup>".replace("-", "−")


def log(title: str, low: float, high: float, **more) -> dict:
    """A logarithmic axis from low to high with even ticks: decades (every second, third ... of many), or 1, 2, 5, 10.

    Numbers are written out between 0.001 and 100,000, as powers of ten beyond.
    """
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    step = max(1, math.ceil((last - first) / 8))
    if math.log10(high / low) <= 2:
        ticks = [digit * 10.0**k for k in range(first, last + 1) for digit in (1, 2, 5)]
    else:
        ticks = [10.0**k for k in range(first, last + 1) if k % step == 0]
    text = [f"{tick:,.10g}" if first >= -3 and last <= 5 else power(tick) for tick in ticks]
    room = 0.04 * (math.log10(high) - math.log10(low)) + 0.02
    ends = [math.log10(low) - room, math.log10(high) + room]
    return {"title": title, "type": "log", "tickvals": ticks, "ticktext": text, "range": ends, **more}


def caption(fig: go.Figure, text: str, shift: int = 75) -> go.Figure:
    """A line of text under the figure, `shift` pixels below the axis."""
    fig.add_annotation(
        text=text, x=0, y=0, xref="paper", yref="paper", xanchor="left", yanchor="top", yshift=-shift, align="left",
        showarrow=False, font={"size": 16},
    )  # fmt: skip
    return fig.update_layout(margin_b=shift + 30 + 20 * text.count("<br>"))


def old_head(fig: go.Figure, recorded: pd.DataFrame, shift: int = 75) -> go.Figure:
    """Append OLD_HEAD to the figure's caption if a recorded row does not say which "pooling" its head read."""
    if recorded.empty or ("pooling" in recorded and recorded["pooling"].notna().all()):
        return fig
    for note in fig.layout.annotations:
        if note.yref == "paper" and note.y == 0 and (note.yshift or 0) < 0:  # a caption
            note.text += f"<br>{OLD_HEAD}"
            return fig.update_layout(margin_b=(fig.layout.margin.b or 0) + 20)
    return caption(fig, OLD_HEAD, shift)
