"""Serving N tasks from one model: a mixed batch in one pass against one task, and against N models.

python benchmarks/serve.py [--tasks 8] [--batch 8 32] [--tokens 32] [--repeats 20] [--threads 1] [--device auto]
    [--json FILE]

one task: every row by the same adapter. mixed: every task has its share of the rows, in one pass (BatchSplit), sorted
and shuffled. separate: a pass for each task with its rows alone. The ways take turns and medians are compared; the bar
is 1.25 for mixed / one task. Then what each way keeps in memory, and how long it takes to load and to activate.
"""

import argparse
import gc
import json
import os
import platform
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch

from adapterlab.adapters import Adapters
from adapterlab.compose import BatchSplit
from adapterlab.lab import device_name, pick_device
from adapterlab.methods import LoRAConfig, PfeifferConfig, houlsby
from adapterlab.models import load_base

RECIPES = {"houlsby": houlsby(64), "pfeiffer": PfeifferConfig(size=64), "lora": LoRAConfig(rank=8)}


def served(recipe, tasks, device):
    """The bundled model with `tasks` adapters whose weights matter, labels of two to four kinds."""
    model, _ = load_base(device=device)
    adapters = Adapters(model)
    for i in range(tasks):
        name = f"task{i}"
        adapters.add(name, recipe, head=[f"label{j}" for j in range(2 + i % 3)], seed=i)
        g = torch.Generator().manual_seed(i)
        for p in adapters[name].parameters():
            p.data.add_(0.02 * torch.randn(p.shape, generator=g).to(p.device))
    return adapters


def timed(ways: dict, repeats: int, device) -> dict:
    """Milliseconds of each way, the median over turns that they take one after the other."""
    found = {name: [] for name in ways}
    for turn in range(repeats + 2):
        for name, way in ways.items():
            _wait(device)
            start = time.perf_counter()
            way()
            _wait(device)
            if turn >= 2:
                found[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(ms) for name, ms in found.items()}


def _wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@torch.no_grad()
def passes(adapters, tasks, batch, tokens, repeats, device) -> dict:
    """Times of one task, mixed and separate at one batch size, and how far the results are apart."""
    model, each = adapters.model, batch // tasks
    ids = torch.randint(1000, 30000, (batch, tokens), generator=torch.Generator().manual_seed(0)).to(device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    rows = [f"task{i % tasks}" for i in range(each * tasks)]
    setups = {
        "mixed": BatchSplit(*sorted(rows)),
        "mixed, shuffled": BatchSplit(*random.Random(0).sample(rows, len(rows))),
    }

    def run(setup, select=slice(None)):
        with adapters.use(setup):
            return model(**{k: v[select] for k, v in inputs.items()}).logits

    def separate():
        return {n: run(n, slice(i * each, (i + 1) * each)) for i, n in enumerate(sorted(set(rows)))}

    ways = {
        "one task": lambda: run("task0"),
        **{n: (lambda s=s: run(s)) for n, s in setups.items()},
        "separate": separate,
    }
    ms, alone = timed(ways, repeats, device), separate()
    logits = run(setups["mixed"])
    got = adapters.answers(logits, setups["mixed"])
    off = max((got[n] - alone[n]).abs().max().item() for n in alone)
    return {
        "batch": batch, "tokens": tokens, "ms": {k: round(v, 2) for k, v in ms.items()},
        "mixed_to_one": round(ms["mixed"] / ms["one task"], 3),
        "shuffled_to_one": round(ms["mixed, shuffled"] / ms["one task"], 3),
        "largest_difference": off,
    }  # fmt: skip


def memory(adapters, tasks, device) -> dict:
    """Megabytes of the parameters of one model with its adapters, and of as many models as tasks; and as measured."""
    base, more = adapters.base_count(), sum(adapters.count(name) for name in adapters)
    found = {"one_model_mb": 4e-6 * (base + more), "n_models_mb": 4e-6 * (tasks * base + more)}
    if device.type != "cuda":
        gc.collect()
        before = _resident()
        kept = [load_base(device=device)[0] for _ in range(tasks - 1)]
        for p in (p for model in kept for p in model.parameters()):
            p.data = p.data.clone()  # a file of weights is mapped, and the same file only once
        found["measured_of_more_models_mb"] = _resident() - before
        del kept
    return {key: round(value, 1) for key, value in found.items()}


def _resident() -> float:
    """This process's memory in megabytes, where the system says so."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return float("nan")


def life(adapters, repeats, device) -> dict:
    """Milliseconds to load an adapter from a folder and to activate one."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = adapters.save("task0", Path(temporary) / "a")
        loads = []
        for i in range(repeats):
            start = time.perf_counter()
            adapters.load(folder, f"loaded{i}")
            loads.append(1000 * (time.perf_counter() - start))
            adapters.delete(f"loaded{i}")
    mixed = BatchSplit(*(name for name in adapters))
    switches = timed(
        {"one": lambda: adapters.activate("task1"), "mixed": lambda: adapters.activate(mixed)}, 10 * repeats, device
    )
    adapters.activate(None)
    return {"load_ms": round(statistics.median(loads), 2), "activate_ms": {k: round(v, 4) for k, v in switches.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--batch", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    found = {"device": device_name(device), "threads": torch.get_num_threads(), "torch": torch.__version__,
             "python": platform.python_version(), "tasks": args.tasks, "runs": {}}  # fmt: skip
    for name in args.recipes:
        adapters = served(RECIPES[name], args.tasks, device)
        found["runs"][name] = {
            "passes": [passes(adapters, args.tasks, b, args.tokens, args.repeats, device) for b in args.batch],
            "memory": memory(adapters, args.tasks, device),
            **life(adapters, args.repeats, device),
        }
        print(name, json.dumps(found["runs"][name], indent=1))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
