"""AdapterHub's format, of the Adapters library: adapter_config.json and adapter.safetensors, the adapter's name inside.

Holds bottlenecks (Houlsby, Pfeiffer, parallel), Compacter, LoRA, (IA)^3, prefix tuning and fusions, and a linear head on
the frozen pooler. For models built like BERT, whose module names the format contains.
"""

import re

from ..errors import UserError
from ..methods import (
    BottleneckConfig,
    CompacterConfig,
    FusionConfig,
    HeadConfig,
    IA3Config,
    LoRAConfig,
    ParallelConfig,
    PfeifferConfig,
    PrefixTuningConfig,
)
from .names import base_name, body, config_of, kinds, prefix, refuse, tensors_of

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter.safetensors", "pytorch_adapter.bin"
HEAD_CONFIG, HEAD_SAFE, HEAD_PICKLED = "head_config.json", "model_head.safetensors", "pytorch_model_head.bin"
FUSION_CONFIG = "adapter_fusion_config.json"
FUSION_SAFE, FUSION_PICKLED = "model_adapter_fusion.safetensors", "pytorch_model_adapter_fusion.bin"
VERSION = "adapters.1.3.0"
FAMILIES = ("bert", "roberta", "xlm-roberta", "electra")
HOLDS = dict.fromkeys(("bottleneck", "pfeiffer", "parallel", "compacter", "lora", "ia3", "prefix_tuning", "fusion"))

PLACES = {"attention": "attention.output", "feedforward": "output"}
LINEARS = {
    "query": "attention.self.query", "key": "attention.self.key", "value": "attention.self.value",
    "inner": "intermediate.dense", "outer": "output.dense",
}  # fmt: skip
LETTERS = {"query": "q", "key": "k", "value": "v"}
ACTIVATIONS = ("relu", "gelu", "tanh", "swish")

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
        "phm_dim", "phm_init_range", "phm_layer", "phm_rank", "reduction_factor", "scaling", "stochastic_depth")  # fmt: skip
LORA = {
    "alpha": 8, "architecture": "lora", "attn_matrices": ["q", "v"], "composition_mode": "add", "dropout": 0.0,
    "dtype": None, "init_weights": "lora", "init_weights_seed": None, "intermediate_lora": False, "leave_out": [],
    "output_lora": False, "r": 8, "selfattn_lora": True, "use_dora": False, "use_gating": False, "vera_b": None,
    "vera_d": None,
}  # fmt: skip
PREFIX = {
    "architecture": "prefix_tuning", "bottleneck_size": 512, "cross_prefix": True, "dropout": 0.0, "encoder_prefix": True,
    "flat": False, "init_weights_seed": None, "leave_out": [], "non_linearity": "tanh", "prefix_length": 30,
    "shared_gating": True, "use_gating": False,
}  # fmt: skip
FUSION = {
    "dropout_prob": None, "key": True, "query": True, "query_before_ln": False, "regularization": True,
    "residual_before": False, "temperature": False, "value": True, "value_before_softmax": True, "value_initialized": True,
}  # fmt: skip


def owns(folder) -> bool:
    path = folder / CONFIG
    return (folder / FUSION_CONFIG).is_file() or (path.is_file() and "peft_type" not in config_of(path))


def _known_family(model) -> None:
    if model.config.model_type not in FAMILIES:
        raise UserError(
            f"AdapterHub's names for {model.config.model_type} are not known here; for: {', '.join(FAMILIES)}"
        )


def _on_pooler(adapters) -> bool:
    """Does the model's classifier read the pooler, as BERT's does and RoBERTa's does not?"""
    base = getattr(adapters.model, adapters.model.base_model_prefix, None)
    site = adapters.sites.get("head")
    return getattr(base, "pooler", None) is not None and site is not None and site.module == "classifier"


def _layers(adapters, sites) -> list[int]:
    """The layers without any of these sites: AdapterHub's leave_out."""
    depth = adapters.model.config.num_hidden_layers
    return sorted(set(range(depth)) - {adapters.sites[s].layer for s in sites})


# ---- ours for AdapterHub


def write(adapters, name: str) -> dict:
    """{file name: JSON object or tensors}."""
    model, adapter = adapters.model, adapters[name]
    _known_family(model)
    config, head = body(adapters, name, "AdapterHub", HOLDS)
    if getattr(config, "gated", False):
        raise UserError(f'AdapterHub cannot hold "{name}": its gate is another one than UniPELT\'s')
    at = {site: modules[0] for site, modules in adapter.at.items() if site != "head"}
    base = prefix(model) or f"{model.base_model_prefix}."
    full = {
        "hidden_size": model.config.hidden_size,
        "model_class": re.sub(r"(For\w+|Model)$", "", type(model).__name__) + "AdapterModel",
        "model_name": base_name(model),
        "model_type": model.config.model_type,
        "name": name,
        "version": VERSION,
    }
    settings, tensors = WRITERS[config.name](adapters, config, name, at, base)
    if config.name == "fusion":
        full["name"] = ",".join(config.of)
        files = {FUSION_CONFIG: {"adapter_names": list(config.of), "config": settings, **full}, FUSION_SAFE: tensors}
    else:
        files = {CONFIG: {"config": settings, **full}, SAFE: tensors}
    if head:
        (module,) = adapter.at["head"]
        if not _on_pooler(adapters):
            raise UserError(f'AdapterHub cannot hold the head of "{name}": it has linear heads on a pooler alone')
        files[HEAD_CONFIG] = {
            "config": {
                "activation_function": "tanh", "bias": True, "dropout_prob": None, "head_type": "classification",
                "label2id": {label: i for i, label in enumerate(head.labels)}, "layers": 1,
                "num_labels": len(head.labels), "use_pooler": True,
            },
            **full,
        }  # fmt: skip
        files[HEAD_SAFE] = {
            f"heads.{full['name']}.1.weight": module.linear.weight,
            f"heads.{full['name']}.1.bias": module.linear.bias,
        }
    return files


def _module(adapters, site: str, table: dict, base: str, what: str) -> str:
    """The dotted path that AdapterHub gives to a site, "bert.encoder.layer.0.attention.output"."""
    place = adapters.sites[site]
    if place.kind not in table:
        raise UserError(f'AdapterHub has no {what} at "{site}"; it has them at: {", ".join(table)}')
    return f"{base}encoder.layer.{place.layer}.{table[place.kind]}"


def _every_layer(adapters, at, chosen) -> list[int]:
    """leave_out; UserError where the kinds are not in the same layers."""
    out = _layers(adapters, at)
    depth = adapters.model.config.num_hidden_layers
    if len(at) != (depth - len(out)) * len(chosen):
        raise UserError("AdapterHub cannot hold it: it takes the same kinds of sites in every layer that has any")
    return out


def _bottleneck(adapters, config, name, at, base):
    if config.act not in ACTIVATIONS:
        raise UserError(f'AdapterHub cannot hold "{name}": it does not know the activation "{config.act}"')
    chosen = dict.fromkeys(adapters.sites[s].kind for s in at)
    width = adapters.model.config.hidden_size
    settings = BOTTLENECK | {
        "mh_adapter": "attention" in chosen,
        "output_adapter": "feedforward" in chosen,
        "leave_out": _every_layer(adapters, at, chosen),
        "non_linearity": config.act,
        "reduction_factor": width / config.size
        if width // (width / config.size) == config.size
        else width / (config.size + 0.5),
        "original_ln_before": config.name == "pfeiffer",
        "is_parallel": config.name == "parallel",
        "scaling": float(getattr(config, "scale", 1.0)),
    }
    tensors = {}
    if config.name == "compacter":
        settings |= {"phm_layer": True, "phm_dim": config.n, "phm_rank": config.rank}
        (module, *_) = at.values()
        tensors[f"{base}shared_parameters.{name}.phm_rule"] = module.common[0].rule
    for site, module in at.items():
        path = f"{_module(adapters, site, PLACES, base, 'bottleneck')}.adapters.{name}."
        for ours, theirs in (("down", "adapter_down.0"), ("up", "adapter_up")):
            part = getattr(module, ours)
            if config.name == "compacter":
                tensors |= {
                    f"{path}{theirs}.W_left": part.s,
                    f"{path}{theirs}.W_right": part.t,
                    f"{path}{theirs}.b": part.bias,
                }
            else:
                tensors |= {f"{path}{theirs}.weight": part.weight, f"{path}{theirs}.bias": part.bias}
    return settings, tensors


def _lora(adapters, config, name, at, base):
    chosen = dict.fromkeys(adapters.sites[s].kind for s in at)
    scales = config.name == "ia3"
    settings = LORA | {
        "attn_matrices": [LETTERS[k] for k in chosen if k in LETTERS],
        "selfattn_lora": bool(set(chosen) & set(LETTERS)),
        "intermediate_lora": "inner" in chosen,
        "output_lora": "outer" in chosen,
        "leave_out": _every_layer(adapters, at, chosen),
    }
    if scales:
        settings |= {"composition_mode": "scale", "init_weights": "ia3", "r": 1, "alpha": 1}
    else:
        settings |= {"r": config.rank, "alpha": config.scale * config.rank, "dropout": config.dropout}
    tensors = {}
    for site, module in at.items():
        path = f"{_module(adapters, site, LINEARS, base, config.name)}.loras.{name}."
        if scales:
            tensors[path + "lora_B"] = module.scale[:, None]
        else:
            tensors |= {path + "lora_A": module.A, path + "lora_B": module.B}
    return settings, tensors


def _prefix(adapters, config, name, at, base):
    import torch

    settings = PREFIX | {
        "prefix_length": config.length,
        "flat": not config.hidden,
        "bottleneck_size": config.hidden or 512,
    }
    if _every_layer(adapters, at, {"memory": None}):
        raise UserError(f'AdapterHub cannot hold "{name}": its prefixes are for every layer')
    path = f"{base}prefix_tuning.prefix_tunings.{name}.self_prefix."
    if not config.hidden:
        return settings, {path + "control_trans": torch.stack([m.own for m in at.values()], 1).flatten()}
    made = next(iter(at.values())).common[0]["layers_memory"]
    return settings, {
        path + "wte.weight": made.tokens,
        path + "control_trans.0.weight": made.down.weight,
        path + "control_trans.0.bias": made.down.bias,
        path + "control_trans.2.weight": made.up.weight,
        path + "control_trans.2.bias": made.up.bias,
    }


def _fusion(adapters, config, name, at, base):
    tensors = {}
    for site, module in at.items():
        path = f"{_module(adapters, site, PLACES, base, 'fusion')}.adapter_fusion_layer.{','.join(config.of)}."
        for part in ("query", "key", "value"):
            tensors[f"{path}{part}.weight"] = getattr(module, part).weight
            if part != "value":
                tensors[f"{path}{part}.bias"] = getattr(module, part).bias
    return FUSION, tensors


WRITERS = {
    "bottleneck": _bottleneck, "pfeiffer": _bottleneck, "parallel": _bottleneck, "compacter": _bottleneck, "lora": _lora,
    "ia3": _lora, "prefix_tuning": _prefix, "fusion": _fusion,
}  # fmt: skip


# ---- AdapterHub's for us


def read(adapters, folder, head: bool, pickle: bool):
    """(the name in the file, recipe, tensors under our names)."""
    _known_family(adapters.model)
    fusion = (folder / FUSION_CONFIG).is_file()
    full = config_of(folder / (FUSION_CONFIG if fusion else CONFIG))
    name, config = full.get("name"), full.get("config")
    if not isinstance(name, str) or not isinstance(config, dict):
        raise UserError(f'"{folder}": "name" or "config" is missing or of another kind than AdapterHub writes')
    if (
        full.get("model_type") != adapters.model.config.model_type
        or full.get("hidden_size") != adapters.model.config.hidden_size
    ):
        raise UserError(
            f'"{folder}" was trained on a {full.get("model_type")}, {full.get("hidden_size")} wide; this model is a '
            f"{adapters.model.config.model_type}, {adapters.model.config.hidden_size} wide"
        )
    files = (FUSION_SAFE, FUSION_PICKLED) if fusion else (SAFE, PICKLED)
    tensors = {_strip(adapters, k): v for k, v in tensors_of(folder, *files, pickle).items()}
    ours: dict = {}
    architecture = config.get("architecture")
    if fusion:
        recipe = [_read_fusion(adapters, folder, full, config, tensors, ours)]
    elif architecture is None and "reduction_factor" in config:
        recipe = [_read_bottleneck(adapters, folder, name, config, tensors, ours)]
    elif architecture == "lora":
        recipe = [_read_lora(adapters, folder, name, config, tensors, ours)]
    elif architecture == "prefix_tuning":
        recipe = [_read_prefix(adapters, folder, name, config, tensors, ours)]
    else:
        raise UserError(f'"{folder}": AdapterHub\'s architecture {architecture!r} cannot be held here')
    if tensors:
        raise UserError(f'"{folder}" has an unexpected tensor "{sorted(tensors)[0]}" ({len(tensors)} in all)')
    if head and (folder / HEAD_CONFIG).is_file():
        recipe.append(_read_head(adapters, folder, pickle, ours))
    return name.replace(".", "_"), recipe, ours


def _strip(adapters, key: str) -> str:
    return key.removeprefix(f"{adapters.model.base_model_prefix}.")


def _take(folder, tensors: dict, key: str):
    if key not in tensors:
        raise UserError(f'"{folder}" lacks tensor "{key}"')
    return tensors.pop(key)


def _chosen(adapters, folder, config: dict, which) -> list[str]:
    """Our sites of these kinds, in all layers but those left out."""
    out = config.get("leave_out") or []
    depth = adapters.model.config.num_hidden_layers
    if not isinstance(out, list) or not all(type(n) is int and 0 <= n < depth for n in out):
        raise UserError(f'"{folder}": "leave_out" {out!r} must list layers from 0 to {depth - 1}')
    names = [n for n, s in adapters.sites.items() if s.kind in which and s.layer not in out]
    if not names:
        raise UserError(f'"{folder}" is an adapter at no site at all')
    return names


def _read_bottleneck(adapters, folder, name, config, tensors, ours):
    allowed = {k: None if k in FREE else (v,) for k, v in BOTTLENECK.items()}
    phm = bool(config.get("phm_layer"))
    if not phm:
        allowed |= {k: None for k in BOTTLENECK if "phm" in k}
    refuse("AdapterHub", config, allowed)
    parallel, pfeiffer = bool(config.get("is_parallel")), bool(config.get("original_ln_before"))
    scale, factor, act = (config.get("scaling", 1.0), config.get("reduction_factor"), config.get("non_linearity"))
    if parallel + pfeiffer + phm > 1 or (scale != 1.0 and not parallel):
        raise UserError(
            f'"{folder}": this mixture of is_parallel, original_ln_before, phm_layer and scaling has no counterpart here'
        )
    number = isinstance(factor, int | float) and not isinstance(factor, bool)
    if not number or not 0 < factor < float("inf") or not isinstance(act, str):
        raise UserError(f'"{folder}": reduction_factor {factor!r} must be one number above 0 and non_linearity a name')
    size = max(1, int(adapters.model.config.hidden_size // factor))
    which = [k for k, key in (("attention", "mh_adapter"), ("feedforward", "output_adapter")) if config.get(key)]
    names = _chosen(adapters, folder, config, which)
    shared = {"size": size, "act": act.lower(), "sites": kinds(adapters.sites, names)}
    if act.lower() not in ACTIVATIONS:
        raise UserError(f'"{folder}": the activation "{act}" is not known here; known: {", ".join(ACTIVATIONS)}')
    if phm:
        made = CompacterConfig(n=config.get("phm_dim"), rank=config.get("phm_rank"), **shared)
        ours["common.compacter.rule"] = _take(folder, tensors, f"shared_parameters.{name}.phm_rule")
        parts = {"W_left": "s", "W_right": "t", "b": "bias"}
    else:
        made = (
            ParallelConfig(scale=scale, **shared) if parallel
            else PfeifferConfig(**shared) if pfeiffer
            else BottleneckConfig(**shared)
        )  # fmt: skip
        parts = {"weight": "weight", "bias": "bias"}
    for site in names:
        path = f"{_module(adapters, site, PLACES, '', 'bottleneck')}.adapters.{name}."
        for new, old in (("down", "adapter_down.0"), ("up", "adapter_up")):
            for theirs, own in parts.items():
                ours[f"{site}.{made.name}.{new}.{own}"] = _take(folder, tensors, f"{path}{old}.{theirs}")
    return made


def _read_lora(adapters, folder, name, config, tensors, ours):
    free = ("alpha", "attn_matrices", "composition_mode", "dropout", "dtype", "init_weights", "init_weights_seed",
            "intermediate_lora", "leave_out", "output_lora", "r", "selfattn_lora")  # fmt: skip
    refuse("AdapterHub", config, {k: None if k in free else (v,) for k, v in LORA.items()})
    letters = config.get("attn_matrices") if config.get("selfattn_lora") else []
    if not isinstance(letters, list) or not all(letter in LETTERS.values() for letter in letters):
        raise UserError(f'"{folder}": "attn_matrices" {letters!r} must list q, k or v')
    which = [k for k, letter in LETTERS.items() if letter in letters]
    which += ["inner"] * bool(config.get("intermediate_lora")) + ["outer"] * bool(config.get("output_lora"))
    names = _chosen(adapters, folder, config, which)
    sites, mode = kinds(adapters.sites, names), config.get("composition_mode")
    if mode == "scale" and config.get("r") == 1 and config.get("alpha") == 1:
        made = IA3Config(sites=sites)
    elif mode == "add":
        made = LoRAConfig(
            rank=config.get("r"), alpha=config.get("alpha"), dropout=config.get("dropout") or 0.0, sites=sites
        )
    else:
        raise UserError(f'"{folder}": composition_mode {mode!r} with this r and alpha has no counterpart here')
    for site in names:
        path = f"{_module(adapters, site, LINEARS, '', made.name)}.loras.{name}."
        B = _take(folder, tensors, path + "lora_B")
        if mode == "scale":
            if B.ndim != 2 or B.shape[1] != 1:
                raise UserError(f'"{folder}": "{path}lora_B" is {tuple(B.shape)} and must be one column')
            ours[f"{site}.ia3.scale"] = B[:, 0]
        else:
            ours[f"{site}.lora.A"], ours[f"{site}.lora.B"] = _take(folder, tensors, path + "lora_A"), B
    return made


def _read_prefix(adapters, folder, name, config, tensors, ours):
    free = ("bottleneck_size", "dropout", "flat", "init_weights_seed", "prefix_length", "cross_prefix", "shared_gating")
    refuse("AdapterHub", config, {k: None if k in free else (v,) for k, v in PREFIX.items()})
    start = f"prefix_tuning.prefix_tunings.{name}.self_prefix."
    # a pickle has the pool once more in every layer, as the same tensors
    for key in [
        k for k in tensors if re.fullmatch(r"encoder\.layer\.\d+\.attention\.self\.prefix_tuning\.pool\..*", k)
    ]:
        twin = key.split(".prefix_tuning.pool.", 1)[1]
        twin = f"prefix_tuning.{twin}"
        if twin not in tensors or not tensors[twin].equal(tensors[key]):
            raise UserError(f'"{folder}": "{key}" is not the prefix of the whole model')
        tensors.pop(key)
    flat, length = bool(config.get("flat")), config.get("prefix_length")
    made = PrefixTuningConfig(length=length, hidden=0 if flat else config.get("bottleneck_size"), sites=("memory",))
    if flat:
        depth = adapters.model.config.num_hidden_layers
        value = _take(folder, tensors, start + "control_trans")
        if value.numel() != length * depth * 2 * adapters.model.config.hidden_size:
            raise UserError(f'"{folder}": the prefixes are not {length} long for {depth} layers')
        value = value.reshape(length, depth, -1)
        for i in range(depth):
            ours[f"layers.{i}.memory.prefix_tuning.own"] = value[:, i]
        return made
    names = {"wte.weight": "tokens", "control_trans.0.weight": "down.weight", "control_trans.0.bias": "down.bias",
             "control_trans.2.weight": "up.weight", "control_trans.2.bias": "up.bias"}  # fmt: skip
    for theirs, own in names.items():
        ours[f"common.prefix_tuning.layers_memory.{own}"] = _take(folder, tensors, start + theirs)
    return made


def _read_fusion(adapters, folder, full, config, tensors, ours):
    refuse(
        "AdapterHub",
        config,
        {k: None if k in ("dropout_prob", "regularization", "value_initialized") else (v,) for k, v in FUSION.items()},
    )
    of = full.get("adapter_names") or full["name"].split(",")
    if not isinstance(of, list) or not all(isinstance(n, str) for n in of):
        raise UserError(f'"{folder}": "adapter_names" must list names, not {of!r}')
    places = {v: k for k, v in PLACES.items()}
    sites = []
    for key in list(tensors):
        m = re.fullmatch(
            r"encoder\.layer\.(\d+)\.(attention\.output|output)\.adapter_fusion_layer\.(.+)\.(\w+\.\w+)", key
        )
        if m and m[3] == ",".join(of):
            site = f"layers.{m[1]}.{places[m[2]]}"
            if site not in adapters.sites:
                raise UserError(f'"{folder}" has a fusion at "{site}", which this model lacks')
            sites.append(site)
            ours[f"{site}.fusion.{m[4]}"] = tensors.pop(key)
    if not sites:
        raise UserError(f'"{folder}" holds no fusion of {", ".join(of)}')
    return FusionConfig(of=tuple(of), sites=tuple(s for s in adapters.sites if s in sites))


def _read_head(adapters, folder, pickle, ours):
    full = config_of(folder / HEAD_CONFIG)
    config, name = full.get("config"), full.get("name")
    if not isinstance(config, dict) or not isinstance(name, str):
        raise UserError(f'"{folder / HEAD_CONFIG}": "name" or "config" is missing')
    count, ids = config.get("num_labels"), config.get("label2id")
    if config.get("head_type") != "classification" or config.get("layers") != 1 or not config.get("use_pooler"):
        raise UserError(
            f'"{folder}" has a head of type {config.get("head_type")!r} with {config.get("layers")} layers'
            f"{'' if config.get('use_pooler') else ' on the first token'}; here a head is one linear layer on the frozen "
            "pooler (layers=1, use_pooler=True); say head=False to read the adapter without it"
        )
    if not _on_pooler(adapters):
        raise UserError(f'"{folder}" has a head on a pooler, and this model has no head there; say head=False')
    tensors = tensors_of(folder, HEAD_SAFE, HEAD_PICKLED, pickle)
    for part in ("weight", "bias"):
        if part == "bias" and not config.get("bias", True):
            raise UserError(f'"{folder}": a head without a bias cannot be held here')
        ours[f"head.head.linear.{part}"] = _take(folder, tensors, f"heads.{name}.1.{part}")
    if tensors:
        raise UserError(f'"{folder}" has an unexpected tensor "{sorted(tensors)[0]}" in its head')
    names = sorted(ids, key=ids.get) if isinstance(ids, dict) and all(type(v) is int for v in ids.values()) else []
    return HeadConfig(labels=tuple(names) if len(names) == count else tuple(str(i) for i in range(count)))
