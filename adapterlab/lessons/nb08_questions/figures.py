"""Figures of 08_question_answering: windows over a passage, start and end probabilities, scores, right and wrong."""

import pandas as pd
import plotly.graph_objects as go

from ..kit import theme

ORDER = ("adapter 64", "adapter 2", "full")
NAMES = {"full": "full fine-tuning"}


def _over(shape: str, opacity: float = 1.0) -> dict:
    """A white pattern over the bar's own colour."""
    return {"shape": shape, "fgcolor": "white", "fgopacity": opacity, "fillmode": "overlay"}


def windows(frame: pd.DataFrame, answer: tuple[int, int] | None = None, guess: int | None = None) -> go.Figure:
    """Each window as a bar over the stretch of the passage that it sees.

    frame: columns window, begin, end (characters), tokens, holds. answer: (begin, end) of the answer in characters.
    guess: the learner's guess of how many windows there are.
    """
    count = len(frame)
    title = f"{count} windows over one passage" + (f" (your guess: {guess})" if guess is not None else "")
    fig = theme.figure(
        title=title,
        xaxis={"title": {"text": "character of the passage", "standoff": 5}},
        yaxis={"title": "window", "autorange": "reversed", "dtick": 1},
        height=260 + 46 * count,
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0},
        margin={"b": 110},
        barmode="overlay",
    )
    kinds = ((True, "holds the answer whole", 0, ""), (False, "does not: both labels point to [CLS]", 4, "/"))
    for holds, name, index, pattern in kinds:
        rows = frame[frame["holds"] == holds]
        if rows.empty:
            continue
        fig.add_bar(
            base=rows["begin"].tolist(),
            x=(rows["end"] - rows["begin"]).tolist(),
            y=rows["window"].tolist(),
            orientation="h",
            width=0.55,
            name=name,
            marker={"color": theme.OKABE_ITO[index], "pattern": _over(pattern)},
            customdata=rows[["begin", "end", "tokens"]].to_numpy(),
            hovertemplate="window %{y}<br>characters %{customdata[0]} to %{customdata[1]}<br>"
            "%{customdata[2]} tokens with the question<extra></extra>",
        )
    if answer is not None:
        fig.add_vrect(*answer, fillcolor=theme.OKABE_ITO[1], opacity=0.9, line_width=0)
        fig.add_annotation(
            x=sum(answer) / 2, y=1, yref="paper", yanchor="bottom", text="the answer", showarrow=False,
            font={"color": theme.OKABE_ITO[1]},
        )  # fmt: skip
    return fig


def start_end(frame: pd.DataFrame, title: str = "Where the answer starts and ends") -> go.Figure:
    """Start probabilities upward, end probabilities downward, over the tokens of a window's passage.

    frame: columns position, token, start, end (probabilities). Tokens above 5% are named.
    """
    fig = theme.figure(
        title=title,
        barmode="overlay",
        bargap=0.1,
        height=420,
        xaxis={"title": {"text": "token of the window", "standoff": 5}},
        margin={"b": 70},
        yaxis={"title": "probability, %", "range": [-135, 135], "tickvals": [-100, -50, 0, 50, 100],
               "ticktext": ["100", "50", "0", "50", "100"]},
        legend={"orientation": "h", "x": 0.55, "y": 1.12},
    )  # fmt: skip
    for column, sign, index, pattern in (("start", 1, 0, ""), ("end", -1, 1, "/")):
        percent = 100 * frame[column]
        fig.add_bar(
            x=frame["position"].tolist(),
            y=theme.f32(sign * percent),
            name=f"{column}s here" if column == "end" else "starts here",
            marker={"color": theme.OKABE_ITO[index], "pattern": _over(pattern), "line_width": 0},
            customdata=list(zip(frame["token"], theme.f32(percent), strict=True)),
            hovertemplate=f"“%{{customdata[0]}}”<br>{column}: %{{customdata[1]:.1f}}%<extra></extra>",
        )
        for _, row in frame[frame[column] > 0.05].nlargest(3, column).iterrows():
            fig.add_annotation(
                x=row["position"],
                y=sign * 100 * row[column],
                text=f"{row['token']} {100 * row[column]:.0f}",
                showarrow=False,
                yshift=14 * sign,
                font={"color": theme.OKABE_ITO[index], "size": 16},
            )
    fig.add_hline(0, line={"color": "#666666", "width": 1})
    return fig


def scores(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """F1 with intervals, one group a source (live, recorded, paper), one mark a method.

    frame: columns method, source, data, f1, and low, high where there is an interval; f1 in %.
    """
    frame = frame.assign(group=frame["data"] + "<br>(" + frame["source"] + ")")
    groups = list(dict.fromkeys(frame["group"]))
    methods = [m for m in ORDER if m in set(frame["method"])]
    fig = theme.figure(
        title="F1 of the answers",
        xaxis={"tickvals": list(range(len(groups))), "ticktext": groups, "range": [-0.5, len(groups) - 0.5]},
        yaxis={"title": "F1, %", "range": [0, 105]},
        legend={"orientation": "h", "y": 1.1, "x": 0.3},
        height=520,
    )
    for method in methods:
        index = ORDER.index(method)
        rows = frame[frame["method"] == method]
        low, high = rows["low"], rows["high"]
        signs = [theme.MARKERS[index] + ("" if s == "live" else "-open") for s in rows["source"]]
        fig.add_scatter(
            x=[groups.index(g) + 0.16 * (methods.index(method) - (len(methods) - 1) / 2) for g in rows["group"]],
            y=theme.f32(rows["f1"]),
            error_y={"array": theme.f32(high - rows["f1"]), "arrayminus": theme.f32(rows["f1"] - low),
                     "thickness": 2, "width": 8},
            mode="markers+text",
            text=[f"{v:.1f}" for v in rows["f1"]],
            textposition=["middle left", "bottom center", "middle right"][methods.index(method) if len(methods) == 3 else 2 * methods.index(method)],
            textfont={"color": theme.OKABE_ITO[index]},
            marker={"color": theme.OKABE_ITO[index], "symbol": signs, "size": 15, "line": {"width": 3, "color": theme.OKABE_ITO[index]}},
            name=NAMES.get(method, method),
            customdata=[f"{lo:.1f} to {hi:.1f}" if lo <= hi else "no interval" for lo, hi in zip(low, high, strict=True)],
            hovertemplate=f"{NAMES.get(method, method)}<br>%{{y:.1f}} (%{{customdata}})<extra></extra>",
        )  # fmt: skip
    if guess is not None:
        theme.mark(fig, guess, "your guess", "adapter, live")
    return fig


def learning(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """F1 on held-out questions after every epoch. frame: columns method, epoch, f1 (in %)."""
    fig = theme.figure(
        title="F1 on the held-out questions, epoch by epoch",
        xaxis={"title": "epoch", "dtick": 1},
        yaxis={"title": "F1, %", "rangemode": "tozero"},
        legend={"x": 0.02, "y": 0.98},
    )
    for method in dict.fromkeys(frame["method"]):
        rows, index = frame[frame["method"] == method], ORDER.index(method)
        line = {"color": theme.OKABE_ITO[index], "dash": theme.DASHES[index], "width": 3}
        fig.add_scatter(
            x=rows["epoch"].tolist(),
            y=theme.f32(rows["f1"]),
            mode="lines+markers",
            name=NAMES.get(method, method),
            line=line,
            marker={"symbol": theme.MARKERS[index], "size": 11, "color": theme.OKABE_ITO[index]},
            hovertemplate=f"{NAMES.get(method, method)}<br>epoch %{{x}}: F1 %{{y:.1f}}%<extra></extra>",
        )
    if guess is not None:
        theme.mark(fig, guess, "your guess", "adapter, at the end")
    return fig


def outcomes(frame: pd.DataFrame) -> go.Figure:
    """How many answers are the same, overlap or miss. frame: columns method, exact, f1, a row a question and method."""
    fig = theme.figure(
        title="Exact match sees black and white, F1 the grey between",
        barmode="stack",
        xaxis={"title": {"text": "held-out questions", "standoff": 5}, "rangemode": "tozero"},
        yaxis={"autorange": "reversed"},
        legend={"orientation": "h", "y": 0, "yref": "container", "yanchor": "bottom", "x": 0, "traceorder": "normal"},
        height=400,
        margin={"b": 180},
    )
    kinds = (
        ("the same as the answer (EM 1, F1 1)", lambda r: r["exact"] == 1, 0, ""),
        ("overlaps with it (EM 0, F1 above 0)", lambda r: (r["exact"] < 1) & (r["f1"] > 0), 4, "/"),
        ("no word in common (EM 0, F1 0)", lambda r: (r["exact"] < 1) & (r["f1"] == 0), 6, "x"),
    )
    methods = list(dict.fromkeys(frame["method"]))
    for name, chosen, index, pattern in kinds:
        counts = [int(chosen(frame[frame["method"] == m]).sum()) for m in methods]
        fig.add_bar(
            y=[NAMES.get(m, m) for m in methods],
            x=counts,
            orientation="h",
            name=name,
            text=counts,
            textfont={"size": 18, "color": "black" if index == 4 else "white"},
            marker={"color": theme.OKABE_ITO[index], "pattern": _over(pattern, 0.35)},
            hovertemplate=f"%{{y}}<br>{name}: %{{x}}<extra></extra>",
        )
    return fig
