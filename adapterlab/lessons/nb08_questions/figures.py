"""Figures of 08_question_answering: windows over a passage, start and end probabilities, scores."""

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from ..kit import theme
from ..kit.drawing import write
from .tables import article_interval

PAPER = {"adapter 64": 90.4, "adapter 2": 89.9, "full": 90.7}  # F1 on SQuAD v1.1, Houlsby et al. 2019, section 3.5
SYMBOLS = {"live": "circle", "recorded": "circle-open", "paper": "x-thin-open"}


def windows(frame: pd.DataFrame, answer: tuple[int, int], guess: int | None = None) -> go.Figure:
    """Each window as a bar over the stretch of the passage that it sees.

    frame: columns window, begin, end (characters), tokens, holds. answer: (begin, end) of the answer in characters.
    guess: the learner's guess of how many windows there are.
    """
    fig = theme.figure(
        f"{len(frame)} windows over one passage" + ("" if guess is None else f" (your guess: {guess})"),
        "character of the passage", {"title": "window", "autorange": "reversed", "dtick": 1}, legend=2,
        height=260 + 46 * len(frame), barmode="overlay",
    )  # fmt: skip
    hover = "window %{y}, from character %{base}<br>%{customdata} tokens with the question"
    for holds, name, index, hatch in (
        (True, "holds the answer whole", 0, ""),
        (False, "does not: labels at [CLS]", 3, "/"),
    ):
        rows = frame[frame["holds"] == holds]
        more = {"base": rows["begin"], "customdata": rows["tokens"], "width": 0.55, "text": None}
        look = {"name": name, "index": index, "hatch": hatch, "lying": True}
        theme.columns(fig, rows["window"], rows["end"] - rows["begin"], hover, **look, **more)
    return fig.add_vrect(
        *answer, name="the answer", showlegend=True, fillcolor=theme.OKABE_ITO[1], opacity=0.9, line_width=0
    )


def start_end(frame: pd.DataFrame, title: str) -> go.Figure:
    """Start probabilities upward, end probabilities downward, over the tokens of a window's passage.

    frame: columns position, token, start, end (probabilities). Tokens above 5% are named.
    """
    ticks = {"tickvals": [-100, -50, 0, 50, 100], "ticktext": ["100", "50", "0", "50", "100"]}
    fig = theme.figure(
        title, "token of the window", {"title": "probability, %", "range": [-135, 135], **ticks}, legend=2,
        barmode="overlay", bargap=0.1, height=440,
    )  # fmt: skip
    for index, (column, sign) in enumerate({"start": 100, "end": -100}.items()):
        hover, look = f"“%{{customdata}}”<br>{column}: %{{y:.1f}}%", {"name": f"{column}s here", "index": index}
        more = {"hatch": theme.HATCHES[index], "customdata": frame["token"], "text": None}
        theme.columns(fig, frame["position"], sign * frame[column], hover, **look, **more)
        for row in frame[frame[column] > 0.05].nlargest(3, column).to_dict("records"):
            text = f"{row['token']} {100 * row[column]:.0f}"
            write(fig, row["position"], sign * row[column], text, yshift=0.14 * sign)
    return fig.add_hline(0, line={"color": "#666666", "width": 1})


def compared(live: dict[str, list[dict]], recorded: dict[str, list[dict]]) -> pd.DataFrame:
    """The rows of `scores`: method -> its runs, of now and of data/results/qa.jsonl, and the paper's numbers."""
    rows = [{"method": way, "source": "paper", "data": "SQuAD v1.1", "F1, %": f1} for way, f1 in PAPER.items()]
    for source, ways in (("recorded", recorded), ("live", live)):
        for way, part in ways.items():
            f1, low, high = article_interval(part)
            data = "ours" if source == "live" else "XQuAD" if "XQuAD" in part[0]["data"] else part[0]["data"]
            row = {"method": way, "source": source, "data": data}
            rows.append({**row, "F1, %": f1, "up": high - f1, "down": f1 - low})
    return pd.DataFrame(rows[::-1])


def scores(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """F1 of `compared` with intervals, one group for a source and its data. guess: of the live adapter."""
    frame = frame.assign(group=frame["data"] + "<br>(" + frame["source"] + ")")
    fig = px.scatter(
        frame, x="group", y="F1, %", error_y="up", error_y_minus="down", color="method", symbol="source",
        text=frame["F1, %"].map(" {:.1f}".format), color_discrete_sequence=theme.OKABE_ITO, symbol_map=SYMBOLS,
        title="F1 of the answers", height=600, template=theme.TEMPLATE, labels={"group": ""},
    )  # fmt: skip
    fig.update_traces(marker={"size": 15, "line_width": 3}, textposition="middle right", cliponaxis=False)
    fig.for_each_trace(lambda trace: trace.update(offsetgroup=trace.name.split(",")[0]))
    fig.update_layout(scattermode="group", scattergap=0.05, yaxis_range=[0, 105], **theme.above(4), legend_title=None)
    return theme.mark(fig, guess, name="adapter, live", at=0, unit="%")
