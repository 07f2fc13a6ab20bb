"""Methods against independent references: plain torch, the model's own interfaces, and what each paper says of it."""

import copy
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest
import tiny
import torch
from by_hand import BY_HAND, by_hand
from recipes import EVERY
from refused import refused
from tiny_bert import hooks, logits, ready, shake, tiny_bert, tokens
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertForMaskedLM, BertModel, DynamicCache, T5Config, T5ForConditionalGeneration

from adapterlab import methods
from adapterlab.adapters import Adapters
from adapterlab.compose import BatchSplit, Parallel, Stack
from adapterlab.errors import UserError

KADAPTER = methods.KAdapterConfig(size=6, heads=2, inner=8)
RECIPES = {**EVERY, "unipelt": methods.unipelt(2, 3, 3, 4)}


@pytest.fixture
def model():
    return tiny_bert()


# ---- modules by hand


@pytest.mark.parametrize("method", BY_HAND)
def test_logits_are_those_of_plain_modules_in_the_model(method, model):
    """And as many parameters are trained, with the same gradients. The prompt's and K-Adapter's masks, BERT's biases,
    (IA)^3's place: all by hand."""
    model.set_attn_implementation("sdpa")
    recipe = replace(EVERY[method], first=2) if method == "loreft" else EVERY[method]
    adapters = ready(copy.deepcopy(model), recipe)
    hand = by_hand(method, model, adapters, "a")
    got = logits(adapters.model)
    torch.testing.assert_close(logits(hand), got, rtol=1e-4, atol=1e-4)
    assert (got - logits(model)).abs().max() > 0.02
    trained = [p for p in hand.parameters() if p.requires_grad], adapters.train("a")
    assert sum(p.numel() for p in trained[0]) == adapters.count("a")
    if method in ("bitfit", "layernorm"):  # by hand the sum or the product is trained, not the change alone
        return
    gradients = []
    for one, parameters in zip((hand, adapters.model), trained, strict=True):
        one(**tokens()).logits.square().sum().backward()
        gradients.append(sorted(p.grad.norm().item() for p in parameters))
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-3) and gradients[0][0] > 0


def test_lora_scales():
    x, y = torch.randn(2, 3, 6), torch.randn(2, 3, 5)
    for config, scale in (
        (methods.LoRAConfig(rank=4, alpha=8), 2.0),
        (methods.LoRAConfig(rank=4, alpha=8, stabilised=True), 4.0),
        (methods.LoRAConfig(rank=3, alpha=3), 1.0),
        (methods.LoRAConfig(rank=5), 2.0),
        (methods.DoRAConfig(rank=4, stabilised=True), 4.0),
    ):
        assert config.scale == pytest.approx(scale)
        lora = methods.LoRA(6, 5, config.rank, config.scale)
        assert torch.equal(lora(x, y), y)
        nn.init.normal_(lora.B)
        torch.testing.assert_close(lora(x, y), y + scale * (x @ lora.A.T) @ lora.B.T)
    assert methods.LoRAConfig(rank=5).to_dict()["alpha"] == 10 and methods.LoRAConfig(rank=5, alpha=0).scale == 0


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_a_start_from_the_frozen_matrix(start, model):
    """The frozen W is what it was; with W - s B0 A0 in its place, as in the papers, B A gets the same gradients."""
    W = model.bert.encoder.layer[0].attention.self.query.weight
    before, x, target = W.detach().clone(), torch.randn(4, 16), torch.randn(4, 16)
    lora = ready(model, methods.LoRAConfig(rank=3, alpha=6, start=start, sites="layers.0.query"))["a"].at[
        "layers.0.query"
    ][0]
    assert torch.equal(W, before)
    low = 2 * lora.B0 @ lora.A0
    if start == "pissa":  # what is left has the other singular values
        left = torch.linalg.svdvals(W - low)[: 16 - 3]
        torch.testing.assert_close(left, torch.linalg.svdvals(W)[3:], rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(lora.B0.T @ lora.B0, torch.eye(3), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close((low / 2)[:, :3], W[:, :3], rtol=1e-4, atol=1e-5)
    A, B = (p.detach().clone().requires_grad_() for p in (lora.A, lora.B))
    F.mse_loss(F.linear(x, W.detach() - low + 2 * B @ A), target).backward()
    F.mse_loss(lora(x, F.linear(x, W.detach())), target).backward()
    for ours, plain in ((lora.A, A), (lora.B, B)):
        torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-4, atol=1e-5)


def test_oft_turns_and_keeps_lengths(model):
    """R R^T = I, so W's singular values stay; and a rotation of nothing but two axes, by hand."""
    adapters = ready(model, methods.OFTConfig(size=4, sites="layers.0.query"))
    W, oft = model.bert.encoder.layer[0].attention.self.query.weight.detach(), adapters["a"].at["layers.0.query"][0]
    x = torch.randn(5, 16)
    torch.testing.assert_close(oft.turned(x).norm(dim=1), x.norm(dim=1))
    turned = oft.merged(W, None)[0].detach()
    assert (turned - W).abs().max() > 0.1
    torch.testing.assert_close(torch.linalg.svdvals(turned), torch.linalg.svdvals(W), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        oft.upper.zero_()[0, 0] = 1.0  # Q = [[0, 1], [-1, 0]]: a quarter turn of the first two
    torch.testing.assert_close(oft.turned(x)[:, :3], torch.stack([x[:, 1], -x[:, 0], x[:, 2]], 1))


def test_lora_drops_x_in_training_only():
    lora = methods.LoRA(64, 5, 4, 1.0, dropout=0.5)
    nn.init.normal_(lora.B)
    x, y = torch.randn(2, 64), torch.zeros(2, 5)
    assert not torch.equal(lora.train()(x, y), lora(x, y)) and torch.equal(lora.eval()(x, y), lora(x, y))


def test_dora_norms_carry_no_gradient(model):
    """Section 4.3: the gradient of A is that of the fraction with its denominator held fixed."""
    adapters = ready(model, methods.DoRAConfig(rank=2, sites="layers.0.query"))
    dora = adapters["a"].at["layers.0.query"][0]
    W = model.bert.encoder.layer[0].attention.self.query.weight.detach()
    x = torch.randn(4, 16)
    dora(x, F.linear(x, W, dora.frozen[0].bias)).square().sum().backward()
    A, B, m = (p.detach().clone().requires_grad_() for p in (dora.A, dora.B, dora.magnitude))
    V = W + dora.scale * B @ A
    bias = dora.frozen[0].bias.detach()
    (m * F.linear(x, V) / V.detach().norm(dim=1) + bias).square().sum().backward()
    for ours, plain in ((dora.A, A), (dora.B, B), (dora.magnitude, m)):
        torch.testing.assert_close(ours.grad, plain.grad, rtol=1e-4, atol=1e-4)


def test_loreft_edits_its_subspace_only():
    module = methods.LoReFT(16, 3, first=None)
    R, y = module.R.detach(), torch.randn(2, 5, 16)
    torch.testing.assert_close(R @ R.T, torch.eye(3), rtol=1e-5, atol=1e-5)
    out = module(None, y).detach()
    torch.testing.assert_close(out @ R.T, module.source(y).detach(), rtol=1e-4, atol=1e-5)
    rest = torch.eye(16) - R.T @ R
    torch.testing.assert_close(out @ rest, y @ rest, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        module.raw.copy_(R.T)
    torch.testing.assert_close(module.R, R, rtol=1e-5, atol=1e-6)


def test_loreft_leaves_the_later_tokens(model):
    adapters = ready(model, methods.LoReFTConfig(rank=2, first=3, layers=0))
    seen = {}
    handle = model.bert.encoder.layer[1].register_forward_pre_hook(lambda m, args: seen.update(h=args[0]))
    logits(model)
    edited = seen["h"]
    adapters.activate(None)
    logits(model)
    handle.remove()
    moved = (edited != seen["h"]).any(-1)
    assert moved[:, :3].all() and not moved[:, 3:].any()


def test_a_gate_scales_the_change():
    torch.manual_seed(0)
    gated = methods.Gated(methods.LoRA(6, 5, 2, 1.0), 6)
    nn.init.normal_(gated.method.B)
    x, y = torch.randn(2, 3, 6), torch.randn(2, 3, 5)
    g = torch.sigmoid(x @ gated.gate.linear.weight.T + gated.gate.linear.bias).mean(dim=1, keepdim=True)
    assert g.shape == (2, 1, 1)
    torch.testing.assert_close(gated(x, y), y + g * (x @ gated.method.A.T) @ gated.method.B.T)


def test_pfeiffer_without_a_norm_reads_y():
    """In a pre-norm model it is a bottleneck at the feed-forward."""
    model = tiny.model("llama")
    batch = tiny.inputs(model)
    adapters = ready(model, methods.PfeifferConfig(size=3, act="tanh"))
    got = tiny.output(model, batch)
    adapters.add("b", methods.BottleneckConfig(size=3, act="tanh", sites="feedforward"))
    adapters["b"].load_state_dict(
        {k.replace("pfeiffer", "bottleneck"): v for k, v in adapters["a"].state_dict().items()}
    )
    adapters.activate("b")
    assert torch.equal(got, tiny.output(model, batch))


@pytest.mark.parametrize("order", [("lora", "bottleneck"), ("bottleneck", "lora")])
def test_a_map_changes_before_its_sub_layer(order):
    """In BART both sites are fc2; LoRA belongs to its weights and comes first, whichever was added first."""
    model = tiny.model("bart")
    configs = {
        "lora": methods.LoRAConfig(rank=2, sites="decoder.0.outer"),
        "bottleneck": methods.BottleneckConfig(size=3, sites="decoder.0.feedforward"),
    }
    for name in order:
        adapters = ready(model, configs[name], name)
    adapters.activate(Stack(*order))
    fc2, seen = model.model.decoder.layers[0].fc2, {}
    handles = [
        fc2.register_forward_hook(lambda m, args, out: seen.update(x=args[0], new=out)),
        fc2.register_forward_hook(lambda m, args, out: seen.update(y=out), prepend=True),
    ]
    with torch.no_grad():
        tiny.output(model, tiny.inputs(model))
        (lora,), (bottleneck,) = (
            adapters["lora"].at["decoder.0.outer"],
            adapters["bottleneck"].at["decoder.0.feedforward"],
        )
        torch.testing.assert_close(seen["new"], bottleneck(None, lora(seen["x"], seen["y"])))
    for handle in handles:
        handle.remove()


# ---- prefix tuning


def test_a_pickled_prefix_works_elsewhere(model, tmp_path):
    """In a process that has registered nothing."""
    ready(model, methods.PrefixTuningConfig(length=2, hidden=0))
    want = logits(model)
    torch.save({"model": model, "want": want, "inputs": tokens()}, tmp_path / "whole.pt")
    code = (
        f"import torch; s = torch.load({str(tmp_path / 'whole.pt')!r}, weights_only=False); "
        "assert torch.equal(s['model'](**s['inputs']).logits, s['want'])"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_prefixes_add_up_in_a_stack(model):
    """Two prefixes in a stack are one prefix of both lengths; the order of the positions does not matter to attention."""
    adapters = ready(model, methods.PrefixTuningConfig(length=2, hidden=0), "a")
    ready(model, methods.PrefixTuningConfig(length=3, hidden=0), "b")
    adapters.add("both", methods.PrefixTuningConfig(length=5, hidden=0))
    for site in adapters["both"].at:
        own = [adapters[n].at[site][0].own.data for n in ("a", "b")]
        adapters["both"].at[site][0].own.data = torch.cat(own)
    adapters.activate(Stack("a", "b"))
    stacked = logits(model)
    adapters.activate("both")
    torch.testing.assert_close(logits(model), stacked, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", ["bert", "gpt2", "llama", "bart", "t5", "modernbert", "vit"])
def test_prefix_under_both_attention_functions(case):
    """eager and sdpa make their masks in different ways; so must the longer ones agree. Padding stays invisible."""
    model = tiny.model(case)
    batch = tiny.inputs(model)
    if "attention_mask" in batch:
        batch["attention_mask"][0, :2] = 0
    recipe, outputs = methods.PrefixTuningConfig(length=3, hidden=0), []
    for kind in ("eager", "sdpa"):
        model.set_attn_implementation(kind)
        adapters = ready(copy.deepcopy(model), recipe)
        outputs.append(tiny.output(adapters.model, batch))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4 * outputs[0].abs().max().item())
    assert (outputs[0] - tiny.output(model, batch)).abs().max() > 1e-3


@pytest.mark.parametrize("case", ["bert", "roberta", "electra", "gpt2", "opt", "llama", "bart", "distilbert"])
def test_a_counted_prefix_is_what_a_cache_holds(case):
    """The model itself, with the keys and values in its own cache: its text begins behind them, padded or not."""
    model = tiny.model(case)
    batch = tiny.inputs(model)
    batch["attention_mask"][0, 4:] = 0
    if case == "roberta":
        batch["input_ids"][0, 4:] = 1
    adapters = ready(model, methods.PromptTuningConfig(length=2), "prompt")  # its hooks stand by
    if case in ("bart", "distilbert"):
        with pytest.raises(UserError, match="takes no positions or no cache; say counted=False"):
            adapters.add("a", methods.PrefixTuningConfig(length=3, counted=True))
        assert list(adapters) == ["prompt"]
        return
    ready(model, methods.PrefixTuningConfig(length=3, hidden=4, counted=True, sites="memory"))
    with torch.no_grad():
        got = model.base_model(**batch).last_hidden_state
        cache = DynamicCache()
        for i, modules in enumerate(adapters["a"].at.values()):
            key, value = modules[0].prefix().chunk(2, dim=1)
            heads = key.shape[1] // (16 // model.config.num_attention_heads)
            cache.update(*(part.view(3, heads, -1).transpose(0, 1).expand(2, -1, -1, -1) for part in (key, value)), i)
        adapters.activate(None)
        batch["attention_mask"] = F.pad(batch["attention_mask"], (3, 0), value=1)
        want = model.base_model(**batch, past_key_values=cache).last_hidden_state
    real = batch["attention_mask"][:, 3:].bool()
    torch.testing.assert_close(got[real], want[real], rtol=1e-5, atol=1e-5)


def test_counted_prefixes_have_their_limits(model):
    adapters = ready(model, methods.PrefixTuningConfig(length=30, hidden=0, counted=True))
    with pytest.raises(UserError, match="30 positions and a text of 7 tokens .* 32 positions; cut the text to 2"):
        logits(model)
    adapters.add("b", methods.PrefixTuningConfig(length=2, hidden=0))
    with pytest.raises(UserError, match="cannot be in BatchSplit"):
        adapters.activate(BatchSplit("a", "b"))
    with pytest.raises(UserError, match="in every layer"):
        methods.PrefixTuningConfig(counted=True, layers=(1,))


def test_a_prefix_needs_a_known_attention_function(model):
    model.config._attn_implementation_internal = "flash_attention_2"
    adapters = Adapters(model)
    with pytest.raises(UserError, match='cannot be added to "flash_attention_2" attention; .*"sdpa" or "eager"'):
        adapters.add("a", methods.PrefixTuningConfig(length=2))
    assert len(adapters) == 0 and hooks(model) == 0


def test_the_config_is_back_after_a_prefix(model):
    configs = [m.config for m in model.modules() if hasattr(m, "config")]
    adapters = ready(model, methods.PrefixTuningConfig(length=2, hidden=0))
    adapters.delete("a")
    assert all(
        a is b for a, b in zip(configs, [m.config for m in model.modules() if hasattr(m, "config")], strict=True)
    )
    assert not any(hasattr(m, "_adapterlab_memory") for m in model.modules())


@pytest.mark.parametrize(
    "recipe",
    [
        methods.PrefixTuningConfig(length=3, hidden=0),
        methods.PromptTuningConfig(length=3),
        methods.LoReFTConfig(rank=2, first=2),
        methods.LoRAConfig(rank=2),
        methods.PfeifferConfig(size=3),
        methods.InvertibleConfig(),
    ],
    ids=lambda r: r.name,
)
@pytest.mark.parametrize("case", ["gpt2, generating", "llama", "t5, gated"])
@pytest.mark.parametrize("padded", [False, True], ids=["", "padded"])
def test_generating_with_a_cache_is_generating_without(case, recipe, padded):
    if case == "llama":
        from transformers import LlamaConfig, LlamaForCausalLM

        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**{**tiny.GROUPED, "max_position_embeddings": 64})).eval()
        model.requires_grad_(False).apply(lambda m: [p.normal_(0, 0.3) for p in m.parameters(False) if p.ndim > 1])
    else:
        model = tiny.model(case)
    batch = {k: v for k, v in tiny.inputs(model).items() if k in ("input_ids", "attention_mask")}
    if padded:
        batch["attention_mask"][0, :2] = 0
    with torch.no_grad():
        plain = model.generate(**batch, max_new_tokens=6, do_sample=False, min_new_tokens=6)
        adapters = ready(model, recipe, std=1.0)
        ways = [
            model.generate(
                **batch, max_new_tokens=6, do_sample=False, min_new_tokens=6, use_cache=cache,
                output_logits=True, return_dict_in_generate=True,
            )
            for cache in (True, False)
        ]  # fmt: skip
    assert torch.equal(ways[0].sequences, ways[1].sequences)
    torch.testing.assert_close(torch.stack(ways[0].logits), torch.stack(ways[1].logits), rtol=1e-3, atol=1e-3)
    adapters.activate(None)
    with torch.no_grad():
        assert torch.equal(model.generate(**batch, max_new_tokens=6, do_sample=False, min_new_tokens=6), plain)


COUNTING = {"loreft": methods.LoReFTConfig(rank=2), "prefix": methods.PrefixTuningConfig(length=3, hidden=0),
            "counted": methods.PrefixTuningConfig(length=3, hidden=0, counted=True),
            "prompt": methods.PromptTuningConfig(length=3), "two": (methods.LoReFTConfig(rank=2, first=4), methods.PromptTuningConfig(length=2)),
            "lora": methods.LoRAConfig(rank=2)}  # fmt: skip


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("recipe", COUNTING)
def test_padding_on_either_side_counts_for_nothing(recipe, side):
    """Positions are counted in tokens: a padded text is changed as by itself, in a setup that divides the rows, too."""
    model = tiny.model("gpt2, generating")
    for name in "ab":
        adapters = ready(model, COUNTING[recipe], name, std=0.5)
    ids, pad = tiny.inputs(model)["input_ids"], torch.zeros(2, 3, dtype=torch.long)
    at = slice(3, None) if side == "left" else slice(None, 6)
    parts = [(pad, ids), (torch.zeros_like(pad), torch.ones_like(ids))]
    padded, mask = (torch.cat(pair if side == "left" else pair[::-1], 1) for pair in parts)
    batch = {"input_ids": padded, "attention_mask": mask, "position_ids": (mask.cumsum(1) - 1).clamp(0)}
    parallel = () if recipe in ("prompt", "two") else (Parallel("a", "b"),)
    divided = (Stack("a", "b"),) if recipe == "counted" else (BatchSplit("b", "a"), *parallel)
    for setup in (None, "a", *divided):
        with torch.no_grad(), adapters.use(setup):
            outputs = model(input_ids=ids).logits, model(**batch).logits[:, at]
        torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-4)


# ---- prompt tuning


def test_prompt_keeps_the_texts_positions():
    model = tiny_bert(kind=BertModel)
    ready(model, methods.PromptTuningConfig(length=3))
    with torch.no_grad():
        assert model(**tokens()).last_hidden_state.shape[1] == 7


def test_prompt_starts_at_words():
    model = tiny_bert()
    adapters = Adapters(model)
    adapters.add("a", methods.PromptTuningConfig(length=5), seed=1)
    adapters.add("b", methods.PromptTuningConfig(length=5), seed=1)
    prompt, table_ = adapters["a"].at["prompt"][0].prompt, model.get_input_embeddings().weight
    assert all((row == table_).all(-1).any() for row in prompt)
    assert torch.equal(prompt, adapters["b"].at["prompt"][0].prompt)


def test_a_prompt_too_long(model):
    adapters = ready(model, methods.PromptTuningConfig(length=30))
    with pytest.raises(UserError, match="a prompt of 30 and a text of 7 tokens .* 32 positions; cut the text to 2"):
        logits(model)
    adapters.activate(None)
    logits(model)


# ---- MAD-X


def test_invertible_both_ends():
    """In a language model the coupling meets the stream at its entry, its inverse before the output embeddings."""
    model = tiny_bert(kind=BertForMaskedLM)
    adapters = ready(model, methods.InvertibleConfig())
    assert set(adapters["a"].at) == {"embedding", "unembedding"}
    (first,), (last,) = adapters["a"].at["embedding"], adapters["a"].at["unembedding"]
    y = torch.randn(2, 3, 16)
    torch.testing.assert_close(last(None, first(None, y)), y, rtol=1e-5, atol=1e-5)
    assert (first(None, y) - y).abs().max() > 0.1
    got = logits(model)
    adapters.activate(None)
    seen = {}
    handles = [
        model.bert.encoder.layer[0].register_forward_pre_hook(lambda m, args: (first(None, args[0]), *args[1:])),
        model.cls.predictions.decoder.register_forward_pre_hook(lambda m, args: (seen.setdefault("y", last(None, args[0])),)),
    ]  # fmt: skip
    torch.testing.assert_close(got, logits(model))
    for handle in handles:
        handle.remove()


def test_a_task_on_a_language():
    model = tiny_bert(kind=BertForMaskedLM)
    adapters = ready(model, methods.language(size=4), "swahili")
    ready(model, methods.PfeifferConfig(size=3), "task")
    outputs = []
    for setup in ("swahili", "task", Stack("swahili", "task")):
        adapters.activate(setup)
        outputs.append(logits(model))
    assert not any(torch.allclose(a, b, atol=1e-3) for a in outputs for b in outputs if a is not b)


# ---- AdapterDrop


def test_dropped_layers_are_as_if_they_had_no_adapter():
    model = tiny_bert(layers=4)
    bare = logits(model)
    adapters = ready(model, methods.BottleneckConfig(size=3))
    adapters.add("upper", methods.BottleneckConfig(size=3, layers=(2, 3)))
    own = adapters["a"].state_dict()
    adapters["upper"].load_state_dict({k: own[k] for k in adapters["upper"].state_dict()})
    full = logits(model)
    with methods.drop_layers(adapters, 2):
        dropped = logits(model)
    with adapters.use("upper"):
        assert torch.equal(dropped, logits(model))
    assert torch.equal(logits(model), full) and not torch.equal(full, dropped)
    with methods.drop_layers(adapters, 4):
        assert torch.equal(logits(model), bare)
    with pytest.raises(UserError, match="5 layers cannot be left out of this model's 4"):
        methods.drop_layers(adapters, 5).__enter__()


def test_robust_training_leaves_out_what_it_draws():
    """The gradient of a pass reaches the layers above the draw and no other; evaluation runs them all."""
    model = tiny_bert(layers=4)
    adapters = ready(model, methods.BottleneckConfig(size=3))
    adapters.train("a")
    full = logits(model)
    depths = []
    with methods.robust_training(adapters, most=3, seed=1):
        for _ in range(30):
            model.train().zero_grad()
            model(**tokens()).logits.sum().backward()
            reached = {int(n.split(".")[1]) for n, p in adapters["a"].named_parameters() if p.grad is not None}
            depths.append(min(reached))
            assert reached == set(range(min(reached), 4))
        assert torch.equal(logits(model.eval()), full)
    assert set(depths) == {0, 1, 2, 3} and adapters.here.skipped == frozenset() and hooks(model) == 2 * 8 + 4


# ---- K-Adapter


def test_kadapter_does_not_see_padding(model):
    """What stands at a masked place makes no difference to the others."""
    ready(model, KADAPTER)
    one, two = tokens(), tokens()
    two["input_ids"][-1, -2:] = 7
    with torch.no_grad():
        torch.testing.assert_close(model(**one).logits, model(**two).logits)


def test_two_kadapters_read_the_same_frozen_states(model):
    """Trained apart, used together: with fusion "linear" the two changes add up, whatever their order."""
    recipe = methods.KAdapterConfig(size=6, heads=2, inner=8, fusion="linear")
    adapters = ready(model, recipe, "facts")
    ready(model, replace(recipe, size=4), "grammar")
    seen = []
    handle = model.bert.pooler.register_forward_pre_hook(lambda m, args: seen.append(args[0].detach()))
    for setup in (None, "facts", "grammar", Stack("facts", "grammar"), Stack("grammar", "facts")):
        adapters.activate(setup)
        logits(model)
    handle.remove()
    bare, facts, grammar, both, turned = seen
    assert (facts - bare).abs().max() > 0.1 and (grammar - bare).abs().max() > 0.1
    torch.testing.assert_close(both - bare, (facts - bare) + (grammar - bare), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(both, turned, rtol=1e-5, atol=1e-5)


def test_kadapter_in_passes_of_every_kind(model):
    """The base model called by itself is a pass, too; a layer called by itself is none."""
    ready(model, KADAPTER)
    one, two = tokens(), tokens(seed=3)
    with torch.no_grad():
        want = model.bert(**one).last_hidden_state
        model.bert(**two)
        model(**two)
        assert torch.equal(model.bert(**one).last_hidden_state, want)
        with pytest.raises(UserError, match="kadapter: a layer ran outside a pass of the model"):
            model.bert.encoder.layer[0](want)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_copy_has_adapters_of_its_own(recipe):
    """A deep copy and an unpickled model compute what the original does, and nothing of theirs reaches it."""
    model = tiny_bert()
    adapters = ready(model, RECIPES[recipe])
    want = logits(model)
    copied = copy.deepcopy(model)
    adapters.delete("a")
    for module in adapters.model.modules():
        module.train()
    assert torch.equal(logits(copied), want)
    assert torch.equal(logits(pickle.loads(pickle.dumps(copied))), want)


def test_kadapter_refuses_a_mask_of_another_length():
    """Speech comes with a mask of samples, and the layers see frames."""
    model = tiny.model("wav2vec2")
    batch = tiny.inputs(model)
    ready(model, methods.KAdapterConfig(size=4, heads=2, inner=8))
    with pytest.raises(UserError, match=r"an attention mask of shape \(2, 200\) does not fit \(2, 49\) positions"):
        model(**batch, attention_mask=torch.ones(2, 200, dtype=torch.long))


# ---- combinations


def test_recipes():
    assert [c.name for c in methods.mix_and_match(8, 4)] == ["prefix_tuning", "parallel"]
    assert [c.name for c in methods.unipelt(2, 3, 4)] == ["lora", "prefix_tuning", "pfeiffer"] and all(
        c.gated for c in methods.unipelt()
    )
    assert [c.name for c in methods.language(8)] == ["pfeiffer", "invertible"]


def test_known_counts():
    """MiniLM-sized BERT on the meta device against the papers' formulas, written out."""
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    with torch.device("meta"):
        model = BertModel(config)
        sites = Adapters(model).sites
    d, n, f = 384, 6, 1536
    for method, want in {
        methods.LoRAConfig(rank=8): n * 2 * 8 * 2 * d,
        methods.DoRAConfig(rank=8): n * 2 * (8 * 2 * d + d),
        methods.SHiRAConfig(rank=8): n * 2 * 8 * 2 * d,
        methods.OFTConfig(size=32): n * 2 * 12 * 32 * 31 // 2,
        methods.VeRAConfig(rank=256): n * 2 * (256 + d),
        methods.IA3Config(): n * (2 * d + f),
        methods.BitFitConfig(): n * (4 * d + f + d + 2 * d) + d,
        methods.ParallelConfig(size=64): n * (2 * 64 * d + 64 + d),
        methods.PfeifferConfig(size=24): n * (2 * 24 * d + 24 + d),
        methods.CompacterConfig(size=12, n=4): n * 2 * (2 * (d + 12) + d + 12) + 64,
        methods.LoReFTConfig(rank=4): n * (2 * 4 * d + 4),
        methods.PrefixTuningConfig(length=30, hidden=512): 2_572_544,  # as many numbers as adapters 1.3.0 stores
        methods.PrefixTuningConfig(length=30, hidden=0): 30 * n * 2 * d,
        methods.PromptTuningConfig(length=20): 20 * d,
        methods.InvertibleConfig(): 2 * (192 * 96 * 2 + 96 + 192),
    }.items():
        assert method.total(sites) == want, method.name


# ---- the table for the lesson


def test_every_method_says_what_it_is():
    for name, cls in methods.METHODS.items():
        assert cls.formula and cls.parameters, name
        # fusion sits where the adapters sit that it attends over, a head where its model's head is
        assert cls.sites or name in ("fusion", "head"), name
        assert cls.paper or name == "head", name
        assert cls.blocks <= {"Stack", "Fuse", "Split", "BatchSplit", "Parallel", "Average"} and "Stack" in cls.blocks
        assert bool(cls.refusal) == (len(cls.blocks) < 6), name
    merging = {name for name, cls in methods.METHODS.items() if cls.merges}
    assert merging == {"lora", "dora", "vera", "shira", "oft", "ia3", "bitfit", "layernorm", "head"}


COUNTED = {**EVERY, "one map": methods.VariantConfig(size=3), "direct": methods.PrefixTuningConfig(length=3, hidden=0),
           "fusion": methods.FusionConfig(of=("b",), sites=("attention",)), "head": methods.HeadConfig()}  # fmt: skip


PYTHON = str.maketrans({"·": "*", "²": "**2", "³": "**3", "−": "-", "⌊": "(", "⌋": ")", "/": "//"})


@pytest.mark.parametrize("recipe", COUNTED.values(), ids=COUNTED)
def test_the_printed_formula_counts(recipe, model):
    """`parameters` with a config's numbers is what its modules have, at a site and once for what the sites share."""
    sites = recipe.targets(Adapters(model).sites)
    letters = dict(m="size", r="rank", h="hidden", i="inner", L="length", n="n", depth="depth", labels="labels")
    numbers = {letter: getattr(recipe, name, 0) for letter, name in letters.items()} | {"layers": len(sites)}
    numbers["labels"] = len(numbers["labels"] or ())
    text = recipe.parameters.split(", or ")[bool(numbers["h"])]  # a prefix by itself, or out of its network
    text = text.replace(", with a norm", "") if getattr(recipe, "norm", None) else text.split(", with")[0]
    each, _, once = text.removesuffix(" once").rpartition(", and ") if text.endswith(" once") else (text, "", "0")
    assert recipe.count_common(sites) == eval(once.translate(PYTHON), {"d": sites[0].width, **numbers})
    for site in sites:
        formula = (each or "0").translate(PYTHON)
        assert recipe.count(site) == eval(formula, {"d": site.width, "d_in": site.source_width, **numbers})


# ---- bad input: one sentence, nothing built


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: methods.LoRAConfig(rank=0), "lora: rank must be a whole number of at least 1, not 0"),
        (lambda: methods.DoRAConfig(rank=-1), "dora: rank must be"),
        (lambda: methods.VeRAConfig(rank=2.0), "vera: rank must be"),
        (lambda: methods.LoRAConfig(alpha=-1), "lora: alpha must lie between 0 and inf, not -1"),
        (lambda: methods.LoRAConfig(dropout=1), "lora: dropout must lie between 0 and 1, not 1"),
        (lambda: methods.DoRAConfig(gated=True), "there is no gated DoRA"),
        (lambda: methods.LoRAConfig(start="pisa"), 'lora: unknown start "pisa"; did you mean "pissa"'),
        (lambda: methods.LoRAConfig(start="olora", gated=True), 'lora: start="olora" is for a LoRA without a gate'),
        (lambda: methods.DoRAConfig(start="pissa"), 'dora: start="pissa" is for a LoRA without a gate'),
        (lambda: methods.OFTConfig(size=1), "oft: size must be at least 2"),
        (lambda: methods.ParallelConfig(size=0), "parallel: size must be"),
        (lambda: methods.ParallelConfig(act="rely"), 'parallel: unknown activation "rely"; did you mean "relu"'),
        (lambda: methods.ParallelConfig(scale=float("nan")), "parallel: scale must lie"),
        (lambda: methods.PfeifferConfig(size=True), "pfeiffer: size must be"),
        (lambda: methods.CompacterConfig(size=6, n=4), "compacter: size 6 must be a multiple of n=4"),
        (lambda: methods.CompacterConfig(rank=0), "compacter: rank must be"),
        (lambda: methods.LoReFTConfig(rank=0), "loreft: rank must be"),
        (lambda: methods.LoReFTConfig(first=0), "loreft: first must be"),
        (lambda: methods.PrefixTuningConfig(length=0), "prefix_tuning: length must be"),
        (lambda: methods.PrefixTuningConfig(hidden=-1), "prefix_tuning: hidden must be"),
        (lambda: methods.PromptTuningConfig(length=0), "prompt_tuning: length must be"),
        (lambda: methods.PromptTuningConfig(start="vocab"), 'unknown start "vocab".*known: vocabulary, normal'),
        (lambda: methods.KAdapterConfig(size=6, heads=4), "kadapter: size 6 must be a multiple of heads=4"),
        (lambda: methods.KAdapterConfig(fusion="sum"), 'kadapter: unknown fusion "sum"'),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(UserError, match=message) as info:
        make()
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (methods.LoRAConfig(rank=17), r"lora: rank 17 is wider than the site it goes to \(16\)"),
        (methods.LoReFTConfig(rank=17), "loreft: rank 17 is wider"),
        (methods.OFTConfig(size=5), 'oft: size 5 does not divide the width 16 of "layers.0.query"'),
        (methods.SHiRAConfig(rank=9), 'shira: rank 9 asks for 288 of the 256 entries at "layers.0.query"'),
        (methods.PfeifferConfig(size=17), "pfeiffer: size 17 is wider"),
        (methods.CompacterConfig(size=20), "compacter: size 20 is wider"),
        (methods.CompacterConfig(size=9, n=3), 'compacter: n=3 does not divide the width 16 of "layers.0.attention"'),
        (methods.CompacterConfig(size=4, n=4, rank=2), "compacter: rank 2 is wider"),
        (methods.LoRAConfig(rank=2, sites="attention"), 'lora does not fit "layers.0.attention", which is a sublayer; it fits: query, key, value, attention_dense, inner, outer, head'),
        (methods.LoRAConfig(rank=2, sites="querry"), 'this model has no site "querry"; did you mean "query"'),
        (methods.LoRAConfig(rank=2, sites="qkv"), 'this model has no site "qkv"'),
        (methods.LoRAConfig(rank=2, layers=2), "layer 2 is outside this model's layers 0 to 1"),
        (methods.ParallelConfig(size=2, sites="query"), 'parallel does not fit "layers.0.query", which is a linear; it fits: attention, feedforward, block'),
        (methods.BottleneckConfig(size=2, sites="head"), 'bottleneck does not fit "head"'),
        (methods.LayerNormConfig(sites="memory"), 'layernorm does not fit "layers.0.memory", which is a memory'),
        (methods.PrefixTuningConfig(sites="attention"), 'prefix_tuning does not fit "layers.0.attention".*it fits: memory'),
        (methods.PromptTuningConfig(sites="embedding"), 'prompt_tuning does not fit "embedding".*it fits: prompt'),
        (methods.BitFitConfig(sites="hidden"), 'bitfit does not fit "layers.0.hidden"'),
        (methods.KAdapterConfig(size=4, layers=(5,)), "layer 5 is outside this model's layers 0 to 1"),
    ],
)  # fmt: skip
def test_what_does_not_fit(recipe, message, model):
    adapters = Adapters(model)
    with refused(adapters, message):
        adapters.add("a", recipe)


def test_a_fused_projection_stands_in_by_default_only():
    model = tiny.model("gpt2")
    sites = Adapters(model).sites
    assert [s.name for s in methods.LoRAConfig(rank=2).targets(sites)] == ["layers.0.qkv", "layers.1.qkv"]
    with pytest.raises(UserError, match='this model has no site "query"'):
        methods.LoRAConfig(rank=2, sites=("query",)).targets(sites)


def test_an_unknown_architecture_by_pattern():
    """LoRA and (IA)^3 at modules that were named by a pattern; what is no linear map is refused there, too."""

    class Unknown(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(6, 4), nn.LayerNorm(4)

        def forward(self, x):
            return self.b(self.a(x))

    model = Unknown().eval()
    with pytest.raises(UserError, match='no sites are known for the model family "Unknown"'):
        Adapters(model)
    adapters = Adapters(model, sites={"map": "a", "norm": "b"})
    adapters.add("x", (methods.LoRAConfig(rank=2, sites="map"), methods.LayerNormConfig()), seed=0)
    adapters["x"].at["map.a"][0].B.data.normal_()
    adapters.activate("x")
    active = model(torch.ones(2, 6))
    adapters.merge("x")
    torch.testing.assert_close(model(torch.ones(2, 6)), active)
    with pytest.raises(UserError, match='lora does not fit "norm.b", which is a norm; it fits: map'):
        adapters.add("y", methods.LoRAConfig(rank=2, sites="norm"))
    with pytest.raises(UserError, match="prompt_tuning does not fit this model"):
        adapters.add("y", methods.PromptTuningConfig())


# ---- precisions


@pytest.mark.parametrize("way", ["half base", "autocast"])
@pytest.mark.parametrize(
    ("recipe", "case"), [(r, c) for r in RECIPES for c in ("bert", "llama", "t5") if r != "kadapter" or c == "bert"]
)
def test_a_float_adapter_on_half_precision(recipe, case, way):
    """A base in bfloat16, or computing in it, under an adapter in float32: near to all in float32, gradients in float32."""
    model = tiny.model(case)
    batch, outputs = tiny.inputs(model), []
    for kind in (torch.float32, torch.bfloat16):
        one = copy.deepcopy(model)
        one = one.to(kind) if way == "half base" else one
        adapters = ready(one, RECIPES[recipe], std=0.05)
        parameters = adapters.train("a")
        with torch.autocast("cpu", torch.bfloat16, enabled=way == "autocast" and kind == torch.bfloat16):
            out = one(**batch).logits
        out.float().square().sum().backward()
        assert out.dtype == kind or way == "autocast"
        assert all(p.dtype == p.grad.dtype == torch.float32 for p in parameters if p.grad is not None)
        assert all(p.grad.isfinite().all() for p in parameters if p.grad is not None)
        assert sum(p.grad is not None and bool(p.grad.any()) for p in parameters) > 0.6 * len(parameters)
        outputs.append(out.detach().float())
    full, half = outputs
    assert (full - half).norm() < 0.15 * full.norm()


@pytest.mark.parametrize("case", ["roberta", "xlm-roberta"])
def test_a_prompt_before_padding_on_the_left(case):
    """RoBERTa's kin count tokens by their ids, which a prompt has none of: the answer is the unpadded text's."""
    model = tiny.model(case)
    adapters = Adapters(model)
    shake(adapters.add("a", methods.PromptTuningConfig(length=3), seed=0))
    adapters.activate("a")
    ids = tiny.inputs(model)["input_ids"]
    pads = torch.full((2, 3), model.config.pad_token_id)
    padded = {"input_ids": torch.cat([pads, ids], 1), "attention_mask": torch.cat([torch.zeros_like(pads), torch.ones_like(ids)], 1)}  # fmt: skip
    with torch.no_grad():
        want = model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        torch.testing.assert_close(model.base_model(**padded)[0][:, 3:], want, rtol=1e-5, atol=1e-5)


def test_generate_counts_the_tokens_of_the_encoders_text():
    """T5's `generate` calls its encoder alone: LoReFT's first three are tokens there too, whichever side is padded."""
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(T5Config(**tiny.T5)).eval()
    adapters, encoder = Adapters(model), model.get_encoder()
    shake(adapters.add("a", methods.LoReFTConfig(rank=2), seed=0))
    adapters.activate("a")
    ids = torch.randint(3, 60, (2, 6))
    padded = torch.cat([torch.zeros(2, 3, dtype=torch.long), ids], 1)
    with torch.no_grad():
        want = encoder(input_ids=ids, attention_mask=torch.ones_like(ids))[0]
        got = encoder(input_ids=padded, attention_mask=(padded > 0).long())[0][:, 3:]
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
        with adapters.use(None):
            assert not torch.allclose(want, encoder(input_ids=ids)[0])
