"""A head holds every trained number of its task: whatever a checkpoint lacks, and nothing that a seed of the base made."""

import json

import pytest
import tiny
import torch
import transformers as T
from tokenizers import Tokenizer, models
from transformers import AutoConfig

from adapterlab.adapters import Adapters
from adapterlab.compose import Average, BatchSplit, Parallel, Split, Stack
from adapterlab.errors import UserError
from adapterlab.methods import BitFitConfig, BottleneckConfig, HeadConfig, PromptTuningConfig
from adapterlab.methods.head import pool
from adapterlab.models import load_base, pooling_of
from adapterlab.paths import ROOT

TEXTS = [case for case in tiny.CASES if not case.startswith(("vit", "clip", "whisper", "wav2vec2"))]
OTHERS = {
    "vit": T.AutoModelForImageClassification,
    "whisper, classifying": T.AutoModelForAudioClassification,
    "wav2vec2": T.AutoModelForAudioClassification,
}
TASKS = {"classification": ("a", "b", "c"), "regression": ("score",), "span": ("start", "end")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """folder(case): a checkpoint of the case's base model alone, as it was pretrained, with a tokenizer."""
    known = {}

    def make(case):
        if case not in known:
            kind, settings, _ = tiny.CASES[case]
            known[case] = path = tmp_path_factory.mktemp("base")
            torch.manual_seed(0)
            model = T.AutoModel.from_config(AutoConfig.for_model(kind, **{**settings, "num_labels": 2}))
            with torch.no_grad():
                for p in model.parameters():
                    if p.ndim > 1:
                        p.normal_(0, 0.2)
            model.save_pretrained(path)
            words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(60)}, unk_token="w3"))
            T.PreTrainedTokenizerFast(tokenizer_object=words, pad_token="w0", eos_token="w2").save_pretrained(path)
        return known[case]

    return make


def logits(model, batch) -> torch.Tensor:
    with torch.no_grad():
        out = model.eval()(**batch)
    return torch.cat([out.start_logits, out.end_logits], 1) if "start_logits" in out else out.logits


def train_a_step(adapters, name, batch):
    parameters = adapters.train(name)
    adapters.model.train()
    out = adapters.model(**batch)
    loss = (
        out.logits.float().square().mean() if "logits" in out else (out.start_logits + out.end_logits).square().mean()
    )
    optimizer = torch.optim.SGD(parameters, 1.0)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def survives(first, second, labels, tmp_path, pooling=None):
    """Trained and saved on one model, loaded on another: the logits are equal to the last bit."""
    adapters, batch = Adapters(first), tiny.inputs(first)
    adapters.add("task", BottleneckConfig(size=2), head=labels, seed=0, pooling=pooling)
    train_a_step(adapters, "task", batch)
    trained = logits(first, batch)
    assert all(name.startswith("adapterlab.") for name, p in first.named_parameters() if p.requires_grad)
    adapters.save("task", tmp_path / "task")
    again = Adapters(second)
    again.activate(again.load(tmp_path / "task"))
    assert torch.equal(logits(second, batch), trained)
    return trained


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("case", TEXTS)
def test_no_seed_of_the_base_matters(case, task, folder, tmp_path):
    auto = T.AutoModelForQuestionAnswering if task == "span" else T.AutoModelForSequenceClassification
    if type(AutoConfig.for_model(tiny.CASES[case][0])) not in auto._model_mapping:
        pytest.skip(f"transformers has no {task} for this family")
    path, labels = str(folder(case)), TASKS[task]
    kind = {"head": "span"} if task == "span" else {"labels": len(labels)}
    first, second = (load_base(path, device="cpu", seed=seed, **kind)[0] for seed in (0, 1))
    survives(first, second, labels, tmp_path)


@pytest.mark.parametrize("case", OTHERS)
def test_models_that_came_another_way(case, folder, tmp_path):
    models_ = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        models_.append(OTHERS[case].from_pretrained(folder(case)))
    survives(*models_, TASKS["classification"], tmp_path)


def told(model) -> tuple:
    config = model.config
    return config.id2label, config.label2id, getattr(config, "problem_type", None), model.num_labels


def _keep_adapter(names: dict, name: str):
    """The README's callback, for this adapter."""
    (code,) = (part for part in (ROOT / "README.md").read_text().split("```python\n") if "KeepAdapter(Tr" in part[:120])
    exec(code.split("```")[0].replace("reviews", name), names)
    return names["KeepAdapter"]()


def test_the_model_says_the_labels_that_come_out(folder, tmp_path):
    """pipeline shows an adapter's own labels and Trainer's loss counts them; without it the model's are back."""
    model, tokenizer = load_base(str(folder("bert")), device="cpu")
    adapters, before = Adapters(model), told(model)
    for name, labels in (("colours", ("red", "green", "blue", "grey")), ("score", ("score",))):
        adapters.add(name, BottleneckConfig(size=2), head=labels, seed=0)
    adapters.train("colours")
    data = [{"input_ids": torch.arange(3, 9), "labels": torch.tensor(i % 4)} for i in range(8)]
    quiet = {"report_to": [], "use_cpu": True, "disable_tqdm": True, "save_strategy": "no"}
    keep = _keep_adapter({"adapters": adapters}, "colours")
    settings = T.TrainingArguments(str(tmp_path), max_steps=1, **quiet)
    T.Trainer(model=model, args=settings, train_dataset=data, callbacks=[keep]).train()
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-1"]  # the adapter alone
    assert adapters[adapters.load(tmp_path / "epoch-1", "kept")].info == adapters["colours"].info
    adapters["colours"].at["head"][0].linear.bias.data[3] = 9
    said = T.pipeline("text-classification", model=model.eval(), tokenizer=tokenizer, device="cpu")("w4 w5")
    assert said[0]["label"] == "grey"
    adapters.activate("score")
    assert model(input_ids=torch.arange(3, 9)[None], labels=torch.ones(1)).loss.ndim == 0
    adapters.activate(None)
    assert told(model) == before
    adapters.activate("colours")
    assert model.num_labels == model.config.num_labels == 4
    adapters.detach()
    assert told(model) == before
    adapters.attach()
    adapters.add("own", BitFitConfig(), head=("no", "yes"), pooling="model")
    assert adapters.merge_and_unload("own").config.id2label == {0: "no", 1: "yes"}


def adapted(pooling="mean", labels=("no", "yes"), **more):
    """Two adapters on a tiny encoder whose heads read it in different ways."""
    model = tiny.model("bert")
    adapters = Adapters(model)
    for name, how in {"a": pooling, **more}.items():
        adapters.add(name, BottleneckConfig(size=2), head=labels, seed=ord(name), pooling=how)
        for p in adapters[name].parameters():
            p.data.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(ord(name))))
    return model, adapters


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pooling", ["mean", "first", "last", "model", "own"])
def test_what_a_head_reads(pooling, side):
    """Against the closed form, row by row, with padding on either side: it changes nothing where states are pooled."""
    model, adapters = adapted(pooling)
    adapters.activate("a")
    (head,) = adapters["a"].at["head"]
    rows = [torch.tensor([[5, 6, 7, 8]]), torch.tensor([[9, 10]])]
    alone = [logits(model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}) for ids in rows]
    for ids, got in zip(rows, alone, strict=True):
        states = model.bert(ids).last_hidden_state[0]  # (tokens, width), with the bottlenecks
        vector = {"mean": states.mean(0), "first": states[0], "last": states[-1]}.get(pooling)
        if vector is None:
            pooler = adapters["a"].at["head.pooler_dense"][0].linear if pooling == "own" else model.bert.pooler.dense
            vector = torch.tanh(pooler(states[0]))
        torch.testing.assert_close(got[0], head.linear(vector), atol=1e-5, rtol=1e-5)
    if pooling in ("model", "own"):
        return
    x = torch.randn(2, 4, 16)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0] if side == "right" else [0, 0, 1, 1]])
    short = x[1, :2] if side == "right" else x[1, 2:]
    want = {"mean": short.mean(0), "first": short[0], "last": short[-1]}[pooling]
    torch.testing.assert_close(pool(x, mask, pooling)[1], want)
    torch.testing.assert_close(pool(x, mask, pooling)[0], pool(x[:1], None, pooling)[0])


def test_a_prompt_is_not_pooled():
    """The mean is over the text's own positions, whichever of the two was hung on the model first."""
    for first in ("prompt", "head"):
        model, adapters = adapted()
        batch = tiny.inputs(model)
        parts = {"prompt": PromptTuningConfig(length=3), "head": HeadConfig(labels=("no", "yes"), pooling="mean")}
        recipe = parts if first == "prompt" else dict(reversed(parts.items()))
        adapters.add("p", tuple(recipe.values()), seed=0)
        adapters.activate("p")
        seen = {}
        hook = model.bert.register_forward_hook(lambda _m, _a, out, seen=seen: seen.update(states=out[0]))
        got = logits(model, batch)
        hook.remove()
        assert seen["states"].shape[1] == batch["input_ids"].shape[1]
        (head,) = adapters["p"].at["head"]
        torch.testing.assert_close(got, head.linear(seen["states"].mean(1)))


def test_heads_that_read_otherwise_together():
    model, adapters = adapted("mean", b="model", c="own")
    batch = tiny.inputs(model)

    def run(setup):
        with adapters.use(setup):
            return logits(model, batch)

    both = run(BatchSplit("a", "c"))
    torch.testing.assert_close(both, torch.stack([run("a")[0], run("c")[1]]))
    torch.testing.assert_close(run(Parallel("a", "b")), torch.cat([run("a"), run("b")]))
    for block in (Average("b", "c"), Stack("c", "b"), Split("a", "c", at=2)):
        with pytest.raises(UserError, match="maps of their own"):
            adapters.activate(block)
    heads = Adapters(tiny.model("bert"))
    for name, how in (("x", "mean"), ("y", "model")):
        heads.add(name, (), head=("no", "yes"), seed=0, pooling=how)
    parts = []
    for setup in ("x", "y", Average("x", "y")):
        with heads.use(setup):
            parts.append(logits(heads.model, batch))
    torch.testing.assert_close(parts[2], (parts[0] + parts[1]) / 2)


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "first"),
        ({"pooling_mode_lasttoken": True}, "last"),
        ({"pooling_mode_max_tokens": True}, "model"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, "model"),
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "cls"}, "first"),
        (None, "model"),
    ],
)
def test_what_a_sentence_encoder_says_of_itself(config, pooling, folder, tmp_path):
    if config is not None:
        (tmp_path / "1_Pooling").mkdir()
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(config))
        listed = [
            {"path": "", "type": "x.Transformer"},
            {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        ]
        (tmp_path / "modules.json").write_text(json.dumps(listed))
    assert pooling_of(str(tmp_path)) == pooling


def test_a_head_of_which_a_part_was_never_saved(folder, tmp_path):
    """As 0.1.0 saved a RoBERTa's adapter: its last map alone, on top of a dense layer that a seed had made."""
    adapters = Adapters(load_base(str(folder("roberta")), device="cpu")[0])
    adapters.add("a", HeadConfig(labels=("no", "yes"), pooling="model", sites=("head",)))
    path = adapters.save("a", tmp_path / "a")
    config = json.loads((path / "adapter.json").read_text())
    for method in config["recipe"]:
        method.pop("pooling")
        method.pop("dropout")
    (path / "adapter.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match='a random "classifier.dense" cannot be found again'):
        adapters.load(path, "b")


def test_the_same_adapter_in_a_model_that_came_another_way(folder, tmp_path):
    path = str(folder("roberta"))
    other = T.AutoModelForSequenceClassification.from_pretrained(path, num_labels=3)
    survives(load_base(path, device="cpu")[0], other, ("no", "yes"), tmp_path)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ("score", r'one text, "score"; write \("score",\)'),
        (3, "3 is no row of names"),
        (("yes", "no", "yes"), 'the label "yes" is there more than once'),
        ({"neg": 0, "pos": 1}, "keys are 0, 1"),
        ((), "at least one label"),
    ],
)
def test_what_is_no_row_of_labels(labels, says):
    with pytest.raises(UserError, match=says):
        Adapters(tiny.model("bert")).add("a", (), head=labels)


def test_an_id2label_dict_is_taken():
    for labels in ({1: "pos", 0: "neg"}, {"0": "neg", "1": "pos"}):
        assert Adapters(tiny.model("bert")).add("a", (), head=labels).info.head.labels == ("neg", "pos")
