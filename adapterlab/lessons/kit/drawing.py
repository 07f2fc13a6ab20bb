"""The one drawing kit: boxes and arrows, for models, methods and compositions."""

import plotly.graph_objects as go

EDGE = "#444444"


def box(
    fig: go.Figure, x: float, y: float, wide: float, high: float, text: str = "", fill: str = "white", size: int = 16,
    edge: str = EDGE, width: float = 1.5, dash: str = "solid", hover: str | None = None, **font,
) -> None:  # fmt: skip
    """A rectangle from its lower left corner (x, y), `wide` by `high`, with its text in the middle.

    edge, width, dash: its line; hover: said when the pointer is on the text; font: of the text, as color="red".
    """
    line = {"color": edge, "width": width, "dash": dash}
    fig.add_shape(type="rect", x0=x, x1=x + wide, y0=y, y1=y + high, fillcolor=fill, line=line, layer="below")
    if text:
        write(fig, x + wide / 2, y + high / 2, text, size, hovertext=hover, **font)


def write(fig: go.Figure, x: float, y: float, text: str, size: int = 16, **more) -> None:
    """Text at (x, y). more: color, or keys of an annotation as xanchor="left"."""
    font = {"size": size, **({"color": more.pop("color")} if "color" in more else {})}
    fig.add_annotation(x=x, y=y, text=text, showarrow=False, font=font, **more)


def arrow(fig: go.Figure, x0: float, y0: float, x1: float, y1: float, colour: str = EDGE, width: float = 2) -> None:
    """An arrow from (x0, y0) to (x1, y1)."""
    fig.add_annotation(
        x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
        arrowhead=2, arrowwidth=width, arrowcolor=colour,
    )  # fmt: skip
