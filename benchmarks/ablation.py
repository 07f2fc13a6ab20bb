"""The span heatmap, timed beside the naive loop, and recorded.

python benchmarks/ablation.py                                   train, ablate 500 sentences both ways, time the toggles
python benchmarks/ablation.py --adapter FOLDER                  the same with an adapter that was saved before
python benchmarks/ablation.py --record --seeds 3                one row a seed into data/results/ablation.jsonl
python benchmarks/ablation.py --record --base FOLDER --reviews FOLDER --out FOLDER --device cuda --train 0

Needs torch, transformers and safetensors alone. A model other than minilm is recorded as ablation_<name>.jsonl.
"""

import argparse
import os
import time
from pathlib import Path


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--base", default="minilm", help='"minilm" or a model folder')
    parser.add_argument("--reviews", help="folder with train, validation and test; default: the wheel's reviews")
    parser.add_argument("--adapter", help="folder of a saved adapter; nothing is trained then")
    parser.add_argument("--train", type=int, default=2000, help="training sentences; 0: all")
    parser.add_argument("--rows", type=int, default=500, help="validation sentences to score; 0: all")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--norms", action="store_true", help="take the layers' LayerNorms away as well")
    parser.add_argument("--no-naive", action="store_true", help="leave the naive loop out")
    parser.add_argument("--toggles", type=int, default=200, help="sentences for timing single combinations; 0: none")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--out", help="folder for the rows; default: data/results")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads; default: torch's")
    return parser.parse_args()


def main() -> None:
    args = parse()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    from adapterlab.lab import pick_device
    from adapterlab.tasks import load_task

    if args.threads:
        torch.set_num_threads(args.threads)
    device = pick_device(args.device)
    task = load_task(args.reviews or "rotten_tomatoes")
    for seed in range(args.seeds):
        one(args, task, device, seed)


def one(args, task, device, seed: int) -> None:
    """Train, ablate, say what came out, and record it where that is asked for."""
    from adapterlab.lab import device_name
    from adapterlab.studies import spans
    from adapterlab.tasks import encode

    small = task.subset(args.train or None, args.rows or None, seed=seed)
    adapters, tokenizer, name, run = prepare(args, small, device, seed)
    data = encode(small.validation, tokenizer)
    result = spans.span_ablation(adapters, name, data, metric=task.metric, batch_size=args.batch_size, norms=args.norms)
    naive, shared = spans.layer_evaluations(result.depth)
    print(
        f"{result.depth} layers, {len(result.spans)} spans on {len(data)} sentences, {device_name(device)}: "
        f"{result.seconds:.1f} s with the two halves; for the spans {shared} layer evaluations of {naive} "
        f"({shared / naive:.2f}), {result.held_bytes / 1e6:.0f} MB held"
    )
    if not args.no_naive:
        time_naive(args, result, spans.Switches(adapters, name, args.norms), data)
    majority, worst = small.majority("validation"), max(result.singles, key=lambda row: row["drop"])
    print(
        f"{task.metric}: intact {result.intact:.3f}, all removed {result.span(0, result.depth - 1)['score']:.3f}, "
        "majority "
        f"class {majority:.3f}; largest single-layer drop {100 * worst['drop']:.1f}% (layer {worst['first']})"
    )
    if args.toggles:
        time_toggles(args, adapters, name, encode(small.test.take(range(args.toggles)), tokenizer))
    if args.record:
        record(args, result, run, device, {"seed": seed, "n_train": len(small.train), "majority": majority})


def time_naive(args, result, switches, data) -> None:
    """The intact model, the spans and the halves once more, each from the first layer to the last."""
    from adapterlab.train import predict

    began, gaps = time.perf_counter(), []
    for pattern, logits in result.logits.items():
        with switches.off(pattern):
            gaps.append((predict(switches.model, data, args.batch_size) - logits).abs().max().item())
    slow = time.perf_counter() - began
    print(f"naive loop: {slow:.1f} s, {slow / result.seconds:.2f} times as long; largest difference {max(gaps):g}")


def record(args, result, run, device, more: dict) -> None:
    """Write the row of one seed down."""
    from adapterlab.lessons.nb05_ablation.recorded import COLUMNS, record_name
    from adapterlab.studies import results
    from adapterlab.studies.spans import layer_evaluations

    base = "minilm" if args.base == "minilm" else Path(args.base).name
    naive, shared = layer_evaluations(result.depth)
    row = {
        "experiment": "ablation",
        "base": base,
        "task": "rotten_tomatoes" if args.reviews is None else Path(args.reviews).name,
        **{name: getattr(args, name) for name in ("size", "lr", "epochs", "norms")},
        **{name: getattr(result, name) for name in ("rows", "metric", "intact", "depth")},
        "evaluations": shared,
        "naive_evaluations": naive,
        "spans": [[change[key] for key in COLUMNS] for change in result.spans + result.halves],
        "trained": run and run.trained,
        "train_seconds": run and round(run.seconds, 1),
        "seconds": round(result.seconds, 2),
        **more,
        **results.provenance(device),
    }
    results.record(record_name(base), row, args.out or results.RESULTS)
    print(f"recorded in {record_name(base)}.jsonl")


def prepare(args, task, device, seed: int):
    """(adapters, tokenizer, the adapter's name, its training Run or None)."""
    from adapterlab.adapters import Adapters
    from adapterlab.methods import houlsby
    from adapterlab.models import load_base
    from adapterlab.tasks import encode
    from adapterlab.train import fit

    model, tokenizer = load_base(args.base, labels=task.num_outputs, device=device, seed=seed)
    adapters = Adapters(model)
    if args.adapter:
        return adapters, tokenizer, adapters.load(args.adapter), None
    adapters.add("reviews", houlsby(args.size), head=task.labels, seed=seed)
    adapters.train("reviews")
    train, validation = encode(task.train, tokenizer), encode(task.validation, tokenizer)
    run = fit(model, train, validation, epochs=args.epochs, lr=args.lr, seed=seed, metric=task.metric, show=False)
    print(f"seed {seed}: {task.metric} {run.best:.3f} on validation after {run.seconds:.0f} s of training")
    return adapters, tokenizer, "reviews", run


def time_toggles(args, adapters, name: str, data) -> None:
    """Twelve new combinations that share nothing with the ones before, then one seen before."""
    import random

    from adapterlab.studies.spans import Toggles

    toggles = Toggles(adapters, name, data, batch_size=args.batch_size, norms=args.norms)
    toggles(toggles.on)
    draw, times = random.Random(0), []
    for i in range(12):
        toggles.clear()
        toggles(toggles.on)
        rest = tuple(draw.random() < 0.5 for _ in toggles.on[2:])
        out = toggles(((False, True), (True, False), (False, False))[i % 3] + rest)
        assert out.layers == toggles.depth
        times.append(out.seconds)
    again = toggles(toggles.on).seconds
    print(
        f"toggles on {len(data)} sentences, every layer to run: median {sorted(times)[6]:.2f} s, "
        f"slowest {max(times):.2f} s; "
        f"seen before: {1000 * again:.1f} ms; {toggles.walk.held / 1e6:.0f} MB remembered"
    )


if __name__ == "__main__":
    main()
