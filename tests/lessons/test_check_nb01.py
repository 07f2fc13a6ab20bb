"""Every common wrong answer to the exercises of 01 gets its own message."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adapterlab import check

# ---- 01a


class Learner(nn.Module):
    """A right answer in words of its own; the wrong ones below change one thing each."""

    def __init__(self, width, size, std=1e-2):
        super().__init__()
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width)
        self.start(std)

    def start(self, std):
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, 0.0, std, -2 * std, 2 * std)
            linear.bias.data.zero_()

    def forward(self, y):
        return y + self.up(nn.GELU()(self.down(y)))


def starts(change):
    return type("Wrong", (Learner,), {"start": change})


def forwards(change):
    return type("Wrong", (Learner,), {"forward": change})


def init(weight=None, bias=None, only=("down", "up")):
    """A `start` that is right except for this."""

    def start(self, std):
        Learner.start(self, std)
        for name in only:
            linear = getattr(self, name)
            if weight:
                weight(linear.weight, std)
            if bias:
                bias(linear.bias)

    return starts(start)


def in_place(self, y):
    y += self.up(F.gelu(self.down(y)))
    return y


class Sequence(nn.Module):
    def __init__(self, width, size, std=1e-2):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, size), nn.GELU(), nn.Linear(size, width))

    def forward(self, y):
        return y + self.net(y)


class Swapped(Learner):
    def __init__(self, width, size, std=1e-2):
        nn.Module.__init__(self)
        self.down, self.up = nn.Linear(width, width), nn.Linear(width, width)
        self.start(std)


class NoBias(Learner):
    def __init__(self, width, size, std=1e-2):
        nn.Module.__init__(self)
        self.down, self.up = nn.Linear(width, size), nn.Linear(size, width, bias=False)

        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, 0.0, std, -2 * std, 2 * std)
        self.down.bias.data.zero_()


MODULES = {
    "no skip": (forwards(lambda self, y: self.up(F.gelu(self.down(y)))), "the skip connection is missing"),
    "no activation": (forwards(lambda self, y: y + self.up(self.down(y))), "there is no activation"),
    "neither": (forwards(lambda self, y: self.up(self.down(y))), "both the skip connection and the activation"),
    "activation last": (forwards(lambda self, y: y + F.gelu(self.up(self.down(y)))), "comes after up"),
    "activation over all": (forwards(lambda self, y: F.gelu(y + self.up(self.down(y)))), "bends the skip"),
    "relu": (forwards(lambda self, y: y + self.up(F.relu(self.down(y)))), "is ReLU"),
    "tanh": (forwards(lambda self, y: y + self.up(torch.tanh(self.down(y)))), "is tanh"),
    "approximation": (forwards(lambda self, y: y + self.up(F.gelu(self.down(y), approximate="tanh"))), "tanh approximation"),
    "twice": (forwards(lambda self, y: 2 * y + self.up(F.gelu(self.down(y)))), "added twice"),
    "product": (forwards(lambda self, y: y * self.up(F.gelu(self.down(y)))), "not a product"),
    "other": (forwards(lambda self, y: y + 3 * self.up(F.gelu(self.down(y)))), "it is off by"),
    "in place": (forwards(in_place), "in place"),
    "returns nothing": (forwards(lambda self, y: None), "is a `return` missing"),
    "stays narrow": (forwards(lambda self, y: F.gelu(self.down(y))), "(2, 3, 4) came out"),
    "other names": (Sequence, "under the names down and up"),
    "no bottleneck": (Swapped, "Linear(width, size)"),
    "torch's own start": (starts(lambda self, std: None), "up.weight is not near zero: the output moved by 0."),
    "only down starts small": (init(lambda w, std: w.data.normal_(), only=("up",)), "up.weight is not near zero"),
    "only up starts small": (init(lambda w, std: w.data.normal_(), only=("down",)), "down.weight is not near zero"),
    "all zero": (init(lambda w, std: w.data.zero_()), "no gradient could ever reach"),
    "up zero": (init(lambda w, std: w.data.zero_(), only=("up",)), "up.weight is exactly zero"),
    "bias": (init(bias=lambda b: b.data.fill_(0.1), only=("up",)), "up.bias does not start at zero: the output moved by 0.1"),
    "not truncated": (init(lambda w, std: nn.init.normal_(w, std=std)), "beyond two standard deviations"),
    "cut at +-2": (init(lambda w, std: nn.init.trunc_normal_(w, std=std)), "the cuts a and b are absolute"),
    "uniform": (init(lambda w, std: nn.init.uniform_(w, -2 * std, 2 * std)), "a normal cut off at two std has 0.88"),
    "std ignored": (init(lambda w, std: nn.init.trunc_normal_(w, std=1e-2, a=-2e-2, b=2e-2)), "std is not used"),
    "no bias": (NoBias, "has no bias"),
    "frozen": (starts(lambda self, std: (Learner.start(self, std), self.requires_grad_(False))), "own parameters are frozen"),
}  # fmt: skip


@pytest.mark.parametrize("case", MODULES)
def test_build_adapter(case):
    wrong, message = MODULES[case]
    assert message in check.build_adapter.verdict(wrong)


def test_the_movement_is_measured():
    """The number in the diagnosis is how far a default-initialised adapter moves a standard normal input."""
    found = check.build_adapter.verdict(starts(lambda self, std: None))
    assert 0.2 < float(found.rsplit(" ", 1)[1]) < 2


# ---- 01b

COUNTS = {
    "no biases": (lambda d, m: 2 * d * m, "two biases are missing"),
    "bias of down": (lambda d, m: 2 * d * m + d, "the bias of down is missing"),
    "bias of up": (lambda d, m: 2 * d * m + m, "the bias of up is missing"),
    "biases of size": (lambda d, m: 2 * d * m + 2 * m, "counted with the bottleneck's size"),
    "biases of width": (lambda d, m: 2 * d * m + 2 * d, "counted with the width"),
    "one matrix": (lambda d, m: d * m + d + m, "only one of the two matrices"),
    "a layer": (lambda d, m: 4 * d * m + 2 * d + 2 * m, "a whole layer"),
    "other": (lambda d, m: d + m, "expected 22"),
}


@pytest.mark.parametrize("case", COUNTS)
def test_count_adapter(case):
    wrong, message = COUNTS[case]
    assert message in check.count_adapter.verdict(wrong)


# ---- 01c


def hooks(first_at, second_at, call=lambda adapter: lambda module, args, output: adapter(output)):
    def insert(layer, first, second):
        return [
            layer.get_submodule(at).register_forward_hook(call(adapter))
            for at, adapter in ((first_at, first), (second_at, second))
        ]

    return insert


A, B = "attention.output.dropout", "output.dropout"


def both_the_last(layer, first, second):
    handles = []
    for place, adapter in ((layer.attention.output.dropout, first), (layer.output.dropout, second)):
        handles.append(place.register_forward_hook(lambda module, args, output: adapter(output)))  # noqa: B023
    return handles


def rebuilt(layer, first, second):
    layer.attention.output.dropout = nn.Sequential(layer.attention.output.dropout, first)
    layer.output.dropout = nn.Sequential(layer.output.dropout, second)
    return []


def no_handles(layer, first, second):
    hooks(A, B)(layer, first, second)
    return [1, 2]


def forgets_one(layer, first, second):
    extra = layer.output.register_forward_hook(lambda module, args, output: output.clone())
    handles = hooks(A, B)(layer, first, second)
    layer.output.LayerNorm.bias.data.add_(0.0)
    return [handles[0], extra]


INSERTS = {
    "hook returns nothing": (hooks(A, B, lambda a: lambda m, i, o: (a(o), None)[1]), "the hook returns nothing"),
    "no hook": (lambda layer, a, b: [], "no forward hook was registered"),
    "after the sub-layer": (hooks("attention.output", "output"), "after the residual and the LayerNorm"),
    "after LayerNorm": (hooks("attention.output.LayerNorm", "output.LayerNorm"), "LayerNorm; hook the two output.dropout"),
    "before dropout": (hooks("attention.output.dense", "output.dense"), "before the dropout"),
    "swapped": (lambda layer, a, b: hooks(A, B)(layer, b, a), "swapped"),
    "late binding": (both_the_last, "a lambda in a loop"),
    "first twice": (lambda layer, a, b: hooks(A, B)(layer, a, a), "run the first adapter"),
    "attention only": (lambda layer, a, b: hooks(A, B)(layer, a, nn.Identity()), "only the attention's"),
    "feed-forward only": (lambda layer, a, b: hooks(A, B)(layer, nn.Identity(), b), "only the feed-forward block's"),
    "skip twice": (hooks(A, B, lambda a: lambda m, i, o: o + a(o)), "has a skip of its own"),
    "on the input": (hooks(A, B, lambda a: lambda m, i, o: a(i[0])), "is off by"),
    "rebuilt": (rebuilt, "was rebuilt"),
    "no handles": (no_handles, "return the two handles"),
    "wrong handle": (forgets_one, "still differs"),
    "returns nothing": (lambda layer, a, b: None, "is a `return` missing"),
    "other module": (hooks("attention", B), "it raised"),
}  # fmt: skip


@pytest.mark.parametrize("case", INSERTS)
def test_insert_adapters(case):
    wrong, message = INSERTS[case]
    assert message in check.insert_adapters.verdict(wrong)


# ---- 01d


def chooses(base=False, pooler=False, adapters=True, head=True, norms=True, embedding_norm=True):
    def choose(model, mine):
        model.bert.requires_grad_(base)
        model.bert.pooler.requires_grad_(pooler)
        mine.requires_grad_(adapters)
        model.classifier.requires_grad_(head)
        for name, p in model.named_parameters():
            if "LayerNorm" in name:
                p.requires_grad_(embedding_norm if "embeddings" in name else norms)

    return choose


def without_underscore(model, adapters):
    for module in model.modules():
        module.requires_grad = False


def one_layer_left(model, adapters):
    chooses()(model, adapters)
    model.bert.encoder.layer[1].output.dense.requires_grad_(True)


def only_freezes(model, adapters):
    for name, p in model.named_parameters():
        if not name.startswith(("adapterlab", "classifier")) and "LayerNorm" not in name:
            p.requires_grad_(False)


CHOICES = {
    "nothing frozen": (lambda model, adapters: 0, "the base is not frozen"),
    "attribute of a module": (without_underscore, "the base is not frozen"),
    "base trained": (chooses(base=True), "the base is not frozen"),
    "one module trained": (one_layer_left, "bert.encoder.layer.1.output.dense.weight would be trained"),
    "pooler": (chooses(pooler=True), "the pooler would be trained"),
    "adapters": (chooses(adapters=False), "the adapters are frozen"),
    "head": (chooses(head=False), "the head (model.classifier) is frozen"),
    "norms": (chooses(norms=False, embedding_norm=False), "no LayerNorm is trained"),
    "embeddings' norm": (chooses(embedding_norm=False), "bert.embeddings.LayerNorm is left out"),
    "all frozen": (lambda model, adapters: model.requires_grad_(False), "everything is frozen"),
    "switches nothing on": (only_freezes, "everything is frozen"),
}


@pytest.mark.parametrize("case", CHOICES)
def test_choose_trained(case):
    wrong, message = CHOICES[case]
    assert message in check.choose_trained.verdict(wrong)


# ---- right, and blank


class Half(nn.Module):
    """As the notebook's stub is."""

    def __init__(self, width, size, std=1e-2):
        super().__init__()
        self.down = nn.Linear(width, size)
        self.up = nn.Linear(size, width)
        ...

    def forward(self, y): ...


def test_right_answers():
    assert check.build_adapter.verdict(Learner) == "correct"
    assert check.count_adapter.verdict(lambda d, m: m * (2 * d + 1) + d) == "correct"
    assert check.insert_adapters.verdict(hooks(A, B)) == "correct"
    assert check.choose_trained.verdict(chooses()) == "correct"


def test_blank_answers():
    def insert(layer, first, second): ...

    def choose(model, adapters):
        """Later."""

    assert check.build_adapter.verdict(Half) == "not attempted"
    assert check.insert_adapters.verdict(insert) == "not attempted"
    assert check.choose_trained.verdict(choose) == "not attempted"


def test_the_reference_is_right():
    for name in ("build_adapter", "count_adapter", "insert_adapters", "choose_trained"):
        exercise = getattr(check, name)
        assert exercise.verdict(exercise.reference) == "correct"
