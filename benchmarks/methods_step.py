"""The time of a training step of every method: against full fine-tuning, and against the same method written by hand.

python benchmarks/methods_step.py [--steps 10] [--repeats 5] [--batch 32] [--methods lora dora ...] [--cpu-time]

By hand: the plain modules of tests/kit/by_hand.py put into a copy of the model, no hooks, no sites. All train on
identical batches, with a head; the ways take turns, and the medians of their steps are compared.
"""

import copy
import sys
from pathlib import Path

from step_time import medians, parse, stepper

from adapterlab.adapters import Adapters
from adapterlab.lab import device_name
from adapterlab.methods import METHODS
from adapterlab.models import load_base
from adapterlab.studies.ways import unfreeze
from adapterlab.tasks import encode, load_task

sys.path.append(str(Path(__file__).parents[1] / "tests" / "kit"))
from by_hand import BY_HAND, by_hand  # noqa: E402


def main() -> None:
    args, clock, device = parse(__doc__.splitlines()[0], ("--methods", {"nargs": "*", "help": "only these"}))
    task = load_task("rotten_tomatoes").subset(args.batch * args.steps, 8, 8)
    full, tokenizer = load_base("minilm", labels=2, device=device)
    data = encode(task.train, tokenizer, 128)
    bare = copy.deepcopy(full)
    unfreeze(full)
    sized = {name: {"size": args.size} for name in ("bottleneck", "pfeiffer", "parallel")}
    print(
        f"{device_name(device)}: medians of {args.repeats * args.steps} steps of {args.batch} sentences, taking turns"
    )
    print(f"{'method':14} {'trained':>10} {'ms':>8} {'by hand':>8} {'of full':>8} {'of hand':>8}")
    for name in args.methods or BY_HAND:
        model = copy.deepcopy(bare)
        adapters = Adapters(model)
        adapters.add("a", METHODS[name](**sized.get(name, {})), head=task.labels, seed=0)
        adapters.train("a")
        hand = by_hand(name, bare, adapters, "a").to(device)
        for key, parameter in hand.named_parameters():
            parameter.requires_grad_(parameter.requires_grad or "classifier" in key)
        ways = {
            "full": stepper(full, data, args.batch, device),
            "ours": stepper(model, data, args.batch, device),
            "hand": stepper(hand, data, args.batch, device),
        }
        times = medians(ways, args.steps, args.repeats, device, clock)
        ms = {way: 1000 * seconds for way, seconds in times.items()}
        print(
            f"{name:14} {adapters.count('a'):>10,} {ms['ours']:8.1f} {ms['hand']:8.1f} "
            f"{ms['ours'] / ms['full']:8.3f} {ms['ours'] / ms['hand']:8.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
