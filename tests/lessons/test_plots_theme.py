"""The look that all figures share."""

import json

import numpy as np
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


def _light(colour):
    """WCAG relative luminance of #RRGGBB."""
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    r, g, b = (v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def test_text_has_contrast_on_white():
    """WCAG AA; the Okabe-Ito colours do not reach it as type, so a mark's label keeps the font's colour."""
    assert 1.05 / (_light(theme.TEMPLATE.layout.font.color) + 0.05) >= 4.5
    assert theme.mark(theme.figure(), 50).layout.annotations[0].font.color is None


@pytest.mark.parametrize("make, sign", [(theme.series, lambda s: (s["line"]["dash"], s["marker"]["symbol"])),
                                        (theme.bars, lambda s: s["marker"]["pattern"]["shape"])])  # fmt: skip
def test_sources_differ_without_colour(make, sign):
    made = [make(source, "adapter", 1) for source in theme.SOURCES]
    assert len({sign(s) for s in made}) == len({s["name"] for s in made}) == 4
    assert made[0]["name"] == "adapter" and made[1]["name"] == "adapter (recorded)"
    fig = theme.figure()
    for one in made:
        (fig.add_scatter if make is theme.series else fig.add_bar)(x=[1], y=[2], **one)
    assert len(fig.data) == 4


def test_one_index_is_one_colour():
    assert theme.series("live", "a", 2)["line"]["color"] == theme.bars("recorded", "a", 2)["marker"]["color"]


def test_numbers_are_stored_as_float32():
    assert theme.f32([1, 2.5]).dtype == np.float32
    fig = theme.figure().add_scatter(y=theme.f32([1, 2]))
    assert json.loads(fig.to_json())["data"][0]["y"]["dtype"] == "f4"


def test_a_mark_says_what_it_is():
    fig = theme.mark(theme.figure().add_bar(x=[1], y=[80]), 50)
    assert fig.layout.annotations[0].text == "your guess: 50" and fig.layout.shapes[0].y0 == 50
