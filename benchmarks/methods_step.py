"""The time of a training step of every method: against full fine-tuning, and against the same method written by hand.

python benchmarks/methods_step.py [--steps 10] [--repeats 5] [--batch 32] [--methods lora dora ...] [--cpu-time]

By hand: plain modules put into a copy of the model, no hooks, no sites. All train on identical batches, with a head; the
ways take turns, and the medians of their steps are compared.
"""

import copy
import math

import torch
from step_time import medians, parse, stepper
from torch import nn
from torch.nn import functional as F

from adapterlab.adapters import Adapters
from adapterlab.lab import device_name
from adapterlab.methods import (
    BitFitConfig,
    BottleneckConfig,
    CompacterConfig,
    DoRAConfig,
    IA3Config,
    KAdapterConfig,
    LayerNormConfig,
    LoRAConfig,
    LoReFTConfig,
    ParallelConfig,
    PfeifferConfig,
    PrefixTuningConfig,
    PromptTuningConfig,
    VeRAConfig,
)
from adapterlab.models import load_base
from adapterlab.tasks import encode, load_task
from adapterlab.train import unfreeze


class Wrap(nn.Module):
    """A module in the place of another, which it holds frozen."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner.requires_grad_(False)


class Behind(Wrap):
    def __init__(self, inner, width, size):
        super().__init__(inner)
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)

    def forward(self, x):
        y = self.inner(x)
        return y + self.up(F.gelu(self.down(y)))


class Output(Wrap):
    """BERT's output block with an adapter beside it, or behind its LayerNorm."""

    def __init__(self, inner, width, size, place):
        super().__init__(inner)
        self.down, self.up, self.place = nn.Linear(width, size), nn.Linear(size, width), place

    def forward(self, hidden, r):
        y = self.inner.dropout(self.inner.dense(hidden))
        h, s = (r, 4.0) if self.place == "parallel" else (self.inner.LayerNorm(y + r), 1.0)
        return self.inner.LayerNorm(y + s * self.up(F.relu(self.down(h))) + r)


class Low(Wrap):
    """LoRA, DoRA or VeRA around a linear map."""

    def __init__(self, inner, kind, rank=8):
        super().__init__(inner)
        self.kind, (outs, ins) = kind, inner.weight.shape
        if kind == "vera":
            self.register_buffer("A", torch.randn(256, ins) / math.sqrt(ins))
            self.register_buffer("B", torch.randn(outs, 256) / 16)
            self.d, self.b = nn.Parameter(torch.full((256,), 0.1)), nn.Parameter(torch.zeros(outs))
        else:
            self.A, self.B = (nn.Parameter(torch.randn(rank, ins) * 0.05), nn.Parameter(torch.zeros(outs, rank)))
            self.m = nn.Parameter(inner.weight.norm(dim=1).detach()) if kind == "dora" else None

    def forward(self, x):
        if self.kind == "vera":
            return self.inner(x) + self.b * F.linear(self.d * F.linear(x, self.A), self.B)
        low = 2.0 * F.linear(F.linear(x, self.A), self.B)
        if self.kind == "lora":
            return self.inner(x) + low
        with torch.no_grad():
            norm = (self.inner.weight + 2.0 * self.B @ self.A).norm(dim=1)
        return self.m / norm * (F.linear(x, self.inner.weight) + low) + self.inner.bias


class Times(Wrap):
    """(IA)^3: the output scaled, or what goes in."""

    def __init__(self, inner, width, reads):
        super().__init__(inner)
        self.l, self.reads = nn.Parameter(torch.ones(width)), reads

    def forward(self, x):
        return self.inner(x * self.l) if self.reads else self.inner(x) * self.l


class Kronecker(Wrap):
    """Compacter behind a module; the rule is the model's."""

    def __init__(self, inner, width, size, rule):
        super().__init__(inner)
        n, self.rule = 4, [rule]
        make = nn.ParameterList
        self.s = make([torch.randn(n, width // n, 1) * 0.1, torch.randn(n, size // n, 1) * 0.1])
        self.t = make([torch.randn(n, 1, size // n) * 0.1, torch.randn(n, 1, width // n) * 0.1])
        self.b = make([torch.zeros(size), torch.zeros(width)])

    def project(self, i, x):
        W = torch.einsum("iab,ice->acbe", self.rule[0], self.s[i] @ self.t[i])
        return x @ W.reshape(x.shape[-1], -1) + self.b[i]

    def forward(self, x):
        y = self.inner(x)
        return y + self.project(1, F.gelu(self.project(0, y)))


class Edit(Wrap):
    """LoReFT on a layer's output."""

    def __init__(self, inner, width, rank=4, first=3):
        super().__init__(inner)
        self.W, self.raw, self.first = nn.Linear(width, rank), nn.Parameter(torch.randn(width, rank)), first

    def forward(self, *args, **kwargs):
        out = self.inner(*args, **kwargs)
        y = out[0] if isinstance(out, tuple) else out
        q, r = torch.linalg.qr(self.raw)
        R, start = (q * r.diagonal().sign()).T, y[:, : self.first]
        y = torch.cat([start + (self.W(start) - start @ R.T) @ R, y[:, self.first :]], dim=1)
        return (y, *out[1:]) if isinstance(out, tuple) else y


class Prefixed(Wrap):
    """BERT's self-attention with learned keys and values in front."""

    def __init__(self, inner, width, pool, layer, layers):
        super().__init__(inner)
        self.pool, self.part = [pool], slice(2 * width * layer, 2 * width * (layer + 1))

    def forward(self, x, attention_mask=None, **kwargs):
        a, (pool,) = self.inner, self.pool
        heads = a.num_attention_heads
        P = F.linear(torch.tanh(pool.down(pool.tokens)), pool.up.weight[self.part], pool.up.bias[self.part])
        P = P.view(len(P), 2, heads, -1).permute(1, 2, 0, 3).expand(len(x), -1, -1, -1, -1)
        q, k, v = (f(x).unflatten(-1, (heads, -1)).transpose(1, 2) for f in (a.query, a.key, a.value))
        k, v = torch.cat([P[:, 0], k], 2), torch.cat([P[:, 1], v], 2)
        mask = None if attention_mask is None else F.pad(attention_mask, (P.shape[3], 0), value=True)
        out = F.scaled_dot_product_attention(q, k, v, mask, a.dropout.p if self.training else 0.0)
        return out.transpose(1, 2).flatten(2), None


class Pool(nn.Module):
    def __init__(self, width, layers, length=30, hidden=512):
        super().__init__()
        self.tokens = nn.Parameter(torch.randn(length, width))
        self.down, self.up = nn.Linear(width, hidden), nn.Linear(hidden, 2 * width * layers)


class Prompted(Wrap):
    """The whole model with a prompt in front of the text."""

    def __init__(self, inner, width, length=20):
        super().__init__(inner)
        self.prompt = nn.Parameter(torch.randn(length, width))

    def forward(self, input_ids, attention_mask, **kwargs):
        words = self.inner.bert.embeddings.word_embeddings(input_ids)
        words = torch.cat([self.prompt.expand(len(words), -1, -1), words], 1)
        return self.inner(inputs_embeds=words, attention_mask=F.pad(attention_mask, (len(self.prompt), 0), value=1))


class Beside(Wrap):
    """K-Adapter over the hidden states of the frozen encoder."""

    def __init__(self, inner, layers):
        super().__init__(inner)
        self.layers = nn.ModuleDict({str(i): layer for i, layer in layers.items()})

    def forward(self, input_ids, attention_mask, **kwargs):
        with torch.no_grad():
            states = self.inner.bert(input_ids, attention_mask, output_hidden_states=True).hidden_states[1:]
        k = 0
        for i, layer in self.layers.items():
            h = states[int(i)] + k
            small = layer.down(h)
            for encoder in layer.encoders:
                small = encoder(small, attention_mask)
            k = h + layer.up(small)
        pooled = self.inner.bert.pooler(states[-1] + k)
        return type("Out", (), {"logits": self.inner.classifier(self.inner.dropout(pooled))})


def by_hand(name, model, size):
    """The method put into a copy of the model, its new parts and the classifier trained."""
    model = copy.deepcopy(model).requires_grad_(False)
    bert, width = model.bert, model.config.hidden_size
    layers = bert.encoder.layer
    if name in ("layernorm", "bitfit"):
        for module in model.bert.modules():
            if isinstance(module, nn.LayerNorm):
                module.requires_grad_(True)
                module.weight.requires_grad_(name == "layernorm")
            elif isinstance(module, nn.Linear) and module is not bert.pooler.dense and name == "bitfit":
                module.bias.requires_grad_(True)
    rule = nn.Parameter(torch.randn(4, 4, 4) * 1e-2) if name == "compacter" else None
    pool = Pool(width, len(layers)) if name == "prefix_tuning" else None
    for i, layer in enumerate(layers):
        attention = layer.attention.self
        if name == "bottleneck":
            layer.attention.output.dropout = Behind(layer.attention.output.dropout, width, size)
            layer.output.dropout = Behind(layer.output.dropout, width, size)
        if name in ("pfeiffer", "parallel"):
            layer.output = Output(layer.output, width, size, name)
        if name == "compacter":
            layer.attention.output.dropout = Kronecker(layer.attention.output.dropout, width, 24, rule)
            layer.output.dropout = Kronecker(layer.output.dropout, width, 24, rule)
        if name in ("lora", "dora", "vera"):
            attention.query, attention.value = Low(attention.query, name), Low(attention.value, name)
        if name == "ia3":
            attention.key, attention.value = (Times(attention.key, width, False), Times(attention.value, width, False))
            layer.output.dense = Times(layer.output.dense, layer.output.dense.in_features, True)
        if name == "prefix_tuning":
            layer.attention.self = Prefixed(attention, width, pool, i, len(layers))
        if name == "loreft":
            layers[i] = Edit(layer, width)
    if rule is not None:
        model.register_parameter("rule", rule)
    if pool is not None:
        model.add_module("pool", pool)
    model.classifier.requires_grad_(True)
    if name == "prompt_tuning":
        return with_classifier(Prompted(model, width))
    if name == "kadapter":
        adapters = Adapters(model)
        made = adapters.add("k", KAdapterConfig())
        parts = {adapters.sites[site].layer: modules[0] for site, modules in made.at.items()}
        adapters.detach()
        return with_classifier(Beside(model, parts))
    return model


def with_classifier(wrapped):
    wrapped.inner.classifier.requires_grad_(True)
    return wrapped


def recipes(size):
    return {
        "bottleneck": BottleneckConfig(size=size),
        "pfeiffer": PfeifferConfig(size=size),
        "parallel": ParallelConfig(size=size),
        "compacter": CompacterConfig(size=24),
        "lora": LoRAConfig(rank=8),
        "dora": DoRAConfig(rank=8),
        "vera": VeRAConfig(rank=256),
        "ia3": IA3Config(),
        "bitfit": BitFitConfig(),
        "layernorm": LayerNormConfig(),
        "loreft": LoReFTConfig(rank=4),
        "prefix_tuning": PrefixTuningConfig(length=30, hidden=512),
        "prompt_tuning": PromptTuningConfig(length=20),
        "kadapter": KAdapterConfig(),
    }


def main() -> None:
    args, clock, device = parse(__doc__.splitlines()[0], ("--methods", {"nargs": "*", "help": "only these"}))
    task = load_task("rotten_tomatoes").subset(args.batch * args.steps, 8, 8)
    full, tokenizer = load_base("minilm", labels=2, device=device)
    data = encode(task.train, tokenizer, 128)
    bare = copy.deepcopy(full)
    unfreeze(full)
    chosen = {n: r for n, r in recipes(args.size).items() if not args.methods or n in args.methods}
    print(
        f"{device_name(device)}: medians of {args.repeats * args.steps} steps of {args.batch} sentences, taking turns"
    )
    print(f"{'method':14} {'trained':>10} {'ms':>8} {'by hand':>8} {'of full':>8} {'of hand':>8}")
    for name, recipe in chosen.items():
        model = copy.deepcopy(bare)
        adapters = Adapters(model)
        adapters.add("a", recipe, head=task.labels, seed=0)
        adapters.train("a")
        ways = {
            "full": stepper(full, data, args.batch, device),
            "ours": stepper(model, data, args.batch, device),
            "hand": stepper(by_hand(name, bare, args.size).to(device), data, args.batch, device),
        }
        times = medians(ways, args.steps, args.repeats, device, clock)
        ms = {way: 1000 * seconds for way, seconds in times.items()}
        print(
            f"{name:14} {adapters.count('a'):>10,} {ms['ours']:8.1f} {ms['hand']:8.1f} "
            f"{ms['ours'] / ms['full']:8.3f} {ms['ours'] / ms['hand']:8.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
