"""load_base: tokenizers that cannot pad, and the name that a base bears."""

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
from adapterlab.models import load_base


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
