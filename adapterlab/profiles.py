"""The three sizes of every notebook's run. Without torch: the command line asks here before there is one."""

import os
from pathlib import Path

from .errors import UserError, suggest

PROFILES = ("smoke", "class", "full")


def pick_profile(profile: str | None = None) -> str:
    """The profile asked for, else the environment's ADAPTERLAB_PROFILE, else "class"; UserError if unknown."""
    profile = profile or os.environ.get("ADAPTERLAB_PROFILE") or "class"
    if profile not in PROFILES:
        raise UserError(
            f'unknown profile "{profile}"{suggest(profile, PROFILES).rstrip("?")}; '
            f"the profiles are {', '.join(PROFILES)}"
        )
    return profile


def usable_cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """CPU cores this process may use: its affinity or a container's quota (cgroup v2 or v1), whichever is less."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for names in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            quota, period = " ".join((groups / name).read_text() for name in names).split()
            if int(quota) > 0:
                count = min(count, max(1, round(int(quota) / int(period))))
        except (OSError, ValueError):  # no such file, or no limit ("max"; v1 says -1)
            continue
    return count
