"""Settings, banks and rows of the experiments, on a tiny model and tiny data."""

import json
import os
import random
import subprocess
import sys
from functools import partial

import pandas as pd
import pytest
import tiny
import torch
from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

from adapterlab.adapter import Adapter, Info
from adapterlab.errors import UserError
from adapterlab.methods import VariantConfig, from_dict
from adapterlab.paths import ROOT
from adapterlab.sites import find_sites
from adapterlab.studies import experiments as e
from adapterlab.studies.count import measure
from adapterlab.studies.results import key, read
from adapterlab.studies.sweep import run_sweep

WORDS = ("good", "bad", "film", "the", "a", "was", "plot", "dull", "fine")
TINY = dict(base="tiny", n_train=12, n_validation=6, n_test=6, batch_size=4, max_length=8)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A BERT of two layers and a task of forty sentences, in folders as pack.py makes them."""
    root = tmp_path_factory.mktemp("packed")
    model, task = root / "tiny", root / "reviews"
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertForSequenceClassification(config).half().save_pretrained(model)
    (model / "vocab.txt").write_text("\n".join(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS)))
    BertTokenizerFast(str(model / "vocab.txt")).save_pretrained(model)
    task.mkdir()
    dice = random.Random(0)
    for split, rows in (("train", 24), ("validation", 8), ("test", 8)):
        lines = [{"text": " ".join(dice.choices(WORDS, k=5)), "label": i % 2} for i in range(rows)]
        (task / f"{split}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return e.Places("cpu", {"tiny": str(model), "reviews": str(task)})


def test_one_run_says_all_that_the_module_promises(places):
    setting = e.setting("reviews", "adapter 4", lr=1e-2, epochs=2, seed=3, **TINY)
    row = e.run_one(setting, places)
    promised = {w.strip() for w in e.__doc__.replace("\n", " ").replace(":", ",").replace(";", ",").split(",")}
    for column in (*setting, *row):
        assert any(column in phrase for phrase in promised), f"{column} is not in the module's docstring"
    # 4 bottlenecks of 2*16*4 + 16 + 4, 5 norms of 32, a head of 17*2
    assert row["trained"] == 4 * 148 + 5 * 32 + 34
    assert row["rows_train"] == 12 and row["rows_test"] == 6 and row["bank"] == 1
    assert row["majority"] == 0.5 and 0 <= row["test"] <= 1 and row["test_scores"] == {"accuracy": row["test"]}
    assert [step for step, _ in row["losses"]] == [1, 2, 3, 4, 5, 6]
    json.dumps({**setting, **row}, allow_nan=False)
    assert "/" not in json.dumps({**setting, **row, "device": ""}), "a path of this machine in a record"


def test_a_bank_of_runs_gives_the_rows_of_single_runs(places):
    settings = [
        e.setting("reviews", f"adapter {m}", lr=lr, epochs=2, std=std, seed=1, **TINY)
        for m, lr, std in ((1, 1e-2, 1e-2), (8, 3e-3, 1e-1), (8, 1e-2, 1e-2))
    ]
    assert e.banks(settings) == [settings]
    for many, setting in zip(e.run_many(settings, places), settings, strict=True):
        one = e.run_one(setting, places)
        assert many["bank"] == 3
        for column in ("validation", "test", "best_epoch", "trained", "trained_percent", "total", "majority"):
            assert many[column] == one[column], column
        assert [l for _, l in many["losses"]] == pytest.approx([l for _, l in one["losses"]], abs=2e-5)


def test_banks_keep_apart_what_differs():
    settings = e.grid(sizes=(1, 2, 4, 8, 16), seeds=(0, 1), lrs=(1e-3, 3e-3))
    settings += e.EXPERIMENTS["fine_tune"](seeds=(0,))
    jobs = e.banks(settings, most=4)
    assert sorted(map(repr, settings)) == sorted(repr(s) for job in jobs for s in job)
    assert max(map(len, jobs)) == 4
    for job in jobs:
        if len(job) > 1:
            assert len({(s["seed"], s["epochs"], s["task"], s["method"].split()[0]) for s in job}) == 1
        for s in job:
            assert len(job) == 1 or s["method"].split()[0] not in ("top", "full")
    assert all(len(job) == 1 for job in e.banks(e.grid(sizes=(64,), variants=("tanh", "parallel"))))
    assert all(len(job) == 1 for job in e.banks(settings, most=1))


@pytest.mark.parametrize(
    ("name", "changes", "runs"),
    [
        ("fine_tune", dict(tops=(1,), sizes=(2,), lrs=(1e-3,)), 2 * (3 + 2 * 3)),
        ("size_sweep", dict(sizes=(1, 2)), 2 * 2 * 3),
        ("init", dict(stds=(1e-7, 1e-2), sizes=(2,)), 2 * 2),
        ("variants", dict(sizes=(2,), lrs=(1e-3,)), 2 * 12),
        ("methods", dict(names=("LoRA, rank 1", "(IA)^3", "prefix"), lrs=(1e-3, 1e-2), full_lrs=(1e-4,)), 2 * (3 + 6)),
    ],
)
def test_every_run_of_an_experiment_is_a_row_and_runs_once(places, tmp_path, name, changes, runs):
    settings = e.EXPERIMENTS[name](seeds=(0, 1), epochs=1, tasks=("reviews",), **TINY, **changes)
    sweep = partial(run_sweep, partial(e.run_many, places=places), settings, name, folder=tmp_path, show=False)
    frame = pd.DataFrame(sweep(group=e.banks))
    assert len(frame) == runs == len(settings) == len(read(name, tmp_path))
    assert frame["key"].is_unique and frame["test"].notna().all()
    assert sweep() == read(name, tmp_path)
    best = e.choose(frame)
    assert set(best["seed"]) == {0, 1} and len(best) == 2 * len(frame.groupby(["method", "variant", "std"]))


def test_a_grid_is_every_combination():
    settings = e.EXPERIMENTS["glue"](tasks=("glue/CoLA", "glue/RTE"), epochs={"glue/CoLA": 10, "glue/RTE": 3})
    assert len(settings) == 2 * 3 * (3 * 3 + 3) and {(s["task"], s["epochs"]) for s in settings} == {
        ("glue/CoLA", 10),
        ("glue/RTE", 3),
    }
    assert {s["method"] for s in e.EXPERIMENTS["frontier"](tops=range(1, 3), sizes=(4,))} == {
        "head only", "LayerNorm only", "full", "adapter 4", "top 1", "top 2",
    }  # fmt: skip


SMALL = ("Pfeiffer, size 1", "Compacter", "LoRA, rank 1", "VeRA", "(IA)^3", "BitFit", "LayerNorm", "prompt")


@pytest.mark.parametrize("name", list(e.FAMILY))
def test_the_family_keeps_its_budget_on_minilm(name):
    """About 1% of the model, or what is small by design; counted on the shapes, and built with all that was counted."""
    base, sites = measure("minilm")
    recipe = e.family_recipe(name)
    assert recipe == e.recipe_of(e.setting("any", name, lr=1e-3, epochs=1, recipe=list(e.FAMILY[name][1:])))
    percent = 100 * sum(config.total(sites) for config in recipe) / base
    assert 0.02 < percent < 0.12 if name in SMALL else 0.9 < percent < 1.1
    assert len(e.family_rates(name)) == 4
    built = Adapter(Info(recipe), sites)
    assert sum(p.numel() for p in built.parameters()) == sum(config.total(sites) for config in recipe)


def test_a_recipe_is_a_plain_part_of_its_setting_and_of_no_other():
    settings = e.EXPERIMENTS["methods"](seeds=(0,))
    with_recipe = [s for s in settings if "recipe" in s]
    assert {s["method"] for s in with_recipe} == set(e.FAMILY)
    assert {s["method"] for s in settings if "recipe" not in s} == {"head only", "full"}
    assert with_recipe == json.loads(json.dumps(with_recipe))
    assert all(len(job) == 1 for job in e.banks(with_recipe))
    assert not any("recipe" in s for name, make in e.EXPERIMENTS.items() if name != "methods" for s in make())


@pytest.mark.parametrize("name", ["fine_tune", "size_sweep", "glue", "init", "frontier", "variants", "methods"])
def test_recorded_rows_are_still_those_of_their_settings(name):
    """`key` of what a row says of its setting is the row's key, so that a run is never repeated."""
    one = e.setting("rotten_tomatoes", "adapter 64", lr=1e-3, epochs=3, std=1e-2)
    assert key(one) == "e5c8fef765f39317"
    columns = {*one, "recipe"}
    for row in read(name):
        assert key({c: v for c, v in row.items() if c in columns}) == row["key"], "a recorded row would not be found"


def test_choose_looks_at_validation_alone():
    frame = pd.DataFrame(
        [
            dict(task="t", method="m", lr=lr, seed=seed, validation=v, test=t)
            for lr, seed, v, t in ((1, 0, 0.9, 0.1), (1, 1, 0.7, 0.2), (2, 0, 0.6, 0.9), (2, 1, None, 1.0))
        ]
    )
    assert list(e.choose(frame, by=("task", "method"))["lr"]) == [1, 1]


def test_choose_compares_over_the_seeds_that_all_have():
    rows = ((1, 0, 0.7), (1, 1, 0.1), (1, 2, 0.1), (2, 0, 0.6), (3, 0, 0.5))
    frame = pd.DataFrame([dict(method="m", lr=lr, seed=seed, validation=v) for lr, seed, v in rows])
    assert list(e.choose(frame, by=("method",))["lr"]) == [1, 1, 1]
    apart = frame[frame["lr"] < 3].assign(seed=[0, 1, 2, 3])  # nothing in common: each over what it has
    assert list(e.choose(apart, by=("method",))["lr"]) == [2]


def test_a_run_that_diverges_is_a_row_without_scores(places):
    setting = e.setting("reviews", "full", lr=1e38, epochs=2, **TINY)
    row = e.run_one(setting, places)
    assert row["validation"] is None and row["test"] is None and row["trained"] < row["total"]
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize("variant", list(e.VARIANTS))
def test_variants_count_in_closed_form_and_begin_near_the_identity(variant):
    model = tiny.model("bert")
    config = VariantConfig(size=4, std=1e-3, **e.VARIANTS[variant])
    assert from_dict(json.loads(json.dumps(config.to_dict()))) == config
    site = find_sites(model)["layers.0.attention"]
    module = config.build(site).eval()
    assert config.count(site) == sum(p.numel() for p in module.parameters())
    x, y = torch.randn(2, 3, 16), torch.randn(2, 3, 16)
    out = module(x, y)
    assert out.shape == y.shape and (out - y).abs().max() < 0.05
    assert not torch.equal(out, y)


def test_variants_are_what_they_say():
    site = find_sites(tiny.model("bert"))["layers.0.attention"]
    x, y = torch.randn(2, 3, 16), torch.randn(2, 3, 16)

    def f(module, h):
        return module.up(torch.nn.functional.gelu(module.down[0](h)))

    for place, want in (
        ("serial", lambda m: y + f(m, y)),
        ("parallel", lambda m: y + f(m, x)),
        ("multiply", lambda m: y * (1 + f(m, x))),
    ):
        module = VariantConfig(size=4, std=0.3, place=place).build(site)
        assert torch.allclose(module(x, y), want(module), atol=1e-6)
    deep = VariantConfig(size=4, std=0.5, depth=2, act="tanh", norm="layer").build(site)
    h = torch.tanh(deep.norm[0](deep.down[0](y)))
    h = torch.tanh(deep.norm[1](deep.down[1](h)))
    assert torch.allclose(deep(x, y), y + deep.up(h), atol=1e-6)
    batch = VariantConfig(size=4, norm="batch").build(site).train()
    hidden = batch.norm[0](batch.down[0](y)).flatten(0, 1)
    assert torch.allclose(hidden.mean(0), torch.zeros(4), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"method": "adapter 0"}, "at least 1"),
        ({"method": "adapter -4"}, "at least 1"),
        ({"method": "adaptr 4"}, "unknown way"),
        ({"variant": "tahn"}, 'mean "tanh"'),
        ({"n_trian": 4}, 'mean "n_train"'),
        ({"method": "mine", "recipe": [{"method": "lroa"}]}, "unknown method"),
    ],
)
def test_bad_settings(change, words):
    with pytest.raises(UserError, match=words):
        e.setting(**{"task": "reviews", "method": "adapter 4", "lr": 1e-3, "epochs": 1, **change})


def test_wider_than_the_model_bad_variants_and_an_unknown_method(places):
    with pytest.raises(UserError, match="wider"):
        e.run_one(e.setting("reviews", "adapter 17", lr=1e-3, epochs=1, **TINY), places)
    for bad, words in (({"norm": "layr"}, "layer"), ({"depth": 0}, "at least 1"), ({"place": "x"}, "serial")):
        with pytest.raises(UserError, match=words):
            VariantConfig(**bad)
    with pytest.raises(UserError, match='mean "Pfeiffer"'):
        e.grid(names=("Pfeifer",))


@pytest.mark.slow
def test_the_command_that_records_everything(places, tmp_path):
    command = [
        sys.executable, str(ROOT / "benchmarks" / "record.py"), "--toy", "--device", "cpu", "--threads", "1",
        "--base", places.folders["tiny"], "--reviews", places.folders["reviews"], "--out", str(tmp_path), "--bank", "4",
        "--workers", "2",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    blocked = "import sys\nfor name in ('pandas', 'plotly', 'datasets', 'tqdm_absent'): sys.modules[name] = None\n"
    (tmp_path / "sitecustomize.py").write_text(blocked)
    env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{ROOT}"
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout + done.stderr
    counts = {p.stem: len(read(p.stem, tmp_path)) for p in sorted(tmp_path.glob("*.jsonl"))}
    assert counts == {
        "fine_tune_tiny": 15, "frontier_tiny": 5, "init_tiny": 2, "methods_tiny": 6, "size_sweep_tiny": 2, "variants_tiny": 12,
    }  # fmt: skip
    again = subprocess.run(command + ["--only", "variants"], env=env, capture_output=True, text=True, timeout=300)
    assert "12 of 12 runs are recorded already" in again.stdout
