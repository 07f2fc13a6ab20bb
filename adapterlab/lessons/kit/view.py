"""The view that every widget of the book is: some controls, a figure, one line of text.

def budget(size, layers):                # pure: values in, (figure, summary) out
    return plots.budget(count(size, layers)), f"{size} x {layers}: 1.2% of the model is trained"

view = FigureView(budget, size=slider("bottleneck size", 64, 1, 256), layers=choice("layers", [6, 12]))
view.size.value = 8                      # what a test does; then view.figure, view.summary, view.error
"""

import base64
import html
import os
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
from IPython import get_ipython
from IPython.display import display

from ...errors import UserError

LABEL = {"description_width": "initial"}
WIDE = widgets.Layout(width="480px")
ROW = {"flex_flow": "row wrap", "grid_gap": "4px 16px"}


class FigureView(widgets.VBox):
    """Controls over a figure over a one-line summary; the figure is drawn again at every change.

    draw: called with every control's value by name, returns (figure, summary) or (figure, summary, note). figure: a
        plotly Figure, anything else that displays, or None; summary: one line for screen readers and for tests;
        note: HTML.
    height: pixels kept for the figure, so that the page does not jump.
    press: the name of a Button among the controls; when given, only its click draws again.
    note: where the note is shown, "above" the figure or "below" the summary; None: there is none.
    controls: ipywidgets by name; each is an attribute of the view.

    After each drawing `.figure`, `.summary`, `.note` and `.error` hold what is shown. An exception in a callback would
    vanish (no cell is running): here it becomes a sentence in the view and in `.error`, which is None when all
    is well. The first drawing happens in the cell and raises as usual.
    """

    def __init__(
        self,
        draw: Callable[..., tuple],
        *,
        height: int = 480,
        press: str | None = None,
        note: str | None = None,
        **controls: widgets.Widget,
    ):
        self._draw = draw
        self._controls = controls
        self.figure, self.summary, self.error = None, "", None
        self._out = widgets.Output(layout={"min_height": f"{height + 20}px" if height else "0px"})
        self._line, self._note = widgets.HTML(), widgets.HTML()
        self._line.add_class("adapterlab-summary")
        row = widgets.HBox(list(controls.values()), layout=ROW)
        above, below = ([self._note] if note == where else [] for where in ("above", "below"))
        super().__init__([row, *above, self._out, self._line, *below])
        self.add_class("adapterlab-view")
        for name, control in controls.items():
            if hasattr(type(self), name):
                raise ValueError(f'a control cannot be called "{name}": a box has an attribute of that name')
            setattr(self, name, control)
            if isinstance(control, widgets.Button):
                control.on_click(lambda _: self.refresh())
            elif press is None:
                control.observe(lambda _: self.refresh(), "value")
        self.show(*self._draw(**self.values))

    @property
    def note(self) -> str:
        """The note's HTML."""
        return self._note.value

    @property
    def values(self) -> dict:
        """Every control's value by name (buttons have none)."""
        return {n: c.value for n, c in self._controls.items() if not isinstance(c, widgets.Button)}

    def refresh(self) -> None:
        """Draw again from the controls; an exception is shown and kept in `.error`."""
        try:
            self.show(*self._draw(**self.values))
        except Exception as error:
            text = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            self.error = " ".join(text.split())
            self._line.value = f'<span class="adapterlab-error" role="alert">{html.escape(self.error)}</span>'

    def show(self, figure: Any, summary: str, note: str = "") -> None:
        """Put a figure, its one-line summary and a note into the view."""
        self.figure, self.summary, self.error = figure, summary, None
        self._note.value = note
        self._line.value = f'<span role="status">{html.escape(summary)}</span>'
        if get_ipython() is None:
            return
        with self._out:
            self._out.clear_output(wait=figure is not None)
            if figure is None:
                return
            if _authoring() and hasattr(figure, "to_image"):
                figure.show(renderer="plotly_mimetype")
            else:
                display(figure)

    def _repr_mimebundle_(self, **kwargs):
        """The live view; its summary as text; and a picture of the figure while a notebook is being authored."""
        bundle = super()._repr_mimebundle_(**kwargs)
        bundle["text/plain"] = self.summary
        if _authoring() and hasattr(self.figure, "to_image"):
            bundle["image/png"] = base64.b64encode(self.figure.to_image(format="png")).decode()
        return bundle


class Presets(FigureView):
    """A view with many switches in a grid, and a dropdown `.preset` that sets them all and draws once.

    draw, more: as FigureView's. switches: the controls of the grid; the others stand in the row beside the dropdown.
    presets: name -> {switch: value}; a switch that it leaves out goes back to what it was at first.
    label: of the dropdown; begin: the preset that names the switches' first values (None: the first one).
    grid: CSS of the grid, as {"grid_template_columns": ...}.
    """

    def __init__(
        self,
        draw: Callable[..., tuple],
        switches: dict[str, widgets.Widget],
        presets: dict[str, dict[str, Any]],
        *,
        label: str,
        grid: dict[str, str],
        begin: str | None = None,
        **more,
    ):
        self._switches, self._waiting = switches, False
        self._first = {name: switch.value for name, switch in switches.items()}
        super().__init__(draw, **more, **switches)
        self.preset = choice(label, list(presets), begin)
        self.preset.observe(lambda change: self.set(presets[change["new"]]), "value")
        beside = [control for name, control in self._controls.items() if name not in switches]
        row, board = (
            widgets.HBox([self.preset, *beside], layout=ROW),
            widgets.GridBox(list(switches.values()), layout=grid),
        )
        self.children = (row, board, *self.children[1:])

    def set(self, values: dict[str, Any]) -> None:
        """Set every switch, those not named to what they were at first, and draw once."""
        self._waiting = True
        try:
            for name, switch in self._switches.items():
                switch.value = values.get(name, self._first[name])
        finally:
            self._waiting = False
        self.refresh()

    def refresh(self) -> None:
        """Draw again, unless more switches are about to be set."""
        if not self._waiting:
            super().refresh()


def accuracy(values: Sequence[float], source: str, unit: str = "run") -> str:
    """ "81.0% (recorded, 2 runs)": the mean of accuracies in %, where they come from, and how many they are."""
    return f"{sum(values) / len(values):.1f}% ({source}, {len(values)} {unit}{'s' * (len(values) != 1)})"


def slider(label: str, value: float, low: float, high: float, step: float | None = None, **more) -> widgets.Widget:
    """A slider with its whole label, float or integer by its values; it reports when the handle is let go."""
    kind = widgets.FloatSlider if any(isinstance(v, float) for v in (value, low, high, step)) else widgets.IntSlider
    step = {} if step is None else {"step": step}
    return kind(value, min=low, max=high, **step, **_sliding(label), **more)


def select(label: str, options, value=None, **more) -> widgets.SelectionSlider:
    """A slider over a few values (or (text, value) pairs); the first one unless `value` says otherwise."""
    given = {} if value is None else {"value": value}
    return widgets.SelectionSlider(options=options, **given, **_sliding(label), **more)


def power(label: str, value: float, low: float, high: float, step: float = 0.5) -> widgets.FloatLogSlider:
    """A slider over powers of ten. low, high, step: exponents; value: the number itself."""
    return widgets.FloatLogSlider(value, min=low, max=high, step=step, readout_format=".0e", **_sliding(label))


def checkbox(label: str, value: bool = True) -> widgets.Checkbox:
    """A box to tick, with its whole label."""
    return widgets.Checkbox(value, description=label, style=LABEL, indent=False)


def choice(label: str, options, value=None, **more) -> widgets.Dropdown:
    """A dropdown with its whole label; the first option unless `value` says otherwise."""
    given = {} if value is None else {"value": value}
    return widgets.Dropdown(options=options, description=label, style=LABEL, **given, **more)


def toggles(label: str, options, value=None, **more) -> widgets.ToggleButtons:
    """A row of buttons of which one is pressed."""
    given = {} if value is None else {"value": value}
    return widgets.ToggleButtons(options=options, description=label, style=LABEL, **given, **more)


def text(label: str, value: str = "", **more) -> widgets.Text:
    """A line of text that reports at Enter."""
    return widgets.Text(value, description=label, style=LABEL, layout=WIDE, continuous_update=False, **more)


def area(label: str, placeholder: str = "") -> widgets.Textarea:
    """Several lines of text that report when the box is left."""
    layout = {"width": "860px", "height": "90px"}
    return widgets.Textarea(
        "", placeholder=placeholder, description=label, style=LABEL, layout=layout, continuous_update=False
    )


def button(label: str, **more) -> widgets.Button:
    """A button; every press draws the view again."""
    return widgets.Button(description=label, **more)


def _sliding(label: str) -> dict:
    """What all sliders share: the whole label, a fixed width, and a report only when the handle is let go."""
    return {"description": label, "style": LABEL, "layout": WIDE, "continuous_update": False}


def _authoring() -> bool:
    """True while a notebook is executed to be committed: then, and only then, a PNG can be made."""
    return "png" in os.environ.get("PLOTLY_RENDERER", "")
