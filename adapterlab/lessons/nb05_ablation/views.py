"""A row of toggles, one an adapter: what does the model get wrong without it?"""

import html

import ipywidgets as widgets
import pandas as pd
import torch

from ...studies.spans import HALVES, NAMES, Outcome, Toggles, half_pattern
from ..kit import view as base
from . import figures as plots

MOST = 12  # sentences listed


def sentences(before: torch.Tensor, after: torch.Tensor, labels: torch.Tensor, texts, names) -> pd.DataFrame:
    """One row a sentence: text, label (its true class), before, after (margins of the right class), kind.

    before, after: (rows, classes) logits. Above 0 a margin means right. kind: "still right", "became wrong", ...
    """

    def margin(logits):
        right = logits.gather(1, labels[:, None])[:, 0]
        return right - logits.scatter(1, labels[:, None], -torch.inf).max(1).values

    right = [logits.argmax(1) == labels for logits in (before, after)]
    kinds = {(1, 1): "still right", (0, 0): "still wrong", (1, 0): "became wrong", (0, 1): "became right"}
    return pd.DataFrame(
        {
            "text": list(texts),
            "label": [names[i] for i in labels.tolist()],
            "before": margin(before).tolist(),
            "after": margin(after).tolist(),
            "kind": [kinds[int(a), int(b)] for a, b in zip(*right, strict=True)],
        }
    )


class Board(base.FigureView):
    """2L toggles over a scatter of margins over the sentences that flipped.

    toggles: an `ablation.Toggles`; texts, labels: of its sentences, in its order. Controls: `attention_0`,
    `feedforward_0`, ... and `preset`, which sets them all. `outcome` is the last Outcome, `flipped` the text of the list.
    """

    def __init__(self, toggles: Toggles, texts, labels):
        self.toggles, self.texts, self.labels = toggles, list(texts), labels
        self._list, self.flipped, self._held = widgets.HTML(), "", False
        depth = toggles.depth
        buttons = {
            f"{half}_{layer}": widgets.ToggleButton(True, layout={"width": "auto"})
            for half in HALVES
            for layer in range(depth)
        }
        for name, button in buttons.items():
            _say(name, button)
            button.observe(lambda change, name=name: _say(name, change["owner"]), "value")
        super().__init__(self._combination, height=480, **buttons)
        presets = {
            "every adapter on": toggles.on,
            "attention only": half_pattern(depth, "attention"),
            "feed-forward only": half_pattern(depth, "feedforward"),
            "the lower half of the layers": (True,) * (2 * (depth // 2)) + (False,) * (2 * (depth - depth // 2)),
            "the upper half of the layers": (False,) * (2 * (depth // 2)) + (True,) * (2 * (depth - depth // 2)),
            "every adapter off": (False,) * (2 * depth),
        }
        self.preset = base.choice("set all to", list(presets.items()))
        self.preset.observe(lambda change: self.set(change["new"]), "value")
        grid = widgets.GridBox(
            list(buttons.values()),
            layout={"grid_template_columns": f"repeat({depth}, minmax(64px, 110px))", "grid_gap": "2px"},
        )
        self.children = (self.preset, grid, *self.children[1:], self._list)

    @property
    def pattern(self) -> tuple[bool, ...]:
        """The switches as `Toggles` takes them: attention 0, feed-forward 0, attention 1, ..."""
        return self._pattern(self.values)

    def set(self, pattern) -> None:
        """Put all toggles at once, and score once."""
        self._held = True
        try:
            for i, on in enumerate(pattern):
                getattr(self, f"{HALVES[i % 2]}_{i // 2}").value = on
        finally:
            self._held = False
        self.refresh()

    def refresh(self) -> None:
        if not self._held:
            super().refresh()

    def _pattern(self, switches: dict) -> tuple[bool, ...]:
        return tuple(switches[f"{half}_{layer}"] for layer in range(self.toggles.depth) for half in HALVES)

    def _combination(self, **switches):
        out: Outcome = self.toggles(self._pattern(switches))
        every = self.toggles(self.toggles.on)
        frame = sentences(every.logits, out.logits, self.toggles.labels, self.texts, self.labels)
        off = [f"{NAMES[HALVES[i % 2]]} {i // 2}" for i, on in enumerate(out.pattern) if not on]
        wrong, right = ((frame["kind"] == kind).sum() for kind in ("became wrong", "became right"))
        flips = len(out.flipped)
        summary = (
            f"off: {', '.join(off) or 'none'} ({len(off)} of {len(out.pattern)}); accuracy {100 * out.score:.1f}% "
            f"({100 * every.score:.1f}% with every adapter); {flips} of {len(frame)} sentences flipped, {wrong} became "
            f"wrong, {right} became right"
        )
        self.outcome = out
        self._show_flipped(frame.iloc[out.flipped], out)
        title = f"Accuracy {100 * out.score:.1f}%, with every adapter {100 * every.score:.1f}%"
        return plots.margins(frame, title), summary

    def _show_flipped(self, frame: pd.DataFrame, out: Outcome) -> None:
        """The flipped sentences, those that moved most first."""
        frame = frame.iloc[(frame["before"] - frame["after"]).abs().argsort()[::-1]]
        lines = [f"{row.kind}, it is {row.label}: {row.text}" for row in frame.head(MOST).itertuples()]
        if len(frame) > MOST:
            lines.append(f"... and {len(frame) - MOST} more: point at them in the figure")
        self.flipped = "\n".join(lines) or "no sentence flipped"
        cost = (
            "seen before" if not out.layers else f"{out.layers} of {self.toggles.depth} layers ran, {out.seconds:.2f} s"
        )
        items = "".join(f"<li>{html.escape(line)}</li>" for line in self.flipped.splitlines())
        self._list.value = f"<p>{cost}</p><ul>{items}</ul>"


def _say(name: str, button: widgets.ToggleButton) -> None:
    """The state is in the words as well as in the colour, for no screen reader is told a toggle's state."""
    half, layer = name.split("_")
    state = "on" if button.value else "off"
    button.description = f"{half[0].upper()}{layer} {state}"
    button.button_style = "info" if button.value else ""
    button.tooltip = f"the {NAMES[half]} adapter of layer {layer} is {state}"
