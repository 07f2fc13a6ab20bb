"""Which recorded rows a lesson shows, and from which data they are."""

import pandas as pd

from . import theme


def todays(rows: pd.DataFrame, *by: str) -> pd.DataFrame:
    """The rows whose head is today's (their "pooling" is told); the old head's where there are none, of every `by`.

    Adds the column source: "recorded" or "recorded, old head".
    """
    told = rows["pooling"].notna() if "pooling" in rows else pd.Series(False, rows.index)
    rows = rows.assign(source=told.map({True: "recorded", False: "recorded, old head"}))
    return rows[told == (told.groupby([rows[c] for c in by]).transform("any") if by else told.any())]


def says(rows: pd.DataFrame) -> str:
    """ "1,000 sentences × 4 epochs; 3 seeds; head: mean; ...": from which data recorded rows are."""
    heads = rows["pooling"].fillna(theme.OLD_HEAD) if "pooling" in rows else pd.Series([theme.OLD_HEAD])
    data = ", ".join(
        f"{n:,} sentences × {epochs} epochs" for n, epochs in sorted(rows.groupby(["rows_train", "epochs"]).groups)
    )
    seeds, head = rows["seed"].nunique(), ", ".join(sorted(set(heads)))
    return f"{data}; {seeds} seed{'s' * (seeds > 1)}; head: {head}; {rows['device'].iloc[0]}, {max(rows['date'])[:10]}"
