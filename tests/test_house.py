"""The package keeps its plan: imports go down, the library stands without lessons and book, nothing grows past its bar."""

import subprocess
import sys
from pathlib import Path

import house
import pytest

import adapterlab

PACKAGE = Path(adapterlab.__file__).parent
#: Rules and bars that the tree is still being brought to.
NOT_YET = {"lines", "library lines"}
RULES = [house.circles, house.climbs, house.lessons_inside, house.heavy, house.folders]


def broken(name: str, told: str) -> None:
    (pytest.xfail if name in NOT_YET else pytest.fail)(told)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.__name__)
def test_rule(rule):
    if found := rule(PACKAGE):
        broken(rule.__name__, "\n".join(f"- {line}" for line in found))


@pytest.mark.parametrize("what", house.MOST)
def test_bar(what):
    figure, most = house.figures(PACKAGE)[what], house.MOST[what]
    if figure > most:
        longest = sorted(house.functions(PACKAGE).items(), key=lambda f: -f[1])[: max(most, 12)]
        names = [f"{n} {name}" for name, n in longest if n > 40] if "function" in what else []
        broken(what, "\n".join([f"{what}: {figure}, at most {most}", *names]))


def test_types():
    """mypy over the library, at the level and less the modules that pyproject.toml names."""
    pytest.importorskip("mypy")
    done = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


#: A sound package, to which each case adds one file.
SOUND = {
    "__init__.py": '"""A package."""',
    "errors.py": "import torch",
    "sites.py": "from typing import TYPE_CHECKING\nfrom .errors import E\nif TYPE_CHECKING:\n    from .adapters import A",
    "adapters.py": "from . import sites",
    "methods/__init__.py": '"""Methods."""\nfrom .lora import LoRA',
    "methods/lora.py": "from ..sites import S\nfrom .base import B",
    "methods/base.py": "import adapterlab.errors",
    "lessons/__init__.py": '"""Lessons."""',
    "lessons/nb00_start/__init__.py": '"""Start."""',
    **{f"lessons/nb00_start/{name}": "import plotly" for name in house.LESSON},
}
BROKEN = [
    (house.circles, "lora <- methods.base", {"methods/base.py": "def f():\n    from .lora import LoRA"}),
    (house.circles, "train", {"train.py": "from .tasks import core", "tasks/core.py": "x = 1",
                              "tasks/more.py": "from ..train import fit", "tasks/__init__.py": '"""Tasks."""'}),
    (house.climbs, "sites imports adapters", {"sites.py": "class A:\n    def f(self):\n        from . import adapters"}),
    (house.climbs, "methods.lora imports adapters", {"methods/lora.py": "from adapterlab.adapters import Adapters"}),
    (house.climbs, "attic stands on no floor", {"attic.py": ""}),
    (house.lessons_inside, "errors imports lessons", {"errors.py": "from .lessons.nb00_start import views"}),
    (house.heavy, "sites imports plotly", {"sites.py": "try:\n    import plotly.express\nexcept ImportError:\n    pass"}),
    (house.heavy, "methods.base imports datasets", {"methods/base.py": "from datasets import load_dataset"}),
    (house.folders, "methods/__init__.py does not say", {"methods/__init__.py": "x = 1"}),
    (house.folders, "adapterlab/tasks/__init__.py does not say", {"tasks/core.py": ""}),
    (house.folders, "nb01_build has no views.py", {f"lessons/nb01_build/{n}": '"""."""' for n in ("__init__.py", "exercises.py", "figures.py")}),
]  # fmt: skip


def package(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "adapterlab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "adapterlab"


def test_a_sound_package_keeps_every_rule(tmp_path):
    toy = package(tmp_path, SOUND)
    assert [line for rule in RULES for line in rule(toy)] == []
    assert house.imports(toy)["methods.lora"] == {"sites", "methods.base"}
    assert {rule for rule, _, _ in BROKEN} == set(RULES)


@pytest.mark.parametrize(("rule", "words", "files"), BROKEN, ids=[f"{r.__name__}-{w}" for r, w, _ in BROKEN])
def test_a_broken_package_is_seen(rule, words, files, tmp_path):
    toy = package(tmp_path, {**SOUND, **files})
    assert any(words in line for line in rule(toy)), rule(toy)


def test_what_is_counted(tmp_path):
    toy = package(tmp_path, {"a.py": "def f():\n    def g():\n        pass\n" + "    x = 1\n" * 40, "book/b.py": "x\n" * 5,
                             "lessons/__pycache__/c.pyc": ""})  # fmt: skip
    assert house.figures(toy) == {
        "lines": 48, "library lines": 43, "entries": 3, "functions over 40 lines": 1, "longest function": 43,
    }  # fmt: skip
