"""run_sweep: many runs of one function, on any executor, each written down the moment it ends.

rows = run_sweep(run_one, settings, "size_sweep", executor=ProcessPoolExecutor(4))

Stopped, killed or with a run that failed: start it again, and it does what is missing.
"""

import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..paths import RESULTS
from .results import key, provenance, read, record, stable


def run_sweep(
    function: Callable,
    settings: list[dict],
    name: str,
    executor: Executor | None = None,
    folder: Path | str = RESULTS,
    **more: Any,
) -> list[dict]:
    """Run function(setting) -> row for every setting that has no recorded row yet; returns the rows of all that ended.

    executor: a concurrent.futures.Executor (processes, threads, Dask's `client.get_executor()`); None: here, in turn.
    The others, and more (group, keep, until, show), as `Sweep` has them.
    """
    return Sweep(function, settings, name, folder, **more).submit(executor).collect()


@dataclass
class Sweep:
    """`run_sweep` in two steps, so that several sweeps can share an executor: submit all, then collect each.

    function: a module's own function (processes must be able to import it). Its row is recorded as {**setting,
        **provenance, **keep, **row, "key": key(setting)}: what the function says of its device counts.
    group: settings -> lists of settings; function then gets a list and returns as many rows, as a bank of runs does.
    until: the time (as `time.time()`) after which no run begins any more.
    A run that fails is reported with its setting and stops no other; it is tried again the next time.
    Errors: UserError for two equal settings, a setting that JSON cannot hold, a damaged results file.
    """

    function: Callable
    settings: list[dict]
    name: str
    folder: Path | str = RESULTS
    group: Callable[[list[dict]], list[list[dict]]] | None = None
    keep: dict = field(default_factory=dict)
    until: float | None = None
    show: bool = True

    def __post_init__(self):
        settings = self.settings
        self.keys = [key(setting) for setting in settings]
        twice = [s for i, s in enumerate(settings) if self.keys[i] in self.keys[:i]]
        if twice:
            raise UserError(f"two runs have the same setting; leave one out: {stable(twice[0])}")
        ready = {row.get("key") for row in read(self.name, self.folder)}
        todo = [s for s, k in zip(settings, self.keys, strict=True) if k not in ready]
        self.jobs = self.group(todo) if self.group else [[s] for s in todo]
        self.done, self.failed, self.began = len(settings) - len(todo), 0, time.monotonic()
        self.futures: dict[Future, list[dict]] = {}
        provenance()  # what it looks up once it looks up now, not when the first run waits to be written down
        if self.done:
            self.say(f"{self.done} of {len(settings)} runs are recorded already")

    def submit(self, executor: Executor | None) -> "Sweep":
        """Hand all that is to do to the executor; without one, do it now."""
        for job in self.jobs:
            argument = job if self.group else job[0]
            if executor is None:
                future = Future()
                try:
                    future.set_result(_begin(self.function, argument, self.until))
                except Exception as error:
                    future.set_exception(error)
                self._store(job, future)
            else:
                self.futures[executor.submit(_begin, self.function, argument, self.until)] = job
        return self

    def collect(self) -> list[dict]:
        """Write down each run as it ends; returns all recorded rows of this sweep."""
        told = self.began
        try:
            for future in as_completed(list(self.futures)):
                self._store(self.futures[future], future)
                if time.monotonic() - told > 15:
                    told = time.monotonic()
                    self.say(f"{self.done} of {len(self.keys)} after {told - self.began:.0f} s")
        except KeyboardInterrupt:
            self.say("stopped; what has ended is recorded, and the next start goes on from there")
            raise
        finally:
            for future in self.futures:
                future.cancel()
        left = len(self.keys) - self.done - self.failed
        self.say(
            f"{self.done} of {len(self.keys)} recorded"
            + (f", {self.failed} failed (start again to retry)" if self.failed else "")
            + (f", {left} not begun" if left else "")
            + f", {time.monotonic() - self.began:.1f} s"
        )
        wanted = set(self.keys)
        return [row for row in read(self.name, self.folder) if row.get("key") in wanted]

    def say(self, text: str) -> None:
        if self.show:
            print(f"{self.name}: {text}", flush=True)

    def _store(self, job: list[dict], future: Future) -> None:
        """Record what a job returned, or report what it raised."""
        try:
            rows = future.result()
            if rows is None:
                return  # too late: not begun
            rows = rows if isinstance(rows, list) else [rows]
            if len(rows) != len(job):
                raise ValueError(f"{len(job)} settings made {len(rows)} rows")
            stamp = {**provenance(), **self.keep}
            whole = [{**s, **stamp, **r, "key": key(s)} for s, r in zip(job, rows, strict=True)]
            for row in whole:
                stable(row)
        except Exception as error:
            self._report(job, error)
            return
        for row in whole:
            record(self.name, row, self.folder, unless="key")
        self.done += len(job)

    def _report(self, job: list[dict], error: Exception) -> None:
        self.failed += len(job)
        where = traceback.extract_tb(error.__traceback__)
        at = f" ({Path(where[-1].filename).name}:{where[-1].lineno})" if where else ""
        more = f" and {len(job) - 1} more" if len(job) > 1 else ""
        warnings.warn(
            f"{self.name}: a run failed, {type(error).__name__}: {error}{at}; its setting: {stable(job[0])}{more}",
            RuntimeWarning,
            stacklevel=5,
        )


def _begin(function, argument, until: float | None):
    """The function's rows, or None when it is too late to begin."""
    return None if until is not None and time.time() > until else function(argument)
