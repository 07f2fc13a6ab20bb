"""Figures and tables of 07_glue: metrics, the grid, Table 1, forgetting."""

import math

import pandas as pd
import plotly.graph_objects as go

from ...paths import DATA
from ...studies.experiments import choose
from ...studies.stats import accuracy_error, mean_interval
from ..kit import theme

COLUMNS = {"CoLA": "CoLA", "SST-2": "SST", "MRPC": "MRPC", "STS-B": "STS-B", "QQP": "QQP", "MNLI": "MNLIm",
           "QNLI": "QNLI", "RTE": "RTE"}  # fmt: skip
"""Our name of a task -> its column in the paper's Table 1."""


def table1() -> pd.DataFrame:
    """Houlsby et al. 2019, Table 1, as printed: a row a method (index), GLUE test server, BERT-Large."""
    return pd.read_csv(DATA / "paper" / "table1.csv", comment="#").set_index("method")


def constant_scores(share: float = 0.7, steps: int = 11) -> pd.DataFrame:
    """What somebody scores who says class 1 with probability p and never reads: in the long run, closed form.

    share: of class 1 in the data. Columns p, metric, score (in %).
    """
    rows = []
    for p in (i / (steps - 1) for i in range(steps)):
        scores = {"accuracy": share * p + (1 - share) * (1 - p), "F1": 2 * share * p / (share + p), "Matthews": 0.0}
        rows += [{"p": p, "metric": name, "score": 100 * value} for name, value in scores.items()]
    return pd.DataFrame(rows)


def misleading(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """The scores of not reading: columns p, metric, score (in %); guess: the learner's Matthews at p = 1."""
    fig = theme.figure(
        title="Scores of somebody who never reads the sentence",
        xaxis={"title": 'how often "acceptable" is said, as a share p'},
        yaxis={"title": "score, %", "range": [-5, 100]},
        **theme.LEGEND,
    )
    theme.lines(fig, frame, "p", "score", "metric", "%{y:.1f}% at p = %{x}")
    return theme.star(fig, 1.0, guess, "Matthews")


def token_types(tokens: list[str], types: list[int]) -> go.Figure:
    """One row of tokens, coloured and numbered by token type."""
    places = list(range(len(tokens)))
    fig = theme.figure(
        title="Token types of a pair: 0 the first text, 1 the second",
        height=240,
        xaxis={"tickvals": places, "ticktext": tokens, "tickangle": -45},
        yaxis={"visible": False},
    )
    hover, text = "%{customdata}: type %{z}", [[str(t) for t in types]]
    return theme.heat(fig, [types], places, [0], text, hover, -0.4, 1.4, customdata=[tokens], showscale=False)


def grid(frame: pd.DataFrame, task: str, source: str = "live") -> go.Figure:
    """One task's grid: mean validation score, in %, by method (rows) and learning rate (columns).

    frame: columns task, method, lr, validation (a fraction). The colours go from 0 to 100% in every grid.
    """
    part = frame[(frame["task"] == task) & frame["method"].str.startswith("adapter")]
    table = part.assign(size=part["method"].str.split().str[-1].astype(int))
    table = 100 * table.pivot_table(index="size", columns="lr", values="validation").sort_index(ascending=False)
    fig = theme.figure(
        title=f"{task.removeprefix('glue/')}: validation score, % ({source})",
        xaxis={"title": "learning rate", "type": "category"},
        yaxis={"title": "bottleneck size", "type": "category"},
        height=380,
    )
    x, y = [f"{lr:g}" for lr in table.columns], [str(size) for size in table.index]
    text = table.map("{:.1f}".format).to_numpy()
    return theme.heat(fig, theme.f32(table), x, y, text, "size %{y}, lr %{x}: %{z:.1f}%", 0, 100)


def best_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Size and learning rate chosen on validation, as Table 1 does, for adapters and for full fine-tuning.

    frame: the columns of `experiments`; of each task the runs with the most training rows count and, of these, those
    with the most epochs. Columns: task ("CoLA"), method ("adapters" or "full"), chosen, metric, mean, half
    (of the 95% interval, in points), seeds, trained_percent, scores (test, in %, by seed).
    """
    rows = []
    frame = frame[frame["method"].str.startswith("adapter") | (frame["method"] == "full")]
    frame = frame.assign(kind=frame["method"].where(frame["method"] == "full", "adapters"))
    for column in ("n_train", "epochs"):
        much = frame[column].astype(float).fillna(math.inf)  # None: all rows
        frame = frame[much == much.groupby(frame["task"]).transform("max")]
    for (task, kind), part in choose(frame, by=("task", "kind"), among=("method", "lr")).groupby(["task", "kind"]):
        scores = dict(zip(part["seed"].astype(int), 100 * part["test"].astype(float).fillna(0), strict=True))
        mean, half = mean_interval(scores.values())
        first = part.iloc[0]
        rows.append(
            {
                "task": task.removeprefix("glue/"),
                "method": kind,
                "chosen": f"{first['method']}, lr {first['lr']:g}",
                "metric": first["metric"],
                "mean": mean,
                "half": half,
                "seeds": len(scores),
                "trained_percent": float(part["trained_percent"].mean()),
                "scores": scores,
            }
        )
    return pd.DataFrame(rows)


def gaps(best: pd.DataFrame) -> pd.DataFrame:
    """Adapters less full fine-tuning, seed by seed: task, ours, half, seeds, paper (sizes 8-256, in points; None)."""
    paper, rows = table1(), []
    for task, part in best.groupby("task", sort=False):
        by = part.set_index("method")["scores"]
        if {"adapters", "full"} - set(by.index):
            continue
        both = sorted(by["adapters"].keys() & by["full"].keys())
        mean, half = mean_interval([by["adapters"][s] - by["full"][s] for s in both])
        column = COLUMNS.get(task)
        printed = (
            None if column is None else paper.loc["adapters 8-256", column] - paper.loc["full fine-tuning", column]
        )
        rows.append({"task": task, "ours": mean, "half": half, "seeds": len(both), "paper": printed})
    return pd.DataFrame(rows)


def gap_bars(table: pd.DataFrame, source: str = "recorded") -> go.Figure:
    """The gaps of `gaps`, ours with 95% intervals and the paper's."""
    fig = theme.figure(
        title="Adapters less full fine-tuning", yaxis={"title": "difference in score, points"}, **theme.LEGEND
    )
    ours, paper = table["ours"].astype(float), table["paper"].astype(float)
    theme.columns(
        fig, table["task"], ours, "%{x}: %{y:+.1f} points, %{customdata} seeds", "+.1f", source=source, inside=True,
        name="MiniLM, dev set", error_y=theme.error(table["half"].astype(float)), customdata=table["seeds"].tolist(),
    )  # fmt: skip
    hover, name = "%{x}: %{y:+.1f} points in the paper", "BERT-Large, test server"
    theme.columns(fig, table["task"], paper, hover, "+.1f", source="paper", name=name)
    return fig.add_hline(0, line={"color": "#666666", "width": 1})


def task_bars(task: str, ours: pd.DataFrame | None = None, source: str = "recorded") -> go.Figure:
    """One task: Table 1's full fine-tuning and adapters beside ours (rows of `best_rows`)."""
    axis = {"title": "score, %", "range": [0, 108]}
    fig = theme.figure(title=f"{task}: full fine-tuning and adapters", yaxis=axis, barmode="group", **theme.LEGEND)
    names = {"full": "full fine-tuning", "adapters": "adapters 8-256"}
    if task in COLUMNS:
        printed = [float(table1().loc[name, COLUMNS[task]]) for name in names.values()]
        theme.columns(fig, names, printed, "%{x}: %{y:.1f}, Table 1", source="paper", name="BERT-Large, test server")
    if ours is not None and (ours["task"] == task).any():
        rows = ours[ours["task"] == task].set_index("method").reindex(list(names))
        means = rows["mean"].astype(float)
        more = {"error_y": theme.error(rows["half"].astype(float)), "customdata": rows["chosen"].fillna("").tolist()}
        hover = "%{x}: %{y:.1f}, %{customdata}"
        theme.columns(fig, names, means, hover, source=source, name="MiniLM", inside=True, **more)
    return fig


def forgetting(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Every task's score after each further task: columns method, seed, step, after, task, score (a fraction).

    Means over the seeds, with 95% intervals where there are several. guess: the score, in %, that the learner expects
    of the first task at the end of full fine-tuning.
    """
    frame = frame.sort_values("step", kind="stable")
    order, methods = frame["after"].drop_duplicates().tolist(), list(dict.fromkeys(frame["method"]))
    fig = theme.figure(
        title="Tasks one after another on one base",
        xaxis={"title": "after learning", "type": "category", "categoryarray": order, "categoryorder": "array"},
        yaxis={"title": "score on test, %"},
        height=540,
        **theme.above(4),
    )
    for (task, method), part in frame.groupby(["task", "method"], sort=False):
        points = theme.means(part.assign(percent=100 * part["score"]), "after", "percent")
        way, own = methods.index(method), theme.OKABE_ITO[order.index(task)]  # colour a task, dash a method
        theme.lines(
            fig, points.assign(name=f"{task}: {method}"), "after", "mean", "name", "after %{x}: %{y:.1f}%",
            index=lambda _, i=way: i, half="half", line_color=own, marker_color=own,
            marker_line_color=own,
        )  # fmt: skip
    return theme.star(fig, order[-1], guess, f"{order[0]}, full")


def kept(frame: pd.DataFrame, mine: pd.DataFrame, rows: int) -> go.Figure:
    """The open task: the first task's score at the end against the last one's, in %; to the upper right is better.

    frame, mine: as for `forgetting`; mine: the learner's way. rows: test rows, of which a single run has its interval.
    """
    ways = pd.concat([frame, mine.assign(method="yours")])
    fig = theme.figure(
        title="Learn the last task, keep the first",
        xaxis={"title": f"{frame['after'].iloc[-1]} at the end, %"},
        yaxis={"title": f"{frame['task'].iloc[0]} at the end, %"},
        **theme.LEGEND,
    )
    last = ways[ways["step"] == ways["step"].max()]
    first, final = frame["task"].iloc[0], last["after"].iloc[0]
    for i, (method, part) in enumerate(last.groupby("method", sort=False)):
        scores = 100 * part.pivot(index="seed", columns="task", values="score")
        half = 100 * accuracy_error(scores[first].mean() / 100, rows)
        fig.add_scatter(
            x=theme.f32(scores[final]),
            y=theme.f32(scores[first]),
            error_y=theme.error([half] * len(scores)),
            hovertemplate=f"{method}<br>%{{x:.1f}}% and %{{y:.1f}}%<extra></extra>",
            **theme.series("live", str(method), i, mode="markers"),
        )
    return fig
