"""12: what its view builds and says, and its figures."""

import pandas as pd
import pytest
import torch
from lesson_views import fused, letters, texts
from tiny import model

from adapterlab import compose
from adapterlab.adapters import Adapters
from adapterlab.compose import Average, BatchSplit, Fuse, Parallel, Split, Stack
from adapterlab.errors import UserError
from adapterlab.lessons import check
from adapterlab.lessons.nb12_composition import figures as plots
from adapterlab.lessons.nb12_composition import running
from adapterlab.lessons.nb12_composition.views import NONE, build, composition_view, say
from adapterlab.methods import LoRAConfig


@pytest.fixture
def adapters():
    return fused()


@pytest.mark.parametrize(
    ("controls", "wanted"),
    [
        (("Stack", (NONE, NONE, NONE)), None),
        (("Parallel", ("a", "b", "a")), Parallel("a", "b")),
        (("Stack", ("b", "a", NONE)), Stack("b", "a")),
        (("Average", ("a", "b", NONE), "nothing", 75), Average("a", "b", weights=(3, 1))),
        (("Average", ("a", "b", "c"), "nothing", 50), Average("a", "b", "c", weights=(2, 1, 1))),
        (("Average", ("a", "b", "c"), "Stack", 40), Average(Stack("a", "b"), "c", weights=(2, 3))),
        (("Average", ("a", NONE, NONE), "nothing", 40), Average("a")),
        (("Split", ("a", "b", "c"), "nothing", 4), Split("a", "b", "c", at=(4, 8))),
        (("BatchSplit", ("a", NONE, "c")), BatchSplit("a", "c")),
        (("Stack", ("a", "b", "c"), "Parallel"), Stack(Parallel("a", "b"), "c")),
    ],
)
def test_build(controls, wanted):
    assert build(*controls) == wanted


@pytest.mark.parametrize(
    ("controls", "message"),
    [
        (("Stack", ("a", NONE, NONE), "Average"), "needs two adapters"),
        (("Average", ("a", "b", "c"), "Parallel"), "Parallel cannot stand in Average"),
    ],
)
def test_build_refuses(controls, message):
    with pytest.raises(UserError, match=message):
        build(*controls)


def test_every_child_answers_as_it_does_alone(adapters):
    alone = [say(adapters, letters, name, "hello")[0] for name in "abc"]
    assert alone[0].split()[0] in ("no", "yes") and alone[2].split()[0] in ("critic", "viewer", "other")
    together = [f"{name}: {line}" for name, line in zip("abc", alone, strict=True)]
    assert say(adapters, letters, Parallel("a", "b", "c"), "hello") == together
    assert say(adapters, letters, BatchSplit("a", "b", "c"), "hello") == together
    assert say(adapters, letters, Stack("a"), "hello") == alone[:1]
    assert say(adapters, letters, None, "hello") == ["no adapter, no answer"] and adapters.active is None


def test_the_view_shows_what_it_runs_and_says_why_not(adapters):
    view = composition_view(adapters, letters, "abc", fusion="f", text="hello")
    assert view.summary.startswith("Average('a', 'b', weights=") and not view.share.disabled
    view.third.value = "c"
    assert "differ" in view.error
    view.block.value = "Parallel"
    assert view.summary.startswith("Parallel('a', 'b', 'c') on “hello”: a: ") and view.summary.count("%") == 3
    assert view.share.disabled
    view.block.value = "Average"
    view.third.value, view.share.value = NONE, 100
    assert view.summary.endswith(say(adapters, letters, "a", "hello")[0])
    assert "100%" in texts(view.figure) and "0%" in texts(view.figure)
    view.block.value = "Fuse"
    assert "trained over a, b, c" in view.error
    view.third.value = "c"
    assert view.summary.endswith(say(adapters, letters, "f", "hello")[0])
    view.typed.value = "other words"
    assert "“other words”" in view.summary


def test_the_flow_has_a_box_for_each_and_a_frame_for_each_block():
    setup = Stack(Average("a", "b", weights=(3, 1)), "c")
    figure = plots.flow(setup, ["yes 90%"])
    shown = texts(figure)
    assert {"text", "a", "b", "c", "<b>Stack</b>", "<b>Average</b>", "75%", "25%", "yes 90%"} == set(shown)
    frames = [s for s in figure.layout.shapes if s.line.dash == "dot"]
    assert len(frames) == 2 and len(figure.layout.shapes) == 6
    outer, inner = frames
    assert outer.x0 < inner.x0 and inner.x1 < outer.x1 and outer.y0 < inner.y0 and inner.y1 < outer.y1
    assert len([a for a in figure.layout.annotations if a.showarrow]) == 7
    assert {"tokens 0 to 3", "tokens 4 to the last"} <= set(texts(plots.flow(Split("a", "b", at=4), [])))
    assert {"2 rows", "1 row"} <= set(texts(plots.flow(BatchSplit("a", "b", sizes=(2, 1)), [])))
    assert "(nothing)" in texts(plots.flow(None, [])) and "<b>Fuse</b>" in texts(plots.flow(Fuse("a", "b"), []))


def test_boxes_do_not_overlap():
    figure = plots.flow(Parallel(Stack("a", "b"), "c", Average("d", "e")), [])
    boxes = [s for s in figure.layout.shapes if s.line.dash != "dot"]
    for i, p in enumerate(boxes):
        for q in boxes[:i]:
            assert p.x1 <= q.x0 or q.x1 <= p.x0 or p.y1 <= q.y0 or q.y1 <= p.y0


def runs(setup, *shares, rows=400):
    """A draw for every share of right answers, the first rows being the right ones."""
    right = [torch.arange(rows) < share * rows for share in shares]
    return [
        {"setup": setup, "seed": i, "accuracy": 100 * r.float().mean().item(), "trained": 1000, "right": r}
        for i, r in enumerate(right)
    ]


def test_a_verdict_needs_its_interval():
    rows = runs("a", 0.50, 0.51, 0.52) + runs("b", 0.60, 0.61, 0.625) + runs("c", 0.49, 0.60, 0.50)
    first, better, unsure = plots.compare(rows, "a").splitlines()
    assert first == "a                51.0% on test,     1,000 trained"
    assert better.endswith("better") and unsure.endswith("not told apart")
    assert plots.compare(rows[:3] + rows[3:6], "b").splitlines()[0].endswith("worse")


def test_a_lead_on_a_handful_of_rows_is_not_told_apart_however_alike_the_draws():
    few = runs("a", 0.5, 0.5, 0.5, rows=20) + runs("b", 0.55, 0.55, 0.55, rows=20)  # one row of twenty, in every draw
    assert plots.compare(few, "a").endswith("minus a: +5.0 ± 9.8: not told apart")


# ---- the learner's functions in the model


@pytest.fixture
def packages_own():
    yield
    compose.evaluate = running.PACKAGE


def logits_of(adapters, setup):
    with torch.no_grad(), adapters.use(setup):
        return adapters.model(**letters(["hello", "some words"], return_tensors="pt", padding=True)).logits


def test_the_learners_evaluation_runs_at_every_site(adapters, packages_own):
    setups = (Stack("a", "b"), Average("a", Stack("b", "a"), weights=(3, 1)))
    before, calls = [logits_of(adapters, s) for s in setups], []

    def evaluate(setup, methods, x, y):
        calls.append(setup)
        return check.evaluate_setup.reference(setup, methods, x, y)

    running.runs_on(evaluate)
    for setup, wanted in zip(setups, before, strict=True):
        torch.testing.assert_close(logits_of(adapters, setup), wanted)
    assert set(calls) == set(setups)


def test_the_learners_attention_runs_forward_and_backward(adapters):
    inputs = letters(["hello", "some words"], return_tensors="pt", padding=True)
    adapters.train("f")
    wanted = adapters.model(**inputs).logits
    told = running.attention(adapters, "f", inputs)
    calls = []

    def fuse(*arguments):
        calls.append(arguments[1].shape)
        return check.fuse_outputs.reference(*arguments)

    running.attends_with(adapters, "f", fuse)
    got = adapters.model(**inputs).logits
    torch.testing.assert_close(got, wanted)
    got.sum().backward()
    module = next(iter(running.fusions(adapters, "f").values()))
    assert module.query.weight.grad.any() and calls
    pd.testing.assert_frame_equal(running.attention(adapters, "f", inputs), told)
    assert told.groupby("layer")["weight"].sum().tolist() == pytest.approx([100] * told["layer"].nunique(), abs=1e-3)
    assert module.forward is vars(module)["forward"]


def test_a_copied_head_judges_as_the_first(adapters):
    running.same_head(adapters, "judge", "a")
    torch.testing.assert_close(logits_of(adapters, Stack("a", "judge")), logits_of(adapters, "a"))


def test_sums_beside_the_true_one():
    adapters = Adapters(model("bert"))
    parts = {"p": 1.0, "q": -2.0}
    for name in parts:
        adapters.add(name, LoRAConfig(rank=2), seed=len(adapters))
        for module in adapters[name].modules():
            if hasattr(module, "B"):
                torch.nn.init.normal_(module.B)
    running.sum_with(adapters, "s", parts, check.concatenate.reference)
    running.sum_with(adapters, "twice", {name: 2 * w for name, w in parts.items()}, check.concatenate.reference)
    exact, twice = (running.beside_the_sum(adapters, name, parts) for name in ("s", "twice"))
    assert exact["length"] == pytest.approx(1, abs=1e-4) and exact["off"] < 0.01
    assert twice["length"] == pytest.approx(2, abs=1e-4) and twice["off"] == pytest.approx(100, abs=0.1)
    assert twice["direction"] < 0.1


def test_the_heatmap_has_layers_from_the_bottom_up():
    rows = [(1, "a", 30.0), (1, "b", 70.0), (0, "a", 90.0), (0, "b", 10.0)]
    figure = plots.attention(pd.DataFrame(rows, columns=["layer", "adapter", "weight"]), "a")
    assert [list(line) for line in figure.data[0].z] == [[90, 10], [30, 70]] and figure.data[0].y == (0, 1)
    assert figure.data[0].text[0][0] == "<b>90</b>" and (figure.data[0].zmin, figure.data[0].zmax) == (0, 100)
    assert "Your guess: a" in figure.layout.title.text


def test_accuracies_have_draws_means_and_the_one_to_beat():
    figure = plots.against(runs("one", 0.7, 0.8) + runs("two", 0.5), "one")
    draws, mean = figure.data
    assert list(draws.x) == pytest.approx([70, 80, 50]) and list(draws.y) == ["one", "one", "two"]
    assert list(mean.x) == pytest.approx([75, 50]) and figure.layout.shapes[0].x0 == pytest.approx(75)
    assert "test accuracy" in figure.layout.xaxis.title.text and "400 test sentences" in figure.layout.title.text
