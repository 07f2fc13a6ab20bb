"""Put methods at the places of a transformer block: formulas, parameters, and what the whole can do."""

import plotly.graph_objects as go
import torch

from ...errors import UserError
from ...methods import METHODS, Method
from ...sites import Site
from ..kit import view as base
from . import figures as plots

NOTHING = "–"
SIZES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256)
OFFERED = [
    m for members in plots.GROUPS.values() for m in members if m in METHODS and m not in ("variant", "invertible")
]
ONLY = {"layernorm": "norm", "kadapter": "block"}  # offered at one kind of site alone
LINEAR = ("query", "key", "value", "attention_dense", "inner", "outer")
PRESETS = {
    "Houlsby": {"attention": "bottleneck", "feedforward": "bottleneck", "norm": "layernorm"},
    "Pfeiffer": {"feedforward": "pfeiffer"},
    "scaled parallel": {"feedforward": "parallel"},
    "Compacter": {"attention": "compacter", "feedforward": "compacter"},
    "LoRA": {"query": "lora", "value": "lora"},
    "LoRA at every matrix": dict.fromkeys(LINEAR, "lora"),
    "DoRA": {"query": "dora", "value": "dora"},
    "VeRA": {"query": "vera", "value": "vera"},
    "(IA)^3": {"key": "ia3", "value": "ia3", "hidden": "ia3"},
    "BitFit": dict.fromkeys((*LINEAR, "norm"), "bitfit"),
    "LayerNorm tuning": {"norm": "layernorm"},
    "LoReFT": {"block": "loreft"},
    "prefix tuning": {"memory": "prefix_tuning"},
    "prompt tuning": {"prompt": "prompt_tuning"},
    "Mix-and-Match": {"memory": "prefix_tuning", "feedforward": "parallel"},
    "K-Adapter": {"block": "kadapter"},
    "nothing": {},
}
IDENTITY = {
    **dict.fromkeys(("parallel", "lora", "dora", "vera", "shira", "oft", "ia3", "bitfit", "layernorm"), "exactly"),
    **dict.fromkeys(("bottleneck", "pfeiffer", "variant", "compacter", "invertible"), "nearly"),
    **dict.fromkeys(("loreft", "prefix_tuning", "prompt_tuning", "kadapter"), "no"),
}
"""Does a new one leave the model's output as it was? With each method's default settings."""


def recipe(placed: dict[str, str], size: int, layers: tuple[int, ...] | None = None) -> tuple[Method, ...]:
    """Configs of what is placed: kind of site -> method. size: of whatever has a size, a rank or a length."""
    configs = []
    for name in dict.fromkeys(placed.values()):
        fields = METHODS[name].__dataclass_fields__
        more = {next((f for f in ("size", "rank", "length") if f in fields), None): size}
        more |= {"hidden": 0} if name == "prefix_tuning" else {}
        kinds = tuple(kind for kind, method in placed.items() if method == name)
        configs.append(METHODS[name](sites=kinds, layers=layers, **{k: v for k, v in more.items() if k}))
    return tuple(configs)


def tell(configs: tuple[Method, ...], sites: dict[str, Site], base_count: int) -> str:
    """One line: parameters, share, whether it can be merged, whether it starts as the identity."""
    if not configs:
        return "nothing is placed: the frozen model"
    trained, names = sum(config.total(sites) for config in configs), [config.name for config in configs]
    stuck = [config.name for config in configs if not config.merges]
    merge = f"no, {' and '.join(stuck)} must stay attached" if stuck else "yes, into the frozen weights"
    start = max((IDENTITY[name] for name in names), key=["exactly", "nearly", "no"].index)
    return (
        f"{' + '.join(names)}: {trained:,} parameters ({100 * trained / base_count:.3f}% of the model); "
        f"merges: {merge}; starts as the identity: {start}"
    )


def places_view(sites: dict[str, Site], base_count: int, preset: str = "Houlsby") -> base.Presets:
    """A dropdown a place, a size, the layers, and presets that set all places at once.

    sites: of the model, as `find_sites` gives them; base_count: its parameters; preset: a key of PRESETS. Controls: one
    for every kind of site in `figures.PLACES` (`query`, ...), `amount` (size, rank or length), `where` and `preset`.
    """
    forms = {site.kind: site.form for site in sites.values()}
    depth = 1 + max(site.layer for site in sites.values() if site.layer is not None)
    halves = {"the lower half": tuple(range(depth // 2)), "the upper half": tuple(range(depth // 2, depth))}

    def draw(amount: int, where: tuple[int, ...] | None, **places: str) -> tuple[go.Figure, str]:
        configs = recipe({kind: method for kind, method in places.items() if method != NOTHING}, amount, where)
        badges = {}
        for config in configs:
            targets = config.targets(sites)
            with torch.random.fork_rng(devices=[]):  # built once where it is narrowest, so that it may refuse
                config.build(min(targets, key=lambda site: min(site.width, site.source_width)))
            badges |= {kind: (config.name, sum(site.kind == kind for site in targets)) for kind in config.sites}
        if where is not None and any(config.name == "kadapter" for config in configs):
            raise UserError("K-Adapter reads chosen layers of the whole model: set the layers to all")
        line = tell(configs, sites, base_count)
        return plots.block(badges, line.split(";")[0]), line

    def fitting(kind: str) -> list[str]:
        return [m for m in OFFERED if forms[kind] in METHODS[m].fits and ONLY.get(m, kind) == kind]

    view = base.Presets(
        draw,
        {kind: base.choice(name, [NOTHING, *fitting(kind)]) for kind, name, _ in plots.PLACES if kind in forms},
        PRESETS,
        label="a known method",
        grid={"grid_template_columns": "repeat(auto-fill, minmax(280px, 1fr))", "grid_gap": "2px 12px"},
        begin="nothing",
        height=90 + 40 * len(plots.PLACES),
        amount=base.select("size, rank or length", SIZES, 24),
        where=base.choice("layers", [("all layers", None), *halves.items()]),
    )
    view.preset.value = preset
    return view
