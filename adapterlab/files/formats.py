"""The file formats of PEFT and of the Adapters library (AdapterHub): write ours for them, read theirs.

Each format is one file with two functions. `write` turns an adapter into a config and tensors under the peer's names;
`read` turns those into our recipe and tensors under our names, or says why not. Nothing is ever guessed: a setting that
changes what the adapter computes and has no counterpart here is an error that names it.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save as pack_tensors

from ..adapter import Info
from ..errors import UserError, suggest
from ..methods import FusionConfig
from . import adapterhub, checkpoint, peft
from .names import base_name, label_metadata

if TYPE_CHECKING:
    from ..adapters import Adapters

FORMATS = {"peft": peft, "adapterhub": adapterhub}
ENDS = ("ForSequenceClassification", "ForQuestionAnswering", "ForTokenClassification", "ForImageClassification",
        "ForAudioClassification", "ForCausalLM")  # fmt: skip
PEERS = {"peft": "PEFT (the library `peft`)", "adapterhub": "AdapterHub (the library `adapters`)"}


def export(
    adapters: "Adapters", name: str, folder, form: str, overwrite: bool = False, head: bool = True, away: bool = False
) -> Path:
    """Write an adapter for "peft" or "adapterhub": safetensors, JSON and a README that says how to load it, or nothing.

    head: with its head, if it has one. away: for another machine; a base that is a folder has its last name alone.
    Errors: UserError for a method that the format cannot hold, with the reason; see also `checkpoint.save`.
    """
    if form not in FORMATS:
        raise UserError(f'unknown format "{form}"{suggest(form, FORMATS)}; known: {", ".join(FORMATS)}')
    folder = checkpoint.check_target(folder, overwrite or adapters.overwrite)
    metadata = {"format": "pt", **(label_metadata(adapters[name]) if form == "peft" else {})}
    files: dict[str, str | bytes] = {}
    base = base_name(adapters.model, away)
    for filename, content in FORMATS[form].write(adapters, name, base, head).items():
        if filename.endswith(".json"):
            files[filename] = json.dumps(content, indent=2) + "\n"
        else:
            content = {k: v.detach().to("cpu").contiguous().clone() for k, v in content.items()}
            checkpoint.finite(content, f'adapter "{name}"')
            files[filename] = pack_tensors(content, metadata=metadata)
    return checkpoint.write_folder(folder, files | {checkpoint.CARD: _readme(adapters, name, base, form, head)})


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
        called, recipe, tensors = form.read(adapters, folder, head, pickle)
        chosen = name or called or folder.name.replace(".", "_")
        adapters.claim(chosen)
        files = (folder / file for file in (adapterhub.FUSION_CONFIG, peft.CONFIG))
        told = checkpoint.config_of(next(path for path in files if path.is_file()))
        base = {"name": told.get("base_model_name_or_path") or told.get("model_name")}
        return checkpoint.put(adapters, chosen, folder, Info(tuple(recipe)), tensors, base)
    except UserError:
        raise
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError, OverflowError) as error:
        raise UserError(f'"{folder}" asks for what cannot be built: {error}') from None


LOADING = {
    "peft": """from peft import PeftModel
from transformers import {auto}

model = {auto}.from_pretrained("{base}"{more})
model = PeftModel.from_pretrained(model, "path/to/{name}").eval()""",
    "adapterhub": """from adapters import AutoAdapterModel

model = AutoAdapterModel.from_pretrained("{base}")
model.load_adapter("path/to/{name}", use_safetensors=True, set_active=True)
model.eval()""",
    # adapters 1.3.0 reads a fusion from a pickle alone
    "fusion": """import torch
from adapters import AutoAdapterModel
from safetensors.torch import load_file

for part in {parts}:
    tensors = load_file(f"path/to/{name}/{{part}}.safetensors")
    torch.save(tensors, f"path/to/{name}/pytorch_{{part}}.bin")
model = AutoAdapterModel.from_pretrained("{base}")
for part in {of}:
    model.load_adapter(f"path/to/{{part}}", use_safetensors=True, with_head=False)
model.load_adapter_fusion("path/to/{name}", with_head={head}, set_active=True)
model.eval()""",
}


def _readme(adapters: "Adapters", name: str, base: str, form: str, head: bool) -> str:
    """What the reader's class must be, and the lines that load it."""
    info, kind = adapters[name].info, type(adapters.model).__name__
    base, labels = base or "the base", info.head.labels if info.head and head else ()
    auto = next((f"AutoModel{end}" for end in ENDS if kind.endswith(end)), kind)
    classifies = labels and auto.endswith("SequenceClassification")
    fusion = next((config for config in info.recipe if isinstance(config, FusionConfig)), None)
    lines = LOADING["fusion" if fusion else form].format(
        auto=auto, base=base, name=name, head=bool(labels), of=list(fusion.of) if fusion else [],
        more=f", num_labels={len(labels)}" if classifies else "",
        parts=["model_adapter_fusion", "model_head"] if labels else ["model_adapter_fusion"],
    )  # fmt: skip
    reader = (
        "AutoAdapterModel" if form == "adapterhub" else f"{auto}{f' of {len(labels)} labels' if classifies else ''}"
    )
    shown = ", ".join(f"{i} {label}" for i, label in enumerate(labels))
    return "\n".join((
        f"# {checkpoint.plain(name)}", "",
        f"An adapter for `{base}`, to be read by {PEERS[form]}, into an {reader}.",
        checkpoint.plain(f"Its labels: {shown}." if labels else "It has no head."), "",
        "```python", lines, "```", "",
    ))  # fmt: skip
