"""Binder's and Codespaces' configuration, the launch links and the pins, without Docker and without a network."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from IPython.core.inputtransformer2 import TransformerManager

from adapterlab import __main__
from adapterlab.book.doctor import pins
from adapterlab.book.links import LAUNCH, address
from adapterlab.paths import ROOT
from notebooks import notebooks, read, tags

BINDER = ROOT / "binder"


def lines(path):
    return [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def test_only_what_repo2docker_reads():
    assert {p.name for p in BINDER.iterdir()} == {"runtime.txt", "requirements.txt", "postBuild"}


def test_python():
    runtime = re.fullmatch(r"python-(3\.\d+)", (BINDER / "runtime.txt").read_text().strip())
    asked = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert runtime and asked == f">={runtime[1]}"


def test_the_cpu_build_of_the_pinned_torch():
    found = lines(BINDER / "requirements.txt")
    assert "--extra-index-url https://download.pytorch.org/whl/cpu" in found and "-r ../requirements.txt" in found
    assert f"torch=={pins(ROOT / 'requirements.txt')['torch']}+cpu" in found and len(found) == 3


def test_the_lock_has_every_pin_with_hashes():
    entries = re.split(r"\n(?=[a-z])", "\n".join(lines(ROOT / "requirements.lock")))
    locked = {(n.lower(), v) for n, v in (re.match(r"([\w.-]+)==([\w.]+)", entry).groups() for entry in entries)}
    pinned = pins(ROOT / "requirements.txt").items()
    missing = {(n.replace("_", "-").lower(), v) for n, v in pinned} - locked
    assert not missing, (
        f"requirements.lock is older than requirements.txt ({missing}); its first lines say how it is made"
    )
    assert all("--hash=sha256:" in entry for entry in entries) and "://" not in (ROOT / "requirements.lock").read_text()


def test_pins_are_exact_and_used():
    found = lines(ROOT / "requirements.txt")
    assert found[-1] == "-e ." and all(re.fullmatch(r"[\w.-]+==[\d.]+", line) for line in found[:-1])
    assert "torch==2.13.0" in found
    imported = {m for p in [*ROOT.glob("adapterlab/**/*.py"), *ROOT.glob("tests/**/*.py")]
                for m in re.findall(r"^\s*(?:from|import) (\w+)", p.read_text(), re.M)}  # fmt: skip
    outside = {"torch", "transformers", "safetensors", "numpy", "pandas", "datasets", "plotly", "ipywidgets", "papermill",
               "nbclient", "nbconvert", "nbformat", "tqdm", "pytest", "playwright"} & imported  # fmt: skip
    assert outside <= set(pins(ROOT / "requirements.txt"))


def test_extras_name_what_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = project["dependencies"] + extras["workbook"] + extras["test"]
    assert sorted(named) == sorted(pins(ROOT / "requirements.txt"))


def test_post_build():
    script = BINDER / "postBuild"
    assert os.access(script, os.X_OK) and script.read_bytes().startswith(b"#!/bin/bash\n")
    assert "--no-deps -e ." in script.read_text()
    if bash := shutil.which("bash"):
        assert subprocess.run([bash, "-n", str(script)]).returncode == 0


def test_repo2docker_accepts_it():
    tool = shutil.which("jupyter-repo2docker") or os.environ.get("REPO2DOCKER")
    if not tool:
        pytest.skip("jupyter-repo2docker is not installed")
    words = [tool, "--no-build", "--debug", "--user-id", "1000", "--user-name", "jovyan", str(ROOT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    due = ("conda environment for python=3.11", '-r "binder/requirements.txt"', "./binder/postBuild")
    assert [words for words in due if words not in said] == []


def test_the_readme_says_the_commands():
    text = (ROOT / "README.md").read_text()
    assert "pip install -r requirements.txt && python -m adapterlab run" in text
    assert "pip install -r requirements.txt && pytest" in text and "mybinder.org" in text
    assert sys.version_info >= (3, 11)


def test_the_address_is_that_of_pyproject_everywhere(capsys):
    """Elsewhere only the links that are made from it have the owner's name."""
    assert __main__.main(["list", "--links"]) == 0
    line, owner = capsys.readouterr().out, re.fullmatch(r"https://github.com/([\w.-]+)/[\w.-]+", address())[1]
    readme = (ROOT / "README.md").read_text()
    assert f"<!-- links: python -m adapterlab list --links -->\n{line}<!-- /links -->\n" in readme
    assert line.count(f"/{owner}/") == 3 and owner not in readme.replace(line, "")
    for path in notebooks():
        nb = read(path)
        assert tags(nb.cells[1]) == ["launch"] and nb.cells[1].source == LAUNCH.format(address=address()), path.name


@pytest.mark.parametrize("there", [True, False])
def test_the_launch_cell_fetches_what_is_not_there(there, monkeypatch):
    said = []

    class Shell:
        def system(self, line):
            said.append(line)

        def run_line_magic(self, name, line):
            said.append(f"{name} {line}")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True if there else None)
    code = TransformerManager().transform_cell(LAUNCH.format(address="https://host/a/b"))
    exec(code, {"get_ipython": Shell})
    due = ["git clone -q --depth 1 https://host/a/b book", "cd -q book", "pip install -q -r requirements.txt"]
    assert said == ([] if there else due)


def test_codespaces():
    box = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert box["image"].endswith((BINDER / "runtime.txt").read_text().strip().replace("python-", "python:"))
    assert box["postCreateCommand"] == "pip install -r binder/requirements.txt && python -m adapterlab doctor"
