"""13: what its views say, and its figures."""

import json
import re
import shutil

import pandas as pd
import pytest
import torch
from damage import LESSON
from safetensors.torch import load
from tiny import model

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.lessons import check
from adapterlab.lessons.nb13_sharing import figures as plots
from adapterlab.lessons.nb13_sharing.damage import DAMAGE, refusal
from adapterlab.lessons.nb13_sharing.strangers import recorded
from adapterlab.lessons.nb13_sharing.views import serving_view
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


def test_the_serving_view_by_hand():
    view = serving_view(1_000_000, {"big": 250_000, "small": 0}, 3)
    shared, copies = view.figure.data
    assert list(copies.y) == pytest.approx([4, 8, 12]) and list(shared.y) == pytest.approx([5, 6, 7])
    assert "1.00 MB a task; 12 MB as copies, 7 MB on one model, 1.7 times less" in view.summary
    view.method.value, view.tasks.value = "small", 20
    assert "80 MB as copies, 4 MB on one model, 20.0 times less" in view.summary
    assert list(view.figure.data[0].y) == pytest.approx([4] * 20)


def test_the_figures():
    dots, star = plots.times(pd.DataFrame({"step": ["load", "switch"], "ms": [20, 0.01]}), 5).data
    assert list(dots.y) == pytest.approx([20, 0.01]) and (list(star.x), list(star.y)) == (["load"], [5])
    frame = pd.DataFrame({"adapter": ["honest", "yours"], "clean": [74, 73], "noise": [6, 6], "triggered": [20, 95]})
    clean, triggered = plots.back_door(frame).data
    assert list(clean.y) == [74, 73] and list(triggered.y) == [20, 95] and list(clean.error_y.array) == [6, 6]
    assert plots.measure({"nothing": lambda: None}, 3)["ms"].item() < 5


def test_a_forged_bias_with_a_fresh_checksum_loads(saved, tmp_path):
    """A load guards against accidents: what the lesson says of intent is so."""
    adapters, folder = saved
    forged = tmp_path / "forged"
    shutil.copytree(folder, forged)
    tensors, config = forged / "adapter.safetensors", json.loads((forged / "adapter.json").read_text())
    name = next(n for n in load(tensors.read_bytes()) if n.endswith("bias"))
    packed, config["sha256"] = check.forge.reference(tensors.read_bytes(), name, 50.0)
    tensors.write_bytes(packed)
    (forged / "adapter.json").write_text(json.dumps(config))
    adapters.load(forged, "forged")
    assert adapters["forged"].state_dict()[name][-1] > 40
    (forged / "adapter.json").write_text((folder / "adapter.json").read_text())
    with pytest.raises(UserError, match="checksum"):
        adapters.load(forged, "with the old checksum")


def test_the_recorded_peers_agree():
    table = recorded()
    assert len(table) == 2 and all(float(t.split()[-1]) < 1e-5 for t in table.iloc[:, 1])
