"""Figures and tables of 07_glue: metrics, what validation chose, Table 1's gaps, forgetting."""

import math

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from ...paths import DATA
from ...studies.experiments import choose
from ...studies.stats import accuracy_error, mean_interval
from ..kit import theme
from ..kit.rows import todays

COLUMNS = {"SST-2": "SST", "MNLI": "MNLIm"} | {n: n for n in ("CoLA", "MRPC", "STS-B", "QQP", "QNLI", "RTE")}
"""Our name of a task -> its column in the paper's Table 1."""


def table1() -> pd.DataFrame:
    """Houlsby et al. 2019, Table 1, as printed: a row a method (index), GLUE test server, BERT-Large."""
    return pd.read_csv(DATA / "paper" / "table1.csv", comment="#").set_index("method")


def constant_scores(share: float) -> pd.DataFrame:
    """What somebody scores, in %, who says class 1 with probability p and never reads: in the long run, closed form.

    share: of class 1 in the data. Columns p, metric, score.
    """
    table = pd.DataFrame({"p": [i / 10 for i in range(11)]})
    table["accuracy"] = 100 * (share * table["p"] + (1 - share) * (1 - table["p"]))
    table["F1"] = 100 * 2 * share * table["p"] / (share + table["p"])
    return table.assign(Matthews=0.0).melt("p", var_name="metric", value_name="score")


def misleading(share: float, guess: float | None = None) -> go.Figure:
    """`constant_scores`; guess: the learner's Matthews at p = 1, in %."""
    fig = theme.figure(
        "Scores of somebody who never reads the sentence", 'how often "acceptable" is said, as a share p',
        {"title": "score, %", "range": [-5, 105]}, legend=2,
    )  # fmt: skip
    theme.lines(fig, constant_scores(share), "p", "score", "metric", "%{y:.1f}% at p = %{x}")
    return theme.star(fig, 1.0, guess, "Matthews")


def chosen(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of the size and learning rate that validation chose, for adapters and for full fine-tuning.

    frame: the columns of `experiments`; of each task today's head comes before the old one, then the runs with the most
    training rows count and, of these, those with the most epochs. Adds kind ("adapters" or "full") and score (on test,
    in %); task is "CoLA" for "glue/CoLA".
    """
    frame = todays(frame, "task")
    frame = frame.assign(
        task=frame["task"].str.removeprefix("glue/"),
        kind=frame["method"].str.replace(r"^adapter \d+$", "adapters", regex=True),
        score=100 * frame["test"].astype(float).fillna(0),
    )
    frame = frame[frame["kind"].isin(["adapters", "full"])]
    for column in ("n_train", "epochs"):
        much = frame[column].astype(float).fillna(math.inf)  # None: all rows
        frame = frame[much == much.groupby(frame["task"]).transform("max")]
    return choose(frame, by=("task", "kind"), among=("method", "lr"))


def gaps(best: pd.DataFrame) -> pd.DataFrame:
    """Adapters less full fine-tuning in points, seed by seed, of rows of `chosen`, and the paper's with sizes 8 to 256.

    Columns: task, mean, half (of the 95% interval), runs, head ("today's" or "old"), paper (NaN: not in Table 1).
    """
    scores = best.pivot_table(index=["task", "seed"], columns="kind", values="score")
    points = scores.get("adapters", math.nan) - scores.get("full", math.nan)
    points = pd.Series(points, scores.index).dropna().groupby(level="task")
    columns = ["task", "mean", "half", "runs"]
    table = pd.DataFrame([(task, *mean_interval(part), len(part)) for task, part in points], columns=columns)
    old = set(best["task"]) if "pooling" not in best else set(best[best["pooling"].isna()]["task"])
    table["head"] = ["old" if task in old else "today's" for task in table["task"]]
    printed = table1()[[*COLUMNS.values()]].astype(float)
    difference = printed.loc["adapters 8-256"] - printed.loc["full fine-tuning"]
    table["paper"] = [difference.get(COLUMNS.get(task), math.nan) for task in table["task"]]
    return table


def gap_points(table: pd.DataFrame, source: str = "recorded") -> go.Figure:
    """The gaps of `gaps`, ours with 95% intervals, and the paper's; seeds and head stand under the task."""
    seeds = [f"{n} seed{'s' * (n > 1)}" for n in table["runs"]]
    table = table.assign(x=table["task"] + "<br>" + seeds + "<br>" + table["head"] + " head")
    fig = theme.figure(
        "Adapters less full fine-tuning", y={"title": "points", "zeroline": True, "zerolinecolor": "#666666"},
        legend=2, height=520, scattermode="group",
    )  # fmt: skip
    look = {"mode": "markers+text", "texttemplate": " %{y:+.1f}", "textposition": "middle right"}
    ours, paper = table.assign(who="MiniLM, dev set"), table.assign(who="BERT-Large, test server")
    hover = "%{y:+.1f} ± %{customdata:.1f} points"
    theme.lines(fig, ours, "x", "mean", "who", hover, source=source, half="half", note="half", **look)
    return theme.lines(fig, paper, "x", "paper", "who", "%{y:+.1f} points", source="paper", **look)


def forgetting(frame: pd.DataFrame, guess: float | None = None) -> go.Figure:
    """Every task's score after each further task: columns method, seed, step, after, task, score (a fraction).

    Means over the seeds, with 95% intervals where there are several. guess: the score, in %, that the learner expects
    of the first task at the end of full fine-tuning.
    """
    keys, order = (
        ["task", "method", "after"],
        frame.sort_values("step", kind="stable")["after"].drop_duplicates().tolist(),
    )
    rows = [(*key, *mean_interval(100 * part)) for key, part in frame.groupby(keys, sort=False)["score"]]
    points = pd.DataFrame(rows, columns=[*keys, "score on test, %", "half"])
    fig = px.line(
        points, x="after", y="score on test, %", error_y="half",
        color="task", line_dash="method", symbol="method", category_orders={"after": order, "task": order},
        color_discrete_sequence=theme.OKABE_ITO, labels={"after": "after learning"}, template=theme.TEMPLATE,
        title="Tasks one after another on one base", height=540,
    )  # fmt: skip
    fig.update_layout(**theme.above(4), legend_title=None).update_traces(marker_size=11, line_width=3)
    return theme.star(fig, order[-1], guess, f"{order[0]}, full")


def kept(frame: pd.DataFrame, mine: pd.DataFrame, rows: int) -> go.Figure:
    """The open task: the first task's score at the end against the last one's, in %; to the upper right is better.

    frame, mine: as for `forgetting`; mine: the learner's way. rows: test rows, of which a single run has its interval.
    """
    first, final = frame["task"].iloc[0], frame["after"].iloc[-1]
    ways = pd.concat([frame, mine.assign(method="yours")])
    last = ways[ways["step"] == ways["step"].max()].assign(score=lambda t: 100 * t["score"])
    points = last.pivot(index=["method", "seed"], columns="task", values="score").reset_index()
    points["half"] = [100 * accuracy_error(value / 100, rows) for value in points[first]]
    points["note"] = "seed " + points["seed"].astype(str)
    fig = theme.figure(
        "Learn the last task, keep the first", f"{final} at the end, %", f"{first} at the end, %", legend=2
    )
    hover = "%{customdata}<br>%{x:.1f}% and %{y:.1f}%"
    return theme.lines(fig, points, final, first, "method", hover, half="half", note="note", mode="markers")
