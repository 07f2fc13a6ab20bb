"""A head holds every trained number of its task: whatever a checkpoint lacks, and nothing that a seed of the base made."""

import pytest
import tiny
import torch
import transformers as T
from tokenizers import Tokenizer, models
from transformers import AutoConfig

from adapterlab.adapters import Adapters
from adapterlab.methods import BottleneckConfig
from adapterlab.models import load_base

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
