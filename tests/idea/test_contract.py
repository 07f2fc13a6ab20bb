"""What is asked of a method's module is written down in `Change`, and nothing is asked by guessing."""

import ast
import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny
import torch
from recipes import EVERY
from torch import nn

import adapterlab
from adapterlab import methods
from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.sites import find_sites

PACKAGE = Path(adapterlab.__file__).parent
ASKED = {name for name in (*vars(methods.Change), *methods.Change.__annotations__) if not name.startswith("_")}
RECIPES = {
    **EVERY,
    "head": methods.HeadConfig(labels=("no", "yes")),
    "fusion": methods.FusionConfig(of=("a",), sites=("attention",)),
    "lora, gated": methods.LoRAConfig(rank=2, gated=True),
    "pfeiffer, gated": methods.PfeifferConfig(size=2, gated=True),
    "prefix_tuning, gated": methods.PrefixTuningConfig(length=2, hidden=0, gated=True),
}


def test_the_recipes_are_all_methods():
    assert {config.name for config in RECIPES.values()} == set(methods.METHODS)


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_module_is_a_change(recipe):
    """Built by its config and bound in an adapter; each answers everything that may be asked of it."""
    model = tiny.model("bert")
    adapters = Adapters(model)
    adapter = adapters.add("a", RECIPES[recipe])
    modules = [module for modules in adapter.at.values() for module in modules]
    assert modules and all(isinstance(module, methods.Change) for module in modules)
    gated = "gated" in recipe
    for module in modules:
        flags = {name: getattr(module, name) for name in ("wants_norm", "wants_context", "fuses")}
        assert {type(value) for value in flags.values()} == {bool}
        assert module.merges == (RECIPES[recipe].merges and not gated)
        assert ("here" in vars(module)) == module.wants_context


def test_nothing_is_asked_by_guessing():
    """No getattr or hasattr with a name of the contract, anywhere in the library."""
    guesses = [
        f"{path.relative_to(PACKAGE)}:{node.lineno} {ast.unparse(node)}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr")
        if len(node.args) > 1 and isinstance(node.args[1], ast.Constant) and node.args[1].value in ASKED
    ]
    assert set("wants_norm fuses bind merged reads needs_bias frozen common act".split()) <= ASKED
    assert guesses == []


def test_merging_is_declared_by_doing_it():
    """A module can be merged where it says how; without that, being asked says what it is."""
    module = methods.Change()
    assert not module.merges
    with pytest.raises(NotImplementedError, match="a Change is not a change of the weights alone"):
        module.merged(torch.eye(2), None)


def test_what_is_shared_or_frozen_counts_once():
    """Neither the frozen module nor what the sites share is a part of a site's own module."""
    model = tiny.model("bert")
    adapters = Adapters(model)
    for name in ("dora", "compacter"):
        for modules in adapters.add(name, EVERY[name]).at.values():
            for module in modules:
                (outer,) = module.frozen or module.common
                assert isinstance(outer, nn.Module) and outer not in list(module.modules())
    assert len(find_sites(model)) and adapters.count("compacter") == EVERY["compacter"].total(adapters.sites)


@pytest.mark.parametrize("name", ["kadapter", "loreft"])
def test_a_copy_knows_of_its_own_pass(name):
    """The modules of a copied model read the copy's context, and a copy taken within a block is in none."""
    model = tiny.model("bert")
    adapters = Adapters(model)
    adapters.add("a", methods.LoReFTConfig(rank=2, first=1) if name == "loreft" else EVERY[name])
    batch = tiny.inputs(model)
    with adapters.use("a"):
        want = tiny.output(model, batch)
        twins = copy.deepcopy(adapters), pickle.loads(pickle.dumps(adapters))
    assert adapters.in_use("a") == ""
    for twin in twins:
        assert twin.active is None and twin.in_use("a") == "" and twin.here is not adapters.here
        with twin.use("a"):
            assert torch.equal(tiny.output(twin.model, batch), want)
            assert twin.in_use("a") == "this `with` block"
        twin.delete("a")


def test_in_use_says_where():
    """In this thread, also in an outer block, and in another one."""
    adapters = Adapters(tiny.model("bert"))
    for name in "ab":
        adapters.add(name, methods.LoRAConfig(rank=2))
    with adapters.use("a"), adapters.use("b"):
        with ThreadPoolExecutor(1) as thread:
            other = thread.submit(lambda: (adapters.active, adapters.in_use("a"))).result()
            with pytest.raises(UserError, match="in use in a `with` block of another thread"):
                thread.submit(adapters.delete, "a").result()
        assert [adapters.in_use(name) for name in "ab"] == ["this `with` block"] * 2
        with pytest.raises(UserError, match='"a" is in use in this `with` block; delete it after the block'):
            adapters.delete("a")
    assert other == (None, "a `with` block of another thread") and "a" in adapters
    assert adapters.in_use("a") == adapters.in_use("b") == ""
