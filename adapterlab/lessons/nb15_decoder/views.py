"""Turn one critic into the other: what is written at each weight, and how the judge takes it."""

import html

import pandas as pd

from ..kit import view as base
from . import figures as plots


def mood_view(written: pd.DataFrame) -> base.FigureView:
    """The widget; its controls are `.weight` (of the pleased critic) and `.opening`. Nothing is computed anew.

    written: columns weight, opening, text, pleased (what the judge says, 0 to 1), a row a text.
    """
    shares = (100 * (written["pleased"] > 0.5)).groupby(written["weight"]).mean().rename("share").reset_index()
    rows = len(written) // len(shares)

    def draw(weight: float, opening: str):
        here = written[(written["weight"] == weight) & (written["opening"] == opening)]
        pairs = zip(here["pleased"], here["text"], strict=True)
        lines = [f"{100 * pleased:3.0f}% pleased: {html.escape(opening + text)}" for pleased, text in pairs]
        happy = int((here["pleased"] > 0.5).sum())
        summary = f'weight {weight:g}, "{opening}": {happy} of {len(here)} judged pleased'
        return plots.moods(shares, rows, at=weight), summary, "<br>".join(lines)

    weights = shares["weight"].tolist()
    return base.FigureView(
        draw,
        note="below",
        weight=base.select("weight of the pleased critic", weights, weights[-1]),
        opening=base.choice("opening", list(dict.fromkeys(written["opening"]))),
    )
