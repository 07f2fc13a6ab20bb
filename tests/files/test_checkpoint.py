"""An adapter on disk: exact when it is right, refused in one sentence when it is not, never half there."""

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from damage import DAMAGE, edit, sign
from here import TESTS
from refused import refused
from safetensors.torch import load_file, save_file
from tiny_bert import VOCAB, same_state, shake, tiny_bert, tokens
from transformers import BertForQuestionAnswering

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.files import checkpoint
from adapterlab.methods import houlsby
from adapterlab.models import load_base


def adapted(seed=0, **config):
    adapters = Adapters(tiny_bert(seed, **config))
    shake(adapters.add("a", houlsby(4), head=("no", "yes"), seed=1, task="toy"), seed=2)
    return adapters


def logits(adapters, name):
    with torch.no_grad(), adapters.use(name):
        return adapters.model(**tokens()).logits


@pytest.fixture
def folder(tmp_path):
    return adapted().save("a", tmp_path / "toy")


def refuses(folder, match, adapters=None):
    adapters = adapters or adapted()
    with refused(adapters, match):
        adapters.load(folder, "b")


# ---- exact


def test_round_trip_is_exact(folder):
    """Into a fresh model: the same tensors, the same logits, the same words, the generator untouched."""
    want, rng = logits(adapted(), "a"), torch.get_rng_state()
    fresh = Adapters(tiny_bert())
    assert fresh.load(folder) == "a"
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(logits(fresh, "a"), want)
    assert same_state(fresh["a"].state_dict(), adapted()["a"].state_dict())
    assert fresh["a"].info == adapted()["a"].info and fresh["a"].info.task == "toy"
    assert {p.device.type for p in fresh["a"].parameters()} == {"cpu"}
    assert fresh.load(folder, "b") == "b" and torch.equal(logits(fresh, "b"), want)
    train = fresh.train("b")
    assert all(p.requires_grad and p.is_leaf for p in train)


def test_bundled_model(tmp_path):
    """The real one: bit-identical logits in a fresh model, about 2.4 MB, less than 50 ms of one core."""
    model, tokenizer = load_base(device="cpu")
    adapters = Adapters(model)
    adapters.add("reviews", houlsby(64), head=("negative", "positive"), seed=0)
    adapters["reviews"].at["head"][0].linear.bias.data.fill_(0.5)
    folder = adapters.save("reviews", tmp_path / "reviews")
    size = sum(f.stat().st_size for f in folder.iterdir())
    assert 4 * 605_954 < size < 2_450_000
    batch = tokenizer(["a fine film", "a truly bad movie"], padding=True, return_tensors="pt")
    with torch.no_grad(), adapters.use("reviews"):
        want = model(**batch).logits
    fresh = Adapters(load_base(device="cpu", seed=9)[0])
    seconds = []
    for i in range(5):
        start = time.process_time()
        fresh.load(folder, f"copy{i}")
        seconds.append(time.process_time() - start)
    with torch.no_grad(), fresh.use("copy0"):
        assert torch.equal(fresh.model(**batch).logits, want)
    assert min(seconds) < 0.050


def test_into_another_precision(folder):
    """A bfloat16 copy of the base takes the adapter, in the adapter's own float32."""
    adapters = Adapters(tiny_bert().to(torch.bfloat16))
    adapters.load(folder)
    assert {p.dtype for p in adapters["a"].parameters()} == {torch.float32}
    torch.testing.assert_close(logits(adapters, "a").float(), logits(adapted(), "a"), rtol=0.1, atol=0.1)


def test_what_the_file_says(folder):
    data = json.loads((folder / "adapter.json").read_text())
    assert data["recipe"][0]["method"] == "bottleneck" and data["recipe"][0]["size"] == 4
    assert data["base"]["family"] == "bert" and data["base"]["width"] == 16 and data["base"]["layers"] == 2
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "adapter.json", "adapter.safetensors"]
    assert "layers.0.attention.bottleneck.down.weight" in load_file(folder / "adapter.safetensors")


def test_the_model_card(tmp_path):
    """It says what the file says, and nothing in a name or a label breaks its table."""
    adapters = adapted()
    adapters.add("b|`x", houlsby(2), head=("good | bad", "a\nb"), task="<b>toy</b>")
    text = (adapters.save("a", tmp_path / "a") / "README.md").read_text()
    for words in (
        "# a\n",
        "bert, 2 layers, 16 wide",
        "bottleneck, layernorm, head",
        "| task | toy |",
        "no, yes",
        "load(",
    ):
        assert words in text
    assert f"{adapters.count('a'):,} (" in text
    wild = (adapters.save("b|`x", tmp_path / "b") / "README.md").read_text()
    rows = [line for line in wild.splitlines() if line.startswith("| ")]
    assert all(row.count("|") == 3 for row in rows) and "<" not in wild and len(rows) == 7 - 1 + 1


# ---- strict


def test_damaged_json(folder):
    path = folder / "adapter.json"
    for damaged in (path.read_text()[:-20], "", "\udcff", "[" * 200_000):
        path.write_text(damaged, errors="surrogateescape")
        refuses(folder, "not readable JSON")
    path.write_text(" " * 1_000_001)
    refuses(folder, "larger than any")


def test_not_an_adapters_folder(tmp_path, folder):
    refuses(tmp_path / "nothing", "not an adapter's folder")
    refuses(folder / "adapter.json", "not an adapter's folder")
    peft = tmp_path / "peft"
    peft.mkdir()
    (peft / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    save_file({"base_model.model.x.lora_A.weight": torch.zeros(2, 2)}, peft / "adapter_model.safetensors")
    refuses(peft, "not an adapter's folder")
    (peft / "adapter_config.json").rename(peft / "adapter.json")
    (peft / "adapter_model.safetensors").rename(peft / "adapter.safetensors")
    refuses(peft, "was not written by adapterlab")


def test_a_pickle_is_not_run(folder, tmp_path):
    """Bytes that would run code if they were unpickled are refused, and nothing runs."""

    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    packed = pickle.dumps(Bomb())
    sign(folder, packed)
    refuses(folder, "not a safetensors file")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("case", DAMAGE)
def test_damage(folder, case):
    damage, sentence = DAMAGE[case]
    damage(folder)
    refuses(folder, sentence)


def test_a_name_of_the_file_that_cannot_be_used(folder):
    edit(folder, name="../evil")
    with pytest.raises(UserError, match="cannot name"):
        adapted().load(folder)
    assert adapted().load(folder, "fine") == "fine"


def test_another_base(folder):
    refuses(folder, "width 16, this model has 12", adapted(width=12))
    refuses(folder, "layers 2, this model has 3", adapted(layers=3))
    refuses(folder, "same shape but with other weights", adapted(seed=1))


def test_a_base_whose_matrices_alone_differ(folder):
    """As after merging a LoRA: biases and LayerNorms are the same."""
    adapters = adapted()
    for p in adapters.model.bert.encoder.layer[1].attention.self.query.parameters():
        p.data.mul_(1.01 if p.ndim == 2 else 1)
    refuses(folder, "same shape but with other weights", adapters)


def without_head(adapters, folder):
    """The adapter in the folder loaded without its head, its tensors being those of the file."""
    assert adapters.load(folder, "b", head=False) == "b"
    stored = load_file(folder / "adapter.safetensors")
    assert same_state(adapters["b"].state_dict(), {k: stored[k] for k in adapters["b"].state_dict()})
    assert "head" not in adapters["b"].at and len(stored) == len(adapters["b"].state_dict()) + 2


def test_another_class_of_the_same_base(folder):
    """The question-answering class has no pooler: an adapter goes there and back, one with a head leaves that behind."""
    model = tiny_bert()
    config = model.config
    answering = BertForQuestionAnswering(config).eval()
    answering.bert.load_state_dict({k: v for k, v in model.bert.state_dict().items() if "pooler" not in k})
    refuses(folder, "has a head behind .*, which this model lacks; say head=False", adapters := bare(answering))
    without_head(adapters, folder)
    there = adapters.save("b", folder.parent / "there")
    assert Adapters(tiny_bert()).load(there) == "b"


def bare(model):
    adapters = Adapters(model)
    adapters.add("a", houlsby(4))
    return adapters


def test_another_pooler(folder):
    model = tiny_bert()
    model.bert.pooler.dense.weight.data.add_(1)
    refuses(folder, "has a head behind .*, which has other weights here", adapters := bare(model))
    without_head(adapters, folder)


def test_a_vocabulary_that_has_grown(folder):
    """Tokens added since do not matter; tokens that are gone, or other numbers for the old ones, do."""
    model = tiny_bert()
    model.resize_token_embeddings(VOCAB + 5)
    adapters = Adapters(model)
    adapters.load(folder)
    assert torch.equal(logits(adapters, "a"), logits(adapted(), "a"))
    model.get_input_embeddings().weight.data[: VOCAB // 2] += 1
    refuses(folder, "other weights", adapters)
    model = tiny_bert()
    model.resize_token_embeddings(VOCAB - 5)
    refuses(folder, f"a vocabulary of {VOCAB}, this model has {VOCAB - 5}", bare(model))


# ---- written whole or not at all


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_read_only(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot write the adapter"):
        adapted().save("a", tmp_path / "a")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_interrupted_anywhere(tmp_path, monkeypatch, overwrite, error):
    """At whichever step the save ends early: the old adapter, or none; never a part, never a remnant."""
    target = tmp_path / "toy"
    if overwrite:
        adapted().save("a", target)
    before = {p.name: p.read_bytes() for p in target.iterdir()} if overwrite else {}
    steps = [(Path, "write_bytes", i) for i in range(3)] + [(os, "rename", i) for i in range(1 + overwrite)]
    for owner, name, nth in steps:
        real, calls = getattr(owner, name), iter(range(9))

        def fail(*args, real=real, calls=calls, nth=nth, **kwargs):
            if next(calls) == nth:
                raise error
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fail)
            with pytest.raises(KeyboardInterrupt if error is KeyboardInterrupt else UserError):
                adapted().save("a", target, overwrite=overwrite)
        assert [p.name for p in tmp_path.iterdir()] == (["toy"] if overwrite else [])
        assert ({p.name: p.read_bytes() for p in target.iterdir()} if overwrite else {}) == before


def test_killed_in_the_middle(tmp_path):
    """SIGKILL when all is written but not yet in its place: the target is not there, and a later save to it works."""
    code = f"""
        import os, signal, sys
        sys.path[:0] = {[str(TESTS / "kit"), str(TESTS / "files")]!r}
        from test_checkpoint import adapted
        os.rename = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
        adapted().save("a", {str(tmp_path / "toy")!r})
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-500:]
    assert not (tmp_path / "toy").exists()
    assert checkpoint.save(adapted(), "a", tmp_path / "toy").is_dir()
