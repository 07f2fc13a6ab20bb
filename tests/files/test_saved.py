"""An adapter that version 0.1.0 saved loads, and computes what it computed: tests/fixtures/make_saved.py made it."""

import json

import pytest
import torch
from here import FIXTURES
from tiny_bert import tokens
from transformers import BertForSequenceClassification

from adapterlab.adapters import Adapters

SAVED = FIXTURES / "saved_0_1"
LOGITS = json.loads((SAVED / "logits.json").read_text())


@pytest.mark.parametrize("name", LOGITS)
def test_the_same_logits(name):
    adapters = Adapters(BertForSequenceClassification.from_pretrained(SAVED / "base").eval())
    assert adapters.load(SAVED / name) == name
    with torch.no_grad(), adapters.use(name):
        logits = adapters.model(**tokens()).logits
    torch.testing.assert_close(logits, torch.tensor(LOGITS[name]), rtol=1e-5, atol=1e-5)
