"""Figures of 12_composition: the flow of a setup, the error of a merge, fusion's attention, and accuracies by seed."""

import pandas as pd
import plotly.graph_objects as go

from ... import compose
from ...studies.stats import accuracy_error, mean_interval
from ..kit import theme
from ..kit.drawing import arrow, box, write

WIDE, HIGH, GAP = 1.7, 0.7, 0.55  # of a box, and between boxes


def flow(setup: compose.Block | str | None, said: list[str], title: str = "") -> go.Figure:
    """A setup as boxes and arrows from left to right: the text, the adapters, what comes out (`said`, line by line).

    A frame with its block's name surrounds what works together; what stands below each other gets the same y.
    """
    width, height = _size(setup)
    fig = theme.figure(title=title, height=max(300, round(150 + 85 * height)))
    fig.update_layout(title_font_size=18, margin={"l": 15, "r": 15, "t": 60, "b": 15})
    x = WIDE + GAP
    box(fig, 0, -HIGH / 2, WIDE, HIGH, "text", "#F2F2F2")
    arrow(fig, WIDE, 0, x, 0)
    _draw(fig, setup, x, 0, width, height)
    arrow(fig, x + width, 0, x + width + GAP, 0)
    lines = [line if len(line) < 34 else line[:33] + "…" for line in said[:6]] + ["…"] * (len(said) > 6)
    fig.add_annotation(x=x + width + GAP, y=0, xanchor="left", align="left", showarrow=False, text="<br>".join(lines))
    fig.update_xaxes(visible=False, range=[-0.1, x + width + GAP + 5.2])
    fig.update_yaxes(visible=False, range=[-max(height, 2) / 2 - 0.2, max(height, 2) / 2 + 0.2])
    return fig


def _size(setup) -> tuple[float, float]:
    """(width, height) of the drawing of a setup."""
    if not isinstance(setup, compose.Block):
        return WIDE, HIGH
    sizes = [_size(child) for child in setup.children]
    if isinstance(setup, compose.Stack):
        return sum(w for w, _ in sizes) + GAP * (len(sizes) - 1) + 0.5, max(h for _, h in sizes) + 0.7
    return max(w for w, _ in sizes) + 2 * GAP + 0.6, sum(h for _, h in sizes) + 0.25 * len(sizes) + 0.6


def _draw(fig, setup, x, y, width, height) -> None:
    """Draw a setup into the box whose left edge is x and whose middle is y."""
    if not isinstance(setup, compose.Block):
        return box(fig, x, y - HIGH / 2, WIDE, HIGH, setup or "(nothing)", "#CFE3F1")
    sizes = [_size(child) for child in setup.children]
    name = type(setup).__name__
    box(fig, x, y - height / 2, width, height, edge=theme.OKABE_ITO[1], dash="dot", width=2)
    write(fig, x + 0.08, y + height / 2 - 0.05, f"<b>{name}</b>", 15, xanchor="left", yanchor="top")
    if isinstance(setup, compose.Stack):
        at = x + 0.25
        for i, (child, (w, h)) in enumerate(zip(setup.children, sizes, strict=True)):
            _draw(fig, child, at, y - 0.1, w, h)
            if i:
                arrow(fig, at - GAP, y - 0.1, at, y - 0.1)
            at += w + GAP
        return None
    top = y + height / 2 - 0.5
    for child, note, (w, h) in zip(setup.children, _notes(setup), sizes, strict=True):
        left, middle = x + width / 2 - w / 2, top - h / 2 - 0.125
        arrow(fig, x, y, left, middle)
        _draw(fig, child, left, middle, w, h)
        arrow(fig, left + w, middle, x + width, y)
        if note:
            write(fig, left + w / 2, middle - h / 2, note, 14, yanchor="top", yshift=3)
        top -= h + 0.25
    return None


def _notes(setup) -> list[str]:
    """What each child gets: its weight, its tokens or its rows."""
    if isinstance(setup, compose.Average):
        return [f"{100 * w:.0f}%" for w in setup.weights]
    if isinstance(setup, compose.Split):
        ends = [*(str(at - 1) for at in setup.at), "the last"]
        return [f"tokens {a} to {b}" for a, b in zip((0, *setup.at), ends, strict=True)]
    if isinstance(setup, compose.BatchSplit):
        return [f"{n} row{'s' * (n > 1)}" for n in setup.sizes]
    return [""] * len(setup.children)


def distances(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """How far each merge is from the true sum: a bar each, and a dot for what is left when it is scaled to fit.

    Columns way, off, direction (in % of the sum's size). guess: what was predicted for the way "linear".
    """
    off = frame.set_index("way")["off"]
    fig = theme.figure(
        title="Distance from the true sum of the two changes",
        height=220 + 55 * len(frame),
        xaxis={"title": "distance, % of the sum's size", "range": [0, 1.22 * max(1, off.max(), guess or 0)]},
        yaxis={"autorange": "reversed", "showgrid": False},
        **theme.LEGEND,
    )
    style = theme.bars("live", "as it is")
    fig.add_bar(orientation="h", x=off.tolist(), y=off.index.tolist(), hoverinfo="skip", **style)
    fig.add_scatter(
        x=theme.f32(frame["direction"]),
        y=off.index.tolist(),
        hovertemplate="%{y}: %{x:.1f}% by direction<extra></extra>",
        **theme.series("live", "scaled to fit: by direction alone", 1, mode="markers"),
    )
    theme.beside(fig, off, lambda value: f"{value:.1f}%" if value >= 0.05 else "exact, up to rounding")
    linear = off.index.get_loc("linear") if guess is not None else None
    return theme.mark(fig, guess, axis="x", at=linear, name="linear", unit="%")


def compare(rows: list[dict], base: str) -> str:
    """A line a setup: its mean accuracy, and the difference to `base`, draw by draw, with a verdict.

    rows: keys setup, seed, accuracy (in %), trained (how many numbers).
    """
    frame = pd.DataFrame(rows)
    table, lines = frame.pivot(index="seed", columns="setup", values="accuracy"), []
    for setup, trained in frame.groupby("setup", sort=False)["trained"].first().items():
        line = f"{setup:15s} {table[setup].mean():5.1f}% on test, {trained:9,} trained"
        if setup != base:
            gain, half = mean_interval((table[setup] - table[base]).tolist())
            verdict = "better" if gain > half > 0 else "worse" if gain < -half < 0 else "not told apart"
            line += f"; minus {base}: {gain:+.1f} ± {half:.1f}: {verdict}"
        lines.append(line)
    return "\n".join(lines)


def attention(frame: pd.DataFrame, guess: str | None = None) -> go.Figure:
    """Fusion's weights as a heatmap, layer by adapter, the lowest layer at the bottom. Columns layer, adapter, weight.

    weight: a mean over tokens, in %; those of one layer sum to 100. guess: the adapter that was predicted to lead.
    """
    table = frame.pivot(index="layer", columns="adapter", values="weight")[list(dict.fromkeys(frame["adapter"]))]
    layers = table.index.tolist()
    fig = theme.figure(
        title="Whom does fusion attend to?" + (f" Your guess: {guess}" if guess else ""),
        height=150 + 60 * len(table),
        xaxis={"title": "adapter"},
        yaxis={"title": "layer", "tickvals": layers},
    )
    text = table.map("<b>{:.0f}</b>".format).to_numpy()
    hover = "layer %{y}, %{x}: %{z:.0f}%"
    theme.heat(fig, table.to_numpy(), table.columns.tolist(), layers, text, hover, 0, 100, "weight, %")
    return fig.update_yaxes(autorange=True)


def against(frame: pd.DataFrame, rows: int) -> go.Figure:
    """Accuracy by setup: a marker a seed, a bar at their mean; the 95% range of one run from `rows` test rows in grey.

    Columns setup, seed, accuracy (in %). Seeds of one setup stand above each other, so that equal ones are both seen.
    """
    setups = list(dict.fromkeys(frame["setup"]))
    fig = theme.figure(
        title=f"Accuracy on the target, {rows} test sentences",
        height=170 + 60 * len(setups),
        xaxis={"title": "accuracy, %"},
        yaxis={
            "range": [len(setups) - 0.5, -0.5],
            "tickvals": list(range(len(setups))),
            "ticktext": setups,
            "showgrid": False,
        },
        **theme.LEGEND,
    )
    means = [frame[frame["setup"] == name]["accuracy"].mean() for name in setups]
    fig.add_scatter(
        x=means, y=list(range(len(setups))), mode="markers", name="mean; grey: 95% range from the test rows alone",
        marker={"symbol": "line-ns", "size": 30, "line": {"width": 4, "color": "#444444"}},
        error_x={"array": [100 * accuracy_error(m / 100, rows) for m in means], "color": "#767676", "thickness": 6},
        hovertemplate="mean %{x:.1f}%<extra></extra>",
    )  # fmt: skip
    seed = frame.groupby("setup").cumcount()
    apart = 0.14 * (seed - (frame.groupby("setup")["seed"].transform("size") - 1) / 2)
    style = theme.series("recorded", mode="markers") | {"name": "one seed"}
    places = frame["setup"].map(setups.index) + apart
    fig.add_scatter(
        x=frame["accuracy"].tolist(), y=theme.f32(places), hovertemplate="%{x:.1f}%<extra></extra>", **style
    )
    return fig
