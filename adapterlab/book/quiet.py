"""Is this machine quiet enough to measure on? A short fixed load on every core tells, by how much of them it gets."""

import hashlib
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import psutil

from ..errors import UserError
from ..profiles import usable_cores

ENOUGH = 0.9  # of each core's time
ROUNDS, WORK = 3, 400_000  # about 0.2 s a round


def insist(what: str, instead: str) -> None:
    """UserError when other work would be measured as well: what does not happen then, and what would work instead."""
    if disturbed := noise():
        raise UserError(f"{what}, since {disturbed}; stop it, or {instead}")


def noise(enough: float = ENOUGH) -> str:
    """What disturbs a measurement, as a sentence; "" on a quiet machine. Takes about a second."""
    got = share()
    if got >= enough:
        return ""
    return (
        f"this machine is not quiet: a fixed load got {100 * got:.0f}% of a core, below {100 * enough:.0f}%, "
        f"beside other work{busiest()}"
    )


def share(rounds: int = ROUNDS, work: int = WORK) -> float:
    """The part of a core's time, 0 to 1, that a load on all usable cores gets on the core where it gets least.

    It is the CPU time that the load took over the time that passed, so it is the same on a slow and on a fast machine.
    """
    cores = usable_cores()
    with ThreadPoolExecutor(cores) as pool:
        return statistics.median(min(pool.map(_load, [work] * cores)) for _ in range(rounds))


def _load(work: int) -> float:
    began, cpu = time.perf_counter(), time.thread_time()
    hashlib.pbkdf2_hmac("sha256", b"adapterlab", b"a fixed load", work)  # without Python's lock
    return (time.thread_time() - cpu) / (time.perf_counter() - began)


def busiest(seconds: float = 0.3) -> str:
    """ " (most by python, pid 4711)": which process but this one took most CPU time just now; "" when none did."""
    others = [p for p in psutil.process_iter(["name"]) if p.pid != psutil.Process().pid]
    spent = {p: _cpu(p) for p in others}
    time.sleep(seconds)
    spent = {p: _cpu(p) - before for p, before in spent.items()}
    most = max(spent, key=spent.__getitem__, default=None)
    return f" (most by {most.info['name']}, pid {most.pid})" if most and spent[most] > 0.1 * seconds else ""


def _cpu(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.Error:
        return 0.0
