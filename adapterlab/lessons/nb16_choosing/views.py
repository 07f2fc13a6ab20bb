"""A map of the methods that PEFT knows, to be searched; and questions that a choice begins with, each with its rows."""

from functools import cache

import pandas as pd

from ...methods import METHODS
from ...paths import DATA, RESULTS
from ...studies import results
from ...studies.stats import mean_interval
from ..kit import view as base
from .figures import KINDS

ALL, NOT_RECORDED = "all", "not recorded here"


@cache
def peft_methods() -> pd.DataFrame:
    """data/peft_methods.csv: name, kind, where, start, ours ("" where this package has none), source."""
    return pd.read_csv(DATA / "peft_methods.csv").fillna("")


def map_view() -> base.FigureView:
    """The widget; its controls are `.kind`, `.word` and `.ours`."""

    def draw(kind: str, word: str, ours: bool) -> tuple[pd.DataFrame, str]:
        table = peft_methods()
        text = table.apply(" ".join, axis=1).str.lower()
        hits = table[text.map(lambda row: all(part in row for part in word.lower().split()))]
        hits = hits[((hits["kind"] == kind) | (kind == ALL)) & (hits["ours"].ne("") | (not ours))]
        return hits.set_index("name"), f"{len(hits)} of {len(table)} methods: {', '.join(hits['name']) or 'none'}"

    return base.FigureView(
        draw,
        kind=base.choice("kind", [ALL, *KINDS]),
        word=base.text("words, as orthogonal or bias"),
        ours=base.checkbox("in this package too", False),
    )


# ---- questions, each with what is recorded


def by_way(name: str, way: str, value: str, unit: str, factor: float = 1.0, choose: dict | None = None) -> pd.DataFrame:
    """One line for every value of column `way` in data/results/`name`.jsonl: its mean, interval, rows, commits.

    unit: what the number is, factor: brings it there. choose: columns that must have these values.
    """
    rows = pd.DataFrame(results.read(name, RESULTS))
    for column, wanted in (choose or {}).items():
        rows = rows[rows[column] == wanted] if column in rows else rows[:0]
    lines = []
    for label, part in rows.dropna(subset=[value]).groupby(way, sort=False) if len(rows) else ():
        mean, half = mean_interval(factor * part[value].astype(float))
        number = f"{mean:.1f} {unit}" + ("" if half != half else f" ± {half:.1f}")
        commits = ", ".join(sorted({str(commit)[:7] for commit in part["commit"]}))
        lines.append((str(label), number, len(part), f"data/results/{name}.jsonl, commit {commits}"))
    lines = lines or [(NOT_RECORDED, "", 0, f"data/results/{name}.jsonl")]
    return pd.DataFrame(lines, columns=["arrow", "number", "rows", "from"])


def merging() -> pd.DataFrame:
    """Which methods merge, as their classes say; what that costs in accuracy is another question."""
    lines = [(name, "merges" if cls.merges else "does not merge", "", f"adapterlab.methods.{cls.__name__}.merges")
             for name, cls in METHODS.items() if name not in ("head", "fusion")]  # fmt: skip
    return pd.DataFrame(lines, columns=["arrow", "number", "rows", "from"])


QUESTIONS = {
    "must an old task stay as it is?": lambda: by_way("forgetting", "way", "old", "% on the old task", 100),
    "and must the new one be learned well?": lambda: by_way("forgetting", "way", "new", "% on the new task", 100),
    "must it merge into the weights?": merging,
    "must the base be quantized? its memory": lambda: by_way("quantized", "kind", "memory_mb", "MB"),
    "must the base be quantized? its accuracy": lambda: by_way("quantized", "kind", "test", "% on test", 100),
    "how small may it be? trained parameters": lambda: by_way("size_sweep", "method", "trained", "thousand", 1e-3),
    "how much data is there?": lambda: by_way("data_sizes", "n_train", "test", "% on test", 100),
    "many tasks in one batch?": lambda: by_way("mixed_batches", "way", "step_ms", "ms a step"),
}
"""Question -> its lines: what the recorded rows say, read from the files, or that there are none."""


def choose_view() -> base.FigureView:
    """The widget; its control is `.question`."""

    def draw(question: str) -> tuple[pd.DataFrame, str]:
        table = QUESTIONS[question]()
        lines = "; ".join(
            f"{arrow}: {number}" if number else arrow for arrow, number in table[["arrow", "number"]].values
        )
        return table.set_index("arrow"), lines

    return base.FigureView(draw, question=base.choice("question", list(QUESTIONS)))
