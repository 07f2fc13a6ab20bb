"""A bank of adapters against the same adapters trained one after another, and the largest difference of their losses.

python benchmarks/bank.py [--members 16] [--batch 8] [--tokens 16] [--steps 12] [--repeats 3] [--device auto]

Real sentences cut at --tokens, sizes 1 to 64 in turn. Dropout is off, so that both train the same numbers. On a GPU
both run in bfloat16, as `fit` does there; there the losses differ by its rounding.
"""

import argparse
import statistics
import time

import torch

from adapterlab.adapters import Adapters
from adapterlab.lab import device_name, pick_device
from adapterlab.methods import houlsby
from adapterlab.models import load_base
from adapterlab.studies.bank import Bank
from adapterlab.tasks import encode, load_task
from adapterlab.train import fit


def no_dropout(model):
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cpu-time", action="store_true", help="count this process's CPU time: for a busy machine")
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--reviews", default="rotten_tomatoes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.cpu_time else time.perf_counter
    device = pick_device(args.device)
    task = load_task(args.reviews).subset(args.batch * args.steps, 8, 8)
    model, tokenizer = load_base(args.base, labels=task.num_outputs, device=device)
    data = encode(task.train, tokenizer, args.tokens)
    adapters = Adapters(no_dropout(model))
    names = [f"member {i}" for i in range(args.members)]
    settings = dict(epochs=1, batch_size=args.batch, show=False)

    def fresh():
        for i, name in enumerate(names):
            if name in adapters:
                adapters.delete(name)
            adapters.add(name, houlsby(2 ** (i % 7)), head=task.labels, seed=i)

    def banked():
        return Bank(adapters, names).fit(data, lr=1e-3, **settings)

    def alone():
        runs = []
        for name in names:
            adapters.train(name)
            runs.append(fit(model, data, lr=1e-3, **settings))
        return runs

    times, runs = {banked: [], alone: []}, {}
    for repeat in range(args.repeats + 1):
        for way in (banked, alone):
            fresh()
            if device.type == "cuda":
                torch.cuda.synchronize()
            tick = clock()
            runs[way] = way()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                times[way].append(clock() - tick)
    apart = max(
        abs(a["loss"] - b["loss"])
        for one, two in zip(runs[banked], runs[alone], strict=True)
        for a, b in zip(one.history, two.history, strict=True)
    )
    bank, single = (statistics.median(times[way]) for way in (banked, alone))
    print(
        f"{device_name(device)}: {args.members} adapters, {args.steps} steps of {args.batch} sentences of at most "
        f"{args.tokens} tokens, median of {args.repeats}: one after another {single:.2f} s, "
        f"bank {bank:.2f} s, {single / bank:.2f} times faster; losses differ by at most {apart:.1e}; "
        f"peak {runs[banked][0].peak_mb:.0f} MB in the bank, {runs[alone][-1].peak_mb:.0f} MB alone"
    )


if __name__ == "__main__":
    main()
