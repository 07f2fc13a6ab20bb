"""The exercises that a table cannot hold: what each wrong answer is told, and what else is right."""

import math
import textwrap

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from adapterlab.lessons import check
from adapterlab.lessons.kit.exercise import CORRECT, NOT_ATTEMPTED, table
from adapterlab.lessons.nb01_build.exercises import ENDS, FORWARDS, _hook
from adapterlab.lessons.nb02_fine_tune.exercises import LOOPS, _loop

EXERCISES = check.exercises()


def code(arguments, body, **names):
    """The function of these arguments with this body: lines, or an expression to return."""
    body = body if "\n" in body or "=" in body.split("(")[0] or body.startswith("for ") else f"return {body}"
    space = {"torch": torch, "nn": nn, "F": F, "math": math, **names}
    exec(f"def answer({arguments}):\n{textwrap.indent(textwrap.dedent(body), '    ')}", space)
    return space["answer"]


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


def forwards(body):
    return type("Wrong", (Learner,), {"forward": code("self, y", body)})


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


def forward(self, y): ...


class Sequence(nn.Module):
    def __init__(self, width, size, std=1e-2):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, size), nn.GELU(), nn.Linear(size, width))

    def forward(self, y):
        return y + self.net(y)


def linears(*make):
    """A module whose two layers are what these functions of (width, size) make."""

    def init(self, width, size, std=1e-2):
        nn.Module.__init__(self)
        self.down, self.up = (m(width, size) for m in make)
        for linear in (self.down, self.up):
            nn.init.trunc_normal_(linear.weight, 0.0, std, -2 * std, 2 * std)
            None if linear.bias is None else linear.bias.data.zero_()

    return type("Wrong", (Learner,), {"__init__": init})


UP_DOWN = "self.up(F.gelu(self.down(y)))"
MODULES = {
    "other": (forwards(f"y + 3 * {UP_DOWN}"), "it gives"),
    "in place": (forwards(f"y += {UP_DOWN}\nreturn y"), "in place"),
    "skip detached": (forwards(f"y.detach() + {UP_DOWN}"), "the gradient of y is not"),
    "detached": (forwards(f"(y + {UP_DOWN}).detach()"), "no gradient reaches y"),
    "no_grad": (forwards(f"with torch.no_grad():\n    change = {UP_DOWN}\nreturn y + change"), "the gradient of y is not"),
    "numpy": (forwards(f"(y + {UP_DOWN}).detach().numpy()"), "stay in torch"),
    "tuple": (forwards(f"(y + {UP_DOWN},)"), "a comma at the end"),
    "yield": (forwards(f"yield y + {UP_DOWN}\n"), "write `return`"),
    "raises": (forwards("y + self.upp(y)"), "it raised AttributeError"),
    "only the start": (type("Half", (nn.Module,), {"__init__": Learner.__init__, "start": Learner.start, "forward": forward}), "the initialisation is there, forward is not"),
    "returns nothing": (forwards("None"), "is a `return` missing"),
    "stays narrow": (forwards("F.gelu(self.down(y))"), "up is missing"),
    "other names": (Sequence, "under the names down and up"),
    "no bottleneck": (linears(*[lambda width, size: nn.Linear(width, width)] * 2), "Linear(width, size)"),
    "torch's own start": (starts(lambda self, std: None), "up.weight is not near zero: the output moved by 0."),
    "only down starts small": (init(lambda w, std: w.data.normal_(), only=("up",)), "up.weight is not near zero"),
    "only up starts small": (init(lambda w, std: w.data.normal_(), only=("down",)), "down.weight is not near zero"),
    "all zero": (init(lambda w, std: w.data.zero_()), "no gradient could ever reach"),
    "up zero": (init(lambda w, std: w.data.zero_(), only=("up",)), "up.weight is exactly zero"),
    "bias": (init(bias=lambda b: b.data.fill_(0.1), only=("up",)), "up.bias does not start at zero: the output moved by 0.1"),
    "not truncated": (init(lambda w, std: nn.init.normal_(w, std=std)), "goes beyond two std"),
    "cut at +-2": (init(lambda w, std: nn.init.trunc_normal_(w, std=std)), "the cuts a and b are absolute"),
    "uniform": (init(lambda w, std: nn.init.uniform_(w, -2 * std, 2 * std)), "a normal cut off at two std has 0.88"),
    "std ignored": (init(lambda w, std: nn.init.trunc_normal_(w, std=1e-2, a=-2e-2, b=2e-2)), "std is not used"),
    "no bias": (linears(nn.Linear, lambda width, size: nn.Linear(size, width, bias=False)), "has no bias"),
    "frozen": (starts(lambda self, std: (Learner.start(self, std), self.requires_grad_(False))), "own parameters are frozen"),
}  # fmt: skip


def test_the_movement_is_measured():
    """The number in the diagnosis is how far a default-initialised adapter moves a standard normal input."""
    found = EXERCISES["build_adapter"].verdict(starts(lambda self, std: None))
    assert 0.2 < float(found.rsplit(" ", 1)[1]) < 2


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
    "hook returns nothing": (hooks(A, B, lambda a: lambda m, i, o: (a(o), None)[1]), "or it returns nothing"),
    "no hook": (lambda layer, a, b: [], "no forward hook was registered"),
    "late binding": (both_the_last, "a lambda in a loop"),
    "on the input": (hooks(A, B, lambda a: lambda m, i, o: a(i[0])), "it gives"),
    "rebuilt": (rebuilt, "was rebuilt"),
    "module as hook": (lambda layer, a, b: [layer.output.dropout.register_forward_hook(m) for m in (a, b)], "called with (module, args, output)"),
    "hook of one argument": (hooks(A, B, lambda a: lambda output: a(output)), "called with (module, args, output)"),
    "detached": (hooks(A, B, lambda a: lambda m, i, o: a(o).detach()), "no gradient reaches first."),
    "detached input": (hooks(A, B, lambda a: lambda m, i, o: a(o.detach())), "the gradient of first."),
    "one handle": (lambda layer, a, b: hooks(A, B)(layer, a, b)[0], "a list is due"),
    "no handles": (no_handles, "return the two handles"),
    "wrong handle": (forgets_one, "still differs"),
    "returns nothing": (lambda layer, a, b: None, "is a `return` missing"),
    "other module": (hooks("attention", B), "it raised"),
}  # fmt: skip


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


def choice(body):
    """An answer that begins right and goes on with these lines."""
    return code("model, adapters", body, choose=chooses())


ONLY_FREEZES = """
for name, p in model.named_parameters():
    if not name.startswith(("adapterlab", "classifier")) and "LayerNorm" not in name:
        p.requires_grad_(False)
"""
CHOICES = {
    "nothing frozen": (lambda model, adapters: 0, "the base is not frozen"),
    "attribute of a module": (choice("for module in model.modules():\n    module.requires_grad = False"), "an attribute that nobody reads"),
    "attribute of the model": (choice("model.requires_grad = False"), "an attribute that nobody reads"),
    "method of a parameter": (choice("for p in model.parameters():\n    p.requires_grad_ = False"), "is a method: call it"),
    "eval": (lambda model, adapters: model.eval(), "eval() switches dropout off"),
    "base trained": (chooses(base=True), "the base is not frozen"),
    "one module trained": (choice("choose(model, adapters)\nmodel.bert.encoder.layer[1].output.dense.requires_grad_(True)"), "bert.encoder.layer.1.output.dense.bias would be trained"),
    "pooler": (chooses(pooler=True), "the pooler would be trained"),
    "adapters": (chooses(adapters=False), "the adapters are frozen"),
    "head": (chooses(head=False), "the head (model.classifier) is frozen"),
    "norms": (chooses(norms=False, embedding_norm=False), "no LayerNorm is trained"),
    "embeddings' norm": (chooses(embedding_norm=False), "bert.embeddings.LayerNorm.bias is left out"),
    "all frozen": (lambda model, adapters: model.requires_grad_(False), "everything is frozen"),
    "switches nothing on": (choice(ONLY_FREEZES), "everything is frozen"),
}  # fmt: skip

# ---- 02b


LOOP = """
losses = []
model.train()
for inputs, labels in batches:
    optimizer.zero_grad()
    value = loss(model(**inputs), labels)
    value.backward()
    nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip)
    optimizer.step()
    schedule.step()
    losses.append(value.detach())
return losses
"""


def loops(line="losses = []", other="losses = []"):
    """A right loop in words of its own, with another line in the place of one."""
    assert LOOP.count(line) == 1
    return code("model, batches, optimizer, schedule, loss, clip", LOOP.replace(line, other))


CLIPS = "nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], clip)"
LOOPED = {
    "no step": (loops("    optimizer.step()\n", ""), "optimizer.step() is missing"),
    "no backward": (loops("    value.backward()\n", ""), "backward() is missing"),
    "cleared behind": (loops(CLIPS, "optimizer.zero_grad()"), "zero_grad() comes after it"),
    "hard-coded clip": (loops(", clip)", ", 1.0)"), "the weights are off by"),
    "one loss": (loops("return losses", "return losses[-1:]"), "three batches went in and 1 losses came back"),
    "other losses": (loops("value.detach()", "2 * value.item()"), "the losses returned are not"),
}


@pytest.mark.parametrize(("change", "message"), LOOPS, ids=[message for _, message in LOOPS])
def test_a_loop_gets_its_own_message(change, message):
    def wrong(model, batches, optimizer, schedule, loss, clip):
        return _loop(model, batches, optimizer, schedule, loss, clip, **change)

    assert EXERCISES["training_loop"].verdict(wrong) == message


# ---- 06a


def draws(draw):
    return lambda rows, columns, std: draw(torch.empty(rows, columns), std)


def cut(w, std):
    return nn.init.trunc_normal_(w, std=std, a=-2 * std, b=2 * std)


DRAWS = {
    "cut at 2": (draws(lambda w, s: nn.init.trunc_normal_(w, std=s)), "not at two standard deviations"),
    "not cut": (draws(lambda w, s: nn.init.normal_(w, std=s)), "2 is the limit"),
    "clamped": (draws(lambda w, s: nn.init.normal_(w, std=s).clamp_(-2 * s, 2 * s)), "heaps"),
    "uniform": (draws(lambda w, s: nn.init.uniform_(w, -2 * s, 2 * s)), "spread evenly"),
    "variance": (draws(lambda w, s: cut(w, s**0.5)), "variance"),
    "zeros": (draws(lambda w, s: nn.init.zeros_(w)), "never learns"),
    "turned": (draws(lambda w, s: cut(w.T.contiguous(), s)), "gives the shape (400, 300)"),
    "half": (draws(lambda w, s: 0.5 * s * torch.randn_like(w)), "spread 0.50 std"),
    "shifted": (draws(lambda w, s: cut(w, s) + s / 10), "the mean 0.10 std"),
    "seeded": (draws(lambda w, s: (torch.manual_seed(0), cut(w, s))[1]), "two calls give the same"),
    "numpy": (draws(lambda w, s: cut(w, s).numpy()), "stay in torch"),
    "a module's weight": (lambda rows, columns, std: cut(nn.Linear(columns, rows).weight, std), CORRECT),
}

# ---- 09b


def affine_by(body):
    return code("f, width", f"a, b, zero = torch.randn(width), torch.randn(width), torch.zeros(width)\nreturn {body}")


AFFINE = {
    "midpoint": (affine_by("torch.allclose((f(a) + f(b)) / 2, f((a + b) / 2), atol=1e-4)"), CORRECT),
    "0 or 1": (affine_by("int(torch.allclose(f(a + b) + f(zero), f(a) + f(b), atol=1e-4))"), CORRECT),
    "a tensor": (affine_by("((f(a + b) + f(zero) - f(a) - f(b)).abs() < 1e-3).all()"), CORRECT),
    "a tensor of many": (affine_by("(f(a + b) + f(zero) - f(a) - f(b)).abs() < 1e-3"), "where True or False is due"),
    "always": (affine_by("True"), "True of every function"),
    "never": (affine_by("False"), "False of every function: compare"),
    "turned": (affine_by("not torch.allclose(f(a + b) + f(zero), f(a) + f(b), atol=1e-4)"), "turned round"),
    "linear": (affine_by("torch.allclose(f(a + b), f(a) + f(b), atol=1e-4)"), "W x + b is affine, "),
    "scaled": (affine_by("torch.allclose(f(3 * a) - f(zero), 3 * (f(a) - f(zero)), atol=1e-4)"), "relu is not affine"),
    "mirrored": (affine_by("torch.allclose(f(-a) - f(zero), f(zero) - f(a), atol=1e-4)"), "x^3 is not affine"),
    "zero to zero": (affine_by("torch.allclose(f(zero), zero)"), "W x + b is affine, "),
    "odd": (affine_by("not torch.allclose(f(a).abs(), a.abs())"), "relu is not affine, and your test says otherwise"),
    "a string": (affine_by("'yes'"), "a string, where True or False is due"),
}

# ---- 12c


def joins(body):
    return code("parts", f"return {body}\n")


JOINED = {
    "summed": (joins("sum(s * B for s, B, A in parts), sum(A for s, B, A in parts)"), "cross terms"),
    "scale on A": (joins("sum(B for s, B, A in parts), sum(s * A for s, B, A in parts)"), "cross terms"),
    "no scales": (joins("torch.cat([B for s, B, A in parts], 1), torch.cat([A for s, B, A in parts])"), "scales are missing"),
    "twice": (joins("torch.cat([s * B for s, B, A in parts], 1), torch.cat([s * A for s, B, A in parts])"), "counts twice"),
    "mean": (joins("torch.cat([s * B for s, B, A in parts], 1) / 2, torch.cat([A for s, B, A in parts])"), "averages"),
    "first alone": (joins("(torch.cat([parts[0][1]] * 2, 1), torch.cat([parts[0][2]] * 2))"), "off by"),
    "first": (joins("parts[0][1], parts[0][2]"), "off by"),
    "other dims": (joins("torch.cat([s * B for s, B, A in parts]), torch.cat([A for s, B, A in parts], 1)"), "join B's columns"),
    "swapped": (joins("torch.cat([A for s, B, A in parts]), torch.cat([s * B for s, B, A in parts], 1)"), "return B first"),
    "B alone": (joins("torch.cat([B for s, B, A in parts])"), "a tensor, where a tuple is due of 2"),
    "roots": (joins("torch.cat([math.sqrt(s) * B for s, B, A in parts], 1), torch.cat([math.sqrt(s) * A for s, B, A in parts])"), "may be subtracted"),
    "powers": (joins("torch.cat([s ** 0.5 * B for s, B, A in parts], 1), torch.cat([s ** 0.5 * A for s, B, A in parts])"), "may be subtracted"),
    "torch roots": (joins("torch.cat([torch.tensor(s).sqrt() * B for s, B, A in parts], 1), torch.cat([torch.tensor(s).sqrt() * A for s, B, A in parts])"), "may be subtracted"),
    "blank": (joins("..."), NOT_ATTEMPTED),
    "on A": (joins("torch.cat([B for s, B, A in parts], 1), torch.cat([s * A for s, B, A in parts])"), CORRECT),
    "a list": (joins("[torch.cat([B for s, B, A in parts], 1), torch.cat([s * A for s, B, A in parts])]"), CORRECT),
}  # fmt: skip


STRUCTURAL = {
    "build_adapter": MODULES, "insert_adapters": INSERTS, "choose_trained": CHOICES, "training_loop": LOOPED,
    "new_weight": DRAWS, "is_affine": AFFINE, "concatenate": JOINED,
}  # fmt: skip


@pytest.mark.parametrize(("wrong", "message"), table(FORWARDS))
def test_a_forward_pass_gets_its_own_message(wrong, message):
    answer = forwards(f"up, down = self.up, self.down\nreturn {wrong}")
    assert EXERCISES["build_adapter"].verdict(answer) == message


PLACES = {
    "after the residual": (("attention.output", "output"), lambda a, b: (a, b)),
    "before the dropout": (("attention.output.dense", "output.dense"), lambda a, b: (a, b)),
    "are swapped": (ENDS, lambda a, b: (b, a)),
    "run the second": (ENDS, lambda a, b: (b, b)),
    "run the first": (ENDS, lambda a, b: (a, a)),
    "only the attention's": (ENDS, lambda a, b: (a, nn.Identity())),
    "only the feed-forward": (ENDS, lambda a, b: (nn.Identity(), b)),
    "added twice": (ENDS, lambda a, b: (lambda y: y + a(y), lambda y: y + b(y))),
}


@pytest.mark.parametrize("words", PLACES)
def test_a_place_gets_its_own_message(words):
    places, adapters = PLACES[words]
    assert words in EXERCISES["insert_adapters"].verdict(lambda layer, a, b: _hook(layer, places, adapters(a, b)))


@pytest.mark.parametrize(("name", "case"), [(name, case) for name, cases in STRUCTURAL.items() for case in cases])
def test_an_answer_is_diagnosed(name, case):
    answer, words = STRUCTURAL[name][case]
    verdict = EXERCISES[name].verdict(answer)
    assert words in verdict and len(verdict) < 260


def test_right_answers_in_other_words():
    answers = {"build_adapter": Learner, "insert_adapters": hooks(A, B), "choose_trained": chooses()}
    for name, answer in {**answers, "training_loop": loops()}.items():
        assert EXERCISES[name].verdict(answer) == CORRECT


class Half(nn.Module):
    """As the notebook's stub is."""

    def __init__(self, width, size, std=1e-2):
        super().__init__()
        self.down = nn.Linear(width, size)
        self.up = nn.Linear(size, width)
        ...

    def forward(self, y): ...


class Begun(Half):
    def __init__(self, width, size, std=1e-2):
        super().__init__(width, size)
        for linear in (self.down, self.up):
            linear.bias.data.zero_()
        ...

    def forward(self, y): ...


def test_the_notebooks_stub_is_not_attempted():
    assert EXERCISES["build_adapter"].verdict(Half) == NOT_ATTEMPTED
    assert EXERCISES["build_adapter"].verdict(Begun) == "the initialisation is there, forward is not"
