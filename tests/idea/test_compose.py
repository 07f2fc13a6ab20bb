"""Composition by its laws: what a block of adapters is, compared with the same adapters run one by one."""

import copy
import math
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle

import pytest
import tiny
import torch
from recipes import EVERY
from tiny_bert import same_state, snapshot, tiny_bert, tokens
from torch.utils.checkpoint import checkpoint

from adapterlab import methods
from adapterlab.adapters import Adapters
from adapterlab.compose import Average, BatchSplit, Fuse, Parallel, Split, Stack, blocks, names
from adapterlab.errors import UserError
from adapterlab.methods.adapterdrop import drop_layers
from adapterlab.special import Held, countable

HEAD = methods.HeadConfig(labels=("no", "yes"))
HEADLESS = ("dora", "vera", "bitfit")  # here the model's own head answers
RECIPES = {
    "houlsby": (*methods.houlsby(4), HEAD),
    "head": (HEAD,),
    **{name: (config,) if name in HEADLESS else (config, HEAD) for name, config in EVERY.items()},
    "bottleneck": (methods.BottleneckConfig(size=4, act="swish"),),
    "loreft": (methods.LoReFTConfig(rank=2),),
    "invertible": (methods.InvertibleConfig(), *methods.houlsby(4)),
    "unipelt": (*methods.unipelt(size=4, rank=2, length=3), HEAD),
    "multiply": (methods.VariantConfig(size=4, place="multiply", depth=2, norm="layer"), HEAD),
}

TOGETHER = [
    Parallel("a", "b", "c"), BatchSplit("a", "b", "c", "a", "b", "c"), Fuse("a", "b", name="f"),
    Stack("c", Average("a", "b")), Split("a", "b", at=3), "a", "b", None,
]  # fmt: skip


def shake(adapters, *which, seed=5):
    """Weights that matter, as training would leave them."""
    g = torch.Generator().manual_seed(seed)
    for name in which or adapters:
        for p in adapters[name].parameters():
            p.data.add_(0.3 * torch.randn(p.shape, generator=g))


def trio(recipe, seed=0, **config):
    """A model with three adapters of one recipe and different weights."""
    adapters = Adapters(tiny_bert(seed, **config))
    for name in "abc":
        adapters.add(name, recipe)
    shake(adapters)
    return adapters


def run(adapters, setup, batch=None):
    with torch.no_grad(), adapters.use(setup):
        return adapters.model(**(batch or tokens(rows=6))).logits


def part(batch, rows):
    return {k: v[rows] for k, v in batch.items()}


BLOCKS = {"average": Average, "batch": BatchSplit, "parallel": Parallel, "split": Split, "fuse": Fuse}


def fits(recipe, block) -> bool:
    return all(block.__name__ in config.blocks for config in recipe)


def pytest_generate_tests(metafunc):
    """`three`: every recipe that the block in the test's name allows."""
    if "three" in metafunc.fixturenames:
        block = BLOCKS.get(metafunc.function.__name__.split("_")[1], Stack)
        metafunc.parametrize("three", [k for k, r in RECIPES.items() if fits(r, block)], indirect=True)


@pytest.fixture
def three(request):
    return trio(RECIPES[request.param])


@pytest.mark.parametrize("kind", [k for k, r in RECIPES.items() if not all(fits(r, b) for b in BLOCKS.values())])
def test_what_a_method_does_not_allow(kind):
    """It says why, and nothing has changed."""
    adapters = trio(RECIPES[kind])
    for block in BLOCKS.values():
        if not fits(RECIPES[kind], block):
            with pytest.raises(UserError, match=f'"a" is .*, which cannot be in {block.__name__}: .{{20}}'):
                if block is Fuse:
                    adapters.add_fusion("ab")
                adapters.activate(Split("a", "b", at=1) if block is Split else block("a", "b"))
    assert adapters.active is None and list(adapters) == ["a", "b", "c"]


def same(a, b):
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


# ---- the laws


def test_stack_of_one(three):
    assert torch.equal(run(three, Stack("a")), run(three, "a"))
    assert torch.equal(run(three, Stack(Stack("a", "b"), "c")), run(three, Stack("a", "b", "c")))
    assert not torch.equal(run(three, Stack("a", "b")), run(three, "a"))


def test_average(three):
    assert torch.equal(run(three, Average("a", "a")), run(three, "a"))
    assert torch.equal(run(three, Average("a", "b", weights=(1, 0))), run(three, "a"))
    assert torch.equal(run(three, Average("a", "b", weights=(0, 3))), run(three, "b"))
    assert torch.equal(run(three, Average("a", "b")), run(three, Average("a", "b", weights=(2, 2))))
    same(run(three, Average("a", "b", "c", weights=(1, 2, 1))), run(three, Average("b", Average("a", "c"))))


def test_average_is_the_mean_at_a_site():
    """Not 1/N too small, as in adapters 1.3.0."""
    adapters = trio(RECIPES["bottleneck"])
    x, y = torch.randn(2, 3, 16), torch.randn(2, 3, 16)
    a, b = (adapters[n].at["layers.1.feedforward"][0](x, y) for n in "ab")
    got = adapters.evaluate(Average("a", "b", weights=(3, 1)), "layers.1.feedforward", x, y)
    same(got, 0.75 * a + 0.25 * b)


def test_batch_split_is_separate_runs(three):
    batch = tokens(rows=6)
    got = run(three, BatchSplit("a", "b", "c", sizes=(1, 3, 2)))
    for name, rows in (("a", slice(0, 1)), ("b", slice(1, 4)), ("c", slice(4, 6))):
        same(got[rows], run(three, name, part(batch, rows)))
    mixed = run(three, BatchSplit("b", "a", "b", "c", "a", "c"))
    for name, rows in (("a", [1, 4]), ("b", [0, 2]), ("c", [3, 5])):
        same(mixed[rows], run(three, name, part(batch, rows)))
    assert torch.equal(run(three, BatchSplit(*["a"] * 6)), run(three, "a"))
    assert (run(three, "a") - run(three, "b")).abs().max() > 1e-3


def test_parallel_is_separate_passes(three):
    got = run(three, Parallel("a", "b", "c"))
    assert len(got) == 18
    for i, name in enumerate("abc"):
        same(got[6 * i : 6 * i + 6], run(three, name))
    assert list(three.answers(got, Parallel("a", "b", "c"))) == ["a", "b", "c"]


def test_split_of_equal_halves_is_the_whole(three):
    same(run(three, Split("a", "a", at=3)), run(three, "a"))
    assert torch.equal(run(three, Split("a", "b", at=99)), run(three, "a"))


def test_split_is_refused_where_the_first_position_is_not_the_first_token(three):
    batch = tokens(rows=2)
    batch["attention_mask"][0, 0] = 0
    with pytest.raises(UserError, match="Split counts from the text's start: pad on the right"):
        run(three, Stack("c", Split("a", "b", at=2)), batch)
    run(three, Stack("a", "b"), batch)
    with pytest.raises(UserError, match="use_cache=False"):
        countable(3, None)


def test_split_at_a_site():
    """Each child sees its own positions only, of x as well as of y."""
    adapters = trio((methods.VariantConfig(size=4, place="parallel"),))
    x, y = torch.randn(2, 7, 16), torch.randn(2, 7, 16)
    a, b, c = (adapters[n].at["layers.0.attention"][0](x, y) for n in "abc")
    got = adapters.evaluate(Split("a", "b", "c", at=(2, 5)), "layers.0.attention", x, y)
    same(got, torch.cat([a[:, :2], b[:, 2:5], c[:, 5:]], 1))


def test_fuse_of_one_is_the_one(three):
    """Up to the value matrix: exactly the identity when it is made the identity, 1e-6 beside the diagonal when new."""
    if set(three["a"].at) == {"head"}:
        with pytest.raises(UserError, match="nothing to fuse"):
            three.add_fusion(["a"], name="f")
        return
    head = HEAD.labels if "head" in three["a"].at else None
    fusion = three.add_fusion(["a"], name="f", head=head)
    if head:
        fusion.at["head"][-1].load_state_dict(three["a"].at["head"][-1].state_dict())
    torch.testing.assert_close(run(three, Fuse("a", name="f")), run(three, "a"), rtol=1e-3, atol=1e-3)
    for site, modules in fusion.at.items():
        if site != "head":
            modules[0].value.weight.data = torch.eye(modules[0].value.weight.shape[0])
    same(run(three, Fuse("a", name="f")), run(three, "a"))
    shake(three, "f")
    assert (run(three, "f") - run(three, "a")).abs().max() > 1e-2


def test_fusion_is_the_papers_formula():
    adapters = trio(RECIPES["bottleneck"])
    adapters.add_fusion("ab", seed=0)
    shake(adapters, "a,b")
    site, y = "layers.0.feedforward", torch.randn(2, 3, 16)
    (f,) = adapters["a,b"].at[site]
    z = torch.stack([adapters[n].at[site][0](y, y) - y for n in "ab"], 2)
    scores = torch.stack([(f.query(y) * f.key(z[:, :, t])).sum(-1) for t in range(2)], -1)
    weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
    want = y + sum(weights[..., t : t + 1] * (z[:, :, t] @ f.value.weight.T) for t in range(2))
    f.watch = True
    same(adapters.evaluate(Fuse("a", "b"), site, y, y), want)
    same(f.attention, weights)


def test_fusion_reads_what_its_adapters_read():
    """Pfeiffer's placement: a method that asks for the norm makes the query LN(y + x)."""
    adapters = trio(RECIPES["pfeiffer"])
    adapters.add_fusion("ab", seed=0)
    shake(adapters, "a,b")
    site, x, y, norm = "layers.0.feedforward", *torch.randn(2, 2, 3, 16), torch.nn.LayerNorm(16)
    z = [adapters[n].at[site][0](x, y, norm) - y for n in "ab"]
    same(adapters.evaluate(Fuse("a", "b"), site, x, y, norm), y + adapters["a,b"].at[site][0](norm(y + x), z))


def test_fusion_starts_as_the_paper_says():
    adapters = trio(RECIPES["houlsby"])
    fusion = adapters.add_fusion(["a", "b"])
    assert adapters.count("a,b") == sum(3 * 16 * 16 + 2 * 16 for _ in fusion.at) == 9 * 800
    for (f,) in fusion.at.values():
        assert torch.equal(f.value.weight.diagonal(), torch.ones(16))
        off = f.value.weight[~torch.eye(16, dtype=bool)]
        assert (off == 1e-6).all() and f.value.bias is None
        assert f.regularization().item() == pytest.approx(0.01 * 240 * 1e-12)
        f.value.weight.data.zero_()
        assert f.regularization().item() == pytest.approx(0.16)


def test_fusion_trains_alone():
    """The adapters stay frozen, every fusion parameter takes a gradient, and the attention tells them apart."""
    adapters = trio(RECIPES["houlsby"])
    adapters.add_fusion("abc", name="all", head=HEAD.labels)
    parameters = adapters.train("all")
    before = snapshot(adapters.model)
    adapters.model(**tokens(), labels=torch.tensor([0, 1, 0])).loss.backward()
    got = {n for n, p in adapters.model.named_parameters() if p.grad is not None and p.grad.any()}
    assert got == {n for n, _ in adapters.model.named_parameters() if n.startswith("adapterlab.all.")}
    assert len(got) == len(parameters)
    torch.optim.SGD(parameters, 0.1).step()
    moved = {k for k, v in adapters.model.state_dict().items() if not torch.equal(v, before[k])}
    assert moved == got


# ---- heads


def heads(rows=4):
    adapters = Adapters(tiny_bert())
    for name, labels in {"two": "ab", "three": "abc", "one": "x"}.items():
        adapters.add(name, (*methods.houlsby(4), methods.HeadConfig(labels=tuple(labels))))
    shake(adapters)
    return adapters, tokens(rows=rows)


@pytest.mark.parametrize("setup", [Parallel("two", "three", "one"), BatchSplit("two", "three", "one", "three")])
def test_every_adapter_answers_with_its_own_head(setup):
    """Logits as wide as the widest, -inf where a head has no such label; `answers` cuts them again."""
    adapters, batch = heads()
    logits = run(adapters, setup, batch)
    assert logits.shape[1] == 3 and not logits.isnan().any()
    got = adapters.answers(logits, setup)
    widths = {"two": 2, "three": 3, "one": 1}
    for name, width in widths.items():
        alone = run(adapters, name, batch)
        rows = range(4) if isinstance(setup, Parallel) else [i for i, c in enumerate(setup.children) if c == name]
        assert got[name].shape == (len(rows), width)
        same(got[name], alone[list(rows)])
    assert int((logits == -math.inf).sum()) == (4 * 3 if isinstance(setup, Parallel) else 3)
    same(logits.softmax(-1).sum(-1), torch.ones(len(logits)))


def test_answers_of_a_stack_and_of_blocks_in_blocks():
    adapters, batch = heads()
    adapters.add("base", methods.houlsby(4))
    shake(adapters, "base", seed=1)
    setup = Stack("base", Parallel("two", "three"))
    got = adapters.answers(run(adapters, setup, batch), setup)
    for name in ("two", "three"):
        same(got[name], run(adapters, Stack("base", name), batch))
    setup = Parallel("one", BatchSplit("two", "three", sizes=(1, 3)))
    got = adapters.answers(run(adapters, setup, batch), setup)
    same(got["one"], run(adapters, "one", batch))
    same(got["three"], run(adapters, "three", batch)[1:])
    same(got["two"], run(adapters, "two", batch)[:1])
    with adapters.use("two"):
        assert list(adapters.answers(run(adapters, "two", batch))) == ["two"]


def test_heads_that_do_not_fit():
    adapters, _ = heads()
    for block in (Average("two", "three"), Split("two", "three", at=1), Stack("two", Average("one", "three"))):
        with pytest.raises(UserError, match="heads differ"):
            adapters.activate(block)
    assert adapters.active is None


# ---- what is refused, with the reason


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stack(), "at least one"),
        (lambda: Stack("a", 3), "not 3"),
        (lambda: Stack("a", None), "not None"),
        (lambda: Fuse("a", Average("b", "c")), "not over Average"),
        (lambda: Average("a", Parallel("b", "c")), "Parallel cannot stand in Average"),
        (lambda: BatchSplit("a", Stack("b", Parallel("c"))), "Parallel cannot stand in BatchSplit"),
        (lambda: Parallel("a", Parallel("b", "c")), "Parallel cannot stand in Parallel"),
        (lambda: Stack(Parallel("a", "b"), Stack("c", Parallel("a", "b"))), "at most one Parallel"),
        (lambda: Parallel("a", "a"), "twice"),
        (lambda: Average("a", "b", weights=(1,)), "has 1 weights"),
        (lambda: Average("a", "b", weights=(0, 0)), "not all 0"),
        (lambda: Average("a", "b", weights=(2, -1)), "none below 0"),
        (lambda: Average("a", "b", weights=(1, math.nan)), "finite"),
        (lambda: Split("a", "b", at=(1, 2)), "must name the 1 tokens"),
        (lambda: Split("a", "b", "c", at=(4, 2)), "must rise"),
        (lambda: Split("a", "b", at=0), "must rise"),
        (lambda: BatchSplit("a", "b", sizes=(1,)), "rows of each"),
        (lambda: BatchSplit("a", "b", sizes=(1, 0)), "rows of each"),
    ],
)
def test_no_such_block(make, message):
    with pytest.raises(UserError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_no_such_setup():
    adapters = trio(RECIPES["bottleneck"])
    adapters.activate("a")
    adapters.add_fusion("ab")
    for wrong, message in (
        (Stack("a", Split("b", "d", at=1)), 'no adapter "d"'),
        (["a", "b"], "is no setup"),
        (Fuse("a", "c"), "make it with add_fusion"),
        (Fuse("a", "b", name="c"), '"c" is no fusion'),
    ):
        with pytest.raises(UserError, match=message):
            adapters.activate(wrong)
        with pytest.raises(UserError, match=message), adapters.use(wrong):
            pass
    with pytest.raises(UserError, match="a fusion itself"):
        adapters.add_fusion(["a", "a,b"])
    with pytest.raises(UserError, match="already"):
        adapters.add_fusion("ab")
    assert adapters.active == "a" and list(adapters) == ["a", "b", "c", "a,b"]


def test_wrong_number_of_rows():
    adapters = trio(RECIPES["houlsby"])
    with pytest.raises(UserError, match="the batch has 6 rows and BatchSplit.* is for 4"):
        run(adapters, BatchSplit("a", "b", sizes=(2, 2)))
    with pytest.raises(UserError, match="call the model, not a part of it"), adapters.use(Parallel("a", "b")):
        adapters.model.bert(**tokens())
    same(run(adapters, Parallel("a", "b"))[:6], run(adapters, "a"))


def test_parallel_does_not_generate():
    adapters = Adapters(tiny.model("gpt2, generating"))
    for name in "ab":
        adapters.add(name, methods.BottleneckConfig(size=4))
    ids = torch.randint(3, 60, (2, 4), generator=torch.Generator().manual_seed(0))
    settings = dict(max_new_tokens=3, do_sample=False, pad_token_id=0, attention_mask=torch.ones_like(ids))
    shake(adapters)
    texts = []
    for setup in ("a", "b", BatchSplit("a", "b")):
        with adapters.use(setup):
            texts.append(adapters.model.generate(ids, **settings))
    a, b, mixed = texts
    assert torch.equal(mixed[0], a[0]) and torch.equal(mixed[1], b[1])
    with adapters.use(Parallel("a", "b")), pytest.raises(UserError, match="cannot generate"):
        adapters.model.generate(ids, **settings)


# ---- on every family


@pytest.mark.parametrize("case", [c for c in tiny.CASES if c != "clip"])
def test_rows_on_every_family(case):
    """Rows of BatchSplit are separate runs and Parallel is separate passes, where rows are flattened too (OPT)."""
    model = tiny.model(case)
    adapters, batch = Adapters(model), tiny.inputs(model)
    for name in "ab":
        adapters.add(name, methods.BottleneckConfig(size=4))
    shake(adapters)
    with torch.no_grad():
        outputs = []
        for setup in ("a", "b", BatchSplit("b", "a"), Parallel("a", "b")):
            with adapters.use(setup):
                output = model(**batch)
                outputs.append(output.logits if "logits" in output else output[0])
    *alone, mixed, both = outputs
    assert (alone[0] - alone[1]).abs().max() > 1e-4
    same(mixed, torch.stack([alone[1][0], alone[0][1]]))
    same(both, torch.cat(alone))


# ---- threads, copies, life cycle


def test_threads_with_different_setups():
    """Each with an adapter or a composition of its own, or with none, on one model at the same time."""
    adapters = trio(RECIPES["houlsby"])
    adapters.add_fusion("ab", name="f", head=HEAD.labels, seed=1)
    alone = [run(adapters, setup) for setup in TOGETHER]
    start = threading.Barrier(len(TOGETHER))

    def right(setup, want):
        start.wait()
        return all(torch.equal(run(adapters, setup), want) for _ in range(30))

    with ThreadPoolExecutor(len(TOGETHER)) as threads:
        assert all(threads.map(right, TOGETHER, alone))


def gradients(adapters, setups, kwargs=None, dropped=0):
    """Of every adapter, after a pass with each setup, and one backward pass, outside of them and in another thread."""
    model = adapters.model.train()
    adapters.freeze()
    adapters.store.requires_grad_(True)
    if kwargs:
        model.gradient_checkpointing_enable(kwargs)
    loss = 0
    for seed, setup in enumerate(setups):
        torch.manual_seed(seed)
        with adapters.use(setup), drop_layers(adapters, dropped * (seed % 2)):
            logits = model(**tokens(rows=6, seed=seed)).logits
            loss = loss + logits.masked_fill(logits.isinf(), 0).square().mean()
    with ThreadPoolExecutor(1) as thread:  # as torch does on a GPU
        thread.submit(loss.backward).result()
    return {n: torch.zeros(()) if p.grad is None else p.grad for n, p in adapters.store.named_parameters()}


@pytest.mark.parametrize(("kind", "reentrant"), list(zip([*RECIPES, "compositions", "dropped"], cycle([True, False]))))
def test_checkpointed_gradients_are_the_same(kind, reentrant):
    """A layer is recomputed with what its pass had: setup, rows, context, layers left out; and detach takes it off."""

    def made():
        torch.manual_seed(0)
        adapters = trio(RECIPES.get(kind, RECIPES["houlsby"]))
        if kind == "compositions":
            adapters.add_fusion("ab", name="f", head=HEAD.labels, seed=1)
        return adapters

    setups = TOGETHER if kind == "compositions" else ["a", "b", None]
    dropped = int(kind == "dropped")
    want = gradients(made(), setups, dropped=dropped)
    adapters = made()
    got = gradients(adapters, setups, {"use_reentrant": reentrant}, dropped)
    assert got.keys() == want.keys() and all(map(torch.equal, got.values(), want.values()))
    assert sum(bool(g.any()) for g in got.values()) > 1
    functions = {vars(m).get("_gradient_checkpointing_func") for m in adapters.detach().modules()}
    assert not any(isinstance(function, Held) for function in functions)


@pytest.mark.parametrize("reentrant", [True, False])
def test_a_held_function_runs_as_it_did(reentrant):
    """torch's own checkpoint, of the whole model: backward finds the setup of each pass, though none is active."""
    adapters, got = trio(RECIPES["houlsby"]), []
    words = adapters.model.get_input_embeddings()(tokens()["input_ids"]).detach().requires_grad_()
    for wrap in (adapters.hold, None):
        loss = 0
        for setup in ("a", Stack("b", "c")):
            with adapters.use(setup):
                call = lambda x: adapters.model(inputs_embeds=x).logits.square().sum()  # noqa: E731
                loss = loss + (checkpoint(wrap(call), words, use_reentrant=reentrant) if wrap else call(words))
        adapters.model.zero_grad()
        loss.backward()
        got.append([p.grad.clone() for p in adapters.store.parameters() if p.grad is not None])
    assert len(got[0]) == len(got[1]) and all(map(torch.equal, *got))


def test_delete_of_a_part(three):
    if all("Fuse" in c.blocks for c in three["a"].info.recipe) and set(three["a"].at) != {"head"}:
        three.add_fusion("ab", name="f")
        with pytest.raises(UserError, match='the fusion "f" attends over "a"'):
            three.delete("a")
        three.activate("f")
        three.delete("f")
        assert three.active is None
    three.activate(Stack("a", "b"))
    with pytest.raises(UserError, match=r'"a" is part of the active Stack'):
        three.delete("a")
    assert three.active == Stack("a", "b") and "a" in three
    three.delete("c")
    three.activate(None)
    three.delete("a")
    assert list(three) == ["b"]


def test_train_in_company():
    adapters = trio(RECIPES["houlsby"])
    parameters = adapters.train("b", within=Stack("a", "b"))
    assert adapters.active == Stack("a", "b")
    assert {n.split(".")[1] for n, p in adapters.model.named_parameters() if p.requires_grad} == {"b"}
    assert len(parameters) == len(list(adapters["b"].parameters()))
    with pytest.raises(UserError, match="does not use"):
        adapters.train("c", within=Stack("a", "b"))
    assert adapters.active == Stack("a", "b")


def test_blocks_are_plain_data():
    setup = Stack("a", Average("b", Split("c", "a", at=2), weights=(1, 3)))
    assert setup == Stack("a", Average("b", Split("c", "a", at=(2,)), weights=(2, 6)))
    assert setup != Stack("a", Average("b", Split("c", "a", at=2)))
    assert len({setup, copy.deepcopy(setup), pickle.loads(pickle.dumps(setup))}) == 1
    assert eval(repr(setup)) == setup and eval(repr(Fuse("a", "b"))) == Fuse("a", "b")
    assert names(setup) == ["a", "b", "c"] and [type(b) for b in blocks(setup)] == [Stack, Average, Split]
    with pytest.raises(AttributeError):
        setup.children = ()
    assert Stack("a") != Parallel("a") and Fuse("a", "b").name == "a,b"


def test_bfloat16():
    adapters = trio(RECIPES["houlsby"])
    for setup in (Parallel("a", "b", "c"), BatchSplit(*"abcabc"), Stack("a", Average("b", "c"))):
        full = run(adapters, setup)
        adapters.model.to(torch.bfloat16)
        for p in adapters.store.parameters():
            p.data = p.data.float()
        assert run(adapters, setup).dtype == torch.bfloat16
        torch.testing.assert_close(run(adapters, setup).float(), full, rtol=0.1, atol=0.15)
        adapters = trio(RECIPES["houlsby"])


def test_what_is_merged_is_in_no_composition():
    """It is in the weights, and would be there twice: a merge ends the composition, and no other one takes it."""
    adapters = trio(RECIPES["lora"])
    state = snapshot(adapters.model)
    with adapters.use(Stack("a", "b")), pytest.raises(UserError, match="in use"):
        adapters.merge("b")
    assert same_state(adapters.model.state_dict(), state)
    adapters.activate(Parallel("a", "b"))
    adapters.merge("a")
    assert adapters.active is None
    for call in (lambda: adapters.activate(Stack("a", "b")), lambda: adapters.combine("d", ["a", "b"])):
        with pytest.raises(UserError, match="is merged into the weights"):
            call()
    adapters.unmerge()
    adapters.combine("d", ["a", "b"])
