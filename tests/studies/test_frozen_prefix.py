"""A cached prefix gives the numbers of the whole model, and leaves the model as it was."""

import pytest
import tiny
import torch
from torch import nn

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import houlsby
from adapterlab.studies.bank import Bank
from adapterlab.studies.frozen_prefix import Prefix, upper_houlsby
from adapterlab.tasks import Encoded
from adapterlab.train import fit, predict

FAMILIES = ("bert", "roberta", "electra", "distilbert", "deberta-v2", "mpnet", "modernbert")


def encoded(rows=20, labels=3, seed=0, pad=0):
    g = torch.Generator().manual_seed(seed)
    ids = [torch.randint(3, 59, (int(n),), generator=g).tolist() for n in torch.randint(3, 9, (rows,), generator=g)]
    return Encoded(ids, None, torch.randint(0, labels, (rows,), generator=g), pad, 16, 0)


def still(model):
    """No dropout anywhere, also where attention reads its rate from the module or the config."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("dropout_prob", "attention_dropout", "drop_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_those_of_the_whole_model(family):
    model = still(tiny.model(family))
    data = encoded(pad=model.config.pad_token_id or 0)
    whole, state = predict(model, data), {k: v.clone() for k, v in model.state_dict().items()}
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    with Prefix(model, 1) as prefix:
        cached = prefix.cache(data)
        calls = []
        handles = [m.register_forward_hook(lambda *a: calls.append(1)) for m in prefix.lower[0].children()]
        assert torch.allclose(predict(model, cached), whole, atol=1e-5)
        assert not calls, "the prefix was computed again"
        assert torch.allclose(predict(model, data), whole, atol=1e-6), "other inputs take the usual way"
        assert calls
        for handle in handles:
            handle.remove()
    assert torch.equal(predict(model, data), whole)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert hooks == sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    assert not any("forward" in m.__dict__ for m in model.modules())


def adapted(seed=0):
    adapters = Adapters(still(tiny.model("bert")))
    adapters.add("upper", upper_houlsby(adapters.model, 1, 4), head=("a", "b", "c"), seed=seed)
    return adapters


def test_the_same_loss_curve_and_the_same_adapter():
    train, validation = encoded(), encoded(12, seed=1)
    settings = dict(epochs=3, lr=1e-2, batch_size=6, show=False)
    plain, fast = adapted(), adapted()
    plain.train("upper")
    whole = fit(plain.model, train, validation, **settings)
    fast.train("upper")
    with Prefix.below(fast, "upper") as prefix:
        assert prefix.depth == 1
        run = fit(fast.model, prefix.cache(train), prefix.cache(validation), **settings)
    assert [h["loss"] for h in run.history] == pytest.approx([h["loss"] for h in whole.history], abs=1e-5)
    assert run.best == whole.best
    for p, q in zip(plain["upper"].parameters(), fast["upper"].parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-5)


def test_a_bank_on_a_cached_prefix():
    train = encoded()
    plain, fast = adapted(), adapted()
    for adapters in (plain, fast):
        adapters.add("other", upper_houlsby(adapters.model, 1, 2), head=("a", "b", "c"), seed=5)
    want = Bank(plain, ["upper", "other"]).fit(train, epochs=2, lr=1e-2, batch_size=6, show=False)
    with Prefix.below(fast, "upper") as prefix:
        got = Bank(fast, ["upper", "other"]).fit(prefix.cache(train), epochs=2, lr=1e-2, batch_size=6, show=False)
    for a, b in zip(want, got, strict=True):
        assert [h["loss"] for h in a.history] == pytest.approx([h["loss"] for h in b.history], abs=1e-5)


def test_a_large_cache_goes_to_a_file_that_is_gone_afterwards():
    model, data = tiny.model("bert"), encoded()
    with Prefix(model, 1) as prefix:
        want = prefix.cache(data).states.clone()
    with Prefix(model, 1, memory_mb=0) as prefix:
        got = prefix.cache(data)
        folder = prefix.folder
        import os

        assert os.path.getsize(os.path.join(folder, "0.states")) == want.numel() * 4
        assert torch.equal(got.states, want)
    assert not os.path.exists(folder)
    with Prefix(model, 1, memory_mb=0, disk_mb=0) as prefix, pytest.raises(UserError, match="memory_mb"):
        prefix.cache(data)


def test_bad_input():
    model = tiny.model("bert")
    for depth in (0, 2, -1, 1.5):
        with pytest.raises(UserError, match="give 1 to 1"):
            Prefix(model, depth)
    with pytest.raises(UserError, match="single stack"):
        Prefix(tiny.model("bart"), 1)
    with pytest.raises(UserError, match="with"):
        Prefix(model, 1).cache(encoded())
    adapters = Adapters(model)
    adapters.add("all", houlsby(2), head=("a", "b", "c"))
    with pytest.raises(UserError, match="norm.0|layers.0"):
        Prefix.below(adapters, "all")
