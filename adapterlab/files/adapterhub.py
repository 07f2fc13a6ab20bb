"""AdapterHub's format, of the Adapters library: adapter_config.json and adapter.safetensors, the adapter's name inside.

Holds bottlenecks (Houlsby, Pfeiffer, parallel), Compacter, LoRA, (IA)^3, prefix tuning and fusions, and heads: one map
on the frozen pooler or on the first token, or two with the family's activation between them. For models built like
BERT, whose module names the format contains.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..errors import UserError
from ..methods import (
    BottleneckConfig,
    CompacterConfig,
    FusionConfig,
    HeadConfig,
    IA3Config,
    LoRAConfig,
    Method,
    ParallelConfig,
    PfeifferConfig,
    PrefixTuningConfig,
)
from ..sites import HEADS, Site, prefix
from .names import Tensors, base_name, body, config_of, kinds, refuse, shape, take, tensors_of

if TYPE_CHECKING:
    from ..adapters import Adapters

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"
HEAD_CONFIG, HEAD_SAFE, HEAD_PICKLED = "head_config.json", "model_head.safetensors", "pytorch_model_head.bin"
FUSION_CONFIG = "adapter_fusion_config.json"
FUSION_SAFE, FUSION_PICKLED = "model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin"
VERSION = "adapters.1.3.0"
FAMILIES = {"bert": "tanh", "roberta": "tanh", "xlm-roberta": "tanh", "electra": "gelu"}  # in the head of two maps
ACTIVATIONS = ("relu", "gelu", "tanh", "swish")
LETTERS = {"query": "q", "key": "k", "value": "v"}
SUBLAYERS = {"attention": "attention.output", "feedforward": "output"}  # kind of site -> module of a layer
LINEARS = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "inner": "intermediate.dense", "outer": "output.dense",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """Which tensor in AdapterHub's file is which of ours: `parts` at every site, `shared` once; their name -> ours."""

    modules: dict[str, str] = field(default_factory=dict)
    holder: str = ""  # in a module: "adapters" of "encoder.layer.0.output.adapters.NAME.adapter_up.weight"
    parts: dict[str, str] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)


PAIR = {"adapter_down.0.weight": "down.weight", "adapter_down.0.bias": "down.bias",
        "adapter_up.weight": "up.weight", "adapter_up.bias": "up.bias"}  # fmt: skip
PHM = {"adapter_down.0.W_left": "down.s", "adapter_down.0.W_right": "down.t", "adapter_down.0.b": "down.bias",
       "adapter_up.W_left": "up.s", "adapter_up.W_right": "up.t", "adapter_up.b": "up.bias"}  # fmt: skip
ATTENTION = {name: name for name in ("query.weight", "query.bias", "key.weight", "key.bias", "value.weight")}
PREFIX_ROOT = "prefix_tuning.prefix_tunings.{name}.self_prefix."
PREFIX_NET = {
    f"{PREFIX_ROOT}{theirs}": f"layers_memory.{ours}"
    for theirs, ours in (
        ("wte.weight", "tokens"), ("control_trans.0.weight", "down.weight"), ("control_trans.0.bias", "down.bias"),
        ("control_trans.2.weight", "up.weight"), ("control_trans.2.bias", "up.bias"),
    )
}  # fmt: skip
HEAD = "heads.{name}.{index}.{part}"  # index: 1 of the first map, 4 of the second
LAYOUTS = {
    "bottleneck": Layout(SUBLAYERS, "adapters", PAIR),
    "pfeiffer": Layout(SUBLAYERS, "adapters", PAIR),
    "parallel": Layout(SUBLAYERS, "adapters", PAIR),
    "compacter": Layout(SUBLAYERS, "adapters", PHM, {"shared_parameters.{name}.phm_rule": "rule"}),
    "lora": Layout(LINEARS, "loras", {"lora_A": "A", "lora_B": "B"}),
    "ia3": Layout(LINEARS, "loras", {"lora_B": "scale"}),
    "prefix_tuning": Layout(shared=PREFIX_NET),
    "fusion": Layout(SUBLAYERS, "adapter_fusion_layer", ATTENTION),
}

# what a bottleneck's settings are when nothing is unusual; None: read below
BOTTLENECK = {
    "adapter_residual_before_ln": False, "cross_adapter": False, "dropout": 0.0, "factorized_phm_W": True,
    "factorized_phm_rule": False, "hypercomplex_nonlinearity": "glorot-uniform", "init_weights": "bert",
    "init_weights_seed": None, "inv_adapter": None, "inv_adapter_reduction_factor": None, "is_parallel": False,
    "learn_phm": True, "leave_out": [], "ln_after": False, "ln_before": False, "mh_adapter": True,
    "non_linearity": "relu", "original_ln_after": True, "original_ln_before": False, "output_adapter": True,
    "phm_bias": True, "phm_c_init": "normal", "phm_dim": 4, "phm_init_range": 0.0001, "phm_layer": False,
    "phm_rank": 1, "reduction_factor": 16, "residual_before_ln": True, "scaling": 1.0, "shared_W_phm": False,
    "shared_phm_rule": True, "stochastic_depth": 0.0, "use_gating": False,
}  # fmt: skip
FREE = ("dropout", "hypercomplex_nonlinearity", "init_weights", "init_weights_seed", "inv_adapter_reduction_factor",
        "is_parallel", "leave_out", "mh_adapter", "non_linearity", "original_ln_before", "output_adapter", "phm_c_init",
        "phm_dim", "phm_init_range", "phm_layer", "phm_rank", "reduction_factor", "scaling",
        "stochastic_depth")  # fmt: skip
LORA = {
    "alpha": 8, "architecture": "lora", "attn_matrices": ["q", "v"], "composition_mode": "add", "dropout": 0.0,
    "dtype": None, "init_weights": "lora", "init_weights_seed": None, "intermediate_lora": False, "leave_out": [],
    "output_lora": False, "r": 8, "selfattn_lora": True, "use_dora": False, "use_gating": False, "vera_b": None,
    "vera_d": None,
}  # fmt: skip
PREFIX = {
    "architecture": "prefix_tuning", "bottleneck_size": 512, "cross_prefix": True, "dropout": 0.0,
    "encoder_prefix": True,
    "flat": False, "init_weights_seed": None, "leave_out": [], "non_linearity": "tanh", "prefix_length": 30,
    "shared_gating": True, "use_gating": False,
}  # fmt: skip
FUSION = {
    "dropout_prob": None, "key": True, "query": True, "query_before_ln": False, "regularization": True,
    "residual_before": False, "temperature": False, "value": True, "value_before_softmax": True,
    "value_initialized": True,
}  # fmt: skip
LORA_FREE = ("alpha", "attn_matrices", "composition_mode", "dropout", "dtype", "init_weights", "init_weights_seed",
             "intermediate_lora", "leave_out", "output_lora", "r", "selfattn_lora")  # fmt: skip
PREFIX_FREE = (
    "bottleneck_size",
    "dropout",
    "flat",
    "init_weights_seed",
    "prefix_length",
    "cross_prefix",
    "shared_gating",
)
FUSION_FREE = ("dropout_prob", "regularization", "value_initialized")


def owns(folder: Path) -> bool:
    """Did the Adapters library write this folder?"""
    path = folder / CONFIG
    return (folder / FUSION_CONFIG).is_file() or (path.is_file() and "peft_type" not in config_of(path))


# ---- tensors, both ways


def tensor_names(adapters: "Adapters", config: Method, name: str, sites: Iterable[str]) -> dict[str, str]:
    """The names of an adapter's tensors in AdapterHub's file, behind "bert.", and ours."""
    layout = LAYOUTS[config.name]
    names = {theirs.format(name=name): f"common.{config.name}.{ours}" for theirs, ours in layout.shared.items()}
    for site in sites:
        for theirs, ours in layout.parts.items():
            module = _module(adapters, site, layout.modules, config.name)
            names[f"{module}.{layout.holder}.{name}.{theirs}"] = f"{site}.{config.name}.{ours}"
    return names


def _module(adapters: "Adapters", site: str, modules: dict[str, str], what: str) -> str:
    """The dotted path that AdapterHub gives to a site, "encoder.layer.0.attention.output"."""
    kind, layer = adapters.sites[site].kind, adapters.sites[site].layer
    if kind not in modules:
        raise UserError(f'AdapterHub has no {what} at "{site}"; it has them at: {", ".join(modules)}')
    return f"encoder.layer.{layer}.{modules[kind]}"


def _theirs(adapters: "Adapters", config: Method, name: str, sites: list[str], tensors: Tensors) -> Tensors:
    """Our tensors under AdapterHub's names, in its shapes."""
    if isinstance(config, PrefixTuningConfig) and not config.hidden:  # (length, layers, 2 * width) as one row
        prefixes = [tensors[f"{site}.prefix_tuning.own"] for site in sites]
        return {f"{PREFIX_ROOT.format(name=name)}control_trans": torch.stack(prefixes, 1).flatten()}
    names = tensor_names(adapters, config, name, sites)
    column = isinstance(config, IA3Config)
    return {theirs: tensors[ours][:, None] if column else tensors[ours] for theirs, ours in names.items()}


def _ours(adapters: "Adapters", folder: Path, config: Method, name: str, tensors: Tensors) -> Tensors:
    """AdapterHub's tensors under our names, in our shapes; they are taken out of `tensors`."""
    sites = [site.name for site in config.targets(adapters.sites)]
    if isinstance(config, PrefixTuningConfig) and not config.hidden:
        row = take(folder, tensors, f"{PREFIX_ROOT.format(name=name)}control_trans")
        if row.numel() != config.length * len(sites) * 2 * shape(adapters).hidden_size:
            raise UserError(f'"{folder}": the prefixes are not {config.length} long for {len(sites)} layers')
        prefixes = row.reshape(config.length, len(sites), -1).unbind(1)
        return {f"{site}.prefix_tuning.own": own for site, own in zip(sites, prefixes, strict=True)}
    ours = {}
    for theirs, key in tensor_names(adapters, config, name, sites).items():
        ours[key] = take(folder, tensors, theirs)
        if isinstance(config, IA3Config):
            if ours[key].ndim != 2 or ours[key].shape[1] != 1:
                raise UserError(f'"{folder}": "{theirs}" is {tuple(ours[key].shape)} and must be one column')
            ours[key] = ours[key][:, 0]
    return ours


# ---- ours for AdapterHub


def write(adapters: "Adapters", name: str, with_head: bool = True) -> dict[str, dict]:
    """{file name: JSON object or tensors}."""
    model, adapter = adapters.model, adapters[name]
    _known_family(adapters)
    config, head = body(adapters, name, "AdapterHub", LAYOUTS)
    if getattr(config, "gated", False):
        raise UserError(f'AdapterHub cannot hold "{name}": its gate is another one than UniPELT\'s')
    sites = [site for site in adapter.at if adapters.sites[site].kind not in HEADS]
    described = {
        "hidden_size": shape(adapters).hidden_size,
        "model_class": re.sub(r"(For\w+|Model)$", "", type(model).__name__) + "AdapterModel",
        "model_name": base_name(model),
        "model_type": shape(adapters).model_type,
        "name": ",".join(config.of) if isinstance(config, FusionConfig) else name,
        "version": VERSION,
    }
    settings = SETTINGS[config.name](adapters, config, sites)
    state = adapter.state_dict()
    base = prefix(model) or f"{model.base_model_prefix}."
    tensors = _theirs(adapters, config, described["name"], sites, state)
    tensors = {base + key: tensor for key, tensor in tensors.items()}
    if isinstance(config, FusionConfig):
        names = {"adapter_names": list(config.of)}
        files = {FUSION_CONFIG: {**names, "config": settings, **described}, FUSION_SAFE: tensors}
    else:
        files = {CONFIG: {"config": settings, **described}, SAFE: tensors}
    if head and with_head:
        settings, files[HEAD_SAFE] = _write_head(adapters, name, head, described["name"])
        files[HEAD_CONFIG] = {"config": settings, **described}
    return files


def _known_family(adapters: "Adapters") -> None:
    if shape(adapters).model_type not in FAMILIES:
        raise UserError(
            f"AdapterHub's names for {shape(adapters).model_type} are not known here; for: {', '.join(FAMILIES)}"
        )


def _dense(adapters: "Adapters") -> Site | None:
    """The map before the last one of a head on the first token, as these families have it; None where there is none."""
    maps = [site for site in adapters.sites.values() if site.form == "head map"]
    last = adapters.sites.get("head")
    return maps[0] if len(maps) == 1 and last is not None and last.states is not None else None


def _is_pooler(dense: Site) -> bool:
    return "pooler" in dense.module.split(".")


def _left_out(adapters: "Adapters", sites: list[str]) -> list[int]:
    """The layers without any of these sites; UserError where the kinds are not the same in every other layer."""
    depth = shape(adapters).num_hidden_layers
    out = sorted(set(range(depth)) - {adapters.sites[site].layer for site in sites})
    if len(sites) != (depth - len(out)) * len({adapters.sites[site].kind for site in sites}):
        raise UserError("AdapterHub cannot hold it: it takes the same kinds of sites in every layer that has any")
    return out


def _bottleneck_settings(adapters: "Adapters", config: Any, sites: list[str]) -> dict:
    if config.act not in ACTIVATIONS:
        raise UserError(f'AdapterHub does not know the activation "{config.act}"; it knows: {", ".join(ACTIVATIONS)}')
    chosen = {adapters.sites[site].kind for site in sites}
    width = shape(adapters).hidden_size
    exact = width // (width / config.size) == config.size  # it takes the width over the factor, rounded down
    settings = BOTTLENECK | {
        "mh_adapter": "attention" in chosen,
        "output_adapter": "feedforward" in chosen,
        "leave_out": _left_out(adapters, sites),
        "non_linearity": config.act,
        "reduction_factor": width / config.size if exact else width / (config.size + 0.5),
        "original_ln_before": config.name == "pfeiffer",
        "is_parallel": config.name == "parallel",
        "scaling": float(getattr(config, "scale", 1.0)),
    }
    if isinstance(config, CompacterConfig):
        settings |= {"phm_layer": True, "phm_dim": config.n, "phm_rank": config.rank}
    return settings


def _lora_settings(adapters: "Adapters", config: Any, sites: list[str]) -> dict:
    chosen = dict.fromkeys(adapters.sites[site].kind for site in sites)
    settings = LORA | {
        "attn_matrices": [LETTERS[kind] for kind in chosen if kind in LETTERS],
        "selfattn_lora": bool(set(chosen) & set(LETTERS)),
        "intermediate_lora": "inner" in chosen,
        "output_lora": "outer" in chosen,
        "leave_out": _left_out(adapters, sites),
    }
    if isinstance(config, IA3Config):
        return settings | {"composition_mode": "scale", "init_weights": "ia3", "r": 1, "alpha": 1}
    return settings | {"r": config.rank, "alpha": config.scale * config.rank, "dropout": config.dropout}


def _prefix_settings(adapters: "Adapters", config: Any, sites: list[str]) -> dict:
    if _left_out(adapters, sites):
        raise UserError("AdapterHub cannot hold it: its prefixes are for every layer")
    flat = not config.hidden
    return PREFIX | {"prefix_length": config.length, "flat": flat, "bottleneck_size": config.hidden or 512}


SETTINGS = {
    **dict.fromkeys(("bottleneck", "pfeiffer", "parallel", "compacter"), _bottleneck_settings),
    **dict.fromkeys(("lora", "ia3"), _lora_settings),
    "prefix_tuning": _prefix_settings,
    "fusion": lambda adapters, config, sites: FUSION,
}


def _write_head(adapters: "Adapters", name: str, head: HeadConfig, called: str) -> tuple[dict, Tensors]:
    """(config, tensors) of a head, which is `called` so in its file."""
    dense, parts = _dense(adapters), adapters[name].at
    if dense is None or head.pooling in ("mean", "last"):
        reads = f"takes the {head.pooling} of the encoder's states" if head.pools else "is none that classifies texts"
        raise UserError(
            f'AdapterHub cannot hold the head of "{name}", which {reads}: it has heads on the pooler and on the first '
            'token; train it with pooling="first" or "model", or say export(..., head=False)'
        )
    pooler = not head.pools and dense.name not in parts and _is_pooler(dense)
    layers = [parts["head"][-1].linear]
    if not head.pools and not pooler:
        own = dense.name in parts
        layers.insert(0, parts[dense.name][-1].linear if own else adapters.model.get_submodule(dense.module))
    settings = {
        "activation_function": FAMILIES[shape(adapters).model_type], "bias": True,
        "dropout_prob": head.dropout if head.pools else None, "head_type": "classification",
        "label2id": {label: i for i, label in enumerate(head.labels)}, "layers": len(layers),
        "num_labels": len(head.labels), "use_pooler": pooler,
    }  # fmt: skip
    return settings, {
        HEAD.format(name=called, index=1 + 3 * i, part=part): getattr(layer, part)
        for i, layer in enumerate(layers)
        for part in ("weight", "bias")
    }


# ---- AdapterHub's for us


def read(adapters: "Adapters", folder: Path, head: bool, pickle: bool) -> tuple[str, list[Method], Tensors]:
    """(the name in the file, recipe, tensors under our names)."""
    _known_family(adapters)
    fusion = (folder / FUSION_CONFIG).is_file()
    described = config_of(folder / (FUSION_CONFIG if fusion else CONFIG))
    name, settings = _name_and_settings(adapters, folder, described)
    files = (FUSION_SAFE, FUSION_PICKLED) if fusion else (SAFE, PICKLED)
    root = f"{adapters.model.base_model_prefix}."
    tensors = {key.removeprefix(root): tensor for key, tensor in tensors_of(folder, *files, pickle).items()}
    architecture = settings.get("architecture")
    config: Method
    if fusion:
        config = _read_fusion(adapters, folder, described, tensors)
    elif architecture is None and "reduction_factor" in settings:
        config = _read_bottleneck(adapters, folder, settings)
    elif architecture == "lora":
        config = _read_lora(adapters, folder, settings)
    elif architecture == "prefix_tuning":
        config = _read_prefix(folder, settings, tensors)
    else:
        raise UserError(f'"{folder}": AdapterHub\'s architecture {architecture!r} cannot be held here')
    ours = _ours(adapters, folder, config, ",".join(config.of) if isinstance(config, FusionConfig) else name, tensors)
    if tensors:
        raise UserError(f'"{folder}" has an unexpected tensor "{sorted(tensors)[0]}" ({len(tensors)} in all)')
    recipe: list[Method] = [config]
    if head and (folder / HEAD_CONFIG).is_file():
        recipe.append(_read_head(adapters, folder, pickle, ours))
    return name.replace(".", "_"), recipe, ours


def _name_and_settings(adapters: "Adapters", folder: Path, described: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, settings = described.get("name"), described.get("config")
    if not isinstance(name, str) or not isinstance(settings, dict):
        raise UserError(f'"{folder}": "name" or "config" is missing or of another kind than AdapterHub writes')
    family, width = described.get("model_type"), described.get("hidden_size")
    model = shape(adapters)
    if family != model.model_type or width != model.hidden_size:
        raise UserError(
            f'"{folder}" was trained on a {family}, {width} wide; this model is a {model.model_type}, '
            f"{model.hidden_size} wide"
        )
    return name, settings


def _check(settings: dict[str, Any], usual: dict[str, Any], free: Iterable[str]) -> None:
    """UserError for a setting that is neither free nor as usual."""
    refuse("AdapterHub", settings, {key: None if key in free else (value,) for key, value in usual.items()})


def _sites(adapters: "Adapters", folder: Path, settings: dict[str, Any], chosen: Iterable[str]) -> tuple[str, ...]:
    """Our sites of these kinds, in all layers but those left out, as a config has them."""
    out = settings.get("leave_out") or []
    depth = shape(adapters).num_hidden_layers
    if not isinstance(out, list) or not all(type(n) is int and 0 <= n < depth for n in out):
        raise UserError(f'"{folder}": "leave_out" {out!r} must list layers from 0 to {depth - 1}')
    names = [name for name, site in adapters.sites.items() if site.kind in chosen and site.layer not in out]
    if not names:
        raise UserError(f'"{folder}" is an adapter at no site at all')
    return kinds(adapters.sites, names)


def _read_bottleneck(adapters: "Adapters", folder: Path, settings: dict[str, Any]) -> Method:
    phm, parallel, pfeiffer = (bool(settings.get(key)) for key in ("phm_layer", "is_parallel", "original_ln_before"))
    _check(settings, BOTTLENECK, FREE if phm else (*FREE, *(key for key in BOTTLENECK if "phm" in key)))
    scale = settings.get("scaling", 1.0)
    if parallel + pfeiffer + phm > 1 or (scale != 1.0 and not parallel):
        raise UserError(
            f'"{folder}": this mixture of is_parallel, original_ln_before, phm_layer and scaling has no counterpart '
            "here"
        )
    chosen = [
        kind for kind, key in (("attention", "mh_adapter"), ("feedforward", "output_adapter")) if settings.get(key)
    ]
    size, act = _size_and_activation(adapters, folder, settings)
    shared: dict[str, Any] = {"size": size, "act": act, "sites": _sites(adapters, folder, settings, chosen)}
    if phm:
        return CompacterConfig(n=settings["phm_dim"], rank=settings["phm_rank"], **shared)
    if parallel:
        return ParallelConfig(scale=scale, **shared)
    return PfeifferConfig(**shared) if pfeiffer else BottleneckConfig(**shared)


def _size_and_activation(adapters: "Adapters", folder: Path, settings: dict[str, Any]) -> tuple[int, str]:
    factor, act = settings["reduction_factor"], settings.get("non_linearity")
    number = isinstance(factor, int | float) and not isinstance(factor, bool)
    if not number or not 0 < factor < float("inf") or not isinstance(act, str):
        raise UserError(f'"{folder}": reduction_factor {factor!r} must be one number above 0 and non_linearity a name')
    if act.lower() not in ACTIVATIONS:
        raise UserError(f'"{folder}": the activation "{act}" is not known here; known: {", ".join(ACTIVATIONS)}')
    return max(1, int(shape(adapters).hidden_size // factor)), act.lower()


def _read_lora(adapters: "Adapters", folder: Path, settings: dict[str, Any]) -> Method:
    _check(settings, LORA, LORA_FREE)
    letters = settings.get("attn_matrices") if settings.get("selfattn_lora") else []
    if not isinstance(letters, list) or not all(letter in LETTERS.values() for letter in letters):
        raise UserError(f'"{folder}": "attn_matrices" {letters!r} must list q, k or v')
    chosen = [kind for kind, letter in LETTERS.items() if letter in letters]
    chosen += [kind for kind, key in (("inner", "intermediate_lora"), ("outer", "output_lora")) if settings.get(key)]
    sites = _sites(adapters, folder, settings, chosen)
    mode, rank, alpha = (settings.get(key) for key in ("composition_mode", "r", "alpha"))
    if mode == "scale" and rank == alpha == 1:
        return IA3Config(sites=sites)
    if mode != "add":
        raise UserError(f'"{folder}": composition_mode {mode!r} with this r and alpha has no counterpart here')
    return LoRAConfig(rank=settings["r"], alpha=settings["alpha"], dropout=settings.get("dropout") or 0.0, sites=sites)


def _read_prefix(folder: Path, settings: dict[str, Any], tensors: Tensors) -> Method:
    _check(settings, PREFIX, PREFIX_FREE)
    # a pickle has the pool once more in every layer, as the same tensors
    for key in list(tensors):
        if re.fullmatch(r"encoder\.layer\.\d+\.attention\.self\.prefix_tuning\.pool\..*", key):
            twin = f"prefix_tuning.{key.split('.prefix_tuning.pool.', 1)[1]}"
            if twin not in tensors or not tensors[twin].equal(tensors[key]):
                raise UserError(f'"{folder}": "{key}" is not the prefix of the whole model')
            tensors.pop(key)
    hidden = 0 if settings.get("flat") else settings["bottleneck_size"]
    return PrefixTuningConfig(length=settings["prefix_length"], hidden=hidden, sites=("memory",))


def _read_fusion(adapters: "Adapters", folder: Path, described: dict[str, Any], tensors: Tensors) -> FusionConfig:
    _check(described["config"], FUSION, FUSION_FREE)
    of = described.get("adapter_names") or described["name"].split(",")
    if not isinstance(of, list) or not all(isinstance(name, str) for name in of):
        raise UserError(f'"{folder}": "adapter_names" must list names, not {of!r}')
    candidates = [name for name, site in adapters.sites.items() if site.kind in SUBLAYERS]
    config, sites = FusionConfig(of=tuple(of)), []
    for site in candidates:
        if tensors.keys() & tensor_names(adapters, config, ",".join(of), [site]).keys():
            sites.append(site)
    if not sites:
        raise UserError(f'"{folder}" holds no fusion of {", ".join(of)}')
    return FusionConfig(of=tuple(of), sites=tuple(sites))


def _read_head(adapters: "Adapters", folder: Path, pickle: bool, ours: Tensors) -> HeadConfig:
    """The head's config; its tensors are put into `ours`."""
    described = config_of(folder / HEAD_CONFIG)
    settings, name = described.get("config"), described.get("name")
    if not isinstance(settings, dict) or not isinstance(name, str):
        raise UserError(f'"{folder / HEAD_CONFIG}": "name" or "config" is missing')
    dense = _dense(adapters)
    read = tuple(settings.get(key) for key in ("head_type", "layers", "use_pooler"))
    act, activation = settings.get("activation_function"), FAMILIES[shape(adapters).model_type]
    poolings = {("classification", 1, False): "first"}
    if dense is not None and _is_pooler(dense) and not dense.missing:
        poolings["classification", 1, True] = "model"
    if dense is not None and act == activation:
        poolings["classification", 2, False] = "model" if dense.missing else "own"
    if dense is None or read not in poolings or not settings.get("bias", True):
        raise UserError(
            f'"{folder}" has a head of type {read[0]!r} with {read[1]} layers, activation {act!r}, '
            f"{'on' if read[2] else 'without'} the pooler; on this model a head is one layer on the first token, two "
            f'with "{activation}" between them'
            f"{', or one on the pooler' if ('classification', 1, True) in poolings else ''}, with biases; "
            "say head=False to read the adapter without it"
        )
    sites = ("head", dense.name) if read[1] == 2 else ("head",)
    tensors = tensors_of(folder, HEAD_SAFE, HEAD_PICKLED, pickle)
    for i, site in enumerate(reversed(sites)):
        for part in ("weight", "bias"):
            theirs = HEAD.format(name=name, index=1 + 3 * i, part=part)
            ours[f"{site}.head.linear.{part}"] = take(folder, tensors, theirs)
    if tensors:
        raise UserError(f'"{folder}" has an unexpected tensor "{sorted(tensors)[0]}" in its head')
    count, ids = settings["num_labels"], settings.get("label2id")
    labels = tuple(map(str, range(count)))
    if isinstance(ids, dict) and len(ids) == count and all(type(i) is int for i in ids.values()):
        labels = tuple(sorted(ids, key=ids.__getitem__))
    dropout = settings.get("dropout_prob")
    dropout = adapters.sites["head"].dropout if dropout is None else dropout
    return HeadConfig(labels=labels, pooling=poolings[read], sites=sites, dropout=dropout)
