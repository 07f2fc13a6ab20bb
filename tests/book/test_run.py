"""The headless run on toy notebooks: what is refused, what is reported, what is left behind."""

import asyncio
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
import zmq
import zmq.asyncio
from jupyter_client.channels import AsyncZMQSocketChannel
from jupyter_client.session import Session

from adapterlab import __main__
from adapterlab.book import notebooks as book
from adapterlab.book import run as runner
from adapterlab.book import times
from adapterlab.book.pages import MarkdownWithMath, Renderer, html_page
from adapterlab.errors import UserError
from adapterlab.paths import NOTEBOOKS, ROOT
from adapterlab.profiles import pick_profile
from notebooks import notebooks as stored

FIGURES = """import os, sys
import plotly.graph_objects as go
import ipywidgets
from IPython.display import display
out = ipywidgets.Output()
with out:
    display(go.Figure(go.Bar(y=[1, 2])))
display(ipywidgets.VBox([out]))
go.Figure(go.Scatter(y=[1, 3, 2], name="</script>"), {"title": "Two<br>lines", "xaxis.title": "x", "yaxis.title": "y"})"""
FACTS = """import adapterlab.errors
ballast = b"x" * 150_000_000
print(PROFILE, SEED, os.path.basename(os.getcwd()), sys.executable, os.environ["OMP_NUM_THREADS"])"""
PARAMETERS = 'PROFILE = ""\nSEED = 0\nRATE = 0.1\nTASK = "a"\nSIZES = [8, 64]\nDEEP = True'


def write(folder, name, *cells, parameters=PARAMETERS):
    v4 = nbformat.v4
    folded = "".join(
        f"<details><summary>{s}</summary>\n\nOpen *{s}*, $a < b_1$.\n\n</details>\n" for s in ("Hint 1", "Hint 2")
    )
    text = f"# {name[:2]} · {name[3:]}\n\n**The question:** does it run? It does.\n\n**Time:** not measured yet"
    first = v4.new_markdown_cell(f"{text}\n\n[next](01_next.ipynb)\n\n$$y' = W_{{up}} y$$\n\n{folded}")
    tagged = v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})
    nb = v4.new_notebook(cells=[first, tagged, *map(v4.new_code_cell, cells)])
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    folder.mkdir(exist_ok=True)
    nbformat.write(nb, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("workbook") / "notebooks"
    write(folder, "00_plain", FIGURES, FACTS)
    write(folder, "01_fail", "x = 1", "y = x\n1 / 0", "print('never')", parameters='PROFILE = ""\nSEED = 0')
    write(folder, "02_dead", "import os\nos._exit(3)", "1")
    write(folder, "03_exit", "import sys\nsys.exit()", "print('never')")
    return folder


@pytest.fixture(scope="module")
def finished(toys, tmp_path_factory):
    """One run of all the toys, two at a time: (exit code, what it printed, its folder)."""
    out = tmp_path_factory.mktemp("out")
    words = f"import sys; from pathlib import Path; from adapterlab.book.run import run; sys.exit(run(profile='smoke', jobs=2, given=[('SEED', '7')], out={str(out)!r}, timeout=300, book=Path({str(toys)!r})))"
    # a kernelspec called python3 that starts something else must not be used
    decoy = out / "share" / "kernels" / "python3"
    decoy.mkdir(parents=True)
    (decoy / "kernel.json").write_text('{"argv": ["/bin/false"], "display_name": "x", "language": "python"}')
    env = dict(os.environ, JUPYTER_PATH=str(out / "share"), PYTHONPATH=str(ROOT), OMP_NUM_THREADS="2")
    done = subprocess.run([sys.executable, "-c", words], env=env, capture_output=True, text=True, timeout=300)
    shutil.rmtree(out / "share")
    return done.returncode, done.stdout + done.stderr, next(out.iterdir())


def test_one_failure_stops_nothing_and_every_failure_is_named(finished):
    code, said, _ = finished
    assert code == 1
    end = said[said.index("1 of 4 notebooks ran to the end") :]
    assert re.search(r"01_fail .*cell 4 \(y = x\): ZeroDivisionError: division by zero", end)
    assert re.search(r"02_dead .*cell 3 \(import os\): the kernel died with exit code 3", end)
    assert re.search(r"03_exit .*cell 3 \(import sys\): the cell called sys.exit\(\), the cells after", end)


def test_a_cell_that_takes_too_long(tmp_path, capsys):
    write(tmp_path / "notebooks", "04_slow", "import time\ntime.sleep(600)")
    assert runner.run(out=tmp_path / "runs", timeout=5, book=tmp_path / "notebooks") == 1
    assert "cell 3 (import time): the cell took longer than the 5 s of --timeout" in capsys.readouterr().out


def test_a_log_file_gets_plain_lines(finished):
    said = finished[1]
    assert "\r" not in said and "\x1b" not in said and "Traceback" not in said and "Warning" not in said
    assert len(re.findall(r"^start   \d\d_\w+ \(\d cells, smoke\)$", said, re.M)) == 4
    assert len(said.splitlines()) == 4 + 4 + 1 + 3


def test_what_the_kernel_was_given(finished, toys):
    nb = nbformat.read(finished[2] / "00_plain.ipynb", as_version=4)
    profile, seed, cwd, python, threads = nb.cells[-1].outputs[0].text.split()
    assert (profile, seed, cwd, python) == ("smoke", "7", "notebooks", sys.executable)
    assert threads == str(max(1, min(2, len(os.sched_getaffinity(0))) // 2))


def test_memory_is_the_kernels_peak(finished):
    megabytes = int(re.search(r"ok +00_plain  .*, (\d+) MB", finished[1])[1])
    small = int(re.search(r"01_fail  .*, (\d+) MB", finished[1])[1])
    assert 200 < megabytes < 400 and small < 120


def test_pages_load_nothing(finished):
    page = (finished[2] / "00_plain.html").read_text()
    bare = re.sub(r"<script[^>]*>.*?</script>|<style[^>]*>.*?</style>", "", page, flags=re.S)
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", bare) and not re.search(r"<script[^>]+src=", page)
    assert not re.search(r"@import|url\([\"']?(https?:)?//", "".join(re.findall(r"<style.*?</style>", page, re.S)))
    assert page.count('class="figure"') == 2 and page.count("plotly.js v") == 1
    assert 'href="01_next.html"' in page
    failed = (finished[2] / "01_fail.html").read_text()
    assert "ZeroDivisionError" in failed and "plotly.js v" not in failed


def test_index_links_everything(finished):
    folder = finished[2]
    index = (folder / "index.html").read_text()
    links = set(re.findall(r'href="([^"]+)"', index))
    assert links <= {p.name for p in folder.iterdir()}
    assert {f"{n}.{kind}" for n in ("00_plain", "01_fail", "02_dead") for kind in ("html", "ipynb")} <= links
    assert index.count("failed") >= 3 and "division by zero" in index
    rows = re.findall(r'<td class="number">([\d.]*)</td>\s*<td class="number">(\d*)</td>', index)
    *each, (minutes, peak) = [(float(m or 0), int(p or 0)) for m, p in rows]
    assert len(each) == 4 and peak == max(p for _, p in each) > 0 and abs(minutes - sum(m for m, _ in each)) <= 0.3
    assert not list(folder.glob("*.part"))


#: What a reader sees that should not be there: an answer before it was asked for, a raw formula, a figure without a text.
SEEN = """() => {
  const text = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), raw = [];
  for (let n = text.nextNode(); n; n = text.nextNode())
    if (n.data.includes("$") && !n.parentElement.closest("pre, code, script, style, .jp-OutputArea")) raw.push(n.data);
  const within = d => [...d.querySelectorAll(":scope > :not(summary)")];
  return {
    raw,
    open: [...document.querySelectorAll("details")].filter(d => d.open || !within(d).length || within(d).some(e => e.checkVisibility({contentVisibilityAuto: true}))).length,
    silent: [...document.querySelectorAll("img, .figure-place")].filter(e => !(e.alt || e.ariaLabel || "").trim()).length,
    kinds: [...document.querySelectorAll(".js-plotly-plot")].map(d => d.data[0]?.type),
    folded: document.querySelectorAll("details").length, formulas: document.querySelectorAll("math").length,
    texts: [...document.querySelectorAll("img, .figure-place")].map(e => e.alt || e.ariaLabel),
  };
}"""


@pytest.fixture(scope="module")
def look():
    """A function from a page's path to what a reader sees, as SEEN says, without a network."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser or not importlib.util.find_spec("playwright"):
        pytest.skip("no chromium")
    from playwright.sync_api import sync_playwright

    def look(path):
        page, trouble = chromium.new_page(), []
        page.on("request", lambda r: trouble.append(r.url) if r.url.startswith("http") else None)
        page.on("pageerror", lambda e: trouble.append(str(e)))
        page.goto(path.as_uri(), timeout=120_000)
        page.wait_for_function(
            "document.querySelectorAll('script.figure').length == document.querySelectorAll('.js-plotly-plot .main-svg:first-child').length",
            timeout=120_000,
        )
        seen = page.evaluate(SEEN)
        page.close()
        assert trouble == []
        return seen

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=browser, args=flags)
        yield look
        chromium.close()


@pytest.mark.browser
def test_pages_in_a_browser_without_network(finished, look):
    seen = look(finished[2] / "00_plain.html")
    assert sorted(seen["kinds"]) == ["bar", "scatter"] and (seen["folded"], seen["formulas"]) == (2, 3)
    assert seen["texts"] == ["bar", "Two lines: y over x: scatter: </script>"]
    assert (seen["raw"], seen["open"], seen["silent"]) == ([], 0, 0)


@pytest.mark.browser
@pytest.mark.parametrize(
    "name", ["01_build_an_adapter", "04_bottleneck_size"]
)  # with the most formulas; a figure without a title
def test_a_notebook_of_the_book_as_a_page(name, tmp_path, look):
    (page := tmp_path / "page.html").write_text(html_page(nbformat.read(NOTEBOOKS / f"{name}.ipynb", 4), "A title"))
    seen = look(page)
    assert seen["folded"] >= 7 and (seen["raw"], seen["open"], seen["silent"]) == ([], 0, 0)
    assert name[:2] != "01" or seen["formulas"] >= 6


@pytest.mark.parametrize("path", stored(), ids=lambda p: p.stem)
def test_every_formula_of_the_book_can_be_set(path):
    prose = "\n\n".join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == "markdown")
    bare = re.sub(r"```.*?```|`[^`]*`", "", prose, flags=re.S)
    html = MarkdownWithMath(renderer=Renderer(escape=False)).render(prose)
    assert "$" not in bare.replace(r"\$", "") or "<math" in html
    text = re.sub(r"(?s)<(pre|code).*?</\1>", "", html)
    assert "$" not in text and "\\" not in "".join(re.findall(r"<math.*?</math>", text))


def test_what_a_kernel_says_of_its_shutdown_leaves_no_log(tmp_path):
    folder = tmp_path / "notebooks"
    write(folder, "00_quiet", f"import os\nos.write(2, {runner.INTERRUPTED.encode()!r})")
    write(folder, "01_loud", f"import os\nos.write(2, {runner.INTERRUPTED.encode()!r} + b' and more')")
    assert runner.run(out=str(tmp_path / "runs"), book=folder) == 0
    assert [p.stem for p in (tmp_path / "runs").rglob("*.log")] == ["01_loud"]


def test_what_is_printed_in_pieces_is_kept_in_one(tmp_path):
    folder = tmp_path / "notebooks"
    write(folder, "00_slow", "import time\nprint('one', end='')\ntime.sleep(1)\nprint(' line')")
    assert runner.run(out=str(tmp_path / "runs"), book=folder) == 0
    (path,) = (tmp_path / "runs").rglob("*.ipynb")
    assert [out.text for out in nbformat.read(path, 4).cells[-1].outputs] == ["one line\n"]


def test_ctrl_c_keeps_what_was_finished(tmp_path):
    folder, pid = tmp_path / "notebooks", tmp_path / "pid"
    write(folder, "00_quick", "print(1)")
    write(
        folder,
        "01_slow",
        f"import os, pathlib, time\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\ntime.sleep(600)",
    )
    write(folder, "02_later", "print(2)")
    words = f"import sys; from pathlib import Path; from adapterlab.book.run import run; sys.exit(run(out={str(tmp_path / 'runs')!r}, book=Path({str(folder)!r})))"
    process = subprocess.Popen([sys.executable, "-c", words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=dict(os.environ, PYTHONPATH=str(ROOT)),
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # fmt: skip
    deadline = time.monotonic() + 120
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 130
    assert re.search(r"^interrupted in 01_slow, cell 3; what had finished is in .*index.html\n\Z", said, re.M)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    (run,) = (tmp_path / "runs").iterdir()
    assert {p.name for p in run.iterdir()} == {"00_quick.ipynb", "00_quick.html", "01_slow.ipynb", "index.html"}
    index = (run / "index.html").read_text()
    assert ">ok<" in index and ">interrupted<" in index and ">not run<" in index


REFUSED = [
    (dict(names=["99"]), '"99" is no notebook of this book'),
    (dict(names=["plian"]), 'did you mean "plain"'),
    (dict(profile="clas"), 'unknown profile "clas"; did you mean "class"'),
    (dict(given=[("SEDE", "1")]), 'no chosen notebook has a parameter "SEDE"; did you mean "SEED"'),
    (dict(names=["01"], given=[("RATE", "1")]), 'no chosen notebook has a parameter "RATE"'),
    (dict(given=[("SEED", "abc")]), '"SEED" of 00_plain is a whole number (its default is 0), "abc" is text'),
    (dict(given=[("SEED", "1.5")]), "is a whole number"),
    (dict(given=[("SEED", "True")]), '"True" is True or False'),
    (dict(given=[("DEEP", "1")]), "is True or False"),
    (dict(given=[("SIZES", "8")]), '"SIZES" of 00_plain is a list'),
    (dict(given=[("PROFILE", "smoke")], profile="class"), "several profiles"),
    (dict(jobs=0), "--jobs"),
    (dict(timeout=0), "--timeout"),
    (dict(record=True, jobs=2), "--record measures"),
    (dict(out="/dev/null/runs"), "cannot write to the output folder /dev/null/runs"),
]


@pytest.mark.parametrize(("asked", "words"), REFUSED, ids=[w for _, w in REFUSED])
def test_refused_before_anything_runs(asked, words, toys, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "run_jobs", lambda *_: pytest.fail("something ran"))
    with pytest.raises(UserError) as caught:
        runner.run(**{"out": tmp_path / "runs", "book": toys, **asked})
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_full_disk_or_read_only_folder_is_refused(toys, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=r"cannot write to the output folder .*Permission denied.*--out"):
        runner.plan([], None, 1, [], tmp_path / "runs", book=toys)


def test_parameters_go_where_they_are_known(toys, tmp_path):
    given = [("SEED", "3"), ("RATE", "1"), ("TASK", "5"), ("SIZES", "[1, 2]"), ("DEEP", "False")]
    jobs = runner.plan(["00", "fail"], "smoke", 1, given, tmp_path, book=toys)
    assert jobs[0].values == {"SEED": 3, "RATE": 1, "TASK": "5", "SIZES": [1, 2], "DEEP": False, "PROFILE": "smoke"}
    assert jobs[1].values == {"SEED": 3, "PROFILE": "smoke"}


def test_paths_are_the_callers(toys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    for given, text in (
        ("not there.csv", f"{tmp_path}/not there.csv"),
        ("mine", f"{tmp_path}/mine"),
        ("b", "b"),
        ("", ""),
    ):
        (job,) = runner.plan(["00"], "smoke", 1, [("TASK", given)], tmp_path / "runs", book=toys)
        assert job.values["TASK"] == text
    (job,) = runner.plan(["00"], "smoke", 1, [("SIZES", "['a.tsv', 8]")], tmp_path / "runs", book=toys)
    assert job.values["SIZES"] == [f"{tmp_path}/a.tsv", 8]


@pytest.mark.parametrize("name", ["02", "2", "02_dead", "02_d", "dead", "02_dead.ipynb", "notebooks/02_dead.ipynb"])
def test_names(name, toys):
    assert [n.name for n in book.choose([name], book.notebooks(toys))] == ["02_dead"]


def test_names_come_once_in_the_order_of_the_book(toys):
    assert [n.name for n in book.choose(["fail", "00", "01"], book.notebooks(toys))] == ["00_plain", "01_fail"]
    assert book.notebooks(toys)[0].question == "does it run?"


def test_the_profile_of_the_environment(monkeypatch):
    monkeypatch.setenv("ADAPTERLAB_PROFILE", "smoke")
    assert pick_profile(None) == "smoke" and pick_profile("full") == "full"


def test_a_value_may_begin_with_a_dash(monkeypatch):
    asked = []
    monkeypatch.setattr(runner, "run", lambda *words: asked.append(words[3]) or 0)
    assert __main__.main(["run", "-p", "A", "-x", "--jobs", "2", "-p", "B", "-1", "-p", "C", "d"]) == 0
    assert [tuple(pair) for pair in asked[0]] == [("A", "-x"), ("B", "-1"), ("C", "d")]


@pytest.mark.parametrize(
    "words",
    [["rnu"], ["run", "--jobs", "x"], ["run", "--profle", "smoke"], ["run", "zzz"], ["run", "-p", "A", "--jobs", "2"]],
)
def test_the_command_line_answers_in_one_sentence(words, capsys):
    assert __main__.main(words) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("adapterlab: ")


def test_a_missing_package_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "papermill", None)
    monkeypatch.delitem(sys.modules, "adapterlab.book.run")
    assert __main__.main(["run"]) == 2
    assert "papermill" in capsys.readouterr().err


def test_a_reply_that_nobody_was_woken_for_is_found():
    """The hang of nbclient with Output widgets: a send on the awaited socket swallows ZeroMQ's one signal."""

    async def wait() -> str:
        session, context = Session(key=b"k"), zmq.asyncio.Context()
        ours, kernel = context.socket(zmq.DEALER), zmq.Context.instance().socket(zmq.ROUTER)
        ours.connect(f"tcp://127.0.0.1:{kernel.bind_to_random_port('tcp://127.0.0.1')}")
        channel = AsyncZMQSocketChannel(ours, session)
        runner.patient(channel, step=0.2)
        channel.send(session.msg("execute_request"))
        ident, _ = session.feed_identities(kernel.recv_multipart())
        reply = asyncio.create_task(channel.get_msg())
        await asyncio.sleep(0.1)
        session.send(kernel, "execute_reply", ident=ident)
        time.sleep(0.1)  # it arrives while the loop is busy with
        channel.send(session.msg("comm_msg"))  # an Output widget's answer
        try:
            return (await asyncio.wait_for(reply, 5))["msg_type"]
        finally:
            ours.close(0), kernel.close(0), context.term()

    with ThreadPoolExecutor(1) as apart:  # a browser of the tests above keeps a loop running in this thread
        assert apart.submit(asyncio.run, wait()).result() == "execute_reply"


def test_recorded_times(tmp_path):
    row = {"profile": "class", "peak_mb": "700", "device": "CPU", "python": "3.11.7", "torch": "2.13.0", "commit": "c",
           "command": "x", "date": "2026-01-01", "notebook": "00_plain", "cores": 2, "seconds": "126"}  # fmt: skip
    path = tmp_path / "times.csv"
    times.record([row, row | {"profile": "smoke", "cores": 1, "seconds": "20"}], path)
    times.record([row | {"seconds": "138"}, row | {"profile": "full", "device": "GPU X", "seconds": "600"}], path)
    rows = times.read(path)
    assert len(rows) == 3 and tuple(rows[0]) == times.COLUMNS
    said = "2.3 min on two CPU cores (class), 0.3 min on one CPU core (smoke), 10.0 min on GPU X (full)"
    assert times.time_line("00_plain", rows) == f"**Time:** {said}"
    assert times.time_line("01_other", rows) == "**Time:** not measured yet"
