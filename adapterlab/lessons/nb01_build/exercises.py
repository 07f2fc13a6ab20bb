"""Exercises of 01_build_an_adapter: the module, its size, where it goes, what is trained."""

import inspect

import torch
from torch import nn
from torch.nn import functional as F

from ..kit.exercise import exercise, random_tensors

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


def _parts(cls):
    linears = [getattr(cls(16, 4), name, None) for name in ("down", "up")]
    if not all(isinstance(linear, nn.Linear) for linear in linears):
        return "keep the two nn.Linear under the names down and up"
    shapes = [tuple(linear.weight.shape) for linear in linears]
    if shapes != [(4, 16), (16, 4)]:
        return f"down must be Linear(width, size) and up Linear(size, width); their weights are {shapes} for (16, 4)"
    if any(linear.bias is None for linear in linears):
        return "one of the two layers has no bias; the adapter's 2md + d + m parameters count both"
    return None


def _random(*modules):
    """These modules with weights of size 0.7, always the same."""
    parameters = [p for module in modules for p in module.parameters()]
    for p, numbers in zip(parameters, random_tensors(*(p.shape for p in parameters)), strict=True):
        p.data = 0.7 * numbers
    return modules


def _with_weights(cls):
    """What the learner's forward makes of y, given both layers."""

    def run(y, down, up):
        adapter = cls(16, 4)
        adapter.down, adapter.up = down, up
        return adapter(y)

    return run


FORWARDS = """
    y                                # y comes back unchanged: add up(gelu(down(y)))
    up(F.gelu(down(y)))              # the skip connection is missing: return y + up(gelu(down(y)))
    F.gelu(down(y))                  # up is missing: it must bring the bottleneck back to the width
    y + up(down(y))                  # there is no activation: two linear layers in a row are one linear layer
    up(down(y))                      # both the skip connection and the activation are missing
    y + F.gelu(up(down(y)))          # the activation comes after up; it belongs between down and up
    y + up(down(F.gelu(y)))          # the activation comes before down; it belongs between down and up
    F.gelu(y + up(down(y)))          # the activation bends the skip too; it belongs between down and up
    F.gelu(y + up(F.gelu(down(y))))
    y + F.gelu(up(F.gelu(down(y))))  # there is a second activation; one, between down and up, is due
    y + up(F.relu(down(y)))
    y + up(torch.tanh(down(y)))
    y + up(F.silu(down(y)))
    y + up(F.gelu(down(y), approximate="tanh"))  # the activation is another one; the published code has F.gelu
    2 * y + up(F.gelu(down(y)))      # the input is added twice
    y - up(F.gelu(down(y)))          # the correction is subtracted; it is added to y
    y * up(F.gelu(down(y)))          # the skip is an addition, y + ..., not a product
    y + up(F.gelu(down(F.layer_norm(y, y.shape[-1:]))))  # y is normalised first; down reads y as it is
    """
_forward = exercise(
    "01a", "y, down, up", "y + up(F.gelu(down(y)))",
    [(*random_tensors((2, 3, 16)), *_random(nn.Linear(16, 4), nn.Linear(4, 16)))],
    FORWARDS, gradients=True,
    keeps={"y": "forward changes its input in place; the model still needs it: write y + ..., not y += ..."},
).through(_with_weights)  # fmt: skip


def _start(cls):
    std = 1e-2
    adapter, y = cls(384, 64, std), torch.randn(2, 9, 384)
    moved = f"the output moved by {(adapter(y) - y).abs().max():.2g}"
    weights = {"up.weight": adapter.up.weight, "down.weight": adapter.down.weight}
    if not any(w.any() for w in weights.values()):
        return "both weights are exactly zero: no gradient could ever reach either of them"
    for name, w in weights.items():
        if w.std() > 2 * std:
            return f"{name} is not near zero: {moved}"
    for name, b in (("up.bias", adapter.up.bias), ("down.bias", adapter.down.bias)):
        if b.any():
            return f"{name} does not start at zero: {moved}"
    for name, w in weights.items():
        if not w.any():
            return f"{name} is exactly zero; the paper draws both weights from a narrow normal"
        if w.abs().max() > 2.001 * std:
            return f"{name} goes beyond two std; in trunc_normal_ the cuts a and b are absolute: a=-2 * std, b=2 * std"
        if not 0.82 < (spread := w.std().item() / std) < 0.94:
            return f"the spread of {name} is {spread:.2f} std; a normal cut off at two std has 0.88"
    narrow = cls(384, 64, std / 10)
    if max(narrow.down.weight.std(), narrow.up.weight.std()) > 0.5 * std:
        return "the argument std is not used: std=1e-3 gives the same weights as std=1e-2"
    if not all(p.requires_grad for p in adapter.parameters()):
        return "the adapter's own parameters are frozen; they are what will be trained"
    return None


build_adapter = exercise("01a", "width, size, std", Adapter, (), "", _parts, _forward, _start)


# ---- 01b: its size

count_adapter = exercise("01b", "width, size", "2 * width * size + width + size",
    [(4, 2), (384, 64), (768, 64), (1024, 256)], """
    2 * width * size                       # the two biases are missing
    2 * width * size + width               # the bias of down is missing: it has one value a bottleneck unit
    2 * width * size + size                # the bias of up is missing: it has one value for each of the width
    2 * width * size + 2 * size
    2 * width * size + 2 * width           # one size is taken for both biases; down's has `size` values, up's `width`
    2 * (width * size + width + size)      # each bias is counted twice: down's has `size` values, up's `width`
    width * size + width + size
    width * size                           # only one of the two matrices is counted
    2 * (2 * width * size + width + size)  # that is a whole layer with its two adapters; count one
    width ** 2 + width + size              # that is a square matrix; down and up are width x size and size x width
""")  # fmt: skip


# ---- 01c: where it goes


def _hook(layer, places, adapters, change=lambda adapter, out: adapter(out)):
    """A forward hook at each of the places, dotted names; returns the handles."""
    return [
        layer.get_submodule(place).register_forward_hook(
            lambda module, args, output, adapter=adapter: change(adapter, output)
        )
        for place, adapter in zip(places, adapters, strict=True)
    ]


ENDS = ("attention.output.dropout", "output.dropout")


def _insert(layer, first, second):
    return _hook(layer, ENDS, (first, second))


def _layer():
    """Two unlike adapters, one random BERT layer with a lot of dropout, and something to send through."""
    from transformers import BertConfig
    from transformers.models.bert.modeling_bert import BertLayer

    config = BertConfig(
        hidden_size=8, intermediate_size=16, num_attention_heads=2, hidden_dropout_prob=0.5,
        attention_probs_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    first, second, layer = _random(Adapter(8, 3), Adapter(8, 3), BertLayer(config))
    return first, second, layer, *random_tensors((2, 4, 8))


def _sent(insert):
    """What the layer makes of x after `insert`, in both modes, the training mode with the same dropout every time."""

    def run(first, second, layer, x):
        insert(layer, first, second)
        return _both_modes(layer, x)

    return run


def _both_modes(layer, x):
    outputs = []
    for mode in (False, True):
        torch.manual_seed(2)
        outputs.append(layer.train(mode)(x))
    return torch.stack([out[0] if isinstance(out, tuple) else out for out in outputs])


def _signatures(insert):
    first, second, layer, _ = _layer()
    insert(layer, first, second)
    for hook in [hook for module in layer.modules() for hook in module._forward_hooks.values()]:
        try:
            inspect.signature(getattr(hook, "forward", hook)).bind(*"mao")
        except TypeError:
            return "a hook is called with (module, args, output): lambda module, args, output: adapter(output)"
    return None


def _handles(insert):
    first, second, layer, x = _layer()
    bare, handles = _both_modes(layer, x), insert(layer, first, second)
    if len(handles) != 2 or not all(hasattr(handle, "remove") for handle in handles):
        return "return the two handles that register_forward_hook gave, in a list"
    for handle in handles:
        handle.remove()
    if not torch.equal(_both_modes(layer, x), bare):
        return "after both handles' remove() the layer still differs from the untouched one"
    return None


#: What else the layer may put out, and what to say then.
INSERTS = """
    both(layer, x)  # the layer's output has not changed: no forward hook was registered, or it returns nothing
    at(("attention.output", "output"), first, second, layer, x)
        # the adapters sit after the residual and the LayerNorm; hook the two output.dropout
    at(("attention.output.dense", "output.dense"), first, second, layer, x)
        # the adapters sit before the dropout; hook the two output.dropout
    at(ends, second, first, layer, x)      # the two adapters are swapped
    at(ends, second, second, layer, x)     # both places run the second: a lambda in a loop sees the loop's last value
    at(ends, first, first, layer, x)       # both places run the first adapter
    at(ends, first, identity, layer, x)    # only the attention's adapter runs; the feed-forward block needs the second
    at(ends, identity, second, layer, x)   # only the feed-forward block's adapter runs; the attention needs the first
    at(ends, first, second, layer, x, lambda adapter, out: out + adapter(out))
        # the output is added twice: the adapter has a skip of its own
    """


def _at(places, first, second, layer, x, *change):
    _hook(layer, places, (first, second), *change)
    return _both_modes(layer, x)


_inserted = exercise(
    "01c", "first, second, layer, x", _sent(_insert), [_layer()], INSERTS, gradients=True,
    names={"both": _both_modes, "at": _at, "ends": ENDS, "identity": nn.Identity()},
    keeps={"layer": "the layer itself was rebuilt; leave its modules alone and register hooks on them"},
).through(_sent)  # fmt: skip
insert_adapters = exercise("01c", "layer, first, second", _insert, (), "", _signatures, _inserted, _handles, returns=[])


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
        diagnosis = _no_effect(model) or _trained_parts(model)
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


def _trained_parts(model):
    parts = {"adapterlab": {}, "classifier": {}, "LayerNorm": {}, "pooler": {}, "": {}}
    for name, p in model.named_parameters():
        parts[next(part for part in parts if part in name)][name] = p
    adapters, head, norms, pooler, base = parts.values()
    on = {name for name, p in model.named_parameters() if p.requires_grad}
    left = norms.keys() - on
    size = sum(p.numel() for p in base.values())
    wrong = {
        "everything is frozen, the adapters too: nothing would be trained": not on,
        "eval() switches dropout off, and freezes nothing: model.requires_grad_(False)":
            base.keys() <= on and not model.training,
        f"the base is not frozen: {size:,} of its parameters would be trained "
        "(requires_grad_ with the underscore, on the model)": base.keys() <= on,
        f"{min(base.keys() & on, default='')} would be trained; of the base the LayerNorms alone are": base.keys() & on,
        "the pooler would be trained; the recipe leaves it frozen": pooler.keys() & on,
        "the adapters are frozen: they hang on the model, so switch them on after freezing it": adapters.keys() - on,
        "the head (model.classifier) is frozen; it is new and has to learn its classes": head.keys() - on,
        "no LayerNorm is trained; the recipe trains them all": left == norms.keys(),
        f"{min(left, default='')} is left out; the recipe trains every LayerNorm": left,
    }  # fmt: skip
    return next((message for message, applies in wrong.items() if applies), None)


choose_trained = exercise("01d", "model, adapters", _choose, (), "", _chosen, in_place=True)

QUIZ = """c a b
    1 a  # write down the gradient of one matrix: the other one is a factor in it, and that is zero
    1 b  # one parameter is added after everything else: no zero stands between it and the loss
    2 b  # follow y through the layer: two of its steps come between the two places
    2 c  # the residual is added once, inside the layer; what does the layer do to the sum?
    3 a  # with requires_grad=False none is computed; what else is needed of a frozen layer?
    3 c  # it keeps those of trained parameters, and it runs when the backward pass is over
"""
