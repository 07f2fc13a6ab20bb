"""Figures of 08_question_answering: windows over a passage, start and end probabilities, scores, learning."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme
from ..kit.drawing import write
from .tables import article_interval

ORDER = ("adapter 64", "adapter 2", "full", "yours")
PAPER = {"adapter 2": 89.9, "adapter 64": 90.4, "full": 90.7}  # F1 on SQuAD v1.1, Houlsby et al. 2019, section 3.5
NAMES = {"full": "full fine-tuning"}


def windows(frame: pd.DataFrame, answer: tuple[int, int] | None = None, guess: int | None = None) -> go.Figure:
    """Each window as a bar over the stretch of the passage that it sees.

    frame: columns window, begin, end (characters), tokens, holds. answer: (begin, end) of the answer in characters.
    guess: the learner's guess of how many windows there are.
    """
    count = len(frame)
    fig = theme.figure(
        title=f"{count} windows over one passage" + (f" (your guess: {guess})" if guess is not None else ""),
        xaxis={"title": "character of the passage"},
        yaxis={"title": "window", "autorange": "reversed", "dtick": 1},
        height=260 + 46 * count,
        barmode="overlay",
        **theme.LEGEND,
    )
    kinds = ((True, "holds the answer whole", 0), (False, "does not: both labels point to [CLS]", 3))
    for place, (holds, name, index) in enumerate(kinds):
        rows = frame[frame["holds"] == holds]
        if rows.empty:
            continue
        fig.add_bar(
            base=rows["begin"].tolist(),
            x=(rows["end"] - rows["begin"]).tolist(),
            y=rows["window"].tolist(),
            orientation="h",
            width=0.55,
            customdata=rows[["begin", "end", "tokens"]].to_numpy(),
            hovertemplate="window %{y}<br>characters %{customdata[0]} to %{customdata[1]}<br>"
            "%{customdata[2]} tokens with the question<extra></extra>",
            **theme.bars("live", name, index, hatch=theme.HATCHES[place]),
        )
    if answer is not None:
        look = {"fillcolor": theme.OKABE_ITO[1], "opacity": 0.9, "line_width": 0}
        fig.add_vrect(*answer, name="the answer", showlegend=True, **look)
    return fig


def start_end(frame: pd.DataFrame, title: str = "Where the answer starts and ends") -> go.Figure:
    """Start probabilities upward, end probabilities downward, over the tokens of a window's passage.

    frame: columns position, token, start, end (probabilities). Tokens above 5% are named.
    """
    ticks = [-100, -50, 0, 50, 100]
    fig = theme.figure(
        title=title,
        barmode="overlay",
        bargap=0.1,
        height=440,
        xaxis={"title": "token of the window"},
        yaxis={
            "title": "probability, %",
            "range": [-135, 135],
            "tickvals": ticks,
            "ticktext": [str(abs(t)) for t in ticks],
        },
        **theme.LEGEND,
    )
    for column, sign, index in (("start", 1, 0), ("end", -1, 1)):
        percent = 100 * frame[column]
        fig.add_bar(
            x=frame["position"].tolist(),
            y=theme.f32(sign * percent),
            customdata=list(zip(frame["token"], theme.f32(percent), strict=True)),
            hovertemplate=f"“%{{customdata[0]}}”<br>{column}: %{{customdata[1]:.1f}}%<extra></extra>",
            **theme.bars("live", f"{column}s here", index, hatch=theme.HATCHES[index]),
        )
        for _, row in frame[frame[column] > 0.05].nlargest(3, column).iterrows():
            text = f"{row['token']} {100 * row[column]:.0f}"
            write(fig, row["position"], sign * 100 * row[column], text, yshift=14 * sign)
    return fig.add_hline(0, line={"color": "#666666", "width": 1})


def compared(live: dict[str, list[dict]], recorded: dict[str, list[dict]]) -> pd.DataFrame:
    """The rows of `scores`: method -> its runs, of now and of data/results/qa.jsonl, and the paper's numbers."""
    rows = []
    for source, ways in (("live", live), ("recorded", recorded)):
        for way, part in ways.items():
            data = "ours" if source == "live" else "XQuAD" if "XQuAD" in part[0]["data"] else part[0]["data"]
            f1, low, high = article_interval(part)
            rows.append({"method": way, "source": source, "data": data, "f1": f1, "low": low, "high": high})
    paper = [{"method": way, "source": "paper", "data": "SQuAD v1.1", "f1": f1} for way, f1 in PAPER.items()]
    return pd.DataFrame(rows + paper)


def scores(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """F1 with intervals, one group a source (live, recorded, paper), one mark a method.

    frame: columns method, source, data, f1, and low, high where there is an interval; f1 in %. guess: of the live one.
    """
    frame = frame.assign(group=frame["data"] + "<br>(" + frame["source"] + ")")
    groups = list(dict.fromkeys(frame["group"]))
    methods = [m for m in ORDER if m in set(frame["method"])]
    fig = theme.figure(
        title="F1 of the answers",
        xaxis={"tickvals": list(range(len(groups))), "ticktext": groups, "range": [-0.5, len(groups) - 0.5]},
        yaxis={"title": "F1, %", "range": [0, 105]},
        height=540,
        **theme.LEGEND,
    )
    for method in methods:
        rows, name, index = frame[frame["method"] == method], NAMES.get(method, method), ORDER.index(method)
        apart = 0.16 * (methods.index(method) - (len(methods) - 1) / 2)
        style = theme.series("live", name, index, mode="markers+text")
        style["marker"]["symbol"] = [theme.MARKERS[index] + ("" if s == "live" else "-open") for s in rows["source"]]
        low, high = rows["low"], rows["high"]
        interval = [f"{lo:.1f} to {hi:.1f}" if lo <= hi else "no interval" for lo, hi in zip(low, high, strict=True)]
        fig.add_scatter(
            x=[groups.index(g) + apart for g in rows["group"]],
            y=theme.f32(rows["f1"]),
            error_y=theme.error(high - rows["f1"], rows["f1"] - low),
            text=[f"  {v:.1f}  " for v in rows["f1"]],
            textposition="middle right",
            customdata=interval,
            hovertemplate=f"{name}<br>%{{y:.1f}} (%{{customdata}})<extra></extra>",
            **style,
        )
    fig.update_traces(marker_size=15, marker_line_width=3)
    live = [i for i, group in enumerate(groups) if group.endswith("(live)")]
    return theme.mark(fig, guess, name="adapter, live", at=live[0] if live else None, unit="%")


def learning(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """F1 on the validation articles after every epoch. frame: columns method, epoch, f1 (in %)."""
    fig = theme.figure(
        title="F1 on the validation articles, epoch by epoch",
        xaxis={"title": "epoch", "dtick": 1},
        yaxis={"title": "F1, %", "rangemode": "tozero"},
        **theme.LEGEND,
    )
    theme.lines(fig, frame, "epoch", "f1", "method", "epoch %{x}: F1 %{y:.1f}%")
    return theme.mark(fig, guess, name="adapter, at the end", unit="%")
