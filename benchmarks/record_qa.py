"""Record question answering: adapters against full fine-tuning, a row a run, finished runs never repeated.

python benchmarks/record_qa.py                            XQuAD's English questions, split by article, in ../shared/data
python benchmarks/record_qa.py --file FILE                any SQuAD v1.1 file, split by article
python benchmarks/record_qa.py --squad train.json dev.json    SQuAD itself (its dev set for the test, as in the paper)
python benchmarks/record_qa.py --toy                      the whole path in a minute, into a temporary folder

Needs torch, transformers, safetensors and numpy only. Validation articles are held out of the training articles; they
choose the epoch and, among several learning rates, the rate. The test questions are seen once, at the end of a run.
Rows go to OUT/qa.jsonl (another model: qa_<base>.jsonl).
"""

import argparse
import hashlib
import os
import random
import tempfile
import time
from pathlib import Path

LRS = {"adapter": (1e-3, 3e-3), "full": (1e-4, 3e-4)}
NOTE = "English questions of XQuAD: 240 paragraphs of SQuAD v1.1's dev set, one accepted answer each (CC BY-SA 4.0)"


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--file", help="a SQuAD v1.1 file, split by article; default: ../shared/data/squad/xquad.en.json"
    )
    parser.add_argument("--squad", nargs=2, metavar=("TRAIN", "DEV"), help="SQuAD v1.1's two files")
    parser.add_argument("--test-articles", type=int, default=12)
    parser.add_argument("--validation-articles", type=int, default=4)
    parser.add_argument("--train-questions", type=int, help="at most so many, drawn evenly from all articles")
    parser.add_argument("--test-questions", type=int, help="at most so many, drawn evenly from all articles")
    parser.add_argument("--sizes", nargs="*", type=int, default=[64], help="adapter sizes (default 64)")
    parser.add_argument("--lrs", nargs="+", type=float, default=LRS["adapter"], help="of the adapters")
    parser.add_argument("--full-lrs", nargs="*", type=float, default=LRS["full"], help="of full fine-tuning")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=384)
    parser.add_argument("--stride", type=int, default=128)
    parser.add_argument("--max-answer", type=int, default=30)
    parser.add_argument("--base", default="minilm", help='"minilm" or a model folder')
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", help="folder for the rows; default: data/results")
    parser.add_argument("--budget-minutes", type=float, help="begin no run after so many minutes")
    parser.add_argument("--toy", action="store_true")
    return parser.parse_args()


def evenly(questions, count, seed: int = 2019):
    """At most `count` questions, as evenly as can be from all articles: one of each, then a second one, ..."""
    if not count or count >= len(questions):
        return questions
    draw, places = random.Random(seed).random, {}
    for i, q in sorted(enumerate(questions), key=lambda _: draw()):
        places.setdefault(q.title, []).append(i)
    rank = sorted((k, i) for rows in places.values() for k, i in enumerate(rows))
    kept = sorted(i for _, i in rank[:count])
    return type(questions)(tuple(questions[i] for i in kept), questions.source)


def load(args):
    """(train, validation, test, what they are)."""
    from adapterlab.paths import ROOT
    from adapterlab.tasks.questions import load_questions

    if args.squad:
        train, test = (load_questions(path) for path in args.squad)
        what = "SQuAD v1.1"
    else:
        path = Path(args.file) if args.file else ROOT.parent / "shared" / "data" / "squad" / "xquad.en.json"
        train, test = load_questions("mini_squad" if args.toy and not path.exists() else path).split(args.test_articles)
        what = NOTE if path.name == "xquad.en.json" else path.name
    train, validation = train.split(args.validation_articles)
    return (
        evenly(train, args.train_questions),
        evenly(validation, args.test_questions),
        evenly(test, args.test_questions),
        what,
    )


def digest(*parts) -> str:
    text = repr([[(q.ident, q.context, q.question, q.answers, q.starts) for q in part] for part in parts])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def run_one(method: str, size, lr: float, seed: int, args, data) -> dict:
    """Train once from the pretrained model; what came out, as a row."""
    from adapterlab.adapters import Adapters
    from adapterlab.lessons.nb08_questions.tables import by_article
    from adapterlab.methods import houlsby
    from adapterlab.models import load_base
    from adapterlab.studies.ways import unfreeze
    from adapterlab.tasks.answers import HEAD, answer, encode_questions, span_judge, span_loss
    from adapterlab.tasks.questions import score_answers
    from adapterlab.train import fit

    train, validation, test, what = data
    model, tokenizer = load_base(args.base, head="span", device=args.device, seed=seed)
    windows = [encode_questions(part, tokenizer, args.max_length, args.stride) for part in (train, validation, test)]
    if method == "full":
        unfreeze(model)
    else:
        adapters = Adapters(model)
        adapters.add("qa", houlsby(size), head=HEAD, seed=seed)
        adapters.train("qa")
    judge = span_judge(windows[1], validation, "f1", args.max_answer)
    run = fit(model, windows[0], epochs=args.epochs, lr=lr, batch_size=args.batch_size, seed=seed, metric="f1",
              loss=span_loss, judge=judge, name=f"{method}, lr {lr:g}, seed {seed}")  # fmt: skip
    said = answer(model, windows[2], test, args.max_answer)
    return {
        "method": method, "size": size, "lr": lr, "seed": seed, **score_answers(said, test),
        "validation_f1": run.best, "best_epoch": run.best_epoch, "data": what,
        "digest": digest(train, validation, test),
        "train_questions": len(train), "validation_questions": len(validation), "test_questions": len(test),
        "train_articles": len(train.titles), "test_articles": len(test.titles), "train_windows": len(windows[0]),
        "by_article": by_article(said, test),
        "trained": run.trained, "trained_percent": run.trained_percent, "step_ms": run.step_ms,
        "seconds": run.seconds, "peak_mb": run.peak_mb,
        "history": [r["validation"] for r in run.history if "validation" in r],
    }  # fmt: skip


TOY = dict(train_questions=8, test_questions=4, seeds=1, epochs=1, max_length=128, stride=32, sizes=[8])
KEPT = ("epochs", "batch_size", "max_length", "stride", "max_answer")


def plan(args) -> list[tuple]:
    """(method, size, lr, seed) of every run."""
    ways = [(f"adapter {size}", size, lr) for size in args.sizes for lr in args.lrs]
    ways += [("full", None, lr) for lr in args.full_lrs]
    return [(*way, seed) for seed in range(args.seeds) for way in ways]


def main() -> None:
    args = parse()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from adapterlab.lab import pick_device
    from adapterlab.studies import results

    if args.toy:
        vars(args).update(TOY, lrs=args.lrs[:1], full_lrs=args.full_lrs[:1])
    out = Path(args.out or (tempfile.mkdtemp() if args.toy else results.RESULTS))
    name = "qa" if args.base == "minilm" else f"qa_{Path(args.base).name.replace('.', '-')}"
    data, device, began = load(args), pick_device(args.device), time.time()
    recipe = {k: getattr(args, k) for k in KEPT}
    for method, size, lr, seed in plan(args):
        setting = {**recipe, "base": name, "digest": digest(*data[:3])}
        key = results.key({**setting, "method": method, "size": size, "lr": lr, "seed": seed})
        if any(row["key"] == key for row in results.read(name, out)):
            continue
        if args.budget_minutes and time.time() - began > 60 * args.budget_minutes:
            print(f"stopped after {args.budget_minutes:g} minutes, before {method}, lr {lr:g}, seed {seed}")
            return
        load_before = os.getloadavg()[0]
        row = run_one(method, size, lr, seed, args, data)
        note = f"load {load_before:.1f} at the start, {os.getloadavg()[0]:.1f} at the end, {os.cpu_count()} cores"
        row |= {**recipe, "key": key, "load": note, **results.provenance(device)}
        results.record(name, row, out, unless="key")
        scores = f"exact {100 * row['exact']:.1f}, F1 {100 * row['f1']:.1f} (test)"
        print(f"{method}, lr {lr:g}, seed {seed}: {scores}", flush=True)
    print(f"all: {time.time() - began:.0f} s, rows in {out.name}/{name}.jsonl")


if __name__ == "__main__":
    main()
