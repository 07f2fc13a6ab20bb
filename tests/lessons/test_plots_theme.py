"""The look that all figures share."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.express as px
import pytest

from adapterlab.lessons.kit import theme


def test_a_figure_costs_one_kilobyte():
    assert len(theme.figure(title="x").to_json()) < 1024


def test_the_look_is_readable_and_offers_no_cloud():
    layout = theme.apply(px.bar(x=["a"], y=[1])).layout.template.layout
    assert layout.font.size >= 18 and layout.paper_bgcolor == layout.plot_bgcolor == "white"
    assert "sendChartToCloud" in layout.modebar.remove
    assert layout.colorway == theme.OKABE_ITO and len(set(theme.OKABE_ITO)) == 7
    assert (layout.width, layout.height) == (900, 480)


def _rgb(colour):
    """Red, green and blue of #RRGGBB as linear light."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]


def _light(colour):
    """WCAG relative luminance of #RRGGBB."""
    r, g, b = _rgb(colour)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_text_has_contrast_on_white():
    """WCAG AA; the Okabe-Ito colours do not reach it as type, so every label keeps the font's colour."""
    assert 1.05 / (_light(theme.TEMPLATE.layout.font.color) + 0.05) >= 4.5


def test_the_palette_is_okabe_and_ito():
    """Seen with red-green blindness (Vienot 1999: red and green weigh alike), any two still differ."""
    seen = [(0.11 * r + 0.89 * g, b) for r, g, b in (_rgb(c) for c in theme.OKABE_ITO)]
    assert min(abs(p[0] - q[0]) + abs(p[1] - q[1]) for i, p in enumerate(seen) for q in seen[:i]) > 0.1
    assert {theme.GUESS_COLOUR, theme.PAPER_COLOUR} == set(theme.OKABE_ITO[5:])


@pytest.mark.parametrize(("make", "sign"), [(theme.series, lambda s: s["marker"]["symbol"]),
                                        (theme.bars, lambda s: s["marker"]["pattern"]["shape"])])  # fmt: skip
def test_sources_differ_without_colour(make, sign):
    styles = [make(source, "adapter", 1) for source in theme.SOURCES]
    assert len({sign(s) for s in styles}) == len({s["name"] for s in styles}) == 4
    assert styles[0]["name"] == "adapter" and styles[1]["name"] == "adapter (recorded)"
    fig = theme.figure()
    for style in styles:
        (fig.add_scatter if make is theme.series else fig.add_bar)(x=[1], y=[2], **style)
    assert len(fig.data) == 4


def test_every_line_has_its_own_dash_and_marker_as_well():
    frame = pd.DataFrame({"who": list("gfedcba"), "x": 1, "y": 2.0, "half": [1.0] + [np.nan] * 6})
    fig = theme.lines(theme.figure(), frame, "x", "y", "who", "at %{x}", half="half")
    assert [t.name for t in fig.data] == list("gfedcba") and fig.data[0].hovertemplate == "g<br>at %{x}<extra></extra>"
    for sign in (lambda t: t.line.color, lambda t: t.line.dash, lambda t: t.marker.symbol):
        assert len({sign(t) for t in fig.data}) == 7
    assert fig.data[0].error_y.array[0] == 1
    chosen = theme.lines(theme.figure(), frame, "x", "y", "who", "", index="abcdefg".index, source="recorded")
    assert chosen.data[6].line.color == theme.OKABE_ITO[0] and chosen.data[6].marker.symbol == "circle-open"


def test_every_part_of_a_bar_has_its_own_hatching():
    frame = pd.DataFrame({"way": ["a", "b"] * 3, "part": list("ppqqrr"), "mb": range(6)})
    fig = theme.stack(theme.figure(), frame, "way", "mb", "part", "%{x} MB")
    assert len({bar.marker.pattern.shape for bar in fig.data}) == 3 and list(fig.data[1].x) == [2, 3]
    assert all(bar.marker.pattern.fillmode == "overlay" for bar in fig.data), "else the bar itself is not painted"
    assert [
        a.text for a in theme.beside(fig, frame.groupby("way")["mb"].sum(), "{:.0f}".format).layout.annotations
    ] == ["6", "9"]


def test_bars_have_their_numbers_where_an_interval_leaves_room():
    fig = theme.columns(theme.figure(), ["a", "b"], [1, np.nan], "%{y}", name="measured")
    bar = theme.columns(fig, ["a"], [2.345], "%{x}", ".2f", inside=True, lying=True, source="recorded").data[1]
    assert fig.data[0].text == ("1.0", "") and fig.data[0].textposition == "outside" and fig.data[0].showlegend
    assert (bar.x[0], bar.y, bar.orientation, bar.text) == (pytest.approx(2.345), ("a",), "h", ("2.35",))
    assert (bar.textposition, bar.insidetextanchor, bar.showlegend) == ("inside", "start", False)


def test_a_guess_is_drawn_where_it_belongs_and_named_in_the_legend():
    assert not theme.star(theme.figure(), 3, None).data and not theme.mark(theme.figure(), None).layout.shapes
    star = theme.star(theme.figure(), 3, 40, "MB").data[0]
    assert (star.x, star.y, star.marker.symbol, star.name) == ((3,), (40,), "star", "your guess: MB")
    line = theme.mark(theme.figure().add_bar(x=["a", "b"], y=[80, 90]), 50, at=1, unit="%").layout.shapes[0]
    assert (line.y0, line.y1, line.x0, line.x1, line.xref) == (50, 50, 0.52, 1.48, "x"), "across its own bar alone"
    assert line.name == "your guess: 50%" and line.showlegend, "no text lies on the bars"
    line = theme.mark(theme.figure(), 50, "paper", axis="x").layout.shapes[0]
    assert (line.x0, line.x1, line.y0, line.y1, line.yref) == (50, 50, 0, 1, "y domain")


@pytest.mark.parametrize(("low", "high", "text"), [(1, 100, ["1", "2", "5", "10", "20", "50", "100"]),
                                             (0.002, 200, ["0.001", "0.01", "0.1", "1", "10", "100", "1,000"]),
                                             (1e-7, 1, [f"10<sup>−{k}</sup>" for k in range(7, 0, -1)]),
                                             (1e-9, 100, [f"10<sup>{k}</sup>" for k in ("−8", "−6", "−4", "−2", 0, 2)])])  # fmt: skip
def test_ticks_of_a_logarithmic_axis_are_even(low, high, text):
    axis = theme.log("x", low, high)
    assert [t for t in axis["ticktext"] if t in text] == text and len(axis["tickvals"]) == len(axis["ticktext"]) <= 10
    steps = np.diff(np.log10(axis["tickvals"]))
    assert high / low <= 100 or np.allclose(steps, steps[0])
    assert axis["range"][0] < np.log10(low) and axis["range"][1] > np.log10(high)


def test_means_have_their_intervals():
    frame = pd.DataFrame({"method": ["b", "a", "a"], "accuracy": [50.0, 80.0, 82.0]})
    alone, pair = theme.means(frame, "method").itertuples(index=False)
    assert (pair.mean, round(pair.half, 3), pair.note) == (81, 12.706, "2 seeds, ± 12.7") and alone.half != alone.half
    assert theme.means(frame, "method", rows=100)["half"][0] == pytest.approx(9.8)


def test_numbers_stand_in_the_cells_of_a_table():
    fig = theme.heat(theme.figure(), [[1, 2]], ["a", "b"], ["r"], [["1", "2"]], "%{z}", 0, 10)
    assert (fig.data[0].zmin, fig.data[0].zmax, fig.data[0].texttemplate) == (0, 10, "%{text}")


def test_no_type_is_smaller_than_ten_points():
    """On a screen 1280 pixels wide 14 pixels are 10.5 points; sizes of markers are no type."""
    folder = Path(theme.__file__).parents[1]
    for file in [*folder.glob("nb*/figures.py"), *folder.glob("kit/*.py")]:
        sizes = re.findall(r"font\w*[\"=: ]+\{[^}]*size\W+(\d+)|font-size: (\d+)|_font_size=(\d+)", file.read_text())
        assert all(int("".join(size)) >= theme.SMALLEST for size in sizes), file
    assert theme.caption(theme.figure(), "x").layout.annotations[0].font.size >= theme.SMALLEST


def test_one_index_is_one_colour():
    assert theme.series("live", "a", 2)["line"]["color"] == theme.bars("recorded", "a", 2)["marker"]["color"]


def test_numbers_are_stored_as_float32():
    assert theme.f32([1, 2.5]).dtype == np.float32
    fig = theme.figure().add_scatter(y=theme.f32([1, 2]))
    assert json.loads(fig.to_json())["data"][0]["y"]["dtype"] == "f4"


@pytest.mark.parametrize(
    ("recorded", "says"),
    [
        (pd.DataFrame({"accuracy": [0.7]}), True),
        (pd.DataFrame({"accuracy": [0.7, 0.8], "pooling": ["mean", None]}), True),
        (pd.DataFrame({"accuracy": [0.8], "pooling": ["mean"]}), False),
        (pd.DataFrame({"accuracy": []}), False),
    ],
)
@pytest.mark.parametrize("first", [None, "so many seeds"])
def test_a_row_of_the_old_head_is_told_in_the_caption(recorded, says, first):
    fig = theme.figure() if first is None else theme.caption(theme.figure(), first)
    texts = [note.text for note in theme.old_head(fig, recorded).layout.annotations]
    expected = [text for text in (first, theme.OLD_HEAD if says else None) if text]
    assert texts == (["<br>".join(expected)] if expected else [])
