"""Exercises of 01_build_an_adapter: the module, its size, where it goes, what is trained."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from ..kit.exercise import _Blank, _has_blank, agrees, exercise, mistake

# ---- 01a: the module


class Adapter(nn.Module):
    """The reference solution."""

    def __init__(self, width, size, std=1e-2):
        super().__init__()
        self.down = nn.Linear(width, size)
        self.up = nn.Linear(size, width)
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, std=std, a=-2 * std, b=2 * std)
            nn.init.zeros_(linear.bias)

    def forward(self, y):
        return y + self.up(F.gelu(self.down(y)))


def _shape(cls):
    adapter, y = cls(16, 4), torch.randn(2, 3, 16)
    before = y.clone()
    out = adapter(y)
    if out is None or out is Ellipsis:
        if _has_blank(cls):
            raise _Blank
        return "forward returns nothing: is a `return` missing?"
    if out.shape != y.shape:
        return f"{tuple(y.shape)} went in and {tuple(out.shape)} came out: up must bring it back to the width"
    if not torch.equal(y, before):
        return "forward changes its input in place; the model still needs it: write y + ..., not y += ..."
    linears = [getattr(adapter, name, None) for name in ("down", "up")]
    if not all(isinstance(linear, nn.Linear) for linear in linears):
        return "keep the two nn.Linear under the names down and up"
    shapes = [tuple(linear.weight.shape) for linear in linears]
    if shapes != [(4, 16), (16, 4)]:
        return f"down must be Linear(width, size) and up Linear(size, width); their weights are {shapes}, not [(4, 16), (16, 4)]"
    return None


#: What forward may compute instead, and what to say then.
FORWARDS = (
    (lambda y, d, u: u(F.gelu(d(y))), "the skip connection is missing: return y + up(gelu(down(y)))"),
    (lambda y, d, u: y + u(d(y)), "there is no activation: two linear layers in a row are one linear layer"),
    (lambda y, d, u: u(d(y)), "both the skip connection and the activation are missing"),
    (lambda y, d, u: y + F.gelu(u(d(y))), "the activation comes after up; it belongs between down and up"),
    (lambda y, d, u: F.gelu(y + u(d(y))), "the activation bends the skip too; it belongs between down and up"),
    (lambda y, d, u: y + u(F.relu(d(y))), "the activation is ReLU; the published code has GELU: F.gelu"),
    (lambda y, d, u: y + u(torch.tanh(d(y))), "the activation is tanh; the published code has GELU: F.gelu"),
    (lambda y, d, u: y + u(F.gelu(d(y), approximate="tanh")), "this is GELU's tanh approximation; use F.gelu as it is"),
    (lambda y, d, u: 2 * y + u(F.gelu(d(y))), "the input is added twice"),
    (lambda y, d, u: y * u(F.gelu(d(y))), "the skip is an addition, y + ..., not a product"),
)


def _forward(cls):
    adapter, y = cls(16, 4), torch.randn(2, 3, 16)
    for p in adapter.parameters():
        p.data.normal_()
    with torch.no_grad():
        out, right = adapter(y), y + adapter.up(F.gelu(adapter.down(y)))
        if torch.allclose(out, right, atol=1e-5):
            return None
        for wrong, message in FORWARDS:
            if torch.allclose(out, wrong(y, adapter.down, adapter.up), atol=1e-5):
                return message
    return f"with weights of size 1 it is off by {(out - right).abs().max():.2g} from y + up(gelu(down(y)))"


def _start(cls):
    std = 1e-2
    adapter, y = cls(384, 64, std), torch.randn(2, 9, 384)
    with torch.no_grad():
        moved = (adapter(y) - y).abs().max().item()
    weights = {"down.weight": adapter.down.weight, "up.weight": adapter.up.weight}
    biases = {"down.bias": adapter.down.bias, "up.bias": adapter.up.bias}
    if any(b is None for b in biases.values()):
        return "one of the two layers has no bias; the adapter's 2md + d + m parameters count both"
    if not any(w.any() for w in weights.values()):
        return "both weights are exactly zero: no gradient could ever reach either of them"
    for name, w in reversed(weights.items()):
        if w.std() > 2 * std:
            return f"{name} is not near zero: the output moved by {moved:.2f}"
    for name, b in reversed(biases.items()):
        if b.any():
            return f"{name} does not start at zero: the output moved by {moved:.2g}"
    for name, w in weights.items():
        if not w.any():
            return f"{name} is exactly zero; the paper draws both weights from a narrow normal"
        if w.abs().max() > 2.001 * std:
            return (
                f"{name} has values beyond two standard deviations; "
                "in trunc_normal_ the cuts a and b are absolute: a=-2 * std, b=2 * std"
            )
        spread = w.std().item() / std
        if not 0.82 < spread < 0.94:
            return f"the spread of {name} is {spread:.2f} std; a normal cut off at two std has 0.88"
    narrow = cls(384, 64, std / 10)
    if narrow.down.weight.std() > 0.5 * std or narrow.up.weight.std() > 0.5 * std:
        return "the argument std is not used: std=1e-3 gives the same weights as std=1e-2"
    if not all(p.requires_grad for p in adapter.parameters()):
        return "the adapter's own parameters are frozen; they are what will be trained"
    return None


build_adapter = exercise("01a", Adapter, _shape, _forward, _start)


# ---- 01b: its size

SIZES = ((4, 2), (384, 64), (768, 64))


def _count(width, size):
    return 2 * width * size + width + size


count_adapter = exercise(
    "01b",
    _count,
    mistake(lambda d, m: 2 * d * m, "the two biases are missing", *SIZES),
    mistake(lambda d, m: 2 * d * m + d, "the bias of down is missing: it has one value a bottleneck unit", *SIZES),
    mistake(lambda d, m: 2 * d * m + m, "the bias of up is missing: it has one value for each of the width", *SIZES),
    mistake(lambda d, m: 2 * d * m + 2 * m, "both biases are counted with the bottleneck's size; up's has the width", *SIZES),
    mistake(lambda d, m: 2 * d * m + 2 * d, "both biases are counted with the width; down's has the bottleneck's size", *SIZES),
    mistake(lambda d, m: d * m + d + m, "only one of the two matrices is counted", *SIZES),
    mistake(lambda d, m: 2 * (2 * d * m + d + m), "that is a whole layer with its two adapters; count one", *SIZES),
    agrees(_count, *SIZES, (1024, 256)),
)  # fmt: skip


# ---- 01c: where it goes


def _insert(layer, first, second):
    places = (layer.attention.output.dropout, first), (layer.output.dropout, second)
    return [
        place.register_forward_hook(lambda module, args, output, adapter=adapter: adapter(output))
        for place, adapter in places
    ]


def _at(*places, change=lambda adapter, out: adapter(out)):
    """A wrong `insert`: these dotted places, or this change."""

    def insert(layer, first, second):
        for place, adapter in zip(places, (first, second), strict=True):
            layer.get_submodule(place).register_forward_hook(
                lambda module, args, output, adapter=adapter: change(adapter, output)
            )

    return insert


ENDS = ("attention.output.dropout", "output.dropout")
#: What else `insert` may do, seen from the layer's output, and what to say then.
INSERTS = (
    (_at("attention.output", "output"), "the adapters sit after the residual and the LayerNorm; hook the two output.dropout"),
    (_at("attention.output.LayerNorm", "output.LayerNorm"), "the adapters sit after the LayerNorm; hook the two output.dropout"),
    (_at("attention.output.dense", "output.dense"), "the adapters sit before the dropout; hook the two output.dropout"),
    (_at("output.dropout", "attention.output.dropout"), "the two adapters are swapped"),
    (lambda layer, a, b: _insert(layer, b, b), "both places run the second adapter: a lambda in a loop sees the loop's last value"),
    (lambda layer, a, b: _insert(layer, a, a), "both places run the first adapter"),
    (lambda layer, a, b: _insert(layer, a, nn.Identity()), "only the attention's adapter runs; the feed-forward block needs the second"),
    (lambda layer, a, b: _insert(layer, nn.Identity(), b), "only the feed-forward block's adapter runs; the attention needs the first"),
    (_at(*ENDS, change=lambda adapter, out: out + adapter(out)), "the output is added twice: the adapter has a skip of its own"),
)  # fmt: skip


def _layer():
    """One random BERT layer with a lot of dropout, two unlike adapters, and something to send through."""
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertLayer

    config = BertConfig(
        hidden_size=8, intermediate_size=16, num_attention_heads=2, hidden_dropout_prob=0.5,
        attention_probs_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    torch.manual_seed(1)
    layer, adapters = BertLayer(config), [Adapter(8, 3), Adapter(8, 3)]
    for p in [*layer.parameters(), *adapters[0].parameters(), *adapters[1].parameters()]:
        p.data.normal_(std=0.7)
    return layer, *adapters, torch.randn(2, 4, 8)


@torch.no_grad()
def _sent(layer, x):
    """The layer's output in both modes, the training mode with the same dropout every time."""
    outputs = []
    for mode in (False, True):
        layer.train(mode)
        torch.manual_seed(2)
        out = layer(x)
        outputs.append(out[0] if isinstance(out, tuple) else out)
    return torch.stack(outputs)


def _result(insert):
    """(what insert returned, the layer after it, its output, the output of the untouched layer, the input)."""
    layer, first, second, x = _layer()
    bare = _sent(copy.deepcopy(layer), x)
    return insert(layer, first, second), layer, _sent(layer, x), bare, x


def _inserted(fn):
    handles, layer, out, bare, x = _result(fn)
    untouched = _layer()[0]
    if [n for n, _ in layer.named_modules()] != [n for n, _ in untouched.named_modules()]:
        return "the layer itself was rebuilt; leave its modules alone and register hooks on them"
    same = torch.equal
    if same(out, bare):
        hooked = any(m._forward_hooks for m in layer.modules())
        if hooked:
            return "the layer's output has not changed: the hook returns nothing; return adapter(output)"
        return "the layer's output has not changed: no forward hook was registered"
    right = _result(_insert)[2]
    if not torch.allclose(out, right, atol=1e-5):
        for wrong, message in INSERTS:
            if torch.allclose(out, _result(wrong)[2], atol=1e-5):
                return message
        return (
            f"the layer's output is off by {(out - right).abs().max():.2g} from two adapters at the two output.dropout"
        )
    handles = handles if isinstance(handles, list | tuple) else [handles]
    if len(handles) != 2 or not all(hasattr(h, "remove") for h in handles):
        return "return the two handles that register_forward_hook gave, in a list"
    for handle in handles:
        handle.remove()
    if not same(_sent(layer, x), bare):
        return "after both handles' remove() the layer still differs from the untouched one"
    return None


insert_adapters = exercise("01c", _insert, _inserted)


# ---- 01d: what is trained


def _choose(model, adapters):
    model.requires_grad_(False)
    adapters.requires_grad_(True)
    model.classifier.requires_grad_(True)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.requires_grad_(True)


def _tiny_model(flag: bool):
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(vocab_size=11, hidden_size=8, intermediate_size=16, num_attention_heads=2, num_hidden_layers=2)
    model = BertForSequenceClassification(config)
    adapters = nn.ModuleList(Adapter(8, 3) for _ in range(4))
    model.add_module("adapterlab", adapters)
    return model.requires_grad_(flag), adapters


def _chosen(fn):
    for flag in (True, False):
        model, adapters = _tiny_model(flag)
        fn(model, adapters)
        diagnosis = _trained_parts(model, adapters)
        if diagnosis:
            return diagnosis
    return None


def _trained_parts(model, adapters):
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    own = {p for part in [adapters, model.classifier, *norms.values()] for p in part.parameters()}
    pooler = list(model.bert.pooler.parameters())
    rest = [p for p in model.bert.parameters() if p not in own and all(p is not q for q in pooler)]
    if not any(p.requires_grad for p in model.parameters()):
        return "everything is frozen, the adapters too: nothing would be trained"
    if all(p.requires_grad for p in rest):
        return f"the base is not frozen: {sum(p.numel() for p in rest):,} of its parameters would be trained (requires_grad_ with the underscore, on the model)"
    if any(p.requires_grad for p in rest):
        left = next(n for n, p in model.named_parameters() if p.requires_grad and any(p is q for q in rest))
        return f"{left} would be trained; of the base the LayerNorms alone are"
    if any(p.requires_grad for p in pooler):
        return "the pooler would be trained; the recipe leaves it frozen"
    if not all(p.requires_grad for p in adapters.parameters()):
        return "the adapters are frozen: they hang on the model, so switch them on after freezing it"
    if not all(p.requires_grad for p in model.classifier.parameters()):
        return "the head (model.classifier) is frozen; it is new and has to learn its classes"
    frozen = [n for n, m in norms.items() if not all(p.requires_grad for p in m.parameters())]
    if len(frozen) == len(norms):
        return "no LayerNorm is trained; the recipe trains them all"
    if frozen:
        return f"{frozen[0]} is left out; the recipe trains every LayerNorm"
    return None


choose_trained = exercise("01d", _choose, _chosen, in_place=True)
