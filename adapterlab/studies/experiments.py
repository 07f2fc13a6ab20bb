"""The experiments of Houlsby et al. 2019, each a list of settings, run by `run_sweep`, and one tidy DataFrame.

A setting is a plain dict that says everything a result depends on; `run_one(setting)` makes its row. All columns:

task, base, n_train, n_validation, n_test (rows used at most; None: all), method ("adapter 64", "LayerNorm only",
"head only", "top 2", "full"), variant (see VARIANTS), size, std, lr, epochs, batch_size, max_length, seed: the setting.
pooling: what the head reads, see `methods.head` (rows without it: of a head on the frozen, untrained pooler).
recipe: in the rows of "methods" alone, the methods of FAMILY's entry as plain dicts; what is left out is the default.
validation, test: the task's metric as a fraction (None when the run diverged); metric: its name; test_scores: all that
GLUE reports; majority: what always saying the most frequent class scores on the test rows; best_epoch: the one kept.
trained, total, trained_percent: parameters. rows_train, rows_validation, rows_test: rows that there were.
step_ms, seconds, peak_mb: cost, of the whole pass when bank (the runs trained in it) is above 1.
losses: the training loss, thinned to at most 50 [step, loss] pairs (fine_tune only).
command, commit, device, workers, python, torch, transformers, adapterlab, date, key: where the row comes from.

The learning rate is for the reader to choose: by validation, with `choose(frame)`, never by test.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import product
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..adapter import count_parameters
from ..adapters import Adapters
from ..errors import UserError, suggest
from ..lab import device_name, pick_device
from ..methods import LayerNormConfig, VariantConfig, from_dict
from ..models import load_base, locate, quiet
from ..tasks import Encoded, Task, encode, load_task, metrics
from ..train import Run, fit, predict
from .bank import Bank
from .ways import methods_of, parse, unfreeze

if TYPE_CHECKING:
    import pandas as pd

ADAPTER_LRS, FULL_LRS = (3e-4, 1e-3, 3e-3), (2e-5, 5e-5, 1e-4)
LOWER_LRS, LOW_LRS = (1e-4, 3e-4, 1e-3, 3e-3), (3e-4, 1e-3, 3e-3, 1e-2)
HIGH_LRS, HIGHER_LRS = (1e-3, 3e-3, 1e-2, 3e-2), (3e-3, 1e-2, 3e-2, 1e-1)
SIZES = tuple(2**n for n in range(10))
STDS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 2e-2, 5e-2, 1e-1, 2e-1, 5e-1, 1.0)
GLUE = ("glue/CoLA", "glue/SST-2", "glue/MRPC", "glue/RTE")

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "relu": {"act": "relu"},
    "tanh": {"act": "tanh"},
    "swish": {"act": "swish"},
    "LayerNorm inside": {"norm": "layer"},
    "BatchNorm inside": {"norm": "batch"},
    "two hidden layers": {"depth": 2},
    "three hidden layers": {"depth": 3},
    "attention only": {"sites": ("attention",)},
    "feed-forward only": {"sites": ("feedforward",)},
    "parallel": {"place": "parallel"},
    "parallel, multiplied": {"place": "multiply"},
}
"""What section 3.6 of the paper tried, as settings of `VariantConfig`; "plain" is the gelu bottleneck after both."""

FAMILY: dict[str, tuple[Any, ...]] = {
    "Houlsby": (LOW_LRS, {"method": "bottleneck", "size": 24}, {"method": "layernorm"}),
    "Pfeiffer": (LOW_LRS, {"method": "pfeiffer", "size": 48}),
    "Pfeiffer, size 1": (HIGH_LRS, {"method": "pfeiffer", "size": 1}),
    "parallel": (LOWER_LRS, {"method": "parallel", "size": 48}),
    "Compacter": (HIGH_LRS, {"method": "compacter"}),
    "AdapterDrop": (LOW_LRS, {"method": "bottleneck", "size": 48, "layers": [3, 4, 5]}),
    "LoRA": (LOW_LRS, {"method": "lora", "rank": 24, "alpha": 48}),
    "LoRA, rank 1": (HIGH_LRS, {"method": "lora", "rank": 1, "alpha": 2}),
    "DoRA": (LOW_LRS, {"method": "dora", "rank": 24, "alpha": 48}),
    "VeRA": (HIGHER_LRS, {"method": "vera"}),
    "(IA)^3": (HIGHER_LRS, {"method": "ia3"}),
    "BitFit": (HIGH_LRS, {"method": "bitfit"}),
    "LayerNorm": (HIGH_LRS, {"method": "layernorm"}),
    "LoReFT": (LOW_LRS, {"method": "loreft", "rank": 48, "first": None}),
    "prefix": (HIGH_LRS, {"method": "prefix_tuning", "length": 30, "hidden": 40}),
    "prompt": (HIGHER_LRS, {"method": "prompt_tuning"}),
    "Mix-and-Match": (
        LOW_LRS,
        {"method": "prefix_tuning", "length": 12, "hidden": 20},
        {"method": "parallel", "size": 24},
    ),
    "UniPELT": (
        LOW_LRS,
        {"method": "lora", "rank": 8, "alpha": 2, "gated": True},
        {"method": "prefix_tuning", "length": 10, "hidden": 12, "gated": True},
        {"method": "pfeiffer", "size": 16, "gated": True},
    ),
    "K-Adapter": (LOWER_LRS, {"method": "kadapter", "size": 64, "heads": 4, "inner": 64, "depth": 1}),
}
"""Name -> (learning rates to choose from, its methods). What has a size is set near 1% of MiniLM's parameters; what is
small by design is as its paper has it, with a bottleneck of size 1 and a LoRA of rank 1 to compare it with.

AdapterDrop is its specialised form (Rücklé et al. 2021, section 3.1): the same layers without adapters in training and
in use; written for six layers. Left out: the invertible adapter, which belongs to a language and not to a task.
"""

PLAIN = {"head only": LOW_LRS, "full": (*FULL_LRS, 3e-4)}
"""What is compared with FAMILY: name -> learning rates to choose from."""

DEFAULTS: dict[str, Any] = {
    "base": "minilm", "n_train": 2000, "n_validation": 500, "n_test": None, "max_length": 128, "batch_size": 32,
    "pooling": "mean", "variant": "plain", "std": 1e-2,
}  # fmt: skip
"""What a setting says where it is not told otherwise."""


@dataclass(frozen=True)
class Places:
    """Where this machine keeps things: no part of a setting, so no part of a record.

    folders: base or task name -> folder, for those that are not bundled; glue: the root of a GLUE download.
    """

    device: str = "auto"
    folders: dict[str, str] = field(default_factory=dict)
    glue: str | None = None

    def __hash__(self):
        return hash((self.device, self.glue, *sorted(self.folders.items())))


def setting(
    task: str, method: str, *, lr: float, epochs: int, seed: int = 0, recipe: list[dict] | None = None, **more
) -> dict:
    """One run. method: "adapter 64", "LayerNorm only", "head only", "top 2" or "full"; more: entries of DEFAULTS.

    recipe: the methods themselves, as `from_dict` reads them; method is then only what the run is called.
    Errors: UserError for an unknown method, variant or entry.
    """
    for name in more:
        if name not in DEFAULTS:
            raise UserError(f'a run has no setting "{name}"{suggest(name, DEFAULTS)}')
    row = {**DEFAULTS, **more, "task": task, "method": method, "lr": lr, "epochs": epochs, "seed": seed}
    row |= {"recipe": recipe} if recipe else {}
    if (variant := row["variant"]) not in VARIANTS:
        raise UserError(f'unknown variant "{variant}"{suggest(variant, VARIANTS)}; known: {", ".join(VARIANTS)}')
    kind, number = _kind(row)
    row["size"] = number if kind == "adapter" else None
    recipe_of(row)  # a size of 0 is refused here, one that is too wide when the model is known
    return row


# ---- one run, and a bank of runs

DATA, LOOP = ("base", "task", "n_train", "n_validation", "n_test", "max_length"), ("epochs", "batch_size")


def run_one(setting: dict, places: Places = Places()) -> dict:
    """Train as the setting says, on its own; the row of what came out."""
    task, data = load_data(*(setting[name] for name in DATA), places)
    model, _ = build([setting], task, places)
    lr, seed, loop = setting["lr"], setting["seed"], {name: setting[name] for name in LOOP}
    try:
        run = fit(model, data["train"], data["validation"], lr=lr, seed=seed, metric=task.metric, show=False, **loop)
    except UserError as error:
        if "the loss is" not in str(error):
            raise
        device = device_name(next(model.parameters()).device)
        run = Run("diverged", task.metric, seed, lr, setting["epochs"], *count_parameters(model), device)
        return _row(run, task, data, None)
    return _row(run, task, data, predict(model, data["test"]))


def run_many(settings: list[dict], places: Places = Places()) -> list[dict]:
    """Several settings that differ in size, std, lr and seed alone, in one pass; the rows of what came out."""
    if len(settings) == 1:
        return [run_one(settings[0], places)]
    first = settings[0]
    task, data = load_data(*(first[name] for name in DATA), places)
    _, adapters = build(settings, task, places)
    bank, lrs, seeds = Bank(adapters, list(adapters)), [s["lr"] for s in settings], [s["seed"] for s in settings]
    loop = {name: first[name] for name in LOOP} | {"seed": seeds[0], "metric": task.metric, "show": False}
    runs = bank.fit(data["train"], data["validation"], lr=lrs, orders=seeds, **loop)
    logits = bank.predict(data["test"])  # (members, rows, labels)
    rows = [_row(r, task, data, None if math.isnan(r.best) else of_r) for r, of_r in zip(runs, logits, strict=True)]
    return [{**row, "bank": len(settings)} for row in rows]


def banks(settings: list[dict], most: int = 12) -> list[list[dict]]:
    """Settings -> jobs for `run_many`: what fits into one bank together, alike sizes first, `most` at a time."""
    jobs: dict[tuple, list[dict]] = {}
    for i, s in enumerate(settings):
        kind = _kind(s)[0]
        fits = kind not in ("top", "full", "recipe") and s["variant"] == "plain" and most > 1
        shared = sorted((k, repr(v)) for k, v in s.items() if k not in ("method", "size", "std", "lr"))
        jobs.setdefault((kind, *shared) if fits else (i,), []).append(s)
    pieces = []
    for job in jobs.values():
        job.sort(key=lambda s: s["size"] or 0)
        length = math.ceil(len(job) / math.ceil(len(job) / most))
        pieces += [job[i : i + length] for i in range(0, len(job), length)]
    return pieces


def build(settings: list[dict], task: Task, places: Places) -> tuple[nn.Module, Adapters]:
    """(model, Adapters): one adapter a setting, called "0", "1", ..., the first one active and trainable."""
    first = settings[0]
    where: str = places.folders.get(first["base"], first["base"])
    device = pick_device(places.device)
    model, _ = load_base(where, labels=task.num_outputs, device=device, seed=first["seed"])
    kind, number = _kind(first)
    adapters = Adapters(model)
    for i, s in enumerate(settings):
        adapters.add(str(i), recipe_of(s), head=task.labels or ("score",), seed=s["seed"], pooling=s.get("pooling"))
    adapters.train("0")
    if kind in ("top", "full"):
        unfreeze(model, number)
    return model, adapters


def recipe_of(setting: dict) -> tuple:
    """The methods of a setting, without the head."""
    if "recipe" in setting:
        return tuple(from_dict(part) for part in setting["recipe"])
    if changes := VARIANTS[setting["variant"]]:
        return VariantConfig(size=setting["size"], std=setting["std"], **changes), LayerNormConfig()
    return methods_of(setting["method"], setting["std"])


def family_rates(name: str) -> tuple:
    """The learning rates that are tried for an entry of FAMILY or PLAIN; none for another name."""
    return FAMILY[name][0] if name in FAMILY else PLAIN.get(name, ())


def family_recipe(name: str) -> tuple:
    """The methods of an entry of FAMILY, without the head."""
    return tuple(from_dict(part) for part in FAMILY[name][1:])


def _kind(setting: dict) -> tuple[str, int | None]:
    return ("recipe", None) if "recipe" in setting else parse(setting["method"])


@lru_cache(maxsize=4)
def load_data(
    base: str, name: str, n_train: int, n_validation: int, n_test: int, max_length: int, places: Places
) -> tuple[Task, dict[str, Encoded]]:
    """(task, {"train", "validation", "test": Encoded}); kept, since many runs share it."""
    from transformers import AutoTokenizer

    task = load_task(places.folders.get(name, name), root=places.glue if name.startswith("glue/") else None)
    task = task.subset(n_train, n_validation, n_test)
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(locate(places.folders.get(base, base)))
    return task, {k: encode(task.split(k), tokenizer, max_length) for k in ("train", "validation", "test")}


def _row(run: Run, task: Task, data: dict[str, Encoded], logits: Tensor | None) -> dict:
    scores = metrics(task, logits, data["test"].labels) if logits is not None else {}
    step = max(1, math.ceil(len(run.history) / 50))
    return {
        "metric": task.metric,
        "validation": None if logits is None else round(run.best, 6),
        "test": round(scores[task.metric], 6) if scores else None,
        "test_scores": {k: round(v, 6) for k, v in scores.items()},
        "majority": round(task.majority("test"), 6),
        "best_epoch": run.best_epoch,
        "trained": run.trained,
        "total": run.total,
        "trained_percent": round(run.trained_percent, 5),
        "step_ms": round(run.step_ms, 3),
        "seconds": round(run.seconds, 2),
        "peak_mb": round(run.peak_mb),
        **{f"rows_{split}": len(rows) for split, rows in data.items()},
        "losses": [[h["step"], round(h["loss"], 5)] for h in run.history[::step] if math.isfinite(h["loss"])],
        "bank": 1,
        "device": run.device,
    }


# ---- the experiments: each a list of settings


def grid(
    ways: Mapping[str, Sequence[float]] | Sequence[str] = (),
    sizes: Sequence[int] = (),
    tops: Sequence[int] = (),
    names: Sequence[str] = (),
    *,
    lrs: Sequence[float] | None = None,
    full_lrs: Sequence[float] | None = None,
    tasks: Sequence[str] = ("rotten_tomatoes",),
    seeds: Sequence[int] = (0, 1, 2),
    epochs: int | Mapping[str, int] = 5,
    stds: Sequence[float] = (DEFAULTS["std"],),
    variants: Sequence[str] = ("plain",),
    **more,
) -> list[dict]:
    """Every combination of task, variant, std, seed and method with one of the method's learning rates.

    ways: methods of `setting`, with their rates or with the usual ones; sizes: of adapters; tops: k of "top k"; names:
    entries of FAMILY, with their rates. lrs, full_lrs: in place of all rates, the latter of "full" and "top k".
    epochs: one number, or one a task. more: entries of `setting`. UserError for an unknown name.
    """
    rates: dict[str, tuple] = {}  # method -> (learning rates, recipe)
    for way in (*ways, *(f"adapter {size}" for size in sizes), *(f"top {k}" for k in tops)):
        given, usual = (full_lrs, FULL_LRS) if parse(way)[0] in ("full", "top") else (lrs, ADAPTER_LRS)
        rates[way] = (given or (ways[way] if isinstance(ways, Mapping) and way in ways else usual), None)
    for name in names:
        if name not in FAMILY:
            raise UserError(f'unknown method "{name}"{suggest(name, FAMILY)}; known: {", ".join(FAMILY)}')
        rates[name] = (lrs or FAMILY[name][0], list(FAMILY[name][1:]))
    return [
        setting(
            task, method, lr=lr, epochs=epochs[task] if isinstance(epochs, Mapping) else epochs, seed=seed,
            recipe=recipe, std=std, variant=variant, **more,
        )
        for task, variant, std, seed in product(tasks, variants, stds, seeds)
        for method, (chosen, recipe) in rates.items()
        for lr in chosen
    ]  # fmt: skip


FEW = ("head only", "LayerNorm only", "full")
EXPERIMENTS: dict[str, Callable[..., list[dict]]] = {  # name -> its settings; any argument of `grid` changes them
    "fine_tune": partial(grid, FEW, sizes=(64,), tops=(1, 2, 3), epochs=3),
    "size_sweep": partial(grid, sizes=SIZES, seeds=range(5)),
    # Table 1's grid: sizes by learning rates by seeds, against full fine-tuning
    "glue": partial(grid, ("full",), sizes=(8, 64, 256), tasks=GLUE, n_train=None, n_validation=None),
    # Figure 6, right: the standard deviation of the initial weights
    "init": partial(grid, sizes=(64,), stds=STDS, lrs=(1e-3,)),
    # Figures 1, 3 and 4
    "frontier": partial(grid, FEW, sizes=(1, 4, 16, 64, 256), tops=range(1, 7)),
    "variants": partial(grid, sizes=(64,), variants=tuple(VARIANTS)),  # section 3.6
    "methods": partial(grid, PLAIN, names=tuple(FAMILY)),
}
glue_settings = EXPERIMENTS["glue"]


def choose(
    frame: "pd.DataFrame", by=("base", "task", "n_train", "method", "variant", "std"), among=("lr",)
) -> "pd.DataFrame":
    """Of every `by`, the rows of the value of `among` whose mean validation score is best.

    Values are compared over the seeds that all of them were run with, so that a look with one seed is fair to each;
    over whatever each has, where no seed is common to all.
    `choose(frame, by=("base", "task"), among=("method", "lr"))` chooses the size as well, as Table 1 does.
    """
    frame = frame.reset_index(drop=True)
    by, among, kept = [c for c in by if c in frame], list(among), []
    scores = frame.assign(validation=frame["validation"].astype(float).fillna(-1.0))
    for _, rows in scores.groupby(by, dropna=False, sort=False):
        tried = [part for _, part in rows.groupby(among, dropna=False, sort=False)]
        common = set.intersection(*(set(part["seed"]) for part in tried))
        fair = [part[part["seed"].isin(list(common))] if common else part for part in tried]
        kept += list(tried[max(range(len(tried)), key=lambda i: fair[i]["validation"].mean())].index)
    return frame.loc[sorted(kept)].reset_index(drop=True)
