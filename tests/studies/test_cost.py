"""Where a step's time and memory go, against what is known of a network of two layers."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from adapterlab.studies.cost import forward_time, step_memory, step_times

ROWS, IN, HIDDEN = 500, 10, 20


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(IN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 2)
        self.drop = nn.Dropout(0.0)

    def forward(self, x):
        return SimpleNamespace(logits=self.last(self.drop(self.act(self.first(x)))))


@pytest.fixture
def case():
    torch.manual_seed(0)
    return Net().eval(), {"x": torch.randn(ROWS, IN)}, torch.randint(0, 2, (ROWS,))


def test_memory_is_what_autograd_keeps(case):
    net, *batch = case
    size = IN * HIDDEN + HIDDEN + HIDDEN * 2 + 2
    whole = step_memory(net, *batch)
    assert whole["weights"] == whole["gradients"] == whole["Adam"] / 2 == 4 * size / 1e6
    # x, the hidden units (once, though ReLU and the last layer both keep them), log-softmax, labels
    assert whole["activations"] * 1e6 == pytest.approx(ROWS * (4 * IN + 4 * HIDDEN + 4 * 2 + 8), abs=64)
    net.first.requires_grad_(False)
    part = step_memory(net, *batch)
    assert part["weights"] == whole["weights"] and part["gradients"] * 1e6 == 4 * (HIDDEN * 2 + 2)
    assert part["activations"] * 1e6 == pytest.approx(ROWS * (4 * HIDDEN + 4 * 2 + 8), abs=64)


def test_nothing_is_changed(case):
    net, *batch = case
    net.drop.p = 0.5  # draws from torch's generator
    before, state = [p.clone() for p in net.parameters()], torch.get_rng_state()
    times = step_times(net, *batch, repeats=2)
    step_memory(net, *batch)
    assert list(times) == ["forward", "backward", "update"] and min(times.values()) > 0
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state) and not net.training
    assert all(p.grad is None for p in net.parameters())
    assert forward_time(net, batch[0], repeats=2) > 0


def test_what_was_kept_is_freed(case):
    """An operation that kept its own output would be a circle, which lives until Python looks for circles."""
    net, *batch = case
    alive = []
    hook = net.act.register_forward_hook(lambda module, args, out: alive.append(weakref.ref(out)))
    gc.disable()
    try:
        step_memory(net, *batch)
        assert [ref() for ref in alive] == [None]
    finally:
        gc.enable()
        hook.remove()


def test_other_adapters_do_not_count():
    net = Net()
    net.add_module("adapterlab", nn.ModuleDict({"on": nn.Linear(3, 1, bias=False), "off": nn.Linear(50, 1)}))
    net.requires_grad_(False)
    net.adapterlab["on"].requires_grad_(True)
    net.last.requires_grad_(True)
    got = step_memory(net, {"x": torch.randn(4, IN)}, torch.zeros(4, dtype=torch.long))
    assert got["weights"] * 1e6 == 4 * (IN * HIDDEN + HIDDEN + HIDDEN * 2 + 2 + 3)
    assert got["gradients"] * 1e6 == 4 * (HIDDEN * 2 + 2 + 3)
