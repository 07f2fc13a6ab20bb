"""How adapters hang on a frozen model: forward hooks at the sites in use, which ask `Adapters.evaluate` for y'.

`Hook` is all that a method at a module's output needs, which is most of them; `positions` has the two that add
positions. `Here` is what a thread knows of its own pass, so that several can run one model with different setups.
"""

import inspect
import threading
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from . import compose
from .errors import UserError
from .positions import Memory, Tokens, first
from .sites import Site

if TYPE_CHECKING:
    from .adapters import Adapters

PASS = ""  # among the handles by site: the hooks on the base model, see `Pass`
ROWS = "*"  # and those on the whole model, see `Rows`


class Here(threading.local):
    """What one thread knows of its own pass through the model.

    setups: those of the `use` blocks that it is in. inputs: x of the sites that have been entered and not yet left.
    rows: of the batch, where a setup divides them, see `Rows`. context: what methods may have to know, see `Pass`.
    """

    def __init__(self):
        self.setups: list[compose.Setup] = []
        self.inputs: dict[str, Any] = {}
        self.rows: int | None = None
        self.context: dict[Any, Any] = {}

    def __reduce__(self):
        return Here, ()  # it stays behind when the adapters are copied or pickled


class Hook:
    """What runs at one site: x is noted on the way in, y is changed on the way out."""

    def __init__(self, owner: "Adapters", site: Site, norm: nn.Module | None):
        self.owner, self.site, self.norm = owner, site, norm

    def enter(self, module, args, kwargs):
        if self.owner.active is not None:
            self.owner.here.inputs[self.site.name] = first(args, kwargs)

    def leave(self, module, args, kwargs, output):
        setup = self.owner.active
        if setup is None:
            return None
        same = self.site.source == self.site.module
        x = first(args, kwargs) if same else self.owner.here.inputs.pop(self.site.name, None)
        y = output[0] if isinstance(output, tuple) else output
        new = self.owner.evaluate(setup, self.site.name, x, y, self.norm)
        return (new, *output[1:]) if isinstance(output, tuple) else new


class Incoming:
    """x and y are both what goes into the module, which gets y' in its place."""

    def __init__(self, owner: "Adapters", site: Site):
        self.owner, self.site = owner, site

    @classmethod
    def install(cls, owner, site, modules):
        return [modules[site.module].register_forward_pre_hook(cls(owner, site), with_kwargs=True)]

    def __call__(self, module, args, kwargs):
        setup = self.owner.active
        if setup is None:
            return None
        y = first(args, kwargs)
        new = self.owner.evaluate(setup, self.site.name, y, y)
        if args:
            return (new, *args[1:]), kwargs
        key = "hidden_states" if "hidden_states" in kwargs else next(iter(kwargs))
        return args, {**kwargs, key: new}


class Pass:
    """Notes on the base model's way in what methods may have to know of the pass, in the thread's `context`.

    mask: (batch, tokens), 1 for a token and 0 for padding, or None; past: how many tokens a cache holds already, when a
    text is being generated.
    """

    def __init__(self, owner: "Adapters"):
        self.owner, base = owner, getattr(owner.model, "base_model", owner.model)
        self.names = list(inspect.signature(type(base).forward).parameters)[1:]
        self.handles = [
            base.register_forward_pre_hook(self.enter, with_kwargs=True),
            base.register_forward_hook(self.leave, always_call=True),
        ]

    def enter(self, model, args, kwargs):
        given = {**dict(zip(self.names, args, strict=False)), **kwargs}
        past = given.get("past_key_values")
        length = past.get_seq_length() if past is not None and hasattr(past, "get_seq_length") else 0
        self.owner.here.context.clear()
        self.owner.here.context.update(mask=given.get("attention_mask"), past=length)

    def leave(self, model, args, output):
        self.owner.here.context.clear()


class Rows:
    """Hooks on the whole model for setups that divide its rows: counts them, and repeats the input for `Parallel`."""

    def __init__(self, owner: "Adapters"):
        self.owner = owner

    @classmethod
    def install(cls, owner):
        rows = cls(owner)
        return [
            owner.model.register_forward_pre_hook(rows.enter, with_kwargs=True, prepend=True),
            owner.model.register_forward_hook(rows.leave, always_call=True),
        ]

    def enter(self, model, args, kwargs):
        given = [v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor) and v.ndim]
        rows, copies = len(given[0]) if given else None, compose.copies(self.owner.active)
        self.owner.here.rows = rows and rows * copies
        if copies == 1:
            return None
        if kwargs.get("past_key_values") is not None:
            raise UserError("Parallel cannot generate; repeat the rows yourself and use BatchSplit")

        def repeat(v):
            same = isinstance(v, torch.Tensor) and v.ndim and len(v) == rows
            return v.repeat(copies, *[1] * (v.ndim - 1)) if same else v

        return tuple(map(repeat, args)), {key: repeat(v) for key, v in kwargs.items()}

    def leave(self, model, args, output):
        self.owner.here.rows = None


def by_rows(setup: compose.Block, rows: int | None, x, y):
    """x and y with the batch's rows first; where a model has flattened rows and tokens (OPT), also the length of that."""
    if rows is None and compose.copies(setup) > 1:
        raise UserError(f"{setup} repeats the input of the whole model; call the model, not a part of it")
    if rows and y.ndim == 2 and len(y) != rows and len(y) % rows == 0:
        x = x if x is None or len(x) != len(y) else x.view(rows, -1, x.shape[-1])
        return x, y.view(rows, -1, y.shape[-1]), len(y)
    return x, y, None


# site.form -> what hangs on the owner's model for such a site: handles, each with `remove()`
SPECIAL = {
    "hidden": Incoming.install,
    "stream": Incoming.install,
    "memory": lambda owner, site, modules: [Memory(owner, site, modules[site.module])],
    "prompt": lambda owner, site, modules: Tokens(owner, site, modules).handles,
}


class Attachment:
    """The hooks of some adapters on their model, at exactly the sites that one of them uses.

    divides: whether a setup was asked for that divides the batch's rows, so that they have to be counted.
    """

    def __init__(self, owner: "Adapters"):
        self.owner = owner
        self.divides = False
        self.handles: dict[str, list] = {}

    def update(self) -> None:
        """Hang what is missing and take off what no adapter needs any more."""
        adapters = self.owner.store.values()
        used = {site for adapter in adapters for site in adapter.at}
        if used and self.divides:
            used.add(ROWS)
        if any(m.wants_context for adapter in adapters for modules in adapter.at.values() for m in modules):
            used.add(PASS)
        self.remove(*set(self.handles) - used)
        frozen = dict(self.owner.model.named_modules())
        for name in used - set(self.handles):
            self.handles[name] = self._install(name, frozen)

    def remove(self, *sites: str) -> None:
        for name in sites:
            for handle in self.handles.pop(name):
                handle.remove()

    def _install(self, name: str, frozen: dict[str, nn.Module]) -> list:
        """Hooks for one site. What changes a linear map comes before what changes its sub-layer."""
        if name == PASS:
            return Pass(self.owner).handles
        if name == ROWS:
            return Rows.install(self.owner)
        site = self.owner.sites[name]
        if site.form in SPECIAL:
            return SPECIAL[site.form](self.owner, site, frozen)
        hook = Hook(self.owner, site, frozen[site.norm] if site.norm else None)
        linear = site.form == "linear"
        handles = [frozen[site.module].register_forward_hook(hook.leave, with_kwargs=True, prepend=linear)]
        if site.source != site.module:
            handles.append(frozen[site.source].register_forward_pre_hook(hook.enter, with_kwargs=True))
        return handles
