"""What answers here, and what looks wrong: the first thing to ask of an adapter that loads and answers nonsense."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from . import compose
from .adapter import Adapter, base_parameters
from .files import checkpoint
from .sites import HEADS

if TYPE_CHECKING:
    from .adapters import Adapters


@dataclass(frozen=True)
class Finding:
    """kind: which check it failed; adapter: whose it is, None for the model's; sentence: what it is, and the mend."""

    kind: str
    adapter: str | None
    sentence: str


@dataclass(frozen=True, repr=False)
class Explanation:
    """Print it. facts: what it is about -> a line; findings: empty where nothing looks wrong."""

    facts: dict[str, str]
    findings: list[Finding]

    def __repr__(self) -> str:
        wrong = [f"{i}. {finding.sentence}" for i, finding in enumerate(self.findings, 1)]
        facts = [f"{key:11}{value}" for key, value in self.facts.items()]
        return "\n".join([*facts, "looks wrong:" if wrong else "nothing looks wrong", *wrong])


def explain(adapters: "Adapters") -> Explanation:
    """What is active, frozen, trained and merged, whose head answers, on which base; and what looks wrong.

    It changes nothing, random numbers included. It sees states, not data: wrong labels leave no trace here.
    """
    here = checkpoint.known_base(adapters)
    names = compose.names(adapters.active)
    findings = [*_mode(adapters, names), *_gradients(adapters, names), *_weights(adapters, names)]
    findings += [f for name in dict.fromkeys([*names, *_merged(adapters)]) for f in _base(adapters, name, here)]
    return Explanation(_facts(adapters, here), findings)


# ---- what is


def _facts(adapters: "Adapters", here: dict | None) -> dict[str, str]:
    model, names = adapters.model, [*compose.names(adapters.active), *_merged(adapters)]
    own = list(base_parameters(model).values())
    parts = {"the base": own} | {f'"{name}"': list(adapters[name].parameters()) for name in adapters}
    trains = {whose: sum(p.numel() for p in parameters if p.requires_grad) for whose, parameters in parts.items()}
    heads = [(name, adapters[name].info.head) for name in answerers(adapters)]
    return {
        "model": f"{type(model).__name__}, in {'train' if model.training else 'eval'} mode",
        "base": _known(here),
        "active": f"{adapters.active or 'nothing'}{'' if adapters.attached else ', and the adapters are detached'}",
        "others": ", ".join(name for name in adapters if name not in names) or "none",
        "merged": adapters.merged or "nothing",
        "frozen": f"{sum(p.numel() for p in own if not p.requires_grad):,} of the base's {adapters.base_count():,}",
        "trains": ", ".join(f"{count:,} of {whose}" for whose, count in trains.items() if count) or "nothing",
        "head": "; ".join(f'of "{n}": {", ".join(h.labels)}; pooling: {h.pooling}' for n, h in heads if h)
        or "the model's own",
        "came from": "; ".join(f'"{name}": {_known(adapters[name].base)}' for name in dict.fromkeys(names)) or "-",
    }


def _known(base: dict | None) -> str:
    """A base in words. Of a peer's files the name alone is known, of an adapter that was only added nothing."""
    if base is None:
        return "not noted"
    dtype, mark = base.get("dtype", "precision not told"), str(base.get("fingerprint", "not told"))[:12]
    return f"{base.get('name') or 'unnamed'} ({dtype}, fingerprint {mark})"


def _merged(adapters: "Adapters") -> list[str]:
    return [] if adapters.merged is None else [adapters.merged]


def answerers(adapters: "Adapters") -> list[str]:
    """The adapters whose heads answer now; none where the model's own does."""

    def within(setup: compose.Setup) -> list[str]:
        if isinstance(setup, str | compose.Fuse):
            name = setup if isinstance(setup, str) else setup.name
            return [name] if adapters[name].info.head else []
        each = [heads for child in getattr(setup, "children", ()) if (heads := within(child))]
        return [name for heads in (each[-1:] if isinstance(setup, compose.Stack) else each) for name in heads]

    heads = within(adapters.active) if adapters.attached else []
    return list(dict.fromkeys(heads)) or [name for name in _merged(adapters) if adapters[name].info.head]


# ---- what looks wrong


def _mode(adapters: "Adapters", names: list[str]) -> Iterator[Finding]:
    model = adapters.model
    trained = any(p.requires_grad for p in model.parameters()) and torch.is_grad_enabled()
    if model.training and not trained:
        yield Finding("mode", None, "the model is in train mode and nothing trains: dropout is on; call model.eval()")
    for name in names:
        if adapters[name].training != model.training:
            kind = "train" if adapters[name].training else "eval"
            mend = "model.train()" if model.training else "model.eval()"
            yield Finding("mode", name, f'"{name}" is in {kind} mode and the model is not; call {mend}')
    if len(adapters) and not names and adapters.merged is None:
        mend = f'adapters.activate("{next(iter(adapters))}") runs one'
        yield Finding("nothing active", None, f"no adapter is active, so the bare model answers; {mend}")
    elif not adapters.attached:
        yield Finding("nothing active", None, "the adapters are detached, so the bare model answers; adapters.attach()")


def _gradients(adapters: "Adapters", names: list[str]) -> Iterator[Finding]:
    own, training = list(base_parameters(adapters.model).values()), adapters.model.training
    # as loaded, everything is trainable: that says nothing of what is meant
    meant = not any(p.requires_grad for p in own)
    beside = meant and any(p.requires_grad for name in names for p in adapters[name].parameters())
    mend = f'adapters.train("{names[-1]}")' if names else "adapters.freeze()"
    if names and (any(p.grad is not None for p in own) or (training and not meant)):
        lost = "no adapter's file would hold what it learns"
        yield Finding("base trains", None, f"the base trains along, and {lost}; {mend} freezes it")
    for name, adapter in adapters.store.items():
        grads = any(p.grad is not None for p in adapter.parameters())
        asked = (training or beside) and any(p.requires_grad for p in adapter.parameters())
        if name not in (*names, adapters.merged) and (grads or asked):
            what = "carries a gradient, by which an optimizer moves it" if grads else "is trainable and learns nothing"
            yield Finding("inactive gradient", name, f'"{name}" is not active and {what}; {mend} sees to it')


def _weights(adapters: "Adapters", names: list[str]) -> Iterator[Finding]:
    heads = answerers(adapters)
    for name in dict.fromkeys([*names, *_merged(adapters)]):
        adapter, new = adapters[name], _as_new(adapters, name)
        if name in heads and _untouched(adapter.head_parts, new.head_parts) and _has_bias(adapters, adapter):
            mend = f'adapters.train("{name}") and fit, or load the trained one'
            yield Finding("untrained head", name, f'the head of "{name}" answers and was never trained; {mend}')
        if adapter.info.methods and _untouched(adapter, new, without_head=True):
            mend = "train it, or load the trained one"
            yield Finding("untrained adapter", name, f'"{name}" is as it was built and does next to nothing; {mend}')
    lacking = [site.module for site in adapters.sites.values() if site.kind in HEADS and site.missing]
    if names and not heads and lacking:
        what = f'the model\'s own head answers, and its checkpoint has no "{lacking[0]}": those numbers are random'
        yield Finding("untrained head", None, f"{what}; give the adapter a head, add(..., head=labels), and train it")
    for name in (name for name in names for merged in _merged(adapters) if _twice(adapters, name, merged)):
        what = f'"{adapters.merged}" is merged into the weights and "{name}" attaches the same once more'
        yield Finding("merged and attached", name, f"{what}; call adapters.unmerge(), or activate(None)")


def _as_new(adapters: "Adapters", name: str) -> Adapter:
    """The adapter as `add` would build it."""
    with torch.random.fork_rng(devices=[]):
        new = Adapter(adapters[name].info, adapters.sites)
        new.bind(adapters, new=True)
    return new


def _untouched(module: nn.Module, new: nn.Module, without_head: bool = False) -> bool:
    """Is what all new ones have alike (a LoRA's B of zeros, the biases of a bottleneck) still so, and is there such?

    An optimizer's first step moves it. Prefixes are random throughout: of them it cannot be told.
    """
    pairs: Iterable = zip(module.parameters(), new.parameters(), strict=True)
    if without_head and isinstance(module, Adapter) and isinstance(new, Adapter):
        head = {id(p) for p in module.head_parts.parameters()}
        pairs = [(p, first) for p, first in pairs if id(p) not in head]
    alike = [(p, first) for p, first in pairs if first.numel() and first.min() == first.max()]
    return bool(alike) and all(torch.equal(p.to("cpu", first.dtype), first.to("cpu")) for p, first in alike)


def _has_bias(adapters: "Adapters", adapter: Adapter) -> bool:
    """Can its head's bias be told apart from none? A peer's file of a head without one is read as zeros."""
    frozen = adapters.model.get_submodule(adapters.sites["head"].module) if "head" in adapters.sites else None
    return "fingerprint" in (adapter.base or {"fingerprint": ""}) or getattr(frozen, "bias", None) is not None


def _twice(adapters: "Adapters", name: str, merged: str) -> bool:
    """Is what is active the merged one again, but for a head that could not be merged?"""
    if name == merged:
        return not adapters[name].info.pools
    a, b = (adapters[n].state_dict() for n in (name, merged))
    body = [key for key in a if not key.startswith("head.")]
    return bool(body) and all(key in b and torch.equal(a[key], b[key]) for key in body)


def _base(adapters: "Adapters", name: str, here: dict | None) -> Iterator[Finding]:
    """Is it on the base that it was trained on? While something is merged, the weights cannot tell."""
    was = adapters[name].base
    if was is None or here is None:
        return
    now, then = here["dtype"], was.get("dtype", here["dtype"])
    if " " in now and now != then:
        mend = "load the base in full precision, or train it on this one"
        yield Finding("quantized base", name, f'"{name}" was trained on {then} weights and runs on {now}; {mend}')
    elif "fingerprint" not in was:
        last, mine = (str(base.get("name") or "").split("/")[-1] for base in (was, here))
        if last and mine and last != mine.replace("minilm", "all-MiniLM-L6-v2"):
            mend = "its file has no fingerprint to compare: make sure that they are the same, or load that base"
            yield Finding("other base", name, f'"{name}" was made for "{last}" and this base is "{mine}"; {mend}')
    elif adapters.merged is None and now == then and not checkpoint.same_weights(adapters, was):
        marks = f"fingerprint {str(was['fingerprint'])[:12]}, here {here['fingerprint'][:12]}"
        mend = f'load "{was.get("name") or "that base"}" anew and the adapter onto it'
        yield Finding("other base", name, f'"{name}" was trained on a base with other weights ({marks}); {mend}')
