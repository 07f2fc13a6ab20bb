"""Record adapters on a base in full precision, in 8 and in 4 bits: a row a base and seed, finished rows never repeated.

python benchmarks/quantized.py [--seeds 3] [--train 1000] [--epochs 3] [--kinds float32 int8 4bit] [--threads 2]
    [--out FOLDER]

Rotten Tomatoes, bottlenecks of size 64 in float32 beside the base. Validation chooses the epoch. Needs bitsandbytes.
"""

import argparse
import os


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", nargs="+", default=["float32", "int8", "4bit"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train", type=int, default=1000)
    parser.add_argument("--validation", type=int, default=250)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", help="folder for the rows; default: data/results")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import torch

    from adapterlab.studies import results

    if args.threads:
        torch.set_num_threads(args.threads)
    out = args.out or results.RESULTS
    done = {row["key"] for row in results.read("quantized", out)}
    for seed in range(args.seeds):
        for kind in args.kinds:
            setting = {"kind": kind, "seed": seed, "n_train": args.train, "n_validation": args.validation,
                       "epochs": args.epochs, "lr": args.lr, "size": args.size, "batch_size": 16}  # fmt: skip
            key = results.key(setting)
            if key not in done:
                row = setting | run_one(setting, args.device) | {"key": key}
                results.record("quantized", row, out, unless="key")
                print(f"{kind}, seed {seed}: test {100 * row['test']:.1f}, {row['memory_mb']:.1f} MB", flush=True)


def run_one(setting: dict, device: str) -> dict:
    from adapterlab.adapters import Adapters
    from adapterlab.lab import pick_device
    from adapterlab.methods import houlsby
    from adapterlab.models import load_base
    from adapterlab.quantize import memory_mb
    from adapterlab.studies import results
    from adapterlab.tasks import encode, load_task
    from adapterlab.train import evaluate, fit

    kind, seed = setting["kind"], setting["seed"]
    task = load_task("rotten_tomatoes").subset(setting["n_train"], setting["n_validation"], None)
    model, tokenizer = load_base(device=device, seed=seed, quantize=None if kind == "float32" else kind)
    train, validation, test = (encode(task.split(s), tokenizer) for s in ("train", "validation", "test"))
    memory = memory_mb(model)
    adapters = Adapters(model)
    adapters.add("reviews", houlsby(setting["size"]), head=task.labels, seed=seed)
    adapters.train("reviews")
    run = fit(model, train, validation, epochs=setting["epochs"], lr=setting["lr"], seed=seed,
              batch_size=setting["batch_size"], show=False)  # fmt: skip
    return {
        "validation": run.best, "test": evaluate(model, test), "memory_mb": memory, "step_ms": run.step_ms,
        "seconds": run.seconds, "peak_mb": run.peak_mb, "trained": run.trained,
        **results.provenance(pick_device(device)),
    }  # fmt: skip


if __name__ == "__main__":
    main()
