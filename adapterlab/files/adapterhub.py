"""AdapterHub's format, of the Adapters library: adapter_config.json and adapter.safetensors, the adapter's name inside.

Holds bottlenecks (Houlsby, Pfeiffer, parallel), Compacter, LoRA, (IA)^3, prefix tuning and fusions, and heads: one map
on the frozen pooler or on the first token, or two with the family's activation between them. For models built like
BERT, whose module names the format contains. What is read is written again: a setting that differs is refused.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ..errors import UserError
from ..methods import METHODS, FusionConfig, HeadConfig, IA3Config, Method, PrefixTuningConfig
from ..sites import Site, kinds, prefix
from .checkpoint import config_of
from .names import Tensors, all_taken, body, column, refuse, shape, take, tensors_of

if TYPE_CHECKING:
    from ..adapters import Adapters

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"
HEAD_CONFIG, HEAD_SAFE, HEAD_PICKLED = "head_config.json", "model_head.safetensors", "pytorch_model_head.bin"
FUSION_CONFIG = "adapter_fusion_config.json"
FUSION_SAFE, FUSION_PICKLED = "model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin"
VERSION = "adapters.1.3.0"
FAMILIES = {"bert": "tanh", "roberta": "tanh", "xlm-roberta": "tanh", "electra": "gelu"}  # in the head of two maps
ACTIVATIONS = ("relu", "gelu", "tanh", "swish")
HEAD = "heads.{name}.{index}.{part}"  # index: 1 of the first map, 4 of the second


# ---- tensors, both ways


class Layout(NamedTuple):
    """Which tensor in AdapterHub's file is which of ours: `parts` at every site, `shared` once; their name -> ours."""

    modules: dict[str, str] = {}  # kind of site -> module of a layer
    holder: str = ""  # in a module: "adapters" of "encoder.layer.0.output.adapters.NAME.adapter_up.weight"
    parts: dict[str, str] = {}
    shared: dict[str, str] = {}


SUBLAYERS = {"attention": "attention.output", "feedforward": "output"}
LINEARS = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "inner": "intermediate.dense", "outer": "output.dense",
}  # fmt: skip
PAIR = {"adapter_down.0.weight": "down.weight", "adapter_down.0.bias": "down.bias",
        "adapter_up.weight": "up.weight", "adapter_up.bias": "up.bias"}  # fmt: skip
PHM = {"adapter_down.0.W_left": "down.s", "adapter_down.0.W_right": "down.t", "adapter_down.0.b": "down.bias",
       "adapter_up.W_left": "up.s", "adapter_up.W_right": "up.t", "adapter_up.b": "up.bias"}  # fmt: skip
ATTENTION = {name: name for name in ("query.weight", "query.bias", "key.weight", "key.bias", "value.weight")}
PREFIXES = "prefix_tuning.prefix_tunings.{name}.self_prefix."
NET = {"wte.weight": "tokens", "control_trans.0.weight": "down.weight", "control_trans.0.bias": "down.bias",
       "control_trans.2.weight": "up.weight", "control_trans.2.bias": "up.bias"}  # fmt: skip
LAYOUTS = {
    **dict.fromkeys(("bottleneck", "pfeiffer", "parallel"), Layout(SUBLAYERS, "adapters", PAIR)),
    "compacter": Layout(SUBLAYERS, "adapters", PHM, {"shared_parameters.{name}.phm_rule": "rule"}),
    "lora": Layout(LINEARS, "loras", {"lora_A": "A", "lora_B": "B"}),
    "ia3": Layout(LINEARS, "loras", {"lora_B": "scale"}),
    "prefix_tuning": Layout(shared={PREFIXES + theirs: f"layers_memory.{ours}" for theirs, ours in NET.items()}),
    "fusion": Layout(SUBLAYERS, "adapter_fusion_layer", ATTENTION),
}


def tensor_names(adapters: "Adapters", config: Method, name: str, sites: Iterable[str]) -> dict[str, str]:
    """The names of an adapter's tensors in AdapterHub's file, behind "bert.", and ours."""
    layout = LAYOUTS[config.name]
    names = {theirs.format(name=name): f"common.{config.name}.{ours}" for theirs, ours in layout.shared.items()}
    for site in sites:
        kind, layer = adapters.sites[site].kind, adapters.sites[site].layer
        if layout.parts and kind not in layout.modules:
            raise UserError(f'AdapterHub has no {config.name} at "{site}"; it has them at: {", ".join(layout.modules)}')
        for theirs, ours in layout.parts.items():
            module = f"encoder.layer.{layer}.{layout.modules[kind]}"
            names[f"{module}.{layout.holder}.{name}.{theirs}"] = f"{site}.{config.name}.{ours}"
    return names


def _theirs(adapters: "Adapters", config: Method, name: str, sites: list[str], tensors: Tensors) -> Tensors:
    """Our tensors under AdapterHub's names, in its shapes."""
    if isinstance(config, PrefixTuningConfig) and not config.hidden:  # (length, layers, 2 * width) as one row
        prefixes = [tensors[f"{site}.prefix_tuning.own"] for site in sites]
        return {f"{PREFIXES.format(name=name)}control_trans": torch.stack(prefixes, 1).flatten()}
    shown = {ours: t[:, None] if isinstance(config, IA3Config) else t for ours, t in tensors.items()}
    return {theirs: shown[ours] for theirs, ours in tensor_names(adapters, config, name, sites).items()}


def _ours(adapters: "Adapters", folder: Path, config: Method, name: str, sites: list[str], tensors: Tensors) -> Tensors:
    """AdapterHub's tensors under our names, in our shapes; they are taken out of `tensors`."""
    if isinstance(config, PrefixTuningConfig) and not config.hidden:
        row = take(folder, tensors, f"{PREFIXES.format(name=name)}control_trans")
        if row.numel() != config.length * len(sites) * 2 * shape(adapters).hidden_size:
            raise UserError(f'"{folder}": the prefixes are not {config.length} long for {len(sites)} layers')
        prefixes = row.reshape(config.length, len(sites), -1).unbind(1)
        return {f"{site}.prefix_tuning.own": own for site, own in zip(sites, prefixes, strict=True)}
    names = tensor_names(adapters, config, name, sites)
    taken = {ours: take(folder, tensors, theirs) for theirs, ours in names.items()}
    return {ours: column(folder, ours, t) for ours, t in taken.items()} if isinstance(config, IA3Config) else taken


# ---- settings, both ways


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
LORA = {
    "alpha": 8, "architecture": "lora", "attn_matrices": ["q", "v"], "composition_mode": "add", "dropout": 0.0,
    "dtype": None, "init_weights": "lora", "init_weights_seed": None, "intermediate_lora": False, "leave_out": [],
    "output_lora": False, "r": 8, "selfattn_lora": True, "use_dora": False, "use_gating": False, "vera_b": None,
    "vera_d": None,
}  # fmt: skip
USUAL: dict[str, dict[str, Any]] = {  # of a method: what its settings are when nothing is unusual
    "bottleneck": BOTTLENECK,
    "pfeiffer": BOTTLENECK | {"original_ln_before": True},
    "parallel": BOTTLENECK | {"is_parallel": True},
    "compacter": BOTTLENECK | {"phm_layer": True},
    "lora": LORA,
    "ia3": LORA | {"composition_mode": "scale", "init_weights": "ia3", "r": 1, "alpha": 1},
    "prefix_tuning": {
        "architecture": "prefix_tuning", "bottleneck_size": 512, "cross_prefix": True, "dropout": 0.0,
        "encoder_prefix": True, "flat": False, "init_weights_seed": None, "leave_out": [], "non_linearity": "tanh",
        "prefix_length": 30, "shared_gating": True, "use_gating": False,
    },
    "fusion": {
        "dropout_prob": None, "key": True, "query": True, "query_before_ln": False, "regularization": True,
        "residual_before": False, "temperature": False, "value": True, "value_before_softmax": True,
        "value_initialized": True,
    },
}  # fmt: skip
KEYS = ("architecture", "composition_mode", "original_ln_before", "is_parallel", "phm_layer")  # tell a method by them
ACT = {"non_linearity": "act"}
WORDS: dict[str, dict[str, str]] = {  # of a method: their setting -> ours
    "bottleneck": ACT, "pfeiffer": ACT, "parallel": ACT | {"scaling": "scale"},
    "compacter": ACT | {"phm_dim": "n", "phm_rank": "rank"}, "ia3": {}, "fusion": {},
    "lora": {"r": "rank", "alpha": "alpha", "dropout": "dropout"},
    "prefix_tuning": {"prefix_length": "length", "bottleneck_size": "hidden"},
}  # fmt: skip
SWITCHES = {"attention": "mh_adapter", "feedforward": "output_adapter",
            "inner": "intermediate_lora", "outer": "output_lora"}  # fmt: skip
LETTERS = {"query": "q", "key": "k", "value": "v"}
FREE = (  # what changes no output here, or has more than one right value
    "attn_matrices", "cross_prefix", "dropout", "dropout_prob", "dtype", "hypercomplex_nonlinearity", "init_weights",
    "init_weights_seed", "inv_adapter_reduction_factor", "leave_out", "phm_c_init", "phm_init_range",
    "reduction_factor", "regularization", "shared_gating", "stochastic_depth", "value_initialized",
)  # fmt: skip


def _settings(adapters: "Adapters", config: Any, sites: list[str]) -> dict[str, Any]:
    """A config in AdapterHub's words."""
    usual, width = USUAL[config.name], shape(adapters).hidden_size
    own = {theirs: getattr(config, ours) for theirs, ours in WORDS[config.name].items()}
    if "alpha" in own:
        own["alpha"] = config.scale * config.rank  # also of a rank-stabilised one
    if "bottleneck_size" in own and not config.hidden:
        own |= {"bottleneck_size": 512, "flat": True}
    if "reduction_factor" in usual:
        if config.act not in ACTIVATIONS:
            raise UserError(f'AdapterHub knows no activation "{config.act}"; it knows: {", ".join(ACTIVATIONS)}')
        exact = width // (width / config.size) == config.size  # it takes the width over the factor, rounded down
        own["reduction_factor"] = width / config.size if exact else width / (config.size + 0.5)
    return usual | _places(adapters, usual, sites) | own


def _places(adapters: "Adapters", usual: dict[str, Any], sites: list[str]) -> dict[str, Any]:
    """These sites in AdapterHub's words, of which `usual` has what counts."""
    chosen, depth = {adapters.sites[site].kind for site in sites}, shape(adapters).num_hidden_layers
    places: dict[str, Any] = {key: kind in chosen for kind, key in SWITCHES.items() if key in usual}
    if "attn_matrices" in usual:
        letters = [letter for kind, letter in LETTERS.items() if kind in chosen]
        places |= {"attn_matrices": letters, "selfattn_lora": bool(letters)}
    if "leave_out" in usual:
        places["leave_out"] = out = sorted(set(range(depth)) - {adapters.sites[site].layer for site in sites})
        if len(sites) != (depth - len(out)) * len(chosen) or (out and "prefix_length" in usual):
            raise UserError(
                "AdapterHub cannot hold it: it takes the same kinds of sites in every layer that has any, and a prefix "
                "in all layers"
            )
    return places


def _sites(adapters: "Adapters", folder: Path, settings: dict[str, Any]) -> tuple[str, ...]:
    """Our sites that the settings name."""
    letters, out = settings.get("attn_matrices") if settings.get("selfattn_lora") else [], settings.get("leave_out")
    depth = shape(adapters).num_hidden_layers
    if not isinstance(letters, list) or not all(letter in LETTERS.values() for letter in letters):
        raise UserError(f'"{folder}": "attn_matrices" {letters!r} must list q, k or v')
    if not isinstance(out or [], list) or not all(type(n) is int and 0 <= n < depth for n in out or ()):
        raise UserError(f'"{folder}": "leave_out" {out!r} must list layers from 0 to {depth - 1}')
    chosen = [kind for kind, letter in LETTERS.items() if letter in letters]
    chosen += [kind for kind, key in SWITCHES.items() if settings.get(key)]
    chosen += ["memory"] if "prefix_length" in settings else []
    names = [name for name, site in adapters.sites.items() if site.kind in chosen and site.layer not in (out or ())]
    if not names:
        raise UserError(f'"{folder}" is an adapter at no site at all')
    return kinds(adapters.sites, names)


def _config(adapters: "Adapters", folder: Path, settings: dict[str, Any]) -> Any:
    """The config of which AdapterHub's words speak."""

    def marks(words):
        return [words.get(key) or None for key in KEYS]

    method = next((m for m in USUAL if m != "fusion" and marks(USUAL[m]) == marks(settings)), None)
    factor = settings.get("reduction_factor")
    if method is None or (factor is None and "reduction_factor" in USUAL[method]):
        kind = {key: settings[key] for key in KEYS if settings.get(key)}
        raise UserError(f'"{folder}": AdapterHub\'s {kind or "kind of adapter"} cannot be held here')
    own = {ours: settings[theirs] for theirs, ours in WORDS[method].items()}
    if settings.get("flat"):
        own["hidden"] = 0
    if "reduction_factor" in USUAL[method]:
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < float("inf"):
            raise UserError(f'"{folder}": reduction_factor {factor!r} must be one number above 0')
        own |= {"size": max(1, int(shape(adapters).hidden_size // factor)), "act": own["act"].lower()}
    return METHODS[method](**own, sites=_sites(adapters, folder, settings))


# ---- ours for AdapterHub


def owns(folder: Path) -> bool:
    """Did the Adapters library write this folder?"""
    path = folder / CONFIG
    return (folder / FUSION_CONFIG).is_file() or (path.is_file() and "peft_type" not in config_of(path))


def write(adapters: "Adapters", name: str, base: str, with_head: bool = True) -> dict[str, dict]:
    """{file name: JSON object or tensors}. base: what the model is called."""
    model = adapters.model
    _known_family(adapters)
    config, head = body(adapters, name, "AdapterHub", LAYOUTS)
    if getattr(config, "gated", False):
        raise UserError(f'AdapterHub cannot hold "{name}": its gate is another one than UniPELT\'s')
    if getattr(config, "counted", False):
        raise UserError(f'AdapterHub cannot hold "{name}": its prefixes take up no positions of the text')
    sites = [site.name for site in config.targets(adapters.sites)]
    fused = isinstance(config, FusionConfig)
    described = {
        "hidden_size": shape(adapters).hidden_size,
        "model_class": re.sub(r"(For\w+|Model)$", "", type(model).__name__) + "AdapterModel",
        "model_name": base,
        "model_type": shape(adapters).model_type,
        "name": ",".join(config.of) if isinstance(config, FusionConfig) else name,
        "version": VERSION,
    }
    settings = _settings(adapters, config, sites)
    root = prefix(model) or f"{model.base_model_prefix}."
    tensors = _theirs(adapters, config, described["name"], sites, adapters[name].state_dict())
    tensors = {root + key: tensor for key, tensor in tensors.items()}
    names = {"adapter_names": described["name"].split(",")} if fused else {}
    files = {FUSION_CONFIG if fused else CONFIG: {**names, "config": settings, **described}}
    files[FUSION_SAFE if fused else SAFE] = tensors
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


def _write_head(adapters: "Adapters", name: str, head: HeadConfig, called: str) -> tuple[dict, Tensors]:
    """(config, tensors) of a head, which is `called` so in its file."""
    dense, parts = _dense(adapters), adapters[name].at
    if dense is None or head.pooling in ("mean", "last"):
        reads = f"takes the {head.pooling} of the encoder's states" if head.pools else "is none that classifies texts"
        raise UserError(
            f'AdapterHub cannot hold the head of "{name}", which {reads}: it has heads on the pooler and on the first '
            'token; train it with pooling="first" or "model", or say export(..., head=False)'
        )
    own = dense.name in parts
    pooler = not head.pools and not own and _is_pooler(dense)
    layers = [parts["head"][-1].linear]
    if not head.pools and not pooler:
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
    fused = (folder / FUSION_CONFIG).is_file()
    described = config_of(folder / (FUSION_CONFIG if fused else CONFIG))
    name, settings = _name_and_settings(adapters, folder, described)
    files = (FUSION_SAFE, FUSION_PICKLED) if fused else (SAFE, PICKLED)
    root = f"{adapters.model.base_model_prefix}."
    tensors = {key.removeprefix(root): tensor for key, tensor in tensors_of(folder, *files, pickle).items()}
    config = _read_fusion(adapters, folder, described, tensors) if fused else _config(adapters, folder, settings)
    sites = [site.name for site in config.targets(adapters.sites)]
    usual = _settings(adapters, config, sites)
    free = {key for key in usual if key in FREE or ("phm" in key and config.name != "compacter")}
    free |= WORDS[config.name].keys()
    refuse("AdapterHub", settings, {key: None if key in free else (value,) for key, value in usual.items()})
    if isinstance(config, PrefixTuningConfig):
        _drop_twins(folder, tensors)
    ours = _ours(adapters, folder, config, ",".join(config.of) if fused else name, sites, tensors)
    all_taken(folder, tensors)
    recipe = [config]
    if head and (folder / HEAD_CONFIG).is_file():
        recipe.append(_read_head(adapters, folder, pickle, ours))
    return name.replace(".", "_"), recipe, ours


def _name_and_settings(adapters: "Adapters", folder: Path, described: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    name, settings = described.get("name"), described.get("config")
    if not isinstance(name, str) or not isinstance(settings, dict):
        raise UserError(f'"{folder}": "name" or "config" is missing or of another kind than AdapterHub writes')
    family, width, model = described.get("model_type"), described.get("hidden_size"), shape(adapters)
    if family != model.model_type or width != model.hidden_size:
        raise UserError(
            f'"{folder}" was trained on a {family}, {width} wide; this model is a {model.model_type}, '
            f"{model.hidden_size} wide"
        )
    return name, settings


def _read_fusion(adapters: "Adapters", folder: Path, described: dict[str, Any], tensors: Tensors) -> Any:
    of = described.get("adapter_names") or described["name"].split(",")
    if not isinstance(of, list) or not all(isinstance(name, str) for name in of):
        raise UserError(f'"{folder}": "adapter_names" must list names, not {of!r}')
    config, name = FusionConfig(of=tuple(of)), ",".join(of)
    candidates = [site for site in adapters.sites if adapters.sites[site].kind in SUBLAYERS]
    sites = [site for site in candidates if tensors.keys() & tensor_names(adapters, config, name, [site]).keys()]
    if not sites:
        raise UserError(f'"{folder}" holds no fusion of {", ".join(of)}')
    return FusionConfig(of=tuple(of), sites=tuple(sites))


def _drop_twins(folder: Path, tensors: Tensors) -> None:
    """A pickle has the prefixes once more in every layer, as the same tensors."""
    for key in list(tensors):
        if re.fullmatch(r"encoder\.layer\.\d+\.attention\.self\.prefix_tuning\.pool\..*", key):
            twin = f"prefix_tuning.{key.split('.prefix_tuning.pool.', 1)[1]}"
            if twin not in tensors or not tensors[twin].equal(tensors[key]):
                raise UserError(f'"{folder}": "{key}" is not the prefix of the whole model')
            tensors.pop(key)


def _read_head(adapters: "Adapters", folder: Path, pickle: bool, ours: Tensors) -> HeadConfig:
    """The head's config; its tensors are put into `ours`."""
    described = config_of(folder / HEAD_CONFIG)
    settings, name, dense = described.get("config"), described.get("name"), _dense(adapters)
    if not isinstance(settings, dict) or not isinstance(name, str):
        raise UserError(f'"{folder / HEAD_CONFIG}": "name" or "config" is missing')
    kind, act = settings.get("head_type"), settings.get("activation_function")
    layers, pooler = settings.get("layers"), bool(settings.get("use_pooler"))
    between = FAMILIES[shape(adapters).model_type]
    poolings: dict[tuple[Any, bool], str] = {(1, False): "first"}
    if dense is not None and _is_pooler(dense) and not dense.missing:
        poolings[1, True] = "model"
    if dense is not None and act == between:
        poolings[2, False] = "model" if dense.missing else "own"
    known = kind == "classification" and settings.get("bias", True) and (layers, pooler) in poolings
    if dense is None or not known:
        raise UserError(
            f'"{folder}" has a head of type {kind!r} with {layers} layers, activation {act!r}, '
            f"{'on' if pooler else 'without'} the pooler; a head that fits here classifies whole texts, by one layer "
            f'on the first token or on a trained pooler, or two with "{between}" between them, with biases; '
            "say head=False to read the adapter without it"
        )
    sites = ("head", dense.name) if layers == 2 else ("head",)
    tensors = tensors_of(folder, HEAD_SAFE, HEAD_PICKLED, pickle)
    for i, site in enumerate(reversed(sites)):
        for part in ("weight", "bias"):
            theirs = HEAD.format(name=name, index=1 + 3 * i, part=part)
            ours[f"{site}.head.linear.{part}"] = take(folder, tensors, theirs)
    all_taken(folder, tensors)
    count, ids = settings["num_labels"], settings.get("label2id")
    labels = tuple(map(str, range(count)))
    if isinstance(ids, dict) and len(ids) == count and all(type(i) is int for i in ids.values()):
        labels = tuple(sorted(ids, key=ids.__getitem__))
    dropout = settings.get("dropout_prob")
    dropout = adapters.sites["head"].dropout if dropout is None else dropout
    return HeadConfig(labels=labels, pooling=poolings[layers, pooler], sites=sites, dropout=dropout)
