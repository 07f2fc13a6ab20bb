"""Is the Hub there? One answer, soon, whether it is switched off, refuses, is silent or answers."""

import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from huggingface_hub import constants

from adapterlab import hub
from adapterlab.errors import UserError
from adapterlab.models import load_base

REASONS = {"switched off": "HF_HUB_OFFLINE is set", "refused": "refused", "silent": "timed out|no answer"}


@pytest.mark.parametrize("how", REASONS)
def test_a_hub_that_is_away_is_named_with_what_works_instead(no_hub, how):
    no_hub(how)
    start = time.perf_counter()
    with pytest.raises(UserError, match=rf"this needs the Hub, which.*\((.*)({REASONS[how]}).*\); offline, that works"):
        hub.need("this", "that works")
    with pytest.raises(UserError, match='"nobody/nothing", which is not in the cache, needs the Hub.*"minilm"'):
        load_base("nobody/nothing")
    assert time.perf_counter() - start < 2 * hub.PATIENCE + 1


def test_a_name_lookup_that_hangs(no_hub, monkeypatch):
    """It has no timeout of its own."""
    no_hub("refused")
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    monkeypatch.setattr(hub, "get_session", lambda: time.sleep(20))
    start = time.perf_counter()
    assert hub.answer() == "no answer" and time.perf_counter() - start < 2


@pytest.mark.parametrize("word", ["1", "true", "Yes", "ON"])
@pytest.mark.parametrize("switch", hub.SWITCHES)
def test_every_switch_in_every_word(no_hub, monkeypatch, switch, word):
    no_hub("refused")
    assert hub.switched_off() is None
    monkeypatch.setenv(switch, word)
    assert hub.switched_off() == switch
    monkeypatch.setenv(switch, "0")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # set when the session began
    assert hub.switched_off() == "HF_HUB_OFFLINE"


def test_a_hub_that_answers(no_hub):
    class Page(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200 if self.path == "/" else 404)
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *_):
            pass

    no_hub("refused")
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}/"
        assert hub.answer(endpoint=endpoint) == hub.need("x", "y", endpoint=endpoint) == 200
        assert hub.need("x", "y", path="api/datasets/me/none", endpoint=endpoint) == 404
        server.shutdown()


def test_caches(no_hub, monkeypatch, tmp_path):
    no_hub("switched off")
    assert not hub.data_cached("Me/Data") and not hub.model_cached("nobody/nothing")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    for name in ("me___data", "Me___Other"):
        (tmp_path / name).mkdir()
    assert hub.data_cached("Me/Data") and hub.data_cached("Me/Other") and not hub.data_cached("Me/Third")
