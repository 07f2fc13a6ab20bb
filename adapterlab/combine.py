"""Merging adapters into a new one, by their weights. What comes out is one adapter, as fast as any.

Only a LoRA is linear in its change of the frozen matrix, s B A: the sum of several is a LoRA again, of the summed rank
("concatenate"). Everything else here is an approximation, useful or not, and `distance` says how far it is off.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from .adapter import Adapter, Info
from .errors import UserError, suggest
from .methods import Bottleneck, Change, DoRA, HeadConfig, LoRA, LoRAConfig, Method, Scale, ScaleShift, Shift
from .quantize import matrix

if TYPE_CHECKING:
    from .adapters import Adapters

Parts = Mapping[str, float] | Sequence[str]  # adapters with their weights; or their names, for the mean
WAYS = ("linear", "concatenate", "svd", "ties", "dare")


@torch.no_grad()
def combine(
    adapters: "Adapters",
    name: str,
    parts: Parts,
    way: str = "linear",
    *,
    rank: int | None = None,
    density: float = 0.2,
    seed: int = 0,
    head: str | None = "average",
) -> Adapter:
    """Add an adapter made of the weights of others.

    parts: adapter -> weight; or names, for equal weights that sum to 1. A negative weight takes away what the adapter
    does (task arithmetic: Ilharco et al. 2023; for LoRA and (IA)^3 Zhang et al. 2023).
    way: "linear" - every tensor is the weighted sum of the parts' (weights that sum to 1: the mean, as in AdapterSoup,
    Chronopoulou et al. 2023). B A is then not the sum of the parts' B A: it has cross terms.
    "concatenate" - LoRA only: B and A side by side, the exact weighted sum; the ranks add up.
    "svd" - LoRA only: the nearest matrix to that sum of `rank` (default: the largest of the parts').
    "ties" - Yadav et al. 2023: of each change keep the largest `density`, elect a sign for every value, and take the
    weighted mean of those that agree, times the sum of the weights (the paper's lambda).
    "dare" - Yu et al. 2024: keep a random `density`, scaled by 1 / density, and add up.
    Both work on a LoRA's B A, brought to `rank` again (default: the sum of the parts'), and on the tensors of all else.
    seed: of "dare". head: "average" of the parts' heads, the name of the part whose head is taken, or None for none.
    Errors: UserError for parts that do not fit together; nothing is then added.
    """
    adapters.claim(name)
    adapters.free()
    weights = _weights(parts, way, density)
    members = {part: adapters[part] for part in weights}
    recipe = _recipe(members, way, rank)
    answer = _head(members, weights, head)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = Adapter(Info(recipe + ((answer[0],) if answer else ())), adapters.sites)
        adapter.bind(adapters, new=True)
        adapter.to(next(adapters.model.parameters()).device)
        _fill(adapter, [(members[part], w) for part, w in weights.items()], way, density)
    if answer:
        adapter.head_parts.load_state_dict(answer[1])
    return adapters.insert(name, adapter)


def _shares(parts: Parts) -> dict[str, float]:
    """Adapter -> its weight."""
    return dict(parts) if isinstance(parts, Mapping) else {part: 1 / len(parts) for part in parts}


def _weights(parts: Parts, way: str, density: float) -> dict[str, float]:
    """The parts' weights; UserError for weights, a way or a density that make no sense."""
    weights = _shares(parts)
    if way not in WAYS:
        raise UserError(f'unknown way to combine "{way}"{suggest(way, WAYS)}; known: {", ".join(WAYS)}')
    if not weights or not all(isinstance(w, int | float) and math.isfinite(w) for w in weights.values()):
        raise UserError(f"combine needs a finite weight for each of one or more adapters, not {weights}")
    if not 0 < density <= 1:
        raise UserError(f"density is the share of values that is kept, above 0 up to 1, not {density}")
    return weights


def _body(adapter: Adapter) -> dict[str, list[Change]]:
    """An adapter's modules by site, its head left out."""
    head = set(adapter.head_parts)
    return {site: [m for m in modules if m not in head] for site, modules in adapter.at.items()}


def _fill(adapter: Adapter, members: list[tuple[Adapter, float]], way: str, density: float) -> None:
    """Mix the members' tensors into those of the new adapter, all but the head's."""
    bodies = [(_body(member), weight) for member, weight in members]
    for site, modules in _body(adapter).items():
        for i, module in enumerate(modules):
            parts = [(body[site][i], weight) for body, weight in bodies]
            for part in (part for part, weight in parts if weight < 0):
                _outermost(part)
            if type(module) is LoRA and way != "linear":
                _factor(module, mix([(change(part), weight) for part, weight in parts], way, density), parts, way)
            else:
                _tensors(module, parts, way, density)
    for i, shared in enumerate(adapter.in_common):
        for key, p in shared.named_parameters():
            p.copy_(mix([(member.in_common[i].get_parameter(key), weight) for member, weight in members], way, density))


def change(module: LoRA) -> torch.Tensor:
    """What a LoRA adds to the frozen matrix: s B A, (width, source_width)."""
    return module.scale * module.B @ module.A


@torch.no_grad()
def distance(adapters: "Adapters", name: str, parts: Parts) -> float:
    """How far a LoRA is from the weighted sum of others: |s B A - sum_i w_i s_i B_i A_i| / |sum|, over all sites."""
    weights = _shares(parts)
    off = total = 0.0
    for site, modules in adapters[name].at.items():
        for i, module in enumerate(modules):
            if type(module) is LoRA:
                true = sum(w * change(adapters[part].at[site][i]) for part, w in weights.items())
                off += (change(module) - true).square().sum().item()
                total += true.square().sum().item()
    if not total:
        raise UserError(f'"{name}" has no LoRA whose distance from a sum could be told')
    return math.sqrt(off / total)


def mix(changes: list[tuple[torch.Tensor, float]], way: str, density: float) -> torch.Tensor:
    """One tensor out of (tensor, weight) pairs, all of one shape."""
    if way == "ties":
        kept = torch.stack([w * _largest(t, density) for t, w in changes])  # (parts, ...)
        sign = kept.sum(0).sign()  # (...): elected for every value
        agree = (kept.sign() == sign) & (kept != 0)
        share = torch.stack([agree[i] * abs(w) for i, (_, w) in enumerate(changes)]).sum(0)
        total = sum(abs(w) for _, w in changes)
        return (kept * agree).sum(0) * total / share.clamp(min=1e-12)
    if way == "dare":
        return sum(w * t * torch.bernoulli(torch.full_like(t, density)) / density for t, w in changes)
    return sum(w * t for t, w in changes)


def _largest(t: torch.Tensor, density: float) -> torch.Tensor:
    """The share `density` of largest values, the rest 0."""
    keep = max(1, round(density * t.numel()))
    mask = torch.zeros_like(t).flatten()
    mask[t.abs().flatten().topk(keep).indices] = 1
    return t * mask.view_as(t)


def _factor(module: LoRA, target: torch.Tensor, parts: list, way: str) -> None:
    """Make the module's s B A the target, as far as its rank allows."""
    if way == "concatenate":
        module.A.copy_(torch.cat([m.A for m, _ in parts]))
        module.B.copy_(torch.cat([w * m.scale / module.scale * m.B for m, w in parts], dim=1))
        return
    U, S, Vh = torch.linalg.svd(target.double(), full_matrices=False)
    r, root = len(module.A), (S / module.scale).sqrt()
    module.B.copy_(U[:, :r] * root[:r])
    module.A.copy_(root[:r, None] * Vh[:r])


def _tensors(module: Change, parts: list, way: str, density: float) -> None:
    """Mix the parameters themselves, each as its difference from where the method does nothing."""
    for key, p in module.named_parameters():
        zero = _neutral(module, key, p)
        signs = [-1 if w < 0 and key in _outermost(m) else 1 for m, w in parts]
        changes = [(s * (m.get_parameter(key) - zero), abs(w)) for s, (m, w) in zip(signs, parts, strict=True)]
        p.copy_(zero + mix(changes, way, density))


def _neutral(module: Change, key: str, p: torch.Tensor) -> torch.Tensor | float:
    """The value of a parameter at which the method does nothing."""
    if key == "magnitude":  # DoRA
        return matrix(module.frozen[0]).to(p.dtype).norm(dim=1)
    return 1.0 if key == "scale" else 0.0


OUTERMOST = {
    LoRA: ("B",),
    Bottleneck: ("up.weight", "up.bias"),
    Scale: ("scale",),
    Shift: ("delta",),
    ScaleShift: ("scale", "shift"),
}


def _outermost(module: Change) -> tuple[str, ...]:
    """The parameters whose sign is turned to take an adapter away: of B and A only one, for (-B)(-A) is B A again."""
    for kind, outer in OUTERMOST.items():
        if isinstance(module, kind) and not isinstance(module, DoRA):
            return outer
    raise UserError(f"a {type(module).__name__} cannot be taken away: no sign of its weights undoes what it does")


def _recipe(members: dict[str, Adapter], way: str, rank: int | None) -> tuple[Method, ...]:
    """The recipe of what comes out, without heads; UserError where the parts differ in more than they may."""
    bodies = [member.info.methods for member in members.values()]
    first = next(iter(members))
    loras = [c for body in bodies for c in body if type(c) is LoRAConfig]
    free: dict[str, Any] = {"rank": 1, "alpha": 1, "stabilised": False, "dropout": 0.0} if way != "linear" else {}

    def form(config):
        return replace(config, **free) if free and type(config) is LoRAConfig else config

    for name, body in zip(members, bodies, strict=True):
        if [form(c) for c in body] != [form(c) for c in bodies[0]]:
            more = "" if way != "linear" or not loras else '; LoRA of several ranks: way="svd" or "concatenate"'
            raise UserError(f'"{name}" and "{first}" differ in their methods, sites or sizes{more}')
    if way != "linear" and any(c.gated for c in loras):
        raise UserError("a gated LoRA is no fixed change of a matrix, so several cannot be added")
    if way in ("concatenate", "svd") and (not bodies[0] or len(loras) < sum(map(len, bodies))):
        raise UserError(f'"{way}" is for LoRA alone; for other methods use "linear", "ties" or "dare"')
    if not bodies[0]:
        raise UserError("these adapters have heads only: there is nothing to combine")
    if way == "linear":
        return bodies[0]
    return tuple(
        _ranked([body[i] for body in bodies], way, rank) if type(config) is LoRAConfig else config
        for i, config in enumerate(bodies[0])
    )


def _ranked(parts: list[Method], way: str, rank: int | None) -> LoRAConfig:
    """The LoRA that can hold these, with s = 1."""
    loras = [config for config in parts if isinstance(config, LoRAConfig)]
    ranks = [config.rank for config in loras]
    new = rank or (max(ranks) if way == "svd" else sum(ranks))
    if way == "concatenate" and new != sum(ranks):
        raise UserError(f'"concatenate" has the rank {sum(ranks)} of all parts together; "svd" takes any')
    return replace(loras[0], rank=new, alpha=new, stabilised=False)


def _head(members: dict[str, Adapter], weights: dict[str, float], head: str | None) -> tuple[HeadConfig, dict] | None:
    """(config, state) of the head, or None."""
    if head is None:
        return None
    if head != "average" and head not in weights:
        raise UserError(
            f'head "{head}"{suggest(head, weights)} is none of the parts; give one of them, "average" or None'
        )
    heads = {}
    for name, member in members.items():
        if member.info.head and head in ("average", name):
            heads[name] = member.info.head, member.head_parts.state_dict()
    if not heads:
        return None
    configs = [config for config, _ in heads.values()]
    if any(config != configs[0] for config in configs) or any(weights[name] < 0 for name in heads if len(heads) > 1):
        raise UserError(
            "the parts' heads have other labels or poolings, or are taken away; say whose to keep: head=name or None"
        )
    total = sum(abs(weights[name]) for name in heads) or 1.0
    states = [(state, abs(weights[name]) / total) for name, (_, state) in heads.items()]
    return configs[0], {key: sum(w * state[key] for state, w in states) for key in states[0][0]}
