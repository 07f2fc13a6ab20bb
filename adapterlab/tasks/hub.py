"""Tasks from the Hub, through `datasets`. Without a network it says so at once, and what works instead."""

import os
import threading
import urllib.error
import urllib.request
from pathlib import Path

from ..errors import UserError
from .core import Task
from .glue import GLUE, cut_validation, glue_name
from .labels import to_splits
from .read import Row, Table

PATIENCE = 2.0
OFFLINE = (
    '; offline, load_task takes "rotten_tomatoes" and "imdb" (bundled), a .csv, .tsv or .jsonl file, or "glue/..." from a '
    "glue_data folder"
)


def load_hub(
    name: str, text: str, label: str, pair: str | None, kind: str, labels, metric: str | None, dev_as: str
) -> Task:
    """ "hub:owner/dataset[/configuration]" -> Task. GLUE's columns, labels and metrics are known.

    A split without labels (-1: GLUE's test sets) is dropped. GLUE: as `load_glue`; others: what is missing is
    cut from train.
    Errors: UserError, within 3 seconds when the Hub cannot be reached.
    """
    repo, config = _parse(name)
    spec = GLUE.get(glue_name(config)) if config and repo.endswith("/glue") else None
    if not _cached(repo):
        _reach(name, repo)
    import datasets

    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        loaded = datasets.load_dataset(repo, config)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name} cannot be loaded ({type(error).__name__}: {reason}){OFFLINE}") from error
    if spec:
        (text, pair), label, labels, metric = spec.hub, "label", spec.labels, spec.metric
        kind = "classification" if labels else "regression"
    tables = {split: _table(f"{name}/{split}", data, text, label, pair) for split, data in loaded.items()}
    tables = {split: table for split, table in tables.items() if table}
    if "train" not in tables:
        raise UserError(f"{name} has no train split with labels; it has {', '.join(loaded)}")
    names, splits = to_splits(tables, kind, labels or getattr(loaded["train"].features[label], "names", None))
    source, licence = f"the Hub, {name[4:]}", loaded["train"].info.license or "see its page on the Hub"
    if spec:
        splits = {split.replace("validation", dev_as).replace("_matched", ""): rows for split, rows in splits.items()}
        splits = cut_validation(splits) if dev_as == "test" else splits
        return Task(name, kind, names, metric, splits, source, licence)
    from .load import assemble

    return assemble(name, kind, names, metric, splits, source, licence)


def _parse(name: str) -> tuple[str, str | None]:
    parts = name[4:].strip("/").split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise UserError(f'"{name}" is no data set; write "hub:owner/dataset" or "hub:owner/dataset/configuration"')
    return "/".join(parts[:2]), parts[2] if len(parts) == 3 else None


def _cached(repo: str) -> bool:
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_DATASETS_CACHE", home / "datasets")).expanduser()
    return (cache / repo.replace("/", "___").lower()).is_dir() or (cache / repo.replace("/", "___")).is_dir()


def _reach(name: str, repo: str, offline: str = OFFLINE) -> None:
    """Ask the Hub for the data set's page; UserError when it is offline, silent for PATIENCE, or has no such set."""
    for switch in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        if os.environ.get(switch, "").upper() in ("1", "ON", "YES", "TRUE"):
            raise UserError(f"{name} needs the Hub and {switch} is set; unset it where there is a network{offline}")
    url = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co').rstrip('/')}/api/datasets/{repo}"
    answer = []

    def ask():
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as reply:
                answer.append(reply.status)
        except urllib.error.HTTPError as error:
            answer.append(error.code)
        except (OSError, ValueError) as error:
            answer.append(str(getattr(error, "reason", error)))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    said = answer[0] if answer else "no answer"
    if not isinstance(said, int):
        raise UserError(f"{name} needs the Hub, which cannot be reached ({said}){offline}")
    if said in (401, 403, 404):
        raise UserError(
            f'{name}: the Hub has no public data set "{repo}" (answer {said}); check the name, or log in for a private one'
        )


def _table(where: str, data, text: str, label: str, pair: str | None) -> Table | None:
    """A split's rows, None when its labels are hidden; the "line" of a row is its number from 1."""
    for role, column in (("text", text), ("pair", pair), ("label", label)):
        if column and column not in data.column_names:
            raise UserError(
                f'{where} has no column "{column}"; name yours with {role}="...": {", ".join(data.column_names)}'
            )
    values = list(data[label])
    if all(value in (-1, -1.0, None) for value in values):
        return None
    names = getattr(data.features[label], "names", None)
    said = [names[v] if names and v is not None and v >= 0 else str(v) for v in values]
    pairs = data[pair] if pair else [None] * len(said)
    rows = enumerate(zip(data[text], pairs, said, strict=True), 1)
    return Table(Path(where), [Row(i, t or "", (p or "") if pair else None, v) for i, (t, p, v) in rows])
