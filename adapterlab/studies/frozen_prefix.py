"""A frozen prefix is computed once: with adapters in the upper layers only, the lower layers' outputs are kept.

with Prefix.below(adapters, "upper") as prefix:
    run = fit(model, prefix.cache(train), prefix.cache(validation))

The cache runs the frozen layers in eval mode: the prefix is deterministic, without dropout, also while the layers
above it train with dropout. Without dropout the loss curve is that of training without a cache.
"""

import os
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from ..adapters import Adapters
from ..errors import UserError
from ..lab import move
from ..methods import LayerNormConfig, houlsby
from ..sites import HEADS, find_layers, find_sites
from ..tasks import Encoded, batches

STATES = "prefix_states"


@dataclass(frozen=True, repr=False)
class Cached(Encoded):
    """An encoded split with the hidden states that enter the first layer that is still computed.

    states: (tokens of all rows, width) float32, not padded; starts: where each row begins.
    """

    states: Tensor = field(default_factory=lambda: torch.empty(0, 0))
    starts: list[int] = field(default_factory=list)

    def inputs(self, rows: list[int]) -> dict[str, Tensor]:
        inputs = super().inputs(rows)
        padded = torch.zeros(*inputs["input_ids"].shape, self.states.shape[1])  # (batch, tokens, width)
        for i, row in enumerate(rows):
            length = len(self.ids[row])
            padded[i, :length] = self.states[self.starts[row] : self.starts[row] + length]
        return inputs | {STATES: padded}


class Prefix:
    """The lowest `depth` layers of an encoder, computed once for each split.

    Within the `with` block the model takes the batches of `cache`'s splits: their hidden states enter at layer `depth`
    and the layers below hand on what they get, for the length of that forward pass. Other inputs, and the model after
    the block, are as ever. For models with one stack of layers (BERT, RoBERTa, DistilBERT, MPNet, DeBERTa, ...).
    memory_mb: splits up to this size are kept in memory, larger ones in a temporary file (gone after the block).
    disk_mb: the most that such files may take. Errors: UserError for a depth outside the model, or above the bounds.
    """

    def __init__(self, model: nn.Module, depth: int, memory_mb: float = 2000, disk_mb: float = 20000):
        layers = find_layers(model)
        if {name.split(".")[0] for name in layers} != {"layers"}:
            raise UserError(f'a "{model.config.model_type}" has no single stack of layers, so no prefix to cache')
        if not isinstance(depth, int) or not 0 < depth < len(layers):
            raise UserError(f"a prefix of {depth} layers cannot be cached; give 1 to {len(layers) - 1}")
        modules = [model.get_submodule(path) for path in layers.values()]
        self.model, self.depth, self.lower, self.upper = model, depth, modules[:depth], modules[depth:]
        self.bounds, self.on_disk = (memory_mb, disk_mb), 0.0
        self.folder: str | None = None
        self.states: Tensor | None = None  # of the batch that is under way, (batch, tokens, width)
        self.extra: int | None = None  # a layer puts out a tensor (None), or a tuple with so many more
        self.block: ExitStack | None = None

    @classmethod
    def below(cls, adapters: Adapters, name: str, **bounds) -> "Prefix":
        """The layers below an adapter's lowest site."""
        sites = [adapters.sites[site] for site in adapters[name].at]
        early = [s.name for s in sites if s.layer in (None, 0) and s.kind not in HEADS]
        if early:
            raise UserError(f'adapter "{name}" begins at {early[0]}: no layer below it is left to cache')
        levels = [s.layer for s in sites if s.layer is not None]
        return cls(adapters.model, min(levels, default=len(find_layers(adapters.model)) - 1), **bounds)

    def __enter__(self) -> "Prefix":
        self.block = ExitStack()
        self.block.callback(self.model.register_forward_pre_hook(self._take, with_kwargs=True).remove)
        self.block.callback(self.model.register_forward_hook(self._release, always_call=True).remove)
        return self

    def __exit__(self, *error) -> None:
        if self.block is not None:
            self.block.close()
        self.block, self.folder, self.on_disk = None, None, 0.0

    def _take(self, model, args, kwargs):
        self.states = kwargs.pop(STATES, None)
        if self.states is not None:
            self._aside(self.lower)
        return args, kwargs

    def _release(self, *_) -> None:
        self.states = None
        for layer in (*self.lower, *self.upper):
            layer.__dict__.pop("forward", None)

    def _aside(self, layers: list[nn.Module]) -> None:
        """These layers hand on the known states, or what they get, in the form in which they hand on what they make."""

        def forward(hidden_states, *_, **__):
            states = hidden_states if self.states is None else self.states
            return states if self.extra is None else (states, *[None] * self.extra)

        for layer in layers:
            layer.forward = forward

    @torch.no_grad()
    def cache(self, data: Encoded, batch_size: int = 64) -> Cached:
        """Compute the prefix of every row; what comes back takes the place of `data` in fit, predict and evaluate."""
        if self.block is None:
            raise UserError("a prefix works inside its `with` block; write `with Prefix(...) as prefix:`")
        lengths = data.lengths
        starts = [0, *torch.tensor(lengths).cumsum(0).tolist()]
        kept = self._room(starts[-1], self.model.config.get_text_config().hidden_size)
        was, device, rows = self.model.training, next(self.model.parameters()).device, []

        def keep(layer, args, output):
            self.extra = len(output) - 1 if isinstance(output, tuple) else None
            states = output if self.extra is None else output[0]  # (batch, tokens, width)
            for i, row in enumerate(rows):
                kept[starts[row] : starts[row + 1]] = states[i, : lengths[row]].float()

        handle = self.lower[-1].register_forward_hook(keep)
        self.model.eval()
        try:
            for inputs, _, numbers in batches(data, batch_size):
                rows = numbers.tolist()
                self._aside(self.upper)
                self.model(**move(inputs, device))
        finally:
            handle.remove()
            self.model.train(was)
        same = {f.name: getattr(data, f.name) for f in fields(Encoded)}
        return Cached(**same, states=kept, starts=starts[:-1])

    def _room(self, tokens: int, width: int) -> Tensor:
        size, (memory, disk) = tokens * width * 4 / 1e6, self.bounds
        if size <= memory:
            return torch.empty(tokens, width)
        if self.on_disk + size > disk:
            raise UserError(
                f"the cached prefix would take {size:,.0f} MB and the bounds are {memory:,.0f} MB in memory and "
                f"{disk:,.0f} MB on disk; use fewer rows, or raise memory_mb or disk_mb"
            )
        if self.folder is None and self.block is not None:
            temporary = TemporaryDirectory(prefix="adapterlab-", ignore_cleanup_errors=True)
            self.folder = self.block.enter_context(temporary)
        path = f"{self.folder}/{len(os.listdir(self.folder))}.states"
        self.on_disk += size
        return torch.from_file(path, shared=True, size=tokens * width).view(tokens, width)


def upper_houlsby(model: nn.Module, first: int, size: int = 64, **settings) -> tuple:
    """The recipe of Houlsby et al. 2019 from layer `first` upwards: bottlenecks and LayerNorms of these alone."""
    sites = find_sites(model)
    layers = tuple(range(first, 1 + max(s.layer for s in sites.values() if s.layer is not None)))
    norms = tuple(s.name for s in sites.values() if s.kind == "norm" and s.layer is not None and s.layer >= first)
    if not layers or first < 0:
        raise UserError(f"layer {first} is outside this model; there is none to adapt from it upwards")
    bottlenecks, _ = houlsby(size, layers=layers, **settings)
    return bottlenecks, LayerNormConfig(sites=norms)
