"""Merging adapters into a new one, by their weights. What comes out is one adapter, as fast as any.

    "linear"       every tensor is the weighted sum of the parts' (weights that sum to 1: the mean, as in AdapterSoup,
                   Chronopoulou et al. 2023). A LoRA's B A is then not the sum of the parts' B A: it has cross terms.
    "concatenate"  LoRA only: B and A side by side, the exact weighted sum; the ranks add up.
    "svd"          LoRA only: the nearest matrix to that sum of `rank` (default: the largest of the parts').
    "ties"         Yadav et al. 2023: of each change keep the largest `density`, elect a sign for every value, and take
                   the weighted mean of those that agree, times the sum of the weights (the paper's lambda).
    "dare"         Yu et al. 2024: keep a random `density`, scaled by 1 / density, and add up.

The last two work on a LoRA's s B A, brought to `rank` again (default: the sum of the parts'), and on the tensors of all
else. Only a LoRA is linear in its change of the frozen matrix; everything but "concatenate" is an approximation, useful
or not, and `distance` says how far it is off.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .adapter import Adapter, Info
from .errors import UserError, suggest
from .merge import new_weights, tensors
from .methods import Change, HeadConfig, LoRA, LoRAConfig, Method
from .quantize import matrix
from .sites import kinds

if TYPE_CHECKING:
    from .adapters import Adapters

Parts = Mapping[str, float] | Sequence[str]  # adapters with their weights; or their names, for the mean
Changes = list[tuple[Tensor, float]]  # tensors of one shape, and their weights


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
    way: one of WAYS, with its rank and density; see above. seed: of "dare".
    head: "average" of the parts' heads, the name of the part whose head is taken, or None for none.
    Errors: UserError for parts that do not fit together; nothing is then added.
    """
    adapters.claim(name)
    adapters.free()
    weights = _shares(parts)
    _check(weights, way, density)
    members = {part: adapters[part] for part in weights}
    recipe = _recipe(members, way, rank)
    config, answer = _head(members, weights, head)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = Adapter(Info(recipe + ((config,) if config else ())), adapters.sites)
        adapter.bind(adapters, new=True)
        adapter.to(next(adapters.model.parameters()).device)
        _fill(adapter, [(members[part], weight) for part, weight in weights.items()], way, density)
    adapter.head_parts.load_state_dict(answer)
    return adapters.insert(name, adapter)


def _shares(parts: Parts) -> dict[str, float]:
    """Adapter -> its weight."""
    return dict(parts) if isinstance(parts, Mapping) else {part: 1 / len(parts) for part in parts}


def _check(weights: dict[str, float], way: str, density: float) -> None:
    """UserError for weights, a way or a density that make no sense."""
    if way not in WAYS:
        raise UserError(f'unknown way to combine "{way}"{suggest(way, WAYS)}; known: {", ".join(WAYS)}')
    if not weights or not all(isinstance(w, int | float) and math.isfinite(w) for w in weights.values()):
        raise UserError(f"combine needs a finite weight for each of one or more adapters, not {weights}")
    if not 0 < density <= 1:
        raise UserError(f"density is the share of values that is kept, above 0 up to 1, not {density}")


# ---- tensors: every way to make one out of several


def _sum(changes: Changes, density: float) -> Tensor:
    return sum((w * t for t, w in changes), torch.zeros(()))


def _ties(changes: Changes, density: float) -> Tensor:
    kept = torch.stack([w * _largest(t, density) for t, w in changes])  # (parts, ...)
    sign = kept.sum(0).sign()  # (...): elected for every value
    agree = (kept.sign() == sign) & (kept != 0)
    weights = torch.tensor([abs(w) for _, w in changes]).to(kept)  # (parts,)
    share = torch.einsum("p,p...->...", weights, agree.to(kept))
    return (kept * agree).sum(0) * weights.sum() / share.clamp(min=1e-12)


def _dare(changes: Changes, density: float) -> Tensor:
    return _sum([(t * torch.bernoulli(torch.full_like(t, density)), w / density) for t, w in changes], density)


def _largest(t: Tensor, density: float) -> Tensor:
    """The share `density` of largest values, the rest 0."""
    mask = torch.zeros_like(t).flatten()
    mask[t.abs().flatten().topk(max(1, round(density * t.numel()))).indices] = 1
    return t * mask.view_as(t)


WAYS: dict[str, Callable[[Changes, float], Tensor]] = {
    "linear": _sum,
    "concatenate": _sum,
    "svd": _sum,
    "ties": _ties,
    "dare": _dare,
}


# ---- modules


def change(module: LoRA) -> Tensor:
    """What a LoRA adds to the frozen matrix: s B A, (width, source_width)."""
    return module.scale * module.B @ module.A


@torch.no_grad()
def distance(adapters: "Adapters", name: str, parts: Parts) -> float:
    """How far a LoRA is from the weighted sum of others: |s B A - sum_i w_i s_i B_i A_i| / |sum|, over all sites."""
    off = total = 0.0
    for site, modules in adapters[name].at.items():
        for i, module in enumerate(modules):
            if type(module) is LoRA:
                true = sum(w * change(adapters[part].at[site][i]) for part, w in _shares(parts).items())
                off += (change(module) - true).square().sum().item()
                total += true.square().sum().item()
    if not total:
        raise UserError(f'"{name}" has no LoRA whose distance from a sum could be told')
    return math.sqrt(off / total)


def _fill(adapter: Adapter, members: list[tuple[Adapter, float]], way: str, density: float) -> None:
    """Mix the members' tensors into those of the new adapter, all but the head's."""
    head = set(adapter.head_parts)
    for site, modules in adapter.at.items():
        for i, module in enumerate(module for module in modules if module not in head):
            parts = [(member.at[site][i], weight) for member, weight in members]  # a head comes last at its site
            for part, weight in parts:
                if weight < 0 and not part.outermost:
                    kind = type(part).__name__
                    raise UserError(f"a {kind} cannot be taken away: no sign of its weights undoes what it does")
            if type(module) is LoRA and way != "linear":
                _factor(module, parts, way, density)
            else:
                _tensors(module, parts, way, density)
    for i, shared in enumerate(adapter.in_common):
        for key, p in shared.named_parameters():
            p.copy_(WAYS[way]([(member.in_common[i].get_parameter(key), w) for member, w in members], density))


def _factor(module: LoRA, parts: list, way: str, density: float) -> None:
    """Make the module's s B A the mixture of the parts', as far as its rank allows."""
    if way == "concatenate":
        module.A.copy_(torch.cat([m.A for m, _ in parts]))
        module.B.copy_(torch.cat([w * m.scale / module.scale * m.B for m, w in parts], dim=1))
        return
    target = WAYS[way]([(change(m), w) for m, w in parts], density)
    _nearest(module, target)


def _nearest(module: LoRA, target: Tensor) -> Tensor:
    """Make s B A the nearest matrix of its rank to the target (Eckart and Young 1936); the target's singular values."""
    U, S, Vh = torch.linalg.svd(target.double(), full_matrices=False)
    r, root = len(module.A), (S / module.scale).sqrt()
    module.B.copy_(U[:, :r] * root[:r])
    module.A.copy_(root[:r, None] * Vh[:r])
    return S


def _tensors(module: Change, parts: list, way: str, density: float) -> None:
    """Mix the parameters themselves, each as its difference from where the method does nothing."""
    for key, p in module.named_parameters():
        zero: Tensor | float = 1.0 if key == "scale" else 0.0
        if key == "magnitude":  # DoRA
            zero = matrix(module.frozen[0]).to(p.dtype).norm(dim=1)
        signs = [-1 if w < 0 and key in m.outermost else 1 for m, w in parts]
        changes = [(s * (m.get_parameter(key) - zero), abs(w)) for s, (m, w) in zip(signs, parts, strict=True)]
        p.copy_(zero + WAYS[way](changes, density))


# ---- any method that merges, as a LoRA


@torch.no_grad()
def to_lora(adapters: "Adapters", name: str, new: str, rank: int = 8, bias: str = "refuse") -> list[dict]:
    """Add adapter `new`: the LoRA of this rank that is nearest to what `name` does to the frozen matrices.

    One row a site: site; error, |W' - W - s B A| / |W' - W| (Frobenius), which is that of the singular values that are
    cut off; rank, by which it would be at most 1e-5; bias, |b' - b|, which no LoRA holds. bias: "refuse" such a change
    ((IA)^3 behind a map with a bias has one), or "drop" it. The head comes along as it is.
    Errors: UserError for what is no change of matrices alone, as merging has them; nothing is then added.
    """
    adapters.claim(new)
    adapters.free()
    adapter = adapters[name]
    plan = new_weights(adapters, name, without=adapter.head_parts, double=True)
    at = {site.module: site.name for site in adapters.sites.values() if site.form in ("linear", "head")}
    if lost := [path for path in plan if path not in at]:
        raise UserError(f'"{name}" cannot become a LoRA: it changes "{lost[0]}", which is no matrix')
    if not plan:
        raise UserError(f'"{name}" is a head alone: it changes no matrix that a LoRA could')
    shifts = {path: 0.0 if b is None else (b - module.bias).norm().item() for path, (module, _, b) in plan.items()}
    if bias not in ("refuse", "drop"):
        raise UserError(f'bias={bias!r} is unknown; known: "refuse", "drop"')
    if bias == "refuse" and (moved := [at[path] for path, shift in shifts.items() if shift]):
        what = f'it changes the bias at {len(moved)} sites, "{moved[0]}" first'
        raise UserError(f'"{name}" cannot become a LoRA as it is: {what}; bias="drop" leaves such changes out')
    sites = kinds(adapters.sites, (at[path] for path in plan))
    recipe = (LoRAConfig(rank=rank, alpha=rank, sites=sites), *(config for config in (adapter.info.head,) if config))
    with torch.random.fork_rng(devices=[]):
        lora = Adapter(Info(recipe, adapter.info.task), adapters.sites)
        lora.bind(adapters, new=True)
    lora.to(next(adapters.model.parameters()).device)
    lora.head_parts.load_state_dict(adapter.head_parts.state_dict())
    lora.base, report = adapter.base, []
    for path, (frozen, weight, _) in plan.items():
        S = _nearest(lora.at[at[path]][0], weight - tensors(frozen)[0])
        report.append({"site": at[path], **_cut_off(S, rank), "bias": shifts[path]})
    adapters.insert(new, lora)
    return report


def _cut_off(S: Tensor, rank: int) -> dict[str, float]:
    """What a matrix with these singular values loses at this rank, and the rank at which it would lose 1e-5."""
    tails = S.square().flip(0).cumsum(0).flip(0).sqrt() / S.norm().clamp(min=1e-300)  # lost at rank 0, 1, ...
    return {"error": tails[rank].item() if rank < len(S) else 0.0, "rank": int((tails > 1e-5).sum())}


# ---- recipes


def _recipe(members: dict[str, Adapter], way: str, rank: int | None) -> tuple[Method, ...]:
    """The recipe of what comes out, without heads; UserError where the parts differ in more than they may."""
    bodies = [member.info.methods for member in members.values()]
    loras = [config for body in bodies for config in body if type(config) is LoRAConfig]

    def form(config):
        """What has to be the same in all."""
        free = way != "linear" and type(config) is LoRAConfig
        return replace(config, rank=1, alpha=1, stabilised=False, dropout=0.0) if free else config

    for name, body in zip(members, bodies, strict=True):
        if [form(c) for c in body] != [form(c) for c in bodies[0]]:
            more = '; LoRA of several ranks: way="svd" or "concatenate"' if way == "linear" and loras else ""
            raise UserError(f'"{name}" and "{next(iter(members))}" differ in their methods, sites or sizes{more}')
    if way != "linear" and any(config.gated for config in loras):
        raise UserError("a gated LoRA is no fixed change of a matrix, so several cannot be added")
    if started := next((config for config in loras if config.start != "zero"), None):
        raise UserError(f'a LoRA with start="{started.start}" brings its first product along, so several do not add up')
    if way in ("concatenate", "svd") and (not loras or len(loras) < sum(map(len, bodies))):
        raise UserError(f'"{way}" is for LoRA alone; for other methods use "linear", "ties" or "dare"')
    if not bodies[0]:
        raise UserError("these adapters have heads only: there is nothing to combine")
    if way == "linear":
        return bodies[0]
    return tuple(
        _ranked(parts, way, rank) if type(parts[0]) is LoRAConfig else parts[0] for parts in zip(*bodies, strict=True)
    )


def _ranked(loras: tuple[LoRAConfig, ...], way: str, rank: int | None) -> LoRAConfig:
    """The LoRA that can hold these, with s = 1."""
    ranks = [config.rank for config in loras]
    new = rank or (max(ranks) if way == "svd" else sum(ranks))
    if way == "concatenate" and new != sum(ranks):
        raise UserError(f'"concatenate" has the rank {sum(ranks)} of all parts together; "svd" takes any')
    return replace(loras[0], rank=new, alpha=new, stabilised=False)


def _head(members: dict[str, Adapter], weights: dict[str, float], head: str | None) -> tuple[HeadConfig | None, dict]:
    """(config, state) of the head; (None, {}) for none."""
    if head is not None and head not in ("average", *weights):
        raise UserError(
            f'head "{head}"{suggest(head, weights)} is none of the parts; give one of them, "average" or None'
        )
    heads = {name: m for name, m in members.items() if head in ("average", name) and m.info.head}
    if not heads:
        return None, {}
    configs = [member.info.head for member in heads.values()]
    if any(config != configs[0] for config in configs) or any(weights[name] < 0 for name in heads if len(heads) > 1):
        raise UserError(
            "the parts' heads have other labels or poolings, or are taken away; say whose to keep: head=name or None"
        )
    total = sum(abs(weights[name]) for name in heads) or 1.0
    states = [(member.head_parts.state_dict(), abs(weights[name]) / total) for name, member in heads.items()]
    return configs[0], {key: sum(w * state[key] for state, w in states) for key in states[0][0]}
