"""Tasks from the Hub, through `datasets`. Without a network it says so at once, and what works instead."""

from pathlib import Path
from typing import Any

from .. import hub
from ..errors import UserError
from .core import Options, Task, assemble
from .glue import GLUE, glue_name
from .labels import to_splits
from .read import Row, Table, check_header

INSTEAD = (
    'load_task takes "rotten_tomatoes" and "imdb" (bundled), a .csv, .tsv or .jsonl file, or "glue/..." from a '
    "glue_data folder"
)


def load_hub(name: str, options: Options) -> Task:
    """ "hub:owner/dataset[/configuration]" -> Task. GLUE's columns, labels and metrics are known, as in `load_glue`.

    A split without labels (-1: GLUE's test sets) is dropped; what is missing then is cut from train.
    Errors: UserError, within 3 seconds when the Hub cannot be reached.
    """
    repo, config = parse_name(name)
    spec = GLUE.get(glue_name(config) or "") if config and repo.endswith("/glue") else None
    if spec:
        text, pair = spec.hub or (spec.text, spec.pair)
        options = Options(text, "label", pair, spec.kind, spec.labels, spec.metric)
    loaded = open_data_set(name, INSTEAD)
    read = {split: _table(f"{name}/{split}", data, options) for split, data in loaded.items()}
    tables = {split: table for split, table in read.items() if table is not None}
    if "train" not in tables:
        raise UserError(f"{name} has no train split with labels; it has {', '.join(loaded)}")
    labels = options.labels or getattr(loaded["train"].features[options.label], "names", None)
    names, splits = to_splits(tables, options.kind, labels)
    if spec:
        splits = {s.replace("validation", "test").replace("_matched", ""): rows for s, rows in splits.items()}
    return assemble(name, names, splits, f"the Hub, {name[4:]}", options)


def parse_name(name: str) -> tuple[str, str | None]:
    """ "hub:owner/dataset/configuration" -> ("owner/dataset", "configuration" or None)."""
    parts = name[4:].strip("/").split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f'"{name}" is no data set; write "hub:owner/dataset" or "hub:owner/dataset/configuration"')
    return "/".join(parts[:2]), parts[2] if len(parts) == 3 else None


def open_data_set(name: str, instead: str, split: str | None = None) -> Any:
    """ "hub:owner/dataset[/configuration]" as `datasets` gives it, from its cache or from the Hub; one split, or all.

    Errors: UserError, at once when the Hub cannot be reached (it says what works `instead`) or has no such set.
    """
    repo, config = parse_name(name)
    if not hub.data_cached(repo):
        status = hub.need(name, instead, path=f"api/datasets/{repo}", switches=(*hub.SWITCHES, "HF_DATASETS_OFFLINE"))
        if status in (401, 403, 404):
            raise UserError(
                f'{name}: the Hub has no public data set "{repo}" (answer {status}); '
                "check the name, or log in for a private one"
            )
    import datasets

    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(repo, config, split=split)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name} cannot be loaded ({type(error).__name__}: {reason}); offline, {instead}") from error


def _table(where: str, data: Any, options: Options) -> Table | None:
    """A split's rows, None when its labels are hidden; the "line" of a row is its number from 1."""
    check_header(where, data.column_names, options.columns)
    text, pair, label = options.columns.values()
    values = list(data[label])
    if all(value in (-1, -1.0, None) for value in values):
        return None
    names = getattr(data.features[label], "names", None)
    labels = [names[v] if names and v is not None and v >= 0 else str(v) for v in values]
    pairs = data[pair] if pair else [None] * len(labels)
    rows = enumerate(zip(data[text], pairs, labels, strict=True), 1)
    return Table(Path(where), [Row(i, t or "", (p or "") if pair else None, v) for i, (t, p, v) in rows])
