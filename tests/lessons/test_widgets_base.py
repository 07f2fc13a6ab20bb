"""The view behind every widget: what it shows, when it draws, and that no error vanishes."""

import ipywidgets
import pytest

from adapterlab.errors import UserError
from adapterlab.lessons.kit import theme
from adapterlab.lessons.kit import view as base


def draw(size, task):
    if size == 0:
        raise UserError("a bottleneck of size 0 has no weights; take 1 or more")
    return theme.figure().add_bar(x=[task], y=[1 / size]), f"{task}: <{size}>"


@pytest.fixture
def view():
    return base.FigureView(draw, size=base.slider("size", 4, 0, 9), task=base.choice("task", ["a", "b"]))


def test_a_control_draws_again(view):
    assert view.figure.data[0].y == (0.25,) and view.summary == "a: <4>"
    view.size.value = 2
    view.task.value = "b"
    assert view.figure.data[0].y == (0.5,) and view.figure.data[0].x == ("b",) and view.summary == "b: <2>"
    assert view.values == {"size": 2, "task": "b"}


def test_the_summary_is_on_the_page(view):
    assert "a: &lt;4&gt;" in view.children[-1].value and 'role="status"' in view.children[-1].value
    assert view._repr_mimebundle_()["text/plain"] == "a: <4>"
    assert "application/vnd.jupyter.widget-view+json" in view._repr_mimebundle_()


def test_an_error_is_shown_and_kept_until_it_is_mended(view):
    assert view.error is None
    view.size.value = 0
    assert view.error == "a bottleneck of size 0 has no weights; take 1 or more"
    assert "adapterlab-error" in view.children[-1].value and "size 0" in view.children[-1].value
    view.size.value = 1
    assert view.error is None and "adapterlab-error" not in view.children[-1].value


def test_the_first_drawing_raises():
    with pytest.raises(ZeroDivisionError):
        base.FigureView(lambda n: (None, 1 / n), n=base.choice("n", [0]))


def test_a_view_may_wait_for_its_button():
    view = base.FigureView(lambda word: (None, word), press="go", word=base.text("word", "x"), go=base.button("Go"))
    view.word.value = "y"
    assert view.summary == "x"
    view.go.click()
    assert view.summary == "y"


def test_a_picture_only_while_authoring(view, monkeypatch):
    monkeypatch.setattr(type(view.figure), "to_image", lambda self, format: b"png")
    assert "image/png" not in view._repr_mimebundle_()
    monkeypatch.setenv("PLOTLY_RENDERER", "plotly_mimetype+png")
    assert view._repr_mimebundle_()["image/png"] == "cG5n"


def test_names_of_the_box_are_refused():
    with pytest.raises(ValueError, match='"children"'):
        base.FigureView(lambda children: (None, ""), children=base.choice("c", [1]))


def test_sliders_are_of_the_values_kind():
    assert type(base.slider("n", 1, 0, 3)) is ipywidgets.IntSlider
    assert type(base.slider("x", 1, 0, 1, step=0.1)) is ipywidgets.FloatSlider
    assert base.slider("n", 1, 0, 3).continuous_update is False
    assert [w.style.description_width for w in (base.slider("n", 1, 0, 3), base.text("t"))] == ["initial"] * 2
