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
KNOBS = {
    **dict.fromkeys(("bottleneck", "pfeiffer", "parallel", "compacter", "kadapter"), "size"),
    **dict.fromkeys(("lora", "dora", "vera", "loreft"), "rank"),
    **dict.fromkeys(("prefix_tuning", "prompt_tuning"), "length"),
}
OFFERED = ("bottleneck", "pfeiffer", "parallel", "compacter", "lora", "dora", "vera", "ia3", "bitfit", "layernorm",
           "loreft", "prefix_tuning", "prompt_tuning", "kadapter")  # fmt: skip
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
    "UniPELT, without its gates": {
        "query": "lora", "value": "lora", "memory": "prefix_tuning", "feedforward": "pfeiffer"
    },
    "K-Adapter": {"block": "kadapter"},
    "nothing": {},
}  # fmt: skip


def recipe(placed: dict[str, str], size: int, layers: tuple[int, ...] | None = None) -> tuple[Method, ...]:
    """Configs of what is placed: kind of site -> method. size: of whatever has a size, a rank or a length."""
    configs = []
    for name in dict.fromkeys(placed.values()):
        kinds = tuple(kind for kind, method in placed.items() if method == name)
        more = {KNOBS[name]: size} if name in KNOBS else {}
        if name == "prefix_tuning":
            more["hidden"] = 0
        configs.append(METHODS[name](sites=kinds, layers=layers, **more))
    return tuple(configs)


def tell(placed: dict[str, str], configs: tuple[Method, ...], sites: dict[str, Site], base_count: int) -> str:
    """One line: parameters, share, whether it can be merged, whether it starts as the identity."""
    if not configs:
        return "nothing is placed: the frozen model"
    trained = sum(config.total(sites) for config in configs)
    names = dict.fromkeys(placed.values())
    unmergeable = [name for name in names if not METHODS[name].merges]
    merge = f"no, {' and '.join(unmergeable)} must stay attached" if unmergeable else "yes, into the frozen weights"
    worst = max(names, key=lambda name: (plots.EXACTLY, plots.NEARLY, plots.NOT).index(plots.IDENTITY[name]))
    start = {
        plots.EXACTLY: "yes, exactly",
        plots.NEARLY: f"nearly ({worst})",
        plots.NOT: f"no ({worst} changes the output at once)",
    }[plots.IDENTITY[worst]]
    return (
        f"{' + '.join(names)}: {trained:,} parameters ({100 * trained / base_count:.3f}% of the model); "
        f"merges: {merge}; starts as the identity: {start}"
    )


def _fits(method: str, kind: str, form: str) -> bool:
    return form in METHODS[method].fits and ONLY.get(method, kind) == kind


class PlaceBoard(base.Presets):
    """A dropdown a place, a size, the layers, and presets that set all places at once.

    sites: of the model, as `find_sites` gives them; base_count: its parameters. Controls: one for every kind of site in
    `figures.PLACES` (`query`, `feedforward`, ...), `amount` (size, rank or length), `where` (layers) and `preset`.
    """

    def __init__(self, sites: dict[str, Site], base_count: int):
        self._sites, self._base = sites, base_count
        forms = {site.kind: site.form for site in sites.values()}
        names = {kind: name for kind, name, _ in plots.PLACES if kind in forms}
        depth = 1 + max(site.layer for site in sites.values() if site.layer is not None)
        layers = {
            "all layers": None,
            "the lower half": tuple(range(depth // 2)),
            "the upper half": tuple(range(depth // 2, depth)),
        }
        super().__init__(
            self._draw_places,
            {
                kind: base.choice(name, [NOTHING, *(m for m in OFFERED if _fits(m, kind, forms[kind]))])
                for kind, name in names.items()
            },
            PRESETS,
            label="a known method",
            grid={"grid_template_columns": "repeat(auto-fill, minmax(280px, 1fr))", "grid_gap": "2px 12px"},
            begin="nothing",
            height=90 + 40 * len(plots.PLACES),
            amount=base.select("size, rank or length", SIZES, 24),
            where=base.choice("layers", list(layers.items())),
        )

    def _draw_places(self, amount: int, where: tuple[int, ...] | None, **places: str) -> tuple[go.Figure, str]:
        placed = {kind: method for kind, method in places.items() if method != NOTHING}
        configs = recipe(placed, amount, where)
        badges = {}
        for config in configs:
            targets = config.targets(self._sites)
            with torch.random.fork_rng(devices=[]):  # built once where it is narrowest, so that it may refuse
                config.build(min(targets, key=lambda site: min(site.width, site.source_width)))
            for kind in config.sites:
                badges[kind] = (config.name, sum(site.kind == kind for site in targets))
        if "kadapter" in placed.values() and where is not None:
            raise UserError("K-Adapter reads chosen layers of the whole model: set the layers to all")
        line = tell(placed, configs, self._sites, self._base)
        return plots.block(badges, line.split(";")[0]), line


def places_view(sites: dict[str, Site], base_count: int, preset: str = "Houlsby") -> PlaceBoard:
    """The widget, with a known method in place: a key of PRESETS."""
    view = PlaceBoard(sites, base_count)
    view.preset.value = preset
    return view
