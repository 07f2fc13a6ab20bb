"""Span ablation: the same numbers as the naive loop bit for bit, the layers counted, and bad input."""

import math
from itertools import combinations_with_replacement

import pytest
import tiny
import torch
from adapted import adapted, rows

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import BottleneckConfig, HeadConfig
from adapterlab.studies import spans as ablation
from adapterlab.studies.spans import Switches, Toggles, half_pattern, span_ablation, span_pattern
from adapterlab.tasks import batches
from adapterlab.train import predict

ENCODERS = ["bert", "roberta", "electra", "distilbert", "deberta-v2", "mpnet", "modernbert", "gpt2", "llama"]


def independent(adapters, data, pattern, norms=False):
    """The logits with the bottlenecks of the switched-off half-layers zeroed, one sentence batch as `batches` cuts it."""
    adapter, before = adapters["a"], {k: v.clone() for k, v in adapters["a"].state_dict().items()}
    for site, modules in adapter.at.items():
        if adapters.sites[site].layer is None:
            continue
        _, layer, kind, *number = site.split(".")
        half = {"attention": 0, "feedforward": 1}.get(kind, int((number or ["0"])[0] != "0"))
        if pattern[2 * int(layer) + half]:
            continue
        for module in modules:
            if hasattr(module, "up"):
                module.up.weight.data.zero_()
                module.up.bias.data.zero_()
            elif norms:
                module.scale.data.fill_(1)
                module.shift.data.zero_()
    adapters.activate("a")
    out = torch.empty(len(data), 3)
    with torch.no_grad():
        for inputs, _, where in batches(data, 4):
            out[where] = adapters.model(**inputs).logits
    adapters.activate(None)
    adapter.load_state_dict(before)
    return out


def naive(switches, patterns, data):
    """The loop that `sweep` replaces: every pattern from the first layer to the last."""
    logits = {}
    for pattern in patterns:
        with switches.off(pattern):
            logits[pattern] = predict(switches.model, data, 4)
    return logits


@pytest.mark.parametrize(("case", "pooling"), [*((case, "model") for case in ENCODERS), ("bert", "mean")])
def test_the_tree_gives_the_naive_loops_numbers(case, pooling):
    adapters, data = adapted(case, pooling=pooling), rows()
    result = span_ablation(adapters, "a", data, batch_size=4)
    patterns = list(result.logits)
    assert len(patterns) == 1 + 6 + 2
    for pattern, logits in naive(Switches(adapters, "a"), patterns, data).items():
        assert torch.equal(result.logits[pattern], logits)
        torch.testing.assert_close(result.logits[pattern], independent(adapters, data, pattern), atol=1e-5, rtol=1e-5)
    assert len({tuple(v.flatten().tolist()) for v in result.logits.values()}) == len(patterns)


def test_a_sweep_over_any_patterns():
    adapters, data = adapted(), rows()
    g = torch.Generator().manual_seed(0)
    patterns = [tuple((torch.rand(6, generator=g) > 0.4).tolist()) for _ in range(12)]
    patterns += [(True,) * 6, (True, False) + (True,) * 4]  # they differ in the first feed-forward adapter alone
    switches = Switches(adapters, "a")
    (swept, _), slow = ablation.sweep(switches, patterns, data, batch_size=4), naive(switches, patterns, data)
    assert swept.keys() == slow.keys() and all(torch.equal(swept[p], slow[p]) for p in patterns)


def test_the_layers_norms_go_too_when_asked():
    adapters, data = adapted(), rows()
    kept, gone = (span_ablation(adapters, "a", data, batch_size=4, norms=n) for n in (False, True))
    for pattern in gone.logits:
        want = independent(adapters, data, pattern, norms=True)
        torch.testing.assert_close(gone.logits[pattern], want, atol=1e-5, rtol=1e-5)
    assert not torch.equal(kept.logits[span_pattern(3, 0, 2)], gone.logits[span_pattern(3, 0, 2)])


@pytest.mark.parametrize(("depth", "slow", "shared"), [(1, 2, 2), (2, 8, 6), (6, 132, 62), (12, 948, 376)])
def test_layer_evaluations_are_counted(depth, slow, shared):
    """Counted by hooks on a module inside the layers, against the closed form and against a set of prefixes."""
    spans = combinations_with_replacement(range(depth), 2)
    patterns = [span_pattern(depth, *ends) for ends in spans] + [(True,) * 2 * depth]
    prefixes = {p[: 2 * k] for p in patterns for k in range(1, depth + 1)}
    assert ablation.layer_evaluations(depth) == (slow, shared) == (depth * len(patterns), len(prefixes))
    adapters, data = adapted(layers=depth), rows(7)
    calls = []
    for layer in adapters.model.bert.encoder.layer:
        layer.attention.register_forward_hook(lambda *_: calls.append(1))
    span_ablation(adapters, "a", data, batch_size=4)
    assert len(calls) == 2 * (shared + 2 * depth)  # two batches; the two halves share no layer with anything


def test_held_states_are_one_batch_deep():
    adapters, data = adapted(), rows()
    result = span_ablation(adapters, "a", data, batch_size=4)
    longest = max(len(row) for row in data.ids)
    assert result.held_bytes == 3 * 4 * longest * 16 * 4  # layers, rows, tokens, width, bytes


def test_rows_and_their_errors():
    labels = torch.tensor([0, 0, 1, 1, 1, 0, 1, 0])
    before = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1, 1, 0, 0, 0]), 2).float()
    after = torch.nn.functional.one_hot(torch.tensor([1, 1, 0, 1, 1, 0, 1, 0]), 2).float()
    row = ablation.compare(before, after, labels)
    assert (row["intact"], row["score"], row["lost"], row["gained"]) == (7 / 8, 5 / 8, 3, 1)
    assert row["drop"] == pytest.approx(2 / 7)
    steps = (after.argmax(1) == labels).double() - (before.argmax(1) == labels).double()
    assert row["error"] == pytest.approx(math.sqrt(steps.var(unbiased=False).item() / 8))
    assert math.isnan(ablation.compare(torch.rand(8, 1), torch.rand(8, 1), labels.float(), "pearson")["error"])


def test_result_agrees_with_itself():
    adapters, data = adapted(), rows()
    result = span_ablation(adapters, "a", data, batch_size=4)
    spans = [(r["first"], r["last"]) for r in result.spans]
    assert spans == [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    assert [r["what"] for r in result.halves] == ["attention only", "feed-forward only"]
    assert [r["first"] for r in result.singles] == [0, 1, 2]
    right = result.logits[half_pattern(3, "attention")].argmax(1) == data.labels
    assert result.halves[0]["score"] == pytest.approx(right.double().mean().item())
    assert result.span(1, 2)["score"] == result.spans[spans.index((1, 2))]["score"]


def test_the_model_is_left_as_it_was():
    adapters, data = adapted(), rows()
    adapters.model.train()
    at = {site: list(modules) for site, modules in adapters["a"].at.items()}
    state = {k: v.clone() for k, v in adapters.model.state_dict().items()}
    span_ablation(adapters, "a", data, batch_size=4)
    assert adapters.model.training and adapters.active is None
    assert adapters["a"].at == at
    assert all("forward" not in vars(m) for m in adapters.model.modules())
    assert all(torch.equal(v, state[k]) for k, v in adapters.model.state_dict().items())
    broken = adapters.model.bert.encoder.layer[1].output.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        span_ablation(adapters, "a", data)
    broken.remove()
    assert adapters["a"].at == at and all("forward" not in vars(m) for m in adapters.model.modules())


def test_toggles():
    adapters, data = adapted(layers=4), rows()
    toggles = Toggles(adapters, "a", data, batch_size=4)
    on = (True,) * 8
    assert (toggles(on).layers, toggles(on).flipped) == (4, [])
    top, low = (True,) * 7 + (False,), (False,) + (True,) * 7
    assert [toggles(p).layers for p in (top, low, top, low[:-1] + (False,))] == [1, 4, 0, 1]
    for pattern in (top, low, (True, False) * 4, (False,) * 8, on):
        want = independent(adapters, data, pattern)
        out = toggles(pattern)
        torch.testing.assert_close(out.logits, want, atol=1e-5, rtol=1e-5)
        flips = want.argmax(1) != independent(adapters, data, on).argmax(1)
        assert out.flipped == flips.nonzero().flatten().tolist()
        assert out.score == pytest.approx((want.argmax(1) == data.labels).double().mean().item())


def test_toggles_memory_is_bounded_and_never_wrong():
    adapters, data = adapted(layers=4), rows()
    whole = Toggles(adapters, "a", data, batch_size=4)
    whole((True,) * 8)
    toggles = Toggles(adapters, "a", data, batch_size=4, megabytes=0.6 * whole.walk.held / 1e6)
    g = torch.Generator().manual_seed(0)
    for _ in range(40):
        pattern = tuple((torch.rand(8, generator=g) > 0.3).tolist())
        slow = naive(toggles.switches, [pattern], data)[pattern]
        assert torch.equal(toggles(pattern).logits, slow)
        assert 0 < toggles.walk.held <= toggles.walk.most
        assert all(len(states) == 2 for _, states in toggles.walk.feed)


def test_toggles_forget_when_the_adapter_is_trained_on():
    adapters, data = adapted(), rows()
    toggles = Toggles(adapters, "a", data, batch_size=4)
    before = toggles((True,) * 6).logits
    with torch.no_grad():
        adapters["a"].at["layers.0.attention"][0].up.weight.add_(1.0)
    after = toggles((True,) * 6)
    assert after.layers == 3 and not torch.equal(after.logits, before)


@pytest.mark.parametrize("span", [(0, 3), (-1, 1), (3, 3), (2, 1), (0, 1.0), (True, 2)])
def test_a_span_outside_the_layers(span):
    with pytest.raises(UserError, match=r"span \["):
        span_pattern(3, *span)


def test_bad_input():
    adapters, data = adapted(), rows()
    result = span_ablation(adapters, "a", data)
    with pytest.raises(UserError, match="span .0, 9. is outside this model's layers 0 to 2"):
        result.span(0, 9)
    with pytest.raises(UserError, match='no adapter "b"'):
        span_ablation(adapters, "b", data)
    with pytest.raises(UserError, match="the split is empty"):
        span_ablation(adapters, "a", rows(0))
    with pytest.raises(UserError, match="no half"):
        half_pattern(3, "ff")
    with pytest.raises(UserError, match="6 switches"):
        Toggles(adapters, "a", data)((True,) * 12)
    with pytest.raises(UserError, match="nothing inside the layers"):
        adapters.add("head", HeadConfig(labels=("x", "y", "z")))
        span_ablation(adapters, "head", data)
    albert = Adapters(tiny.model("albert"))
    albert.add("a", BottleneckConfig(size=2), head=("x", "y", "z"))
    with pytest.raises(UserError, match="once each"):
        span_ablation(albert, "a", data)
    bart = Adapters(tiny.model("bart"))
    bart.add("a", BottleneckConfig(size=2))
    with pytest.raises(UserError, match="one stack of layers"):
        span_ablation(bart, "a", data)
