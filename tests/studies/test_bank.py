"""Every member of a bank trains as it would alone, and a bank says what it cannot hold."""

import math

import pytest
import tiny
import torch
from test_frozen_prefix import encoded, still

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import BottleneckConfig, LayerNormConfig, VariantConfig, houlsby
from adapterlab.studies.bank import Bank
from adapterlab.tasks import Encoded
from adapterlab.train import evaluate, fit, predict

LABELS = ("a", "b", "c")
MEMBERS = {  # name -> (size, std, initial seed, lr, order of the batches)
    "small": (1, 1e-2, 0, 1e-3, 0),
    "large": (8, 1e-1, 1, 1e-2, 0),
    "slow": (5, 1e-3, 2, 1e-4, 0),
    "other order": (5, 1e-2, 2, 3e-3, 7),
}


def store(*names, family="bert", act="gelu", pooling="model"):
    adapters = Adapters(still(tiny.model(family)))
    for name in names:
        size, std, seed, *_ = MEMBERS[name]
        adapters.add(name, houlsby(size, std=std, act=act), head=LABELS, seed=seed, pooling=pooling)
    return adapters


@pytest.mark.parametrize(
    ("family", "act", "pooling"),
    [("bert", "gelu", "model"), ("mpnet", "tanh", "mean"), ("roberta", "swish", "model"), ("bert", "relu", "mean")],
)
def test_each_member_trains_exactly_as_alone(family, act, pooling):
    adapters = store(*MEMBERS, family=family, act=act, pooling=pooling)
    pad = adapters.model.config.pad_token_id
    train, validation = encoded(22, pad=pad), encoded(15, seed=3, pad=pad)  # 22 rows: the last batch is short
    settings = dict(epochs=3, batch_size=4, clip=0.5, show=False)
    runs = Bank(adapters, MEMBERS).fit(
        train, validation, lr=[m[3] for m in MEMBERS.values()], orders=[m[4] for m in MEMBERS.values()], **settings
    )
    for run, (name, (*_, lr, order)) in zip(runs, MEMBERS.items(), strict=True):
        alone = store(name, family=family, act=act, pooling=pooling)
        alone.train(name)
        one = fit(alone.model, train, validation, lr=lr, seed=order, **settings)
        assert len(run.history) == len(one.history) == 18
        for key in ("loss", "lr", "epoch", "step"):
            assert [h[key] for h in run.history] == pytest.approx([h[key] for h in one.history], abs=1e-5)
        assert (run.best, run.best_epoch) == (one.best, one.best_epoch)
        assert (run.trained, run.total) == (one.trained, one.total)
        for p, q in zip(adapters[name].parameters(), alone[name].parameters(), strict=True):
            assert torch.allclose(p, q, atol=1e-5), name
        adapters.activate(name)
        assert torch.allclose(predict(adapters.model, validation), predict(alone.model, validation), atol=1e-4)


def test_a_regression_and_the_filling_stays_zero():
    adapters = Adapters(still(tiny.model("bert")))
    data = encoded()
    data = Encoded(data.ids, None, data.labels.float(), 0, 16, 0)
    for name, size in (("one", 1), ("six", 6)):
        adapters.add(name, (BottleneckConfig(size=size), LayerNormConfig()), head=("score",), seed=4)
    bank = Bank(adapters, ["one", "six"])
    run, _ = bank.fit(data, data, epochs=2, lr=1e-2, batch_size=5, metric="pearson", show=False)
    down = bank.views(bank.flat)["layers.0.attention", 0, "down.weight"]
    assert down.shape == (2, 6, 16) and down[0, 0].abs().min() > 0 and not down[0, 1:].any()
    alone = Adapters(still(tiny.model("bert")))
    alone.add("one", (BottleneckConfig(size=1), LayerNormConfig()), head=("score",), seed=4)
    alone.train("one")
    one = fit(alone.model, data, data, epochs=2, lr=1e-2, batch_size=5, metric="pearson", show=False)
    assert [h["loss"] for h in run.history] == pytest.approx([h["loss"] for h in one.history], abs=1e-5)


def test_dropout_gives_each_member_masks_of_its_own():
    adapters = Adapters(tiny.model("bert").train())
    for name in ("first", "twin"):
        adapters.add(name, houlsby(4), head=LABELS, seed=0)
    first, twin = Bank(adapters, ["first", "twin"]).fit(encoded(), epochs=2, lr=1e-2, show=False)
    losses = [[h["loss"] for h in run.history] for run in (first, twin)]
    assert losses[0] != losses[1], "twins with the same seed would be equal had they the same masks"


def test_a_member_that_diverges_harms_no_other():
    adapters = store("small", "large")
    with torch.no_grad():
        adapters["large"].at["head"][0].linear.bias.fill_(math.nan)
    small, large = Bank(adapters, ["small", "large"]).fit(encoded(), encoded(seed=3), lr=1e-3, show=False)
    assert math.isnan(large.best) and large.best_epoch == 0
    alone = store("small")
    alone.train("small")
    one = fit(alone.model, encoded(), encoded(seed=3), lr=1e-3, show=False)
    assert [h["loss"] for h in small.history] == pytest.approx([h["loss"] for h in one.history], abs=1e-5)


def test_predict_evaluate_and_the_model_is_left_as_it_was():
    adapters = store("small", "large")
    data = encoded(17)
    want = []
    for name in ("small", "large"):
        adapters.activate(name)
        want.append(predict(adapters.model, data))
    adapters.activate(None)
    handles, names = set(adapters.attachment.handles), list(adapters)
    bank = Bank(adapters, ["small", "large"])
    assert torch.allclose(bank.predict(data, batch_size=4), torch.stack(want), atol=1e-5)
    adapters.activate("large")
    assert bank.evaluate(data)[1] == evaluate(adapters.model, data)
    assert set(adapters.attachment.handles) == handles and list(adapters) == names


def test_what_does_not_fit_together_is_refused():
    adapters = store("small", "large")
    model = adapters.model
    adapters.add("no norms", BottleneckConfig(size=2), head=LABELS)
    adapters.add("relu", houlsby(2, act="relu"), head=LABELS)
    adapters.add("two labels", houlsby(2), head=("a", "b"))
    adapters.add("variant", (VariantConfig(size=2), LayerNormConfig()), head=LABELS)
    for names, words in {
        ("small", "no norms"): "same sites",
        ("small", "relu"): "more than their size",
        ("small", "two labels"): "different labels",
        ("small", "variant"): "no bank can hold",
        ("small", "small"): "only once",
        (): "at least one",
        ("small", "smal"): 'mean "small"',
    }.items():
        with pytest.raises(UserError, match=words):
            Bank(adapters, names)
    bank = Bank(adapters, ["small", "large"])
    for settings, words in {("lr", (1e-3,)): "bank of 2", ("lr", 0.0): "above 0", ("epochs", 0): "at least 1"}.items():
        with pytest.raises(UserError, match=words):
            bank.fit(encoded(), **{settings[0]: settings[1], "show": False})
    assert not model.training
