"""The three sizes of every notebook's run. Without torch: the command line asks here before there is one."""

import os

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
