"""The core as an adversary sees it: what may move, what may not, and what a failure leaves behind."""

import copy
import pickle

import pytest
import torch
from refused import refused
from tiny_bert import VOCAB, hooks, logits, ready, same_state, shake, snapshot, tiny_bert, tokens
from torch import nn
from torch.nn import functional as F
from transformers import BertForSequenceClassification, BertModel

from adapterlab.adapters import Adapters
from adapterlab.compose import Stack
from adapterlab.errors import UserError
from adapterlab.methods import Bottleneck, BottleneckConfig, HeadConfig, LoRAConfig, houlsby
from adapterlab.models import load_base


@pytest.fixture
def model():
    return tiny_bert()


@pytest.fixture(scope="module")
def bundled():
    return load_base(device="cpu")


def train_steps(model, parameters, steps=3):
    model.train()
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for i in range(steps):
        optimizer.zero_grad()
        model(**tokens(seed=i), labels=torch.tensor([0, 1, 0])).loss.backward()
        optimizer.step()
    return model.eval()


# ---- the model is never edited


def test_detach_leaves_no_trace(model):
    """After add, train and detach: the same outputs, tensors, names, class, flags and hooks."""
    model.bert.embeddings.requires_grad_(False)
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    before, state, kind, modules = (logits(model), snapshot(model), type(model), [n for n, _ in model.named_modules()])
    adapters = Adapters(model)
    adapters.add("a", houlsby(4), head=("no", "yes"))
    train_steps(model, adapters.train("a"))
    assert not torch.equal(logits(model), before)
    adapters.activate(None)
    assert torch.equal(logits(model), before)
    assert adapters.detach() is model
    assert torch.equal(logits(model), before)
    assert same_state(model.state_dict(), state)
    assert type(model) is kind and [n for n, _ in model.named_modules()] == modules
    assert {n: p.requires_grad for n, p in model.named_parameters()} == flags
    assert hooks(model) == 0 and not hasattr(model, "adapterlab")
    assert all(p.grad is None for p in model.parameters())


def test_detached_adapters_come_back(model):
    adapters = ready(model, houlsby(4))
    with_adapter = logits(model)
    adapters.detach()
    other = Adapters(model)
    with pytest.raises(UserError, match="other adapters attached"):
        adapters.attach()
    other.detach()
    adapters.attach()
    assert torch.equal(logits(model), with_adapter)


@pytest.mark.parametrize("head", [True, False])
def test_gradients_reach_every_trained_parameter_and_no_other(head):
    model = tiny_bert(kind=BertForSequenceClassification if head else BertModel)
    adapters = Adapters(model)
    adapters.add("other", houlsby(4))
    adapters.add("a", houlsby(4), head=("no", "yes") if head else None)
    parameters = adapters.train("a")
    model.train()
    out = model(**tokens())
    (out.logits if head else out.last_hidden_state.pow(2)).sum().backward()
    got = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert got == {n for n, _ in model.named_parameters() if n.startswith("adapterlab.a.")}
    assert len(got) == len(parameters) == 2 * 2 * 4 + 5 * 2 + 2 * head


def test_train_switches_from_one_adapter_to_the_next(model):
    adapters = Adapters(model)
    adapters.add("a", houlsby(4))
    adapters.add("b", houlsby(4))
    adapters.train("a")
    adapters.train("b")
    trained = {n.split(".")[1] for n, p in model.named_parameters() if p.requires_grad}
    assert trained == {"b"} and adapters.active == "b"
    adapters.freeze()
    assert not any(p.requires_grad for p in model.parameters())


# ---- a new adapter, and what it does at its site


def test_bottleneck_starts_near_the_identity():
    """Truncated at two standard deviations, biases at zero; std of such a normal is 0.88 of the full one's."""
    for std in (1e-3, 1e-2):
        b = Bottleneck(384, 64, std=std)
        for linear in (b.down, b.up):
            assert linear.weight.abs().max() <= 2 * std
            assert linear.weight.std().item() == pytest.approx(0.8796 * std, rel=0.03)
            assert not linear.bias.any()
        y = torch.randn(2, 5, 384)
        assert (b(y, y) - y).abs().max() < 300 * std**2


def test_head_takes_the_classifiers_place(model):
    """Three labels on a model of two, from the same input as the model's own classifier."""
    adapters = Adapters(model)
    adapters.add("a", HeadConfig(labels=("x", "y", "z")))
    adapters.activate("a")
    with torch.no_grad():
        pooled = model.bert(**tokens()).pooler_output
        (head,) = adapters["a"].at["head"]
        torch.testing.assert_close(logits(model), F.linear(pooled, head.linear.weight, head.linear.bias))


def test_stack_runs_in_order(model):
    adapters = Adapters(model)
    for i, name in enumerate("ab"):
        adapters.add(name, BottleneckConfig(size=4, sites="layers.1.feedforward"))
        shake(adapters[name], seed=i)
    y = torch.randn(2, 3, 16)
    a, b = (adapters[n].at["layers.1.feedforward"][0] for n in "ab")
    got = adapters.evaluate(Stack("a", "b"), "layers.1.feedforward", None, y)
    assert torch.equal(got, b(y, a(y, y))) and not torch.equal(got, a(y, b(y, y)))


# ---- which adapter runs: activate, use, threads


def outputs_of(model, adapters, *names):
    found = {}
    for name in names:
        adapters.activate(name)
        found[name] = logits(model)
    adapters.activate(None)
    return found


def test_use_is_for_the_block_only(model):
    adapters = Adapters(model)
    for i, name in enumerate("ab"):
        adapters.add(name, houlsby(4))
        shake(adapters[name], seed=i)
    alone = outputs_of(model, adapters, "a", "b", None)
    adapters.activate("a")
    with pytest.raises(RuntimeError), adapters.use("b"):
        assert torch.equal(logits(model), alone["b"])
        with adapters.use(None):
            assert torch.equal(logits(model), alone[None])
        assert torch.equal(logits(model), alone["b"])
        raise RuntimeError
    assert torch.equal(logits(model), alone["a"])
    with pytest.raises(UserError, match='no adapter "c"'), adapters.use("c"):
        pass
    with adapters.use("b"), pytest.raises(UserError, match="in use"):
        adapters.delete("b")


# ---- failures leave nothing behind


BAD = {
    "too wide, after one that fits": ("x", (*houlsby(4), BottleneckConfig(size=17, layers=(1,))), {}, "wider"),
    "the same twice": ("x", (BottleneckConfig(size=4), BottleneckConfig(size=4)), {}, "two methods"),
    "no such site": ("x", BottleneckConfig(sites="attenton"), {}, 'did you mean "attention"'),
    "no such layer": ("x", BottleneckConfig(size=4, layers=(0, 2)), {}, "layer 2 is outside"),
    "nothing to add": ("x", (), {}, "has no method"),
    "no label": ("x", houlsby(4), {"head": ()}, "at least one label"),
    "name taken": ("a", houlsby(4), {}, "already"),
    "dotted name": ("v1.0", houlsby(4), {}, 'torch allows no dots; "v1_0" can'),
    "empty name": ("", houlsby(4), {}, "cannot name"),
    "a module's own attribute": ("training", houlsby(4), {}, "cannot name"),
    "no text": (3, houlsby(4), {}, "cannot name"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("seed", [None, 7])
def test_a_failed_add_leaves_no_trace(model, case, seed):
    name, recipe, more, message = BAD[case]
    adapters = Adapters(model)
    adapters.add("a", BottleneckConfig(size=4, layers=(0,)))
    adapters.activate("a")
    with refused(adapters, message):
        adapters.add(name, recipe, seed=seed, **more)


def test_seed(model):
    """A seeded adapter is reproducible and leaves the generator alone; an unseeded one goes on with it."""
    adapters = Adapters(model)
    torch.manual_seed(11)
    rng = torch.get_rng_state()
    one, two = adapters.add("one", houlsby(4), seed=3), adapters.add("two", houlsby(4), seed=3)
    assert same_state(one.state_dict(), two.state_dict()) and torch.equal(torch.get_rng_state(), rng)
    three = adapters.add("three", houlsby(4))
    assert not torch.equal(torch.get_rng_state(), rng)
    torch.manual_seed(11)
    assert same_state(adapters.add("four", houlsby(4)).state_dict(), three.state_dict())


def test_delete(model):
    before = logits(model)
    adapters = Adapters(model)
    adapters.add("a", houlsby(4))
    adapters.add("b", BottleneckConfig(size=4, layers=(0,)))
    shake(adapters["a"])
    adapters.activate("a")
    adapters.delete("a")
    assert adapters.active is None and torch.equal(logits(model), before) and hooks(model) == 4 + 4
    adapters.delete("b")
    assert hooks(model) == 0 and len(adapters) == 0
    with pytest.raises(UserError, match='no adapter "a"'):
        adapters.delete("a")


def test_a_cell_that_runs_twice_replaces_what_it_made(model, tmp_path):
    before = logits(model)
    for seed in (1, 1, 2):
        adapters = Adapters(model, overwrite=True)
        for _ in range(2):
            adapters.add("a", houlsby(4), seed=seed)
            adapters.activate("a")
            adapters.save("a", tmp_path / "a")
            adapters.combine("mean", {adapters.load(tmp_path / "a", "loaded"): 0.5, "a": 0.5})
            adapters.add_fusion(["mean"], name="fusion")
            adapters.delete("fusion")
    assert sorted(adapters) == ["a", "loaded", "mean"] and adapters.active == "a"
    assert torch.equal(logits(adapters.detach()), before) and hooks(model) == 0


def test_a_failed_replacement_keeps_the_old(model):
    adapters = Adapters(model, overwrite=True)
    old = adapters.add("a", houlsby(4))
    with pytest.raises(UserError, match="wider"):
        adapters.add("a", BottleneckConfig(size=17))
    with pytest.raises(UserError, match="choose another name for the fusion"):
        adapters.add_fusion(["a"], name="a")
    assert adapters["a"] is old and list(adapters) == ["a"]


def test_clear_errors(model):
    adapters = Adapters(model)
    adapters.add("reviews", houlsby(4))
    with pytest.raises(UserError, match="has adapters already"):
        Adapters(model)
    for wrong in (adapters.activate, adapters.train, adapters.delete):
        with pytest.raises(UserError, match='did you mean "reviews"'):
            wrong("review")
        with pytest.raises(UserError, match=r"\['a'\] is no"):
            wrong(["a"])
    for word, here in {"r": "rank", "lora_alpha": "alpha", "target_modules": "sites"}.items():
        with pytest.raises(UserError, match=f'"lora" has no setting "{word}", which is {here} here; it has: sites'):
            LoRAConfig(**{word: 8})
    with pytest.raises(UserError, match='"lora" has no setting "8"; it has: sites'):
        LoRAConfig(8)
    with pytest.raises(UserError, match="std must be above 0"):
        BottleneckConfig(std=0)
    for size in (0, 2.5, True, "8"):
        with pytest.raises(UserError, match="whole number"):
            BottleneckConfig(size=size)
    with pytest.raises(UserError, match='did you mean "gelu"'):
        BottleneckConfig(act="gelo")
    linear = nn.Linear(2, 2)
    linear.config = type("C", (), {"model_type": "berd"})()
    with pytest.raises(UserError, match='did you mean "bert"'):
        Adapters(linear)


def test_a_failed_forward_does_no_harm(model):
    ready(model, houlsby(4))
    before = logits(model)
    with pytest.raises(IndexError):
        model(torch.tensor([[VOCAB + 5]]))
    assert torch.equal(logits(model), before)


# ---- the model as other tools handle it


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"])
def test_a_copy_is_independent(model, way):
    """A copy of the model takes its adapters along; a change in either is not seen in the other."""
    adapters = ready(model, houlsby(4), head=("no", "yes"))
    before = logits(model)
    twin = way(model)
    assert torch.equal(logits(twin), before)
    with pytest.raises(UserError, match=r"has adapters already: Adapters.of\(model\) gives them"):
        Adapters(twin)
    assert Adapters.of(model) is adapters is not Adapters.of(twin) and Adapters.of(twin).model is twin
    for p in twin.adapterlab.parameters():
        p.data.zero_()
    assert torch.equal(logits(model), before) and not torch.equal(logits(twin), before)
    adapters.detach()
    assert hooks(model) == 0 and hooks(twin) > 0
    with pytest.raises(UserError, match="no adapters attached"):
        Adapters.of(model)

    both = way(adapters)
    both.attach()
    assert torch.equal(logits(both.model), before)
    both.activate(None)
    both.delete("a")
    assert hooks(both.model) == 0 and "a" in adapters


def test_a_compiled_model_runs_what_is_active():
    """Also one that ran bare before there were adapters; torch.compile leaves out hooks that come later."""
    torch._dynamo.config.skip_nnmodule_hook_guards = True
    model = tiny_bert(layers=1)
    fast = torch.compile(model, backend="eager")
    bare = logits(fast)
    adapters = Adapters(fast)
    for seed, (name, recipe) in enumerate({"a": houlsby(4), "b": LoRAConfig(rank=2)}.items()):
        shake(adapters.add(name, recipe), seed=seed)
        adapters.activate(name)
        assert torch.equal(logits(fast), logits(model)) and not torch.equal(logits(fast), bare)
    with adapters.use(None):
        assert torch.equal(logits(fast), bare)


def test_to_and_train_reach_the_adapters(model):
    adapters = Adapters(model)
    adapters.add("a", houlsby(4))
    adapters.activate("a")
    model.double().train()
    assert {p.dtype for p in adapters["a"].parameters()} == {torch.float64} and adapters["a"].training
    assert model(**tokens()).logits.dtype == torch.float64
    assert adapters.add("b", houlsby(4)).training
    model.eval()
    assert not adapters.add("c", houlsby(4)).training and not adapters["a"].training


def test_the_models_own_checkpoint(model, tmp_path):
    """save_pretrained writes the adapters too; a fresh model takes the base and ignores them."""
    before = logits(model)
    ready(model, houlsby(4))
    with_adapter = logits(model)
    model.save_pretrained(tmp_path)
    fresh = type(model).from_pretrained(tmp_path, attn_implementation="eager").eval()
    assert torch.equal(logits(fresh), before)
    again = Adapters(fresh)
    again.add("a", houlsby(4))
    fresh.load_state_dict(model.state_dict())
    again.activate("a")
    assert torch.equal(logits(fresh), with_adapter)


def test_trainer(model, tmp_path):
    """transformers.Trainer, unchanged: the adapter moves, the base does not, the best checkpoint comes back."""
    pytest.importorskip("accelerate")
    from safetensors.torch import load_file
    from transformers import Trainer, TrainingArguments

    adapters = Adapters(model)
    adapters.add("a", houlsby(4), head=("no", "yes"))
    adapters.train("a")
    before, batch = snapshot(model), tokens(rows=16)
    rows = [
        {"input_ids": i, "attention_mask": m, "labels": int(i[0] > 30)}
        for i, m in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    ]
    scores = iter([0.9, 0.1, 0.1])  # the first epoch is the best, so the last must be undone
    settings = TrainingArguments(
        str(tmp_path), num_train_epochs=3, per_device_train_batch_size=8, learning_rate=1e-2, use_cpu=True,
        eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="accuracy",
        report_to=[], disable_tqdm=True, logging_strategy="no",
    )  # fmt: skip
    told = {"compute_metrics": lambda _: {"accuracy": next(scores)}}
    trainer = Trainer(model, settings, train_dataset=rows, eval_dataset=rows, **told)
    trainer.train()
    after = model.state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert moved == {k for k in before if k.startswith("adapterlab.a.")}
    best = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    last = load_file(tmp_path / "checkpoint-6" / "model.safetensors")
    assert all(torch.equal(after[k], best[k]) for k in moved)
    assert any(not torch.equal(after[k], last[k]) for k in moved)


def test_pipeline(bundled):
    """pipeline("text-classification") on the adapted model says what the model itself computes."""
    from transformers import pipeline

    model, tokenizer = bundled
    adapters = Adapters(model)
    try:
        classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
        bare = classify("a fine film", top_k=None)
        shake(adapters.add("a", houlsby(8), head=("negative", "positive"), seed=0))
        assert classify("a fine film", top_k=None) == bare  # inactive, it changes nothing
        adapters.activate("a")
        adapted = classify("a fine film", top_k=None)
        with torch.no_grad():
            want = model(**tokenizer("a fine film", return_tensors="pt")).logits.softmax(-1)[0]
        assert {r["label"]: pytest.approx(r["score"], abs=1e-6) for r in adapted} == {
            model.config.id2label[i]: p.item() for i, p in enumerate(want)
        }
        assert adapted != bare
    finally:
        adapters.detach()


def test_summary(model):
    adapters = Adapters(model)
    assert adapters.summary() == []
    adapters.add("a", BottleneckConfig(size=4, sites="attention"), head=("no", "yes"))
    adapters.train("a")
    base = sum(p.numel() for p in tiny_bert().parameters())
    count = 2 * (2 * 16 * 4 + 16 + 4) + 2 * 17
    assert adapters.base_count() == base and adapters.count("a") == count
    assert adapters.summary() == [
        {
            "adapter": "a",
            "methods": "bottleneck + head",
            "sites": 3,
            "parameters": count,
            "share_percent": round(100 * count / base, 3),
            "active": True,
            "trainable": True,
        }
    ]
    assert f"a: bottleneck + head, {count:,} parameters" in repr(adapters) and "active, trainable" in repr(adapters)
