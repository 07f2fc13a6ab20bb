"""The whole workbook, headless: papermill executes each notebook in a kernel of this very interpreter.

Every notebook leaves an executed copy and a page that needs no network; an index page links them.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from queue import Empty
from typing import Any

import nbformat
import papermill
import psutil
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm
from traitlets import Bool

from ..errors import UserError
from ..paths import NOTEBOOKS, ROOT, write_whole
from ..profiles import pick_profile
from ..studies.results import provenance
from . import times
from .notebooks import Notebook, assign, choose, notebooks, parameters
from .pages import html_page, index_page
from .quiet import insist
from .scrub import INJECTED

for noisy in ("papermill", "asyncio"):  # what they would say (of a dead kernel's pending tasks, too) is in our report
    logging.getLogger(noisy).setLevel(logging.CRITICAL)


class ThisInterpreter(AsyncKernelManager):
    """Starts kernels with sys.executable, whatever kernelspecs this machine has."""

    def _kernel_spec_manager_default(self):
        return KernelSpecManager(parent=self, kernel_dirs=[], ensure_native_kernel=True)


# what a kernel may say of its own shutdown
INTERRUPTED = "[IPKernelApp] ERROR | KeyboardInterrupt caught in kernel."


class Client(PapermillNotebookClient):
    """papermill's client, which cannot be left waiting.

    nbclient answers an Output widget by sending on the socket on which it awaits the cell's reply. A reply that
    comes in just then wakes nobody (ZeroMQ signals once), and the notebook hangs for ever. So: look again every second.
    What one print writes may come in pieces, when the kernel sends in between; they are joined.
    """

    coalesce_streams = Bool(True)

    def papermill_execute_cells(self):
        assert self.kc is not None  # the kernel has started
        patient(self.kc.shell_channel)
        super().papermill_execute_cells()


def patient(channel, step: float = 1.0) -> None:
    """Make a kernel channel look for its message again every `step` seconds while it waits."""
    once = channel.get_msg

    async def get_msg(timeout: float | None = None):
        deadline = float("inf") if timeout is None else time.monotonic() + timeout
        while True:
            try:
                return await once(min(step, max(0.0, deadline - time.monotonic())))
            except Empty:
                if time.monotonic() >= deadline:
                    raise

    channel.get_msg = get_msg


class LabEngine(NBClientEngine):
    """papermill's engine, with our kernel and with the job told of every cell."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *ignored, job: "Job", **more):  # pyright: ignore
        client = Client(
            nb_man,
            kernel_name="python3",
            kernel_manager_class=ThisInterpreter,
            timeout=job.timeout,
            startup_timeout=120,
            on_notebook_start=job.on_start,
            on_cell_start=job.on_cell,
            on_cell_executed=lambda **_: job.sample(),
            extra_arguments=["--IPKernelApp.log_level=ERROR"],
            resources={"metadata": {"path": str(job.notebook.path.parent)}},
        )
        job.client, job.nb = client, nb_man.nb
        with open(job.file("log"), "wb") as log:
            return client.execute(env=job.environment(), stdout=log, stderr=log)


papermill_engines.register("adapterlab", LabEngine)


@dataclass(eq=False)
class Job:
    """One notebook to execute, and what became of it.

    status: "waiting", "running", "ok", "failed", "interrupted" or "not run". seconds: wall time from the start of the
    kernel to its end. peak: the kernel's largest resident memory in bytes (VmHWM of the process, or the largest sum
    seen with its children); 0 where the system does not say. cell, line, error: where and why it failed; cells are
    counted from 1 in the notebook as it lies in its folder.
    """

    notebook: Notebook
    profile: str
    values: dict
    folder: Path
    threads: int = 0
    timeout: int | None = None
    page: bool = True
    status: str = "waiting"
    seconds: float = 0.0
    peak: int = 0
    done: int = 0
    cell: int = 0
    line: str = ""
    error: str = ""
    nb: Any = None
    client: Any = None
    process: subprocess.Popen | None = None
    cancelled: bool = False

    @property
    def name(self) -> str:
        return self.notebook.name

    def file(self, kind: str) -> Path:
        """What the job leaves: "ipynb", "html", or "log", what the kernel wrote past Jupyter, if it matters."""
        return self.folder / f"{self.name}.{kind}"

    def environment(self) -> dict[str, str]:
        env = dict(os.environ, ADAPTERLAB_PROFILE=self.profile, PYDEVD_DISABLE_FILE_VALIDATION="1")
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH", "")]))
        env.pop("PLOTLY_RENDERER", None)  # the pages read plotly's JSON
        if self.threads:
            env["OMP_NUM_THREADS"] = str(self.threads)
        return env

    def run(self) -> None:
        """Execute; never raises: what went wrong is in status and error."""
        self.status, started = "running", time.monotonic()
        names = {"engine_name": "adapterlab", "kernel_name": "python3", "language": "python"}
        try:
            papermill.execute_notebook(self.notebook.path, None, self.values, progress_bar=False, job=self, **names)
            problem = _quiet_exit(self.nb)
        except Exception as error:
            problem = self._problem(error)
        self.seconds = time.monotonic() - started
        self.error = (problem.strip().splitlines() or [""])[0][:400]
        self.status = "interrupted" if self.cancelled else "failed" if self.error else "ok"
        try:
            self._save()
        except Exception as error:
            self.status, self.error = "failed", f"{self.error or 'its results could not be written'}: {error}"

    def _problem(self, error: Exception) -> str:
        match error:
            case PapermillExecutionError(ename="SystemExit"):
                return f"the cell called sys.exit({error.evalue})"
            case PapermillExecutionError():
                return "the cell failed" if error.ename == "CellExecutionError" else f"{error.ename}: {error.evalue}"
            case CellTimeoutError():
                return f"the cell took longer than the {self.timeout} s of --timeout"
            case DeadKernelError():
                return f"the kernel died{self._death()}"
            case RuntimeError():
                return str(error)
        return f"{type(error).__name__}: {error}"

    def _death(self) -> str:
        code, log = self.process.poll() if self.process else None, self.file("log")
        last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
        how = "" if code is None else f" of signal {-code}" if code < 0 else f" with exit code {code}"
        why = "; signal 9 mostly means that the machine ran out of memory" if code == -signal.SIGKILL else ""
        return how + why + (f" ({last[0].strip()})" if last else "")

    def _save(self) -> None:
        log = self.file("log")
        if log.exists() and not log.read_text(errors="replace").replace(INTERRUPTED, "").strip():
            log.unlink()
        if self.nb is not None:
            write_whole(self.file("ipynb"), nbformat.writes(self.nb))
            if self.page and not self.cancelled:
                write_whole(self.file("html"), html_page(self.nb, self.notebook.title))

    def on_start(self, **_) -> None:
        """Called by nbclient when the kernel is up."""
        self.process, self.peak = (self.client.km.provisioner.process, 0)  # before, it was a copy of this process

    def on_cell(self, cell, cell_index) -> None:
        """Called by nbclient before every cell, Markdown ones too."""
        if self.cancelled:
            raise RuntimeError("interrupted")
        before = [c for c in self.nb.cells[:cell_index] if not INJECTED & set(c.metadata.get("tags", []))]
        self.done, self.cell = len(before), len(before) + 1
        self.line = next((s.strip() for s in cell.source.splitlines() if s.strip()), "")

    @property
    def pid(self) -> int | None:
        """The kernel's process while it lives, already while it starts."""
        provisioner = getattr(getattr(self.client, "km", None), "provisioner", None)
        process = self.process or getattr(provisioner, "process", None)
        return process.pid if process and process.poll() is None else None

    def sample(self) -> None:
        """Read the kernel's memory; cheap, called a few times a second and after each cell."""
        if self.pid:
            self.peak = max(self.peak, resident(self.pid))

    def kill(self) -> None:
        """End the kernel and its children at once (they have a process group of their own)."""
        self.cancelled = True
        if self.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)


def resident(pid: int) -> int:
    """Bytes that a process and its children hold in memory; the process's own peak where that is more and is known."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
        now = sum(each.memory_info().rss for each in family if each.is_running())
    except psutil.Error:
        return 0
    try:
        peak = Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]
    except (OSError, IndexError):  # not Linux
        return now
    return max(now, int(peak) * 1024)


def _quiet_exit(nb) -> str:
    """papermill takes sys.exit() for success although the cells after it did not run; we do not."""
    ended = any(o.get("ename") == "SystemExit" for c in nb.cells if c.cell_type == "code" for o in c.outputs)
    return "the cell called sys.exit(), the cells after it did not run" if ended else ""


def describe(job: Job) -> str:
    """ "02_fine_tune  2.1 min, 812 MB", and for a failure the cell, its first line and the error."""
    spent = f"{job.seconds:.0f} s" if job.seconds < 60 else f"{job.seconds / 60:.1f} min"
    memory = f", {job.peak / 1e6:.0f} MB" if job.peak else ""
    place = f"cell {job.cell} ({job.line}): " if job.cell else ""
    return f"{job.name}  {spent}{memory}" + (f"  {place}{job.error}" if job.status == "failed" else "")


def run_jobs(jobs: list[Job], workers: int = 1, finished=lambda: None) -> bool:
    """Run the jobs, `workers` at a time, reporting; True, or False when Ctrl-C ended it.

    finished: called after each notebook. A failing notebook does not stop the others. Ctrl-C kills the running
    kernels, marks their jobs "interrupted" and those that had not begun "not run".
    """
    waiting, running = deque(jobs), {}
    total, form = sum(job.notebook.cells for job in jobs), "{n_fmt}/{total_fmt} cells {bar:20} {elapsed} {desc}"
    with tqdm(total=total, leave=False, disable=None, bar_format=form) as bar:  # None: a bar in a terminal alone
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    job = waiting.popleft()
                    running[job] = threading.Thread(target=job.run, daemon=True)
                    running[job].start()
                    if bar.disable:
                        print(f"start   {job.name} ({job.notebook.cells} cells, {job.profile})", flush=True)
                time.sleep(0.1)
                for job in running:
                    job.sample()
                bar.n = sum(job.done for job in jobs)
                bar.set_description_str(", ".join(f"{job.name} {job.done}/{job.notebook.cells}" for job in running))
                for job in [job for job, thread in running.items() if not thread.is_alive()]:
                    del running[job]
                    job.done = job.notebook.cells
                    with tqdm.external_write_mode():
                        print(f"{job.status:<7} {describe(job)}", flush=True)
                    finished()
            return True
        except KeyboardInterrupt:
            interrupt(running, waiting, finished)
            return False


def interrupt(running: dict[Job, threading.Thread], waiting: deque[Job], finished) -> None:
    """Kill the running jobs' kernels, within 15 seconds, undisturbed by another Ctrl-C; say what became of each."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    deadline = time.monotonic() + 15
    while (alive := [job for job, thread in running.items() if thread.is_alive()]) and time.monotonic() < deadline:
        for job in alive:
            job.kill()
        time.sleep(0.1)
    for job in waiting:
        job.status = "not run"
    for job in running:
        job.status = "interrupted" if job.cancelled else job.status
    finished()
    signal.signal(signal.SIGINT, before)


def plan(names, profile, jobs, given, out, timeout=None, book: Path = NOTEBOOKS) -> list[Job]:
    """Everything that can be refused is refused here, before a kernel starts: UserError.

    given: (name, value) texts of `-p`; PROFILE among them is the same as `profile`.
    """
    chosen = choose(names, notebooks(book))
    asked = {text for name, text in given if name == "PROFILE"} | ({profile} if profile else set())
    if len(asked) > 1:
        raise UserError(f"several profiles were asked for ({', '.join(sorted(asked))}); give one")
    profile = pick_profile(asked.pop() if asked else None)
    values = assign(chosen, [(name, text) for name, text in given if name != "PROFILE"])
    if jobs < 1:
        raise UserError(f"--jobs is the number of notebooks to run at a time, at least 1, not {jobs}")
    if timeout is not None and timeout < 1:
        raise UserError(f"--timeout is in seconds, at least 1, not {timeout}")
    folder = make_folder(Path(out))
    threads = max(1, times.cores() // jobs) if jobs > 1 else 0
    for notebook in chosen:
        if "PROFILE" in parameters(notebook):
            values[notebook.name]["PROFILE"] = profile
    return [Job(n, profile, values[n.name], folder, threads, timeout) for n in chosen]


def make_folder(out: Path) -> Path:
    """A new folder out/<time>; UserError when nothing can be written there."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    try:
        out.mkdir(parents=True, exist_ok=True)
        tries = [out / stamp] + [out / f"{stamp}_{i}" for i in range(2, 100)]
        folder = next(path for path in tries if not path.exists())
        folder.mkdir()
        write_whole(folder / "index.html", "")
    except OSError as error:
        raise UserError(
            f"cannot write to the output folder {out} ({error.strerror}); choose another with --out"
        ) from error
    return folder


def run(
    names=(), profile=None, jobs=1, given=(), out="runs", timeout=None, record=False, book: Path = NOTEBOOKS
) -> int:
    """`python -m adapterlab run`: 0 when every notebook ran to its end, 1 when one failed, 130 after Ctrl-C.

    UserError for anything that cannot be run as asked, before it runs.
    """
    if record and (jobs != 1 or [name for name, _ in given if name != "PROFILE"]):
        raise UserError("--record measures the notebooks as they are, one at a time: leave out --jobs and -p")
    todo = plan(names, profile, jobs, given, out, timeout, book)
    source = provenance(beside="notebooks") if record else {}
    if record:
        insist("no time is recorded", "leave out --record")
    index, command = todo[0].folder / "index.html", " ".join(["python -m adapterlab", *sys.argv[1:]])

    def page():
        write_whole(index, index_page(todo, command))

    page()
    complete = run_jobs(todo, jobs, page)
    page()
    if not complete:
        where = ", ".join(f"{j.name}, cell {j.cell}" for j in todo if j.status == "interrupted") or "between notebooks"
        print(f"interrupted in {where}; what had finished is in {index}")
        return 130
    failed = [job for job in todo if job.status != "ok"]
    print(f"{len(todo) - len(failed)} of {len(todo)} notebooks ran to the end; open {index}")
    for job in failed:
        print(f"FAILED  {describe(job)}")
    if record:
        insist("no time is recorded", "leave out --record")
        rows = [row(job, source) for job in todo if job.status == "ok"]
        times.record(rows)
        print(f"recorded {len(rows)} rows in {times.TIMES}")
    return 1 if failed else 0


def row(job: Job, source: dict[str, str], command: str = "run") -> dict:
    """A recorded run of one notebook, as data/results/notebook_times.csv holds it; source: `results.provenance`'s."""
    record = " --record" if command == "run" else ""
    return {
        "notebook": job.name,
        "profile": job.profile,
        "seconds": f"{job.seconds:.1f}",
        "peak_mb": f"{job.peak / 1e6:.0f}" if job.peak else "",
        "device": source["device"].split(",")[0],  # of "CPU, 2 threads" the CPU: how many is said by cores
        "cores": times.cores(),
        **{key: source[key] for key in ("python", "torch", "commit")},
        "command": f"python -m adapterlab {command} {job.name} --profile {job.profile}{record}",
        "date": source["date"][:10],
    }
