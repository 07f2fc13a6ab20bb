"""Every method written by hand for a BERT classifier: plain modules in the model's own places, no hooks, no sites.

What the tests hold our logits against, and the benchmark methods_step.py our times.
"""

import copy
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F


def own(tensor):
    """A trained copy of a parameter."""
    return nn.Parameter(tensor.detach().clone())


class Wrap(nn.Module):
    """A module in the place of another, which it holds frozen."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner.requires_grad_(False)


class Behind(Wrap):
    """A bottleneck on a module's output."""

    def __init__(self, inner, part):
        super().__init__(inner)
        self.down, self.up, self.act = copy.deepcopy(part.down), copy.deepcopy(part.up), part.act

    def forward(self, x):
        y = self.inner(x)
        return y + self.up(self.act(self.down(y)))


class Output(Wrap):
    """BERT's output block with an adapter beside it (scaled), or behind its LayerNorm (scale 1)."""

    def __init__(self, inner, part):
        super().__init__(inner)
        self.down, self.up, self.act = copy.deepcopy(part.down), copy.deepcopy(part.up), part.act
        self.scale = getattr(part, "scale", None)

    def forward(self, hidden, r):
        y = self.inner.dropout(self.inner.dense(hidden))
        h, scale = (self.inner.LayerNorm(y + r), 1.0) if self.scale is None else (r, self.scale)
        return self.inner.LayerNorm(y + scale * self.up(self.act(self.down(h))) + r)


class Low(Wrap):
    """LoRA, or DoRA with a magnitude, around a linear map."""

    def __init__(self, inner, part):
        super().__init__(inner)
        self.A, self.B, self.scale = own(part.A), own(part.B), part.scale
        self.m = own(part.magnitude) if hasattr(part, "magnitude") else None

    def forward(self, x):
        low = self.scale * F.linear(F.linear(x, self.A), self.B)
        if self.m is None:
            return self.inner(x) + low
        with torch.no_grad():
            norm = (self.inner.weight + self.scale * self.B @ self.A).norm(dim=1)
        return self.m / norm * (F.linear(x, self.inner.weight) + low) + self.inner.bias


class Scaled(Wrap):
    """VeRA: two vectors are trained, the random matrices between them are not."""

    def __init__(self, inner, part):
        super().__init__(inner)
        for name, matrix in zip("AB", part.matrices, strict=True):
            self.register_buffer(name, matrix.clone())
        self.d, self.b = own(part.d), own(part.b)

    def forward(self, x):
        return self.inner(x) + self.b * F.linear(self.d * F.linear(x, self.A), self.B)


class Sparse(Wrap):
    """SHiRA: some entries of the matrix are trained, and are added at their places."""

    def __init__(self, inner, part):
        super().__init__(inner)
        self.at, self.values = part.entries.tolist(), own(part.values)

    def forward(self, x):
        width = x.shape[-1]
        rows, columns = torch.tensor([divmod(i, width) for i in self.at]).T
        W = self.inner.weight.index_put((rows, columns), self.values, accumulate=True)
        return F.linear(x, W, self.inner.bias)


class Turned(Wrap):
    """OFT: the input goes through one block-diagonal matrix, by an inverse, before the frozen map reads it."""

    def __init__(self, inner, part):
        super().__init__(inner)
        self.upper, self.m = own(part.upper), part.size

    def forward(self, x):
        blocks, eye = [], torch.eye(self.m)
        for numbers in self.upper:
            Q = torch.zeros(self.m, self.m).masked_scatter(torch.ones(self.m, self.m).triu(1).bool(), numbers)
            Q = Q - Q.T
            blocks.append((eye - Q) @ torch.linalg.inv(eye + Q))
        return self.inner(x @ torch.block_diag(*blocks))


class Times(Wrap):
    """(IA)^3: the output scaled, or what goes in."""

    def __init__(self, inner, part, reads=False):
        super().__init__(inner)
        self.l, self.reads = own(part.scale), reads

    def forward(self, x):
        return self.inner(x * self.l) if self.reads else self.inner(x) * self.l


class Kronecker(Wrap):
    """Compacter behind a module; the rule is the model's."""

    def __init__(self, inner, part, rule):
        super().__init__(inner)
        self.rule, self.act = [rule], part.act
        for name in ("s", "t", "bias"):
            setattr(self, name, nn.ParameterList([own(getattr(p, name)) for p in (part.down, part.up)]))

    def project(self, i, x):
        W = torch.einsum("iab,ice->acbe", self.rule[0], self.s[i] @ self.t[i])
        return x @ W.reshape(x.shape[-1], -1) + self.bias[i]

    def forward(self, x):
        y = self.inner(x)
        return y + self.project(1, self.act(self.project(0, y)))


class Edit(Wrap):
    """LoReFT on a layer's output, the first tokens of it."""

    def __init__(self, inner, part):
        super().__init__(inner)
        self.W, self.raw, self.first = copy.deepcopy(part.source), own(part.raw), part.first

    def forward(self, *args, **kwargs):
        out = self.inner(*args, **kwargs)
        y = out[0] if isinstance(out, tuple) else out
        q, r = torch.linalg.qr(self.raw)
        R, start = (q * r.diagonal().sign()).T, y[:, : self.first]
        y = torch.cat([start + (self.W(start) - start @ R.T) @ R, y[:, len(start[0]) :]], dim=1)
        return (y, *out[1:]) if isinstance(out, tuple) else y


class Prefixed(Wrap):
    """BERT's self-attention (sdpa) with learned keys and values in front, out of the model's pool."""

    def __init__(self, inner, pool, layer):
        super().__init__(inner)
        width = inner.query.out_features
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


class Prompted(Wrap):
    """The whole model with a prompt in front of the text."""

    def __init__(self, inner, part):
        super().__init__(inner)
        self.prompt = own(part.prompt)

    def forward(self, input_ids, attention_mask, **kwargs):
        words = self.inner.bert.embeddings.word_embeddings(input_ids)
        words = torch.cat([self.prompt.expand(len(words), -1, -1), words], 1)
        return self.inner(inputs_embeds=words, attention_mask=F.pad(attention_mask, (len(self.prompt), 0), value=1))


class Beside(Wrap):
    """K-Adapter: a chain of small encoders over the hidden states of the frozen one, padding masked."""

    def __init__(self, inner, parts):
        super().__init__(inner)
        self.layers = nn.ModuleDict()
        for i, part in parts.items():
            names = ("down", "up", "encoders")
            self.layers[str(i)] = nn.ModuleDict({name: copy.deepcopy(getattr(part, name)) for name in names})

    def forward(self, input_ids, attention_mask, **kwargs):
        with torch.no_grad():
            states = self.inner.bert(input_ids, attention_mask, output_hidden_states=True).hidden_states[1:]
        k, seen = 0, attention_mask[:, None, None].bool()
        for i, layer in self.layers.items():
            h = states[int(i)] + k
            small = layer["down"](h)
            for e in layer["encoders"]:
                q, key, v = (t.unflatten(-1, (e.heads, -1)).transpose(1, 2) for t in e.qkv(small).chunk(3, -1))
                mixed = F.scaled_dot_product_attention(q, key, v, seen).transpose(1, 2).flatten(2)
                small = e.norms[0](small + e.dense(mixed))
                small = e.norms[1](small + e.outer(F.gelu(e.inner(small))))
            k = h + layer["up"](small)
        pooled = self.inner.bert.pooler(states[-1] + k)
        return SimpleNamespace(logits=self.inner.classifier(self.inner.dropout(pooled)))


def _bottleneck(layer, part, i):
    layer.attention.output.dropout = Behind(layer.attention.output.dropout, part("attention"))
    layer.output.dropout = Behind(layer.output.dropout, part("feedforward"))


def _output(layer, part, i):
    layer.output = Output(layer.output, part("feedforward"))


def _low(layer, part, i, wrap=Low):
    attention = layer.attention.self
    attention.query, attention.value = (wrap(getattr(attention, n), part(n)) for n in ("query", "value"))


def _ia3(layer, part, i):
    attention, output = layer.attention.self, layer.output
    attention.key, attention.value = (Times(getattr(attention, n), part(n)) for n in ("key", "value"))
    output.dense = Times(output.dense, part("hidden"), reads=True)


PLACED = {
    "bottleneck": _bottleneck, "pfeiffer": _output, "parallel": _output, "lora": _low, "dora": _low,
    "vera": lambda layer, part, i: _low(layer, part, i, Scaled), "ia3": _ia3,
    "shira": lambda layer, part, i: _low(layer, part, i, Sparse),
    "oft": lambda layer, part, i: _low(layer, part, i, Turned),
}  # fmt: skip
SHARED = ("compacter", "prefix_tuning", "loreft")
NORMS = ("bitfit", "layernorm")
WHOLE = ("prompt_tuning", "kadapter")
BY_HAND = (*PLACED, *SHARED, *NORMS, *WHOLE)


def by_hand(method: str, base, adapters, name: str):
    """A copy of the bare BERT classifier `base` in which the adapter's parameters do their work, and are what is trained."""
    model = copy.deepcopy(base).requires_grad_(False)
    at = {site: modules[0] for site, modules in adapters[name].at.items()}
    layers = model.bert.encoder.layer
    if method in PLACED:
        for i, layer in enumerate(layers):
            PLACED[method](layer, lambda kind, i=i: at[f"layers.{i}.{kind}"], i)
    elif method == "compacter":
        model.register_parameter("rule", own(at["layers.0.attention"].common[0].rule))
        for i, layer in enumerate(layers):
            for block, kind in ((layer.attention.output, "attention"), (layer.output, "feedforward")):
                block.dropout = Kronecker(block.dropout, at[f"layers.{i}.{kind}"], model.rule)
    elif method == "prefix_tuning":
        (pool,) = at["layers.0.memory"].common[0].values()
        model.pool = copy.deepcopy(pool)
        for i, layer in enumerate(layers):
            layer.attention.self = Prefixed(layer.attention.self, model.pool, i)
    elif method == "loreft":
        for i, layer in enumerate(layers):
            layers[i] = Edit(layer, at[f"layers.{i}.block"])
    elif method in NORMS:
        _written_in(model, adapters, at)
    elif method == "prompt_tuning":
        model = Prompted(model, at["prompt"])
    else:
        model = Beside(model, {adapters.sites[site].layer: part for site, part in at.items() if site != "head"})
    return model.train(base.training)


def _written_in(model, adapters, at):
    """BitFit and LayerNorm tuning: the model's own biases and weights are trained."""
    for site, part in at.items():
        module = model.get_submodule(adapters.sites[site].module)
        if hasattr(part, "delta"):
            module.bias = own(module.bias + part.delta)
        elif hasattr(part, "scale"):
            module.weight, module.bias = own(module.weight * part.scale), own(module.bias * part.scale + part.shift)
