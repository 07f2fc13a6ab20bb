"""What the figures of 08_question_answering draw, as rows: windows, tokens, and scores by article."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ...tasks.answers import Asked, Windows
from ...tasks.questions import best_over, exact_match, f1

COLUMN = {"exact": 1, "f1": 2}  # of an article's sums


def window_rows(windows: Windows, question: int = 0) -> list[dict]:
    """One row a window of a question: window (from 1), begin and end in characters of the passage, tokens, holds."""
    holds, rows = windows.holds_answer(), []
    for row in [row for row, owner in enumerate(windows.owner) if owner == question]:
        inside = [characters for characters in windows.offsets[row] if characters is not None]
        ends = {"begin": inside[0][0], "end": inside[-1][1]}
        rows.append({"window": len(rows) + 1, **ends, "tokens": len(windows.ids[row]), "holds": holds[row]})
    return rows


def token_rows(logits: Tensor, windows: Windows, row: int, passage: str) -> list[dict]:
    """One row a passage token of a window: token, start and end, probabilities over all of it ([CLS] included)."""
    start, end = logits.softmax(-1).tolist()
    return [
        {"position": i, "token": passage[slice(*characters)], "start": start[i], "end": end[i]}
        for i, characters in enumerate(windows.offsets[row])
        if characters is not None
    ]


def by_article(answers: Sequence[str], questions: Asked) -> list[list]:
    """[[questions, sum of exact, sum of f1], ...], one an article: what the intervals below draw from."""
    sums: dict[str, np.ndarray] = {}
    for text, q in zip(answers, questions, strict=True):
        row = np.array([1, best_over(exact_match, text, q.answers), best_over(f1, text, q.answers)])
        sums[q.title] = sums.get(q.title, 0) + row
    return [[int(n), round(float(exact), 6), round(float(words), 6)] for n, exact, words in sums.values()]


def recorded(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """method -> its recorded rows: those of the largest training set, in the setting best on validation."""
    most = max((row["train_questions"] for row in rows), default=0)
    settings: dict[str, dict[tuple, list[dict]]] = {}
    for row in rows:
        if row["train_questions"] == most:
            setting = row["lr"], row["epochs"], row["batch_size"]
            settings.setdefault(row["method"], {}).setdefault(setting, []).append(row)
    return {
        method: max(parts.values(), key=lambda part: sum(r["validation_f1"] for r in part) / len(part))
        for method, parts in settings.items()
    }


def article_interval(
    rows: Sequence[dict], others: Sequence[dict] = (), score: str = "f1", draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """(mean, low, high) of a method's runs in percent, or of rows minus others in points: a 95% bootstrap.

    rows, others: results with "by_article" sums over the same test articles, one a seed. Questions on one article are
    not independent, so whole articles are drawn, the same for both, and seeds.
    """
    parts = [np.array([row["by_article"] for row in part], dtype=float) for part in (rows, others) if part]
    seeds, articles = [len(part) for part in parts], parts[0].shape[1]  # a part: (seeds, articles, 3)
    dice = np.random.default_rng(seed)

    def mean(picks, chosen):
        sums = [part[pick][:, chosen].sum((0, 1)) for part, pick in zip(parts, picks, strict=True)]
        percent = [100 * total[COLUMN[score]] / total[0] for total in sums]
        return percent[0] - sum(percent[1:])

    def draw():
        return mean([dice.integers(n, size=n) for n in seeds], dice.integers(articles, size=articles))

    drawn = [draw() for _ in range(draws)]
    return mean([np.arange(n) for n in seeds], np.arange(articles)), *np.percentile(drawn, [2.5, 97.5])
