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


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in dict(members=16, batch=8, tokens=16, steps=12, repeats=3, threads=2).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--cpu-time", action="store_true", help="count this process's CPU time: for a busy machine")
    parser.add_argument("--base", default="minilm")
    parser.add_argument("--reviews", default="rotten_tomatoes")
    return parser.parse_args()


def in_turns(args, adapters, names: list[str], labels, data, device) -> tuple[dict, dict]:
    """Both ways in turn, from the same new adapters: way -> its times, the first left out, and way -> its last runs."""
    clock = time.process_time if args.cpu_time else time.perf_counter
    settings = dict(lr=1e-3, epochs=1, batch_size=args.batch, show=False)

    def alone():
        for name in names:
            adapters.train(name)
            yield fit(adapters.model, data, **settings)

    ways = {"bank": lambda: Bank(adapters, names).fit(data, **settings), "alone": lambda: list(alone())}
    times, runs = {way: [] for way in ways}, {}
    for repeat in range(args.repeats + 1):
        for way, train in ways.items():
            for i, name in enumerate(names):
                if name in adapters:
                    adapters.delete(name)
                adapters.add(name, houlsby(2 ** (i % 7)), head=labels, seed=i)
            wait_for(device)
            tick = clock()
            runs[way] = train()
            wait_for(device)
            if repeat:
                times[way].append(clock() - tick)
    return times, runs


def wait_for(device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    args = parse()
    torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    task = load_task(args.reviews).subset(args.batch * args.steps, 8, 8)
    model, tokenizer = load_base(args.base, labels=task.num_outputs, device=device)
    data, names = encode(task.train, tokenizer, args.tokens), [f"member {i}" for i in range(args.members)]
    times, runs = in_turns(args, Adapters(no_dropout(model)), names, task.labels, data, device)
    pairs = [pair for both in zip(*runs.values(), strict=True) for pair in zip(*(r.history for r in both), strict=True)]
    apart = max(abs(a["loss"] - b["loss"]) for a, b in pairs)
    bank, single = (statistics.median(times[way]) for way in ("bank", "alone"))
    print(
        f"{device_name(device)}: {args.members} adapters, {args.steps} steps of {args.batch} sentences of at most "
        f"{args.tokens} tokens, median of {args.repeats}: one after another {single:.2f} s, "
        f"bank {bank:.2f} s, {single / bank:.2f} times faster; losses differ by at most {apart:.1e}; "
        f"peak {runs['bank'][0].peak_mb:.0f} MB in the bank, {runs['alone'][-1].peak_mb:.0f} MB alone"
    )


if __name__ == "__main__":
    main()
