"""`Adapters.explain`: quiet where all is well, and one finding, the right one, for each thing that is broken."""

import copy
import re
from dataclasses import replace

import pytest
import tiny
import torch
from formats_cases import HERE, fresh
from recipes import EVERY
from tiny_bert import logits, same_state, shake, snapshot, tiny_bert

from adapterlab.adapters import Adapters
from adapterlab.compose import Average, Stack
from adapterlab.explain import answerers
from adapterlab.methods import BottleneckConfig, LoRAConfig, houlsby

LABELS = ("no", "yes")


@pytest.fixture
def well():
    """Two trained adapters, the first of them active on a frozen base in eval mode."""
    adapters = Adapters(tiny_bert())
    for seed, name in enumerate("ab"):
        adapters.add(name, LoRAConfig(rank=2), head=LABELS, pooling="model", seed=seed)
        adapters.train(name)
        shake(adapters[name], seed=seed)
    adapters.train("a")
    return adapters


def kinds(adapters):
    return [(finding.kind, finding.adapter) for finding in adapters.explain().findings]


def dropout(adapters):
    adapters.freeze()
    adapters.model.train()


def half_eval(adapters):
    adapters.store["a"].train()


def new_head(adapters):
    adapters["a"].at["head"][-1].linear.bias.data.zero_()


def new_lora(adapters):
    for modules in adapters["a"].at.values():
        for module in modules:
            if hasattr(module, "B"):
                module.B.data.zero_()


def other_base(adapters):
    adapters.model.bert.embeddings.word_embeddings.weight.data.mul_(2)


def twin(adapters):
    adapters.store["twin"] = copy.deepcopy(adapters["a"])
    adapters.merge("a")
    adapters.activate("twin")


def by_hand(adapters):
    adapters.merge("a")
    adapters.setup = "a"


def carries(adapters):
    adapters["b"].at["head"][-1].linear.bias.grad = torch.zeros(2)


def base_carries(adapters):
    next(adapters.model.parameters()).grad = torch.zeros(60, 16)


def unfrozen(adapters):
    adapters.model.requires_grad_(True)
    adapters.model.train()


def no_head(adapters):
    adapters.add("c", LoRAConfig(rank=2), seed=0)
    adapters.train("c")
    shake(adapters["c"])
    adapters.sites["head"] = replace(adapters.sites["head"], missing=True)


BROKEN = {
    "train mode": (dropout, [("mode", None)], r"model.eval\(\)"),
    "half of it": (half_eval, [("mode", "a")], r"in train mode.*model.eval\(\)"),
    "nothing active": (lambda a: a.activate(None), [("nothing active", None)], r'activate\("a"\)'),
    "detached": (lambda a: a.detach(), [("nothing active", None)], r"adapters.attach\(\)"),
    "trainable beside": (lambda a: a["b"].requires_grad_(True), [("inactive gradient", "b")], r'adapters.train\("a"\)'),
    "carries": (carries, [("inactive gradient", "b")], "carries a gradient"),
    "base": (base_carries, [("base trains", None)], r'adapters.train\("a"\) freezes'),
    "unfrozen": (unfrozen, [("base trains", None), ("inactive gradient", "b")], "no adapter's file"),
    "new head": (new_head, [("untrained head", "a")], "never trained"),
    "new adapter": (new_lora, [("untrained adapter", "a")], "does next to nothing"),
    "no head": (no_head, [("untrained head", None)], "numbers are random"),
    "other base": (other_base, [("other base", "a")], "other weights"),
    "merged by hand": (by_hand, [("merged and attached", "a")], r"adapters.unmerge\(\)"),
    "twin": (twin, [("merged and attached", "twin")], '"a" is merged into the weights and "twin"'),
}


def test_where_all_is_well(well):
    state, rng, flags = snapshot(well.model), torch.get_rng_state(), [p.requires_grad for p in well.model.parameters()]
    text = str(well.explain())
    assert same_state(well.model.state_dict(), state) and torch.equal(torch.get_rng_state(), rng)
    assert flags == [p.requires_grad for p in well.model.parameters()]
    assert text.endswith("nothing looks wrong") and kinds(well) == []
    assert 'of "a": no, yes; pooling: model' in text and f'trains     {well.count("a"):,} of "a"' in text
    frozen = sum(p.numel() for name, p in well.model.named_parameters() if "adapterlab" not in name)
    assert f"frozen     {frozen:,} of the base's {frozen:,}" in text and "others     b" in text


@pytest.mark.parametrize("case", BROKEN)
def test_each_thing_that_is_broken(well, case):
    damage, expected, mend = BROKEN[case]
    damage(well)
    explanation = well.explain()
    assert [(f.kind, f.adapter) for f in explanation.findings] == expected
    sentence = explanation.findings[0].sentence
    assert re.search(mend, sentence) and "\n" not in sentence
    assert f"looks wrong:\n1. {sentence}" in str(explanation)


def test_the_mend_mends(well):
    """What the sentences say to do takes the findings away."""
    unfrozen(well)
    carries(well)
    well.train("a")
    assert kinds(well) == []


def test_the_road_that_most_take(tmp_path):
    """Add, train, save; load into a new process's model, activate, predict: nothing to say, and the base is known."""
    adapters = Adapters(tiny_bert())
    adapters.add("a", houlsby(4), head=LABELS, seed=0)
    assert kinds(adapters) == [("nothing active", None)]
    adapters.train("a")
    assert kinds(adapters) == [("untrained head", "a"), ("untrained adapter", "a")]
    adapters.model.train()
    optimizer = torch.optim.AdamW((p for p in adapters.model.parameters() if p.requires_grad), lr=1e-3)
    ids = torch.randint(1, 60, (3, 7))
    adapters.model(input_ids=ids, labels=torch.tensor([0, 1, 0])).loss.backward()
    optimizer.step()
    adapters.model.eval()
    assert kinds(adapters) == []
    folder = adapters.save("a", tmp_path / "a")
    again = Adapters(tiny_bert())
    again.activate(again.load(folder))
    assert kinds(again) == [] and again["a"].base["fingerprint"] == adapters["a"].base["fingerprint"]
    again.load(folder, "b")
    again.model.bfloat16()  # another precision is not another base
    assert kinds(again) == []


def test_a_quantized_base(tmp_path):
    pytest.importorskip("bitsandbytes")
    from adapterlab.quantize import quantize

    adapters = Adapters(tiny_bert(width=64))
    adapters.add("a", LoRAConfig(rank=2), seed=0)
    shake(adapters["a"])
    folder, model = adapters.save("a", tmp_path / "a"), tiny_bert(width=64)
    packed = Adapters(quantize(model, "int8"))
    packed.activate(packed.load(folder))
    assert kinds(packed) == [("quantized base", "a")]
    packed.train("a")
    assert kinds(packed) == []  # it is trained on this one now


@pytest.mark.parametrize(("name", "wrong"), [("base", []), ("bert-base-uncased", [("other base", "lora")]), ("", [])])
def test_what_a_peer_wrote_for_another_base(name, wrong):
    adapters = fresh()
    adapters.model.config._name_or_path = name
    adapters.activate(adapters.adopt(HERE / "peft" / "lora"))
    assert kinds(adapters) == wrong


@pytest.mark.parametrize("method", EVERY)
def test_every_method_when_it_is_new_and_when_it_is_not(method):
    """Prefixes, prompts and LoReFT are random throughout when they are new: of those it cannot be told."""
    adapters = Adapters(tiny.model("bert"))
    adapters.add("a", EVERY[method], seed=0)
    adapters.activate("a")
    cannot_tell = method in ("prefix_tuning", "prompt_tuning", "loreft")
    told = [("untrained adapter", "a")] * (not cannot_tell)
    assert [pair for pair in kinds(adapters) if pair[0] == "untrained adapter"] == told
    shake(adapters["a"])
    assert ("untrained adapter", "a") not in kinds(adapters)


def test_whose_head_answers(well):
    well.add("c", BottleneckConfig(size=2), seed=0)
    for setup, heads in (
        (Stack("a", "c"), ["a"]),
        (Stack("a", "b"), ["b"]),
        (Average("a", "b"), ["a", "b"]),
        ("c", []),
    ):
        with well.use(setup):
            assert answerers(well) == heads
    well.merge("a")
    assert answerers(well) == ["a"] and logits(well.model).shape == (3, 2)
