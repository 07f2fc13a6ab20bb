"""08: the numbers of its view and figures."""

import html
import re

import pandas as pd
import pytest
import torch
from lesson_views import readers, tokenizer

from adapterlab.lessons.nb08_questions import figures as plots
from adapterlab.lessons.nb08_questions.tables import article_interval, by_article, recorded, window_rows
from adapterlab.lessons.nb08_questions.views import highlight, question_view, respond
from adapterlab.tasks.answers import Span, encode_questions
from adapterlab.tasks.questions import load_questions


@pytest.fixture
def view():
    return question_view(readers("span"), tokenizer(), load_questions().first(8))


def plain(view) -> str:
    """The passage without its marks, as a reader sees it."""
    return html.unescape(re.sub(r"<ol.*</ol>|<[^>]+>", "", view.note.replace("<br>", "\n"), flags=re.S))


def test_the_example_is_answered_in_its_place(view):
    first = load_questions()[0]
    assert first.question in view.summary and "accepted: “2,000”" in view.summary
    assert plain(view) == first.context
    best = re.search(r"<mark[^>]*>(.*?)</mark>", view.note)[1]
    assert f"says “{best}”" in view.summary and view.note.count("<li") == 5
    assert len(view.figure.data) == 2 and view.children[1].value == view.note
    assert max(view.figure.data[0].y) <= 100 and -100 <= min(view.figure.data[1].y) < 0


def test_the_answer_is_no_longer_than_asked_for(view):
    view.model_name.value, view.question.value, view.longest.value = "two", "Who?", 1
    assert "Who?" in view.summary and "accepted" not in view.summary
    assert len(re.findall(r"\w+", re.search("“(.*?)”", view.summary)[1])) == 1


def test_a_passage_of_ones_own(view):
    view.passage.value = passage = "Ann <b>lives</b> in Oslo.\nBen lives in Rome."
    example = view.example.value.split(": ", 1)[1]
    assert view.error is None and example in view.summary and "accepted" not in view.summary
    view.question.value = "Where does Ben live?"
    assert view.error is None and "Where does Ben live?" in view.summary
    assert plain(view) == passage
    view.passage.value = "Ann lives in Oslo. " * 200
    assert view.error is None and int(re.search(r"(\d+) windows", view.summary)[1]) > 5
    view.passage.value, view.question.value = "Ann.", "why " * 300
    assert "fills the window" in view.error
    view.question.value = "Who?"
    assert view.error is None and "“Ann" in view.summary


def test_the_bars_are_the_models_probabilities():
    models, q = readers("span"), load_questions()[3]
    spans, frame, count = respond(models["one"], tokenizer(), q.context, q.question, 192, 48, 30)
    model, adapters, name = models["one"]
    with torch.no_grad(), adapters.use(name):
        out = model(**tokenizer()(q.question, q.context, return_tensors="pt"))
    start, end = out.start_logits[0].softmax(-1), out.end_logits[0].softmax(-1)
    at = torch.tensor(frame["position"].to_numpy())
    assert count == 1
    assert frame["start"].to_numpy() == pytest.approx(start[at].numpy(), abs=1e-6)
    assert frame["end"].to_numpy() == pytest.approx(end[at].numpy(), abs=1e-6)
    assert spans[0].score == pytest.approx(
        max(
            (out.start_logits[0, s] + out.end_logits[0, e]).item()
            for s in at.tolist()
            for e in at.tolist()
            if 0 <= e - s < 30
        ),
        abs=1e-4,
    )


def test_highlight_marks_exactly_the_spans():
    spans = [Span(4, 7, "cat", 3.0, 0), Span(0, 7, "The cat", 1.0, 0)]
    text = highlight("The cat sat", spans)
    assert re.search(r"<mark[^>]*>cat</mark> sat", text) and re.search(r"<span[^>]*>The </span><mark", text)
    assert "share 88%" in text and "share 12%" in text  # softmax of 3 and 1


def test_windows_figure():
    q = load_questions()[0]
    rows = pd.DataFrame(window_rows(encode_questions([q], tokenizer(), 64, 16)))
    figure = plots.windows(rows, (q.starts[0], q.starts[0] + 5), guess=2)
    assert sum(len(trace.y) for trace in figure.data) == len(rows) and "your guess: 2" in figure.layout.title.text
    holds = next(t for t in figure.data if t.name.startswith("holds"))
    assert all(b <= q.starts[0] and q.starts[0] + 5 <= b + x for b, x in zip(holds.base, holds.x, strict=True))


def test_scores_show_guess_source_and_interval():
    one = {"data": "XQuAD en", "by_article": [[1, 1.0, 1.0], [1, 0.0, 0.5]]}
    rows = plots.compared({"yours": [one]}, {"full": [one]})
    assert list(rows["data"]) == ["ours", "XQuAD", *["SQuAD v1.1"] * 3]
    table = rows.set_index(["method", "source"])
    assert table.loc[("full", "paper"), "F1, %"] == 90.7 and table.loc[("yours", "live"), "down"] == pytest.approx(25)
    figure = plots.scores(rows, guess=30)
    points = {trace.name: trace for trace in figure.data}
    assert points["yours, live"].error_y.array[0] == pytest.approx(25) and points["yours, live"].y[0] == 75
    assert points["full, paper"].error_y.array[0] != points["full, paper"].error_y.array[0]  # nan: none is printed
    assert (points["yours, live"].marker.symbol, points["full, recorded"].marker.symbol) == ("circle", "circle-open")
    assert points["full, paper"].offsetgroup == points["full, recorded"].offsetgroup == "full"
    assert figure.layout.shapes[0].name == "your guess: adapter, live: 30%"
    assert (figure.layout.shapes[0].x0, figure.layout.shapes[0].x1) == (-0.48, 0.48), "beside the live scores alone"


def test_the_recorded_rows_are_those_of_the_best_setting_on_the_most_questions():
    def row(method, lr, seed, validation, train=200):
        return {"method": method, "lr": lr, "seed": seed, "validation_f1": validation, "train_questions": train,
                "epochs": 4, "batch_size": 8}  # fmt: skip

    rows = [row("full", 1e-4, 0, 0.3), row("full", 1e-4, 1, 0.5), row("full", 3e-4, 0, 0.45), row("full", 3e-4, 1, 0.1)]
    rows += [row("adapter 64", 1e-3, 0, 0.2), row("adapter 64", 1e-3, 0, 0.9, train=50)]
    found = recorded(rows)
    assert [r["seed"] for r in found["full"] if r["lr"] == 1e-4] == [0, 1] and len(found["full"]) == 2
    assert [r["validation_f1"] for r in found["adapter 64"]] == [0.2]
    assert recorded([]) == {}


def test_sums_by_article():
    few = load_questions().first(12)  # two articles of six
    said = [q.answers[0] for q in few.items[:6]] + ["zebra"] * 6
    assert by_article(said, few) == [[6, 6, 6], [6, 0, 0]]


def test_intervals_by_article():
    """Equal articles leave no doubt; different ones do; a constant gap is certain although both methods vary."""
    even = [{"by_article": [[10, 2, 4]] * 6}, {"by_article": [[10, 2, 4]] * 6}]
    assert article_interval(even) == pytest.approx((40, 40, 40))
    assert article_interval(even, score="exact") == pytest.approx((20, 20, 20))
    mixed = [{"by_article": [[10, 0, f] for f in (0, 2, 4, 6, 8, 10)]}]
    mean, low, high = article_interval(mixed)
    assert mean == 50 and 15 < low < 35 and 65 < high < 85
    better = [{"by_article": [[10, 0, f + 1] for f in (0, 2, 4, 6, 8, 9)]}]
    base = [{"by_article": [[10, 0, f] for f in (0, 2, 4, 6, 8, 9)]}]
    assert article_interval(better, base) == pytest.approx((10, 10, 10))
