"""A row of toggles, one an adapter: what does the model get wrong without it?"""

import html
from collections.abc import Sequence

import ipywidgets as widgets
import pandas as pd
import plotly.graph_objects as go
from torch import Tensor, inf

from ...studies.spans import HALVES, NAMES, Outcome, Pattern, Toggles, half_pattern
from ..kit import view as base
from .figures import margins

MOST = 12  # sentences listed


def sentences(
    before: Tensor, after: Tensor, labels: Tensor, texts: Sequence[str], names: Sequence[str]
) -> pd.DataFrame:
    """One row a sentence: text, label (its true class), before, after (margins of the right class), kind.

    before, after: (rows, classes) logits; labels: (rows,). Above 0 a margin means right. kind: "still right",
    "became wrong", ...
    """

    def margin(logits: Tensor) -> Tensor:
        right = logits.gather(1, labels[:, None])[:, 0]
        return right - logits.scatter(1, labels[:, None], -inf).max(1).values

    right = [(logits.argmax(1) == labels).tolist() for logits in (before, after)]
    kinds = [
        f"{'still' if was == now else 'became'} {'right' if now else 'wrong'}" for was, now in zip(*right, strict=True)
    ]
    table = {"text": list(texts), "label": [names[i] for i in labels.tolist()], "kind": kinds}
    return pd.DataFrame(table | {"before": margin(before).tolist(), "after": margin(after).tolist()})


class Board(base.Presets):
    """2L toggles over a scatter of margins over the sentences that flipped.

    toggles: a `spans.Toggles`; texts, labels: of its sentences, in its order. Controls: `attention_0`,
    `feedforward_0`, ... and `preset`, which sets them all. `outcome` is the last Outcome; `note` lists its sentences.
    """

    def __init__(self, toggles: Toggles, texts: Sequence[str], labels: Sequence[str]):
        self.toggles, self.texts, self.labels = toggles, list(texts), labels
        self.names = [f"{half}_{layer}" for layer in range(toggles.depth) for half in HALVES]
        buttons = {name: widgets.ToggleButton(True, layout={"width": "auto"}) for name in sorted(self.names)}
        for name, button in buttons.items():
            _name(name, button)
            button.observe(lambda change, name=name: _name(name, change["owner"]), "value")
        super().__init__(
            self._combination,
            buttons,
            {what: dict(zip(self.names, pattern, strict=True)) for what, pattern in patterns(toggles.depth).items()},
            label="set all to",
            grid={"grid_template_columns": f"repeat({toggles.depth}, minmax(64px, 110px))", "grid_gap": "2px"},
            note="below",
        )

    def _combination(self, **switches: bool) -> tuple[go.Figure, str, str]:
        every, out = self.toggles(self.toggles.on), self.toggles(switches[name] for name in self.names)
        self.outcome = out
        frame = sentences(every.logits, out.logits, self.toggles.labels, self.texts, self.labels)
        off = [f"{NAMES[HALVES[i % 2]]} {i // 2}" for i, on in enumerate(out.pattern) if not on]
        wrong, right = ((frame["kind"] == kind).sum() for kind in ("became wrong", "became right"))
        scores = f"{100 * out.score:.1f}% ({100 * every.score:.1f}% with every adapter)"
        summary = (
            f"off: {', '.join(off) or 'none'} ({len(off)} of {len(out.pattern)}); accuracy {scores}; "
            f"{len(out.flipped)} of {len(frame)} sentences flipped, {wrong} became wrong, {right} became right"
        )
        return margins(frame, f"Accuracy {scores}"), summary, _note(out, frame, self.toggles.depth)


def patterns(depth: int) -> dict[str, Pattern]:
    """The combinations that one choice sets, for a model with so many layers."""
    lower, upper = 2 * (depth // 2), 2 * (depth - depth // 2)
    return {
        "every adapter on": (True,) * (2 * depth),
        "attention only": half_pattern(depth, "attention"),
        "feed-forward only": half_pattern(depth, "feedforward"),
        "the lower half of the layers": (True,) * lower + (False,) * upper,
        "the upper half of the layers": (False,) * lower + (True,) * upper,
        "every adapter off": (False,) * (2 * depth),
    }


def _note(out: Outcome, frame: pd.DataFrame, depth: int) -> str:
    """HTML: what the outcome cost, and the flipped sentences, those that moved most first."""
    flipped = frame.iloc[out.flipped]
    flipped = flipped.iloc[(flipped["before"] - flipped["after"]).abs().argsort()[::-1]]
    lines = [f"{row.kind}, it is {row.label}: {row.text}" for row in flipped.head(MOST).itertuples()]
    if len(flipped) > MOST:
        lines.append(f"... and {len(flipped) - MOST} more: point at them in the figure")
    cost = "seen before" if not out.layers else f"{out.layers} of {depth} layers ran, {out.seconds:.2f} s"
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines or ["no sentence flipped"])
    return f"<p>{cost}</p><ul>{items}</ul>"


def _name(name: str, button: widgets.ToggleButton) -> None:
    """The state is in the words as well as in the colour, for no screen reader is told a toggle's state."""
    half, layer = name.split("_")
    state = "on" if button.value else "off"
    button.description = f"{half[0].upper()}{layer} {state}"
    button.button_style = "info" if button.value else ""
    button.tooltip = f"the {NAMES[half]} adapter of layer {layer} is {state}"
