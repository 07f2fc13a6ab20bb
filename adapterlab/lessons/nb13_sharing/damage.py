"""Ways to damage an adapter's folder, and what a strict load says to each."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load, save

from ...adapters import Adapters
from ...errors import UserError
from ...files.checkpoint import CONFIG, TENSORS, VERSION


def _config(folder: Path, **changes) -> None:
    """Change values of adapter.json; of an object only those that are named."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    for key, value in changes.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")


def _bytes(folder: Path, change: Callable[[bytes], bytes]) -> None:
    (folder / TENSORS).write_bytes(change((folder / TENSORS).read_bytes()))


def _tensors(folder: Path, change: Callable[[dict[str, torch.Tensor], str], object]) -> None:
    """Change the tensors (the second argument is a name) and forge the checksum to go with them."""
    tensors = load((folder / TENSORS).read_bytes())
    change(tensors, min(tensors))
    packed = save(tensors)
    (folder / TENSORS).write_bytes(packed)
    _config(folder, sha256=hashlib.sha256(packed).hexdigest())


DAMAGE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "one bit of the last number flipped": lambda folder: _bytes(folder, lambda b: b[:-1] + bytes([b[-1] ^ 1])),
    "the second half lost": lambda folder: _bytes(folder, lambda b: b[: len(b) // 2]),
    "the JSON cut short": lambda folder: (folder / CONFIG).write_text('{"format": '),
    "a newer format version": lambda folder: _config(folder, version=VERSION + 1),
    "made for a wider base": lambda folder: _config(folder, base={"width": 768}),
    "made for other weights": lambda folder: _config(folder, base={"name": "another-model", "fingerprint": "0" * 64}),
    "a tensor missing, checksum forged": lambda folder: _tensors(folder, lambda t, k: t.pop(k)),
    "a tensor reshaped, checksum forged": lambda folder: _tensors(
        folder, lambda t, k: t.update({k: t[k].flatten()[:-1].clone()})
    ),
    "a NaN, checksum forged": lambda folder: _tensors(folder, lambda t, k: t[k].fill_(float("nan"))),
    "a method that does not exist": lambda folder: _config(folder, recipe=[{"method": "magic"}]),
}


def refusal(adapters: Adapters, folder: str | Path, damage: str) -> str | None:
    """The sentence with which a load refuses a damaged copy of `folder`; None when it loads. Nothing is kept."""
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "adapter"
        shutil.copytree(folder, copy)
        DAMAGE[damage](copy)
        try:
            adapters.delete(adapters.load(copy, "damaged copy"))
        except UserError as error:
            return str(error).replace(str(copy), "adapter")
    return None
