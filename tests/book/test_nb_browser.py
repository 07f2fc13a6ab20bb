"""Every notebook in JupyterLab in a real browser: run all cells in smoke, move every control, see a change.

Needs Debian's chromium (or Chrome) and the playwright package; says so and is skipped without them.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from toy_notebook import toy

from notebooks import environment, notebooks, private_copy, report

pytestmark = pytest.mark.browser
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ("--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage --disable-sync "
         "--disable-background-networking --disable-component-update").split()  # fmt: skip
RUN_MS, CHANGE_S, QUIET_S = 300_000, 60, 1.2

#: Read from the page: what a reader sees in the cell outputs, less the controls' own readouts.
SCRIPT = r"""
window.nbtest = {
  panel: () => window.jupyterapp.shell.currentWidget,
  pending: new Set(),
  idle: () => {
    const kernel = nbtest.panel()?.sessionContext?.session?.kernel;
    if (!kernel || kernel.status !== "idle") return false;
    if (nbtest.watched !== kernel) {
      nbtest.watched = kernel;
      nbtest.pending.clear();
      kernel.anyMessage.connect((_, {msg, direction}) => {
        if (direction === "send" && msg.channel === "shell") nbtest.pending.add(msg.header.msg_id);
        if (msg.header.msg_type === "status" && msg.content.execution_state === "idle") nbtest.pending.delete(msg.parent_header.msg_id);
      });
    }
    return nbtest.pending.size === 0;
  },
  cells: () => nbtest.panel().content.model.sharedModel.cells
      .filter(c => c.cell_type === "code").map(c => ({source: c.source, count: c.execution_count, outputs: c.outputs})),
  root: e => e.closest(".adapterlab-view") ?? e.closest(".jp-Cell-outputArea"),
  label: e => {
    if (e.matches("button")) return e.textContent;
    let box = e;
    while (box && !box.querySelector("[class*=widget-label]")) box = box.parentElement;
    const labels = [...(box?.querySelectorAll("[class*=widget-label]") ?? [])].map(l => l.textContent.replace("\u200b", "").trim());
    return labels.find(l => l) ?? "";
  },
  shown: (root) => {
    const plots = [...root.querySelectorAll(".js-plotly-plot")].map(p => {
      const l = p.layout || {}, axes = Object.keys(l).filter(k => /^[xy]axis/.test(k));
      return [p.data, l.title, l.annotations, l.shapes, axes.map(k => [k, l[k].type, l[k].showgrid, l[k].title])];
    });
    const texts = [...root.querySelectorAll(".widget-html-content, .jp-OutputArea-output")]
      .filter(e => !e.querySelector(".jupyter-widgets") && !e.closest(".js-plotly-plot"))
      .map(e => e.querySelector(".js-plotly-plot") ? "" : e.textContent);
    return JSON.stringify([plots, texts], (k, v) => ArrayBuffer.isView(v) ? Array.from(v) : v);
  },
  trouble: () => [
    ...[...document.querySelectorAll(".adapterlab-error")].map(e => "a view shows the error: " + e.textContent),
    ...[...document.querySelectorAll(".jp-OutputArea-output")].filter(e => /Traceback .most recent call last/.test(e.textContent)).map(e => "an error in an output: " + e.textContent.slice(0, 400)),
    ...[...document.querySelectorAll(".jp-OutputArea-output")].filter(e => /Error displaying widget|model not found/i.test(e.textContent)).map(e => e.textContent.slice(0, 200)),
  ],
};
"""
CONTROLS = {
    "slider": ".noUi-handle",
    "dropdown": ".widget-dropdown select",
    "select": ".widget-select select",
    "toggle buttons": ".widget-toggle-buttons",
    "toggle button": "button.widget-toggle-button",
    "radio buttons": ".widget-radio-box",
    "checkbox": ".widget-checkbox input[type=checkbox]",
    "number box": "input[type=number]",
    "text box": ".widget-text input[type=text], .widget-textarea textarea",
    "button": "button.widget-button",
}


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _lab(base: Path):
    """Start JupyterLab over a private copy of the notebooks -> (process, url, folder, log)."""
    folder = private_copy(base / "copy")
    settings = base / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    port = _free_port()
    places = {"JUPYTERLAB_SETTINGS_DIR": str(base / "settings"), "JUPYTERLAB_WORKSPACES_DIR": str(base / "workspaces")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser", "--allow-root",
               f"--port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token=",
               "--ServerApp.password=", f"--ServerApp.root_dir={folder}", "--LabApp.extension_manager=readonly"]  # fmt: skip
    log = base / "lab.log"
    with log.open("w") as out:
        process = subprocess.Popen(command, env=environment(base / "copy", base, **places), cwd=folder,
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/api", timeout=5).close()
            return process, url, folder, log
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.25)
    process.kill()
    raise RuntimeError(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """One JupyterLab and one browser: (a function from a notebook's name to its Page, the notebooks' folder).

    They end with this module: while Playwright is up, no other test can start an event loop.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        pytest.skip("no browser test: the package playwright is not installed (pip install playwright)")
    if not CHROMIUM:
        pytest.skip("no browser test: no chromium on the PATH (Debian: apt-get install chromium)")
    process, url, folder, log = _lab(tmp_path_factory.mktemp("lab"))
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield lambda name: Page(browser, url, folder, name), folder
            browser.close()
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


class Page:
    """A notebook open in JupyterLab; `problems` collects what a reader would complain about."""

    def __init__(self, browser, url: str, folder: Path, name: str):
        assert (folder / f"{name}.ipynb").exists()
        self.url, self.name, self.problems, self.moved = url, name, [], []
        self.context = browser.new_context(viewport={"width": 1400, "height": 1000})
        self.page = self.context.new_page()
        self.context.route("**/*", lambda route: self._route(route, url))
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda e: self.problems.append(f"page error: {e}"))
        self.page.add_init_script(SCRIPT)
        self.page.set_default_timeout(RUN_MS)

    def open(self):
        """Load JupyterLab with the notebook and wait for its kernel."""
        self.page.goto(f"{self.url}/lab/workspaces/{self.name}/tree/{self.name}.ipynb")
        self.page.wait_for_function(
            "window.jupyterapp && nbtest.panel()?.content?.model && nbtest.idle()", timeout=120_000
        )

    def _route(self, route, url):
        if route.request.url.startswith((url, url.replace("http", "ws"), "data:", "blob:")):
            route.continue_()
        else:
            self.problems.append(f"a request to the outside: {route.request.url[:200]}")
            route.abort()

    def _console(self, message):
        if message.type == "error":
            self.problems.append(f"console error: {message.text[:400]}")

    def js(self, code, *args):
        return self.page.evaluate(code, *args)

    def run_all(self):
        """Run every cell; complain about cells that failed or did not run and figures that are not drawn."""
        self.js(
            "() => { jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { nbtest.done = true; }); }"
        )
        self.page.wait_for_function("nbtest.done", timeout=RUN_MS)
        self.idle()
        cells = self.js("() => nbtest.cells()")
        for cell in cells:
            if cell["count"] is None and cell["source"].strip():
                self.problems.append(f"not run: {cell['source'][:80]!r}")
            for out in cell["outputs"]:
                if out["output_type"] == "error":
                    self.problems.append(f"{out['ename']}: {out['evalue']} in {cell['source'][:80]!r}")
        mime = "application/vnd.plotly.v1+json"
        due = sum(mime in out.get("data", {}) for cell in cells for out in cell["outputs"])
        views = sum(
            "application/vnd.jupyter.widget-view+json" in o.get("data", {}) for c in cells for o in c["outputs"]
        )
        for what, selector, least in (
            ("figures", ".js-plotly-plot .main-svg", due),
            ("widgets", ".jupyter-widgets", views),
        ):
            if least and not self.until(lambda s=selector, n=least: self.page.locator(s).count() >= n, 30):
                self.problems.append(f"{self.page.locator(selector).count()} {what} are drawn, {least} are due")
        self.trouble()

    def trouble(self):
        self.problems += [t for t in self.js("() => nbtest.trouble()") if t not in self.problems]

    def until(self, test, seconds) -> bool:
        end = time.monotonic() + seconds
        while not test():
            if time.monotonic() > end:
                return False
            self.page.wait_for_timeout(50)
        return True

    def idle(self):
        """Wait until the kernel has been idle for a moment."""
        since, end = time.monotonic(), time.monotonic() + CHANGE_S
        while time.monotonic() - since < 0.3:
            if not self.js("() => nbtest.idle()"):
                since = time.monotonic()
            if time.monotonic() > end:
                return self.problems.append(f"the kernel is still busy after {CHANGE_S} s")
            self.page.wait_for_timeout(50)

    def changes(self, control, act) -> bool:
        """Does `act` change what is shown around the control? No: every message was answered and nothing moved.

        Messages are watched one by one, for a callback runs on a subshell and may leave the kernel's status idle.
        """
        self.idle()
        shown = "e => nbtest.shown(nbtest.root(e))"
        before = None
        while before != (before := control.evaluate(shown)):
            self.page.wait_for_timeout(80)
        act()
        quiet, end = time.monotonic(), time.monotonic() + CHANGE_S
        while time.monotonic() < end and time.monotonic() - quiet < QUIET_S:
            if control.evaluate(shown) != before:
                return True
            if not self.js("() => nbtest.idle()"):
                quiet = time.monotonic()
            self.page.wait_for_timeout(40)
        return False

    def drive(self):
        """Move every control in every output; each must change a figure or a text in its view.

        A control of a view that waits for a button may do it at the press of that button.
        """
        for kind, selector in CONTROLS.items():
            found = self.page.locator(f".jp-Cell-outputArea :is({selector})")
            for i in range(found.count()):
                control = found.nth(i)
                if not control.is_visible() or not control.is_enabled():
                    continue
                control.scroll_into_view_if_needed()
                if kind == "button" and "widget-toggle-button" in (control.get_attribute("class") or ""):
                    continue
                if kind == "text box" and control.evaluate("e => !!e.closest('.widget-slider')"):
                    continue
                if kind == "toggle button" and control.evaluate("e => !!e.closest('.widget-toggle-buttons')"):
                    continue
                what = f"{kind} {control.evaluate('e => nbtest.label(e)')!r}"
                self.moved.append(what)
                if not any(self.changes(control, act) for act in self.acts(kind, control)):
                    self.problems.append(f"{what} changes nothing")
                self.trouble()

    def acts(self, kind, control):
        """Ways to move a control, tried in turn until something changes."""
        press = control.press
        if kind == "slider":
            yield from (lambda k=k: press(k) for k in ("ArrowRight", "Home", "End"))
        elif kind in ("dropdown", "select"):
            n = control.locator("option").count()
            at = control.evaluate("e => e.selectedIndex")
            yield from (lambda j=j: control.select_option(index=j) for j in range(n) if j != at)
        elif kind == "toggle buttons":
            yield from (o.click for o in control.locator("button:not(.mod-active)").all())
        elif kind == "radio buttons":
            yield from (o.check for o in control.locator("input:not(:checked)").all())
        elif kind == "number box":
            yield lambda: (control.fill(str(float(control.input_value() or 0) + 1).removesuffix(".0")), press("Enter"))
        elif kind == "text box":
            yield lambda: (control.fill(control.input_value() + " not"), press("Enter"), control.blur())
        else:
            yield control.click
        near = control.locator("xpath=ancestor::*[contains(@class,'adapterlab-view')][1]")
        if kind != "button" and near.count():
            yield from (b.click for b in near.locator("button.widget-button:not(.widget-toggle-button)").all())

    def close(self):
        late = "new Promise(done => setTimeout(done, 10000))"
        self.js(
            f"async () => {{ await Promise.race([window.jupyterapp && nbtest.panel()?.sessionContext?.shutdown(), {late}]); }}"
        )
        self.context.close()


def visit(open_page, name: str, shot: Path) -> Page:
    """Open, run, drive, close. With problems, a screenshot of the page goes to `shot`."""
    page = open_page(name)
    try:
        page.open()
        page.run_all()
        page.drive()
    except Exception as error:
        page.problems.append(f"{type(error).__name__}: {str(error)[:1000]}")
    finally:
        if page.problems or os.environ.get("ADAPTERLAB_SCREENSHOTS"):
            page.page.screenshot(path=shot)
            page.problems = page.problems and [*page.problems, f"screenshot: {shot}"]
        page.close()
    return page


@pytest.mark.parametrize("path", notebooks(), ids=lambda p: p.stem)
def test_in_the_browser(lab, path, tmp_path, note):
    start = time.perf_counter()
    page = visit(lab[0], path.stem, tmp_path / "page.png")
    note(f"{path.stem:32} browser   {time.perf_counter() - start:6.1f} s, {len(page.moved)} controls moved")
    assert not page.problems, report(page.problems)


BAD = """dead = base.slider("dead", 1, 0, 2)
base.FigureView(lambda dead: (None, "still"), height=0, dead=dead)"""
SLOW = """import time
base.FigureView(lambda slow: (None, f"{slow} {time.sleep(2.5)}"), height=0, slow=base.toggles("slow", ["a", "b"]))"""
RAISES = """base.FigureView(lambda n: (None, f"{1 / n}"), height=0, n=base.choice("n", [1, 0]))"""


def test_a_bad_notebook_is_seen(lab, tmp_path):
    """Every kind of control is moved; a dead one, a callback that raises, a request to the outside and a cell
    that fails are each reported, and nothing else is."""
    open_page, folder = lab
    nb = toy()
    nb.cells += [nbformat.v4.new_markdown_cell("![far](http://example.com/far.png)")]
    nb.cells += [nbformat.v4.new_code_cell(source) for source in (BAD, SLOW, RAISES, "1 / 0")]
    nbformat.write(nb, folder / "98_bad.ipynb")
    page = visit(open_page, "98_bad", tmp_path / "page.png")
    assert page.moved == ["slider 'size'", "slider 'dead'", "dropdown 'task'", "dropdown 'n'", "toggle buttons 'scale'",
        "toggle buttons 'slow'",
                          "radio buttons ''", "checkbox 'grid'", "number box ''", "text box 'name'", "text box 'word'",
                          "button 'Go'"]  # fmt: skip
    due = [
        "a request to the outside: http://example.com/far.png",
        "console error: Failed to load resource",
        "ZeroDivisionError: division by zero in '1 / 0'",
        "an error in an output: ",
        "slider 'dead' changes nothing",
        "a view shows the error: ZeroDivisionError: division by zero",
        f"screenshot: {tmp_path / 'page.png'}",
    ]
    assert [any(p.startswith(d) for p in page.problems) for d in due] == [True] * len(due), page.problems
    assert all(p.startswith(tuple(due)) for p in page.problems), page.problems
