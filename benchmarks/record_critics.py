"""Record the two critics of notebook 15: a row a critic and seed, finished rows never repeated.

python benchmarks/record_critics.py [--seeds 5] [--texts 240] [--samples 100] [--model smollm2] [--out FOLDER]

A LoRA of rank 8 learns sentences of one mood (Rotten Tomatoes, training split). Its mean loss a token is taken on
test sentences of its own mood, of the other and on plain ones, each beside the base's; then it writes, and a sentiment
classifier says how many of its texts have the mood that was meant.
"""

import argparse
import os
from functools import cache
from types import SimpleNamespace

JUDGE = {"train": 800, "epochs": 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=240, help="sentences that a critic learns from")
    parser.add_argument("--tests", type=int, default=48, help="sentences of each kind that judge it")
    parser.add_argument("--samples", type=int, default=100, help="texts that it writes")
    parser.add_argument("--out", help="folder for the rows; default: data/results")
    args = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from adapterlab.lessons.nb15_decoder.critics import CRITICS
    from adapterlab.studies import results
    from adapterlab.studies.sweep import run_sweep

    recipe = {"model": args.model, "rank": 8, "lr": 3e-3, "batch_size": 6, "epochs": 1, "new": 24}
    counts = {"texts": args.texts, "tests": args.tests, "samples": args.samples}
    settings = [{"critic": name, "seed": seed, **recipe, **counts} for seed in range(args.seeds) for name in CRITICS]
    run_sweep(run_one, settings, "critics", folder=args.out or results.RESULTS)


@cache
def bench(name: str, tests: int) -> SimpleNamespace:
    """What every run needs: the base, its losses on the three kinds of texts, and the judge."""
    from adapterlab.adapters import Adapters
    from adapterlab.lessons.nb15_decoder import critics
    from adapterlab.models import load_base
    from adapterlab.tasks import encode_text, load_task
    from adapterlab.train import next_token_loss

    model, tokenizer = load_base(name, head="causal")
    task = load_task("rotten_tomatoes")
    texts = {mood: critics.sentences(task.test, label, tests) for mood, label in critics.CRITICS.items()}
    data = {mood: encode_text(rows, tokenizer, prompts=[critics.PROMPT] * len(rows)) for mood, rows in texts.items()}
    data["plain"] = critics.plain(tests, tokenizer)
    base = {kind: critics.text_losses(model, one, next_token_loss) for kind, one in data.items()}
    judge, right = critics.train_judge(task, **JUDGE)
    return SimpleNamespace(
        adapters=Adapters(model), tokenizer=tokenizer, task=task, data=data, base=base, judge=judge, right=right
    )


def run_one(setting: dict) -> dict:
    """Train one critic, let it write, and say how it did."""
    from adapterlab.lab import pick_device
    from adapterlab.lessons.nb15_decoder import critics
    from adapterlab.lessons.nb15_decoder.exercises import pad_left
    from adapterlab.studies import results
    from adapterlab.tasks import encode_text
    from adapterlab.train import fit, next_token_loss

    on, name, seed = bench(setting["model"], setting["tests"]), setting["critic"], setting["seed"]
    model, adapters = on.adapters.model, on.adapters
    texts = critics.sentences(on.task.train, critics.CRITICS[name], setting["texts"], seed)
    train = encode_text(texts, on.tokenizer, prompts=[critics.PROMPT] * len(texts))
    adapters.add(name, critics.upper_half(model, setting["rank"]), seed=seed)
    adapters.train(name)
    run = fit(model, train, epochs=setting["epochs"], lr=setting["lr"], batch_size=setting["batch_size"], seed=seed,
              name=f"{name}, seed {seed}")  # fmt: skip
    other = next(mood for mood in critics.CRITICS if mood != name)
    row = {}
    for column, kind in {"own": name, "other": other, "plain": "plain"}.items():
        losses = critics.text_losses(model, on.data[kind], next_token_loss)
        for key, rows in {column: losses, f"{column}_base": on.base[kind]}.items():
            row |= {f"{key}_perplexity": critics.perplexity(rows), f"{key}_loss": rows[:, 0].mean().item()}
    openings = [critics.OPENINGS[i % len(critics.OPENINGS)] for i in range(setting["samples"])]
    prompts = [critics.PROMPT + opening for opening in openings]
    said = critics.sample(model, on.tokenizer, prompts, pad_left.reference, setting["new"], seed)
    said = [opening + text for opening, text in zip(openings, said, strict=True)]
    pleased = on.judge(said) > 0.5
    agree = (pleased == bool(critics.CRITICS[name])).float().mean().item()
    adapters.activate(None)
    adapters.delete(name)
    return {
        **row, "agree": agree, "judge_accuracy": on.right, "examples": said[:4], "trained": run.trained,
        "step_ms": run.step_ms, "seconds": run.seconds, "peak_mb": run.peak_mb,
        **results.provenance(pick_device("auto")),
    }  # fmt: skip


if __name__ == "__main__":
    main()
