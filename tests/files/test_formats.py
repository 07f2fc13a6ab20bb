"""Away and back: what PEFT and the Adapters library wrote computes the same here, and what is written for them there."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import tiny
import torch
import transformers as T
from formats_cases import HEADS, HERE, OURS, adapted, digest, every, fresh, inputs, logits, scramble
from refused import refused
from safetensors.torch import load_file, save_file
from tiny_bert import same_state, tiny_bert

from adapterlab import methods
from adapterlab.adapters import Adapters
from adapterlab.compose import Fuse
from adapterlab.errors import UserError
from adapterlab.files import share

RECORDS = {peer: json.loads((HERE / f"{peer}.json").read_text()) for peer in ("peft", "adapters")}
REFUSED = {
    ("peft", "ia3_default"): "attention.output.dense",  # it scales what goes into that, and we have no site there
    ("peft", "lora_bias"): "\"bias\" = 'lora_only' has no counterpart",
    ("peft", "lora_pattern"): 'setting "rank_pattern"',
    ("adapters", "mam"): "is a pickle",
    ("adapters", "gated"): '"use_gating" = True has no counterpart',
    ("adapters", "relu_head"): "2 layers, activation 'relu'",
}
READS = {  # the heads of the peers that are more or less than one map on the frozen pooler: pooling, and its own maps
    "own_pooler": ("own", ("head", "head.pooler_dense")),
    "roberta_lora": ("model", ("head", "head.classifier_dense")),
    "roberta_prefix": ("model", ("head", "head.classifier_dense")),
    "electra_lora": ("model", ("head", "head.classifier_dense")),
    "first_head": ("first", ("head",)),
    "deep_head": ("own", ("head", "head.pooler_dense")),
    "roberta_deep": ("model", ("head", "head.classifier_dense")),
    "electra_deep": ("model", ("head", "head.classifier_dense")),
}
PICKLED = ("prefix", "prefix_flat", "mam")
CASES = [(peer, case) for peer, record in RECORDS.items() for case in record["logits"]]


def refuses(adapters, folder, match, **more):
    with refused(adapters, match):
        adapters.adopt(folder, "new", **more)


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("owner/name", "owner/name"),
        ("minilm", "sentence-transformers/all-MiniLM-L6-v2"),
        ("models/mine", "models/mine"),
    ],
)
def test_the_base_that_the_peers_look_for(tmp_path, monkeypatch, name, written):
    """A name that they can fetch, or the folder as it was given; what leaves this machine names no path of it."""
    (tmp_path / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    adapters = fresh()
    adapters.add("a", methods.LoRAConfig(rank=2))
    adapters.model.config._name_or_path = name
    away = "mine" if name == "models/mine" else written
    for form, key in (("peft", "base_model_name_or_path"), ("adapterhub", "model_name")):
        for folder, base in (
            (adapters.export("a", form, form), written),
            (share.write(adapters, "a", f"{form}, away", form), away),
        ):
            assert json.loads((folder / "adapter_config.json").read_text())[key] == base
            assert f'from_pretrained("{base}"' in (folder / "README.md").read_text()
    saved = json.loads((adapters.save("a", "saved") / "adapter.json").read_text())
    assert saved["base"]["name"] == ("minilm" if name == "minilm" else away)


@pytest.mark.parametrize("form", ["peft", "adapterhub"])
def test_the_names_of_labels_come_back(tmp_path, form):
    """PEFT has no word for them: they are metadata of its tensors' file, and where they do not fit the head, numbers."""
    adapters = fresh()
    adapters.add("a", methods.LoRAConfig(rank=2), head=("bad", "fair", "good"))
    folder = adapters.export("a", tmp_path / "a", form)
    assert adapters[adapters.adopt(folder, "b")].info.recipe == adapters["a"].info.recipe
    if form == "peft":
        path = folder / "adapter_model.safetensors"
        for wrong in ('["bad", "fair"]', "3", "[1, 2, 3]", "{}"):
            save_file(load_file(path), path, metadata={"labels": wrong})
            name = adapters.adopt(folder, f"with {wrong}")
            assert adapters[name].info.recipe[-1].labels == ("LABEL_0", "LABEL_1", "LABEL_2")
        save_file(load_file(path), path, metadata={"labels": "["})
        refuses(adapters, folder, "asks for what cannot be built")


# ---- theirs for us


@pytest.mark.parametrize(("peer", "case"), [c for c in CASES if c not in REFUSED])
def test_what_a_peer_wrote(peer, case):
    """The peer's own files, and the logits that it had."""
    adapters, want = fresh(case, seed=7), torch.tensor(RECORDS[peer]["logits"][case])
    for part in ("pfeiffer", "pfeiffer2") if case == "fusion" else ():
        adapters.adopt(HERE / peer / part)
    bare = logits(adapters, None)
    name = adapters.adopt(HERE / peer / case, pickle=case in PICKLED)
    assert name == {"fusion": "pfeiffer,pfeiffer2"}.get(case, case)
    torch.testing.assert_close(logits(adapters, name), want, rtol=1e-5, atol=1e-5)
    assert (want - bare).abs().max() > 1e-2
    assert adapters.adopt(HERE / peer / case, "again", pickle=case in PICKLED) == "again"
    if case == "fusion":
        assert torch.equal(logits(adapters, Fuse("pfeiffer", "pfeiffer2", name="again")), logits(adapters, name))
    if case != "fusion":
        pooling, sites = READS.get(case, ("model", ("head",)))
        names = ("bad", "fair", "good") if peer == "adapters" else ("LABEL_0", "LABEL_1", "LABEL_2")
        assert adapters[name].info.head == methods.HeadConfig(labels=names, pooling=pooling, sites=sites, dropout=0.1)
    folder = HERE / peer / case
    without = adapters.adopt(folder, "bare", head=False, pickle=case in PICKLED)
    assert adapters[without].info.head is None


@pytest.mark.parametrize(("peer", "case"), REFUSED)
def test_what_cannot_be_held(peer, case):
    refuses(fresh(), HERE / peer / case, REFUSED[peer, case])


def test_the_rest_of_a_refused_one():
    """A head with another activation is refused, and the adapter without it is not; a union is no single method."""
    adapters = fresh()
    adapters.adopt(HERE / "adapters" / "relu_head", head=False)
    assert adapters["relu_head"].info.recipe == (methods.PfeifferConfig(size=4),)
    refuses(adapters, HERE / "adapters" / "mam", "'architecture': 'union'", pickle=True)


def test_the_recipes_that_are_found():
    adapters = fresh()
    for peer, case, recipe in (
        ("peft", "lora", methods.LoRAConfig(rank=4, alpha=8)),
        ("peft", "lora_one_layer", methods.LoRAConfig(rank=2, alpha=8, sites=("layers.1.key", "layers.1.inner"))),
        ("peft", "layernorm", methods.LayerNormConfig()),
        ("adapters", "houlsby", methods.BottleneckConfig(size=4, act="swish")),
    ):
        name = adapters.adopt(HERE / peer / case, head=False)
        assert adapters[name].info.recipe == (recipe,)
        adapters.delete(name)


# ---- ours for them


@pytest.mark.parametrize("form", OURS)
def test_our_own_way_there_and_back(form, tmp_path):
    again = fresh()
    for name, adapters in every(form):
        folder = adapters.export(name, tmp_path / name, form)
        assert not any(path.suffix in (".bin", ".pt", ".pkl") for path in folder.iterdir())
        again = fresh(name, seed=7) if name in HEADS[form] else again
        got = again.adopt(folder, name)
        torch.testing.assert_close(logits(again, got), logits(adapters, name), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("peer", ["peft", "adapters"])
def test_what_the_peers_read(peer, tmp_path):
    """What is written today is bit for bit what the peers read back, with our logits to 1e-5 (read_back.py)."""
    form = {"peft": "peft", "adapters": "adapterhub"}[peer]
    record = json.loads((HERE / f"read_back_{peer}.json").read_text())
    assert set(record["versions"]) == {peer, "torch", "transformers"}
    seen = []
    for name, adapters in every(form):
        case = record["cases"][name]
        assert isinstance(case["difference"], float) and case["difference"] < 1e-5, case
        assert case["sha256"] == digest(adapters.export(name, tmp_path / name, form)), name
        seen.append(name)
    assert seen == list(record["cases"])


CANNOT = {
    ("peft", "bottleneck"): (methods.BottleneckConfig(size=4), "it has no bottleneck"),
    ("peft", "reft"): (methods.LoReFTConfig(rank=2), "it has no loreft"),
    ("peft", "gated"): (methods.LoRAConfig(rank=2, gated=True), "it has no gate"),
    ("peft", "uncounted"): (methods.PrefixTuningConfig(length=2), "takes up the text's first positions.*counted=True"),
    ("peft", "gated prefix"): (methods.PrefixTuningConfig(length=2, gated=True, counted=True), "it has no gate"),
    ("adapterhub", "counted"): (methods.PrefixTuningConfig(length=2, counted=True), "take up no positions"),
    ("peft", "both sides"): (methods.IA3Config(sites=("hidden", "outer")), "before and behind"),
    ("peft", "two"): (
        (methods.LoRAConfig(rank=2), methods.LayerNormConfig()),
        "has one method, and this has lora and layernorm",
    ),
    ("peft", "head alone"): (methods.HeadConfig(), "a head alone"),
    ("adapterhub", "houlsby"): (methods.houlsby(4), "it has no layernorm.*; what can leave is BottleneckConfig alone"),
    ("adapterhub", "variant"): (methods.VariantConfig(size=4), "it has no variant"),
    ("adapterhub", "bitfit"): (methods.BitFitConfig(), "it has no bitfit"),
    ("adapterhub", "vera"): (methods.VeRAConfig(rank=2), "it has no vera"),
    ("adapterhub", "dora"): (methods.DoRAConfig(rank=2), "it has no dora"),
    ("adapterhub", "prompt"): (methods.PromptTuningConfig(length=2), "it has no prompt_tuning"),
    ("adapterhub", "identity"): (methods.BottleneckConfig(size=4, act="identity"), 'no activation "identity"'),
    ("adapterhub", "hidden"): (methods.IA3Config(), 'no ia3 at "layers.0.hidden"'),
    ("adapterhub", "dense"): (
        methods.LoRAConfig(rank=2, sites="attention_dense"),
        'no lora at "layers.0.attention_dense"',
    ),
    ("adapterhub", "uneven"): (
        methods.LoRAConfig(rank=2, sites=("query", "layers.0.value")),
        "same kinds of sites in every layer",
    ),
    ("adapterhub", "two"): (methods.mix_and_match(size=4, length=2), "has one method"),
    ("pfet", "lora"): (methods.LoRAConfig(rank=2), 'unknown format "pfet"; did you mean "peft"'),
}


@pytest.mark.parametrize(("form", "case"), CANNOT)
def test_what_a_format_cannot_hold(form, case, tmp_path):
    recipe, message = CANNOT[form, case]
    adapters = fresh()
    adapters.add("a", recipe)
    with pytest.raises(UserError, match=message) as caught:
        adapters.export("a", tmp_path / "a", form)
    assert "\n" not in str(caught.value) and list(tmp_path.iterdir()) == []


# ---- read strictly


@pytest.fixture
def copied(tmp_path):
    def copy(peer, case):
        return Path(shutil.copytree(HERE / peer / case, tmp_path / case))

    return copy


def edit(folder, tensors=None, file=None, **config):
    """Change an adapter on disk."""
    hub = (folder / "adapter.safetensors").is_file()
    path = folder / ("adapter.safetensors" if hub else "adapter_model.safetensors")
    if tensors:
        save_file({k: v.contiguous() for k, v in tensors(load_file(path)).items()}, path)
    data = json.loads((folder / "adapter_config.json").read_text())
    part = data["config"] if hub else data
    part.update(config)
    (folder / "adapter_config.json").write_text(json.dumps(data))
    return folder


def first(tensors):
    return sorted(tensors)[0]


DAMAGE = {
    "missing": (lambda t: {k: v for k, v in t.items() if k != first(t)}, "lacks"),
    "one too many": (lambda t: {**t, "bert.extra": torch.zeros(1)}, "unexpected|no site"),
    "misshapen": (lambda t: {**t, first(t): torch.zeros(3, 3)}, "must be|does not fit"),
    "NaN": (lambda t: {**t, first(t): t[first(t)] * float("nan")}, "not finite"),
    "whole numbers": (lambda t: {**t, first(t): t[first(t)].long()}, "is of type"),
}


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize(("peer", "which"), [("peft", "lora"), ("peft", "dora"), ("peft", "ia3"), ("adapters", "houlsby"), ("adapters", "compacter"), ("adapters", "lora")])  # fmt: skip
def test_wrong_tensors(copied, peer, which, case):
    damage, message = DAMAGE[case]
    refuses(fresh(), edit(copied(peer, which), damage), message)


@pytest.mark.parametrize(
    ("peer", "which", "config", "message"),
    [
        ("peft", "lora", {"peft_type": "LOHA"}, "'LOHA' cannot be held"),
        ("peft", "lora", {"target_modules": ["query", "key", "value"]}, "lacks the tensors for"),
        ("peft", "lora", {"target_modules": "("}, "no regular expression"),
        ("peft", "lora", {"target_modules": 3}, "must be a list of names"),
        ("peft", "lora", {"r": 5}, "must be"),
        ("peft", "lora", {"r": "4"}, "whole number"),
        ("peft", "lora", {"r": None}, "whole number"),
        ("peft", "lora", {"lora_alpha": None}, "alpha must lie"),
        ("peft", "lora", {"lora_alpha": "8"}, "alpha must lie"),
        ("peft", "lora", {"init_lora_weights": "pissa"}, "'pissa' has no counterpart"),
        ("peft", "lora", {"use_dora": True}, "lacks tensor"),
        ("peft", "dora", {"use_dora": False}, "unexpected tensor"),
        ("peft", "lora", {"something_new": 3}, 'setting "something_new"'),
        ("peft", "prompt", {"num_virtual_tokens": 7}, "must be"),
        ("peft", "prefix", {"num_virtual_tokens": 7}, "must be"),
        ("peft", "prefix", {"peft_type": "PROMPT_TUNING"}, "must be"),
        ("peft", "prompt", {"peft_type": "PREFIX_TUNING"}, "do not fit this model's 2 attentions"),
        ("peft", "vera", {"projection_prng_key": 4}, "vera_A is not what projection_prng_key 4 makes"),
        ("peft", "vera", {"r": 5}, "vera_A is not what"),
        ("peft", "vera", {"save_projection": False}, "vera_A"),
        ("peft", "vera_seed", {"save_projection": True}, 'lacks tensor "vera_A"'),
        ("adapters", "houlsby", {"reduction_factor": 0}, "one number above 0"),
        ("adapters", "houlsby", {"reduction_factor": {"1": 3}}, "one number above 0"),
        ("adapters", "houlsby", {"reduction_factor": 2}, "must be"),
        ("adapters", "houlsby", {"non_linearity": "mish"}, 'unknown activation "mish"'),
        ("adapters", "houlsby", {"ln_before": True}, '"ln_before" = True'),
        ("adapters", "houlsby", {"inv_adapter": "nice"}, "'nice' has no counterpart"),
        ("adapters", "houlsby", {"scaling": 2.0}, '"scaling" = 2.0'),
        ("adapters", "houlsby", {"leave_out": [9]}, "must list layers"),
        ("adapters", "houlsby", {"leave_out": [1]}, "unexpected tensor"),
        ("adapters", "houlsby", {"mh_adapter": False, "output_adapter": False}, "at no site"),
        ("adapters", "lora", {"attn_matrices": ["q", "x"]}, "must list q, k or v"),
        ("adapters", "lora", {"use_dora": True}, '"use_dora" = True'),
        ("adapters", "lora", {"composition_mode": "scale"}, "has no counterpart"),
        ("adapters", "lora", {"architecture": "vera"}, "'architecture': 'vera'"),
    ],
)  # fmt: skip
def test_wrong_settings(copied, peer, which, config, message):
    refuses(fresh(), edit(copied(peer, which), **config), message)


def test_another_model(copied):
    wide = Adapters(tiny_bert(width=12))
    refuses(wide, HERE / "peft" / "lora", "must be|does not fit")
    refuses(wide, HERE / "adapters" / "houlsby", "16 wide")
    refuses(Adapters(tiny.model("gpt2")), HERE / "peft" / "lora", "no site that such an adapter fits")
    refuses(Adapters(tiny.model("gpt2")), HERE / "adapters" / "houlsby", "names for gpt2 are not known")
    adapters = Adapters(tiny.model("gpt2"))
    adapters.add("a", methods.BottleneckConfig(size=2))
    with pytest.raises(UserError, match="names for gpt2 are not known"):
        adapters.export("a", HERE / "never", "adapterhub")


@pytest.mark.parametrize("pooling", ["model", "own"])
@pytest.mark.parametrize("case", ["roberta", "distilbert", "electra", "deberta-v2", "mpnet", "albert", "bart", "vit"])
def test_a_head_of_several_maps(case, pooling, tmp_path):
    """PEFT gets every map whole, also where another seed made the model's own; a frozen part of them stays frozen."""
    first, second = (Adapters(tiny.model(case, seed)) for seed in (0, 0))
    first.add("a", methods.LoRAConfig(rank=2), head=("x", "y", "z"), pooling=pooling)
    for p in first["a"].parameters():
        p.data.add_(0.1)
    folder, batch = first.export("a", tmp_path / "a", "peft"), tiny.inputs(first.model)
    for site in second.sites.values():  # what the reader's seed made of the maps that are not in the checkpoint
        if site.kind == "head_map" and site.missing:
            second.model.get_submodule(site.module).weight.data.normal_()
    second.adopt(folder, "b")
    assert second["b"].info.head == first["a"].info.head if pooling == "model" else len(second["b"].info.head.sites)
    outputs = []
    for adapters, name in ((first, "a"), (second, "b")):
        with torch.no_grad(), adapters.use(name):
            outputs.append(adapters.model(**batch).logits)
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    second.adopt(folder, "c", head=False)
    assert second["c"].info.head is None


def test_heads_that_a_format_cannot_hold(tmp_path, copied):
    adapters = fresh()
    for pooling in ("mean", "last", "first"):
        adapters.add(pooling, methods.LoRAConfig(rank=2), head=("x", "y"), pooling=pooling)
        with pytest.raises(UserError, match=f"takes the {pooling} of the encoder's states.*export"):
            adapters.export(pooling, tmp_path / pooling, "peft")
        if pooling != "first":
            with pytest.raises(UserError, match=f"takes the {pooling} of the encoder's states.*export"):
                adapters.export(pooling, tmp_path / pooling, "adapterhub")
        for form in ("peft", "adapterhub"):
            folder = adapters.export(pooling, tmp_path / f"{pooling} {form}", form, head=False)
            name = adapters.adopt(folder, f"{pooling}, {form}")
            assert adapters[name].info.recipe == adapters[pooling].info.methods
    gpt2 = Adapters(tiny.model("gpt2"))
    gpt2.add("a", methods.LoRAConfig(rank=2, sites="attention_dense"), head=("x", "y"))
    gpt2.export("a", tmp_path / "no bias yet", "peft")
    gpt2["a"].at["head"][0].linear.bias.data.fill_(1)
    with pytest.raises(UserError, match='"score" has no bias for what it adds'):
        gpt2.export("a", tmp_path / "a", "peft")
    folder = edit(copied("peft", "roberta_lora"), lambda t: {k: v for k, v in t.items() if "dense.weight" not in k})
    refuses(fresh("roberta"), folder, 'lacks "classifier.dense.weight", a part of its head')
    folder = edit(copied("peft", "own_pooler"), lambda t: t | {"base_model.model.classifier.extra": torch.ones(2)})
    refuses(fresh(), folder, '"classifier.extra" was trained along with the head')
    refuses(fresh("roberta"), HERE / "adapters" / "first_head", "was trained on a bert")


@pytest.mark.parametrize(
    "recipe", [methods.PromptTuningConfig(length=2), methods.PrefixTuningConfig(length=2, counted=True)]
)
def test_the_class_that_reads_added_positions(recipe, tmp_path):
    """PEFT's class for a task wants the task's head in the file, and raises without it."""
    adapters = fresh()
    adapters.add("a", recipe, head=("bad", "fair", "good"))
    for head, kind in ((True, "SEQ_CLS"), (False, "FEATURE_EXTRACTION")):
        folder = adapters.export("a", tmp_path / kind, "peft", head=head)
        assert json.loads((folder / "adapter_config.json").read_text())["task_type"] == kind


LOADS = {
    ("peft", "lora", True): ("AutoModelForSequenceClassification", 'from_pretrained("base", num_labels=3)', "0 bad, 1 fair"),
    ("peft", "lora", False): ("AutoModelForSequenceClassification", 'from_pretrained("base")', "no head"),
    ("adapterhub", "pfeiffer", True): ("AutoAdapterModel", "use_safetensors=True", "0 bad, 1 fair"),
    ("adapterhub", "both", True): ("AutoAdapterModel", "load_adapter_fusion", "with_head=True"),
}  # fmt: skip


@pytest.mark.parametrize(("form", "name", "head"), LOADS)
def test_the_readme_says_how_to_load_it(form, name, head, tmp_path):
    text = (adapted(form).export(name, tmp_path / "a", form, head=head) / "README.md").read_text()
    assert all(part in text for part in LOADS[form, name, head])
    code = text.split("```python")[1].split("```")[0]
    compile(code, "README.md", "exec")
    assert "torch." not in code or "import torch" in code


CLASSES = ("BertModel", "BertForSequenceClassification", "BertForQuestionAnswering", "BertForMaskedLM")


@pytest.mark.parametrize("theirs", CLASSES[:3])
@pytest.mark.parametrize("ours", CLASSES)
def test_another_class_of_the_same_base(ours, theirs, tmp_path):
    """In every format an adapter goes onto every class; a head that does not fit is named, and can be left out."""
    writer, reader = (Adapters(getattr(T, kind).from_pretrained(HERE / "base")) for kind in (theirs, ours))
    head = None if theirs == "BertModel" else ("start", "end")
    scramble(writer.add("a", methods.LoRAConfig(rank=2), head=head, seed=0).parameters())
    for form in ("adapterlab", "peft", "adapterhub"):
        if form == "adapterhub" and theirs == "BertForQuestionAnswering":
            continue  # its head is none that classifies
        folder, fits = share.write(writer, "a", tmp_path / form, form), head is None or ours == theirs
        if not fits:
            with pytest.raises(UserError, match="head.*say head=False"):
                share.read(reader, folder, "b")
        name = share.read(reader, folder, form, head=fits)
        state = reader[name].state_dict()
        assert same_state(state, {key: writer["a"].state_dict()[key] for key in state})
        assert [site for site in state if not site.startswith("head")] and (reader[name].info.head is None) != (
            fits and head is not None
        )


def test_files(tmp_path, copied):
    adapters = fresh()
    refuses(adapters, tmp_path / "nothing", "neither PEFT's nor AdapterHub's")
    folder = copied("peft", "lora")
    data = (folder / "adapter_model.safetensors").read_bytes()
    for damaged in (data[:-100], b"", b"\xff" * 40, data[:8]):
        (folder / "adapter_model.safetensors").write_bytes(damaged)
        refuses(adapters, folder, "not a safetensors file")
    (folder / "adapter_model.safetensors").unlink()
    refuses(adapters, folder, "lacks adapter_model.safetensors")
    for text in ("{", "[1]", " " * 1_000_001, "[" * 100_000):
        (folder / "adapter_config.json").write_text(text)
        refuses(adapters, folder, "readable JSON|one JSON object|larger than")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_is_read_only_when_asked_and_never_run(copied, tmp_path):
    adapters, folder = fresh(), HERE / "adapters" / "prefix"
    assert (folder / "pytorch_adapter.bin").is_file()
    refuses(adapters, folder, "is a pickle, which can run code")
    folder = copied("adapters", "prefix")
    for bad in (Bomb(tmp_path / "ran"), {"a": Bomb(tmp_path / "ran")}, [1, 2], {"a": 3}, {1: torch.zeros(1)}):
        torch.save(bad, folder / "pytorch_adapter.bin")
        refuses(adapters, folder, "does not hold tensors", pickle=True)
    (folder / "pytorch_adapter.bin").write_bytes(b"nonsense")
    refuses(adapters, folder, "does not hold tensors", pickle=True)
    assert not (tmp_path / "ran").exists()


def test_the_formats_need_no_peer():
    assert "peft" not in sys.modules and "adapters" not in sys.modules and inputs()["input_ids"].shape == (3, 9)
