"""load_task: one door for the bundled tasks, files and folders of the user's, GLUE and the Hub."""

import os
from pathlib import Path

from ..errors import UserError, suggest
from .bundled import BUNDLED, load_bundled
from .core import Task, cut
from .glue import GLUE, find_glue, glue_name, held_out, load_glue
from .labels import to_splits
from .metrics import CLASS_METRICS, VALUE_METRICS
from .read import SUFFIXES, read_table

SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
FEWEST = 10


def load_task(
    name,
    root=None,
    text: str = "text",
    label: str = "label",
    pair: str | None = None,
    kind: str = "classification",
    labels=None,
    metric: str | None = None,
    encoding: str = "utf-8",
    dev_as: str = "test",
) -> Task:
    """A data set by name, by path or from the Hub.

    name: "rotten_tomatoes" or "imdb" (bundled); a .csv, .tsv or .jsonl file, or a folder with train, validation
        and test files of one of these kinds; "glue/CoLA" in the folder `root`, or the path of a GLUE task's
        folder; "hub:owner/dataset" or "hub:owner/dataset/configuration" (needs a network or a copy in the cache).
    text, pair, label: column names, for files and the Hub. labels: the names of the classes, where the file has
        0, 1, ... or is to be checked against them. kind: "regression" for scores. metric: see `score`.
    dev_as: "validation" to select on GLUE's dev set, see `load_glue`.

    A split that is missing is cut from the training rows: a tenth, at most 2,000 rows, stratified, SPLIT_SEED.
    Errors: UserError that names the file, the line and the mend.
    """
    _check_options(kind, metric, dev_as)
    name = os.fspath(name)
    if name.startswith("hub:"):
        from .hub import load_hub

        return load_hub(name, text, label, pair, kind, labels, metric, dev_as)
    if name in BUNDLED:
        return load_bundled(name)
    path = Path(name).expanduser()
    if path.is_dir():
        task = glue_name(path.resolve().name)
        if task and any((path / file).is_file() for file in ("train.tsv", *GLUE[task].dev)):
            return load_glue(task, path, encoding, dev_as)
        return _load_files(path, _split_files(path), text, label, pair, kind, labels, metric, encoding)
    if name.lower().startswith("glue/"):
        return load_glue(*find_glue(name, root), encoding, dev_as)
    if path.is_file() or path.suffix.lower() in SUFFIXES:
        if path.suffix.lower() not in SUFFIXES:
            raise UserError(f"{path} is no .csv, .tsv or .jsonl file; save it as one of these")
        return _load_files(path, {"train": path}, text, label, pair, kind, labels, metric, encoding)
    raise UserError(_unknown(name))


def _check_options(kind: str, metric: str | None, dev_as: str) -> None:
    if kind not in ("classification", "regression"):
        raise UserError(f'unknown kind "{kind}"; use "classification" or "regression"')
    if dev_as not in ("test", "validation"):
        raise UserError(f'dev_as="{dev_as}"; use "test" or "validation"')
    known = CLASS_METRICS if kind == "classification" else VALUE_METRICS
    if metric is not None and metric not in known:
        raise UserError(f'metric "{metric}" is none for {kind}{suggest(metric, known)}; there are {", ".join(known)}')


def _unknown(name: str) -> str:
    if os.sep in name or "." in name:
        return f"{name}: there is no such file or folder; check the path (it is looked for in {Path.cwd()})"
    known = [*BUNDLED, *(f"glue/{task}" for task in GLUE)]
    near = f"glue/{glue_name(name)}" if glue_name(name) else None
    hint = f'; did you mean "{near}"?' if near else suggest(name, known)
    return (
        f'unknown task "{name}"{hint}; give {" or ".join(BUNDLED)}, a .csv, .tsv or .jsonl file, a folder, '
        '"glue/CoLA" or "hub:owner/dataset"'
    )


def _split_files(folder: Path) -> dict[str, Path]:
    """{"train": path, ...} of a folder; a folder with one data file has that as "train"."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    splits = {}
    for split, names in SPLITS.items():
        found = [file for file in files if file.stem.lower() in names]
        if len(found) > 1:
            raise UserError(f"{folder} has {found[0].name} and {found[1].name} for {split}; keep one of them")
        if found:
            splits[split] = found[0]
    if not splits and len(files) == 1:
        splits["train"] = files[0]
    if "train" not in splits:
        there = ", ".join(child.name for child in sorted(folder.iterdir())[:8]) or "nothing"
        raise UserError(
            f"{folder} has no train.csv, train.tsv or train.jsonl (there is {there}); add it or give one file"
        )
    return splits


def _load_files(path, files, text, label, pair, kind, labels, metric, encoding) -> Task:
    tables = {split: read_table(file, text, label, pair, encoding) for split, file in files.items()}
    names, splits = to_splits(tables, kind, labels)
    return assemble(path.stem, kind, names, metric, splits, str(path), "the user's own")


def assemble(name, kind, labels, metric, splits, source, licence) -> Task:
    """A task of these splits; "validation" and "test" are cut from "train" where they are missing."""
    missing = [split for split in ("validation", "test") if split not in splits]
    rows = len(splits["train"])
    if missing and rows < FEWEST:
        raise UserError(
            f"{source} has {rows} training rows; at least {FEWEST} are needed to cut off {' and '.join(missing)}"
        )
    *pieces, train = cut(splits["train"], *(held_out(rows) for _ in missing))
    if not all(len(piece) for piece in pieces):
        raise UserError(
            f"{source}: nearly every text occurs more than once, so none is left for {' and '.join(missing)}"
        )
    splits = {**splits, "train": train if missing else splits["train"], **dict(zip(missing, pieces, strict=True))}
    metric = metric or ("accuracy" if kind == "classification" else "pearson_spearman")
    if metric == "f1" and len(labels) != 2:
        raise UserError(f'metric "f1" is for two classes and {source} has {len(labels)}; use "accuracy" or "matthews"')
    order = [split for split in ("train", "validation", "test") if split in splits]
    order += [split for split in splits if split not in order]
    return Task(name, kind, tuple(labels), metric, {split: splits[split] for split in order}, source, licence)
