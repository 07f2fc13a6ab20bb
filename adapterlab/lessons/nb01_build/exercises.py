"""Exercises of 01_build_an_adapter: the module, its size, where it goes, what is trained."""

import copy
import inspect

import torch
from torch import nn
from torch.nn import functional as F

from ..kit.attempt import Blank, has_dots
from ..kit.exercise import CUTS, exercise, expression, table
from ..kit.values import Unfit, convert, same

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
        if has_dots(cls.forward, as_value=True) or out is Ellipsis:
            raise Blank
        return "forward returns nothing: is a `return` missing?"
    try:
        out = convert(out, y)
    except Unfit as unfit:
        return f"forward: {unfit}"
    if out.shape != y.shape:
        return f"{tuple(y.shape)} went in and {tuple(out.shape)} came out: up must bring it back to the width"
    if not torch.equal(y, before):
        return "forward changes its input in place; the model still needs it: write y + ..., not y += ..."
    linears = [getattr(adapter, name, None) for name in ("down", "up")]
    if not all(isinstance(linear, nn.Linear) for linear in linears):
        return "keep the two nn.Linear under the names down and up"
    shapes = [tuple(linear.weight.shape) for linear in linears]
    if shapes != [(4, 16), (16, 4)]:
        return (
            f"down must be Linear(width, size) and up Linear(size, width); their weights are {shapes}, "
            "not [(4, 16), (16, 4)]"
        )
    return None


#: What forward may compute instead of y + u(gelu(d(y))), and what to say then.
FORWARDS = table("""
    y                             # y comes back unchanged: add up(gelu(down(y)))
    u(F.gelu(d(y)))               # the skip connection is missing: return y + up(gelu(down(y)))
    y + u(d(y))                   # there is no activation: two linear layers in a row are one linear layer
    u(d(y))                       # both the skip connection and the activation are missing
    y + F.gelu(u(d(y)))           # the activation comes after up; it belongs between down and up
    y + u(d(F.gelu(y)))           # the activation comes before down; it belongs between down and up
    F.gelu(y + u(d(y)))           # the activation bends the skip too; it belongs between down and up
    F.gelu(y + u(F.gelu(d(y))))   # a second activation bends the skip; one, between down and up, is due
    y + F.gelu(u(F.gelu(d(y))))   # there is a second activation after up; one, between the two, is due
    y + u(F.relu(d(y)))           # the activation is ReLU; the published code has GELU: F.gelu
    y + u(torch.tanh(d(y)))       # the activation is tanh; the published code has GELU: F.gelu
    y + u(F.silu(d(y)))           # the activation is SiLU; the published code has GELU: F.gelu
    y + u(F.gelu(d(y), approximate="tanh"))       # this is GELU's tanh approximation; use F.gelu as it is
    2 * y + u(F.gelu(d(y)))       # the input is added twice
    y - u(F.gelu(d(y)))           # the correction is subtracted; it is added to y
    y * u(F.gelu(d(y)))           # the skip is an addition, y + ..., not a product
    y + u(F.gelu(d(F.layer_norm(y, y.shape[-1:]))))  # y is normalised first; down reads y as it is
""")


def _forward(cls):
    adapter, y = cls(16, 4), torch.randn(2, 3, 16)
    for p in adapter.parameters():
        p.data.normal_()
    with torch.no_grad():
        out, right = adapter(y), y + adapter.up(F.gelu(adapter.down(y)))
        if torch.allclose(out, right, atol=1e-5):
            return None
        for code, message in FORWARDS:
            wrong = expression("y, d, u", code, {"torch": torch, "F": F})
            if torch.allclose(out, wrong(y, adapter.down, adapter.up), atol=1e-5):
                return message
    return f"with weights of size 1 it is off by {(out - right).abs().max():.2g} from y + up(gelu(down(y)))"


def _gradients(cls):
    """The values are right; do the gradients of y and of every weight go through, too?"""
    adapter, y = cls(16, 4), torch.randn(2, 3, 16, requires_grad=True)
    for p in adapter.parameters():
        p.requires_grad_().data.normal_()
    named = {"y": y, **dict(adapter.named_parameters())}
    weights = torch.randn(2, 3, 16)
    right = _pulled((y + adapter.up(F.gelu(adapter.down(y)))) * weights, named)
    got = _pulled(adapter(y) * weights, named)
    if not any(g.any() for g in got.values()):
        return f"the values are right, but no gradient comes through forward: {CUTS}"
    if not any(got[name].any() for name in named if name != "y" and right[name].any()):
        return f"the values are right, but no gradient reaches down and up, so the adapter would never learn: {CUTS}"
    for name in named:
        if not same(got[name], right[name], 1e-3):
            part = "the skip's y or what down reads" if name == "y" else "a part of forward"
            return (
                f"the values are right, but the gradient of {name} is not: {part} is cut off by .detach() or no_grad()"
            )
    return None


def _pulled(out, named):
    """name -> gradient of the sum of `out`, zeros where none arrives."""
    if not out.requires_grad:
        return {name: torch.zeros_like(t) for name, t in named.items()}
    grads = torch.autograd.grad(out.sum(), list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(t) if g is None else g for (n, t), g in zip(named.items(), grads, strict=True)}


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


build_adapter = exercise("01a", "width, size, std", Adapter, (), "", _shape, _forward, _start, _gradients)


# ---- 01b: its size

count_adapter = exercise(
    "01b",
    "width, size",
    "2 * width * size + width + size",
    [(4, 2), (384, 64), (768, 64), (1024, 256)],
    """
    2 * width * size                       # the two biases are missing
    2 * width * size + width               # the bias of down is missing: it has one value a bottleneck unit
    2 * width * size + size                # the bias of up is missing: it has one value for each of the width
    2 * width * size + 2 * size            # both biases are counted with the bottleneck's size; up's has the width
    2 * width * size + 2 * width           # both biases are counted with the width; down's has the bottleneck's size
    width * size + width + size            # only one of the two matrices is counted
    width * size                           # only one of the two matrices is counted, and no bias
    2 * (2 * width * size + width + size)  # that is a whole layer with its two adapters; count one
    2 * (width * size + width + size)      # each bias is counted twice: down's has `size` values, up's `width`
    width ** 2 + width + size              # that is a square matrix; down and up are width x size and size x width
    """,
)


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
    (_at("attention.output", "output"),
     "the adapters sit after the residual and the LayerNorm; hook the two output.dropout"),
    (_at("attention.output.dense", "output.dense"), "the adapters sit before the dropout; hook the two output.dropout"),
    (_at("output.dropout", "attention.output.dropout"), "the two adapters are swapped"),
    (lambda layer, a, b: _insert(layer, b, b),
     "both places run the second adapter: a lambda in a loop sees the loop's last value"),
    (lambda layer, a, b: _insert(layer, a, a), "both places run the first adapter"),
    (lambda layer, a, b: _insert(layer, a, nn.Identity()),
     "only the attention's adapter runs; the feed-forward block needs the second"),
    (lambda layer, a, b: _insert(layer, nn.Identity(), b),
     "only the feed-forward block's adapter runs; the attention needs the first"),
    (_at(*ENDS, change=lambda adapter, out: out + adapter(out)),
     "the output is added twice: the adapter has a skip of its own"),
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


def _trained(insert):
    """name -> gradient of x, of both adapters and of the layer, after insert."""
    layer, first, second, x = _layer()
    insert(layer, first, second)
    out = layer.eval()(x.requires_grad_())
    parts = {"the first adapter": first, "the second adapter": second, "the layer": layer}
    named = {f"{part}'s {n}": p for part, module in parts.items() for n, p in module.named_parameters()}
    out = out[0] if isinstance(out, tuple) else out
    return _pulled(out * torch.randn(out.shape, generator=torch.Generator().manual_seed(3)), {"x": x, **named})


def _cut_off(insert):
    got, right = _trained(insert), _trained(_insert)
    for part in ("the first adapter", "the second adapter"):
        if not any(g.any() for name, g in got.items() if name.startswith(part)):
            return f"the output is right, but no gradient reaches {part}'s weights: {CUTS}"
    for name, gradient in right.items():
        if not same(got[name], gradient, 1e-3):
            return f"the output is right, but the gradient of {name} is not: {CUTS}"
    return None


def _is_hook(hook):
    """Can it be called with module, args and output?"""
    try:
        inspect.signature(hook.forward if isinstance(hook, nn.Module) else hook).bind(*"mao")
    except TypeError:
        return False
    return True


def _inserted(fn):
    layer, first, second, _ = _layer()
    fn(layer, first, second)
    if not all(_is_hook(hook) for module in layer.modules() for hook in module._forward_hooks.values()):
        return "a hook is called with (module, args, output): lambda module, args, output: adapter(output)"
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
    if len(handles) != 2 or not all(hasattr(h, "remove") for h in handles):
        return "return the two handles that register_forward_hook gave, in a list"
    for handle in handles:
        handle.remove()
    if not same(_sent(layer, x), bare):
        return "after both handles' remove() the layer still differs from the untouched one"
    return _cut_off(fn)


insert_adapters = exercise("01c", "layer, first, second", _insert, (), "", _inserted, returns=[])


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
    return model.train().requires_grad_(flag), adapters


def _chosen(fn):
    for flag in (True, False):
        model, adapters = _tiny_model(flag)
        fn(model, adapters)
        diagnosis = _no_effect(model) or _trained_parts(model, adapters)
        if diagnosis:
            return diagnosis
    return None


def _no_effect(model):
    """Lines that look as if they froze something."""
    if any("requires_grad" in vars(module) for module in model.modules()):
        return (
            "`module.requires_grad = False` sets an attribute that nobody reads;"
            " call module.requires_grad_(False), with the underscore"
        )
    if any("requires_grad_" in vars(part) for part in [*model.modules(), *model.parameters()]):
        return "requires_grad_ is a method: call it, requires_grad_(False), or set p.requires_grad = False"
    return None


def _trained_parts(model, adapters):
    norms = {n: m for n, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    own = {p for part in [adapters, model.classifier, *norms.values()] for p in part.parameters()}
    pooler = list(model.bert.pooler.parameters())
    rest = [p for p in model.bert.parameters() if p not in own and all(p is not q for q in pooler)]
    if not any(p.requires_grad for p in model.parameters()):
        return "everything is frozen, the adapters too: nothing would be trained"
    if all(p.requires_grad for p in rest) and not model.training:
        return "eval() switches dropout off, and freezes nothing: model.requires_grad_(False)"
    if all(p.requires_grad for p in rest):
        return (
            f"the base is not frozen: {sum(p.numel() for p in rest):,} of its parameters would be trained "
            "(requires_grad_ with the underscore, on the model)"
        )
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


choose_trained = exercise("01d", "model, adapters", _choose, (), "", _chosen, in_place=True)
