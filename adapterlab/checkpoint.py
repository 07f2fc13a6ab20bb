"""An adapter on disk: adapter.safetensors and adapter.json, written at once or not at all, read strictly or not at all."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as pack_tensors

from . import __version__
from .adapters import CHILD, Adapter, Adapters, Info
from .errors import UserError
from .methods import from_dict

FORMAT, VERSION = "adapterlab", 1
TENSORS, CONFIG = "adapter.safetensors", "adapter.json"
MAX_CONFIG_BYTES = 1_000_000


def base_identity(model) -> dict:
    """What an adapter must find again in its base: family, width, layers, and a fingerprint of its small tensors."""
    config = model.config.get_text_config()
    base = getattr(model, model.base_model_prefix, model)
    digest = hashlib.sha256()
    small = [
        (n, p) for n, p in base.named_parameters() if p.ndim == 1 and p.numel() <= 4096 and CHILD not in n
    ]
    for _, p in sorted(small, key=lambda item: item[0]):
        digest.update(p.detach().to("cpu").contiguous().view(torch.uint8).numpy().tobytes())
    return {
        "name": Path(str(model.config._name_or_path or "")).name,
        "family": model.config.model_type,
        "width": config.hidden_size,
        "layers": config.num_hidden_layers,
        "dtype": str(next(base.parameters()).dtype).removeprefix("torch."),
        "fingerprint": digest.hexdigest(),
    }


def save(adapters: Adapters, name: str, folder, overwrite: bool = False) -> Path:
    """Write an adapter to `folder`: both files appear together or not at all.

    Errors: UserError when the folder is there already (unless overwrite) or cannot be written.
    """
    adapter, folder = adapters[name], Path(folder)
    if folder.exists() and not overwrite:
        raise UserError(f'"{folder}" is there already; choose another folder or say overwrite=True')
    if folder.exists() and not (folder / CONFIG).is_file():
        raise UserError(f'"{folder}" is not an adapter\'s folder and will not be overwritten; choose another')
    tensors = {k: v.detach().to("cpu").contiguous() for k, v in adapter.state_dict().items()}
    packed = pack_tensors(tensors)
    config = {
        "format": FORMAT,
        "version": VERSION,
        "name": name,
        "base": base_identity(adapters.model),
        "recipe": adapters.recipe_dicts(name),
        **adapters.info_dict(name),
        "sha256": hashlib.sha256(packed).hexdigest(),
        "written_by": {"adapterlab": __version__, "torch": torch.__version__},
    }
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            (temporary / TENSORS).write_bytes(packed)
            (temporary / CONFIG).write_text(json.dumps(config, indent=2) + "\n")
            os.chmod(temporary, 0o755)
            _swap(temporary, folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise UserError(f'cannot write the adapter to "{folder}": {error.strerror or error}') from None
    return folder


def _swap(new: Path, folder: Path) -> None:
    """Put the finished folder in its place; an old one is kept until the new one stands there."""
    if not folder.exists():
        os.rename(new, folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    os.replace(folder, old)
    try:
        os.rename(new, folder)
    except OSError:
        os.rename(old, folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def load(adapters: Adapters, folder, name: str | None = None) -> str:
    """Add the adapter in `folder` to the model, under `name` or the name it was saved with; returns the name.

    Errors: UserError for a folder that is not an adapter's, damaged files, missing, unexpected or misshapen tensors,
    another base model or a newer format; the model is then what it was.
    """
    folder = Path(folder)
    config, packed = _read(folder)
    name = config["name"] if name is None else name
    adapters._new_name(name)
    _same_base(folder, config["base"], base_identity(adapters.model))
    try:
        recipe = tuple(from_dict(method) for method in config["recipe"])
        with torch.random.fork_rng(devices=[]):
            adapter = Adapter(
                Info(recipe, config.get("task"), config.get("metric"), config.get("score")), adapters.sites
            )
    except (TypeError, ValueError) as error:
        raise UserError(f'"{folder / CONFIG}" asks for what cannot be built: {error}') from None
    _fill(adapter, folder / TENSORS, packed)
    adapters._insert(name, adapter)
    return name


def _read(folder: Path) -> tuple[dict, bytes]:
    """The checked JSON and the raw tensors."""
    path = folder / CONFIG
    if not path.is_file() or not (folder / TENSORS).is_file():
        raise UserError(f'"{folder}" is not an adapter\'s folder: it needs {CONFIG} and {TENSORS}')
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise UserError(f'"{path}" is larger than any adapter\'s config')
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f'"{path}" is not readable JSON ({error}); save the adapter again') from None
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise UserError(f'"{path}" was not written by adapterlab; this loader reads its own format only')
    if not isinstance(config.get("version"), int) or config["version"] > VERSION:
        raise UserError(
            f'"{path}" has format version {config.get("version")!r}, newer than {VERSION}: update adapterlab'
        )
    kinds = {"name": str, "base": dict, "recipe": list, "sha256": str}
    for key, kind in kinds.items():
        if not isinstance(config.get(key), kind):
            raise UserError(f'"{path}": "{key}" is missing or not a {kind.__name__}')
    if not all(isinstance(method, dict) for method in config["recipe"]):
        raise UserError(f'"{path}": "recipe" must hold one object a method')
    packed = (folder / TENSORS).read_bytes()
    if hashlib.sha256(packed).hexdigest() != config["sha256"]:
        raise UserError(
            f'"{folder / TENSORS}" is truncated or was changed: its checksum is not the one in {CONFIG}'
        )
    return config, packed


def _same_base(folder: Path, wanted: dict, here: dict) -> None:
    for key in ("family", "width", "layers"):
        if wanted.get(key) != here[key]:
            raise UserError(
                f'"{folder}" was trained on another base: {key} {wanted.get(key)!r}, this model has {here[key]!r}'
            )
    if wanted.get("dtype") == here["dtype"] and wanted.get("fingerprint") != here["fingerprint"]:
        raise UserError(
            f'"{folder}" was trained on "{wanted.get("name")}", of the same shape but with other weights than this model'
        )


def _fill(adapter: Adapter, path: Path, packed: bytes) -> None:
    """Load the tensors: the same names and shapes, all finite."""
    try:
        tensors = parse_tensors(packed)
    except (SafetensorError, ValueError, KeyError) as error:
        raise UserError(f'"{path}" is not a safetensors file ({error}); save the adapter again') from None
    wanted = adapter.state_dict()
    for problem, keys in (
        ("lacks", wanted.keys() - tensors.keys()),
        ("has an unexpected", tensors.keys() - wanted.keys()),
    ):
        if keys:
            raise UserError(f'"{path}" {problem} tensor "{sorted(keys)[0]}" ({len(keys)} in all)')
    for key, tensor in tensors.items():
        if tensor.shape != wanted[key].shape:
            raise UserError(
                f'"{path}": "{key}" is {tuple(tensor.shape)} and must be {tuple(wanted[key].shape)}'
            )
        if not torch.isfinite(tensor.float()).all():
            raise UserError(f'"{path}": "{key}" holds values that are not finite')
    adapter.load_state_dict(tensors)
