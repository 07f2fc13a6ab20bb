"""Boxes and arrows for the drawings of models and compositions."""


def box(fig, x, y, wide, high, text, fill, size=16) -> None:
    """A rectangle from (x, y), `wide` by `high`, with its text in the middle."""
    fig.add_shape(type="rect", x0=x, x1=x + wide, y0=y, y1=y + high, fillcolor=fill,
                  line={"color": "#444444", "width": 1.5})  # fmt: skip
    fig.add_annotation(x=x + wide / 2, y=y + high / 2, text=text, showarrow=False, font={"size": size})


def arrow(fig, x0, y0, x1, y1) -> None:
    """An arrow from (x0, y0) to (x1, y1)."""
    fig.add_annotation(x=x1, y=y1, ax=x0, ay=y0, xref="x", yref="y", axref="x", ayref="y", text="", showarrow=True,
                       arrowhead=2, arrowwidth=1.5, arrowcolor="#444444")  # fmt: skip
