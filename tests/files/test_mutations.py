"""Five hundred ways to damage an adapter on disk: each is refused in a sentence or loads exactly, and nothing else."""

import hashlib
import json
import random
import shutil
import struct
import time
from pathlib import Path

import pytest
import torch
from damage import CONFIG, TENSORS, resave, sign
from safetensors.torch import load_file
from tiny_bert import hooks, same_state, snapshot, tiny_bert

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.methods import CompacterConfig, LoRAConfig, houlsby

COUNT, SECONDS = 500, 60
ODD = (None, True, 0, -1, 1e308, 10**30, "", "../../x", "/etc/passwd", "a\x00b", "..", [], {}, [[]], [None], {"a": 1})
PATHS = ("../up", "/abs", "a/../../b", "..\\..\\x", "C:\\x", "a\x00b", ".", "..", "a/b", "", "con", "x" * 5000)


# each: (rng, folder) -> what was done; a "signed" one makes the checksum right again, so that it is not what saves us


def truncated(rng, folder):
    path = folder / rng.choice((TENSORS, CONFIG))
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(len(data))])


def bits(rng, folder):
    path = folder / rng.choice((TENSORS, TENSORS, CONFIG))
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 5))):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def header_bits_signed(rng, folder):
    data = bytearray((folder / TENSORS).read_bytes())
    size = struct.unpack("<Q", data[:8])[0]
    for _ in range(rng.choice((1, 2))):
        data[rng.randrange(8 + size)] ^= 1 << rng.randrange(8)
    sign(folder, bytes(data))


def signed(change):
    """A change of the tensors, one of which is `key`; the checksum is made right again."""

    def mutate(rng, folder):
        tensors = load_file(folder / TENSORS)
        change(rng, tensors, rng.choice([key for key in sorted(tensors) if tensors[key].numel() > 1]))
        resave(folder, {key: tensor.contiguous().clone() for key, tensor in tensors.items()})

    mutate.__name__ = change.__name__
    return mutate


@signed
def values(rng, tensors, key):
    """Other finite numbers with a right checksum are another adapter, not a damaged one: that loads as it stands."""
    tensors[key] = tensors[key] + rng.random()


@signed
def not_finite(rng, tensors, key):
    tensors[key].view(-1)[rng.randrange(tensors[key].numel())] = rng.choice((float("nan"), float("inf"), -float("inf")))


@signed
def renamed(rng, tensors, key):
    tensors[rng.choice((*PATHS, key + "x", key[:-1], key.upper())).replace("\x00", "") or "x"] = tensors.pop(key)


@signed
def swapped(rng, tensors, key):
    other = rng.choice(sorted(tensors.keys() - {key}))
    tensors[key], tensors[other] = tensors[other], tensors[key]


@signed
def reshaped(rng, tensors, key):
    t = tensors[key]
    rows = t.repeat(2, *[1] * (t.ndim - 1))
    turned = t.mT if t.ndim > 1 else t.flip(0)[:-1]
    tensors[key] = rng.choice((t.reshape(-1), t.reshape(1, *t.shape), t.flatten()[:-1], rows, t.new_zeros(0), turned))


@signed
def retyped(rng, tensors, key):
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.uint8)
    tensors[key] = tensors[key].to(rng.choice(kinds))


@signed
def dropped(rng, tensors, key):
    for name in rng.choice(([key], [key, min(tensors.keys() - {key})], list(tensors))):
        tensors.pop(name)


def huge_header_signed(rng, folder):
    data = (folder / TENSORS).read_bytes()
    size = rng.choice((2**63, 2**40, len(data) * 2, 100_000_001, 0, 1))
    sign(folder, struct.pack("<Q", size) + data[8:])


def wild_header_signed(rng, folder):
    """A header that is JSON and lies: offsets beyond the file, overlapping, negative; unknown types; huge shapes."""
    data = (folder / TENSORS).read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    key = rng.choice([k for k in header if k != "__metadata__"])
    field, value = rng.choice((
        ("data_offsets", [0, 10**15]), ("data_offsets", [8, 0]), ("data_offsets", [-4, 4]), ("data_offsets", [0]),
        ("data_offsets", "all"), ("data_offsets", [0.5, 8.5]), ("dtype", "F99"), ("dtype", 3), ("shape", [2**62, 2**62]),
        ("shape", [-1]), ("shape", [10**9, 10**9]), ("shape", "x"), ("shape", [[1]]), ("shape", [0]),
    ))  # fmt: skip
    header[key][field] = value
    packed = json.dumps(header).encode()
    sign(folder, struct.pack("<Q", len(packed)) + packed + data[8 + size :])


def json_value(rng, folder):
    """Any value anywhere in the JSON becomes something odd."""
    config = json.loads((folder / CONFIG).read_text())
    owner, key = rng.choice(list(places(config)))
    owner[key] = rng.choice(ODD)
    (folder / CONFIG).write_text(json.dumps(config))


def json_key(rng, folder):
    config = json.loads((folder / CONFIG).read_text())
    owner, key = rng.choice([(o, k) for o, k in places(config) if isinstance(o, dict)])
    value = owner.pop(key)
    if rng.random() < 0.5:
        owner[rng.choice((str(key) + "x", str(key).upper(), *PATHS))] = value
    (folder / CONFIG).write_text(json.dumps(config))


def json_text(rng, folder):
    text = (folder / CONFIG).read_text()
    deep, odd = ('{"a":' * 5000, "[" * 100_000), ("\\ud800", "//", "'", "\x00", "\ufeff" + text)
    wild = ("NaN", "Infinity", "-1e999", "1" * 5000, *deep, *odd, "null", "[]", "3", '"x"')
    (folder / CONFIG).write_text(
        rng.choice((rng.choice(wild), text.replace(": 4", ": " + rng.choice(wild), 1))), errors="surrogatepass"
    )


def paths(rng, folder):
    """Names that would leave the folder, as the adapter's name, a site's or a method's."""
    config, bad = json.loads((folder / CONFIG).read_text()), rng.choice(PATHS)
    where = rng.randrange(4)
    if where == 0:
        config["name"] = bad
    elif where == 1:
        config["recipe"][0]["sites"] = [bad]
    elif where == 2:
        config["recipe"][0]["method"] = bad
    else:
        config["base"]["name"] = bad
    (folder / CONFIG).write_text(json.dumps(config))


def files(rng, folder):
    """A file that is missing, a folder, a link, or the other file."""
    path = folder / rng.choice((TENSORS, CONFIG))
    way = rng.randrange(4)
    if way == 3:
        shutil.copy(folder / (CONFIG if path.name == TENSORS else TENSORS), path)
        return
    path.unlink()
    if way == 1:
        path.mkdir()
    if way == 2:
        path.symlink_to(rng.choice(("/dev/null", "/nonexistent", str(path))))


MUTATIONS = [
    truncated, bits, bits, header_bits_signed, values, not_finite, renamed, swapped, reshaped,
    retyped, dropped, huge_header_signed, wild_header_signed, json_value, json_value, json_value, json_key,
    json_text, paths, files,
]  # fmt: skip


def places(node):
    """(container, key) of every value in a JSON tree."""
    for key, value in list(node.items() if isinstance(node, dict) else enumerate(node)):
        yield node, key
        if isinstance(value, dict | list):
            yield from places(value)


RECIPES = {"houlsby": houlsby(4), "lora": LoRAConfig(rank=2), "compacter": CompacterConfig(size=4, n=2)}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    root = tmp_path_factory.mktemp("originals")
    adapters = Adapters(tiny_bert())
    for i, (name, recipe) in enumerate(RECIPES.items()):
        adapters.add(name, recipe, head=("no", "yes"), seed=i, task="toy")
        adapters.save(name, root / name)
    return root


def test_mutations(originals, tmp_path):
    rng, model = random.Random(0), tiny_bert()
    adapters = Adapters(model)
    state, count, seed = snapshot(model), hooks(model), torch.get_rng_state()
    outcome, slowest, started = {"refused": 0, "loaded": 0}, 0.0, time.process_time()
    for i in range(COUNT):
        kind = MUTATIONS[i % len(MUTATIONS)]
        folder = tmp_path / f"{i}"
        shutil.copytree(originals / rng.choice(list(RECIPES)), folder)
        kind(rng, folder)
        tick = time.process_time()
        try:
            name = adapters.load(folder, rng.choice((None, "given")))
        except UserError as error:
            outcome["refused"] += 1
            assert "\n" not in str(error) and 10 < len(str(error)) < 6000, (i, kind.__name__, str(error)[:200])
        else:
            outcome["loaded"] += 1
            loaded_exactly(adapters, name, folder, (i, kind.__name__))
            adapters.delete(name)
        slowest = max(slowest, time.process_time() - tick)
        assert list(adapters) == [] and hooks(model) == count, (i, kind.__name__)
        assert torch.equal(torch.get_rng_state(), seed)
        shutil.rmtree(folder)
        if i % 25 == 24:
            assert same_state(model.state_dict(), state), i
    assert sorted(p.name for p in tmp_path.iterdir()) == []
    assert outcome["refused"] > 350 and outcome["loaded"] > 20, outcome
    assert slowest < 5 and time.process_time() - started < SECONDS, (slowest, time.process_time() - started)


def loaded_exactly(adapters, name, folder: Path, what):
    """What loads is bit for bit what the file says, in the precision that the adapter has, at the sites it names."""
    stored, config = load_file(folder / TENSORS), json.loads((folder / CONFIG).read_text())
    state = adapters[name].state_dict()
    assert set(state) == set(stored), what
    for key, value in state.items():
        assert torch.equal(value, stored[key].to(value.dtype)) and value.isfinite().all(), (what, key)
        assert value.shape == stored[key].shape
    assert hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest() == config["sha256"], what
    again = json.loads(json.dumps(adapters[name].info.to_dict()["recipe"]))
    for ours, theirs in zip(again, config["recipe"], strict=True):
        assert all(ours[key] == value for key, value in theirs.items()), (what, ours, theirs)


def test_an_unharmed_one_loads(originals):
    """So that the test above cannot pass by refusing everything."""
    adapters = Adapters(tiny_bert())
    for name in RECIPES:
        loaded_exactly(adapters, adapters.load(originals / name), originals / name, name)
