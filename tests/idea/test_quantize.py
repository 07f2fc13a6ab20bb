"""A base in 8 and 4 bits with adapters in float: memory, every method, and what is refused."""

import builtins

import pytest
import tiny
import torch
from torch import nn

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import DoRAConfig, IA3Config, LoRAConfig, PrefixTuningConfig, houlsby
from adapterlab.models import load_base
from adapterlab.quantize import KINDS, matrix, memory_mb, quantize, quantized

bitsandbytes = pytest.importorskip("bitsandbytes")


def small(hidden=64):
    """A BERT whose matrices are large enough for the blocks of 64 that share a scale."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(hidden_size=hidden, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, vocab_size=60)
    ).eval()


@pytest.mark.parametrize(("kind", "most"), [("int8", 0.652), ("4bit", 0.60)])
def test_memory_of_the_bundled_model(kind, most):
    """At most 0.65 of float32 in 4 bits (measured 0.593; 0.650 in int8): the embeddings, half of the model, stay."""
    full, tokenizer = load_base(device="cpu")
    packed, _ = load_base(device="cpu", quantize=kind)
    batch = tokenizer(["a fine film", "a bad one, and long"], padding=True, return_tensors="pt")
    assert memory_mb(full) == pytest.approx(4 * sum(p.numel() for p in full.parameters()) / 1e6, rel=0.001)
    assert memory_mb(packed) / memory_mb(full) < most
    count = sum(quantized(m) for m in packed.modules())
    assert count == 6 * 6 and type(packed.classifier) is nn.Linear and type(packed.bert.pooler.dense) is nn.Linear
    with torch.no_grad():
        a, b = (m(**batch, output_hidden_states=True).hidden_states[-1] for m in (full, packed))
    assert 0 < (a - b).norm() / a.norm() < 0.25
    assert torch.equal(full.get_input_embeddings().weight, packed.get_input_embeddings().weight)


@pytest.mark.parametrize("kind", KINDS)
def test_the_packed_matrix(kind):
    """`matrix` unpacks what the map multiplies by, before and after its first use."""
    model = small()
    before = model.bert.encoder.layer[0].output.dense.weight.detach().clone()
    linear = quantize(model, kind).bert.encoder.layer[0].output.dense
    first = matrix(linear)
    assert first.shape == before.shape and 0 < (first - before).abs().max() < (0.02 if kind == "4bit" else 1e-3)
    x = torch.randn(5, 128)
    with torch.no_grad():
        y = linear(x)
    assert torch.equal(matrix(linear), first)
    close = 1e-5 if kind == "4bit" else 0.03  # int8 rounds x, too
    torch.testing.assert_close(y, x @ first.T + linear.bias, rtol=close, atol=close)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("recipe", "pooling"),
    [
        (houlsby(4), "model"),
        (houlsby(4), "mean"),
        (LoRAConfig(rank=2), "model"),
        (DoRAConfig(rank=2), "model"),
        (IA3Config(), "model"),
        (PrefixTuningConfig(length=2, hidden=4), "model"),
    ],
    ids=["houlsby", "houlsby, mean", "lora", "dora", "ia3", "prefix_tuning"],
)
def test_adapters_in_float(kind, recipe, pooling, tmp_path):
    """They train, in float32, with a gradient everywhere and none in the base; save, load, detach; merging is refused."""
    model = quantize(small(), kind)
    batch = {"input_ids": torch.randint(3, 60, (2, 6), generator=torch.Generator().manual_seed(0))}
    with torch.no_grad():
        before = model(**batch).logits
    adapters = Adapters(model)
    adapters.add("a", recipe, head=("x", "y"), seed=0, pooling=pooling)
    with torch.no_grad():
        for p in adapters["a"].parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    parameters = adapters.train("a")
    assert all(p.dtype == torch.float32 for p in parameters)
    model(**batch).logits.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in parameters)
    assert all(p.grad is None for n, p in model.named_parameters() if not n.startswith("adapterlab"))
    torch.optim.Adam(parameters, 1e-3).step()
    with torch.no_grad():
        trained = model(**batch).logits
        adapters.save("a", tmp_path / "a")
        adapters.load(tmp_path / "a", "b")
        adapters.activate("b")
        assert torch.equal(model(**batch).logits, trained)
        words = "quantized weights" if "Bottleneck" not in str(adapters["a"]) else "is not a change of the weights"
        with pytest.raises(UserError, match=f'"a" cannot be merged.*({words}|is not a change)'):
            adapters.merge("a")
        adapters.detach()
        assert torch.equal(model(**batch).logits, before)


def test_an_adapter_of_a_packed_base_loads_on_a_float_one(tmp_path):
    """The numbers of the bases differ, and the file says why; another float base is still refused."""
    packed, full = Adapters(quantize(small(), "4bit")), Adapters(small())
    packed.add("a", LoRAConfig(rank=2))
    packed.save("a", tmp_path / "a")
    full.load(tmp_path / "a")
    full.save("a", tmp_path / "b")
    other = small()
    other.bert.embeddings.word_embeddings.weight.data += 1
    with pytest.raises(UserError, match="other weights than this model"):
        Adapters(other).load(tmp_path / "b")


def test_refusals(monkeypatch):
    with pytest.raises(UserError, match='unknown quantization "4-bit"; did you mean "4bit"'):
        load_base(device="cpu", quantize="4-bit")
    with pytest.raises(UserError, match="is quantized already"):
        quantize(quantize(small(), "int8"), "int8")
    with pytest.raises(UserError, match='a "gpt2" has no nn.Linear in its layers'):
        quantize(tiny.model("gpt2"), "int8")
    tied = small()
    attention = tied.bert.encoder.layer[0].attention.self
    attention.key.weight = attention.query.weight
    with pytest.raises(UserError, match='"attention.self.query" shares its weight with "bert.*key": untie'):
        quantize(tied, "int8")
    original = builtins.__import__

    def absent(name, *args, **kwargs):
        if name.startswith("bitsandbytes"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(UserError, match='quantize="int8" needs bitsandbytes.*pip install bitsandbytes'):
        load_base(device="cpu", quantize="int8")
