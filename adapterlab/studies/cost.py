"""Where a training step's time and memory go: forward, backward, update; weights, gradients, Adam, activations."""

import statistics
import time
from contextlib import contextmanager

import torch
from torch import nn

from ..adapter import base_parameters, trained_parameters
from ..lab import move
from ..train import default_loss


def step_times(model: nn.Module, inputs: dict, labels, repeats: int = 5, loss=default_loss) -> dict[str, float]:
    """Milliseconds of each part of a training step, the median of `repeats`: forward, backward, update.

    Whatever requires a gradient is trained, by Adam with a learning rate of 0: all the work, and no weight moves.
    """
    parameters, device, rows = trained_parameters(model), next(model.parameters()).device, []
    optimizer = torch.optim.Adam(parameters, lr=0.0, fused=True)
    inputs, labels = move(inputs, device), labels.to(device)
    with _training(model):
        for _ in range(repeats + 1):
            ticks = [_now(device)]
            value = loss(model(**inputs), labels)
            ticks.append(_now(device))
            value.backward()
            ticks.append(_now(device))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            ticks.append(_now(device))
            rows.append([1000 * (b - a) for a, b in zip(ticks, ticks[1:], strict=False)])
    parts = zip(*rows[1:], strict=True)  # the first step also sets things up
    return dict(zip(("forward", "backward", "update"), map(statistics.median, parts), strict=True))


def step_memory(model: nn.Module, inputs: dict, labels, loss=default_loss) -> dict[str, float]:
    """Megabytes (10^6 bytes) that a training step with Adam holds when its forward pass is done.

    weights, gradients, Adam (two numbers a trained parameter) follow from the sizes; activations: every tensor that
    autograd keeps for the backward pass, weights left out, counted once however many operations share it.
    """
    changing = trained_parameters(model)
    weights = {id(p): p.nbytes for p in (*base_parameters(model).values(), *changing)}
    trained = sum(p.nbytes for p in changing)
    device = next(model.parameters()).device
    known = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # an operation that kept its own output would never be freed

    with _training(model), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = loss(model(**move(inputs, device)), labels.to(device))
    del value  # until here it kept those tensors, so no address was used twice
    sizes = {"weights": sum(weights.values()), "gradients": trained, "Adam": 2 * trained}
    return {name: size / 1e6 for name, size in {**sizes, "activations": sum(kept.values())}.items()}


@torch.no_grad()
def forward_time(model: nn.Module, inputs: dict, repeats: int = 9) -> float:
    """Milliseconds of a forward pass without gradients, the median of `repeats`."""
    device, times = next(model.parameters()).device, []
    inputs = move(inputs, device)
    for _ in range(repeats + 1):
        start = _now(device)
        model(**inputs)
        times.append(1000 * (_now(device) - start))
    return statistics.median(times[1:])


@contextmanager
def _training(model: nn.Module):
    """Training mode; afterwards mode and torch's generator are as if nothing had been."""
    was = model.training
    with torch.random.fork_rng(devices=[]):
        model.train()
        try:
            yield
        finally:
            model.train(was)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
