"""How the tests are shared out over the cores, what counts as slow, and the notes at the end of the report."""

import os
import re
import socket

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # torch is not imported yet: a test process has a core to itself


def pytest_xdist_auto_num_workers(config) -> int:
    """A core each for the whole suite, at most four; a run of chosen files stays in one process."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 4) if whole and cores > 1 else 0


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    """What runs notebooks is slow. A file stays in one process, so there is one browser, and the two long files begin:
    with long things last, one core would wait for them at the end."""
    for item in items:
        if item.get_closest_marker("notebook") or item.get_closest_marker("browser"):
            item.add_marker("slow")
    items.sort(key=lambda item: item.path.stem not in ("test_nb_runs", "test_nb_browser"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    """Where ADAPTERLAB_ALL_TESTS is set, a test that is skipped for want of a package or a browser has failed."""
    report = yield
    absent = re.search(r"could not import|not installed|no chromium|no browser", str(report.longrepr))
    if report.skipped and absent and not hasattr(report, "wasxfail") and os.environ.get("ADAPTERLAB_ALL_TESTS"):
        report.outcome, report.longrepr = "failed", str(report.longrepr)
    return report


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


@pytest.fixture
def note(record_property):
    """Puts a line at the end of the report."""
    return lambda line: record_property("note", line)


def pytest_terminal_summary(terminalreporter):
    reports = [
        r for outcome in ("passed", "failed") for r in terminalreporter.stats.get(outcome, []) if r.when == "call"
    ]
    if lines := sorted(line for r in reports for name, line in r.user_properties if name == "note"):
        terminalreporter.section("notebooks")
        for line in lines:
            terminalreporter.write_line(line)
