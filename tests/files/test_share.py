"""Handing an adapter on: a zip and a Hub that are what they should be, and those that are not."""

import base64
import hashlib
import json
import shutil
import stat
import struct
import threading
import time
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

import pytest
from refused import refused
from tiny_bert import same_state, snapshot, tiny_bert

from adapterlab.adapters import Adapters
from adapterlab.errors import UserError
from adapterlab.files import share
from adapterlab.methods import LoRAConfig, houlsby


@pytest.fixture
def adapters():
    made = Adapters(tiny_bert())
    made.add("a", houlsby(4), head=("no", "yes"), seed=1, task="toy")
    made.add("lora", LoRAConfig(rank=2), seed=2)
    for p in made["lora"].parameters():
        p.data.add_(0.1)
    return made


def same(adapters, one, other):
    return same_state(adapters[one].state_dict(), adapters[other].state_dict())


def both_ways(adapters, repo, tmp_path, **where):
    """A push and a fetch, to be called."""
    return partial(share.push, adapters, "lora", repo, **where), partial(share.fetch, repo, tmp_path / "x", **where)


# ---- a folder, in every format


@pytest.mark.parametrize("form", ["adapterlab", "peft", "adapterhub"])
def test_a_folder_is_written_whole_or_not_at_all(adapters, tmp_path, form):
    """What is there stays, unless it is an adapter's or empty and overwrite=True is said; no remnant beside it."""
    folder, wrong = share.write(adapters, "lora", tmp_path / "lora", form), partial(share.write, adapters, form=form)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "empty").mkdir()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "x").write_text("years")
    bias = adapters["lora"].at["layers.0.query"][0].B.data
    for name, target, overwrite, message in (
        ("lora", folder, False, "is there already"),
        ("lora", tmp_path / "empty", False, "is there already.*overwrite=True"),
        ("lora", tmp_path / "thesis", True, "is not an adapter's folder and will not be overwritten"),
        ("lora", tmp_path / "thesis" / "x", True, "is not an adapter's folder"),
        ("lora", tmp_path / "thesis" / "x" / "a", False, "cannot write the adapter"),
        ("lora", tmp_path / "thesis" / "x" / "deep" / "a", False, "cannot write the adapter"),
        ("none", tmp_path / "none", False, 'no adapter "none"'),
    ):
        with refused(adapters, message):
            wrong(name, target, overwrite=overwrite)
    bias[0, 0] = float("nan")
    with pytest.raises(UserError, match="not finite"):
        wrong("lora", folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    bias[0, 0] = 7
    for target in (folder, tmp_path / "empty"):
        name = share.read(adapters, wrong("lora", target, overwrite=True), f"from {target.name}")
        assert same(adapters, "lora", name)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.parent not in (folder, tmp_path / "empty")) == [
        "empty", "lora", "thesis", "thesis/x",
    ]  # fmt: skip


# ---- a zip


@pytest.mark.parametrize("form", ["adapterlab", "peft", "adapterhub"])
def test_zip_there_and_back(adapters, tmp_path, form):
    path = share.pack(adapters, "lora", tmp_path / "lora.zip", form)
    assert share.pack(adapters, "lora", tmp_path / "again.zip", form).read_bytes() == path.read_bytes()
    folder = share.unpack(path, tmp_path / "unpacked")
    name = share.read(adapters, folder, "back")
    assert name == "back" and same(adapters, "lora", "back")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.zip", "lora.zip", "unpacked"]


@pytest.mark.parametrize("slash", ["/", "\\"])
def test_a_zip_from_a_file_manager(adapters, tmp_path, slash):
    """One folder around everything, what the system adds by itself, and PowerShell 5's backslashes."""
    folder = adapters.save("a", tmp_path / "mine")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(f"mine{slash}", b"")
        for file in folder.iterdir():
            archive.writestr(f"mine{slash}{file.name}", file.read_bytes())
            archive.writestr(f"__MACOSX{slash}mine{slash}._{file.name}", b"junk")
        archive.writestr(f"mine{slash}.DS_Store", b"junk")
    got = share.unpack(tmp_path / "x.zip", tmp_path / "got")
    assert sorted(p.name for p in got.iterdir()) == sorted(share.OURS)
    adapters.load(got, "b")
    assert same(adapters, "a", "b")


def test_existing_files_are_kept(adapters, tmp_path):
    path = share.pack(adapters, "a", tmp_path / "a.zip")
    before = path.read_bytes()
    with pytest.raises(UserError, match="is there already"):
        share.pack(adapters, "lora", path)
    assert path.read_bytes() == before
    share.pack(adapters, "lora", path, overwrite=True)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "x").write_text("years")
    with pytest.raises(UserError, match="will not be overwritten"):
        share.unpack(path, tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "x").read_text() == "years"
    with pytest.raises(UserError, match="cannot write"):
        share.pack(adapters, "a", path / "b.zip")
    with pytest.raises(UserError, match="no adapter"):
        share.pack(adapters, "b", tmp_path / "b.zip")
    with pytest.raises(UserError, match="cannot hold"):
        share.pack(adapters, "a", tmp_path / "b.zip", "peft")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "thesis"]


def link(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info, target


HOSTILE = {
    "a path up": [("../adapter.json", b"{}")],
    "a path up, in a folder": [("a/../../adapter.json", b"{}")],
    "an absolute path": [("/adapter.json", b"{}")],
    "a drive": [("C:/adapter.json", b"{}")],
    "backslashes": [("..\\adapter.json", b"{}")],
    "a drive and backslashes": [("C:\\mine\\adapter.json", b"{}")],
    "a share": [("\\\\server\\adapter.json", b"{}")],
    "backslashes deep": [("a\\..\\..\\adapter.json", b"{}")],
    "dots": [("../adapter.json", b"{}"), ("adapter.json", b"{}")],
    "deep": [("a/b/adapter.json", b"{}")],
    "two folders": [("a/adapter.json", b"{}"), ("b/adapter.safetensors", b"")],
    "another file": [("adapter.json", b"{}"), ("run.py", b"import os")],
    "a pickle": [("adapter.json", b"{}"), ("pytorch_adapter.bin", b"x")],
    "twice": [("adapter.json", b"{}"), ("adapter.json", b"[]")],
    "a link": [link("adapter.json", "/etc/passwd")],
    "a linked folder": [link("a", "/etc"), ("a/adapter.json", b"{}")],
    "nothing": [],
    "only junk": [("__MACOSX/adapter.json", b"{}")],
    "many": [(f"__MACOSX/{i}", b"") for i in range(101)],
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives(tmp_path, case):
    """Refused in a sentence; nothing is anywhere, inside or outside."""
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in" / "x.zip", "w") as archive:
        for name, content in HOSTILE[case]:
            archive.writestr(name, content)
    with pytest.raises(UserError) as caught:
        share.unpack(tmp_path / "in" / "x.zip", tmp_path / "in" / "got")
    assert "\n" not in str(caught.value)
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*"))] == ["in", "in/x.zip"]


def test_bombs(tmp_path, monkeypatch):
    """Too large by its table, and one whose table lies: stopped while it is read, not after."""
    monkeypatch.setattr(share, "MAX_BYTES", 10_000_000)
    with zipfile.ZipFile(tmp_path / "honest.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("adapter.safetensors", bytes(50_000_000))
    with pytest.raises(UserError, match="would unpack to more than 10,000,000 bytes"):
        share.unpack(tmp_path / "honest.zip", tmp_path / "got")
    data = bytearray((tmp_path / "honest.zip").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(mark) + offset
        data[at : at + 4] = struct.pack("<I", 100)
    (tmp_path / "lying.zip").write_bytes(data)
    start = time.process_time()
    with pytest.raises(UserError, match="more than it says|damaged|no zip file"):
        share.unpack(tmp_path / "lying.zip", tmp_path / "got")
    assert time.process_time() - start < 1
    with zipfile.ZipFile(tmp_path / "two.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("adapter.safetensors", bytes(9_000_000))
        archive.writestr("adapter.json", bytes(9_000_000))
    with pytest.raises(UserError, match="would unpack to more"):
        share.unpack(tmp_path / "two.zip", tmp_path / "got")
    assert not (tmp_path / "got").exists()


def test_damaged_archives(adapters, tmp_path):
    data = share.pack(adapters, "a", tmp_path / "a.zip").read_bytes()
    for i in range(0, len(data), max(1, len(data) // 150)):
        broken = bytearray(data)
        broken[i] ^= 0xFF
        for damaged in (bytes(broken), data[:i]):
            (tmp_path / "x.zip").write_bytes(damaged)
            try:
                folder = share.unpack(tmp_path / "x.zip", tmp_path / "got")
            except UserError as error:
                assert "\n" not in str(error)
                assert not (tmp_path / "got").exists()
                continue
            try:  # a byte that no checksum covers, a date for instance
                adapters.load(folder, "b")
                assert same(adapters, "a", "b")
                adapters.delete("b")
            except UserError:
                pass
            shutil.rmtree(folder)
    with pytest.raises(UserError, match="there is no file"):
        share.unpack(tmp_path / "nothing.zip", tmp_path / "got")


def test_a_password(adapters, tmp_path):
    data = bytearray(share.pack(adapters, "a", tmp_path / "a.zip").read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = 0
        while (at := data.find(mark, at)) >= 0:
            data[at + offset] |= 1
            at += 4
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(UserError, match="password"):
        share.unpack(tmp_path / "x.zip", tmp_path / "got")


# ---- a Hub on this machine


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub's interface as pushing and pulling uses; `server.files` is the repository."""

    def log_message(self, *args):
        pass

    def answer(self, data, status=200, headers=(), body=True):
        packed = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for key, value in (("Content-Length", str(len(packed))), *headers):
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(packed)

    def do_POST(self):
        path, server = urlparse(self.path).path, self.server
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        server.seen.append((path, self.headers.get("Authorization")))
        if server.status:
            return self.answer({"error": "no"}, server.status)
        if path == "/api/repos/create":
            return self.answer({"url": f"{server.url}/me/my-adapter", "name": "me/my-adapter", "id": "1"})
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if "/preupload/" in path:
            asked = json.loads(body)["files"]
            return self.answer(
                {"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in asked]}
            )
        if "/commit/" in path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    server.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            return self.answer(
                {"success": True, "commitUrl": f"{server.url}/me/my-adapter/commit/1", "commitOid": "1" * 40}
            )
        return self.answer({"error": path}, 404)

    def do_GET(self, body=True):
        path, server = unquote(urlparse(self.path).path), self.server
        server.seen.append((path, self.headers.get("Authorization")))
        if server.status:
            return self.answer({"error": "no"}, server.status, body=body)
        if "/tree/" in path:
            files = [{"type": "file", "path": k, "size": len(v), "oid": "0" * 40} for k, v in server.files.items()]
            return self.answer(files, body=body)
        if path.startswith("/api/models/"):
            files = [{"rfilename": k, "size": server.sizes.get(k, len(v))} for k, v in server.files.items()]
            return self.answer({"id": "me/my-adapter", "sha": "1" * 40, "siblings": files}, body=body)
        name = path.split("/resolve/", 1)[-1].split("/", 1)[-1]
        if name not in server.files:
            return self.answer({"error": name}, 404, [("X-Error-Code", "EntryNotFound")], body=body)
        data = server.files[name]
        headers = [("X-Repo-Commit", "1" * 40), ("ETag", f'"{hashlib.sha256(data).hexdigest()}"')]
        return self.answer(data, headers=headers, body=body)

    def do_HEAD(self):
        self.do_GET(body=False)


@pytest.fixture
def hub(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.files, server.sizes, server.seen, server.status = {}, {}, [], None
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("form", ["adapterlab", "peft"])
def test_push_and_pull(adapters, hub, form):
    where = dict(endpoint=hub.url, token="hf_x")
    url = share.push(adapters, "lora", "me/my-adapter", form=form, **where)
    assert url.endswith("/me/my-adapter/commit/1")
    assert set(hub.files) == set(share.OURS if form == "adapterlab" else share.SAFE[2:5])
    assert {auth for _, auth in hub.seen} <= {"Bearer hf_x", None} and hub.seen
    hub.files |= {"run.py": b"import os", "../evil": b"x", "sub/adapter.json": b"{}", "pytorch_adapter.bin": b"x"}
    assert share.pull(adapters, "me/my-adapter", "back", **where) == "back"
    assert same(adapters, "lora", "back")
    asked = {path.rsplit("/", 1)[-1] for path, _ in hub.seen if "/resolve/" in path}
    assert asked <= set(share.SAFE), asked


def test_pull_of_what_is_no_adapter(adapters, hub, tmp_path, monkeypatch):
    state, where = snapshot(adapters.model), dict(endpoint=hub.url, token="hf_x")
    share.push(adapters, "lora", "me/my-adapter", **where)
    good = dict(hub.files)
    hub.files["adapter.safetensors"] = b"nonsense"
    with pytest.raises(UserError, match="truncated or was changed"):
        share.pull(adapters, "me/my-adapter", "b", **where)
    hub.files, hub.sizes = dict(good), {"adapter.safetensors": 10**12}
    with pytest.raises(UserError, match="no adapter has more than"):
        share.pull(adapters, "me/my-adapter", "b", **where)
    hub.sizes = {"adapter.safetensors": 3}
    monkeypatch.setattr(share, "MAX_BYTES", sum(map(len, good.values())) - 1)
    with pytest.raises(UserError, match="no adapter has more than"):
        share.pull(adapters, "me/my-adapter", "b", **where)
    hub.files, hub.sizes = {"model.safetensors": b"x"}, {}
    with pytest.raises(UserError, match="holds no adapter"):
        share.fetch("me/my-adapter", tmp_path / "x", **where)
    assert list(adapters) == ["a", "lora"] and same_state(adapters.model.state_dict(), state)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "message"), [(401, "log in"), (403, "log in"), (404, "404|not on the Hub"), (500, "500")]
)
def test_the_hubs_errors(adapters, hub, tmp_path, status, message):
    hub.status = status
    for call in both_ways(adapters, "me/my-adapter", tmp_path, endpoint=hub.url, token="hf_x"):
        with pytest.raises(UserError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value) and "hf_x" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("repo", ["", "a/b/c", "../x", "a b", "x" * 200])
def test_no_such_name(adapters, hub, tmp_path, repo):
    for call in both_ways(adapters, repo, tmp_path, endpoint=hub.url, token="hf_x"):
        with pytest.raises(UserError) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert hub.files == {}


@pytest.mark.parametrize("network", ["switched off", "refused"])
def test_offline_fails_at_once(adapters, tmp_path, no_hub, network):
    """Said to be offline, and with nobody at the other end."""
    no_hub(network)
    start = time.perf_counter()
    for call in both_ways(adapters, "me/my-adapter", tmp_path):
        with pytest.raises(UserError, match="cannot be reached.*offline, hand the adapter on as a zip"):
            call()
    assert time.perf_counter() - start < 5 and list(tmp_path.iterdir()) == []
