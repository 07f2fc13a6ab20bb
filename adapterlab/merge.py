"""Merging: an adapter's effect written into the frozen weights, where that is exact, and taken out again.

A merged adapter costs nothing: there is no module and no hook left to run. It is exact for what is linear in x (LoRA
and its relatives, OFT, (IA)^3, BitFit, LayerNorm tuning, a head); a bottleneck has an activation inside and can not be
merged.
Unmerging puts back the original tensors, which are kept: subtracting what was added would not be exact in floats.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn

from . import compose
from .errors import UserError
from .methods import Change
from .quantize import matrix, quantized, sharers, write
from .sites import Site

if TYPE_CHECKING:
    from .adapters import Adapters


def merge(adapters: "Adapters", name: str) -> None:
    """Write adapter `name` into the weights of the model; it is then no longer active, but its effect is there.

    A head that pools the encoder's states itself is nothing that the model's own maps can take in: it stays attached,
    and the adapter active for its sake.
    Every weight is computed before the first is written. Errors: UserError for a method that has no exact merge, a
    linear map without the bias that would be needed, a quantized one, a model in training mode, and a second merge.
    """
    adapter = adapters[name]
    if adapters.merged is not None:
        raise UserError(f'"{adapters.merged}" is merged into this model already; unmerge it first')
    if not adapters.attached:
        raise UserError("these adapters are detached; attach them before merging one")
    if adapters.model.training:
        raise UserError(f'"{name}" cannot be merged while the model is in training mode; call model.eval() first')
    if where := adapters.in_use(name):
        raise UserError(f'"{name}" is in use in {where}; merge it after the block')
    with torch.no_grad():
        plan = _plan(adapters, name)
    adapters.originals = {
        path: (module.weight.detach().clone(), None if module.bias is None else module.bias.detach().clone())
        for path, (module, _, _) in plan.items()
    }
    for module, weight, bias in plan.values():
        write(module, weight, bias)
    adapters.merged = name
    if adapter.info.pools:
        adapters.setup = name
    elif name in compose.names(adapters.setup):
        adapters.setup = None
    adapters.tell_labels()


def merge_and_unload(adapters: "Adapters", name: str) -> nn.Module:
    """The model with an adapter in its weights and nothing attached; the original weights are forgotten."""
    if (info := adapters[name].info).head and info.pools:
        raise UserError(
            f'the head of "{name}" takes the {info.head.pooling} of the encoder\'s states, which a '
            f"{type(adapters.model).__name__} does not do by itself; merge() keeps that head attached, and a head "
            'that was trained with pooling="model" goes into the weights'
        )
    merge(adapters, name)
    adapters.setup = None
    adapters._silent = []  # its labels stay
    adapters.merged, adapters.originals = None, {}
    return adapters.detach()


def unmerge(adapters: "Adapters") -> None:
    """Put the original weights back, bit for bit. UserError when nothing is merged."""
    if adapters.merged is None:
        raise UserError("nothing is merged into this model")
    with torch.no_grad():
        for path, tensors in adapters.originals.items():
            module = adapters.model.get_submodule(path)
            for parameter, value in zip((module.weight, module.bias), tensors, strict=True):
                if value is not None:
                    parameter.copy_(value)
    if adapters.setup == adapters.merged:  # its head had stayed
        adapters.setup = None
    adapters.merged, adapters.originals = None, {}
    adapters.tell_labels()


Plan = dict[str, tuple[nn.Module, torch.Tensor, torch.Tensor | None]]  # path -> (frozen module, its new W, its new b)


def new_weights(adapters: "Adapters", name: str, without: Iterable[nn.Module] = (), double: bool = False) -> Plan:
    """What would stand in the weights. What scales a map's input comes after what changes it.

    without: modules of the adapter that are left out. double: in 64 bits, for the sake of differences.
    """
    adapter, left_out = adapters[name], set(without)
    sites = sorted((adapters.sites[site] for site in adapter.at), key=lambda site: site.form == "hidden")
    plan: Plan = {}
    for site in sites:
        frozen = adapters.model.get_submodule(site.module)
        for method in (method for method in adapter.at[site.name] if method not in left_out):
            _refuse(name, site, frozen, method, first=site.module not in plan)
            _, weight, bias = plan.get(site.module) or (frozen, *tensors(frozen))
            dtype = torch.promote_types(weight.dtype, next(method.parameters()).dtype)
            dtype = torch.float64 if double else dtype
            weight, bias = method.merged(weight.to(dtype), None if bias is None else bias.to(dtype))
            if weight.shape != tensors(frozen)[0].shape:
                raise UserError(
                    f'"{name}" has a head for {len(weight)} labels and the model\'s own has '
                    f"{len(tensors(frozen)[0])}: load the model with labels={len(weight)} to merge it"
                )
            plan[site.module] = frozen, weight, bias
    return plan


def _plan(adapters: "Adapters", name: str) -> Plan:
    """The new weights, but for a head that pools; UserError where another module would change too."""
    adapter = adapters[name]
    plan = new_weights(adapters, name, [adapter.at["head"][-1]] if adapter.info.pools and "head" in adapter.at else ())
    for path, (frozen, *new) in plan.items():
        for key, value, old in zip(("weight", "bias"), new, tensors(frozen), strict=True):
            if value is not None and not torch.equal(value, old) and (others := sharers(adapters.model, frozen, key)):
                raise UserError(
                    f'"{name}" cannot be merged: "{path}" shares its {key} with "{others[0]}", which would change too; '
                    f"keep it attached, or untie the two first: model.{path}.{key} = "
                    f"torch.nn.Parameter(model.{path}.{key}.clone()); model.config.tie_word_embeddings = False"
                )
    return plan


def tensors(frozen: nn.Module) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(W as (outputs, inputs) or a norm's scale, b)."""
    return (frozen.weight if frozen.weight.ndim == 1 else matrix(frozen)), getattr(frozen, "bias", None)


def _refuse(name: str, site: Site, frozen: nn.Module, method: Change, first: bool) -> None:
    """UserError where a method cannot go into the frozen weights; first: it is the first one there."""
    kind = type(method).__name__
    inward = site.form == "hidden" and not method.reads  # y is the map's input, and it changes more
    if not method.merges or getattr(frozen, "weight", None) is None or inward:
        raise UserError(
            f'"{name}" cannot be merged: {kind} at "{site.name}" is not a change of the weights alone; keep it attached'
        )
    if quantized(frozen):
        raise UserError(
            f'"{name}" cannot be merged into the quantized weights at "{site.name}"; load the model in full precision'
        )
    if method.needs_bias and getattr(frozen, "bias", None) is None:
        raise UserError(f'"{name}" cannot be merged: "{site.name}" has no bias that could hold what {kind} adds')
    if method.frozen and not first:
        raise UserError(f'"{name}" cannot be merged: {kind} at "{site.name}" must be the first method there')
