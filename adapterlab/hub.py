"""Is the Hub there? Asked here alone, by huggingface_hub's own settings, and answered within PATIENCE seconds."""

import os
import threading
from pathlib import Path

from huggingface_hub import constants, get_session, try_to_load_from_cache
from huggingface_hub.utils import build_hf_headers

from .errors import UserError

PATIENCE = 2.0  # seconds
SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def switched_off(switches: tuple[str, ...] = SWITCHES) -> str | None:
    """The environment variable that says to stay offline, now or when the session began."""
    for switch in switches:
        if os.environ.get(switch, "").upper() in constants.ENV_VARS_TRUE_VALUES:
            return switch
    return SWITCHES[0] if constants.HF_HUB_OFFLINE else None


def answer(path: str = "", endpoint: str | None = None, switches: tuple[str, ...] = SWITCHES) -> int | str:
    """The HTTP status with which the Hub, or another endpoint, answers for a path; or why there is no answer."""
    if switch := switched_off(switches):
        return f"{switch} is set; unset it where there is a network"
    url = f"{(endpoint or constants.ENDPOINT).rstrip('/')}/{path}"
    answers: list[int | str] = []

    def ask():
        try:
            reply = get_session().request("GET" if path else "HEAD", url, headers=build_hf_headers(), timeout=PATIENCE)
            answers.append(reply.status_code)
        except Exception as error:  # the HTTP library's, of which huggingface_hub has had two, or the system's
            answers.append(" ".join(str(error).split())[:100] or type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)  # a name lookup has no timeout of its own
    thread.start()
    thread.join(PATIENCE)
    return answers[0] if answers else "no answer"


def need(what: str, instead: str, **ask) -> int:
    """The status of the Hub's answer (`ask`: as of `answer`); UserError, with what works instead, if there is none."""
    status = answer(**ask)
    if isinstance(status, str):
        raise UserError(f"{what} needs the Hub, which cannot be reached ({status}); offline, {instead}")
    return status


def model_cached(repo: str) -> bool:
    """Is this model of the Hub in the cache of this machine?"""
    return isinstance(try_to_load_from_cache(repo, "config.json"), str)


def data_cached(repo: str) -> bool:
    """Is this data set of the Hub in the cache that `datasets` keeps on this machine?"""
    cache = Path(os.environ.get("HF_DATASETS_CACHE", Path(constants.HF_HOME) / "datasets")).expanduser()
    folder = repo.replace("/", "___")
    return (cache / folder).is_dir() or (cache / folder.lower()).is_dir()
