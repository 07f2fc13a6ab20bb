"""The time of a training step: full fine-tuning, adapters, a module written by hand, a cached prefix.

python benchmarks/step_time.py [--steps 10] [--repeats 5] [--batch 32] [--device auto]

All train on identical batches; the ways take turns and the medians of their steps are compared. "by hand": the same
bottlenecks and LayerNorms as plain modules, put into a copy of the model, without hooks.
"""

import argparse
import copy
import itertools
import statistics
import time
from contextlib import ExitStack

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from adapterlab.adapter import trained_parameters
from adapterlab.adapters import Adapters
from adapterlab.lab import device_name, move, pick_device
from adapterlab.methods import BottleneckConfig, LayerNormConfig, houlsby
from adapterlab.models import load_base
from adapterlab.studies.frozen_prefix import Prefix
from adapterlab.studies.ways import unfreeze
from adapterlab.tasks import batches, encode, load_task
from adapterlab.train import train_epoch


class Hand(nn.Module):
    """What a reader would write: a module and behind it a bottleneck."""

    def __init__(self, inner, width, size):
        super().__init__()
        self.inner, self.down, self.up = inner, nn.Linear(width, size), nn.Linear(size, width)
        nn.init.normal_(self.up.weight, std=1e-2)
        nn.init.normal_(self.down.weight, std=1e-2)

    def forward(self, x):
        y = self.inner(x)
        return y + self.up(nn.functional.gelu(self.down(y)))


def by_hand(model, size):
    """BERT with bottlenecks behind both sub-layers and every LayerNorm trained, and the classifier."""
    model = copy.deepcopy(model).requires_grad_(False)
    width = model.config.hidden_size
    for layer in model.bert.encoder.layer:
        layer.attention.output.dropout = Hand(layer.attention.output.dropout, width, size)
        layer.output.dropout = Hand(layer.output.dropout, width, size)
    for module in model.modules():
        if isinstance(module, Hand):
            module.down.requires_grad_(True)
            module.up.requires_grad_(True)
        if isinstance(module, nn.LayerNorm):
            module.requires_grad_(True)
    model.classifier.requires_grad_(True)
    return model


def stepper(model, data, batch, device):
    """A function that does one step of training, `fit`'s own, on the next batch."""
    optimizer = torch.optim.Adam(trained_parameters(model), lr=1e-4, fused=True)
    schedule = LambdaLR(optimizer, lambda step: 1.0)
    stream = itertools.chain.from_iterable(batches(data, batch, shuffle=True, epoch=1) for _ in itertools.repeat(None))

    def step():
        inputs, labels, _ = next(stream)
        train_epoch(model, [(move(inputs, device), labels.to(device))], optimizer, schedule)

    return step


def medians(ways, steps, repeats, device, clock=time.perf_counter):
    """Way -> seconds of its median step. ways: name -> a function that does one step.

    They take turns, `steps` at a time; the first round warms up, the other `repeats` count.
    """
    times = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, step in ways.items():
            for _ in range(steps):
                if device.type == "cuda":
                    torch.cuda.synchronize()
                tick = clock()
                step()
                if device.type == "cuda":
                    torch.cuda.synchronize()
                if repeat:
                    times[name].append(clock() - tick)
    return {name: statistics.median(values) for name, values in times.items()}


def parse(description: str, *more):
    """(the command's arguments, its clock, its device). more: further options, each (flag, settings)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cpu-time", action="store_true", help="count this process's CPU time: for a busy machine")
    for flag, settings in more:
        parser.add_argument(flag, **settings)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return args, time.process_time if args.cpu_time else time.perf_counter, pick_device(args.device)


def main() -> None:
    args, clock, device = parse(__doc__.splitlines()[0])
    task = load_task("rotten_tomatoes").subset(args.batch * args.steps, 8, 8)

    def base():
        return load_base("minilm", labels=2, device=device)

    full, tokenizer = base()
    data = encode(task.train, tokenizer, 128)
    hand = by_hand(full, args.size)
    unfreeze(full)
    adapted, upper, cached = (base()[0] for _ in range(3))
    adapters = Adapters(adapted)
    adapters.add("all", houlsby(args.size), head=task.labels, seed=0)
    adapters.train("all")
    half = adapted.config.num_hidden_layers // 2
    with ExitStack() as stack:
        ways = {
            "full": stepper(full, data, args.batch, device),
            "adapter": stepper(adapted, data, args.batch, device),
            "by hand": stepper(hand, data, args.batch, device),
        }
        for name, model in (("upper half", upper), ("upper half, cached prefix", cached)):
            own = Adapters(model)
            layers = tuple(range(half, 2 * half))
            norms = tuple(f"layers.{layer}.norm.{i}" for layer in layers for i in (0, 1))
            recipe = BottleneckConfig(size=args.size, layers=layers), LayerNormConfig(sites=norms)
            own.add("upper", recipe, head=task.labels, seed=0)
            own.train("upper")
            split = data
            if model is cached:
                prefix = stack.enter_context(Prefix.below(own, "upper"))
                tick = clock()
                split = prefix.cache(data)
                caching = clock() - tick
            ways[name] = stepper(model, split, args.batch, device)
        middle = medians(ways, args.steps, args.repeats, device, clock)
    print(f"{device_name(device)}: median of {args.repeats * args.steps} steps of {args.batch} sentences, taking turns")
    for name, seconds in middle.items():
        print(f"  {name:26} {1000 * seconds:8.1f} ms   {seconds / middle['full']:.3f} of full fine-tuning")
    print(f"  adapter against by hand: {middle['adapter'] / middle['by hand']:.3f}")
    print(f"  computing the prefix once: {caching:.1f} s for {len(data)} sentences")


if __name__ == "__main__":
    main()
