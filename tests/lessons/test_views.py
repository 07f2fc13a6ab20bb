"""Every view: each control through its values, and the numbers that a view says."""

import json
import re

import ipywidgets as widgets
import pytest
from lesson_views import VIEWS

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
        every = [o[1] if isinstance(o, tuple) else o for o in control.options]
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
            assert not view.error or name in REFUSED and re.search(REFUSED[name], view.error), (
                attribute,
                value,
                view.error,
            )
            pictures.append(view.error or picture(view))
        control.value = begun
        assert view.error is None and picture(view) == first, f"{attribute} leaves a trace"
        assert any(shown != first for shown in pictures), f"{attribute} changes nothing"
