"""13: what its views say, and its figures."""

import re
import shutil

import pandas as pd
import pytest
import torch
from damage import LESSON
from tiny import model

from adapterlab.adapters import Adapters
from adapterlab.lessons.nb13_sharing import figures as plots
from adapterlab.lessons.nb13_sharing.views import DAMAGE, damage_view, refusal, serving_view
from adapterlab.methods import houlsby


@pytest.fixture
def saved(tmp_path):
    adapters = Adapters(model("bert"))
    adapters.add("a", houlsby(4), seed=0)
    return adapters, adapters.save("a", tmp_path / "a")


def test_every_damage_has_its_sentence(saved):
    adapters, folder = saved
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    before = {k: v.clone() for k, v in adapters.model.state_dict().items()}
    assert refusal(adapters, folder, "nothing") is None
    assert LESSON.keys() | {"nothing"} == DAMAGE.keys()
    for damage, sentence in LESSON.items():
        refused = refusal(adapters, folder, damage)
        assert refused is not None and re.search(sentence, refused) and "/tmp" not in refused, (damage, refused)
    assert list(adapters) == ["a"] and files == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert all(torch.equal(before[k], v) for k, v in adapters.model.state_dict().items())


def test_the_damage_view(saved):
    view = damage_view(*saved)
    assert view.summary == "nothing: loads (the adapters are as before)"
    view.damage.value = "a newer format version"
    assert "refused" in view.summary and "as before" in view.summary
    shutil.rmtree(saved[1])  # a reader may come back when the folder is gone
    view.damage.value = "a NaN, checksum forged"
    assert "refused" in view.summary


def test_the_serving_view_by_hand():
    view = serving_view(1_000_000, {"big": 250_000, "small": 0}, 3)
    shared, copies = view.figure.data
    assert list(copies.y) == pytest.approx([4, 8, 12]) and list(shared.y) == pytest.approx([5, 6, 7])
    assert "1.00 MB a task; 12 MB as copies, 7 MB on one model, 1.7 times less" in view.summary
    view.method.value, view.tasks.value = "small", 20
    assert "80 MB as copies, 4 MB on one model, 20.0 times less" in view.summary
    assert list(view.figure.data[0].y) == pytest.approx([4] * 20)


def test_the_figures():
    shared, copies, star = plots.growth(
        pd.DataFrame({"tasks": [1, 2, 3], "copies": [4, 8, 12], "shared": [5, 6, 7]}), 9
    ).data
    assert list(copies.y) == pytest.approx([4, 8, 12]) and list(shared.y) == pytest.approx([5, 6, 7])
    assert (list(star.x), list(star.y)) == ([3], [9])
    bar, star = plots.times(pd.DataFrame({"step": ["load", "switch"], "ms": [20, 0.01]}), 5).data
    assert list(bar.x) == pytest.approx([20, 0.01]) and (list(star.x), list(star.y)) == ([5], ["load"])
