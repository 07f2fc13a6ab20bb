"""The setup line of every notebook: profile, seed, device, versions."""

import platform
import random
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from .errors import UserError
from .profiles import pick_profile, usable_cores

T = TypeVar("T")


@dataclass(frozen=True)
class Lab:
    """What a notebook needs to know about this run."""

    profile: str
    seed: int
    device: torch.device

    def pick(self, smoke: T, class_: T, full: T) -> T:
        """The value that belongs to the profile: `lab.pick(smoke=32, class_=2000, full=8530)`."""
        return {"smoke": smoke, "class": class_, "full": full}[self.profile]


def setup(profile: str = "", seed: int = 0, device: str = "auto") -> Lab:
    """Choose profile and device, seed everything, print one line that says so.

    profile: "smoke" (does every cell work), "class" (two CPU cores, minutes) or "full" (the real
        experiment); "" takes the environment's ADAPTERLAB_PROFILE, else "class".
    device: "auto" takes a GPU when there is one; "cpu", "cuda" and "mps" insist.
    Errors: UserError for an unknown profile or a GPU that is not there.
    """
    import transformers

    profile = pick_profile(profile)
    where = pick_device(device)
    seed_everything(seed)
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))  # torch does not ask for a container's quota
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    print(
        f"profile {profile} | seed {seed} | {device_name(where)} | Python {platform.python_version()} | "
        f"torch {torch.__version__} | transformers {transformers.__version__}"
    )
    return Lab(profile, seed, where)


def pick_device(device: str = "auto") -> torch.device:
    """ "auto", "cpu", "cuda" or "mps" -> torch.device; UserError when the GPU asked for is not there.

    "auto" never takes "mps": Apple's GPU lacks some operations (4-bit bases, float64), and then torch says which.
    """
    usable = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device("cuda" if usable["cuda"] else "cpu")
    if device not in usable:
        raise UserError(f'unknown device "{device}"; use "auto", "cpu", "cuda" or "mps"')
    if not usable[device]:
        raise UserError(f'device "{device}" was asked for and this machine has no usable GPU; use "auto" or "cpu"')
    return torch.device(device)


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU with its number of threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def mixed_precision(device: torch.device) -> AbstractContextManager:
    """bfloat16 for the large products on a GPU that has it; nothing on any other device."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def move(inputs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """A batch's inputs on the device; what is no tensor stays."""
    return {k: v.to(device, non_blocking=True) if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}


def seed_everything(seed: int) -> None:
    """Seed Python's and torch's generators (every device)."""
    random.seed(seed)
    torch.manual_seed(seed)


def peak_memory_mb(device: torch.device | None = None) -> float:
    """The most memory in use since `reset_peak_memory`, in MB (10^6 bytes): the GPU's on a GPU, else this process's."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if platform.system() == "Darwin" else peak * 1024 / 1e6


def reset_peak_memory(device: torch.device | None = None) -> None:
    """Start a new peak, where the system can (a GPU, Linux); elsewhere the peak is the process's since its start."""
    if device is not None and device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def release_memory() -> None:
    """Give freed memory back to the system; glibc would keep it, and a small machine (Binder: 2 GB) needs it."""
    import ctypes
    import gc

    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL("libc.so.6").malloc_trim(0)
