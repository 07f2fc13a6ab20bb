"""A frozen prefix is computed once: with adapters in the upper layers only, the lower layers' outputs are kept.

with Prefix.below(adapters, "upper") as prefix:
    run = fit(model, prefix.cache(train), prefix.cache(validation))

The cache runs the frozen layers in eval mode: the prefix is deterministic, without dropout, also while the layers
above it train with dropout. Without dropout the loss curve is that of training without a cache.
"""

from contextlib import ExitStack
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ..adapters import Adapters
from ..errors import UserError
from ..lab import move
from ..sites import HEADS, find_layers
from ..tasks import Encoded, batches
from .spans import standing_in

STATES = "prefix_states"


@dataclass(frozen=True, repr=False)
class Cached(Encoded):
    """An encoded split with the hidden states that enter the first layer that is still computed.

    states: each row's, (tokens, width) float32, not padded.
    """

    states: list[Tensor] = field(default_factory=list)

    def inputs(self, rows: list[int]) -> dict[str, Tensor]:
        states = pad_sequence([self.states[row] for row in rows], batch_first=True)  # (batch, tokens, width)
        return super().inputs(rows) | {STATES: states}


class Prefix:
    """The lowest `depth` layers of an encoder, computed once for each split.

    Within the `with` block the model takes the batches of `cache`'s splits: their hidden states enter at layer `depth`,
    and the layers below hand them on instead of running, for the length of that forward pass. Other inputs, and the
    model after the block, are as ever. For models with one stack of layers (BERT, RoBERTa, DistilBERT, MPNet, ...).
    Errors: UserError for several stacks and for a depth outside the model.
    """

    def __init__(self, model: nn.Module, depth: int):
        layers = find_layers(model)
        if {name.split(".")[0] for name in layers} != {"layers"}:
            raise UserError(f'a "{model.config.model_type}" has no single stack of layers, so no prefix to cache')
        if not isinstance(depth, int) or not 0 < depth < len(layers):
            raise UserError(f"a prefix of {depth} layers cannot be cached; give 1 to {len(layers) - 1}")
        modules = [model.get_submodule(path) for path in layers.values()]
        self.model, self.depth, self.lower, self.upper = model, depth, modules[:depth], modules[depth:]
        self.extra: int | None = None  # a layer puts out a tensor (None), or a tuple with so many more
        self.block, self.forward_pass = ExitStack(), ExitStack()
        self.open = False

    @classmethod
    def below(cls, adapters: Adapters, name: str) -> "Prefix":
        """The layers below an adapter's lowest site."""
        sites = [adapters.sites[site] for site in adapters[name].at]
        early = [s.name for s in sites if s.layer in (None, 0) and s.kind not in HEADS]
        if early:
            raise UserError(f'adapter "{name}" begins at {early[0]}: no layer below it is left to cache')
        levels = [s.layer for s in sites if s.layer is not None]
        return cls(adapters.model, min(levels, default=len(find_layers(adapters.model)) - 1))

    def __enter__(self) -> "Prefix":
        self.block.callback(self.model.register_forward_pre_hook(self._take, with_kwargs=True).remove)
        release = self.model.register_forward_hook(lambda *_: self.forward_pass.close(), always_call=True)
        self.block.callback(release.remove)
        self.open = True
        return self

    def __exit__(self, *error) -> None:
        self.block.close()
        self.open = False

    def _take(self, model, args, kwargs):
        states = kwargs.pop(STATES, None)
        if states is not None:
            output = states if self.extra is None else (states, *[None] * self.extra)
            self.forward_pass.enter_context(standing_in(self.lower, lambda *_, **__: output))
        return args, kwargs

    @torch.no_grad()
    def cache(self, data: Encoded, batch_size: int = 64) -> Cached:
        """Compute the prefix of every row; what comes back takes the place of `data` in fit, predict and evaluate."""
        if not self.open:
            raise UserError("a prefix works inside its `with` block; write `with Prefix(...) as prefix:`")
        was, device, outputs = self.model.training, next(self.model.parameters()).device, []
        kept: list[Tensor] = [torch.empty(0)] * len(data)
        handle = self.lower[-1].register_forward_hook(lambda layer, args, output: outputs.append(output))
        self.model.eval()
        try:
            with standing_in(self.upper, lambda *_, **__: outputs[-1]):
                for inputs, _, rows in batches(data, batch_size):
                    self.model(**move(inputs, device))
                    output = outputs.pop()
                    self.extra = len(output) - 1 if isinstance(output, tuple) else None
                    states = (output if self.extra is None else output[0]).float().cpu()  # (batch, tokens, width)
                    for row, state in zip(rows.tolist(), states, strict=True):
                        kept[row] = state[: len(data.ids[row])].clone()
        finally:
            handle.remove()
            self.model.train(was)
        return Cached(**{f.name: getattr(data, f.name) for f in fields(Encoded)}, states=kept)
