"""PEFT's format: adapter_config.json and adapter_model.safetensors, tensors under the names of the frozen modules.

Holds LoRA, DoRA, (IA)^3, LayerNorm tuning and prompt tuning, each with a head made of the model's own maps: PEFT keeps
the whole modules that they are in, frozen parts too. PEFT trains a LayerNorm's own w' and b' where we have y * s + t on
its output: w' = w s and b' = b s + t. It scales the input of a feed-forward module in (IA)^3, which is our site
"hidden", and the output of any other.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..adapter import base_parameters
from ..errors import UserError
from ..methods import DoRAConfig, HeadConfig, IA3Config, LayerNormConfig, LoRAConfig, Method, PromptTuningConfig
from ..sites import HEADS, Site, prefix
from .names import Tensors, base_name, body, config_of, kinds, labels, refuse, shape, take, tensors_of

if TYPE_CHECKING:
    from ..adapters import Adapters

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
TYPES = {"lora": "LORA", "dora": "LORA", "ia3": "IA3", "layernorm": "LN_TUNING", "prompt_tuning": "PROMPT_TUNING"}
ROOT = "base_model.model."
PROMPT = "prompt_embeddings"
# a method's tensors at a site: their name behind the frozen module's -> ours
MATRICES = {"lora_A.weight": "A", "lora_B.weight": "B"}
PARTS = {
    "lora": MATRICES,
    "dora": MATRICES | {"lora_magnitude_vector": "magnitude"},
    "ia3": {"ia3_l": "scale"},
    "layernorm": {"ln_tuning_layers.weight": "scale", "ln_tuning_layers.bias": "shift"},
    "prompt_tuning": {},
}
HARMLESS = dict.fromkeys((
    "auto_mapping", "base_model_name_or_path", "peft_type", "peft_version", "revision", "inference_mode",
    "target_modules",
    "modules_to_save", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "fan_in_fan_out", "megatron_core",
    "qalora_group_size", "feedforward_modules", "init_ia3_weights", "num_virtual_tokens", "token_dim", "num_layers",
    "num_attention_heads", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path",
    "ensure_weight_tying",
    "exclude_modules", "loftq_config", "task_type",
))  # fmt: skip
ALLOWED = HARMLESS | {
    "bias": ("none",),
    "num_transformer_submodules": (None, 1),
    "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"),  # the others change the frozen weights as well
}


def owns(folder: Path) -> bool:
    """Did PEFT write this folder?"""
    path = folder / CONFIG
    return path.is_file() and "peft_type" in config_of(path)


# ---- ours for PEFT


def write(adapters: "Adapters", name: str, with_head: bool = True) -> dict[str, dict]:
    """{file name: JSON object or tensors}."""
    config, head = body(adapters, name, "PEFT", TYPES)
    if getattr(config, "gated", False):
        raise UserError(f'PEFT cannot hold "{name}": it has no gate on a LoRA')
    state = adapters[name].state_dict()
    sites = [site for site in adapters[name].at if adapters.sites[site].kind not in HEADS]
    modules = [adapters.sites[site].module for site in sites]
    if len(set(modules)) < len(modules):
        raise UserError(f'PEFT cannot hold "{name}": (IA)^3 before and behind one matrix')
    tensors = {PROMPT: state["prompt.prompt_tuning.prompt"]} if isinstance(config, PromptTuningConfig) else {}
    for site, module in zip(sites, modules, strict=True):
        values = {ours: state[f"{site}.{config.name}.{ours}"] for ours in PARTS[config.name].values()}
        if isinstance(config, IA3Config):  # it scales a row that goes in, or a column that comes out
            row = adapters.sites[site].form == "hidden"
            values["scale"] = values["scale"][None, :] if row else values["scale"][:, None]
        if isinstance(config, LayerNormConfig):
            norm = _norm(adapters.model, module, "PEFT cannot hold")
            shift = norm.bias * values["scale"] + values["shift"]
            values = {"scale": norm.weight * values["scale"], "shift": shift}
        tensors |= {f"{ROOT}{module}.{theirs}": values[ours] for theirs, ours in PARTS[config.name].items()}
    settings = _settings(adapters, config, sites)
    if head and with_head:
        tensors |= _write_head(adapters, name, head, settings)
    return {CONFIG: settings, SAFE: tensors}


def _settings(adapters: "Adapters", config: Method, sites: list[str]) -> dict[str, Any]:
    """adapter_config.json of an adapter without a head."""
    settings: dict[str, Any] = {
        "peft_type": TYPES[config.name],
        "base_model_name_or_path": base_name(adapters.model) or None,
        "inference_mode": True,
        "task_type": None,
        "modules_to_save": None,
    }
    if isinstance(config, PromptTuningConfig):
        return settings | _prompt_settings(adapters, config)
    modules = [adapters.sites[site].module for site in sites]
    settings["target_modules"] = modules
    if isinstance(config, LoRAConfig):
        settings |= {
            "r": config.rank,
            "lora_alpha": config.alpha,
            "lora_dropout": config.dropout,
            "use_rslora": config.stabilised,
            "use_dora": isinstance(config, DoRAConfig),
            "fan_in_fan_out": any(hasattr(adapters.model.get_submodule(module), "nf") for module in modules),
            "bias": "none",
        }
    if isinstance(config, IA3Config):
        settings["feedforward_modules"] = [
            adapters.sites[site].module for site in sites if adapters.sites[site].form == "hidden"
        ]
    return settings


def _prompt_settings(adapters: "Adapters", config: PromptTuningConfig) -> dict[str, Any]:
    if shape(adapters).is_encoder_decoder:
        raise UserError("PEFT's prompt for an encoder-decoder is laid out otherwise; this export is for one stack")
    text = shape(adapters).get_text_config()
    return {
        "num_virtual_tokens": config.length,
        "token_dim": adapters.sites["prompt"].width,
        "num_transformer_submodules": 1,
        "num_attention_heads": text.num_attention_heads,
        "num_layers": text.num_hidden_layers,
        "task_type": "SEQ_CLS" if _classifies(adapters.model) else "FEATURE_EXTRACTION",
    }


def _classifies(model: nn.Module) -> bool:
    return type(model).__name__.endswith("ForSequenceClassification")


def _write_head(adapters: "Adapters", name: str, head: HeadConfig, settings: dict[str, Any]) -> Tensors:
    """The head's tensors, in the whole modules that it is in (RoBERTa's classifier, BERT's pooler and classifier)."""
    if head.pools:
        raise UserError(
            f'PEFT cannot hold the head of "{name}": it takes the {head.pooling} of the encoder\'s states, and PEFT '
            'keeps maps of the model\'s own class; train it with pooling="model", or say export(..., head=False)'
        )
    prompt = isinstance(adapters[name].info.methods[0], PromptTuningConfig)
    if _classifies(adapters.model):
        settings["task_type"] = "SEQ_CLS"
    sites = [site for site in adapters.sites.values() if site.kind in HEADS and site.name in adapters[name].at]
    tops = dict.fromkeys(_top(adapters, site) for site in sites)
    settings["modules_to_save"] = [top.rsplit(".", 1)[-1] for top in tops]
    tensors = {key: p for key, p in base_parameters(adapters.model).items() if f"{key}.".startswith(tuple(tops))}
    for site in sites:
        frozen = adapters.model.get_submodule(site.module)
        bias = getattr(frozen, "bias", None)
        new = adapters[name].at[site.name][-1].merged(frozen.weight, torch.zeros(()) if bias is None else bias)
        if bias is None and new[1] is not None and new[1].any():
            raise UserError(
                f'PEFT cannot hold the head of "{name}": "{site.module}" has no bias for what it adds there'
            )
        parts = ("weight", "bias") if bias is not None else ("weight",)
        tensors |= {f"{site.module}.{part}": value for part, value in zip(parts, new, strict=False)}
    return {f"{'base_model.' if prompt else ROOT}{key}": value for key, value in tensors.items()}


def _top(adapters: "Adapters", site: Site) -> str:
    """The path of the module of the model, or of its base, that a part of the head is in; with a dot behind."""
    base = prefix(adapters.model)
    inside = base if base and site.module.startswith(base) else ""
    return inside + site.module.removeprefix(inside).split(".")[0]


def _norm(model: nn.Module, path: str, why: str) -> nn.LayerNorm:
    norm = model.get_submodule(path)
    if not isinstance(norm, nn.LayerNorm) or norm.weight is None or norm.bias is None:
        raise UserError(f'{why} a change of "{path}", which is no LayerNorm with a scale and a shift')
    if (norm.weight == 0).any():
        raise UserError(f'{why} a change of "{path}", whose scale is 0 somewhere')
    return norm


# ---- PEFT's for us


def read(adapters: "Adapters", folder: Path, head: bool, pickle: bool) -> tuple[None, list[Method], Tensors]:
    """(None, recipe, tensors under our names): PEFT's files have no name for an adapter."""
    settings = config_of(folder / CONFIG)
    kind = settings.get("peft_type")
    if kind not in TYPES.values():
        raise UserError(f"PEFT's {kind!r} cannot be held here; what can: {', '.join(dict.fromkeys(TYPES.values()))}")
    refuse("PEFT", settings, ALLOWED)
    tensors = tensors_of(folder, SAFE, PICKLED, pickle)
    tensors = {key.removeprefix(ROOT).removeprefix("base_model."): tensor for key, tensor in tensors.items()}
    if kind == "PROMPT_TUNING":
        config: Method = PromptTuningConfig(length=settings["num_virtual_tokens"])
        ours = {"prompt.prompt_tuning.prompt": take(folder, tensors, PROMPT)}
    else:
        config, ours = _read_method(adapters, folder, settings, tensors)
    recipe = [config, *_read_head(adapters, folder, settings, tensors, ours, head)]
    if tensors:
        raise UserError(f'"{folder}" has an unexpected tensor "{sorted(tensors)[0]}" ({len(tensors)} in all)')
    return None, recipe, ours


def _read_method(
    adapters: "Adapters", folder: Path, settings: dict[str, Any], tensors: Tensors
) -> tuple[Method, Tensors]:
    """The config of a method that sits at frozen modules, and its tensors under our names."""
    kind = settings["peft_type"]
    method = {"LORA": "dora" if settings.get("use_dora") else "lora", "IA3": "ia3", "LN_TUNING": "layernorm"}[kind]
    modules = _by_module(adapters, tensors, PARTS[method])
    if not modules:
        raise UserError(f'"{folder}" holds no tensor of a {kind} adapter')
    sites = _sites(adapters, settings)
    for module in modules:
        if module not in sites:
            raise UserError(
                f'"{folder}" has tensors for "{module}", where this model has no site that such an adapter fits'
            )
    _complete(adapters, folder, settings, modules)
    ours = {}
    for module, parts in modules.items():
        site = f"{sites[module]}.{method}"
        values = {part: take(folder, parts, f"{module}.{theirs}") for theirs, part in PARTS[method].items()}
        if method == "ia3":
            values["scale"] = _flat(folder, f"{module}.ia3_l", values["scale"])
        if method == "layernorm":
            values = _relative(adapters.model, module, **values)
        ours |= {f"{site}.{part}": value for part, value in values.items()}
    return _config(method, settings, kinds(adapters.sites, [sites[module] for module in modules])), ours


def _config(method: str, settings: dict[str, Any], sites: tuple[str, ...]) -> Method:
    if method == "ia3":
        return IA3Config(sites=sites)
    if method == "layernorm":
        return LayerNormConfig(sites=sites)
    return (DoRAConfig if method == "dora" else LoRAConfig)(
        rank=settings["r"], alpha=settings["lora_alpha"], stabilised=bool(settings.get("use_rslora")),
        dropout=settings.get("lora_dropout") or 0.0, sites=sites,
    )  # fmt: skip


def _by_module(adapters: "Adapters", tensors: Tensors, parts: Iterable[str]) -> dict[str, Tensors]:
    """{frozen module: {name: tensor}} of a method's tensors, which are taken out of `tensors`."""
    modules: dict[str, Tensors] = {}
    base = prefix(adapters.model)
    known = dict(adapters.model.named_modules())
    for key in list(tensors):
        part = next((part for part in parts if key.endswith(f".{part}")), None)
        if part is not None:
            module = key.removesuffix(f".{part}")
            module = module if module in known else base + module  # it was saved on the bare base
            modules.setdefault(module, {})[f"{module}.{part}"] = tensors.pop(key)
    return modules


def _sites(adapters: "Adapters", settings: dict[str, Any]) -> dict[str, str]:
    """Frozen module -> our site, of those that the kind of adapter can sit at."""
    feedforward = _matcher(settings.get("feedforward_modules") or [], "feedforward_modules")
    sites = {}
    for name, site in adapters.sites.items():
        form = "norm" if settings["peft_type"] == "LN_TUNING" else "linear"
        if settings["peft_type"] == "IA3" and feedforward(site.module):
            form = "hidden"
        if site.form == form:
            sites[site.module] = name
    return sites


def _matcher(target: Any, key: str) -> Callable[[str], bool]:
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


def _complete(adapters: "Adapters", folder: Path, settings: dict[str, Any], modules: Iterable[str]) -> None:
    """Every module that the config asks for has its tensors: PEFT would start a missing one anew and only warn."""
    target = settings.get("target_modules")
    if target == "all-linear" or target is None:
        return
    asked = _matcher(target, "target_modules")
    excluded = _matcher(settings.get("exclude_modules") or [], "exclude_modules")
    for path, _ in adapters.model.named_modules():
        if not path.startswith("adapterlab") and asked(path) and not excluded(path) and path not in modules:
            raise UserError(f'"{folder}" lacks the tensors for "{path}", which its target_modules name')


def _flat(folder: Path, key: str, scale: torch.Tensor) -> torch.Tensor:
    if scale.ndim != 2 or 1 not in scale.shape:
        raise UserError(f'"{folder}": "{key}" is {tuple(scale.shape)} and must be a row or a column')
    return scale.flatten()


def _relative(model: nn.Module, path: str, scale: torch.Tensor, shift: torch.Tensor) -> Tensors:
    """PEFT's w' and b' to our scale and shift: s = w' / w and t = b' - b s."""
    norm = _norm(model, path, "there is no way to hold")
    if scale.shape != norm.weight.shape or shift.shape != norm.bias.shape:
        raise UserError(f'"{path}" is {norm.weight.shape[0]} wide and the file has {tuple(scale.shape)} for it')
    w, b = norm.weight.detach().to("cpu", scale.dtype), norm.bias.detach().to("cpu", scale.dtype)
    return {"scale": scale / w, "shift": shift - b * (scale / w)}


def _read_head(
    adapters: "Adapters", folder: Path, settings: dict[str, Any], tensors: Tensors, ours: Tensors, head: bool
) -> list[HeadConfig]:
    """The head's config, if there is one; its tensors go to `ours`. What else was trained cannot be held."""
    sites = [site for site in adapters.sites.values() if site.kind in HEADS]
    names = {_top(adapters, site).rsplit(".", 1)[-1] for site in sites}
    names |= set() if head else set(settings.get("modules_to_save") or ())
    parts = {key: tensors.pop(key) for key in list(tensors) if names & set(key.split("."))}
    if not head or not parts:
        return []
    read = {site: _read_map(adapters, folder, site, parts) for site in sites}
    own = [site for site, values in read.items() if values]
    frozen = base_parameters(adapters.model)
    for key, tensor in parts.items():
        if key not in frozen or not _same(frozen[key], tensor):
            raise UserError(f'"{key}" was trained along with the head, and is no map of a head here; say head=False')
    ours |= {f"{site.name}.head.{key}": value for site in own for key, value in read[site].items()}
    pooling = "model" if all(site.missing for site in own if site.form != "head") else "own"
    names_of = labels(adapters.model, len(ours["head.head.linear.weight"]), folder / SAFE)
    sites_of = tuple(site.name for site in own)
    return [HeadConfig(labels=names_of, pooling=pooling, sites=sites_of, dropout=adapters.sites["head"].dropout)]


def _read_map(adapters: "Adapters", folder: Path, site: Site, parts: Tensors) -> Tensors:
    """One of the head's maps, out of `parts`, as ours; empty where it is the frozen one."""
    weight, bias = (parts.pop(f"{site.module}.{part}", None) for part in ("weight", "bias"))
    frozen = adapters.model.get_submodule(site.module)
    if weight is None and not site.missing and site.form != "head":
        return {}
    if weight is None:
        raise UserError(f'"{folder}" lacks "{site.module}.weight", a part of its head; say head=False')
    if weight.shape[1:] != frozen.weight.shape[1:] or (site.form != "head" and len(weight) != site.width):
        raise UserError(f'the head of the file does not fit "{site.module}", which reads {site.source_width} values')
    kept = _same(frozen.weight, weight) and (bias is None or _same(frozen.bias, bias))
    if kept and not site.missing and site.form != "head":
        return {}
    if site.form == "head norm":
        return _relative(adapters.model, site.module, weight, bias)
    return {"linear.weight": weight, "linear.bias": torch.zeros(len(weight)) if bias is None else bias}


def _same(frozen: torch.Tensor | None, tensor: torch.Tensor) -> bool:
    return frozen is not None and torch.equal(frozen.detach().to("cpu", tensor.dtype), tensor)
