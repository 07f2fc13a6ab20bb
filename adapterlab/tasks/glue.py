"""The eight GLUE tasks of Houlsby et al. 2019 in the layout of the original download (`glue_data/`)."""

from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError, suggest
from .core import Options, Task, assemble
from .labels import to_splits
from .read import read_table


@dataclass(frozen=True)
class Glue:
    """How a task's files look, and what the Hub's copy calls the same columns."""

    text: str
    pair: str | None
    label: str
    labels: tuple[str, ...]
    metric: str
    dev: tuple[str, ...] = ("dev.tsv",)
    names: tuple[str, ...] | None = None
    damaged: float = 0.0
    hub: tuple[str, str | None] | None = None  # text and pair on the Hub, where they have other names there

    @property
    def kind(self) -> str:
        return "classification" if self.labels else "regression"


TWO = ("sentence1", "sentence2")
NLI = ("entailment", "not_entailment")
GLUE = {
    "CoLA": Glue("sentence", None, "label", ("unacceptable", "acceptable"), "matthews",
                 names=("source", "label", "star", "sentence")),
    "SST-2": Glue("sentence", None, "label", ("negative", "positive"), "accuracy"),
    "MRPC": Glue("#1 String", "#2 String", "Quality", ("not_equivalent", "equivalent"), "f1", hub=TWO),
    "STS-B": Glue(*TWO, "score", (), "pearson_spearman"),
    "QQP": Glue("question1", "question2", "is_duplicate", ("not_duplicate", "duplicate"), "f1", damaged=0.001),
    "MNLI": Glue(*TWO, "gold_label", ("entailment", "neutral", "contradiction"), "accuracy",
                 dev=("dev_matched.tsv", "dev_mismatched.tsv"), hub=("premise", "hypothesis")),
    "QNLI": Glue("question", "sentence", "label", NLI, "accuracy"),
    "RTE": Glue(*TWO, "label", NLI, "accuracy"),
}  # fmt: skip
"""QQP's original files hold some twenty lines broken by a newline inside a question: up to 0.1% is left out."""


def glue_name(name: str) -> str | None:
    """ "sst2", "SST-2" or "sst-2" -> "SST-2"; None for what is no GLUE task."""
    plain = {task.replace("-", "").lower(): task for task in GLUE}
    return plain.get(str(name).replace("-", "").replace("_", "").lower())


def find_glue(name: str, root: str | Path | None = None) -> tuple[str, Path]:
    """ "glue/CoLA" -> ("CoLA", its folder under root, or under ./glue_data, ./glue or ~/glue_data)."""
    task = glue_name(name.split("/", 1)[1])
    if task is None:
        raise UserError(
            f'unknown GLUE task "{name}"{suggest(name, [f"glue/{t}" for t in GLUE])}; the tasks are {", ".join(GLUE)}'
        )
    roots = [Path(root).expanduser()] if root else [Path("glue_data"), Path("glue"), Path("~/glue_data").expanduser()]
    for child in (child for folder in roots if folder.is_dir() for child in sorted(folder.iterdir())):
        if child.is_dir() and glue_name(child.name) == task:
            return task, child
    places = ", ".join(str(folder / task) for folder in roots)
    raise UserError(f'"{name}" is not there: no folder {places}; name that of your GLUE download with root="..."')


def load_glue(name: str, folder: Path, encoding: str = "utf-8") -> Task:
    """A GLUE task from its folder.

    Nobody has the labels of GLUE's test sets. So the dev set is the "test" split, never looked at in training, and
    "validation" is cut from the training set: a tenth, at most 2,000, stratified, with SPLIT_SEED.
    """
    spec = GLUE[name]
    options = Options(spec.text, spec.label, spec.pair, spec.kind, spec.labels, spec.metric)
    tables = {}
    for split, file in zip(("train", "test", "test_mismatched"), ("train.tsv", *spec.dev), strict=False):
        if not (folder / file).is_file():
            files = ", ".join(sorted(child.name for child in folder.iterdir())) or "nothing"
            raise UserError(f"{folder} has no {file}, which GLUE's {name} needs; there is {files}")
        tables[split] = read_table(folder / file, options.columns, encoding, spec.names, spec.damaged)
    labels, splits = to_splits(tables, spec.kind, spec.labels)
    left = sum(table.left_out for table in tables.values())
    source = str(folder) + (f" ({left} damaged lines left out)" if left else "")
    return assemble(f"glue/{name}", labels, splits, source, options)
