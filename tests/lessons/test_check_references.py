"""The exercises' references against the package itself: what the learner writes is what it runs."""

import pytest
import torch
from adapted import adapted, rows
from torch import nn

from adapterlab import methods
from adapterlab.compose import Average, Fuse, Stack, evaluate
from adapterlab.lessons import check
from adapterlab.lessons.nb05_ablation.steps import Steps, layers_of
from adapterlab.methods.base import Change
from adapterlab.methods.fusion import Fusion
from adapterlab.models import load_base
from adapterlab.sites import Site
from adapterlab.studies import spans
from adapterlab.studies.count import count
from adapterlab.tasks import batches
from adapterlab.tasks.metrics import matthews
from adapterlab.train import evaluate as evaluate_model


def test_03():
    """The exercise's closed form is what the real recipe counts on BERT."""
    for name, d, layers in (("minilm", 384, 6), ("bert-base", 768, 12), ("bert-large", 1024, 24)):
        assert check.count_recipe.reference(d, 64, layers) == count(name, methods.houlsby(64))["adapter"]


def test_04():
    """The masked wide bottleneck against a plain small one, biases included."""
    wide, small = methods.Bottleneck(6, 4, std=1.0), methods.Bottleneck(6, 3)
    with torch.no_grad():
        wide.down.bias.normal_()
        down, up = check.keep_units.reference(wide.down.weight, wide.up.weight, 3)
        small.down.weight.copy_(wide.down.weight[:3]), small.up.weight.copy_(wide.up.weight[:, :3])
        small.down.bias.copy_(wide.down.bias[:3]), small.up.bias.copy_(wide.up.bias)
        wide.down.weight.copy_(down), wide.up.weight.copy_(up)
        y = torch.randn(2, 5, 6)
        torch.testing.assert_close(wide(None, y), small(None, y))


def test_05():
    """The learner's loop and the shared beginnings against the package's, on a small model."""
    adapters, data = adapted(), rows()
    adapters.activate("a")
    layer_of = layers_of(adapters, "a")
    at, found = adapters["a"].at, spans.span_ablation(adapters, "a", data)
    masks = [pattern[::2] for pattern in list(found.logits)[: len(found.spans) + 1]]
    for row in found.spans:
        score = check.ablate.reference(
            at, layer_of, row["first"], row["last"], lambda: evaluate_model(adapters.model, data)
        )
        assert score == pytest.approx(row["score"])
    for inputs, _, order in batches(data, 64):
        steps = Steps(adapters, "a", inputs)
        outputs = check.run_all.reference(steps, masks, steps.x)
        assert steps.calls == spans.layer_evaluations(found.depth)[1]
        for mask, h in outputs.items():
            pattern = tuple(on for on in mask for _ in spans.HALVES)
            assert torch.equal(steps.logits(h), found.logits[pattern][order])


def test_06():
    site = Site("s", "attention", 0, "m", "m", 12, 12)
    x, y = torch.randn(2, 3, 12), torch.randn(2, 3, 12)
    for place in ("serial", "parallel", "multiply"):
        module = methods.VariantConfig(size=5, place=place, std=0.5).build(site)

        def f(h, module=module):
            return module.up(module.act(module.down[0](h)))

        torch.testing.assert_close(module(x, y), check.place_adapter.reference(place, x, y, f))
    down = methods.BottleneckConfig(size=300, std=0.3).build(Site("s", "attention", 0, "m", "m", 400, 400)).down.weight
    mine = check.new_weight.reference(300, 400, 0.3)
    assert abs(down.std() / mine.std() - 1).item() < 0.02 and mine.abs().max().item() <= 0.6


def test_07():
    said, true = torch.tensor([1, 1, 0, 0, 1, 0, 1]), torch.tensor([1, 0, 0, 1, 1, 0, 1])
    counts = [int(((said == s) & (true == t)).sum()) for s, t in ((1, 1), (1, 0), (0, 1), (0, 0))]
    assert check.matthews_by_hand.reference(*counts) == pytest.approx(matthews(said, true))


def test_09():
    site = Site("s", "feedforward", 0, "m", "m", 12, 12, form="sublayer")
    x, y = torch.randn(2, 3, 12), torch.randn(2, 3, 12)
    made = {
        "lora": methods.LoRAConfig(rank=3, alpha=6).build(site),
        "parallel": methods.ParallelConfig(size=3).build(site),
        "ia3": methods.IA3Config().build(site),
        "bitfit": methods.Shift(12),
    }
    for module in made.values():
        for p in module.parameters():
            torch.nn.init.normal_(p)
    torch.nn.init.zeros_(made["parallel"].down.bias), torch.nn.init.zeros_(made["parallel"].up.bias)
    weights = {
        "lora": {"A": made["lora"].A, "B": made["lora"].B, "s": 2.0},
        "parallel": {"down": made["parallel"].down.weight, "up": made["parallel"].up.weight, "s": 4.0},
        "ia3": {"l": made["ia3"].scale},
        "bitfit": {"delta": made["bitfit"].delta},
    }
    for name, module in made.items():
        torch.testing.assert_close(module(x, y), check.one_line.reference(name, x, y, weights[name]))


def test_09_a_prefix_is_a_gated_adapter():
    torch.manual_seed(0)
    q, K, V, P_k, P_v = (torch.randn(n, 8) for n in (5, 5, 5, 3, 3))
    both = torch.cat([P_k, K]), torch.cat([P_v, V])
    gate, mixed = check.gated_prefix.reference(q, K, V, P_k, P_v)
    torch.testing.assert_close(mixed, nn.functional.scaled_dot_product_attention(q, *both))
    torch.testing.assert_close(gate, (q @ both[0].T / 8**0.5).softmax(-1)[:, :3].sum(-1, keepdim=True))


def test_10():
    site = Site("s", "query", 0, "m", "m", 7, 5, form="linear")
    config = methods.LoRAConfig(rank=3, alpha=6)
    module, frozen, x = config.build(site), nn.Linear(5, 7), torch.randn(2, 4, 5)
    nn.init.normal_(module.B)
    with torch.no_grad():
        y, A, B = frozen(x), module.A, module.B
        torch.testing.assert_close(check.lora_forward.reference(x, y, A, B, 6), module(x, y))
        merged = check.lora_merge.reference(frozen.weight, A, B, module.scale)
        torch.testing.assert_close(nn.functional.linear(x, merged, frozen.bias), module(x, y))
    torch.manual_seed(0)
    x, wanted, module = torch.randn(6, 5), torch.randn(6, 7), config.build(site)
    optimizer = torch.optim.Adam([module.B], lr=0.01)
    (module(x, 0) - wanted).pow(2).sum().backward()
    optimizer.step()
    moved = check.first_step.reference(x, -wanted, module.A.detach(), module.scale, 0.01)
    torch.testing.assert_close(module(x, 0).detach(), moved)


def test_11():
    config, site = methods.KAdapterConfig(size=4, heads=2, inner=6, depth=2), Site("s", "block", 0, "m", "m", 7, 7)
    built = sum(p.numel() for p in config.build(site).parameters())
    assert check.kadapter_count.reference(7, 4, 6, 2) == config.count(site) == built


class Adds(Change):
    def __init__(self, z):
        super().__init__()
        self.z = z

    def forward(self, x, y):
        return y + self.z


def test_12():
    torch.manual_seed(0)
    x, y, added = torch.randn(2, 3, 4), torch.randn(2, 3, 4), torch.randn(2, 2, 3, 4)
    methods = {name: (Adds(z),) for name, z in zip("ab", added, strict=True)}
    functions = {name: lambda x, y, name=name: evaluate(name, methods, x, y) for name in "ab"}
    for setup in (Average("a", "b", weights=(3, 1)), Stack(Average("a", "b"), "a")):
        torch.testing.assert_close(
            check.evaluate_setup.reference(setup, functions, x, y), evaluate(setup, methods, x, y)
        )
    fusion = Fusion(4).requires_grad_(False)
    for p in fusion.parameters():
        p.normal_() if p.ndim == 2 else p.zero_()
    QKV = [m.weight for m in (fusion.query, fusion.key, fusion.value)]
    whole = evaluate(Fuse("a", "b", name="f"), methods | {"f": (fusion,)}, x, y)
    for row in range(2):
        mine = check.fuse_outputs.reference(y[row], added[:, row], *QKV)
        torch.testing.assert_close(y[row] + mine, whole[row])


def test_14():
    functional = pytest.importorskip("bitsandbytes").functional
    w = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    packed, state = functional.quantize_4bit(w, quant_type="nf4", compress_statistics=False, blocksize=64)
    levels = functional.get_4bit_type("nf4", device="cpu")
    ours = torch.stack([levels[c] * a for c, a in (check.nearest_level.reference(row, levels) for row in w)])
    torch.testing.assert_close(functional.dequantize_4bit(packed, state), ours, rtol=1e-6, atol=1e-6)


def test_15():
    """Against transformers: the loss, and a batch of prompts padded on the left, and writing with a cache."""
    model, tokenizer = load_base("tiny-decoder", head="causal", device="cpu")
    end, prompts = tokenizer.eos_token_id, [[7, 8, 9, 10], [11, 12]]
    ids, labels = (torch.tensor([row]) for row in check.labelled_row.reference(prompts[1], prompts[0], end, 9))
    output = model(input_ids=ids, labels=labels)
    torch.testing.assert_close(check.next_token_loss.reference(output.logits, labels), output.loss)
    ids, mask, positions = check.pad_left.reference(prompts, tokenizer.pad_token_id)
    both = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits[:, -1]
    alone = torch.cat([model(input_ids=torch.tensor([row])).logits[:, -1] for row in prompts])
    torch.testing.assert_close(both, alone)

    def step(tokens, cache, adapter):
        output = model(input_ids=torch.tensor([tokens]), past_key_values=cache, use_cache=True)
        return output.logits[0, -1], output.past_key_values

    theirs = model.generate(torch.tensor(prompts[:1]), do_sample=False, max_new_tokens=6, eos_token_id=end)[0, 4:]
    assert check.write.reference(step, prompts[0], lambda i: "", 6, end) == [t for t in theirs.tolist() if t != end]
