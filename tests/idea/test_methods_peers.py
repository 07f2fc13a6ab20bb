"""The same weights as PEFT and `adapters`: the same logits, the same counts. Replayed from what make_methods.py recorded."""

import json
import re

import pytest
import torch
from here import FIXTURES
from safetensors.torch import load_file
from transformers import BertConfig, BertForSequenceClassification

from adapterlab import methods
from adapterlab.adapters import Adapters

PEERS = FIXTURES / "peers"
ALL = ("query", "key", "value", "attention_dense", "inner", "outer")

# case -> (our recipe, a method's name among our parameters)
PEFT = {
    "lora": methods.LoRAConfig(rank=4, alpha=8),
    "lora, stabilised": methods.LoRAConfig(rank=4, alpha=8, stabilised=True),
    "lora, all": methods.LoRAConfig(rank=2, alpha=8, sites=ALL),
    "dora": methods.DoRAConfig(rank=4, alpha=8),
    "pissa": methods.LoRAConfig(rank=4, alpha=8, start="pissa"),
    "olora": methods.LoRAConfig(rank=4, alpha=8, start="olora", sites=("query", "inner")),
    "shira": methods.SHiRAConfig(rank=4, seed=3),
    "oft": methods.OFTConfig(size=8, sites=("query", "inner")),
    "vera": methods.VeRAConfig(rank=6, seed=3),
    "vera, wide and narrow": methods.VeRAConfig(rank=6, seed=3, sites=("query", "inner", "outer")),
    "ia3": methods.IA3Config(),
    "ia3, inner": methods.IA3Config(sites=("key", "value", "inner")),
    "layernorm": methods.LayerNormConfig(),
    "prompt": methods.PromptTuningConfig(length=5),
}
HUB = {
    "houlsby": methods.BottleneckConfig(size=6, act="swish"),
    "pfeiffer": methods.PfeifferConfig(size=6),
    "parallel": methods.ParallelConfig(size=6, scale=1.0),
    "parallel, scaled": methods.ParallelConfig(size=6),
    "compacter": methods.CompacterConfig(size=8),
    "compacter++": methods.CompacterConfig(size=8, rank=2, sites=("feedforward",)),
    "loreft": methods.LoReFTConfig(rank=2, first=3),
    "prefix": methods.PrefixTuningConfig(length=5, hidden=7),
    "prefix, flat": methods.PrefixTuningConfig(length=5, hidden=0),
    "invertible": (methods.PfeifferConfig(size=6), methods.InvertibleConfig()),
    "lora": methods.LoRAConfig(rank=4, alpha=8),
    "ia3": methods.IA3Config(sites=("key", "value", "inner")),
}

# a peer's module -> our site
SITES = [
    (r"^base_model\.model\.", ""),
    (r"^bert\.embeddings\.LayerNorm", "norm.0"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm", r"layers.\1.norm.0"),
    (r"encoder\.layer\.(\d+)\.output\.LayerNorm", r"layers.\1.norm.1"),
    (r"encoder\.layer\.(\d+)\.attention\.self\.(query|key|value)", r"layers.\1.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense", r"layers.\1.attention_dense"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.ia3_l", r"layers.\1.hidden.ia3_l"),
    (r"encoder\.layer\.(\d+)\.output\.dense", r"layers.\1.outer"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense", r"layers.\1.inner"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.adapters", r"layers.\1.attention.adapters"),
    (r"encoder\.layer\.(\d+)\.output\.adapters", r"layers.\1.feedforward.adapters"),
    (r"encoder\.layer\.(\d+)\.reft_layer\.refts\.a\.units\.0", r"layers.\1.block.loreft"),
    (r"^bert\.", ""),
]
# what its parameters are called -> what ours are called; METHOD stands for the method's name
NAMES = [
    (r"lora_(A|B)\.weight$", r"METHOD.\1"),
    (r"lora_(A|B)\.weight\.first$", r"METHOD.\g<1>0"),
    (r"shira_weight$", "METHOD.values"),
    (r"oft_R\.weight$", "METHOD.upper"),
    (r"lora_magnitude_vector$", "METHOD.magnitude"),
    (r"vera_lambda_(b|d)$", r"METHOD.\1"),
    (r"ia3_l$", "METHOD.scale"),
    (r"ln_tuning_layers\.weight$", "METHOD.scale"),
    (r"ln_tuning_layers\.bias$", "METHOD.shift"),
    (r"^prompt_embeddings$", "prompt.METHOD.prompt"),
    (r"adapters\.a\.adapter_down\.0\.(weight|bias)$", r"METHOD.down.\1"),
    (r"adapters\.a\.adapter_up\.(weight|bias)$", r"METHOD.up.\1"),
    (r"adapters\.a\.adapter_(down|up)(\.0)?\.W_left$", r"METHOD.\1.s"),
    (r"adapters\.a\.adapter_(down|up)(\.0)?\.W_right$", r"METHOD.\1.t"),
    (r"adapters\.a\.adapter_(down|up)(\.0)?\.b$", r"METHOD.\1.bias"),
    (r"^shared_parameters\.a\.phm_rule$", "common.METHOD.rule"),
    (r"loreft\.learned_source\.", "loreft.source."),
    (r"loreft\.R$", "loreft.raw"),
    (r".*self_prefix\.wte\.weight$", "common.METHOD.layers_memory.tokens"),
    (r".*self_prefix\.control_trans\.0\.", "common.METHOD.layers_memory.down."),
    (r".*self_prefix\.control_trans\.2\.", "common.METHOD.layers_memory.up."),
    (r"loras\.a\.lora_A$", "METHOD.A"),
    (r"^invertible_adapters\.a\.", "common.invertible."),
]


def theirs(peer, case):
    """(tensors, logits, count) that the peer had."""
    packed = load_file(PEERS / f"methods_{peer}.safetensors")
    tensors = {k.split("/", 1)[1]: v for k, v in packed.items() if k.startswith(case + "/")}
    record = json.loads((PEERS / f"methods_{peer}.json").read_text())
    return tensors, tensors.pop("logits"), record["cases"][case]["parameters"]


def base():
    sizes = json.loads((PEERS / "methods_peft.json").read_text())["sizes"]
    model = BertForSequenceClassification(BertConfig(**sizes))
    model.load_state_dict(load_file(PEERS / "methods_base.safetensors"))
    return model.eval()


def inputs():
    ids = torch.randint(3, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 6:], mask[2, 4:] = 0, 0
    return {"input_ids": ids, "attention_mask": mask}


def rename(name, method):
    for pattern, new in SITES + NAMES:
        name = re.sub(pattern, new, name)
    return name.replace("METHOD", method)


def translated(tensors, method, model):
    """The peer's tensors under our names and in our shapes."""
    ours = {}
    for name, tensor in tensors.items():
        new = rename(name, method)
        if name.endswith("control_trans"):  # (length, layers * 2, width), flat
            layers = tensor.view(5, 2, -1)
            ours |= {f"layers.{i}.memory.{method}.own": layers[:, i] for i in range(2)}
        elif name.endswith(".R"):
            ours[new] = tensor.T
        elif name.endswith(("vera_A", "vera_B", "original", "shira_indices")):
            continue
        elif name.endswith("loras.a.lora_B"):
            ours[
                rename(name[: -len("loras.a.lora_B")], method) + f"{method}.{'B' if method == 'lora' else 'scale'}"
            ] = tensor if method == "lora" else tensor.flatten()
        elif "ln_tuning" in name:
            ours[new] = tensor
        else:
            ours[new] = tensor.flatten() if new.endswith("ia3.scale") else tensor
    if method == "layernorm":  # PEFT trains w' and b' themselves; ours are w'/w and b' - b w'/w
        for name in [n for n in ours if n.endswith("scale")]:
            site = Adapters(model).sites[name.rsplit(".", 2)[0]]
            delattr(model, "adapterlab")
            norm, shift = model.get_submodule(site.module), name.replace("scale", "shift")
            ours[name] = ours[name] / norm.weight.data
            ours[shift] = ours[shift] - norm.bias.data * ours[name]
    return ours


@pytest.mark.parametrize(("peer", "case"), [("peft", case) for case in PEFT] + [("adapters", case) for case in HUB])
def test_same_as_the_peer(peer, case):
    tensors, logits, count = theirs(peer, case)
    recipe = (PEFT if peer == "peft" else HUB)[case]
    first = recipe[0] if isinstance(recipe, tuple) else recipe
    model = base()
    with torch.no_grad():
        bare = model(**inputs()).logits
    ours = translated(tensors, first.name, model)
    adapters = Adapters(model)
    adapter = adapters.add("a", recipe)
    adapter.load_state_dict({k: v.clone() for k, v in ours.items()})
    adapters.activate("a")
    with torch.no_grad():
        got = model(**inputs()).logits
    assert (logits - bare).abs().max() > 1e-2
    torch.testing.assert_close(got, logits, rtol=1e-5, atol=1e-5)
    assert adapters.count("a") == count


def test_the_recorded_settings_are_ours():
    """The versions are on record, and every recorded case is compared."""
    for peer, cases in (("peft", PEFT), ("adapters", HUB)):
        record = json.loads((PEERS / f"methods_{peer}.json").read_text())
        assert set(record["versions"]) == {peer, "torch", "transformers"}
        assert set(record["cases"]) == set(cases)


@pytest.mark.parametrize("case", ["pissa", "olora"])
def test_the_start_is_pefts(case):
    """What is trained starts as PEFT's does; an SVD is free in the sign of each component, so B A is compared."""
    tensors, config = theirs("peft", case)[0], PEFT[case]
    for site, modules in Adapters(base()).add("a", config).at.items():
        lora, name = modules[0], next(k for k in tensors if rename(k, "lora") == f"{site}.lora.A0")
        A, B = tensors[name], tensors[name.replace("lora_A", "lora_B")]
        torch.testing.assert_close(lora.B @ lora.A, B @ A, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(lora.A.norm(dim=1), A.norm(dim=1), rtol=1e-5, atol=1e-5)


def test_random_entries_are_pefts():
    """SHiRA's mask out of the seed alone: PEFT stores (row, column) of each value."""
    tensors = theirs("peft", "shira")[0]
    for site, (shira,) in Adapters(base()).add("a", PEFT["shira"]).at.items():
        rows, columns = next(t for k, t in tensors.items() if rename(k, "") == f"{site}.shira_indices")
        assert torch.equal(shira.entries, rows.long() * shira.shape[1] + columns)


def test_random_projections_are_pefts():
    """VeRA's frozen matrices out of the seed alone: PEFT recorded its own in this case."""
    packed = load_file(PEERS / "methods_peft.safetensors")
    config = PEFT["vera, wide and narrow"]
    adapters = Adapters(base())
    shared = config.common(config.targets(adapters.sites))
    assert torch.equal(shared.A, packed["vera, wide and narrow/base_model.vera_A"])
    assert torch.equal(shared.B, packed["vera, wide and narrow/base_model.vera_B"])
