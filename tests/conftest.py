"""Fixtures that run notebooks: two at a time, each in a private copy of the checkout, once per session."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from notebooks import run_notebook

RUNS, NOTES = {}, []


@pytest.fixture(scope="session")
def pool(request, tmp_path_factory):
    """Starts every headless run that the collected tests ask for; {(kind, path): future}."""
    wanted = [i.callspec.params["headless"] for i in request.session.items if "headless" in _params(i)]
    with ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1))) as executor:
        futures = {
            (kind, path): executor.submit(run_notebook, path, kind, tmp_path_factory.mktemp(f"{path.stem}-{kind}"))
            for kind, path in dict.fromkeys(wanted)
        }
        yield futures
        for future in futures.values():
            future.cancel()


@pytest.fixture
def headless(request, pool):
    """Parametrized indirectly with (kind, path): the finished Run."""
    run = pool[request.param].result()
    RUNS[run.name, run.kind] = run
    return run


@pytest.fixture
def no_hub(monkeypatch, tmp_path_factory):
    """Makes the Hub one that is "switched off", "refused" (nobody listens) or "silent"; its caches are empty."""
    from huggingface_hub import constants

    servers = []

    def away(how: str) -> None:
        for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_DATASETS_CACHE"):
            monkeypatch.delenv(switch, raising=False)
        if how == "switched off":
            monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        servers.append(socket.create_server(("127.0.0.1", 0)))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{servers[-1].getsockname()[1]}")
        if how == "refused":
            servers[-1].close()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HOME", str(tmp_path_factory.mktemp("hf_home")))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    yield away
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def notes():
    """Lines for the end of the report."""
    return NOTES


def _params(item) -> dict:
    return getattr(getattr(item, "callspec", None), "params", {})


def pytest_terminal_summary(terminalreporter):
    if RUNS or NOTES:
        terminalreporter.section("notebooks")
    for (name, kind), run in sorted(RUNS.items()):
        peak = f", peak {run.peak_mb:.0f} MB" if run.kind != "nbval" else ""
        terminalreporter.write_line(f"{name:32} {kind:9} {run.seconds:6.1f} s{peak}")
    for line in NOTES:
        terminalreporter.write_line(line)
