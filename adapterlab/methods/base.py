"""What every method has in common: a frozen config that says what goes where, and builds the module for a site."""

from dataclasses import asdict, dataclass, fields
from typing import ClassVar

from torch import nn

from ..errors import UserError, suggest
from ..sites import Site, match

METHODS: dict[str, type["Method"]] = {}


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method's config. Subclasses add their numbers, `build` and the closed form `count`.

    sites: kinds of sites ("attention", "feedforward", ...) or exact names; layers: which layers, None for all.
    """

    name: ClassVar[str]
    sites: tuple[str, ...] = ()
    layers: tuple[int, ...] | None = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        METHODS[cls.name] = cls

    def __post_init__(self):
        for key in ("sites", "layers"):
            value = getattr(self, key)
            if value is not None:
                object.__setattr__(self, key, (value,) if isinstance(value, str | int) else tuple(value))

    def build(self, site: Site) -> nn.Module:
        """The module for one site: forward(x, y) -> y'."""
        raise NotImplementedError

    def count(self, site: Site) -> int:
        """Trained parameters at one site, in closed form."""
        raise NotImplementedError

    def targets(self, sites: dict[str, Site]) -> list[Site]:
        """The model's sites that this config asks for."""
        return match(sites, self.sites, self.layers)

    def to_dict(self) -> dict:
        return {"method": self.name, **asdict(self)}


def from_dict(data: dict) -> Method:
    """The config that `to_dict` wrote; UserError for an unknown method, setting or type."""
    data = dict(data)
    name = data.pop("method", None)
    if name not in METHODS:
        raise UserError(
            f'unknown method "{name}"{suggest(name, METHODS)}; known: {", ".join(sorted(METHODS))}'
        )
    cls = METHODS[name]
    unknown = set(data) - {f.name for f in fields(cls)}
    if unknown:
        raise UserError(f'method "{name}" has no setting "{sorted(unknown)[0]}"')
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return cls(**values)


def positive(owner: str, what: str, value, limit: int | None = None) -> None:
    """UserError unless value is an int from 1 to limit."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UserError(f"{owner}: {what} must be a whole number of at least 1, not {value!r}")
    if limit is not None and value > limit:
        raise UserError(f"{owner}: {what} {value} is wider than the site it goes to ({limit})")
