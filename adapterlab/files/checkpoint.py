"""An adapter on disk: adapter.safetensors and adapter.json, written whole or not at all and read strictly."""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as pack_tensors
from torch import nn

from .. import __version__
from ..adapter import CHILD, Adapter, Info
from ..errors import UserError
from ..methods import HeadConfig, Method, from_dict
from ..quantize import quantized
from ..sites import HEADS

if TYPE_CHECKING:
    from ..adapters import Adapters

FORMAT, VERSION = "adapterlab", 1
TENSORS, CONFIG, CARD = "adapter.safetensors", "adapter.json", "README.md"
MARKS = (CONFIG, "adapter_config.json", "adapter_fusion_config.json")  # one of these makes a folder an adapter's
CARD_TEXT = """---
library_name: adapterlab
tags: [adapterlab, adapter]
---

# {name}

| | |
|---|---|
{rows}

```python
from adapterlab.adapters import Adapters

adapters = Adapters(model)  # the base named above
name = adapters.load("path/to/{name}")
adapters.activate(name)
```
"""
INFO = {"task": str | None, "metric": str | None, "score": int | float | None}
FIELDS = {"name": str, "base": dict, "recipe": list, "sha256": str}
MAX_CONFIG_BYTES = 1_000_000
SAMPLE = 64  # values of a parameter that go into the fingerprint of the base


def base_identity(adapters: "Adapters") -> dict:
    """What an adapter must find again in its base: family, width, layers, and a fingerprint of its weights."""
    model = adapters.model
    text, base, rows = model.config.get_text_config(), base_of(model), vocabulary(model)
    return {
        "name": base_name(model),
        "family": model.config.model_type,
        "width": text.hidden_size,
        "layers": text.num_hidden_layers,
        "dtype": str(next(base.parameters()).dtype).removeprefix("torch.") + packing(base),
        "vocabulary": rows,
        "fingerprint": fingerprint(base, rows, heads(adapters)),
    }


def known_base(adapters: "Adapters") -> dict | None:
    """`base_identity`, or None of a model that has no config, or no numbers (on the meta device)."""
    meta = any(p.is_meta for p in adapters.model.parameters())
    return None if meta or not hasattr(adapters.model, "config") else base_identity(adapters)


def same_weights(adapters: "Adapters", saved: dict) -> bool:
    """Has the model the weights, in the same precision, of the base whose identity was saved?"""
    base = base_of(adapters.model)
    # 0.1.0 saved no vocabulary, and the pooler counted as the base's
    older = "vocabulary" not in saved
    mark = fingerprint(base) if older else fingerprint(base, saved["vocabulary"], heads(adapters))
    return saved.get("fingerprint") == mark


def base_of(model: nn.Module) -> Any:
    """The model without what its class puts on top: what an adapter's fingerprint is taken of."""
    return getattr(model, str(model.base_model_prefix), model)


def base_name(model: nn.Module) -> str:
    """The base as an adapter's file names it: a Hub id as it is, of a folder on this machine the last name alone."""
    config: Any = model.config
    name = str(config._name_or_path or "")
    on_hub = name.count("/") == 1 and not name.startswith((".", "/", "~")) and not Path(name).exists()
    return name if on_hub else Path(name).name


def vocabulary(model: Any) -> int | None:
    """How many rows the token embeddings have; None for a model that reads no tokens."""
    try:
        embeddings = model.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None
    return embeddings.num_embeddings if isinstance(embeddings, nn.Embedding) else None


def heads(adapters: "Adapters") -> tuple[str, ...]:
    """What the names of parameters begin with that are a head's, or stand before one: no part of the base."""
    return "pooler.", *(f"{site.module}." for site in adapters.sites.values() if site.kind in HEADS)


def fingerprint(module: Any, rows: int | None = None, without: tuple[str, ...] = ()) -> str:
    """SHA-256 of at most SAMPLE values of every parameter, evenly spread: one millisecond, where all 91 MB take 100.

    rows: of the token embeddings, those that count, for tokens can be added later. without: beginnings of names that do
    not count.
    """
    embeddings = module.get_input_embeddings().weight if rows is not None else None
    digest = hashlib.sha256()
    for name, p in sorted(module.named_parameters(), key=lambda item: item[0]):
        if p.is_floating_point() and not name.startswith((f"{CHILD}.", *without)):
            values = p.detach()
            values = values[:rows] if p is embeddings else values
            sample = values.flatten()[:: max(1, values.numel() // SAMPLE)][:SAMPLE].to("cpu").contiguous()
            digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def between(adapters: "Adapters", head: HeadConfig | None) -> dict[str, str]:
    """The frozen maps that a head reads through (BERT's pooler), by site, with their fingerprints."""
    if head is None or head.pools:
        return {}
    sites = [s for s in adapters.sites.values() if s.kind == "head_map" and s.name not in head.sites]
    return {site.name: fingerprint(adapters.model.get_submodule(site.module)) for site in sites}


def packing(model) -> str:
    """How the base's linear maps are quantized: "", " int8" or " 4bit"; its numbers then differ from a float base's."""
    kinds = {type(module).__name__ for module in model.modules() if quantized(module)}
    return "".join(sorted(" 4bit" if kind == "Linear4bit" else " int8" for kind in kinds))


def save(adapters: "Adapters", name: str, folder, overwrite: bool = False) -> Path:
    """Write an adapter to `folder`: its tensors, its config and a model card appear together or not at all.

    Errors: UserError when the folder is there already (unless overwrite), cannot be written, when the adapter holds a
    NaN or an infinity, and while one is merged: the base's weights are then not its own.
    """
    adapters.free()
    adapter, folder = adapters[name], check_target(folder, overwrite or adapters.overwrite)
    tensors = {k: v.detach().to("cpu").contiguous() for k, v in adapter.state_dict().items()}
    finite(tensors, f'adapter "{name}"')
    packed = pack_tensors(tensors)
    config = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "base": base_identity(adapters) | {"between": between(adapters, adapter.info.head)},
        **adapter.info.to_dict(),
        "sha256": hashlib.sha256(packed).hexdigest(),
        "written_by": {"adapterlab": __version__, "torch": torch.__version__},
    }
    text = {CONFIG: json.dumps(config, indent=2) + "\n", CARD: card(adapters, name, config)}
    return write_folder(folder, {TENSORS: packed, **text})


def check_target(folder, overwrite: bool) -> Path:
    """The folder to write to; UserError when it is there already, or when it is no adapter's to overwrite."""
    folder = Path(folder)
    if folder.exists() and not overwrite:
        raise UserError(f'"{folder}" is there already; choose another folder or say overwrite=True')
    empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not empty and not any((folder / mark).is_file() for mark in MARKS):
        raise UserError(f'"{folder}" is not an adapter\'s folder and will not be overwritten; choose another')
    return folder


def write_folder(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write all files into a new folder that takes the place of `folder`, or leave everything as it was."""
    name, parent = f".{folder.name}-", folder.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=name, dir=parent, ignore_cleanup_errors=True) as temporary:
            new, old = Path(temporary, "new"), Path(temporary, "old")
            new.mkdir()
            for file, content in files.items():
                (new / file).write_bytes(content.encode() if isinstance(content, str) else content)
            try:
                if folder.exists():
                    os.rename(folder, old)
                os.rename(new, folder)
            finally:
                if old.exists() and not folder.exists():
                    os.rename(old, folder)
    except OSError as error:
        raise UserError(f'cannot write the adapter to "{folder}": {error.strerror or error}') from None
    return folder


def card(adapters: "Adapters", name: str, config: dict) -> str:
    """A model card: what the adapter is, what it was trained for, and how to run it. The Hub shows it."""
    base, info, score, count = config["base"], adapters[name].info, config["score"], adapters.count(name)
    facts = {
        "base": f"{base['name'] or 'unnamed'} ({base['family']}, {base['layers']} layers, {base['width']} wide)",
        "methods": ", ".join(c.name for c in info.recipe),
        "sites": ", ".join(dict.fromkeys(adapters.sites[s].kind for s in adapters[name].at)),
        "parameters": f"{count:,} ({100 * count / adapters.base_count():.2f}% of the base)",
        "task": config["task"],
        "labels": ", ".join(info.head.labels) if info.head else None,
        "score": None if score is None else f"{score:.4f} ({config['metric'] or 'metric not given'})",
    }
    rows = "\n".join(f"| {key} | {plain(value)} |" for key, value in facts.items() if value is not None)
    return CARD_TEXT.format(name=plain(name), rows=rows)


def plain(text) -> str:
    """Text that stays within its cell and its line."""
    return re.sub(r"[\r\n|`<>]", " ", str(text))


def load(adapters: "Adapters", folder: str | Path, name: str | None = None, head: bool = True) -> str:
    """Add the adapter in `folder` to the model, under `name` or the name it was saved with; returns the name.

    head: with its head, if it has one; without it, an adapter fits every class of its base.
    Errors: UserError for a folder that is not an adapter's, damaged files, missing, unexpected or misshapen tensors,
    another base model or a newer format, and while an adapter is merged; the model is then what it was.
    """
    adapters.free()
    folder = Path(folder)
    config, packed = _read(folder)
    name = config["name"] if name is None else name
    adapters.claim(name)
    recipe = tuple(method for method in _recipe(folder, config) if head or not isinstance(method, HeadConfig))
    info = Info(recipe, *(config.get(key) for key in INFO))
    _same_base(folder, config["base"], adapters)
    _same_head(folder, config, adapters, info.head)
    tensors = parse(folder / TENSORS, packed)
    tensors = {k: v for k, v in tensors.items() if head or not k.startswith("head.")}
    return put(adapters, name, folder, info, tensors, config["base"])


def config_of(path: Path) -> dict[str, Any]:
    """A JSON object from a file of bounded size."""
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise UserError(f'"{path}" is larger than any adapter\'s config')
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f'"{path}" is not readable JSON ({error}); have the adapter saved again') from None
    if not isinstance(config, dict):
        raise UserError(f'"{path}" must hold one JSON object')
    return config


def _read(folder: Path) -> tuple[dict, bytes]:
    """The checked JSON and the raw tensors."""
    path = folder / CONFIG
    if not path.is_file() or not (folder / TENSORS).is_file():
        raise UserError(f'"{folder}" is not an adapter\'s folder: it needs {CONFIG} and {TENSORS}')
    config = config_of(path)
    if config.get("format") != FORMAT:
        raise UserError(f'"{path}" was not written by adapterlab; this loader reads its own format only')
    version = config.get("version")
    if type(version) is not int or version < 1:
        raise UserError(f'"{path}": "version" is missing or not a whole number of at least 1')
    if version > VERSION:
        raise UserError(f'"{path}" has format version {version}, newer than {VERSION}: update adapterlab')
    for key, kind in FIELDS.items():
        if not isinstance(config.get(key), kind):
            raise UserError(f'"{path}": "{key}" is missing or not a {kind.__name__}')
    for key, optional in INFO.items():
        if not isinstance(config.get(key), optional) or isinstance(config.get(key), bool):
            raise UserError(f'"{path}": "{key}" is {config[key]!r}, which cannot be a {key}')
    if not all(isinstance(method, dict) for method in config["recipe"]):
        raise UserError(f'"{path}": "recipe" must hold one object a method')
    packed = (folder / TENSORS).read_bytes()
    if hashlib.sha256(packed).hexdigest() != config["sha256"]:
        raise UserError(f'"{folder / TENSORS}" is truncated or was changed: its checksum is not the one in {CONFIG}')
    return config, packed


def _recipe(folder: Path, config: dict) -> tuple[Method, ...]:
    """The methods' configs; UserError where one would be read as something else than stands there."""
    recipe = []
    for saved in config["recipe"]:
        try:
            method = from_dict(saved)
        except (TypeError, ValueError) as error:
            raise UserError(f'"{folder / CONFIG}" asks for what cannot be built: {error}') from None
        read = json.loads(json.dumps(method.to_dict()))
        for key, value in saved.items():
            if read[key] != value:
                raise UserError(
                    f'"{folder / CONFIG}": {method.name} has "{key}" = {value!r}, which no saved adapter has'
                )
        recipe.append(method)
    return tuple(recipe)


def _same_base(folder: Path, saved: dict, adapters: "Adapters") -> None:
    """UserError when the adapter was trained on another base than the model's."""
    here = base_identity(adapters)
    for key in ("family", "width", "layers"):
        if saved.get(key) != here[key]:
            raise UserError(
                f'"{folder}" was trained on another base: {key} {saved.get(key)!r}, this model has {here[key]!r}'
            )
    if saved.get("dtype") != here["dtype"]:  # the same weights in another precision have another fingerprint
        return
    rows, count = saved.get("vocabulary"), here["vocabulary"]
    if rows is not None and (type(rows) is not int or count is None or not 0 < rows <= count):
        raise UserError(f'"{folder}" was trained with a vocabulary of {rows!r}, this model has {count!r}')
    if not same_weights(adapters, saved):
        raise UserError(
            f'"{folder}" was trained on "{saved.get("name")}", of the same shape but with other weights than this model'
        )


def _same_head(folder: Path, config: dict, adapters: "Adapters", head: HeadConfig | None) -> None:
    """UserError when a head would not read what it was trained to read."""
    if head is None:
        return
    try:
        head.targets(adapters.sites)
    except (TypeError, ValueError) as error:
        raise UserError(f'"{folder}" has a head that does not fit this model: {error}; say head=False') from None
    lacking = [site.module for site in adapters.sites.values() if site.missing]
    if lacking and any(method.get("method") == "head" and "pooling" not in method for method in config["recipe"]):
        raise UserError(  # 0.1.0 saved a head's last map alone
            f'"{folder}" was saved when a head was its last map alone; what it learnt upon a random "{lacking[0]}" '
            "cannot be found again: train it anew"
        )
    was, here = config["base"].get("between"), between(adapters, head)
    if was is None or was == here or config["base"].get("dtype") != base_identity(adapters)["dtype"]:
        return
    was = was if isinstance(was, dict) else {}
    site = next((site for site in {**was, **here} if was.get(site) != here.get(site)), "?")
    differs = "has other weights here" if site in here else "this model lacks"
    trained = f'behind "{site}", which {differs}' if site in was else f'that was not behind "{site}", as it is here'
    raise UserError(f'"{folder}" has a head {trained}; say head=False')


def parse(path: Path, packed: bytes) -> dict:
    """The tensors of a safetensors file."""
    try:
        return parse_tensors(packed)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(f'"{path}" is not a safetensors file ({error}); save the adapter again') from None


def put(adapters: "Adapters", name: str, folder: Path, info: Info, tensors: dict, base: dict) -> str:
    """Add an adapter with these numbers: the same names as its own, the same shapes, all finite. Returns its name.

    base: what the file tells of the base, see `Adapter.base`.
    """
    try:
        with torch.device("meta"):  # shapes only: the numbers come from the file
            adapter = Adapter(info, adapters.sites)
    except (TypeError, ValueError) as error:
        raise UserError(f'"{folder}" asks for what cannot be built: {error}') from None
    wanted = adapter.state_dict()
    differ = {"lacks": wanted.keys() - tensors.keys(), "has an unexpected": tensors.keys() - wanted.keys()}
    for problem, keys in differ.items():
        if keys:
            raise UserError(f'"{folder}" {problem} tensor "{min(keys)}" ({len(keys)} in all)')
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape:
            raise UserError(f'"{folder}": "{key}" is {tuple(tensor.shape)} and must be {tuple(wanted[key].shape)}')
        if tensor.is_floating_point() != wanted[key].is_floating_point():
            raise UserError(f'"{folder}": "{key}" is of type {tensor.dtype} and must be {wanted[key].dtype}')
    finite(tensors, f'"{folder}"')
    adapter.load_state_dict({k: v.to(wanted[k].dtype) for k, v in tensors.items()}, assign=True)
    adapter.base = base
    adapters.insert(name, adapter)
    return name


def finite(tensors: dict, whose: str) -> None:
    """UserError when a floating tensor holds NaN or infinity."""
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f'{whose}: "{key}" holds values that are not finite')
