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
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ..adapter import count_parameters
from ..adapters import Adapters
from ..errors import UserError, suggest
from ..lab import device_name, pick_device
from ..methods import LayerNormConfig, VariantConfig, from_dict, houlsby
from ..models import load_base, locate, quiet
from ..paths import RESULTS
from ..tasks import Encoded, Task, encode, load_task, metrics
from ..train import Run, fit, predict
from .bank import Bank
from .sweep import run_sweep
from .ways import parse, unfreeze

if TYPE_CHECKING:
    import pandas as pd

ADAPTER_LRS = (3e-4, 1e-3, 3e-3)
LOWER_LRS, LOW_LRS = (1e-4, 3e-4, 1e-3, 3e-3), (3e-4, 1e-3, 3e-3, 1e-2)
HIGH_LRS, HIGHER_LRS = (1e-3, 3e-3, 1e-2, 3e-2), (3e-3, 1e-2, 3e-2, 1e-1)
FULL_LRS = (2e-5, 5e-5, 1e-4)
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
    task: str,
    method: str,
    *,
    lr: float,
    epochs: int,
    seed: int = 0,
    variant: str = "plain",
    recipe: list[dict] | None = None,
    **more,
) -> dict:
    """One run. method: "adapter 64", "LayerNorm only", "head only", "top 2" or "full"; more: see the module's columns.

    recipe: the methods themselves, as `from_dict` reads them; method is then only what the run is called.
    """
    kind, number = ("recipe", None) if recipe else parse(method)
    for part in recipe or ():
        from_dict(part)
    if variant not in VARIANTS:
        raise UserError(f'unknown variant "{variant}"{suggest(variant, VARIANTS)}; known: {", ".join(VARIANTS)}')
    if kind == "adapter":
        houlsby(number or 0)  # a size of 0 is refused here, one that is too wide when the model is known
    known = dict(base="minilm", n_train=2000, n_validation=500, n_test=None, std=1e-2, batch_size=32, max_length=128)
    known["pooling"] = "mean"
    unknown = set(more) - set(known)
    if unknown:
        raise UserError(f'a run has no setting "{min(unknown)}"{suggest(min(unknown), known)}')
    return {
        **known,
        **more,
        "task": task,
        "method": method,
        "variant": variant,
        "size": number if kind == "adapter" else None,
        "lr": lr,
        "epochs": epochs,
        "seed": seed,
        **({"recipe": recipe} if recipe else {}),
    }


# ---- one run, and a bank of runs


def run_one(setting: dict, places: Places = Places()) -> dict:
    """Train as the setting says, on its own; the row of what came out."""
    task, data = load_data(*_data_key(setting), places)
    model, _ = build([setting], task, places)
    train, validation, lr, seed = data["train"], data["validation"], setting["lr"], setting["seed"]
    try:
        run = fit(model, train, validation, **_loop(setting), lr=lr, seed=seed, metric=task.metric, show=False)
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
    task, data = load_data(*_data_key(first), places)
    _, adapters = build(settings, task, places)
    bank, lrs, seeds = Bank(adapters, list(adapters)), [s["lr"] for s in settings], [s["seed"] for s in settings]
    loop = _loop(first) | {"seed": seeds[0], "metric": task.metric, "show": False}
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
    kind, _ = _kind(setting)
    if kind == "recipe":
        return tuple(from_dict(part) for part in setting["recipe"])
    if kind in ("head only", "top", "full"):
        return ()
    if kind == "LayerNorm only":
        return (LayerNormConfig(),)
    changes = VARIANTS[setting["variant"]]
    if not changes:
        return houlsby(setting["size"], std=setting["std"])
    return VariantConfig(size=setting["size"], std=setting["std"], **changes), LayerNormConfig()


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


def _data_key(s: dict) -> tuple:
    return s["base"], s["task"], s["n_train"], s["n_validation"], s["n_test"], s["max_length"]


def _loop(s: dict) -> dict:
    return {"epochs": s["epochs"], "batch_size": s["batch_size"]}


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
        "rows_train": len(data["train"]),
        "rows_validation": len(data["validation"]),
        "rows_test": len(data["test"]),
        "losses": [[h["step"], round(h["loss"], 5)] for h in run.history[::step] if math.isfinite(h["loss"])],
        "bank": 1,
        "device": run.device,
    }


# ---- the experiments: each a list of settings; more: what `every` takes besides, and any entry of `setting`


def every(
    methods: Iterable[tuple[str, Iterable[float]]], task="rotten_tomatoes", seeds=(0, 1, 2), epochs: int = 5, **more
) -> list[dict]:
    """Every combination of task, seed, method and one of its learning rates; task: one, or several."""
    return [
        setting(name, method, lr=lr, epochs=epochs, seed=seed, **more)
        for name in ((task,) if isinstance(task, str) else task)
        for seed in seeds
        for method, lrs in methods
        for lr in lrs
    ]


def ladder(sizes, tops, lrs=ADAPTER_LRS, full_lrs=FULL_LRS) -> list[tuple[str, Iterable[float]]]:
    """Head only, LayerNorm only and adapters of some sizes; the upper layers alone, and full fine-tuning."""
    few = [(name, lrs) for name in ("head only", "LayerNorm only", *(f"adapter {m}" for m in sizes))]
    return few + [(name, full_lrs) for name in (*(f"top {k}" for k in tops), "full")]


def fine_tune_settings(tops=(1, 2, 3), size: int = 64, epochs: int = 3, **more) -> list[dict]:
    """Head only, top-k, LayerNorm only, one adapter, full: each with its learning rates."""
    return every(ladder((size,), tops), epochs=epochs, **more)


def size_settings(sizes=SIZES, lrs=ADAPTER_LRS, seeds=range(5), **more) -> list[dict]:
    """Adapters of all sizes."""
    return every([(f"adapter {m}", lrs) for m in sizes], seeds=seeds, **more)


def frontier_settings(
    layers: int = 6, sizes=(1, 4, 16, 64, 256), lrs=ADAPTER_LRS, full_lrs=FULL_LRS, **more
) -> list[dict]:
    """Figures 1, 3 and 4: adapters of sizes 2^n, top-k fine-tuning for all k, LayerNorm only, head only, full."""
    return every(ladder(sizes, range(1, layers + 1), lrs, full_lrs), **more)


def init_settings(stds=STDS, size: int = 64, lrs=(1e-3,), **more) -> list[dict]:
    """Figure 6, right: the standard deviation of the initial weights."""
    return [s for std in stds for s in every([(f"adapter {size}", lrs)], std=std, **more)]


def variant_settings(variants=tuple(VARIANTS), size: int = 64, lrs=ADAPTER_LRS, **more) -> list[dict]:
    """Section 3.6: what was tried beside the plain bottleneck."""
    return [s for variant in variants for s in every([(f"adapter {size}", lrs)], variant=variant, **more)]


def methods_settings(names=tuple(FAMILY), full_lrs=PLAIN["full"], lrs=None, **more) -> list[dict]:
    """Every method of FAMILY, with head only and full fine-tuning beside it; lrs: in place of each method's own."""
    for name in names:
        if name not in FAMILY:
            raise UserError(f'unknown method "{name}"{suggest(name, FAMILY)}; known: {", ".join(FAMILY)}')
    settings = every([("head only", lrs or PLAIN["head only"]), ("full", full_lrs)], **more)
    for name in names:
        settings += every([(name, lrs or family_rates(name))], recipe=list(FAMILY[name][1:]), **more)
    return settings


def glue_settings(
    tasks=GLUE,
    sizes=(8, 64, 256),
    seeds=(0, 1, 2),
    epochs=5,
    lrs=ADAPTER_LRS,
    full_lrs=FULL_LRS,
    n_train=None,
    n_validation=None,
    **more,
) -> list[dict]:
    """Table 1's grid: sizes by learning rates by seeds, against full fine-tuning; epochs: one, or one a task."""
    epochs = epochs if isinstance(epochs, dict) else dict.fromkeys(tasks, epochs)
    methods = [*((f"adapter {m}", lrs) for m in sizes), ("full", full_lrs)]
    rows = {"n_train": n_train, "n_validation": n_validation}
    return [s for task in tasks for s in every(methods, task, seeds, epochs[task], **rows, **more)]


EXPERIMENTS: dict[str, Callable[..., list[dict]]] = {
    "fine_tune": fine_tune_settings,
    "size_sweep": size_settings,
    "glue": glue_settings,
    "init": init_settings,
    "frontier": frontier_settings,
    "variants": variant_settings,
    "methods": methods_settings,
}


def experiment(
    name: str, *, places=Places(), executor=None, folder=RESULTS, bank: int = 12, show: bool = True, **settings
) -> "pd.DataFrame":
    """Run an experiment (or what is missing of it) and return its rows; columns as in this module.

    name: one of EXPERIMENTS; settings: those of its list of settings. folder: where its rows are recorded, file
    <name>.jsonl. bank: how many adapters to train in one pass at most.
    """
    import pandas as pd

    if name not in EXPERIMENTS:
        raise UserError(f'unknown experiment "{name}"{suggest(name, EXPERIMENTS)}; known: {", ".join(EXPERIMENTS)}')
    runs, run = EXPERIMENTS[name](**settings), partial(run_many, places=places)
    return pd.DataFrame(run_sweep(run, runs, name, executor, folder, group=partial(banks, most=bank), show=show))


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
