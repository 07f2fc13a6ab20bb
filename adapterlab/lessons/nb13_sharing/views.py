"""Two views: what so many tasks weigh, and what a strict load says to a damaged adapter."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import torch
from safetensors.torch import load_file
from safetensors.torch import save as pack_tensors

from ...adapters import Adapters
from ...errors import UserError
from ...files import checkpoint
from ...studies.count import storage
from ..kit import view as base
from ..nb00_start.figures import storage as growth

MB = 4e-6  # of a float32


def serving_view(base_count: int, counts: dict[str, int], tasks: int = 10) -> base.FigureView:
    """Controls `method` (of counts: name -> parameters of one adapter) and `tasks`.

    base_count: parameters of the model.
    """

    def draw(method: str, tasks: int) -> tuple[go.Figure, str]:
        frame = pd.DataFrame([storage(base_count, counts[method], n) for n in range(1, tasks + 1)])
        copies, shared = frame["copies_mb"].iloc[-1], frame["adapters_mb"].iloc[-1]
        summary = (
            f"{tasks} tasks with {method}: {MB * counts[method]:.2f} MB a task; {copies:,.0f} MB as copies, "
            f"{shared:,.0f} MB on one model, {copies / shared:.1f} times less"
        )
        return growth(frame, title=f"{tasks} tasks with {method}"), summary

    return base.FigureView(draw, method=base.choice("method", list(counts)), tasks=base.slider("tasks", tasks, 1, 100))


# ---- damage: each changes the files of one folder


def _config(folder: Path, **changes) -> None:
    path = folder / checkpoint.CONFIG
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")


def _base(folder: Path, **changes) -> None:
    config = json.loads((folder / checkpoint.CONFIG).read_text(encoding="utf-8"))
    _config(folder, base={**config["base"], **changes})


def _bytes(folder: Path, change: Callable[[bytearray], bytearray]) -> None:
    path = folder / checkpoint.TENSORS
    path.write_bytes(change(bytearray(path.read_bytes())))


def _flip(data: bytearray) -> bytearray:
    data[-1] ^= 1
    return data


def _tensors(folder: Path, change: Callable[[dict[str, torch.Tensor], str], object]) -> None:
    """Change the tensors and forge the checksum to go with them."""
    tensors = load_file(folder / checkpoint.TENSORS)
    change(tensors, min(tensors))
    packed = pack_tensors(tensors)
    (folder / checkpoint.TENSORS).write_bytes(packed)
    _config(folder, sha256=hashlib.sha256(packed).hexdigest())


DAMAGE: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: None,
    "one bit of the last number flipped": lambda folder: _bytes(folder, _flip),
    "the second half lost": lambda folder: _bytes(folder, lambda data: data[: len(data) // 2]),
    "the JSON cut short": lambda folder: (folder / checkpoint.CONFIG).write_text('{"format": '),
    "a newer format version": lambda folder: _config(folder, version=checkpoint.VERSION + 1),
    "made for a wider base": lambda folder: _base(folder, width=768),
    "made for other weights": lambda folder: _base(folder, name="another-model", fingerprint="0" * 64),
    "a tensor missing, checksum forged": lambda folder: _tensors(folder, lambda t, k: t.pop(k)),
    "a tensor reshaped, checksum forged": lambda folder: _tensors(
        folder, lambda t, k: t.update({k: t[k].flatten()[:-1].clone()})
    ),
    "a NaN, checksum forged": lambda folder: _tensors(
        folder, lambda t, k: t.update({k: torch.full_like(t[k], float("nan"))})
    ),
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


def damage_view(adapters: Adapters, folder: str | Path) -> base.FigureView:
    """Control `damage`; the line below says what the load answers. The view keeps a copy of `folder`."""
    temporary = tempfile.TemporaryDirectory()
    sound = shutil.copytree(folder, Path(temporary.name) / "adapter")

    def draw(damage: str) -> tuple[None, str]:
        before = list(adapters)
        sentence = refusal(adapters, sound, damage)
        after = "the adapters are as before" if list(adapters) == before else "the adapters have changed"
        return None, f"{damage}: {'loads' if sentence is None else f'refused: {sentence}'} ({after})"

    view = base.FigureView(draw, height=0, damage=base.choice("what happens to the file", list(DAMAGE)))
    view.temporary = temporary  # goes with the view
    return view
