"""Decoders: texts as a task, generation, and what both promise, on every family that has a language-model head."""

import json
import math

import pytest
import tiny
import torch
from here import FIXTURES
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from adapterlab.adapters import Adapters
from adapterlab.compose import BatchSplit, Stack
from adapterlab.errors import UserError
from adapterlab.methods import BottleneckConfig, LoRAConfig, PrefixTuningConfig, PromptTuningConfig
from adapterlab.models import load_base
from adapterlab.tasks import batches, encode_text, generate
from adapterlab.train import default_loss, fit, perplexity, train_epoch

TEXTS = ["w3 w4 w5 w6", "w9 w8", "w7 w7 w3 w10 w11 w12", "w20", "w13 w14 w15"]
PROMPTS = ["w5", "w6 w7 w8", "w3 w3 w9 w30 w31"]
RECIPES = {
    "lora": LoRAConfig(rank=2),
    "bottleneck": BottleneckConfig(size=4),
    "prefix": PrefixTuningConfig(length=3, hidden=0),
    "prompt": PromptTuningConfig(length=3),
}


def words(**tokens):
    """A tokenizer of 60 words, as many as the tiny models know: 0 pads, 2 ends."""
    names = {f"w{i}": i for i in range(3, 59)} | {"<pad>": 0, "<s>": 1, "</s>": 2, "?": 59}
    fast = Tokenizer(WordLevel(names, unk_token="?"))
    fast.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=fast, **({"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "?"} | tokens)
    )


def adapted(case: str, *names: str):
    """A decoder and its adapters, each moved off the identity."""
    model = tiny.model(case, causal=True)
    adapters = Adapters(model)
    for seed, name in enumerate(names):
        adapters.add(name, RECIPES[name], seed=seed)
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in adapters.store.parameters():
            p.add_(0.3 * torch.randn(p.shape, generator=g))
    return model, adapters


# ---- texts


def test_rows_and_labels_by_hand():
    encoded = encode_text(["w3 w4 w5 w6", "w7"], words(), prompts=["w8 w9", ""], max_length=5)
    inputs, labels, rows = next(iter(batches(encoded)))
    assert rows.tolist() == [0, 1] and encoded.truncated == 1 and encoded.learned == 4
    assert inputs["input_ids"].tolist() == [[8, 9, 3, 4, 5], [7, 2, 0, 0, 0]]  # a cut text does not end
    assert labels.tolist() == [[-100, -100, 3, 4, 5], [-100, 2, -100, -100, -100]]
    assert inputs["attention_mask"].tolist() == [[1] * 5, [1, 1, 0, 0, 0]]


def test_packed_rows_by_hand():
    encoded = encode_text(["w3 w4", "w5", "w6 w7"], words(), packed=6)
    inputs, labels, _ = next(iter(batches(encoded)))
    assert inputs["input_ids"].tolist() == [[3, 4, 2, 5, 2], [6, 7, 2, 0, 0]] and "attention_mask" not in inputs
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 1, 2, 0, 0]]
    assert labels.tolist() == [[-100, 4, 2, -100, 2], [-100, 7, 2, -100, -100]]


@pytest.mark.parametrize(
    ("words_of_it", "arguments"),
    [
        ("there are no texts", {"texts": []}),
        ("text 1 is '  '", {"texts": ["w3", "  "]}),
        ("2 texts and 1 prompts", {"texts": ["w3", "w4"], "prompts": ["w5"]}),
        ("prompt 0 has 3 tokens, which leaves nothing", {"texts": ["w3"], "prompts": ["w5 w6 w7"], "max_length": 3}),
        ("leave nothing to learn", {"texts": ["w3"], "max_length": 1}),
        ("no end token", {"texts": ["w3"], "tokenizer": words(eos_token=None)}),
    ],
)
def test_texts_that_cannot_be_learned(words_of_it, arguments):
    with pytest.raises(UserError, match=words_of_it):
        encode_text(**{"tokenizer": words()} | arguments)


@pytest.mark.parametrize("case", tiny.DECODERS)
def test_packed_equals_padded(case):
    """The loss and every gradient, where the family takes positions; elsewhere packed rows are refused."""
    model = tiny.model(case, causal=True).double()
    values = []
    for packed in (0, 12):
        data = encode_text(TEXTS, words(), packed=packed)
        if packed and case.startswith(("bloom", "opt", "falcon")):
            with pytest.raises(UserError, match="does not keep packed texts apart: packed=0"):
                perplexity(model, data)
            return
        model.zero_grad()
        ((inputs, labels, _),) = batches(data, 8)
        loss = default_loss(model(**inputs), labels)
        loss.backward()
        perplexity(model, data)
        values.append((loss, torch.cat([p.grad.flatten() for p in model.parameters()])))
    (a, da), (b, db) = values
    assert abs(a - b) < 1e-5 and (da - db).abs().max() < 1e-5


def test_a_soft_prompt_stands_before_the_first_text_alone():
    model, adapters = adapted("llama", "prompt", "prefix")
    packed, padded = (encode_text(TEXTS, words(), packed=size) for size in (12, 0))
    adapters.activate("prefix")
    assert perplexity(model, packed) == pytest.approx(perplexity(model, padded), rel=1e-5)
    adapters.activate("prompt")
    with pytest.raises(UserError, match="does not keep packed texts apart"):
        perplexity(model, packed)


def test_perplexity_is_transformers_loss():
    """Of each text by itself, weighted by its tokens."""
    model, data = tiny.model("llama", causal=True), encode_text(TEXTS, words(), prompts=["w40 w41"] * 5)
    total = 0.0
    for i in range(5):
        labels = data.targets([i])
        total += model(data.inputs([i])["input_ids"], labels=labels).loss.item() * int((labels != -100).sum())
    assert perplexity(model, data, batch_size=2) == pytest.approx(math.exp(total / data.learned), rel=1e-5)


def test_fit_keeps_the_lowest_perplexity():
    model, adapters = adapted("llama", "lora")
    adapters.train("lora")
    train, validation = encode_text(TEXTS[:3], words()), encode_text(TEXTS[3:], words())
    run = fit(model, train, validation, epochs=6, lr=0.5, batch_size=1, show=False)
    seen = [row["validation"] for row in run.history if "validation" in row]
    assert run.best == min(seen) < max(seen) and perplexity(model, validation) == pytest.approx(run.best, rel=1e-4)
    assert f"perplexity {run.best:.2f} on validation" in str(run)


# ---- generation


@pytest.mark.parametrize("case", tiny.DECODERS)
@pytest.mark.parametrize("recipe", ["lora", "bottleneck", "prefix"])
def test_every_family_trains_generates_and_is_saved(case, recipe, tmp_path):
    model = tiny.model(case, causal=True)
    adapters = Adapters(model)
    try:
        adapters.add("a", RECIPES[recipe], seed=0)
    except UserError:
        assert recipe == "prefix" and "memory" not in {site.kind for site in adapters.sites.values()}
        return
    optimizer = torch.optim.Adam(adapters.train("a"), 0.02)
    before = perplexity(model, data := encode_text(TEXTS, words()))
    still = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1)
    for _ in range(5):
        train_epoch(model, [batch[:2] for batch in batches(data, 8)], optimizer, still)
    assert perplexity(model.eval(), data) < before
    one_by_one = [text for prompt in PROMPTS for text in generate(model, words(), [prompt], 8)]
    assert generate(model, words(), PROMPTS, 8) == one_by_one
    expected = model(**data.inputs([0, 2])).logits
    adapters.save("a", tmp_path / "a")
    adapters.detach()
    again = Adapters(model)
    again.activate(again.load(tmp_path / "a"))
    assert torch.equal(model(**data.inputs([0, 2])).logits, expected)


SETUPS = {
    "bare": None, "bottleneck": "bottleneck", "lora": "lora", "prefix": "prefix", "prompt": "prompt",
    "stack": Stack("bottleneck", "lora"), "mixed": BatchSplit("bottleneck", "lora", Stack("bottleneck", "lora"), sizes=(1, 1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("case", ["llama", "gpt2"])
def test_a_batch_is_written_as_one_by_one(case, setup):
    """Left-padded, with the cache; against transformers' own greedy search of one prompt without padding or cache."""
    model, adapters = adapted(case, *RECIPES)
    tokenizer = words(padding_side="right")
    adapters.activate(SETUPS[setup])
    batched = generate(model, tokenizer, PROMPTS, 10)
    assert tokenizer.padding_side == "right" and len(set(batched)) == 3
    for i, prompt in enumerate(PROMPTS):
        adapters.activate(("bottleneck", "lora", SETUPS["stack"])[i] if setup == "mixed" else SETUPS[setup])
        ids = torch.tensor([tokenizer(prompt)["input_ids"]])
        out = model.generate(ids, max_new_tokens=10, do_sample=False, use_cache=False, pad_token_id=0, eos_token_id=2)
        assert batched[i] == tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def test_drawing():
    model, tokenizer = tiny.model("llama", causal=True), words()
    one, same, other = (generate(model, tokenizer, PROMPTS, 10, temperature=1.5, seed=seed) for seed in (0, 0, 1))
    assert one == same != other
    greedy = generate(model, tokenizer, PROMPTS, 10)
    assert generate(model, tokenizer, PROMPTS, 10, temperature=1.0, top_p=1e-6) == greedy
    tokenizer.chat_template = "{% for m in messages %}w20 {{ m.content }} w21{% endfor %}"
    assert generate(model, tokenizer, ["w5"], 5, chat=True) == generate(model, tokenizer, ["w20 w5 w21"], 5)


@pytest.mark.parametrize(
    ("words_of_it", "arguments"),
    [
        ("give a list", {"prompts": "w3"}),
        ("give a list", {"prompts": []}),
        ("prompt 1 is empty", {"prompts": ["w3", ""]}),
        ("temperature None or above 0", {"temperature": 0.0}),
        ("1 tokens of prompt and 40 new ones exceed this model's 40", {}),
        ("no chat template", {"chat": True}),
        ("no end token", {"tokenizer": words(eos_token=None), "max_new_tokens": 3}),
        ("has no language-model head", {"model": tiny.model("llama")}),
        ("is no decoder", {"model": tiny.model("bert")}),
    ],
)
def test_what_cannot_be_generated(words_of_it, arguments):
    given = {"model": tiny.model("llama", causal=True), "tokenizer": words(), "prompts": ["w3"]} | arguments
    with pytest.raises(UserError, match=words_of_it):
        generate(**given)


def test_lora_is_pefts():
    """The same weights: the same logits, and the same tokens of a greedy search. Recorded by make_methods.py."""
    peer = load_file(FIXTURES / "peers" / "methods_decoder.safetensors")
    assert json.loads((FIXTURES / "peers" / "methods_decoder.json").read_text())["cases"]["lora"]["parameters"] == 448
    base = {name.removeprefix("lora/base/"): value for name, value in peer.items() if "/base/" in name}
    sizes = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=60)
    model = LlamaForCausalLM(
        LlamaConfig(**sizes, num_key_value_heads=1, bos_token_id=1, eos_token_id=2, pad_token_id=0)
    )
    model.load_state_dict(base)
    adapters = Adapters(model.eval())
    adapters.add("a", LoRAConfig(rank=4, alpha=8))
    with torch.no_grad():
        for site, (lora,) in adapters["a"].at.items():
            key = f"lora/base_model.model.{adapters.sites[site].module}.lora_"
            lora.A.copy_(peer[key + "A.weight"])
            lora.B.copy_(peer[key + "B.weight"])
    adapters.activate("a")
    ids = torch.randint(3, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 6:], mask[2, 4:] = 0, 0
    assert (model(ids, attention_mask=mask).logits - peer["lora/logits"])[mask == 1].abs().max() < 1e-5
    assert torch.equal(model.generate(ids, max_new_tokens=20, do_sample=False), peer["lora/written"])
    bare = model.generate(ids, max_new_tokens=20, do_sample=False)
    adapters.activate(None)
    assert not torch.equal(model.generate(ids, max_new_tokens=20, do_sample=False), bare)


# ---- bases


def test_the_tiny_decoder():
    model, tokenizer = load_base("tiny-decoder", head="causal", device="cpu")
    again, _ = load_base("tiny-decoder", head="causal", device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert encode_text(["a film"], tokenizer).ids == [tokenizer.convert_tokens_to_ids(["[CLS]", "a", "film", "[SEP]"])]
    assert len(generate(model, tokenizer, ["a good film", "it"], 5)) == 2


def test_an_encoder_is_no_decoder():
    with pytest.raises(UserError, match="BertLMHeadModel is no decoder"):
        load_base("minilm", head="causal", device="cpu")
