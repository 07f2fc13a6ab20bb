"""The view behind every widget, and every widget of the workbook: each control through its values."""

import json
import re

import ipywidgets as widgets
import pytest
from lesson_views import VIEWS

from adapterlab.errors import UserError
from adapterlab.lessons.kit import theme
from adapterlab.lessons.kit import view as base

#: errors that are right: a choice that cannot be had is said, and the next one mends it
REFUSED = {
    "08 question": "fills the window of 192",
    "12 composition": "trained over a, b, c|cannot stand in|heads differ",
    "14 fit": "has no nn.Linear",
}


def controls(view) -> dict[str, widgets.Widget]:
    """All that a reader can move, by the name of its attribute."""
    return {name: part for name, part in vars(view).items() if isinstance(part, widgets.ValueWidget) and name[0] != "_"}


def others(control) -> list:
    """Up to five other values of a control, from one end to the other."""
    if hasattr(control, "options"):
        every = [option[1] if isinstance(option, tuple) else option for option in control.options]
    elif isinstance(control.value, bool):
        every = [True, False]
    elif isinstance(control.value, str):
        every = ["Who lives in Velmora?", "two <b>words</b> " * 100]
    elif isinstance(control, widgets.FloatLogSlider):
        every = [control.base**e for e in (control.min, (control.min + control.max) / 2, control.max)]
    else:
        every = [control.min, (control.min + control.max) // 2, control.max]
    every = [value for value in every if value != control.value]
    return every[:: -(-len(every) // 5)]


def picture(view) -> str:
    """What a view shows, as text."""
    figure = view.figure.to_json() if hasattr(view.figure, "to_json") else repr(view.figure)
    return json.dumps([view.summary, figure])


@pytest.mark.parametrize("name", VIEWS)
def test_every_control_moves_the_view_and_back(name, tmp_path):
    view = VIEWS[name](tmp_path)
    first = picture(view)
    for attribute, control in controls(view).items():
        begun, pictures = control.value, []
        for value in others(control):
            control.value = value
            if view.error:
                assert name in REFUSED and re.search(REFUSED[name], view.error), (attribute, value, view.error)
            pictures.append(view.error or picture(view))
        control.value = begun
        assert view.error is None and picture(view) == first, f"{attribute} leaves a trace"
        assert any(shown != first for shown in pictures), f"{attribute} changes nothing"


def draw(size, task):
    if size == 0:
        raise UserError("a bottleneck of size 0 has no weights; take 1 or more")
    return theme.figure().add_bar(x=[task], y=[1 / size]), f"{task}: <{size}>", f"<b>{size}</b>"


@pytest.fixture
def view():
    return base.FigureView(draw, note="below", size=base.slider("size", 4, 0, 9), task=base.choice("task", ["a", "b"]))


def test_a_control_draws_again(view):
    assert view.figure.data[0].y == (0.25,) and view.summary == "a: <4>" and view.note == "<b>4</b>"
    view.size.value = 2
    view.task.value = "b"
    assert view.figure.data[0].y == (0.5,) and view.figure.data[0].x == ("b",) and view.summary == "b: <2>"
    assert view.values == {"size": 2, "task": "b"} and view.note == view.children[-1].value == "<b>2</b>"


def test_the_summary_is_on_the_page(view):
    assert "a: &lt;4&gt;" in view.children[2].value and 'role="status"' in view.children[2].value
    assert view._repr_mimebundle_()["text/plain"] == "a: <4>"
    assert "application/vnd.jupyter.widget-view+json" in view._repr_mimebundle_()


def test_an_error_is_shown_and_kept_until_it_is_mended(view):
    view.size.value = 0
    assert view.error == "a bottleneck of size 0 has no weights; take 1 or more"
    assert "adapterlab-error" in view.children[2].value and "size 0" in view.children[2].value
    view.size.value = 1
    assert view.error is None and "adapterlab-error" not in view.children[2].value


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


def test_a_preset_sets_every_switch_and_draws_once():
    drawn = []

    def draw(n, **on):
        drawn.append((n, *on.values()))
        return None, str(drawn[-1])

    switches = {name: widgets.Checkbox(name == "a") for name in "abc"}
    presets = {"at first": {}, "two": {"b": True, "c": True}, "none": {"a": False}}
    view = base.Presets(draw, switches, presets, label="set", grid={}, n=base.slider("n", 1, 0, 3))
    for name in ("two", "none", "at first"):
        view.preset.value = name
    view.b.value = True
    assert drawn == [(1, True, False, False), (1, True, True, True), (1, False, False, False), (1, True, False, False),
                     (1, True, True, False)]  # fmt: skip
    assert [len(box.children) for box in view.children[:2]] == [2, 3] and view.preset.value == "at first"


def test_sliders_are_of_the_values_kind_and_report_when_let_go():
    assert type(base.slider("n", 1, 0, 3)) is widgets.IntSlider
    assert type(base.slider("x", 1, 0, 1, step=0.1)) is widgets.FloatSlider
    for slider in (base.slider("n", 1, 0, 3), base.select("n", [1, 2], 2), base.power("x", 0.01, -3, 0)):
        assert slider.continuous_update is False and slider.style.description_width == "initial"
    assert base.select("n", [("one", 1), ("two", 2)], 2).value == 2 and base.power("x", 0.01, -3, 0).value == 0.01
