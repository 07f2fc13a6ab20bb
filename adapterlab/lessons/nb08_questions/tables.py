"""What the figures of 08_question_answering draw, as rows: windows, tokens, answers, and scores by article."""

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


def per_question(answers: Sequence[str], questions: Asked) -> list[dict]:
    """One row a question: title, question, gold, said, exact, f1."""
    return [
        {"title": q.title, "question": q.question, "gold": q.answers[0], "said": text,
         "exact": best_over(exact_match, text, q.answers), "f1": best_over(f1, text, q.answers)}
        for text, q in zip(answers, questions, strict=True)
    ]  # fmt: skip


def by_article(answers: Sequence[str], questions: Asked) -> list[list]:
    """[[questions, sum of exact, sum of f1], ...], one an article: what the intervals below draw from."""
    rows = per_question(answers, questions)
    parts = [[r for r in rows if r["title"] == t] for t in dict.fromkeys(r["title"] for r in rows)]
    return [[len(part), *(round(sum(r[k] for r in part), 6) for k in COLUMN)] for part in parts]


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


def _sums(rows: Sequence[dict]) -> np.ndarray:
    """(seeds, articles, 3) of results with "by_article" sums over the same test articles."""
    return np.array([row["by_article"] for row in rows], dtype=float)


def article_interval(
    rows: Sequence[dict], score: str = "f1", draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """(mean, low, high) of recorded rows of one method, in percent: a 95% bootstrap over test articles and seeds.

    Questions on one article are not independent, so whole articles are drawn.
    """
    sums, dice = _sums(rows), np.random.default_rng(seed)

    def mean(part):
        return 100 * part[..., COLUMN[score]].sum() / part[..., 0].sum()

    drawn = [mean(sums[dice.integers(n, size=n)][:, dice.integers(m, size=m)]) for n, m in [sums.shape[:2]] * draws]
    return mean(sums), *np.percentile(drawn, [2.5, 97.5])


def article_gap(
    rows: Sequence[dict], others: Sequence[dict], score: str = "f1", draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """(mean, low, high) of rows minus others, in points: the same articles are drawn for both (paired bootstrap)."""
    a, b, dice = _sums(rows), _sums(others), np.random.default_rng(seed)
    sizes, counts = (len(a), len(b), a.shape[1]), a[0, :, 0]

    def gap(i, j, articles):
        difference = a[i][:, articles].mean(0) - b[j][:, articles].mean(0)
        return 100 * difference[:, COLUMN[score]].sum() / counts[articles].sum()

    drawn = [gap(*(dice.integers(size, size=size) for size in sizes)) for _ in range(draws)]
    return gap(*map(np.arange, sizes)), *np.percentile(drawn, [2.5, 97.5])
