"""12: what its view builds and says, and its figures."""

import pandas as pd
import pytest
from lesson_views import fused, letters, texts

from adapterlab.compose import Average, BatchSplit, Fuse, Parallel, Split, Stack
from adapterlab.errors import UserError
from adapterlab.lessons.nb12_composition import figures as plots
from adapterlab.lessons.nb12_composition.views import NONE, build, composition_view, say


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


def test_distances_say_which_is_exact():
    frame = pd.DataFrame({"way": ["linear", "concatenate"], "off": [70.0, 1e-5]})
    figure = plots.distances(frame, guess=10)
    assert texts(figure) == ["70.0%", "exact, up to rounding"]
    guess = figure.layout.shapes[0]
    assert (guess.x0, guess.y0, guess.y1) == (10, -0.48, 0.48), "across the bar of linear alone"


def test_the_heatmap_has_layers_from_the_bottom_up():
    rows = [(1, "a", 30.0), (1, "b", 70.0), (0, "a", 90.0), (0, "b", 10.0)]
    figure = plots.attention(pd.DataFrame(rows, columns=["layer", "adapter", "weight"]), "a")
    assert [list(line) for line in figure.data[0].z] == [[90, 10], [30, 70]] and figure.data[0].y == (0, 1)
    assert figure.data[0].text[0][0] == "<b>90</b>" and (figure.data[0].zmin, figure.data[0].zmax) == (0, 100)
    assert "Your guess: a" in figure.layout.title.text


def test_accuracies_have_seeds_means_and_intervals():
    frame = pd.DataFrame({"setup": ["one", "one", "two"], "seed": [0, 1, 0], "accuracy": [70.0, 80.0, 50.0]})
    mean, seeds = plots.against(frame, rows=100).data
    assert mean.x == (75, 50) and seeds.x == (70, 80, 50) and list(seeds.y) == pytest.approx([-0.07, 0.07, 1])
    assert mean.error_x.array[0] == pytest.approx(8.487, abs=1e-3)
