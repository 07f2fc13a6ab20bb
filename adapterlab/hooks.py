"""How adapters hang on a frozen model: a forward hook at every site in use, which asks `Adapters.evaluate` for y'.

`Hook` is all that a method at a module's output needs, and that is most of them; `special` has the exceptions. `Here`
is what a thread knows of its own pass, so that several threads can run one model with different setups.
"""

import threading
from typing import TYPE_CHECKING, Any

from torch import nn

from . import compose
from .sites import Site
from .special import SPECIAL, Pass, Rows, first

if TYPE_CHECKING:
    from .adapters import Adapters

PASS, ROWS = "", "*"  # among the handles by site: the hooks on the base model, and those on the whole
WHOLE: dict[str, Any] = {PASS: Pass, ROWS: Rows}


class Here(threading.local):
    """What one thread knows of its own pass through the model.

    setups: those of the `use` blocks that it is in. inputs: x of the sites that have been entered and not yet left.
    rows: of the batch, where a setup divides them (`special.Rows`). context: for methods that ask (`special.Pass`).
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


class Attachment:
    """The hooks of some adapters on their model, at exactly the sites that one of them uses.

    divides: whether a setup was asked for that divides the batch's rows, so that they have to be counted.
    """

    def __init__(self, owner: "Adapters"):
        self.owner = owner
        self.divides = False
        self.handles: dict[str, list] = {}

    def expect(self, setup: compose.Setup) -> None:
        """From now on count the batch's rows, where this setup divides them."""
        divides = (compose.Split, compose.BatchSplit, compose.Parallel)
        if not self.divides and any(isinstance(block, divides) for block in compose.blocks(setup)):
            self.divides = True
            if self.owner.attached:
                self.update()

    def update(self) -> None:
        """Hang what is missing and take off what no adapter needs any more."""
        adapters = self.owner.store.values()
        used = {site for adapter in adapters for site in adapter.at}
        if used and self.divides:
            used.add(ROWS)
        if any(m.wants_context for adapter in adapters for modules in adapter.at.values() for m in modules):
            used.add(PASS)
        installed = set(self.handles)
        self.remove(*(installed - used | ({"head"} & installed if used - installed else set())))
        frozen = dict(self.owner.model.named_modules())
        for name in sorted(used - set(self.handles), key=lambda name: name == "head"):  # after a prompt, see `Answer`
            self.handles[name] = self._install(name, frozen)

    def remove(self, *sites: str) -> None:
        for name in sites:
            for handle in self.handles.pop(name):
                handle.remove()

    def _install(self, name: str, frozen: dict[str, nn.Module]) -> list:
        """Hooks for one site. What changes a linear map comes before what changes its sub-layer."""
        if name in WHOLE:
            return WHOLE[name](self.owner).handles
        site = self.owner.sites[name]
        if site.form in SPECIAL:
            return SPECIAL[site.form](self.owner, site, frozen).handles
        hook = Hook(self.owner, site, frozen[site.norm] if site.norm else None)
        linear = site.form == "linear"
        handles = [frozen[site.module].register_forward_hook(hook.leave, with_kwargs=True, prepend=linear)]
        if site.source != site.module:
            handles.append(frozen[site.source].register_forward_pre_hook(hook.enter, with_kwargs=True))
        return handles
