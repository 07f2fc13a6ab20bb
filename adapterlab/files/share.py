"""Handing an adapter on: to and from the Hugging Face Hub, or as a zip for a class without a network.

Whatever comes from elsewhere is hostile until checked: only files that an adapter has, by their plain names, of bounded
size; no links, no paths. What is then in the folder is read by `Adapters.load` or `adopt`, strictly.
"""

import io
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, errors

from .. import hub
from ..errors import UserError
from ..paths import write_whole
from . import adapterhub, checkpoint, formats, peft

if TYPE_CHECKING:
    from ..adapters import Adapters

OURS = (checkpoint.TENSORS, checkpoint.CONFIG, checkpoint.CARD)
SAFE = (
    *OURS, peft.CONFIG, peft.SAFE, adapterhub.HEAD_CONFIG, adapterhub.HEAD_SAFE, adapterhub.FUSION_CONFIG,
    adapterhub.FUSION_SAFE,
)  # fmt: skip
MAX_BYTES = 1_000_000_000  # of all files together
ENTRY = re.compile(r"(?:(?!\.\.?/)([^/\0:]+)/)?([^/\0:]+)")  # of an archive: a file, or one in a folder
JUNK = re.compile(r"__MACOSX/.*|.*/|(?:.*/)?(?:\.DS_Store|Thumbs\.db|desktop\.ini)", re.DOTALL)  # what tools add
ERRORS = {
    errors.HFValidationError: "is no name of a repository; it reads owner/name",
    errors.GatedRepoError: "asks for a consent on its page first",
    errors.RepositoryNotFoundError: "is not on the Hub, or you may not see it; log in with `hf auth login`",
    errors.RevisionNotFoundError: "has no such revision",
    errors.EntryNotFoundError: "lacks a file that it lists",
}


def write(adapters: "Adapters", name: str, folder, form: str = "adapterlab", overwrite: bool = False) -> Path:
    """An adapter in a folder, in our format, PEFT's or AdapterHub's."""
    if form == "adapterlab":
        return checkpoint.save(adapters, name, folder, overwrite)
    return formats.export(adapters, name, folder, form, overwrite, away=True)


def read(adapters: "Adapters", folder, name: str | None = None, head: bool = True) -> str:
    """Add the adapter in a folder, whoever wrote it, with its head or without; returns its name."""
    ours = (Path(folder) / checkpoint.CONFIG).is_file()
    return (checkpoint.load if ours else formats.adopt)(adapters, folder, name, head)


# ---- a zip


def pack(adapters: "Adapters", name: str, path, form: str = "adapterlab", overwrite: bool = False) -> Path:
    """Write an adapter as one zip file, whole or not at all; the same adapter gives the same bytes."""
    path = Path(path)
    if path.exists() and not overwrite:
        raise UserError(f'"{path}" is there already; choose another name or say overwrite=True')
    buffer = io.BytesIO()
    with tempfile.TemporaryDirectory() as temporary, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(write(adapters, name, Path(temporary) / "adapter", form).iterdir()):
            archive.writestr(zipfile.ZipInfo(file.name), file.read_bytes(), zipfile.ZIP_DEFLATED)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, buffer.getvalue())
    except OSError as error:
        raise UserError(f'cannot write "{path}": {error.strerror or error}') from None
    return path


def unpack(path, folder, overwrite: bool = False) -> Path:
    """The adapter in a zip file into a folder of its own, whole or not at all.

    Entries may lie in one folder of the archive, as a file manager packs them; what it adds by itself is passed over.
    Errors: UserError for any other file, a path, a link, a password, more bytes than an adapter has, a damaged archive.
    """
    path, folder = Path(path), checkpoint.check_target(folder, overwrite)
    if not path.is_file():
        raise UserError(f'there is no file "{path}"')
    try:
        with zipfile.ZipFile(path) as archive:
            files = _entries(path, archive)
    except UserError:
        raise
    except Exception as error:  # zipfile's, zlib's, lzma's, struct's, the system's: no zip file, or a damaged one
        raise UserError(f'"{path}" is no zip file that can be read ({type(error).__name__}: {error})') from None
    return checkpoint.write_folder(folder, files)


def _entries(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    """{plain file name: content} of an archive, every entry checked before it is read."""
    files: dict[str, bytes] = {}
    left, folders = MAX_BYTES, set()
    for entry in archive.infolist():
        plain = entry.filename.replace("\\", "/")  # some Windows tools separate with "\\"
        if JUNK.fullmatch(plain):
            continue
        match = ENTRY.fullmatch(plain)
        folder, name = match.groups() if match else (None, "")
        folders.add(folder)
        wrong = {
            "which is no file of an adapter": name not in SAFE or len(folders) > 1,
            "which is a link or a device": stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG),
            "and has it twice": name in files,
            f"with which it would unpack to more than {MAX_BYTES:,} bytes": entry.file_size > left,
        }
        for why in (why for why, holds in wrong.items() if holds):
            raise UserError(f'"{path}" has an entry {entry.filename[:80]!r}, {why}; nothing was unpacked')
        with archive.open(entry) as stream:
            files[name] = stream.read(entry.file_size)  # no more than that, also where the table says too little
        left -= entry.file_size
    if not files:
        raise UserError(f'"{path}" holds no file of an adapter')
    return files


# ---- the Hub


def push(
    adapters: "Adapters", name: str, repo: str, *, form: str = "adapterlab", private: bool = True, token=None,
    endpoint=None,
) -> str:  # fmt: skip
    """Upload an adapter to a repository of the Hub ("me/my-adapter"), which is made if it is not there; its address.

    form: "adapterlab", or "peft" or "adapterhub" for those who load it there. token: else the one that is logged in.
    Errors: UserError without a network, without a right to write, for a name that is no repository's.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = write(adapters, name, Path(temporary) / "adapter", form)
        with _hub(repo, endpoint, token) as api:
            repo = api.create_repo(repo, private=private, exist_ok=True).repo_id
            return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"Adapter {name}").commit_url)


def fetch(
    repo: str, folder, *, revision: str | None = None, token=None, endpoint=None, overwrite: bool = False
) -> Path:
    """Download the adapter of a Hub repository into a folder of its own, whole or not at all; nothing else of it."""
    folder = checkpoint.check_target(folder, overwrite)
    with _hub(repo, endpoint, token) as api, tempfile.TemporaryDirectory() as temporary:
        info = api.model_info(repo, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if file.rfilename in SAFE}
        if not set(sizes) & set(checkpoint.MARKS):
            raise UserError(f'"{repo}" holds no adapter in its top folder')
        _bounded(repo, sizes.values())
        api.snapshot_download(repo, revision=info.sha, allow_patterns=list(sizes), local_dir=temporary)
        paths = [Path(temporary) / name for name in sizes]
        _bounded(repo, (path.stat().st_size for path in paths))
        files = {path.name: path.read_bytes() for path in paths}
    return checkpoint.write_folder(folder, files)


def _bounded(repo: str, sizes: Iterable[int]) -> None:
    if (total := sum(sizes)) > MAX_BYTES:
        raise UserError(f'"{repo}" is {total:,} bytes; no adapter has more than {MAX_BYTES:,}')


def pull(adapters: "Adapters", repo: str, name: str | None = None, head: bool = True, **settings) -> str:
    """Add the adapter of a Hub repository to the model; returns its name. settings: of `fetch`."""
    with tempfile.TemporaryDirectory() as temporary:
        return read(adapters, fetch(repo, Path(temporary) / "adapter", **settings), name, head)


@contextmanager
def _hub(repo: str, endpoint: str | None, token) -> Iterator[HfApi]:
    """The Hub, if it is there; its errors as one sentence each."""
    hub.need(f'"{repo}"', "hand the adapter on as a zip: share.pack and share.unpack", endpoint=endpoint)
    try:
        yield HfApi(endpoint=endpoint, token=token)
    except UserError:
        raise
    except Exception as error:
        known = next((text for kind, text in ERRORS.items() if isinstance(error, kind)), None)
        if known:
            raise UserError(f'"{repo}" {known}') from None
        status = getattr(getattr(error, "response", None), "status_code", None)
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        hint = "; log in with `hf auth login`" if status in (401, 403) else ""
        raise UserError(f'"{repo}": the Hub answers {status or "nothing that can be used"} ({first}){hint}') from None
