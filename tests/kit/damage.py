"""Every way to damage an adapter's folder that has a sentence of its own: {what: (change(folder), its sentence)}.

The damaged files are signed anew where the checksum would else hide the check that is meant. The adapter is
`houlsby(4)` with a head on a tiny BERT, but for `LESSON`, whose ways suit any adapter: notebook 13 shows those.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from adapterlab.lessons.nb13_sharing.damage import DAMAGE as SHOWN

TENSORS, CONFIG = "adapter.safetensors", "adapter.json"
UP = "layers.1.feedforward.bottleneck.up.weight"


def sign(folder: Path, packed: bytes) -> None:
    """Put these bytes in the place of the tensors, with a checksum that is theirs."""
    (folder / TENSORS).write_bytes(packed)
    edit(folder, sha256=hashlib.sha256(packed).hexdigest())


def edit(folder: Path, **changes) -> None:
    """Change values of adapter.json."""
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def resave(folder: Path, tensors: dict) -> None:
    """Other tensors, signed."""
    save_file(tensors, folder / TENSORS)
    sign(folder, (folder / TENSORS).read_bytes())


def _tensor(change: Callable) -> Callable[[Path], None]:
    """`change` of the tensor UP; a dict from it takes the tensor's place under other names."""

    def damage(folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        changed = change(tensors.pop(UP))
        resave(folder, {**tensors, **(changed if isinstance(changed, dict) else {UP: changed})})

    return damage


def _json(**changes) -> Callable[[Path], None]:
    return lambda folder: edit(folder, **changes)


def _setting(**changes) -> Callable[[Path], None]:
    """Changes of the bottleneck's settings."""

    def damage(folder: Path) -> None:
        first, *others = json.loads((folder / CONFIG).read_text())["recipe"]
        edit(folder, recipe=[{**first, **changes}, *others])

    return damage


def _base(**changes) -> Callable[[Path], None]:
    return lambda folder: edit(folder, base={**json.loads((folder / CONFIG).read_text())["base"], **changes})


LESSON = {
    "one bit of the last number flipped": "checksum",
    "the second half lost": "truncated or was changed.*checksum",
    "the JSON cut short": "not readable JSON",
    "a newer format version": "format version 2, newer than 1: update",
    "made for a wider base": "width 768",
    "made for other weights": 'trained on "another-model", of the same shape but with other weights',
    "a tensor missing, checksum forged": "lacks tensor",
    "a tensor reshaped, checksum forged": "must be",
    "a NaN, checksum forged": "not finite",
    "a method that does not exist": "magic",
}
DAMAGE = {
    **{what: (SHOWN[what], sentence) for what, sentence in LESSON.items()},
    "no tensors": (lambda folder: (folder / TENSORS).write_bytes(b""), "truncated or was changed"),
    # tensors
    "misshapen": (_tensor(lambda t: torch.zeros(16, 5)), rf'"{UP}" is \(16, 5\) and must be \(16, 4\)'),
    "transposed": (_tensor(lambda t: t.T.contiguous()), r"is \(4, 16\) and must be \(16, 4\)"),
    "missing": (_tensor(lambda t: {}), f'lacks tensor "{UP}"'),
    "renamed": (_tensor(lambda t: {UP.replace("up", "upp"): t}), f'lacks tensor "{UP}"'),
    "one too many": (_tensor(lambda t: {UP: t, "extra": torch.zeros(1)}), 'unexpected tensor "extra"'),
    "NaN": (_tensor(lambda t: t * float("nan")), f'"{UP}" holds values that are not finite'),
    "infinite": (_tensor(lambda t: t + float("inf")), "not finite"),
    "whole numbers": (_tensor(lambda t: t.long()), "is of type torch.int64"),
    # adapter.json
    "another format": (_json(format="other"), "not written by adapterlab"),
    "version 0": (_json(version=0), '"version" is missing'),
    "version in words": (_json(version="1"), '"version" is missing'),
    "version true": (_json(version=True), '"version" is missing'),
    "base a word": (_json(base="minilm"), '"base" is missing or not a dict'),
    "no name": (_json(name=None), '"name" is missing or not a str'),
    "recipe an object": (_json(recipe={}), '"recipe" is missing or not a list'),
    "recipe of words": (_json(recipe=["bottleneck"]), "one object a method"),
    "checksum a number": (_json(sha256=3), '"sha256" is missing'),
    "another checksum": (_json(sha256="0" * 64), "checksum"),
    "task a list": (_json(task=["toy"]), "cannot be a task"),
    "score in words": (_json(score="0.9"), "cannot be a score"),
    "score true": (_json(score=True), "cannot be a score"),
    # the base
    "vocabulary in words": (_base(vocabulary="60"), "a vocabulary of '60', this model has 60"),
    "vocabulary true": (_base(vocabulary=True), "a vocabulary of True"),
    "a larger vocabulary": (_base(vocabulary=61), "a vocabulary of 61, this model has 60"),
    "another pooler": (
        _base(between={"head.pooler_dense": "0" * 64}),
        "a head behind.*other weights here; say head=False",
    ),
    # settings of a method
    "misspelt": (_setting(method="botleneck"), 'did you mean "bottleneck"'),
    "method a list": (_setting(method=["bottleneck"]), "cannot be built"),
    "no method": (_setting(method=None), "unknown method"),
    "unknown setting": (_setting(width=3), 'no setting "width"'),
    "size in words": (_setting(size="4"), "whole number"),
    "size too large": (_setting(size=10**9), "wider than the site"),
    "another size": (_setting(size=5), "must be"),
    "act an object": (_setting(act={}), "cannot be built"),
    "std in words": (_setting(std="small"), "cannot be built"),
    "sites a number": (_setting(sites=5), "no saved adapter has"),
    "sites in lists": (_setting(sites=[["attention"]]), "no site"),
    "a layer too high": (_setting(layers=[99]), "outside this model's layers"),
    "a layer in words": (_setting(layers=["0"]), "cannot be built"),
}
