"""load_task: one door for the bundled tasks, files and folders of the user's, GLUE and the Hub."""

import os
from pathlib import Path

from ..errors import UserError, suggest
from ..methods.head import Labels, names_of
from .bundled import REVIEWS, load_reviews
from .core import Options, Task, assemble
from .glue import GLUE, find_glue, glue_name, load_glue
from .hub import load_hub
from .labels import to_splits
from .made import MADE, make_task
from .read import SUFFIXES, read_table

SPLITS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


def load_task(
    name: str | os.PathLike[str],
    root: str | Path | None = None,
    text: str = "text",
    label: str = "label",
    pair: str | None = None,
    kind: str | None = None,
    labels: Labels | None = None,
    metric: str | None = None,
    encoding: str = "utf-8",
) -> Task:
    """A data set by name, by path or from the Hub.

    name: "rotten_tomatoes" or "imdb" (bundled), or a name of `tasks.made`; a .csv, .tsv or .jsonl file, or a folder
        with train, validation and test files of one of these kinds; "glue/CoLA" in the folder `root`, or the path of a
        GLUE task's folder; "hub:owner/dataset" or "hub:owner/dataset/configuration".
    text, pair, label: column names, for files and the Hub. labels: the names of the classes, where the file has
        0, 1, ... or is to be checked against them. metric: see `score`.
    kind: "classification" or "regression", which a file is read as (None: classes) and other data are checked for.

    A split that is missing is cut from the training rows: a tenth, at most 2,000 rows, stratified, SPLIT_SEED.
    Errors: UserError that names the file, the line and the mend.
    """
    names = None if labels is None else names_of(labels)
    options = Options(text, label, pair, kind or "classification", names, metric, encoding)
    task = _open(os.fspath(name), root, options)
    if kind not in (None, task.kind):
        raise UserError(f'"{task.name}" is a {task.kind} and a {kind} is asked for; give other data, or another kind=')
    return task


def _open(name: str, root: str | Path | None, options: Options) -> Task:
    if name.startswith("hub:"):
        return load_hub(name, options)
    if name in REVIEWS:
        return load_reviews(name)
    if name in MADE:
        return make_task(name)
    path = Path(name).expanduser()
    if path.is_dir():
        return _load_folder(path, options)
    if name.lower().startswith("glue/"):
        return load_glue(*find_glue(name, root), options.encoding)
    if path.suffix.lower() in SUFFIXES:
        return _load_files(path, {"train": path}, options)
    raise UserError(_unknown(name, path))


def _unknown(name: str, path: Path) -> str:
    if path.is_file():
        return f"{path} is no .csv, .tsv or .jsonl file; save it as one of these"
    if os.sep in name or "." in name:
        return f"{name}: there is no such file or folder; check the path (it is looked for in {Path.cwd()})"
    known = [*REVIEWS, *MADE, *(f"glue/{task}" for task in GLUE)]
    near = f"glue/{glue_name(name)}" if glue_name(name) else None
    hint = f'; did you mean "{near}"?' if near else suggest(name, known)
    return (
        f'unknown task "{name}"{hint}; give {" or ".join(REVIEWS)}, a .csv, .tsv or .jsonl file, a folder, '
        '"glue/CoLA" or "hub:owner/dataset"'
    )


def _load_folder(folder: Path, options: Options) -> Task:
    """A GLUE task's folder as GLUE has it; any other as the user's own files."""
    task = glue_name(folder.resolve().name)
    if task and any((folder / file).is_file() for file in ("train.tsv", *GLUE[task].dev)):
        return load_glue(task, folder, options.encoding)
    return _load_files(folder, _split_files(folder), options)


def _load_files(path: Path, files: dict[str, Path], options: Options) -> Task:
    tables = {split: read_table(file, options.columns, options.encoding) for split, file in files.items()}
    names, splits = to_splits(tables, options.kind, options.labels)
    return assemble(path.stem, names, splits, str(path), options)


def _split_files(folder: Path) -> dict[str, Path]:
    """{"train": path, ...} of a folder; a folder with one data file has that as "train"."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    splits = {}
    for split, names in SPLITS.items():
        fitting = [file for file in files if file.stem.lower() in names]
        if len(fitting) > 1:
            raise UserError(f"{folder} has {fitting[0].name} and {fitting[1].name} for {split}; keep one of them")
        if fitting:
            splits[split] = fitting[0]
    if not splits and len(files) == 1:
        splits["train"] = files[0]
    if "train" not in splits:
        listing = ", ".join(child.name for child in sorted(folder.iterdir())[:8]) or "nothing"
        raise UserError(
            f"{folder} has no train.csv, train.tsv or train.jsonl (there is {listing}); add it or give one file"
        )
    return splits
