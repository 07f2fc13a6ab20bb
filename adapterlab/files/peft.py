"""PEFT's format: adapter_config.json and adapter_model.safetensors, tensors under the names of the frozen modules.

Holds LoRA, DoRA, VeRA, (IA)^3, LayerNorm tuning, prompt and prefix tuning, each with a head of the model's own maps:
PEFT keeps the whole modules that they are in, frozen parts too. PEFT trains a LayerNorm's own w' and b' where we have
y * s + t on its output: w' = w s and b' = b s + t. It scales the input of a feed-forward module in (IA)^3, which is our
site "hidden", and the output of any other. VeRA's random matrices are in its file, and those of the seed in ours. Of
prefixes it keeps the keys and values, whatever network made them, in the order of a cache, whose positions count.
"""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..adapter import CHILD, base_parameters
from ..errors import UserError
from ..methods import METHODS, HeadConfig, IA3Config, LoRAConfig, Method, PrefixTuningConfig, PromptTuningConfig
from ..methods.vera import VeRAConfig
from ..sites import HEADS, Site, kinds, prefix
from .checkpoint import config_of
from .names import Tensors, all_taken, body, column, labels, refuse, shape, take, tensors_of

if TYPE_CHECKING:
    from ..adapters import Adapters

CONFIG, SAFE, PICKLED = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
TYPES = {
    "lora": "LORA", "dora": "LORA", "vera": "VERA", "ia3": "IA3", "layernorm": "LN_TUNING",
    "prompt_tuning": "PROMPT_TUNING", "prefix_tuning": "PREFIX_TUNING",
}  # fmt: skip
IN_FRONT = ("PROMPT_TUNING", "PREFIX_TUNING")  # what adds positions, and hangs at no module
ROOT = "base_model.model."
PROMPT = "prompt_embeddings"
# a method's tensors at a site: their name behind the frozen module's -> ours
MATRICES = {"lora_A.weight": "A", "lora_B.weight": "B"}
PARTS = {
    "lora": MATRICES,
    "dora": MATRICES | {"lora_magnitude_vector": "magnitude"},
    "vera": {"vera_lambda_b": "b", "vera_lambda_d": "d"},
    "ia3": {"ia3_l": "scale"},
    "layernorm": {"ln_tuning_layers.weight": "scale", "ln_tuning_layers.bias": "shift"},
    "prompt_tuning": {},
    "prefix_tuning": {},
}
# a method's settings: their word -> ours
RANK = {"r": "rank", "lora_alpha": "alpha", "lora_dropout": "dropout", "use_rslora": "stabilised"}
LENGTH = {"num_virtual_tokens": "length"}
WORDS = {
    "lora": RANK, "dora": RANK, "vera": {"r": "rank", "d_initial": "start", "projection_prng_key": "seed"}, "ia3": {},
    "layernorm": {}, "prompt_tuning": LENGTH, "prefix_tuning": LENGTH,
}  # fmt: skip
HARMLESS = dict.fromkeys((
    "auto_mapping", "base_model_name_or_path", "peft_type", "peft_version", "revision", "inference_mode",
    "target_modules", "modules_to_save", "r", "lora_alpha", "lora_dropout", "use_rslora", "use_dora", "fan_in_fan_out",
    "megatron_core", "qalora_group_size", "feedforward_modules", "init_ia3_weights", "num_virtual_tokens", "token_dim",
    "num_layers", "num_attention_heads", "prompt_tuning_init", "prompt_tuning_init_text", "tokenizer_name_or_path",
    "ensure_weight_tying", "exclude_modules", "loftq_config", "task_type",
    "d_initial", "projection_prng_key", "save_projection", "vera_dropout", "init_weights", "encoder_hidden_size",
    "prefix_projection",
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


def write(adapters: "Adapters", name: str, base: str, with_head: bool = True) -> dict[str, dict]:
    """{file name: JSON object or tensors}. base: where the model is found."""
    config, head = body(adapters, name, "PEFT", TYPES)
    if getattr(config, "gated", False):
        raise UserError(f'PEFT cannot hold "{name}": it has no gate')
    state, sites = adapters[name].state_dict(), config.targets(adapters.sites)
    if len({site.module for site in sites}) < len(sites):
        raise UserError(f'PEFT cannot hold "{name}": (IA)^3 before and behind one matrix')
    settings: dict[str, Any] = {
        "peft_type": TYPES[config.name], "base_model_name_or_path": base or None, "inference_mode": True,
        "task_type": None, "modules_to_save": None, **_settings(adapters, config, sites),
    }  # fmt: skip
    tensors = _whole(adapters, name, config, sites)
    for site in sites:
        values = {ours: state[f"{site.name}.{config.name}.{ours}"] for ours in PARTS[config.name].values()}
        values = _theirs(adapters.model, config.name, site, values)
        tensors |= {f"{ROOT}{site.module}.{theirs}": values[ours] for theirs, ours in PARTS[config.name].items()}
    if head and with_head:
        tensors |= _write_head(adapters, name, head, settings)
    return {CONFIG: settings, SAFE: tensors}


def _whole(adapters: "Adapters", name: str, config: Method, sites: list[Site]) -> Tensors:
    """What is no module's own, under PEFT's names."""
    adapter = adapters[name]
    if isinstance(config, VeRAConfig):
        (shared,) = adapter.in_common
        return {"base_model.vera_A": shared.A, "base_model.vera_B": shared.B}
    if isinstance(config, PrefixTuningConfig):
        return {PROMPT: torch.cat([adapter.at[site.name][0].prefix() for site in sites], dim=1)}
    return {PROMPT: adapter.at["prompt"][0].prompt} if isinstance(config, PromptTuningConfig) else {}


def _settings(adapters: "Adapters", config: Method, sites: list[Site]) -> dict[str, Any]:
    """A config in PEFT's words."""
    modules = [site.module for site in sites]
    settings: dict[str, Any] = {theirs: getattr(config, ours) for theirs, ours in WORDS[config.name].items()}
    if isinstance(config, PromptTuningConfig | PrefixTuningConfig):
        if shape(adapters).is_encoder_decoder:
            raise UserError("PEFT's prompt for an encoder-decoder is laid out otherwise; this export is for one stack")
        text, heads = shape(adapters).get_text_config(), "num_attention_heads"
        if isinstance(config, PrefixTuningConfig):
            if not config.counted or len(sites) < text.num_hidden_layers:
                raise UserError(
                    "PEFT's prefix is at every layer and takes up the text's first positions, so the same keys and "
                    "values would answer otherwise there; train PrefixTuningConfig(counted=True) for it"
                )
            heads = "num_key_value_heads" if hasattr(text, "num_key_value_heads") else heads
            settings |= {"encoder_hidden_size": sites[0].width, "prefix_projection": False}
        return settings | {
            "token_dim": sites[0].width,
            "num_transformer_submodules": 1,
            "num_attention_heads": getattr(text, heads),
            "num_layers": text.num_hidden_layers,
            "task_type": "FEATURE_EXTRACTION",  # a head makes it "SEQ_CLS", which PEFT does not read without one
        }
    if isinstance(config, LoRAConfig | VeRAConfig):
        turned = any(hasattr(adapters.model.get_submodule(module), "nf") for module in modules)
        more = {"use_dora": config.name == "dora"} if isinstance(config, LoRAConfig) else {"save_projection": True}
        settings |= {**more, "fan_in_fan_out": turned, "bias": "none"}
    if isinstance(config, IA3Config):
        settings["feedforward_modules"] = [site.module for site in sites if site.form == "hidden"]
    return {"target_modules": modules, **settings}


def _theirs(model: nn.Module, method: str, site: Site, values: Tensors) -> Tensors:
    """Our tensors at a site as PEFT has them."""
    if method == "ia3":  # it scales a row that goes in, or a column that comes out
        return {"scale": values["scale"][None, :] if site.form == "hidden" else values["scale"][:, None]}
    if method == "layernorm":
        norm = _norm(model, site.module, "PEFT cannot hold")
        return {"scale": norm.weight * values["scale"], "shift": norm.bias * values["scale"] + values["shift"]}
    return values


def _classifies(model: nn.Module) -> bool:
    return type(model).__name__.endswith("ForSequenceClassification")


def _write_head(adapters: "Adapters", name: str, head: HeadConfig, settings: dict[str, Any]) -> Tensors:
    """The head's tensors, in the whole modules that it is in (RoBERTa's classifier, BERT's pooler and classifier)."""
    if head.pools:
        raise UserError(
            f'PEFT cannot hold the head of "{name}": it takes the {head.pooling} of the encoder\'s states, and PEFT '
            'keeps maps of the model\'s own class; train it with pooling="model", or say export(..., head=False)'
        )
    prompt = settings["peft_type"] in IN_FRONT
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
        parts = ("weight",) if bias is None else ("weight", "bias")
        tensors |= {f"{site.module}.{part}": value for part, value in zip(parts, new, strict=False)}
    return {f"{'base_model.' if prompt else ROOT}{key}": value for key, value in tensors.items()}


def _top(adapters: "Adapters", site: Site) -> str:
    """The path of the module of the model, or of its base, that a part of the head is in; with a dot behind."""
    base = prefix(adapters.model)
    inside = base if base and site.module.startswith(base) else ""
    return inside + site.module.removeprefix(inside).split(".")[0]


def _norm(model: nn.Module, path: str, why: str) -> nn.LayerNorm:
    norm = model.get_submodule(path)
    if not isinstance(norm, nn.LayerNorm) or norm.weight is None or norm.bias is None or (norm.weight == 0).any():
        raise UserError(f'{why} a change of "{path}", which is no LayerNorm with a shift and a scale that is nowhere 0')
    return norm


# ---- PEFT's for us


def read(adapters: "Adapters", folder: Path, head: bool, pickle: bool) -> tuple[None, list[Method], Tensors]:
    """(None, recipe, tensors under our names): PEFT's files have no name for an adapter."""
    settings = {"use_rslora": False, "lora_dropout": 0.0, **config_of(folder / CONFIG)}
    kind = settings.get("peft_type")
    if kind not in TYPES.values():
        raise UserError(f"PEFT's {kind!r} cannot be held here; what can: {', '.join(dict.fromkeys(TYPES.values()))}")
    refuse("PEFT", settings, ALLOWED)
    method = "dora" if kind == "LORA" and settings.get("use_dora") else next(m for m, k in TYPES.items() if k == kind)
    tensors = _on_this_class(adapters.model, tensors_of(folder, SAFE, PICKLED, pickle))
    at, ours = _read_sites(adapters, folder, method, settings, tensors)
    if kind in IN_FRONT:
        at, ours = _in_front(adapters, method, take(folder, tensors, PROMPT))
    if method == "vera":
        _same_projections(adapters, folder, at, settings, tensors)
    recipe: list[Method] = [*_read_head(adapters, folder, settings, tensors, ours, head)]
    saved = set(settings.get("modules_to_save") or ())
    rest = {key: tensor for key, tensor in tensors.items() if not saved & set(key.split("."))}
    all_taken(folder, rest, ", where this model has no site that such an adapter fits")
    if tensors:
        raise UserError(f'"{folder}" has a head with a "{min(tensors)}", which this model\'s has not; say head=False')
    if not ours:
        raise UserError(f'"{folder}" holds no tensor of a {kind} adapter')
    words: dict[str, Any] = {ours: settings[theirs] for theirs, ours in WORDS[method].items()}
    words |= {"sites": kinds(adapters.sites, at)} if at else {}
    words |= {"hidden": 0, "counted": True} if method == "prefix_tuning" else {}
    return None, [METHODS[method](**words), *recipe], ours


def _on_this_class(model: Any, tensors: Tensors) -> Tensors:
    """The tensors without PEFT's own prefixes, and with or without "bert." as in this class of the base."""
    tensors = {key.removeprefix(ROOT).removeprefix("base_model."): tensor for key, tensor in tensors.items()}
    root = prefix(model)
    if not root:
        return {key.removeprefix(f"{model.base_model_prefix}."): tensor for key, tensor in tensors.items()}
    inner = dict(model.base_model.named_children())
    return {root + key if key.split(".")[0] in inner else key: tensor for key, tensor in tensors.items()}


def _read_sites(
    adapters: "Adapters", folder: Path, method: str, settings: dict[str, Any], tensors: Tensors
) -> tuple[list[str], Tensors]:
    """(sites of a method at frozen modules, its tensors under our names), which are taken out of `tensors`."""
    root, ours = f"{adapters.model.base_model_prefix}.", {}
    feedforward = _matcher(root, settings.get("feedforward_modules") or [], "feedforward_modules")
    at = {}
    for name, site in adapters.sites.items():
        hidden = method == "ia3" and feedforward(site.module)
        form = "norm" if method == "layernorm" else "hidden" if hidden else "linear"
        if site.form == form and any(f"{site.module}.{part}" in tensors for part in PARTS[method]):
            at[site.module] = name
    for module, name in at.items():
        values = {part: take(folder, tensors, f"{module}.{theirs}") for theirs, part in PARTS[method].items()}
        if method == "ia3":
            values["scale"] = column(folder, f"{module}.ia3_l", values["scale"])
        if method == "layernorm":
            values = _relative(adapters.model, module, **values)
        ours |= {f"{name}.{method}.{part}": value for part, value in values.items()}
    if PARTS[method]:
        _complete(adapters.model, folder, root, settings, at)
    return list(at.values()), ours


def _in_front(adapters: "Adapters", method: str, tokens: torch.Tensor) -> tuple[list[str], Tensors]:
    """(sites, tensors under our names) of a prompt (length, width), or of prefixes (length, layers * 2 * width)."""
    if method == "prompt_tuning":
        return [], {"prompt.prompt_tuning.prompt": tokens}
    at = [site.name for site in adapters.sites.values() if site.kind == "memory"]
    if not at or tokens.ndim != 2 or tokens.shape[1] != sum(2 * adapters.sites[site].width for site in at):
        raise UserError(f"PEFT: prefixes of shape {tuple(tokens.shape)} do not fit this model's {len(at)} attentions")
    parts = tokens.chunk(len(at), dim=1)
    return at, {f"{site}.prefix_tuning.own": part for site, part in zip(at, parts, strict=True)}


def _same_projections(
    adapters: "Adapters", folder: Path, at: list[str], settings: dict[str, Any], tensors: Tensors
) -> None:
    """UserError where a file's A and B are not those of its seed, of which alone a VeRA is made here."""
    if not settings.get("save_projection", True):
        return
    sites = [adapters.sites[site] for site in at]
    words = {ours: settings.get(theirs) for theirs, ours in WORDS["vera"].items()}
    shared = VeRAConfig(**words).common(sites) if sites else None  # type: ignore[arg-type]
    for key in "AB":
        theirs = take(folder, tensors, f"vera_{key}")
        ours = None if shared is None else getattr(shared, key)
        if ours is None or theirs.shape != ours.shape or not torch.allclose(theirs.float(), ours, atol=1e-6):
            raise UserError(
                f'"{folder}": vera_{key} is not what projection_prng_key {settings.get("projection_prng_key")} makes '
                "for these modules, and a VeRA here is made of its seed"
            )


def _matcher(root: str, target: Any, key: str) -> Callable[[str], bool]:
    """PEFT's rule: a whole name by a regular expression, or the end of a name out of a list."""
    if isinstance(target, str):
        try:
            pattern = re.compile(target)
        except re.error as error:
            raise UserError(f'PEFT: "{key}" {target!r} is no regular expression: {error}') from None
        return lambda path: any(map(pattern.fullmatch, (path, root + path)))
    if not isinstance(target, list) or not all(isinstance(t, str) and t for t in target):
        raise UserError(f'PEFT: "{key}" must be a list of names, not {target!r}')
    return lambda path: any(f".{root}{path}".endswith(f".{t}") for t in target)


def _complete(model: nn.Module, folder: Path, root: str, settings: dict[str, Any], modules: Iterable[str]) -> None:
    """Every module that the config asks for has its tensors: PEFT would start a missing one anew and only warn."""
    target = settings.get("target_modules")
    if target is None or target == "all-linear":
        return
    asked = _matcher(root, target, "target_modules")
    excluded = _matcher(root, settings.get("exclude_modules") or [], "exclude_modules")
    for path, _ in model.named_modules():
        if not path.startswith(CHILD) and asked(path) and not excluded(path) and path not in modules:
            raise UserError(f'"{folder}" lacks the tensors for "{path}", which its target_modules name')


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
    frozen, may_be_frozen = adapters.model.get_submodule(site.module), not site.missing and site.form != "head"
    if weight is None and may_be_frozen:
        return {}
    if weight is None:
        raise UserError(f'"{folder}" lacks "{site.module}.weight", a part of its head; say head=False')
    if weight.shape[1:] != frozen.weight.shape[1:] or (site.form != "head" and len(weight) != site.width):
        raise UserError(f'the head of the file does not fit "{site.module}", which reads {site.source_width} values')
    if may_be_frozen and _same(frozen.weight, weight) and (bias is None or _same(frozen.bias, bias)):
        return {}
    if site.form == "head norm":
        return _relative(adapters.model, site.module, weight, bias)
    return {"linear.weight": weight, "linear.bias": torch.zeros(len(weight)) if bias is None else bias}


def _same(frozen: torch.Tensor | None, tensor: torch.Tensor) -> bool:
    return frozen is not None and torch.equal(frozen.detach().to("cpu", tensor.dtype), tensor)
