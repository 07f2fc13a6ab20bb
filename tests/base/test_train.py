"""The loop, fit, evaluate, unfreeze and the ledger, on a two-layer BERT."""

import copy
import math

import pytest
import tiny
import torch
import transformers

from adapterlab.adapter import count_parameters
from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import LoRAConfig, VariantConfig, houlsby
from adapterlab.studies.ledger import Ledger
from adapterlab.studies.stats import mean_interval, paired
from adapterlab.studies.ways import learning_rate, prepare, unfreeze
from adapterlab.tasks import Encoded, batches
from adapterlab.train import (
    Run,
    Verdict,
    accumulating,
    checkpointed,
    evaluate,
    fit,
    judge_logits,
    linear_schedule,
    lora_plus,
    predict,
    train_epoch,
)


def toy(rows=64, seed=0, floats=False):
    """Rows of 3 to 9 tokens; the label says whether token 5 is among them."""
    g = torch.Generator().manual_seed(seed)
    ids = [
        torch.randint(6, 60, (int(torch.randint(3, 10, (1,), generator=g)),), generator=g).tolist() for _ in range(rows)
    ]
    labels = torch.arange(rows) % 2
    for row, label in zip(ids, labels.tolist(), strict=True):
        if label:
            row[0] = 5
    return Encoded(ids, None, labels.float() if floats else labels, 0, 40, 0)


def adapted(labels=("no", "yes"), recipe=None):
    model = tiny.model("bert")
    adapters = Adapters(model)
    adapters.add("task", recipe or houlsby(4), head=labels, seed=0)
    adapters.train("task")
    return model, adapters


def test_same_seed_same_numbers_bit_for_bit():
    def once(seed):
        model, adapters = adapted()
        run = fit(model, toy(), toy(32, 1), epochs=2, lr=1e-2, batch_size=8, seed=seed, show=False)
        return [row["loss"] for row in run.history], [p.clone() for p in adapters["task"].parameters()]

    (first, a), (second, b), (other, _) = once(0), once(0), once(1)
    assert first == second and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert first != other


def test_it_learns_and_only_what_is_trained_moves():
    model, adapters = adapted()
    before = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith("adapterlab")}
    run = fit(model, toy(256), toy(64, 1), epochs=8, lr=1e-2, batch_size=16, show=False)
    assert run.best > 0.9 and evaluate(model, toy(64, 2)) > 0.8
    after = model.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items())
    assert run.trained == adapters.count("task") and run.total == adapters.base_count()
    assert not model.training


def test_fit_is_adam_with_clipping_and_the_schedule():
    """Three steps against a plain loop: same batches, torch's Adam, the gradient's norm cut to 0.1 by hand."""
    data, (model, _) = toy(24), adapted()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    plain = copy.deepcopy(model).train()
    fit(model, data, epochs=1, lr=1e-2, batch_size=8, clip=0.1, show=False)
    parameters = [p for p in plain.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=1.0)
    for step, (inputs, labels, _) in enumerate(batches(data, 8, shuffle=True, seed=0, epoch=1)):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(plain(**inputs).logits, labels).backward()
        norm = torch.sqrt(sum((p.grad**2).sum() for p in parameters))
        assert norm > 0.1
        for p in parameters:
            p.grad *= 0.1 / norm
        optimizer.param_groups[0]["lr"] = 1e-2 * (1, 2 / 2, 1 / 2)[step]
        optimizer.step()
    ours = [p for p in model.parameters() if p.requires_grad]
    for p, q in zip(ours, parameters, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-5)


def judging(adapters, scores):
    """(a judge that gives these scores and raises what is no number, the adapter's state at each of its calls)."""
    seen = []

    def judge(_):
        adapter = adapters["task"]
        seen.append([p.clone() for p in (*adapter.parameters(), *adapter.buffers())])
        if isinstance(score := scores[len(seen) - 1], BaseException):
            raise score
        return score

    return judge, seen


def is_now(adapters, state):
    adapter = adapters["task"]
    return all(torch.equal(p, q) for p, q in zip((*adapter.parameters(), *adapter.buffers()), state, strict=True))


def test_lora_plus_moves_b_faster():
    """Adam's first step is its rate: of a LoRA's B 16 times that of A and of the head."""
    model, adapters = adapted(recipe=LoRAConfig(rank=2, start="pissa"))
    before = {n: p.detach().clone() for n, p in adapters["task"].named_parameters()}
    run = fit(model, toy(8), lr=1e-3, epochs=1, batch_size=8, groups=lora_plus(16), show=False)
    moved = {n: (p - before[n]).abs().max().item() for n, p in adapters["task"].named_parameters()}
    assert run.history[0]["lr"] == 1e-3 and len(moved) == 2 * 2 * 2 + 2
    for name, most in moved.items():
        assert most == pytest.approx(16e-3 if name.endswith("B") else 1e-3, rel=0.02), name


@pytest.mark.parametrize(
    ("scores", "best", "epoch"),
    [([0.9, 0.5, 0.7], 0.9, 1), ([0.5, 0.5, 0.5], 0.5, 3), ([math.nan, -0.5, -0.7], -0.5, 2)],
    ids=["the best", "of equals the last", "nan is the worst"],
)
@pytest.mark.parametrize("recipe", [houlsby(4), VariantConfig(size=4, norm="batch")], ids=["houlsby", "running means"])
def test_the_best_state_is_kept(scores, best, epoch, recipe):
    model, adapters = adapted(recipe=recipe)
    judge, seen = judging(adapters, scores)
    run = fit(model, toy(), epochs=3, lr=1e-2, judge=judge, show=False)
    assert (run.best, run.best_epoch) == (best, epoch) and is_now(adapters, seen[epoch - 1])
    assert not any(torch.equal(p, q) for p, q in zip(seen[0], seen[2], strict=True) if p.is_floating_point())


def test_an_interrupted_fit_keeps_the_best_state():
    model, adapters = adapted()
    judge, seen = judging(adapters, [0.5, KeyboardInterrupt()])
    with pytest.raises(KeyboardInterrupt):
        fit(model, toy(), epochs=3, lr=1e-2, judge=judge, show=False)
    assert is_now(adapters, seen[0]) and not model.training


def test_of_equal_scores_the_lower_validation_loss_is_kept():
    run = Run("name", "accuracy", 0, 1e-3, 4, 1, 1, "CPU")
    for epoch, (score, loss) in enumerate(((0.8, 0.1), (0.9, 0.5), (0.9, 0.3), (0.9, 0.4)), 1):
        run.record(epoch, [0.0], [1e-3])
        run.judged(epoch, Verdict(score, loss))
    assert (run.best, run.best_epoch) == (0.9, 3)
    assert [row["validation_loss"] for row in run.history] == [0.1, 0.5, 0.3, 0.4]
    assert Verdict(math.nan).rank < Verdict(-1.0).rank


def test_an_easy_task_is_not_left_under_trained():
    """The first epoch already gets every row right; the later ones are surer, and are kept."""
    model, _ = adapted()
    run = fit(model, toy(512), toy(32, 1), epochs=12, lr=1e-2, batch_size=16, show=False)
    scores = [row["validation"] for row in run.history if "validation" in row]
    assert scores.count(run.best) > 1 and run.best_epoch > 1 + scores.index(run.best)
    assert predict(model, toy(32, 1)).softmax(-1).max(-1).values.mean() > 0.9


def test_fit_says_when_every_validation_row_gets_the_same_answer(capsys):
    model, adapters = adapted()
    with torch.no_grad():
        adapters["task"].at["head"][0].linear.bias[1] = 50
    run = fit(model, toy(), toy(32, 1), epochs=2, lr=1e-9, show=True)
    assert run.collapsed and capsys.readouterr().out.count("every validation sentence got the same answer: lower") == 1
    model, _ = adapted()
    run = fit(model, toy(256), toy(32, 1), epochs=8, lr=1e-2, batch_size=16, show=True)
    assert not run.collapsed and "same answer" not in capsys.readouterr().out
    assert not judge_logits(torch.eye(2)[[0, 0]], torch.tensor([0, 0])).collapsed, "one class only: nothing to say"
    assert not judge_logits(torch.zeros(3, 1), torch.tensor([0.1, 0.2, 0.3]), "pearson").collapsed


def test_a_loop_and_a_schedule_of_ones_own():
    def my_epoch(model, batches, optimizer, schedule, loss, clip):
        losses = []
        model.train()
        for inputs, labels in batches:
            optimizer.zero_grad()
            value = loss(model(**inputs), labels)
            value.backward()
            torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip)
            optimizer.step()
            schedule.step()
            losses.append(value.item())
        return losses

    def train(**own):
        model, _ = adapted()
        return fit(model, toy(), toy(32, 1), epochs=2, lr=1e-2, batch_size=8, show=False, **own)

    assert train(loop=my_epoch, schedule=linear_schedule).history == train().history
    assert {row["lr"] for row in train(schedule=lambda step, total: 0.5).history} == {0.005}
    for answer in (None, [], [0.5], torch.ones(8)):
        with pytest.raises(UserError, match="train on the batches and return a list with the loss of each"):
            train(loop=lambda *given, answer=answer: answer)


@pytest.mark.parametrize("case", ["classes", "scores", "next token"])
def test_accumulated_gradients_are_the_large_batch_s(case):
    """Of batches of 8, 8 and 3 rows, a step of two and one of what is left, without dropout and with SGD."""
    model = tiny.model("llama" if case == "next token" else "bert").train().double()
    ids = torch.randint(6, 60, (19, 6), generator=torch.Generator().manual_seed(0))
    labels = ids.masked_fill(ids % 3 == 0, -100) if case == "next token" else torch.arange(19) % 3
    if case == "next token":
        model = transformers.AutoModelForCausalLM.from_config(model.config).double()
    elif case == "scores":
        model.classifier = torch.nn.Linear(16, 1).double()
        labels = labels / 7.0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0

    def stepped(loop, *cuts):
        copied, pieces = copy.deepcopy(model), list(zip((0, *cuts), (*cuts, 19), strict=True))
        optimizer = torch.optim.SGD(copied.parameters(), lr=1.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        losses = loop(
            copied, [({"input_ids": ids[a:b]}, labels[a:b]) for a, b in pieces], optimizer, schedule, clip=1e9
        )
        return losses, [p for p in copied.parameters() if p.grad is not None]

    for got, want in ((stepped(accumulating(2), 8, 16), stepped(train_epoch, 16)),
                      (stepped(accumulating(9), 8, 16), stepped(train_epoch))):  # fmt: skip
        assert len(got[0]) == len(want[0]) and len(got[1]) == len(want[1]) > 10
        torch.testing.assert_close(got[0], want[0], rtol=0, atol=1e-6, check_dtype=False)
        for p, q in zip(got[1], want[1], strict=True):
            torch.testing.assert_close(p.grad, q.grad, rtol=0, atol=1e-6)
            torch.testing.assert_close(p, q, rtol=0, atol=1e-6)


def test_fit_counts_steps_when_it_accumulates():
    model, _ = adapted()
    run = fit(model, toy(28), toy(8, 1), epochs=2, lr=1e-2, batch_size=4, accumulate=3, show=False)
    total = 2 * 3  # seven batches: 3, 3 and the one that is left
    assert [row["step"] for row in run.history] == list(range(1, total + 1))
    assert [row["lr"] for row in run.history] == [1e-2 * linear_schedule(step, total) for step in range(total)]
    for wrong in ({"accumulate": 0}, {"accumulate": 2, "loop": lambda *given: []}):
        with pytest.raises(UserError, match="accumulate must be at least 1, and 1 beside a loop of your own"):
            fit(model, toy(28), show=False, **wrong)


@pytest.mark.parametrize(("case", "accumulate"), [("bert", 2), ("llama", 1)])
def test_checkpointed_training_gives_the_same_numbers(case, accumulate):
    """Bit for bit, with dropout; and layers do run twice. Afterwards, by an error too, the model is as before."""

    def once(checkpointing, judge=None):
        model = tiny.model(case)
        adapters, passes = Adapters(model), []
        adapters.add("task", houlsby(4), head=("no", "yes"), seed=0)
        adapters.train("task")
        for name, module in model.named_modules():
            if name.endswith(("layer.1.attention.self", "layers.1.self_attn")):
                module.register_forward_hook(lambda *_: passes.append(model.training))
        try:
            run = fit(model, toy(32), epochs=2, lr=1e-2, batch_size=8, seed=3, show=False, judge=judge,
                      checkpointing=checkpointing, accumulate=accumulate)  # fmt: skip
        finally:
            assert not model.is_activation_checkpointing and not model.training
        return [row["loss"] for row in run.history], list(adapters["task"].parameters()), sum(passes)

    (plain, a, passes), (again, b, twice) = once(False), once(True)
    assert plain == again and all(torch.equal(p, q) for p, q in zip(a, b, strict=True))
    assert twice == 2 * passes > 0
    with pytest.raises(KeyboardInterrupt):
        once(True, judging({"task": torch.nn.Module()}, [KeyboardInterrupt()])[0])


def test_a_model_that_cannot_checkpoint_says_so():
    model = tiny.model("albert")
    with pytest.raises(UserError, match="AlbertForSequenceClassification does not support gradient checkpointing: lea"):
        fit(model, toy(), checkpointing=True, show=False)
    model = tiny.model("bert")
    model.activation_checkpointing_enable()
    with checkpointed(model):
        pass
    assert model.is_activation_checkpointing, "it was on before"


def test_the_loop_can_be_read_aloud():
    import inspect

    from adapterlab.train import train_epoch

    body = inspect.getsource(train_epoch).split('"""')[-1].strip().splitlines()
    assert len(body) <= 14 and max(map(len, body)) < 80


def test_schedule_is_the_one_of_transformers_one_step_on():
    total, optimizer = 50, torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = transformers.get_linear_schedule_with_warmup(optimizer, 5, total).lr_lambdas[0]
    assert [linear_schedule(s, total) for s in range(5)] == [theirs(s + 1) for s in range(5)]
    assert [linear_schedule(s, total) for s in range(5, 50)] == [theirs(s) for s in range(5, 50)]


def test_predictions_come_in_the_order_of_the_data():
    model, _ = adapted()
    data = toy(20)
    together = predict(model, data, batch_size=7)
    for i in (0, 7, 19):
        alone = model(torch.tensor([data.ids[i]])).logits[0]
        torch.testing.assert_close(together[i], alone, rtol=1e-4, atol=1e-5)


def test_regression():
    model, _ = adapted(labels=("score",))
    data = toy(128, floats=True), toy(32, 1, floats=True)
    run = fit(model, *data, epochs=6, lr=1e-2, batch_size=16, metric="pearson", show=False)
    assert run.best > 0.5


HEAD = {"pooler", "classifier"}


@pytest.mark.parametrize(
    ("top", "expected"),
    [(0, {"classifier"}), (1, {"layer.1", *HEAD}), (2, {"layer.0", "layer.1", *HEAD}),
     (None, {"layer.0", "layer.1", "embeddings", *HEAD})],
)  # fmt: skip
def test_unfreeze(top, expected):
    model = tiny.model("bert")
    unfreeze(model, top)
    trained = {part for part in {"layer.0", "layer.1", "embeddings", *HEAD}
               for n, p in model.named_parameters() if p.requires_grad and part in n}  # fmt: skip
    assert trained == expected and (len(set(count_parameters(model))) == 1) == (top is None)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda model: fit(model, toy(), epochs=0), "epochs and batch_size"),
        (lambda model: fit(model, toy(0)), "training split is empty"),
        (lambda model: evaluate(model, toy(0)), "nothing to evaluate"),
        (lambda model: fit(model.requires_grad_(False), toy()), "every parameter is frozen"),
        (lambda model: fit(model, toy(), groups=lora_plus()), "lora_plus: no LoRA is trained here"),
        (lambda model: lora_plus(0), "lora_plus: the ratio must be above 0, not 0"),
        (lambda model: unfreeze(model, 3), "0 to 2 layers"),
        (lambda model: prepare("adapter", ("a", "b")), 'unknown way to fine-tune "adapter"'),
    ],
)
def test_bad_input_is_one_sentence(call, says):
    with pytest.raises(UserError, match=says):
        call(adapted()[0])


def test_a_loss_that_is_not_finite_stops_with_a_mend():
    model, adapters = adapted()
    with torch.no_grad():
        next(adapters["task"].parameters()).fill_(math.nan)
    with pytest.raises(UserError, match="try a lower lr"):
        fit(model, toy(), epochs=1, show=False)


def test_baselines_train_what_they_say():
    counts = {}
    for way in ("head only", "LayerNorm only", "adapter 64", "full"):
        model, _, adapters = prepare(way, ("negative", "positive"), device="cpu")
        counts[way] = count_parameters(model)[0]
        assert adapters[way].info.head.pooling == "mean" and learning_rate(way) > 0
    # 2 x (384 + 1); 13 LayerNorms of 2 x 384; 12 bottlenecks of 2 x 384 x 64 + 384 + 64; all but the pooler
    assert counts["head only"] == 770
    assert counts["LayerNorm only"] == 770 + 9_984
    assert counts["adapter 64"] == 770 + 9_984 + 595_200
    assert counts["full"] == 22_713_216 - (384 * 384 + 384) + 770


def test_ledger_counts_bytes(tmp_path):
    model, adapters = adapted()
    run = fit(model, toy(), toy(16, 1), epochs=1, lr=1e-2, show=False)
    folder = adapters.save("task", tmp_path / "a")
    ledger = Ledger()
    ledger.add(run, disk=folder)
    row = ledger.frame().iloc[0]
    size = sum(f.stat().st_size for f in folder.iterdir())
    assert row["disk MB"] == pytest.approx(size / 1e6, abs=0.005)
    assert row["validation accuracy"] == round(100 * run.best, 1) and "accuracy" not in row
    assert row["trained %"] == pytest.approx(100 * run.trained / run.total, abs=1e-3)
    assert run.step_ms > 0 and run.peak_mb > 50


def test_interval_is_students():
    mean, half = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2 and half == pytest.approx(4.303 / math.sqrt(3))
    assert math.isnan(mean_interval([1.0])[1])


def test_a_paired_interval_knows_rows_and_seeds():
    one, other = torch.zeros(100), torch.tensor([1.0] * 10 + [0.0] * 90)
    gap, half = paired(one, other)
    assert gap == pytest.approx(10) and half == pytest.approx(196 * other.std().item() / 10)
    gap, more = paired(torch.stack([one, one]), torch.stack([other, 1 - other]))  # seeds differ by 80 points
    assert gap == pytest.approx(50) and more > 12.7 * 80 / 2 - 1
