"""The file formats of PEFT and of the Adapters library (AdapterHub): write ours for them, read theirs.

Each format is one file with two functions. `write` turns an adapter into a config and tensors under the peer's names;
`read` turns those into our recipe and tensors under our names, or says why not. Nothing is ever guessed: a setting that
changes what the adapter computes and has no counterpart here is an error that names it.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save as pack_tensors

from ..adapter import Adapter, Info
from ..errors import UserError, suggest
from . import adapterhub, checkpoint, peft
from .names import label_metadata

if TYPE_CHECKING:
    from ..adapters import Adapters

FORMATS = {"peft": peft, "adapterhub": adapterhub}
MARKS = ("adapter_config.json", "adapter_fusion_config.json")


def export(adapters: "Adapters", name: str, folder, form: str, overwrite: bool = False) -> Path:
    """Write an adapter for "peft" or "adapterhub"; safetensors and JSON, both or nothing.

    AdapterHub reads it with load_adapter(folder, use_safetensors=True).
    Errors: UserError for a method that the format cannot hold, with the reason; see also `checkpoint.save`.
    """
    if form not in FORMATS:
        raise UserError(f'unknown format "{form}"{suggest(form, FORMATS)}; known: {", ".join(FORMATS)}')
    folder = checkpoint.check_target(folder, overwrite, MARKS)
    metadata = {"format": "pt", **(label_metadata(adapters[name]) if form == "peft" else {})}
    files: dict[str, str | bytes] = {}
    for filename, content in FORMATS[form].write(adapters, name).items():
        if filename.endswith(".json"):
            files[filename] = json.dumps(content, indent=2) + "\n"
        else:
            content = {k: v.detach().to("cpu").contiguous().clone() for k, v in content.items()}
            checkpoint.finite(content, f'adapter "{name}"')
            files[filename] = pack_tensors(content, metadata=metadata)
    return checkpoint.write_folder(folder, files)


def adopt(adapters: "Adapters", folder, name: str | None = None, head: bool = True, pickle: bool = False) -> str:
    """Add an adapter that PEFT or the Adapters library wrote, under `name` or the one in its file; returns the name.

    head: with its head. pickle: read a .bin file where there are no safetensors, with torch's weights_only=True.
    Errors: UserError for what cannot be held here, missing, unexpected or misshapen tensors, damaged files; the model
    is then what it was.
    """
    folder = Path(folder)
    form = next((f for f in FORMATS.values() if f.owns(folder)), None)
    if form is None:
        raise UserError(
            f"\"{folder}\" is neither PEFT's nor AdapterHub's: it needs adapter_config.json and its tensors"
        )
    try:
        found, recipe, tensors = form.read(adapters, folder, head, pickle)
        chosen = name or found or folder.name.replace(".", "_")
        adapters.claim(chosen)
        with torch.device("meta"):
            adapter = Adapter(Info(tuple(recipe)), adapters.sites)
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError, OverflowError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f'"{folder}" asks for what cannot be built: {error}') from None
    checkpoint.fill(adapter, folder, tensors)
    adapters.insert(chosen, adapter)
    return chosen
