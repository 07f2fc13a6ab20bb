"""One look for every figure: large type, white paper, colours that colour-blind readers can tell apart.

Colour is never the only sign: where a number comes from also shows in the dash and the marker (SOURCES).
Plotly's own default template costs 6 KB a figure, this one 1 KB.
"""

import numpy as np
import plotly.graph_objects as go
import plotly.io as pio

WIDTH, HEIGHT = 900, 480

#: Okabe and Ito 2008, the order that keeps neighbours apart.
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
MAGNITUDE = "Cividis"
#: For signed values; pass zmid=0 with it.
SIGNED = "RdBu_r"

#: Where a number comes from -> (line dash, marker symbol, bar pattern).
SOURCES = {
    "live": ("solid", "circle", ""),
    "recorded": ("dash", "circle-open", "/"),
    "paper": ("dot", "x", "x"),
    "your guess": ("dashdot", "star", "."),
}
GUESS_COLOUR = OKABE_ITO[3]
PAPER_COLOUR = OKABE_ITO[6]

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
        "xaxis": {"gridcolor": "#E5E5E5", "linecolor": "#666666", "zeroline": False, "automargin": True},
        "yaxis": {"gridcolor": "#E5E5E5", "linecolor": "#666666", "zeroline": False, "automargin": True},
        "legend": {"bgcolor": "rgba(255,255,255,0.8)"},
        "hoverlabel": {"font": {"size": 16}, "bgcolor": "white", "align": "left", "namelength": -1},
        "modebar": {"remove": ["sendChartToCloud"]},
    }
)
pio.templates["adapterlab"] = TEMPLATE


def figure(**layout) -> go.Figure:
    """An empty figure in our look: `figure(title="...", xaxis_title="...")`."""
    return go.Figure(layout={"template": TEMPLATE}).update_layout(**layout)


def apply(fig: go.Figure, **layout) -> go.Figure:
    """Give a figure made elsewhere our look, in place, and return it.

    plotly.express fixes colours as it draws: pass it `template=theme.TEMPLATE` as well.
    """
    return fig.update_layout(template=TEMPLATE, **layout)


def f32(values) -> np.ndarray:
    """Numbers as float32: half the bytes in a stored figure."""
    return np.asarray(values, dtype=np.float32)


def label(name: str, source: str = "live") -> str:
    """The legend's text: live results carry the bare name, all others say where they come from."""
    if source == "your guess":
        return "your guess" if not name else f"your guess: {name}"
    return name if source == "live" else f"{name} ({source})"


def series(source: str = "live", name: str = "", index: int = 0, **more) -> dict:
    """Keyword arguments for go.Scatter: `fig.add_scatter(x=..., y=..., **series("recorded", "adapter", 1))`.

    source: a key of SOURCES; index: which colour, the same for one method in every figure.
    """
    dash, symbol, _ = SOURCES[source]
    colour, mark = _colour(source, index), {"size": 11}
    if source == "your guess":  # a white rim, to be seen on a bar
        mark = {"size": 18, "line": {"color": "white", "width": 1.5}}
    return {
        "name": label(name, source),
        "mode": "markers" if source == "your guess" else "lines+markers",
        "line": {"color": colour, "dash": dash, "width": 3},
        "marker": {"color": colour, "symbol": symbol, **mark},
        **more,
    }


def bars(source: str = "live", name: str = "", index: int = 0, **more) -> dict:
    """Keyword arguments for go.Bar, the counterpart of `series`."""
    pattern = {"shape": SOURCES[source][2], "fgcolor": "white", "fillmode": "overlay"}
    marker = {"color": _colour(source, index), "pattern": pattern}
    return {"name": label(name, source), "marker": marker, **more}


def mark(fig: go.Figure, value: float, source: str = "your guess", name: str = "", index: int = 0, axis: str = "y"):
    """Draw one number as a labelled line across the figure: a guess, the paper's result. Returns the figure."""
    line = {"color": _colour(source, index), "dash": SOURCES[source][0], "width": 3}
    place = "top left" if axis == "y" else "top right"
    draw = fig.add_hline if axis == "y" else fig.add_vline
    draw(value, line=line, annotation_position=place, annotation_text=f"{label(name, source)}: {value:g}")
    return fig


def _colour(source: str, index: int) -> str:
    return {"your guess": GUESS_COLOUR, "paper": PAPER_COLOUR}.get(source, OKABE_ITO[index % len(OKABE_ITO)])
