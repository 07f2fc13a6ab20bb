"""What every method has in common: `Change`, its module at a site, and `Method`, the config of what goes where."""

from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, dataclass_transform

import torch
from torch import nn

from ..errors import UserError, suggest
from ..sites import Site, match

if TYPE_CHECKING:
    from ..adapters import Adapters
    from ..hooks import Here

METHODS: dict[str, type["Method"]] = {}
BLOCKS = frozenset({"Stack", "Fuse", "Split", "BatchSplit", "Parallel", "Average"})
OUTPUTS = ("linear", "norm", "sublayer", "block", "module", "hidden", "stream")
PEFT = {
    "r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout", "use_rslora": "stabilised",
    "target_modules": "sites", "layers_to_transform": "layers", "num_virtual_tokens": "length",
}  # fmt: skip
FUSED = {"query": "qkv", "key": "qkv", "value": "qkv", "gate": "gate_inner", "inner": "gate_inner"}


class Change(nn.Module):
    """A method's module at one site: forward(x, y) -> y'. What else the package asks of one stands here.

    x: (..., source_width), what went into the site; y: (..., width), what the frozen module made of it.
    """

    wants_norm: bool = False  # forward(x, y, norm): the frozen LayerNorm that follows y + x, None where there is none
    wants_context: bool = False  # it reads `Here.context`, so the model's padding and cache are to be noted
    wants_reading: bool = False  # x is a `Reading`: at a text's head, and with wants_context for its mask
    fuses: bool = False  # forward(h, z): what its Fuse's children read, and a list of what each of them adds
    reads: bool = False  # y is the input of a frozen matrix, not its output
    needs_bias: bool = False  # only a frozen module with a bias can take it in
    outermost: tuple[str, ...] = ()  # the parameters whose sign turns its effect: of B and A one, (-B)(-A) is B A again
    act: Callable[[torch.Tensor], torch.Tensor] = staticmethod(lambda h: h)  # the activation inside, where there is one
    here: "Here"  # what a thread knows of its pass, for those that want the context
    # in tuples, so that they are not parts of this module:
    common: tuple[nn.Module, ...] = ()  # (what its config's sites share,)
    frozen: tuple[nn.Module, ...] = ()  # (the frozen module itself,), where y' depends on its weights

    def bind(self, frozen: nn.Module, owner: "Adapters", new: bool) -> None:
        """Look at the frozen module of the site and at the owner; `new`: it may start from the frozen weights."""
        if self.wants_context:
            self.here = owner.here

    def merged(self, weight: torch.Tensor, bias: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        """(W', b') of a frozen module that does by itself what this one does to W, (width, source_width), and b."""
        raise NotImplementedError(f"a {type(self).__name__} is not a change of the weights alone")

    @property
    def merges(self) -> bool:
        return type(self).merged is not Change.merged


def start_small(*linears: nn.Linear, std: float = 0.02) -> None:
    """Weights from N(0, std^2), biases at 0."""
    for linear in linears:
        nn.init.normal_(linear.weight, std=std)
        nn.init.zeros_(linear.bias)


@dataclass_transform(frozen_default=True, kw_only_default=True)
@dataclass(frozen=True, kw_only=True)
class Method:
    """A method's config. A subclass sets what is a ClassVar here, and adds its numbers and `build`; it is a frozen
    dataclass without being told so.

    sites: kinds of sites ("attention", "feedforward", ...) or exact names; layers: which layers, None for all.
    The default sites take a fused projection ("qkv") where a model has no other, and with `optional` leave out the
    kinds that it lacks; sites that are asked for by name must be there.
    """

    name: ClassVar[str]
    formula: ClassVar[str] = ""  # y' in one line
    paper: ClassVar[str] = ""
    parameters: ClassVar[str] = ""  # trained parameters at a site: d wide, d_in wide at its input
    fits: ClassVar[tuple[str, ...]] = OUTPUTS  # forms of sites, see `sites.Site`
    blocks: ClassVar[frozenset[str]] = BLOCKS  # the composition blocks in which the method makes sense
    refusal: ClassVar[str] = ""  # why it makes none in the others
    merges: ClassVar[bool] = False  # can its effect be written into the frozen weights exactly?
    optional: ClassVar[bool] = False
    needs: ClassVar[str] = ""  # what a model must have for the default sites, as a clause
    sites: tuple[str, ...] = ()
    layers: tuple[int, ...] | None = None

    def __init_subclass__(cls):
        super().__init_subclass__()
        METHODS[cls.name] = dataclass(frozen=True, kw_only=True)(cls)

    def __new__(cls, *unnamed, **settings):
        known = [f.name for f in fields(cls)]
        for key in (*map(str, unnamed), *settings):
            if key not in known:
                mend = f", which is {PEFT[key]} here" if PEFT.get(key) in known else suggest(key, known)
                raise UserError(f'method "{cls.name}" has no setting "{key}"{mend}; it has: {", ".join(known)}')
        return super().__new__(cls)

    def __post_init__(self):
        for key in ("sites", "layers"):
            value = getattr(self, key)
            if value is not None:
                object.__setattr__(self, key, (value,) if isinstance(value, str | int) else tuple(value))
        self.check()

    def check(self) -> None:
        """UserError for settings that make no sense; a subclass says which, with the help of these three."""

    def positive(self, *settings: str, limit: int | None = None) -> None:
        """UserError unless each of these settings is an int from 1 to limit."""
        for setting in settings:
            value = getattr(self, setting)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UserError(f"{self.name}: {setting} must be a whole number of at least 1, not {value!r}")
            if limit is not None and value > limit:
                raise UserError(f"{self.name}: {setting} {value} is wider than the site it goes to ({limit})")

    def among(self, setting: str, known: Collection, called: str = "") -> None:
        """UserError unless the setting is one of the known; called: what a reader calls it."""
        value = getattr(self, setting)
        if value not in known:
            names = ", ".join(map(str, known))
            what = f'unknown {called or setting} "{value}"'
            raise UserError(f"{self.name}: {what}{suggest(value, known)}; known: {names}")

    def between(self, setting: str, low: float, high: float = float("inf")) -> None:
        """UserError unless low < the setting < high, or it is low and that is 0."""
        value = getattr(self, setting)
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if not right or not (low < value < high or value == low == 0):
            raise UserError(f"{self.name}: {setting} must lie between {low} and {high}, not {value!r}")

    def build(self, site: Site) -> Change:
        """The module for one site: forward(x, y) -> y'."""
        raise NotImplementedError

    def common(self, sites: list[Site]) -> nn.Module | None:
        """What this method's sites share, as Compacter's rule; each module gets it as `common`. None: nothing."""
        return None

    def count(self, site: Site) -> int:
        """Trained parameters at one site: `parameters` in numbers."""
        with torch.device("meta"):  # every shape is there, no number is
            return sum(p.numel() for p in self.build(site).parameters())

    def count_common(self, sites: list[Site]) -> int:
        """Trained parameters of `common`."""
        with torch.device("meta"):
            shared = self.common(sites)
        return 0 if shared is None else sum(p.numel() for p in shared.parameters())

    def total(self, sites: dict[str, Site]) -> int:
        """Trained parameters on a model with these sites."""
        chosen = self.targets(sites)
        return sum(self.count(site) for site in chosen) + self.count_common(chosen)

    def targets(self, sites: dict[str, Site]) -> list[Site]:
        """The model's sites that this config asks for; UserError where there is none or the method does not fit."""
        chosen = match(sites, self._kinds(sites), self.layers)
        for site in chosen:
            if site.form not in self.fits:
                kinds = dict.fromkeys(s.kind for s in sites.values() if s.form in self.fits)
                fitting = ", ".join(kinds) or "nothing here"
                raise UserError(f'{self.name} does not fit "{site.name}", which is a {site.form}; it fits: {fitting}')
        return chosen

    def _kinds(self, sites: dict[str, Site]) -> tuple[str, ...]:
        """The kinds to look for: what was asked for, or of the default what this model has."""
        if self.sites != type(self).sites:
            return self.sites
        known = {site.kind for site in sites.values()}
        kinds = [k if k in known else FUSED[k] if FUSED.get(k) in known else k for k in self.sites]
        if self.needs and not set(kinds) & known:
            raise UserError(f"{self.name} does not fit this model: it needs {self.needs}")
        if self.optional:
            kinds = [k for k in kinds if k in known] or kinds
        return tuple(dict.fromkeys(kinds))

    def to_dict(self) -> dict:
        return {"method": self.name, **asdict(self)}


def from_dict(data: dict) -> Method:
    """The config that `to_dict` wrote; UserError for an unknown method, setting or type."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    name: Any = values.pop("method", None)
    if name not in METHODS:
        raise UserError(f'unknown method "{name}"{suggest(name, METHODS)}; known: {", ".join(sorted(METHODS))}')
    return METHODS[name](**values)
