"""Record what a second task costs the first, for every way to go on: a row a way and seed, none of them twice.

python benchmarks/record_forgetting.py [--old rotten_tomatoes] [--new critic_or_viewer] [--rows 200] [--test 400]
    [--epochs 3] [--lr 3e-3] [--full-lr 1e-4] [--seeds 5] [--ways ...] [--minutes 60] [--out FOLDER]

LoRA of rank 16 at query, value and the feed-forward's second map; ways and controls are those of notebook 16. before,
old: accuracy on the old task before and after the new one; new: on the new task. Nothing chooses an epoch.
"""

import argparse
import os
import time
from functools import lru_cache


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from adapterlab.lessons.nb16_choosing.course import NOISE, WAYS
    from adapterlab.paths import RESULTS
    from adapterlab.studies.sweep import run_sweep

    known = [
        *list(WAYS)[:1],
        NOISE,
        *list(WAYS)[1:],
    ]  # the noise takes the norm of what "same adapter" has just changed
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", default="rotten_tomatoes")
    parser.add_argument("--new", default="critic_or_viewer")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--full-lr", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--ways", nargs="+", default=known, choices=known)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="no run begins after so many")
    parser.add_argument("--out", default=RESULTS, help="folder for the rows")
    args = parser.parse_args()
    same = {key: getattr(args, key) for key in ("old", "new", "rows", "test", "epochs", "lr", "full_lr")}
    settings = [{**same, "way": way, "seed": seed} for seed in range(args.seeds) for way in args.ways]
    run_sweep(run_one, settings, "forgetting", folder=args.out, until=time.time() + 60 * args.minutes)


@lru_cache(maxsize=1)
def course(old: str, new: str, rows: int, test: int, epochs: int, lr: float, full_lr: float):
    from adapterlab.lessons.nb16_choosing.course import Course, pair
    from adapterlab.models import load_base
    from adapterlab.tasks import load_task

    model, tokenizer = load_base(device="cpu", seed=0)
    data = pair(load_task(old), load_task(new), rows, test)
    return Course(model, tokenizer, data, lr=lr, full_lr=full_lr, epochs=epochs, show=False)


def run_one(setting: dict) -> dict:
    from adapterlab.lessons.nb16_choosing.course import NOISE, WAYS
    from adapterlab.lessons.nb16_choosing.exercises import equal_norm, mix

    way, seed, began = setting["way"], setting["seed"], time.perf_counter()
    here = course(**{key: value for key, value in setting.items() if key not in ("way", "seed")})
    if way == NOISE:
        if seed not in here.moved:
            here.go_on("same adapter", WAYS["same adapter"], seed, mix.reference)
        right, trained, steps = here.disturb(seed, equal_norm.reference), 0, 0
    else:
        right = here.go_on(way, WAYS[way], seed, mix.reference)
        trained, steps = here.runs[-1].trained, len(here.runs[-1].history)
    scores = {key: rows.float().mean().item() for key, rows in right.items()}
    print(way, seed, {key: round(100 * score, 1) for key, score in scores.items()}, flush=True)
    return {**scores, "trained": trained, "steps": steps, "seconds": round(time.perf_counter() - began, 1)}


if __name__ == "__main__":
    main()
