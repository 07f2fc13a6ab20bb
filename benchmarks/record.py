"""Record every experiment anew, or what is missing of it: finished runs are never repeated.

python benchmarks/record.py                                  all, with the bundled model, on what this machine has
python benchmarks/record.py --toy                            the whole path in seconds, into a temporary folder
python benchmarks/record.py --only size_sweep glue --workers 8 --device cuda --budget-minutes 9 \
    --base FOLDER --reviews FOLDER --data GLUE_ROOT --out FOLDER

Runs are started in the order of EXPERIMENTS; several processes share one GPU, and adapters that fit together are
trained in one pass (--bank). Rows go to OUT/<experiment>.jsonl (a model other than minilm: <experiment>_<base>.jsonl).
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from threading import Thread

PLAN = {  # experiment -> its settings at full size
    "fine_tune": {},
    "size_sweep": {},
    "glue": {"epochs": {"glue/CoLA": 10, "glue/SST-2": 3, "glue/MRPC": 10, "glue/RTE": 10}},
    "init": {},
    "frontier": {},
    "variants": {},
    "methods": {},
}
ALONE = ("fine_tune", "methods")  # these rows tell what a method costs: never in a bank
MORE_TASKS = {"init": ("glue/CoLA",), "frontier": ("glue/CoLA", "glue/SST-2", "glue/MRPC", "glue/RTE")}  # with --data
REVIEWS = "rotten_tomatoes"


def toy() -> dict:
    """Every experiment, a few steps each."""
    small = dict(seeds=(0,), epochs=1, n_train=16, n_validation=8, n_test=8, batch_size=8, max_length=16)
    return {
        "fine_tune": {**small, "tops": (1,), "sizes": (4,)},
        "size_sweep": {**small, "sizes": (1, 4), "lrs": (1e-3,)},
        "init": {**small, "stds": (1e-7, 1e-2), "sizes": (4,)},
        "frontier": {**small, "tops": (1,), "sizes": (2,), "lrs": (1e-3,), "full_lrs": (1e-4,)},
        "variants": {**small, "sizes": (4,), "lrs": (1e-3,)},
        "methods": {
            **small,
            "names": ("LoRA, rank 1", "(IA)^3", "prefix", "prompt"),
            "lrs": (1e-3,),
            "full_lrs": (1e-4,),
        },
    }


def start_worker(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(PLAN), default=list(PLAN))
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--workers", type=int, default=0, help="processes; 0: 8 on a GPU, else 1")
    parser.add_argument("--threads", type=int, default=0, help="threads a process; 0: the cores shared out")
    parser.add_argument("--bank", type=int, default=0, help="adapters in one pass; 0: 12 on a GPU, else 1")
    parser.add_argument("--base", default="minilm", help='"minilm" or a model folder')
    parser.add_argument("--layers", type=int, default=0, help="layers of the model for top-k; 0: as it says")
    parser.add_argument(
        "--reviews", help="folder with train, validation and test of Rotten Tomatoes; default: the wheel"
    )
    parser.add_argument("--data", help="root of a GLUE download; without it there is no glue")
    parser.add_argument("--tasks", nargs="+", help="GLUE tasks, as glue/CoLA; default: the four of the plan")
    parser.add_argument("--seeds", type=int, help="how many seeds, in place of the plan's")
    parser.add_argument("--n-train", type=int, help="training rows at most, in place of the plan's")
    parser.add_argument("--n-validation", type=int, help="validation rows at most, in place of the plan's")
    parser.add_argument("--batch-size", type=int, help="in place of the plan's 32")
    parser.add_argument("--epochs", type=int, help="epochs, in place of the plan's")
    parser.add_argument("--sizes", nargs="+", type=int, help="bottleneck sizes, in place of the plan's")
    parser.add_argument("--tops", nargs="+", type=int, help="k of the top-k fine-tuning, in place of the plan's")
    parser.add_argument(
        "--book-rates", action="store_true", help="one learning rate a method, the workbook's, in place of three"
    )
    parser.add_argument("--methods", nargs="+", help='only these, as "adapter 64" full "LoRA, rank 1"')
    parser.add_argument("--rates", nargs="+", type=float, help="only these learning rates of the plan")
    parser.add_argument("--out", help="folder for the rows; default: data/results")
    parser.add_argument("--budget-minutes", type=float, help="begin no run after so many minutes")
    parser.add_argument("--toy", action="store_true", help="a few steps of everything")
    return parser.parse_args()


def main() -> None:
    args = parse()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from adapterlab.lab import pick_device
    from adapterlab.paths import RESULTS

    cuda = pick_device(args.device).type == "cuda"
    args.device, args.bank = "cuda" if cuda else "cpu", args.bank or (12 if cuda else 1)
    args.workers = args.workers or (8 if cuda else 1)
    threads = args.threads or max(1, (os.cpu_count() or 1) // args.workers)
    args.out = Path(args.out or (tempfile.mkdtemp() if args.toy else RESULTS))
    began = time.time()
    run_all(sweeps_of(args), args.workers, threads)
    print(f"all: {time.time() - began:.0f} s, rows in {args.out.name}")


def sweeps_of(args) -> list:
    """One sweep an experiment, of the runs that the command line asks for."""
    from adapterlab.models import locate
    from adapterlab.studies import experiments
    from adapterlab.studies.sweep import Sweep

    base = "minilm" if args.base == "minilm" else Path(args.base).name
    folders = {} if args.base == "minilm" else {base: str(Path(args.base).resolve())}
    if args.reviews:
        folders[REVIEWS] = str(Path(args.reviews).resolve())
    places = experiments.Places(args.device, folders, args.data and str(Path(args.data).resolve()))
    config = json.loads((Path(locate(folders.get(base, base))) / "config.json").read_text())
    keep = {"workers": args.workers, "weights": config.get("dtype") or config.get("torch_dtype") or "float32"}
    until = None if args.budget_minutes is None else time.time() + 60 * args.budget_minutes
    run, suffix = partial(experiments.run_many, places=places), "" if base == "minilm" else f"_{base.replace('.', '-')}"
    sweeps = []
    for name, settings in plan_of(args).items():
        settings = {**settings, "base": base, **changes(args, name, base, folders)}
        runs = [s for s in experiments.EXPERIMENTS[name](**settings) if wanted(s, args)]
        runs = narrow(name, runs, config.get("hidden_size") or config.get("d_model"), base)
        group = partial(experiments.banks, most=1 if name in ALONE else args.bank)
        sweeps.append(Sweep(run, runs, name + suffix, args.out, group=group, keep=keep, until=until))
    return sweeps


def plan_of(args) -> dict[str, dict]:
    """Experiment -> its settings, of those that are asked for and have their data."""
    plan = toy() if args.toy else PLAN
    if args.toy and args.data:
        plan["glue"] = {**plan["size_sweep"], "sizes": (4,), "full_lrs": (1e-4,), "tasks": ("glue/RTE",)}
    chosen = {name: plan[name] for name in args.only if name in plan and (name != "glue" or args.data)}
    for name in args.only:
        if name not in chosen:
            print(f"{name}: left out{'; give --data' if name == 'glue' else ''}")
    return chosen


def narrow(name: str, runs: list[dict], width: int, base: str) -> list[dict]:
    """The runs whose bottleneck is no wider than the model."""
    wide = sorted({s["size"] for s in runs if (s["size"] or 0) > width})
    if wide:
        print(f"{name}: no bottleneck may be wider than {base} ({width}): left out {wide}")
    return [s for s in runs if s["size"] not in wide]


def run_all(sweeps: list, workers: int, threads: int) -> None:
    """Here, one after the other; or in processes that all sweeps share."""
    if workers == 1:
        start_worker(threads)
        for sweep in sweeps:
            sweep.submit(None).collect()
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, start_worker, (threads,)) as pool:
        for sweep in sweeps:
            sweep.submit(pool)
        watchers = [Thread(target=sweep.collect) for sweep in sweeps]
        for thread in watchers:
            thread.start()
        for thread in watchers:
            thread.join()


def wanted(setting: dict, args) -> bool:
    """Is this run of the plan among those that the command line asks for?"""
    from adapterlab.studies.ways import learning_rate

    return (
        (not args.book_rates or "recipe" in setting or setting["lr"] == learning_rate(setting["method"]))
        and (not args.rates or setting["lr"] in args.rates)
        and (not args.methods or setting["method"] in args.methods)
    )


def changes(args, name: str, base: str, folders: dict) -> dict:
    """What the command line says otherwise than the plan."""
    other = {}
    if args.seeds:
        other["seeds"] = tuple(range(args.seeds))
    for key in ("n_train", "n_validation", "batch_size", "epochs"):
        if getattr(args, key):
            other[key] = getattr(args, key)
    if args.sizes and name in ("size_sweep", "glue", "frontier"):
        other["sizes"] = tuple(args.sizes)
    if args.tops and name == "fine_tune":
        other["tops"] = tuple(args.tops)
    if name == "glue" and args.tasks:
        other["tasks"] = tuple(args.tasks)
    if args.data and not args.toy and name in MORE_TASKS:
        other["tasks"] = (REVIEWS, *MORE_TASKS[name])
    if name == "frontier" and not args.toy:
        from transformers import AutoConfig

        from adapterlab.models import locate

        layers = args.layers or AutoConfig.from_pretrained(locate(folders.get(base, base))).num_hidden_layers
        other["tops"] = range(1, layers + 1)
    return other


if __name__ == "__main__":
    main()
