"""Counts from configurations, against known totals and against the modules that are built."""

import json

import pytest
import torch

from adapterlab import methods
from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.families import FAMILIES
from adapterlab.studies import count as counting

# known independently of this code: parameters of the base model (AutoModel's class, tied weights once)
KNOWN = {
    "albert-base": 11_683_584,
    "bart-base": 139_420_416,
    "bart-large": 406_291_456,
    "bert-base": 109_482_240,
    "bert-base-multilingual": 177_853_440,
    "bert-large": 335_141_888,
    "bloom-560m": 559_214_592,
    "clip-vit-base": 87_456_000,
    "deberta-v3-base": 183_831_552,
    "distilbert": 66_362_880,
    "electra-base": 108_891_648,
    "falcon-7b": 6_921_720_704,
    "gemma-2b": 2_506_172_416,
    "gemma-2-2b": 2_614_341_888,
    "gemma-3-1b": 999_885_952,
    "gpt-neo-125m": 125_198_592,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "llama-2-7b": 6_738_415_616 - 32_000 * 4096,  # the published total holds an untied output layer
    "llama-3-8b": 8_030_261_248 - 128_256 * 4096,
    "llama-3.2-1b": 1_235_814_400,
    "minilm": 22_713_216,
    "mistral-7b": 7_241_732_096 - 32_000 * 4096,
    "mpnet-base": 109_486_464,
    "opt-125m": 125_239_296,
    "opt-350m": 331_196_416,
    "phi-2": 2_779_683_840 - 51_200 * 2561,
    "phi-3-mini": 3_821_079_552 - 32_064 * 3072,
    "pythia-160m": 162_322_944 - 50_304 * 768,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512 - 152_064 * 3584,
    "qwen3-0.6b": 596_049_920,
    "roberta-base": 124_645_632,
    "roberta-large": 355_359_744,
    "t5-base": 222_903_552,
    "t5-small": 60_506_624,
    "vit-base": 86_389_248,
    "wav2vec2-base": 94_371_712,
    "whisper-small": 241_734_912,
    "whisper-tiny": 37_760_640,
    "xlm-r-base": 278_043_648,
}


@pytest.mark.parametrize("name", counting.checkpoints())
def test_count_is_what_is_built(name):
    """Base against the known total, adapters (closed form) against the modules that `Adapters` builds on meta."""
    model = counting.blueprint(name)
    adapters = Adapters(model)
    assert adapters.base_count() == KNOWN.get(name, adapters.base_count())
    with torch.device("meta"):
        adapters.add("a", methods.houlsby(64))
    row = counting.count(name, methods.houlsby(64))
    assert (row["base"], row["adapter"]) == (adapters.base_count(), adapters.count("a"))
    assert all(p.is_meta for p in adapters["a"].parameters())


def test_families():
    entries = counting.checkpoints()
    families = {entry["family"] for entry in entries.values()}
    assert len(entries) >= 40 and len(families) >= 25 and families <= set(FAMILIES)
    assert all(e["source"] and e["counted_as"] == "AutoModel" for e in entries.values())


@pytest.mark.parametrize(
    ("name", "size", "adapters", "norms"),
    [
        ("bert-base", 64, 2_379_264, 38_400),
        ("bert-base", 8, 313_536, 38_400),
        ("bert-large", 256, 25_227_264, 100_352),
        ("minilm", 64, 595_200, 9_984),
    ],
)
def test_the_papers_arithmetic(name, size, adapters, norms):
    assert counting.count(name, methods.BottleneckConfig(size=size))["adapter"] == adapters
    assert counting.count(name, methods.LayerNormConfig())["adapter"] == norms
    bottleneck, norm = counting.parts(name, methods.houlsby(size))
    assert (bottleneck["total"], norm["total"]) == (adapters, norms)
    d = bottleneck["width"]
    assert bottleneck["numbers"] == f"2·{size}·{d} + {size} + {d}"
    assert bottleneck["each"] == eval(bottleneck["numbers"].replace("·", "*")) == 2 * size * d + size + d


def test_shared_layers_count_once():
    (row,) = counting.parts("albert-base", methods.BottleneckConfig(size=64))
    assert row["sites"] == 2 and row["total"] == 2 * 99_136


def test_tasks_and_megabytes():
    row = counting.count("bert-large", methods.houlsby(64), tasks=9)
    share = (6_343_680 + 100_352) / 335_141_888
    assert row["copies_times"] == 9.0 and row["adapters_times"] == pytest.approx(1 + 9 * share)
    assert round(row["adapters_times"], 1) == 1.2  # Table 1, size 64
    assert row["copies_mb"] == pytest.approx(9 * 335.141888 * 4)
    half = counting.count("bert-large", methods.houlsby(64), tasks=9, dtype="bfloat16")
    assert half["copies_mb"] == row["copies_mb"] / 2 and half["adapters_mb"] == row["adapters_mb"] / 2
    one = counting.count("bert-large", methods.houlsby(64))
    assert one["adapters_parameters"] == one["base"] + one["adapter"] > one["copies_parameters"]


def test_table_is_sorted_by_share():
    rows = counting.table(methods.houlsby(8), ["bert-base", "minilm", "llama-2-7b"])
    assert [row["model"] for row in rows] == ["minilm", "bert-base", "llama-2-7b"]


@pytest.mark.parametrize(
    ("width", "factor", "size"), [(768, 16, 48), (768, 2, 384), (1024, 16, 64), (384, 100, 3), (64, 128, 1), (768, 0.5, 1536)]
)  # fmt: skip
def test_reduction_factor(width, factor, size):
    assert counting.size_from_reduction(width, factor) == size


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: counting.count("bert-bas", methods.houlsby(8)), 'no configuration "bert-bas"; did you mean "bert-base"'),
        (lambda: counting.count("bert-base", methods.houlsby(8), tasks=0), "tasks must be a whole number"),
        (lambda: counting.count("bert-base", methods.houlsby(8), dtype="float8"), 'unknown dtype "float8"'),
        (lambda: counting.count("bert-base", methods.BottleneckConfig(sites="atention")), 'did you mean "attention"'),
        (lambda: counting.size_from_reduction(768, 0), "must be above 0"),
    ],
)  # fmt: skip
def test_bad_input(call, message):
    with pytest.raises(UserError, match=message):
        call()


def test_a_damaged_configuration_is_named(tmp_path, monkeypatch):
    (tmp_path / "bert-base.json").write_text(json.dumps({"config": {}}))
    monkeypatch.setattr(counting, "CONFIGS", tmp_path)
    counting.checkpoints.cache_clear()
    with pytest.raises(UserError, match="bert-base.json is not a readable configuration"):
        counting.checkpoints()
    monkeypatch.undo()
    counting.checkpoints.cache_clear()
    assert "bert-base" in counting.checkpoints()


@pytest.mark.parametrize(
    "recipe",
    [
        methods.CompacterConfig(size=24),
        methods.PrefixTuningConfig(length=30, hidden=512),
        methods.LoRAConfig(rank=8),
        methods.unipelt(),
    ],
)
def test_what_sites_share_is_counted_once(recipe):
    """The rows add up to the closed form, and that to the modules."""
    _, sites = counting.measure("minilm")
    configs = recipe if isinstance(recipe, tuple) else (recipe,)
    total = sum(row["total"] for row in counting.parts("minilm", recipe))
    assert total == counting.count("minilm", recipe)["adapter"] == sum(config.total(sites) for config in configs)
    with torch.device("meta"):
        adapters = Adapters(counting.blueprint("minilm"))
        adapters.add("a", recipe)
    assert adapters.count("a") == total
