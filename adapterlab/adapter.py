"""One adapter: what its file says besides its numbers, and its modules by site."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from .errors import UserError
from .methods import Change, FusionConfig, HeadConfig, Method
from .sites import Site

if TYPE_CHECKING:
    from .adapters import Adapters

CHILD = "adapterlab"  # the name under which the adapters hang on the model while attached


def base_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The model's parameters by name, without those of its adapters."""
    return {name: p for name, p in model.named_parameters() if not name.startswith(CHILD + ".")}


def base_count(model: nn.Module) -> int:
    """Parameters of the model without its adapters."""
    return sum(p.numel() for p in base_parameters(model).values())


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that take gradients."""
    return [p for p in model.parameters() if p.requires_grad]


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(parameters that require a gradient, parameters of the model without its adapters)."""
    return sum(p.numel() for p in trained_parameters(model)), base_count(model)


@dataclass(frozen=True)
class Info:
    """What an adapter's file says besides its numbers."""

    recipe: tuple[Method, ...]
    task: str | None = None
    metric: str | None = None
    score: float | None = None

    def to_dict(self) -> dict:
        return {**vars(self), "recipe": [config.to_dict() for config in self.recipe]}

    @property
    def head(self) -> HeadConfig | None:
        return next((config for config in self.recipe if isinstance(config, HeadConfig)), None)

    @property
    def fusion(self) -> FusionConfig | None:
        return next((config for config in self.recipe if isinstance(config, FusionConfig)), None)

    @property
    def pools(self) -> bool:
        """Has it a head that makes its own vector of the encoder's states?"""
        return self.head is not None and self.head.pools

    @property
    def methods(self) -> tuple[Method, ...]:
        """The recipe without the head."""
        return tuple(config for config in self.recipe if not isinstance(config, HeadConfig))


class Adapter(nn.Module):
    """One adapter's modules. `at[site]` lists them in order; parameter names read "layers.0.attention.bottleneck...".

    What a method's sites share is under "common.<method>"; their modules hold it in a tuple, so that it counts once.
    `base` is what is known of the base that it was trained on, or loaded for: `files.checkpoint.base_identity`, of a
    peer's file the name alone, None before either.
    """

    def __init__(self, info: Info, sites: dict[str, Site]):
        super().__init__()
        self.info = info
        self.base: dict | None = None
        self.at: dict[str, list[Change]] = {}
        self.in_common: list[nn.Module] = []
        for i, config in enumerate(info.recipe):
            targets = config.targets(sites)
            common = config.common(targets)
            if common is not None:
                self.in_common.append(common)
                again = config.name in [other.name for other in info.recipe[:i]]
                _place(self, f"common.{config.name}{i if again else ''}", common)
            for site in targets:
                module = config.build(site)
                if common is not None:
                    module.common = (common,)
                _place(self, f"{site.name}.{config.name}", module)
                self.at.setdefault(site.name, []).append(module)

    @property
    def head_parts(self) -> nn.ModuleList:
        """The head's modules, from the encoder to the labels; empty where there is no head."""
        sites = self.info.head.sites if self.info.head else ()
        return nn.ModuleList(self.at[site][-1] for site in sites if site in self.at)

    def bind(self, owner: "Adapters", new: bool = False) -> None:
        """Show every module the frozen one at its site; `new`: it may start from the frozen weights."""
        for name, modules in self.at.items():
            for module in modules:
                module.bind(owner.model.get_submodule(owner.sites[name].module), owner, new)


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    """Hang module at the dotted path below root, with plain nn.Modules on the way."""
    *parents, last = path.split(".")
    for part in parents:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root._modules[part]
    if last in root._modules:
        raise UserError(f'two methods of the same kind at "{path}"; give one of them other sites')
    root.add_module(last, module)
