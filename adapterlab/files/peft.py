"""PEFT's format: adapter_config.json and adapter_model.safetensors, tensors under the names of the frozen modules.

Holds LoRA, DoRA, (IA)^3, LayerNorm tuning and prompt tuning, each with the model's last linear layer as a head. PEFT
trains a LayerNorm's own w' and b' where we have y * s + t on its output: w' = w s and b' = b s + t. It scales the input
of a feed-forward module in (IA)^3, which is our site "hidden", and the output of any other.
"""

import re

import torch
from torch import nn

from ..errors import UserError
from ..methods import DoRAConfig, HeadConfig, IA3Config, LayerNormConfig, LoRAConfig, PromptTuningConfig
from .names import base_name, body, config_of, kinds, labels, prefix, refuse, tensors_of

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
TYPES = {"lora": "LORA", "dora": "LORA", "ia3": "IA3", "layernorm": "LN_TUNING", "prompt_tuning": "PROMPT_TUNING"}
ROOT = "base_model.model."
HARMLESS = dict.fromkeys((
    "auto_mapping", "base_model_name_or_path", "peft_type", "peft_version", "revision", "inference_mode", "target_modules",
    "modules_to_save", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "fan_in_fan_out", "megatron_core",
    "qalora_group_size", "feedforward_modules", "init_ia3_weights", "num_virtual_tokens", "token_dim", "num_layers",
    "num_attention_heads", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path", "ensure_weight_tying",
    "exclude_modules", "loftq_config", "task_type",
))  # fmt: skip
ALLOWED = HARMLESS | {
    "bias": ("none",),
    "num_transformer_submodules": (None, 1),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),  # the others change the frozen weights as well
}


def owns(folder) -> bool:
    path = folder / CONFIG
    return path.is_file() and "peft_type" in config_of(path)


# ---- ours for PEFT


def write(adapters, name: str) -> dict:
    """{file name: JSON object or tensors}."""
    config, head = body(adapters, name, "PEFT", TYPES)
    model, adapter = adapters.model, adapters[name]
    tensors, modules, feedforward = {}, [], []
    for site, (module, *_) in adapter.at.items():
        if site == "head":
            continue
        place = adapters.sites[site]
        path = place.module
        key = f"{ROOT}{path}."
        if config.name in ("lora", "dora"):
            if config.gated:
                raise UserError(f'PEFT cannot hold "{name}": it has no gate on a LoRA')
            tensors |= {key + "lora_A.weight": module.A, key + "lora_B.weight": module.B}
            if config.name == "dora":
                tensors[key + "lora_magnitude_vector"] = module.magnitude
        elif config.name == "ia3":
            tensors[key + "ia3_l"] = module.scale[None, :] if place.form == "hidden" else module.scale[:, None]
            feedforward += [path] if place.form == "hidden" else []
        elif config.name == "layernorm":
            norm = _norm(model, path, "PEFT cannot hold")
            tensors[key + "ln_tuning_layers.weight"] = norm.weight * module.scale
            tensors[key + "ln_tuning_layers.bias"] = norm.bias * module.scale + module.shift
        else:
            tensors["prompt_embeddings"] = module.prompt
        modules.append(path)
    if len(set(modules)) < len(modules):
        raise UserError(f'PEFT cannot hold "{name}": (IA)^3 before and behind one matrix')
    settings = _settings(adapters, config, modules, feedforward)
    if head:
        site = adapters.sites["head"]
        (module,) = adapter.at["head"]
        root = "base_model." if config.name == "prompt_tuning" else ROOT
        top = site.module.split(".")[0]  # PEFT keeps the whole of it, frozen parts too (RoBERTa's classifier.dense)
        tensors |= {f"{root}{top}.{n}": p for n, p in model.get_submodule(top).named_parameters()}
        key = f"{root}{site.module}"
        tensors |= {f"{key}.weight": module.linear.weight, f"{key}.bias": module.linear.bias}
        settings["modules_to_save"] = [top]
        if type(model).__name__.endswith("ForSequenceClassification"):
            settings["task_type"] = "SEQ_CLS"
    return {CONFIG: settings, SAFE: tensors}


def _settings(adapters, config, modules, feedforward) -> dict:
    model = adapters.model
    settings = {
        "peft_type": TYPES[config.name],
        "base_model_name_or_path": base_name(model) or None,
        "inference_mode": True,
        "task_type": None,
        "modules_to_save": None,
    }
    if config.name != "prompt_tuning":
        settings["target_modules"] = modules
    if config.name in ("lora", "dora"):
        settings |= {
            "r": config.rank,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "use_rslora": config.stabilised,
            "use_dora": config.name == "dora",
            "fan_in_fan_out": any(hasattr(model.get_submodule(m), "nf") for m in modules),
            "bias": "none",
        }
    if config.name == "ia3":
        settings["feedforward_modules"] = feedforward
    if config.name == "prompt_tuning":
        text = model.config.get_text_config()
        if model.config.is_encoder_decoder:
            raise UserError("PEFT's prompt for an encoder-decoder is laid out otherwise; this export is for one stack")
        settings |= {
            "num_virtual_tokens": config.length,
            "token_dim": adapters.sites["prompt"].width,
            "num_transformer_submodules": 1,
            "num_attention_heads": text.num_attention_heads,
            "num_layers": text.num_hidden_layers,
            "task_type": "SEQ_CLS"
            if type(model).__name__.endswith("ForSequenceClassification")
            else "FEATURE_EXTRACTION",
        }
    return settings


def _norm(model, path: str, why: str) -> nn.LayerNorm:
    norm = model.get_submodule(path)
    if not isinstance(norm, nn.LayerNorm) or norm.weight is None or norm.bias is None:
        raise UserError(f'{why} a change of "{path}", which is no LayerNorm with a scale and a shift')
    if (norm.weight == 0).any():
        raise UserError(f'{why} a change of "{path}", whose scale is 0 somewhere')
    return norm


# ---- PEFT's for us


def read(adapters, folder, head: bool, pickle: bool):
    """(None, recipe, tensors under our names): PEFT's files have no name for an adapter."""
    config = config_of(folder / CONFIG)
    kind = config.get("peft_type")
    if kind not in TYPES.values():
        raise UserError(f"PEFT's {kind!r} cannot be held here; what can: {', '.join(dict.fromkeys(TYPES.values()))}")
    refuse("PEFT", config, ALLOWED)
    tensors = {_strip(k): v for k, v in tensors_of(folder, SAFE, PICKLED, pickle).items()}
    ours: dict[str, torch.Tensor] = {}
    recipe = []
    own = prefix(adapters.model)
    paths = _paths(adapters, config)
    if kind == "PROMPT_TUNING":
        ours["prompt.prompt_tuning.prompt"] = tensors.pop("prompt_embeddings", None)
        if ours["prompt.prompt_tuning.prompt"] is None:
            raise UserError(f'"{folder}" lacks tensor "prompt_embeddings"')
        recipe.append(PromptTuningConfig(length=config.get("num_virtual_tokens")))
    else:
        wanted = {"LORA": "lora_", "IA3": "ia3_l", "LN_TUNING": "ln_tuning"}[kind]
        found: dict[str, dict] = {}
        for key in [k for k in tensors if f".{wanted}" in k]:
            path, part = key.split(f".{wanted}", 1)
            full = path if path in paths or not own or path.startswith(own) else own + path
            found.setdefault(full, {})[wanted + part] = tensors.pop(key)
        recipe.append(_method(adapters, folder, config, kind, found, paths, ours))
    recipe += _head(adapters, config, tensors, ours, head)
    if tensors:
        raise UserError(f'"{folder}" has an unexpected tensor "{sorted(tensors)[0]}" ({len(tensors)} in all)')
    return None, recipe, ours


def _strip(key: str) -> str:
    for start in (ROOT, "base_model."):
        if key.startswith(start):
            return key[len(start) :]
    return key


def _paths(adapters, config) -> dict[str, str]:
    """Dotted path of a frozen module -> our site, of those that the kind of adapter can sit at."""
    feedforward = _matcher(config.get("feedforward_modules") or [], "feedforward_modules")
    found = {}
    for name, site in adapters.sites.items():
        if config["peft_type"] == "LN_TUNING":
            fits = site.form == "norm"
        elif config["peft_type"] == "IA3" and feedforward(site.module):
            fits = site.form == "hidden"
        else:
            fits = site.form == "linear"
        if fits:
            found[site.module] = name
    return found


def _matcher(target, key: str):
    """PEFT's rule: a whole name by a regular expression, or the end of a name out of a list."""
    if isinstance(target, str):
        try:
            pattern = re.compile(target)
        except re.error as error:
            raise UserError(f'PEFT: "{key}" {target!r} is no regular expression: {error}') from None
        return lambda path: pattern.fullmatch(path) is not None
    if not isinstance(target, list) or not all(isinstance(t, str) and t for t in target):
        raise UserError(f'PEFT: "{key}" must be a list of names, not {target!r}')
    return lambda path: any(path == t or path.endswith("." + t) for t in target)


def _method(adapters, folder, config, kind, found, paths, ours):
    """The config of the method, its tensors put into `ours`."""
    if not found:
        raise UserError(f'"{folder}" holds no tensor of a {kind} adapter')
    for path in found:
        if path not in paths:
            raise UserError(
                f'"{folder}" has tensors for "{path}", where this model has no site that such an adapter fits'
            )
    _complete(adapters, folder, config, found)
    sites = kinds(adapters.sites, [paths[path] for path in found])
    if kind == "LORA":
        dora = bool(config.get("use_dora"))
        make = DoRAConfig if dora else LoRAConfig
        made = make(
            rank=config.get("r"), alpha=config.get("lora_alpha"), stabilised=bool(config.get("use_rslora")),
            dropout=config.get("lora_dropout") or 0.0, sites=sites,
        )  # fmt: skip
        names = {"lora_A.weight": "A", "lora_B.weight": "B"} | ({"lora_magnitude_vector": "magnitude"} if dora else {})
    elif kind == "IA3":
        made, names = IA3Config(sites=sites), {"ia3_l": "scale"}
    else:
        made, names = (
            LayerNormConfig(sites=sites),
            {"ln_tuning_layers.weight": "scale", "ln_tuning_layers.bias": "shift"},
        )
    for path, parts in found.items():
        for theirs, new in names.items():
            if theirs not in parts:
                raise UserError(f'"{folder}" lacks tensor "{path}.{theirs}"')
            value = parts.pop(theirs)
            if kind == "IA3":
                if 1 not in value.shape or value.ndim != 2:
                    raise UserError(
                        f'"{folder}": "{path}.{theirs}" is {tuple(value.shape)} and must be a row or a column'
                    )
                value = value.flatten()
            ours[f"{paths[path]}.{made.name}.{new}"] = value
        if parts:
            raise UserError(f'"{folder}" has an unexpected tensor "{path}.{sorted(parts)[0]}"')
        if kind == "LN_TUNING":
            _relative(adapters.model, path, f"{paths[path]}.{made.name}.", ours)
    return made


def _complete(adapters, folder, config, found) -> None:
    """Every module that the config asks for has its tensors: PEFT would start a missing one anew and only warn."""
    target = config.get("target_modules")
    if target == "all-linear" or target is None:
        return
    wanted, skip = (
        _matcher(target, "target_modules"),
        _matcher(config.get("exclude_modules") or [], "exclude_modules"),
    )
    own = prefix(adapters.model)
    for path, _ in adapters.model.named_modules():
        short = path.removeprefix(own)
        if not path.startswith("adapterlab") and wanted(path) and not skip(path) and not {path, short} & set(found):
            raise UserError(f'"{folder}" lacks the tensors for "{path}", which its target_modules name')


def _relative(model, path: str, key: str, ours: dict) -> None:
    """PEFT's w' and b' to our scale and shift: s = w' / w and t = b' - b s."""
    norm = _norm(model, path, "there is no way to hold")
    weight, bias = ours[key + "scale"], ours[key + "shift"]
    if weight.shape != norm.weight.shape or bias.shape != norm.bias.shape:
        raise UserError(f'"{path}" is {norm.weight.shape[0]} wide and the file has {tuple(weight.shape)} for it')
    w, b = norm.weight.detach().to("cpu", weight.dtype), norm.bias.detach().to("cpu", weight.dtype)
    ours[key + "scale"] = weight / w
    ours[key + "shift"] = bias - b * ours[key + "scale"]


def _head(adapters, config, tensors: dict, ours: dict, head: bool) -> list:
    """The head's config, if there is one; whatever else of the model was trained cannot be held."""
    site = adapters.sites.get("head")
    keys = [f"{site.module}.weight", f"{site.module}.bias"] if site else []
    there = [tensors.pop(key, None) for key in keys]
    if not head:
        for name in config.get("modules_to_save") or []:
            for key in [k for k in tensors if k.startswith(f"{name}.")]:
                tensors.pop(key)
        return []
    if site is None or all(t is None for t in there):
        return []
    weight, bias = there
    if weight is None or weight.ndim != 2 or weight.shape[1] != site.source_width:
        raise UserError(f'the head of the file does not fit "{site.module}", which reads {site.source_width} values')
    top = site.module.split(".")[0]
    for key in [k for k in tensors if k.startswith(f"{top}.")]:
        mine = (
            adapters.model.get_parameter(key).detach().to("cpu")
            if key in dict(adapters.model.named_parameters())
            else None
        )
        if mine is None or not torch.equal(mine.to(tensors[key].dtype), tensors[key]):
            raise UserError(
                f'"{key}" was trained along with the head, and here a head is "{site.module}" alone; say head=False'
            )
        tensors.pop(key)
    ours["head.head.linear.weight"] = weight
    ours["head.head.linear.bias"] = torch.zeros(len(weight)) if bias is None else bias
    return [HeadConfig(labels=labels(adapters.model, len(weight)))]
