"""Put methods at the places of a transformer block: formulas, parameters, and what the whole can do."""

import ipywidgets
import torch

from ...errors import UserError
from ...methods import METHODS, Method
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
    found = []
    for name in dict.fromkeys(placed.values()):
        kinds = tuple(kind for kind, method in placed.items() if method == name)
        more = {KNOBS[name]: size} if name in KNOBS else {}
        if name == "prefix_tuning":
            more["hidden"] = 0
        found.append(METHODS[name](sites=kinds, layers=layers, **more))
    return tuple(found)


def tell(placed: dict[str, str], configs: tuple[Method, ...], sites: dict, base_count: int) -> str:
    """One line: parameters, share, whether it can be merged, whether it starts as the identity."""
    if not configs:
        return "nothing is placed: the frozen model"
    trained = sum(config.total(sites) for config in configs)
    names = dict.fromkeys(placed.values())
    stay = [name for name in names if not METHODS[name].merges]
    merge = f"no, {' and '.join(stay)} must stay attached" if stay else "yes, into the frozen weights"
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


class Places(base.FigureView):
    """A dropdown a place, a size, the layers, and presets that set all places at once.

    sites: of the model, as `find_sites` gives them; base_count: its parameters. Controls: one for every kind of site in
    `plots.PLACES` (`query`, `feedforward`, ...), `amount` (size, rank or length), `where` (layers) and `preset`.
    """

    def __init__(self, sites: dict, base_count: int):
        self._sites, self._base, self._held = sites, base_count, False
        forms = {site.kind: site.form for site in sites.values()}
        self.kinds = tuple(dict.fromkeys(kind for kind, _, _ in plots.PLACES if kind in forms))
        depth = 1 + max(site.layer for site in sites.values() if site.layer is not None)
        names = {kind: name for kind, name, _ in plots.PLACES}
        places = {
            kind: base.choice(names[kind], [NOTHING, *(m for m in OFFERED if _fits(m, kind, forms[kind]))])
            for kind in self.kinds
        }
        where = {
            "all layers": None,
            "the lower half": tuple(range(depth // 2)),
            "the upper half": tuple(range(depth // 2, depth)),
        }
        amount = ipywidgets.SelectionSlider(
            options=SIZES, value=24, description="size, rank or length", continuous_update=False, style=base.LABEL,
            layout=base.WIDE,
        )  # fmt: skip
        super().__init__(
            self._draw_places,
            height=90 + 40 * len(plots.PLACES),
            amount=amount,
            where=base.choice("layers", list(where.items())),
            **places,
        )
        self.preset = base.choice("a known method", list(PRESETS), "nothing")
        self.preset.observe(lambda change: self.set(PRESETS[change["new"]]), "value")
        grid = ipywidgets.GridBox(
            list(places.values()),
            layout={"grid_template_columns": "repeat(auto-fill, minmax(280px, 1fr))", "grid_gap": "2px 12px"},
        )
        row = ipywidgets.HBox(
            [self.preset, amount, self.where], layout={"flex_flow": "row wrap", "grid_gap": "4px 16px"}
        )
        self.children = (row, grid, *self.children[1:])

    def set(self, placed: dict[str, str]) -> None:
        """Put every place at once, and draw once."""
        self._held = True
        try:
            for kind in self.kinds:
                getattr(self, kind).value = placed.get(kind, NOTHING)
        finally:
            self._held = False
        self.refresh()

    def refresh(self) -> None:
        if not self._held:
            super().refresh()

    def _draw_places(self, amount, where, **places):
        placed = {kind: method for kind, method in places.items() if method != NOTHING}
        configs = recipe(placed, amount, where)
        shown = {}
        for config in configs:
            at = config.targets(self._sites)
            with torch.random.fork_rng(devices=[]):  # built once where it is narrowest, so that it may refuse
                config.build(min(at, key=lambda site: min(site.width, site.source_width)))
            for kind in config.sites:
                shown[kind] = (config.name, sum(site.kind == kind for site in at))
        if "kadapter" in placed.values() and where is not None:
            raise UserError("K-Adapter reads chosen layers of the whole model: set the layers to all")
        line = tell(placed, configs, self._sites, self._base)
        return plots.block(shown, line.split(";")[0]), line


def places_view(sites: dict, base_count: int, preset: str = "Houlsby") -> Places:
    """The widget, with a known method in place."""
    view = Places(sites, base_count)
    view.preset.value = preset
    return view
