"""The life of adapters on one frozen model: add, activate, train, save, load, delete, detach.

adapters = Adapters(model)
adapters.add("reviews", houlsby(size=64), head=("negative", "positive"))
adapters.train("reviews")          # freezes everything else, activates it
...                                # any training loop, transformers.Trainer too
adapters.save("reviews", "reviews_adapter")
adapters.detach()                  # the model is bit for bit what it was
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from . import combine as combining
from . import compose, suits
from . import explain as explaining
from . import merge as merging
from .adapter import CHILD, Adapter, Info, base_count
from .compose import Setup
from .errors import UserError, suggest
from .files import checkpoint, formats
from .hooks import Attachment, Here
from .methods import FusionConfig, HeadConfig, Method
from .methods.head import Labels, Reading, names_of
from .sites import HEADS, find_sites, origin
from .special import by_rows, text_mask


class Adapters:
    """Named adapters on one frozen transformer, by forward hooks at its sites.

    model: any transformers model whose family is in `families.FAMILIES`, or any other with `sites`. Its class, its
    weights and its outputs without an active adapter stay what they were. While attached, the adapters are a
    submodule, `model.adapterlab`: so `model.to()`, `model.train()`, `transformers.Trainer` and its checkpoints see
    them; `detach` takes them off again.
    sites: kind -> regular expression for module names that the table lacks; see `sites.find_sites`.
    overwrite: what comes anew takes the place of the old, so that a notebook's cells can run twice: adapters that hang
    on the model come off, one of the same name is replaced, and `save` and `export` write over an adapter's folder.
    Errors: UserError, and then nothing has changed.
    """

    def __init__(self, model: nn.Module, sites: dict[str, str] | None = None, overwrite: bool = False):
        if hasattr(model, CHILD):
            if not overwrite:
                raise UserError("this model has adapters already: Adapters.of(model) gives them; or detach them first")
            Adapters.of(model).detach()
        self.model = model = getattr(model, "_orig_mod", model)  # of what torch.compile made
        self.sites = find_sites(model, sites)
        self.overwrite = overwrite
        self.store = nn.ModuleDict()
        self.store._owner = self
        self._setup: Setup = None
        # what config and model say of labels, while an adapter's head answers
        self._silent: list[tuple[Any, dict]] = []
        self.here = Here()  # this thread's own pass
        self._uses: list[Setup] = []  # of every `use` block of any thread
        self.attachment = Attachment(self)
        self.merged: str | None = None  # the adapter that is written into the weights, see `merge`
        self.originals: dict[str, tuple[Tensor, Tensor | None]] = {}  # the weights that it replaced
        self.attached = False
        self.attach()

    @staticmethod
    def of(model: nn.Module) -> "Adapters":
        """The adapters that are attached to a model, also to a copy of one, or one that torch.load read."""
        if not hasattr(model, CHILD):
            raise UserError("this model has no adapters attached; Adapters(model) makes room for some")
        return getattr(model, CHILD)._owner

    # ---- attach and detach

    def attach(self) -> "Adapters":
        """Hang the adapters on the model (done by the constructor; again after `detach`)."""
        if not self.attached:
            if hasattr(self.model, CHILD):
                raise UserError("this model has other adapters attached: Adapters.of(model).detach() takes them off")
            self._flags = {name: p.requires_grad for name, p in self.model.named_parameters()}
            self.model.add_module(CHILD, self.store)
            self.attached = True
            self.attachment.update()
            self.tell_labels()
        return self

    def detach(self) -> nn.Module:
        """Take hooks, submodule and freezing off; the model is bit for bit what it was. The adapters live on here."""
        if self.merged is not None:
            self.unmerge()
        if self.attached:
            self.attachment.remove(*self.attachment.handles)
            delattr(self.model, CHILD)
            for name, p in self.model.named_parameters():
                p.requires_grad_(self._flags.get(name, True))
            self.attached = False
            self.tell_labels()
        return self.model

    # ---- what a hook asks

    @property
    def active(self) -> Setup:
        """The setup that this thread runs: the one of `use`, else the one of `activate`."""
        return self.here.setups[-1] if self.here.setups else self.setup

    @property
    def setup(self) -> Setup:
        """The setup of `activate`, of every thread."""
        return self._setup

    @setup.setter
    def setup(self, setup: Setup) -> None:
        self._setup = setup
        self.tell_labels()

    def tell_labels(self) -> None:
        """Let the model's config say the labels that come out now: `pipeline` shows them, a loss counts them."""
        for thing, before in self._silent:
            vars(thing).update(before)
        self._silent = []
        setup = self.setup if suits.answering(self, self.setup) is not None else self.merged
        labels = suits.spoken(self, setup) if self.attached else None
        config: Any = getattr(self.model, "config", None)
        if labels is None or not hasattr(config, "id2label"):
            return
        names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
        kind = {"problem_type": vars(config).get("problem_type") if len(labels) == config.num_labels else None}
        count = {"num_labels": len(labels)} if "num_labels" in vars(self.model) else {}
        for thing, now in ((config, {**names, **kind}), (self.model, count)):
            self._silent.append((thing, {key: vars(thing)[key] for key in now if key in vars(thing)}))
            vars(thing).update(now)

    def evaluate(self, setup: Setup, site: str, x: Tensor | None, y: Tensor, norm: nn.Module | None = None) -> Tensor:
        """y' of a setup at a site, in y's dtype. x: (..., source_width), y: (..., width); norm: as in `evaluate`."""
        if self.sites[site].layer in self.here.skipped:
            return y
        in_weights = self.merged if site != "head" else None  # but for a head that cannot be merged
        methods = {name: self.store[name].at.get(site, ()) for name in compose.names(setup) if name != in_weights}
        if not any(methods.values()):
            return y
        flat = None
        if isinstance(setup, compose.Block):
            x, y, flat = by_rows(setup, self.here.rows, x, y)
        read: Any = x
        if any(module.wants_context and module.wants_reading for ms in methods.values() for module in ms):
            mask = text_mask(self.here.context, self.sites[site], y, "prompt" in self.sites)
            read = Reading(y if x is None else x, y if x is None else x, mask)
        first = next((p for name, ms in methods.items() if ms for p in self.store[name].parameters()), None)
        if first is None or first.dtype == y.dtype or torch.is_autocast_enabled(y.device.type):
            new = compose.evaluate(setup, methods, read, y, norm)
        else:
            read = None if read is None else read.to(first.dtype)
            frozen = None if norm is None else lambda h: norm(h.to(y.dtype)).to(first.dtype)
            new = compose.evaluate(setup, methods, read, y.to(first.dtype), frozen).to(y.dtype)
        return new if flat is None else new.reshape(flat, -1)

    # ---- life cycle

    def add(
        self,
        name: str,
        recipe: Method | Iterable[Method],
        head: Labels | None = None,
        seed: int | None = None,
        task: str | None = None,
        pooling: str | None = None,
    ) -> Adapter:
        """Build a new adapter; it is neither active nor trained yet.

        recipe: a method's config or several, as `houlsby(64)`. head: labels of a head of its own, or an id2label dict;
        pooling: what that reads, one of `methods.head.POOLINGS` (None: as the base was trained). seed: of its initial
        weights (None: go on with torch's generator).
        """
        recipe = (recipe,) if isinstance(recipe, Method) else tuple(recipe)
        if head is not None:
            recipe += (HeadConfig(labels=names_of(head), pooling=pooling),)
        recipe = tuple(c.resolved(self.sites, origin(self.model)) if isinstance(c, HeadConfig) else c for c in recipe)
        self.claim(name)
        if not recipe:
            raise UserError(f'adapter "{name}" has no method: give add() a config such as houlsby(64), or a head')
        with torch.random.fork_rng(devices=[]):
            if seed is not None:
                torch.manual_seed(seed)
            adapter = Adapter(Info(recipe, task), self.sites)
            adapter.bind(self, new=True)
            after = torch.get_rng_state()
        if seed is None:
            torch.set_rng_state(after)
        return self.insert(name, adapter)

    def insert(self, name: str, adapter: Adapter) -> Adapter:
        adapter.bind(self)
        adapter.to(next(self.model.parameters()).device).train(self.model.training)
        old = dict(self.store).get(name)
        if old is not None:
            self.delete(name)
        self.store[name] = adapter
        if self.attached:
            try:
                self.attachment.update()
            except UserError:
                del self.store[name]
                if old is not None:
                    self.store[name] = old
                self.attachment.update()
                raise
        return adapter

    def claim(self, name: str) -> None:
        if isinstance(name, str) and name in self.store:
            if self.overwrite:
                return
            raise UserError(f'there is an adapter "{name}" already; delete it first or choose another name')
        if not isinstance(name, str) or not name or hasattr(self.store, name):
            raise UserError(f"{name!r} cannot name an adapter; choose another word")
        if "." in name:
            raise UserError(f'"{name}" cannot name an adapter: torch allows no dots; "{name.replace(".", "_")}" can')

    def __getitem__(self, name: str) -> Adapter:
        if not isinstance(name, str):
            raise UserError(f"{name!r} is no adapter's name; several together are a setup, as Stack('a', 'b')")
        if name not in self.store:
            raise UserError(
                f'no adapter "{name}"{suggest(name, self.store)}; there are: {", ".join(self.store) or "none"}'
            )
        return self.store[name]

    def __contains__(self, name: str) -> bool:
        return name in self.store

    def __iter__(self) -> Iterator[str]:
        return iter(self.store)

    def __len__(self) -> int:
        return len(self.store)

    def add_fusion(
        self,
        names: Iterable[str],
        name: str | None = None,
        head: Iterable[str] | None = None,
        seed: int | None = None,
        task: str | None = None,
    ) -> Adapter:
        """Add the attention over these adapters: one `Fusion` at every site where one of them sits, apart from heads.

        It is an adapter itself, to be trained, saved and loaded; `activate(name)` runs it as Fuse(*names, name=name).
        name: the adapters' names with commas when not given. head: labels of its own head, which then answers.
        """
        names = tuple(names)
        if name in names:
            raise UserError(f'"{name}" is one of those that are fused; choose another name for the fusion')
        suits.allowed(self, compose.Fuse(*names, name=names[0] if names else None))
        sites = dict.fromkeys(s for n in names for s in self[n].at if self.sites[s].kind not in HEADS)
        if not sites:
            raise UserError("these adapters have heads only: there is nothing to fuse")
        recipe = FusionConfig(of=names, sites=tuple(s for s in self.sites if s in sites))
        return self.add(",".join(names) if name is None else name, recipe, head, seed, task)

    def activate(self, setup: Setup) -> None:
        """Run this adapter, or composition, from now on; None runs the bare model."""
        self.setup = suits.checked(self, setup)

    @contextmanager
    def use(self, setup: Setup) -> Iterator["Adapters"]:
        """Run this setup within the `with` block, in this thread only."""
        setup = suits.checked(self, setup)
        self._uses.append(setup)
        self.here.setups.append(setup)
        try:
            yield self
        finally:
            self.here.setups.pop()
            self._uses.remove(setup)

    def in_use(self, name: str) -> str:
        """Where a `use` block runs adapter `name`, in words; "" where none does."""
        if any(name in compose.names(setup) for setup in self.here.setups):
            return "this `with` block"
        return "a `with` block of another thread" if any(name in compose.names(s) for s in list(self._uses)) else ""

    def hold(self, function: Callable) -> Callable:
        """The function as it runs now, whenever it is called again: `torch.utils.checkpoint` recomputes in backward.

        checkpoint(adapters.hold(layer), x, use_reentrant=False); what transformers checkpoints is held by itself.
        """
        return self.here.hold(self.active, function)

    def train(self, name: str, within: Setup = None) -> list[nn.Parameter]:
        """Freeze the model and every other adapter, activate this one; returns the parameters to train.

        within: the setup to activate, where the adapter is to learn in company: Stack("language", name).
        A fusion is trained with the adapters that it attends over frozen.
        """
        self.free(name)
        setup = suits.checked(self, name if within is None else within)
        if name not in compose.names(setup):
            raise UserError(f'{within} does not use "{name}", so nothing would be learned')
        self.freeze()
        parameters = list(self.store[name].parameters())
        for p in parameters:
            p.requires_grad_(True)
        self.store[name].base = checkpoint.known_base(self)
        self.setup = setup
        return parameters

    def freeze(self) -> None:
        """Nothing takes a gradient, and none is left: neither of the model nor of any adapter."""
        for p in (*self.model.parameters(), *self.store.parameters()):
            p.requires_grad_(False)
            p.grad = None

    def delete(self, name: str) -> None:
        """Forget an adapter; if it was active by itself, the bare model runs.

        UserError while it is part of an active composition, of a fusion, or of a `use` in any thread.
        """
        self.free(name)
        if where := self.in_use(name):
            raise UserError(f'"{name}" is in use in {where}; delete it after the block')
        for other in self.store:
            fusion = self[other].info.fusion
            if fusion and name in fusion.of:
                raise UserError(f'the fusion "{other}" attends over "{name}"; delete the fusion first')
        if name in compose.names(self.setup):
            alone = self.setup == name or (isinstance(self.setup, compose.Fuse) and self.setup.name == name)
            if not alone:
                raise UserError(f'"{name}" is part of the active {self.setup}; activate something else first')
            self.setup = None
        del self.store[name]
        if self.attached:
            self.attachment.update()

    def free(self, name: str | None = None) -> None:
        """UserError when adapter `name` (None: any) is merged, or there is no such adapter."""
        if name is not None:
            self[name]
        if self.merged is not None and name in (None, self.merged):
            raise UserError(f'"{self.merged}" is merged into the weights; call adapters.unmerge() first')

    # ---- what other files do with adapters, as methods

    merge, unmerge, merge_and_unload = merging.merge, merging.unmerge, merging.merge_and_unload
    combine, to_lora = combining.combine, combining.to_lora
    save, load = checkpoint.save, checkpoint.load
    export, adopt = formats.export, formats.adopt
    answers, explain = suits.answers, explaining.explain

    # ---- looking at them

    def count(self, name: str) -> int:
        """Parameters of an adapter, its head included."""
        return sum(p.numel() for p in self[name].parameters())

    def base_count(self) -> int:
        """Parameters of the model without its adapters."""
        return base_count(self.model)

    def summary(self) -> list[dict]:
        """One row an adapter: name, methods, sites, parameters, share of the base in %, active, trainable."""
        base, active = self.base_count(), compose.names(self.active)
        return [
            {
                "adapter": name,
                "methods": " + ".join(config.name for config in adapter.info.recipe),
                "sites": len(adapter.at),
                "parameters": self.count(name),
                "share_percent": round(100 * self.count(name) / base, 3),
                "active": name in active,
                "trainable": any(p.requires_grad for p in adapter.parameters()),
            }
            for name, adapter in self.store.items()
        ]

    def __repr__(self) -> str:
        lines = [f"Adapters on {type(self.model).__name__} ({self.base_count():,} parameters)"]
        for row in self.summary():
            marks = ", ".join(mark for mark in ("active", "trainable") if row[mark])
            lines.append(
                f"  {row['adapter']}: {row['methods']}, {row['parameters']:,} parameters "
                f"({row['share_percent']:.2f}%) at {row['sites']} sites{', ' + marks if marks else ''}"
            )
        return "\n".join(lines)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_uses": []}  # a copy is in no `with` block
