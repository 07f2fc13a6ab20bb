"""How adapters hang on a frozen model: a forward hook at every site in use, which asks `Adapters.evaluate` for y'.

`Hook` is all that a method at a module's output needs, and that is most of them; `special` has the exceptions. `Here`
is what a thread knows of its own pass, so that several threads can run one model with different setups.
"""

import threading
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from torch import nn

from . import compose
from .sites import Site
from .special import SPECIAL, Pass, first

if TYPE_CHECKING:
    from .adapters import Adapters

PASS = ""  # among the handles by site: what hangs on the whole model


class Here(threading.local):
    """What one thread knows of its own pass through the model.

    setups: those of the `use` blocks that it is in. inputs: x of the sites that have been entered and not yet left.
    rows: of the batch; context: for methods that ask (`special.Pass`). skipped: layers whose adapters do not run.
    """

    def __init__(self):
        self.setups: list[compose.Setup] = []
        self.inputs: dict[str, Any] = {}
        self.rows: int | None = None
        self.context: dict[Any, Any] = {}
        self.skipped: frozenset[int] = frozenset()

    def __reduce__(self):
        return Here, ()  # it stays behind when the adapters are copied or pickled

    def hold(self, setup: compose.Setup, function: Callable) -> Callable:
        """The function, which when it is called again finds this setup, and the rest as it is now."""
        then = {"setups": [setup], "rows": self.rows, "skipped": self.skipped}
        context, calls = dict(self.context), count()

        def run(*args, **kwargs):
            if next(calls) == 0:
                return function(*args, **kwargs)
            now = dict(vars(self))
            vars(self).update(then, context=dict(context), inputs={})
            try:
                return function(*args, **kwargs)
            finally:
                vars(self).update(now)

        return run


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


def guard_hooks() -> None:
    """Have torch.compile look for hooks that come later, which it leaves out; what it made before is made anew."""
    import torch._dynamo  # takes as long as torch itself; whoever has a model of transformers has loaded it

    if torch._dynamo.config.skip_nnmodule_hook_guards:
        torch._dynamo.config.skip_nnmodule_hook_guards = False
        torch._dynamo.reset()


class Attachment:
    """The hooks of some adapters on their model, at exactly the sites that one of them uses."""

    def __init__(self, owner: "Adapters"):
        self.owner = owner
        self.handles: dict[str, list] = {}

    def __setstate__(self, state):
        self.__dict__.update(state)
        guard_hooks()  # a pickled model may come to a process that has not

    def update(self) -> None:
        """Hang what is missing and take off what no adapter needs any more."""
        guard_hooks()
        used = {site for adapter in self.owner.store.values() for site in adapter.at}
        if used:
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
        if name == PASS:
            return Pass(self.owner).handles
        site = self.owner.sites[name]
        if site.form in SPECIAL:
            return SPECIAL[site.form](self.owner, site, frozen).handles
        hook = Hook(self.owner, site, frozen[site.norm] if site.norm else None)
        linear = site.form == "linear"
        handles = [frozen[site.module].register_forward_hook(hook.leave, with_kwargs=True, prepend=linear)]
        if site.source != site.module:
            handles.append(frozen[site.source].register_forward_pre_hook(hook.enter, with_kwargs=True))
        return handles
