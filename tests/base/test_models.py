"""load_base: tokenizers that cannot pad."""

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import GPT2Config, GPT2ForSequenceClassification, PreTrainedTokenizerFast

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
