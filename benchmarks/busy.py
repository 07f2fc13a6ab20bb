"""The time of a training step on a quiet machine and beside other busy processes, by how threads wait.

python benchmarks/busy.py [--others 4] [--steps 8] [--repeats 2]

Each line is a process of its own (OpenMP reads its settings when torch is loaded): MiniLM, a Houlsby adapter of size
64, batch 16 of 32 tokens, the median step in milliseconds. The settings take turns, quiet and busy.
"""

import argparse
import os
import statistics
import subprocess
import sys

WAYS = {
    "threads spin": {"GOMP_SPINCOUNT": "infinity"},
    "threads spin, OpenMP's default": {},
    "they spin 10,000 times": {"GOMP_SPINCOUNT": "10000"},
    "they sleep": {"OMP_WAIT_POLICY": "PASSIVE"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}
STEP = """
import statistics, time, torch
from adapterlab.adapters import Adapters
from adapterlab.methods import houlsby
from adapterlab.models import load_base
model, _ = load_base("minilm")
adapters = Adapters(model)
adapters.add("a", houlsby(64), head=("no", "yes"), seed=0)
adapters.train("a")
ids = torch.randint(1000, 2000, (16, 32))
seconds = []
for _ in range({steps} + 2):
    start = time.perf_counter()
    model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids[:, 0] % 2).loss.backward()
    seconds.append(time.perf_counter() - start)
print(1000 * statistics.median(seconds[2:]))
"""
BUSY = "while True: pass"


def step_ms(settings: dict[str, str], steps: int) -> float:
    """The median step of a fresh process with these variables."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    command = [sys.executable, "-c", STEP.format(steps=steps)]
    done = subprocess.run(command, env=env | settings, check=True, text=True, stdout=subprocess.PIPE)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--others", type=int, default=4, help="busy processes beside (default 4)")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    quiet = {way: [] for way in WAYS}
    busy = {way: [] for way in WAYS}
    for _ in range(args.repeats):
        for way, settings in WAYS.items():
            quiet[way].append(step_ms(settings, args.steps))
        others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(args.others)]
        try:
            for way, settings in WAYS.items():
                busy[way].append(step_ms(settings, args.steps))
        finally:
            for other in others:
                other.kill()
    print(f"{'':32}{'quiet':>10}{f'beside {args.others}':>12}   ms a step, median of {args.repeats}")
    for way in WAYS:
        print(f"{way:32}{statistics.median(quiet[way]):10.0f}{statistics.median(busy[way]):12.0f}")


if __name__ == "__main__":
    main()
