"""A cached prefix gives the numbers of the whole model, and leaves the model as it was."""

import pytest
import tiny
import torch
from torch import nn

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import BottleneckConfig, LayerNormConfig, houlsby
from adapterlab.studies.bank import Bank
from adapterlab.studies.frozen_prefix import Prefix
from adapterlab.tasks import Encoded
from adapterlab.train import fit, predict

FAMILIES = ("bert", "roberta", "electra", "distilbert", "deberta-v2", "mpnet", "modernbert")
LABELS = ("a", "b", "c")


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
        cached, calls = prefix.cache(data), []
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


def adapted(pooling):
    """Two adapters in the upper layer alone, of two sizes."""
    adapters = Adapters(still(tiny.model("bert")))
    for seed, (name, size) in enumerate({"upper": 4, "other": 2}.items()):
        recipe = BottleneckConfig(size=size, layers=(1,)), LayerNormConfig(sites=("layers.1.norm.0", "layers.1.norm.1"))
        adapters.add(name, recipe, head=LABELS, seed=seed, pooling=pooling)
    return adapters


@pytest.mark.parametrize("pooling", ["model", "mean"])
@pytest.mark.parametrize("bank", [False, True])
def test_the_same_loss_curve_and_the_same_adapter(pooling, bank):
    splits, (plain, fast) = (encoded(), encoded(12, seed=1)), (adapted(pooling) for _ in range(2))

    def train(adapters, splits):
        settings = dict(epochs=3, lr=1e-2, batch_size=6, show=False)
        if bank:
            return Bank(adapters, ["upper", "other"]).fit(*splits, **settings)
        adapters.train("upper")
        return [fit(adapters.model, *splits, **settings)]

    whole = train(plain, splits)
    with Prefix.below(fast, "upper") as prefix:
        assert prefix.depth == 1
        runs = train(fast, map(prefix.cache, splits))
    for run, alone in zip(runs, whole, strict=True):
        assert [h["loss"] for h in run.history] == pytest.approx([h["loss"] for h in alone.history], abs=1e-5)
        assert run.best == alone.best
    for p, q in zip(plain["upper"].parameters(), fast["upper"].parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-5)


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
    adapters.add("all", houlsby(2), head=LABELS)
    with pytest.raises(UserError, match="norm.0|layers.0"):
        Prefix.below(adapters, "all")
