"""How many parameters, what share of the model, how many megabytes: from configurations alone.

Models are built on the meta device: every shape is there, no number is. So a 7-billion-parameter model counts in a
fraction of a second, without weights and without a network. The sizes in data/configs are the published ones.
"""

import json
from collections import Counter
from collections.abc import Iterable
from functools import cache

import torch
from torch import nn

from ..adapter import base_count
from ..errors import UserError, suggest
from ..methods import BottleneckConfig, Method
from ..paths import DATA
from ..sites import Site, find_sites

CONFIGS = DATA / "configs"
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
Recipe = Method | Iterable[Method]


@cache
def checkpoints() -> dict[str, dict]:
    """Name -> what its file in data/configs says: checkpoint, source, counted_as, config (model_type and sizes)."""
    entries = {}
    for path in sorted(CONFIGS.glob("*.json")):
        try:
            entry = json.loads(path.read_text(encoding="utf-8"))
            entries[path.stem] = {"family": entry["config"]["model_type"], **entry}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not a readable configuration ({error}); restore it with git") from None
    return entries


def blueprint(name: str) -> nn.Module:
    """The checkpoint's base model on the meta device: all shapes, no numbers. UserError for an unknown name.

    The class is AutoModel's: embeddings, layers and (where the family has one) the pooler, without a task's head.
    """
    from transformers import AutoConfig, AutoModel

    known = checkpoints()
    if name not in known:
        raise UserError(f'no configuration "{name}"{suggest(name, known)}; known: {", ".join(known)}')
    config = dict(known[name]["config"])
    with torch.device("meta"):
        return AutoModel.from_config(AutoConfig.for_model(config.pop("model_type"), **config)).to("meta")


def measure(model: str | nn.Module) -> tuple[int, dict[str, Site]]:
    """(parameters of the model without adapters, its sites), for a name in `checkpoints()` or a model at hand."""
    if isinstance(model, str):
        return _measured(model)
    return base_count(model), find_sites(model)


@cache
def _measured(name: str) -> tuple[int, dict[str, Site]]:
    return measure(blueprint(name))


def parts(model: str | nn.Module, recipe: Recipe) -> list[dict]:
    """What a recipe adds, a row a method and width: method, width, sites, formula, numbers, each, total.

    What a method's sites share (Compacter's rule) is a row of its own, "compacter, shared", without a width.

    recipe: a method's config or several, as `houlsby(64)`. No numbers are made, of the model or of the adapter.
    """
    sites = measure(model)[1]
    rows: list[dict] = []
    for config in (recipe,) if isinstance(recipe, Method) else recipe:
        chosen = config.targets(sites)
        kinds: Counter = Counter(
            (config.name, site.width, config.count(site), _numbers(config, site)) for site in chosen
        )
        if shared := config.count_common(chosen):
            kinds[f"{config.name}, shared", None, shared, str(shared)] = 1
        for (method, width, each, numbers), many in kinds.items():
            row = {"method": method, "width": width, "sites": many, "formula": config.parameters}
            rows.append({**row, "numbers": numbers, "each": each, "total": many * each})
    return rows


def _numbers(config: Method, site: Site) -> str:
    """The formula with its numbers put in: "2·64·768 + 64 + 768"."""
    if type(config) is BottleneckConfig:  # not those that build on it
        return f"2·{config.size}·{site.width} + {config.size} + {site.width}"
    if config.name == "layernorm":
        return f"2·{site.width}"
    return str(config.count(site))


def count(model: str | nn.Module, recipe: Recipe, tasks: int = 1, dtype: str = "float32") -> dict:
    """`storage` of `tasks` tasks on a model, with its name and its family ("model", "family") before it.

    model: a name in `checkpoints()` or a model at hand. recipe: without a head, which both ways need alike.
    Errors: UserError for an unknown name, method site or dtype, and for less than one task.
    """
    adapter = sum(row["total"] for row in parts(model, recipe))
    if isinstance(model, str):
        name, family = model, checkpoints()[model]["family"]
    else:
        name, family = type(model).__name__, model.config.model_type
    return {"model": name, "family": family, **storage(measure(model)[0], adapter, tasks, dtype)}


def storage(base: int, adapter: int, tasks: int = 1, dtype: str = "float32") -> dict:
    """Parameters and megabytes (10^6 bytes) of `tasks` tasks: one model with adapters, against a copy a task.

    base, adapter: parameters of the model and of one task's adapter. dtype: of everything that is stored.
    Returns base, adapter, share_percent (adapter / base), tasks, and for both ways, "adapters" and "copies",
    their parameters, times (of the base: Table 1's "total num params") and mb.
    Errors: UserError for an unknown dtype and for less than one task.
    """
    if not isinstance(tasks, int) or isinstance(tasks, bool) or tasks < 1:
        raise UserError(f"tasks must be a whole number of at least 1, not {tasks!r}")
    if dtype not in BYTES:
        raise UserError(f'unknown dtype "{dtype}"{suggest(dtype, BYTES)}; known: {", ".join(BYTES)}')
    row = {"base": base, "adapter": adapter, "share_percent": 100 * adapter / base, "tasks": tasks}
    for way, parameters in (("adapters", base + tasks * adapter), ("copies", tasks * base)):
        row[f"{way}_parameters"] = parameters
        row[f"{way}_times"] = parameters / base
        row[f"{way}_mb"] = parameters * BYTES[dtype] / 1e6
    return row


def table(recipe: Recipe, models: Iterable | None = None, tasks: int = 1, dtype: str = "float32") -> list[dict]:
    """`count` for several models (None: all that `checkpoints` knows), the largest share first."""
    rows = [count(model, recipe, tasks, dtype) for model in (models or checkpoints())]
    return sorted(rows, key=lambda row: -row["share_percent"])


def size_from_reduction(width: int, factor: float) -> int:
    """The bottleneck size that AdapterHub makes of a reduction factor: width / factor, rounded down, at least 1.

    (`adapters` library: int(hidden_size // reduction_factor), and never below 1.) UserError unless factor > 0.
    """
    if not factor > 0:
        raise UserError(f"a reduction factor must be above 0, not {factor!r}")
    return max(1, int(width // factor))
