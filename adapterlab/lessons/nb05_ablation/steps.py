"""The bundled model in the pieces that 05's learner works with: its adapters by layer, and one layer at a time."""

import math

import torch
from torch import Tensor

from ...adapters import Adapters
from ...studies.spans import Switches, compare


def layers_of(adapters: Adapters, name: str, norms: bool = False) -> dict[str, int]:
    """Site -> layer, for what an ablation takes out; norms: the trained LayerNorms too."""
    return {site: switch // 2 for site, switch in Switches(adapters, name, norms).switch.items()}


class Steps:
    """One batch, a layer at a time: `x` goes into layer 0, and `steps(k, h, on)` is what layer k makes of h.

    on: whether the layer has its adapters. calls: layers evaluated so far. `logits(h)`: what embeddings and head make
    of the last layer's output h, (rows, tokens, width).
    """

    def __init__(self, adapters: Adapters, name: str, inputs: dict[str, Tensor], norms: bool = False):
        self.switches, self.inputs, self.calls = Switches(adapters, name, norms), inputs, 0
        self.on = (True,) * (2 * self.switches.depth)
        adapters.model.eval()
        before = self.switches.layers[0].register_forward_pre_hook(self._note, with_kwargs=True)
        self.switches.forward(inputs, self.on, [])
        before.remove()

    def _note(self, layer, args, kwargs):
        (self.x, *self.args), self.kwargs = args, kwargs

    @torch.no_grad()
    def __call__(self, k: int, h: Tensor, on: bool) -> Tensor:
        self.calls += 1
        with self.switches.off(self.on if on else (False,) * len(self.on)):
            output = self.switches.layers[k](h, *self.args, **self.kwargs)
        return output[0] if isinstance(output, tuple) else output

    def logits(self, h: Tensor) -> Tensor:
        return self.switches.forward(self.inputs, self.on, [h] * self.switches.depth)


def against(one: Tensor, other: Tensor, labels: Tensor) -> str:
    """ "-1.2 ± 0.9 points: told apart": accuracy of `other` less that of `one`, both (rows, classes) logits of the same
    rows, with McNemar's 95% interval (`spans.compare`), and what telling apart would take.
    """
    row = compare(one, other, labels)
    points, half = 100 * (row["score"] - row["intact"]), 196 * row["error"]
    if abs(points) > half:
        return f"{points:+.1f} ± {half:.1f} points: told apart"
    rows = f"; it would take {len(labels) * (half / points) ** 2:,.0f} sentences, if it is real" if points else ""
    return f"{points:+.1f} ± {half:.1f} points: not told apart{rows if not math.isnan(half) else ''}"
