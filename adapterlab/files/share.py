"""Handing an adapter on: to and from the Hugging Face Hub, or as a zip for a class without a network.

Whatever comes from elsewhere is hostile until checked: only files that an adapter has, by their plain names, of bounded
size and number; no links, no paths. What is then in the folder is read by `Adapters.load` or `adopt`, strictly.
"""

import io
import re
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi, errors

from .. import hub
from ..errors import UserError
from ..paths import write_whole
from . import checkpoint, formats

if TYPE_CHECKING:
    from ..adapters import Adapters

OURS = (checkpoint.TENSORS, checkpoint.CONFIG, checkpoint.CARD)
SAFE = (
    *OURS, "adapter_config.json", "adapter_model.safetensors", "head_config.json", "model_head.safetensors",
    "adapter_fusion_config.json", "model_adapter_fusion.safetensors",
)  # fmt: skip
MAX_BYTES, MAX_ENTRIES = 1_000_000_000, 100  # of all files together; of an archive
CHUNK = 1 << 20
ERRORS = {
    errors.HFValidationError: "is no name of a repository; it reads owner/name",
    errors.GatedRepoError: "asks for a consent on its page first",
    errors.RepositoryNotFoundError: "is not on the Hub, or you may not see it; log in with `hf auth login`",
    errors.RevisionNotFoundError: "has no such revision",
    errors.EntryNotFoundError: "lacks a file that it lists",
}
INSTEAD = "hand the adapter on as a zip: share.pack and share.unpack"


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
    with tempfile.TemporaryDirectory() as temporary:
        folder = write(adapters, name, Path(temporary) / "adapter", form)
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.iterdir()):
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
    path, folder = Path(path), checkpoint.check_target(folder, overwrite, (checkpoint.CONFIG, *formats.MARKS))
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
    """{plain file name: content} of an archive, every entry checked before it is read and while it is."""
    if len(archive.infolist()) > MAX_ENTRIES:
        raise UserError(f'"{path}" has {len(archive.infolist())} entries; no adapter has more than {len(SAFE)}')
    files, left, folders = {}, MAX_BYTES, set()
    for entry in archive.infolist():
        if entry.is_dir() or _added_by_itself(entry.filename):
            continue
        folder, _, name = entry.filename.replace("\\", "/").rpartition("/")  # some Windows tools separate with "\\"
        folders.add(folder)
        if wrong := _wrong(entry, folder, name, folders, files, left):
            raise UserError(f'"{path}" has an entry {entry.filename[:80]!r}, {wrong}; nothing was unpacked')
        files[name] = _bounded(path, archive, entry, left)
        left -= len(files[name])
    if not files:
        raise UserError(f'"{path}" holds no file of an adapter')
    return files


def _wrong(entry: zipfile.ZipInfo, folder: str, name: str, folders: set[str], files: dict, left: int) -> str | None:
    """What is wrong with an entry, by what the archive's table says; None: nothing."""
    plain = (
        re.fullmatch(r"[^/\0:]*", folder) and folder not in (".", "..") and not entry.filename.startswith(("/", "\\"))
    )
    if name not in SAFE or not plain or len(folders) > 1:
        return "which is no file of an adapter"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "which is a link or a device"
    if entry.flag_bits & 1:
        return "which has a password"
    if name in files:
        return "and has it twice"
    return f"with which it would unpack to more than {MAX_BYTES:,} bytes" if entry.file_size > left else None


def _bounded(path: Path, archive: zipfile.ZipFile, entry, limit: int) -> bytes:
    """An entry's content; the size in the archive's table is a claim, so count what really comes out."""
    parts, total = [], 0
    with archive.open(entry) as stream:
        while chunk := stream.read(CHUNK):
            total += len(chunk)
            if total > min(limit, entry.file_size):
                raise UserError(f'"{path}": an entry unpacks to more than it says; nothing was unpacked')
            parts.append(chunk)
    return b"".join(parts)


def _added_by_itself(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] in (".DS_Store", "Thumbs.db", "desktop.ini")


# ---- the Hub


def push(
    adapters: "Adapters",
    name: str,
    repo: str,
    *,
    form: str = "adapterlab",
    private: bool = True,
    token=None,
    endpoint=None,
) -> str:
    """Upload an adapter to a repository of the Hub ("me/my-adapter"), which is made if it is not there; its address.

    form: "adapterlab", or "peft" or "adapterhub" for those who load it there. token: else the one that is logged in.
    Errors: UserError without a network, without a right to write, for a name that is no repository's.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = write(adapters, name, Path(temporary) / "adapter", form)
        hub.need(f'"{repo}"', INSTEAD, endpoint=endpoint)
        api = HfApi(endpoint=endpoint, token=token)
        with _sentences(repo):
            repo = api.create_repo(repo, private=private, exist_ok=True).repo_id
            commit = api.upload_folder(repo_id=repo, folder_path=folder, commit_message=f"Adapter {name}")
            return str(commit.commit_url)


def fetch(
    repo: str, folder, *, revision: str | None = None, token=None, endpoint=None, overwrite: bool = False
) -> Path:
    """Download the adapter of a Hub repository into a folder of its own, whole or not at all; nothing else of it."""
    folder = checkpoint.check_target(folder, overwrite, (checkpoint.CONFIG, *formats.MARKS))
    hub.need(f'"{repo}"', INSTEAD, endpoint=endpoint)
    api = HfApi(endpoint=endpoint, token=token)
    with _sentences(repo), tempfile.TemporaryDirectory() as temporary:
        info = api.model_info(repo, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if file.rfilename in SAFE}
        if not set(sizes) & {checkpoint.CONFIG, *formats.MARKS}:
            raise UserError(f'"{repo}" holds no adapter in its top folder')
        if sum(sizes.values()) > MAX_BYTES:
            raise UserError(f'"{repo}" would be {sum(sizes.values()):,} bytes; no adapter has more than {MAX_BYTES:,}')
        api.snapshot_download(repo, revision=info.sha, allow_patterns=list(sizes), local_dir=temporary)
        paths = [Path(temporary) / name for name in sizes]
        if sum(path.stat().st_size for path in paths) > MAX_BYTES:
            raise UserError(f'"{repo}" is larger than it says; nothing was kept')
        files = {path.name: path.read_bytes() for path in paths}
    return checkpoint.write_folder(folder, files)


def pull(adapters: "Adapters", repo: str, name: str | None = None, head: bool = True, **settings) -> str:
    """Add the adapter of a Hub repository to the model; returns its name. settings: of `fetch`."""
    with tempfile.TemporaryDirectory() as temporary:
        return read(adapters, fetch(repo, Path(temporary) / "adapter", **settings), name, head)


@contextmanager
def _sentences(repo: str) -> Iterator[None]:
    """The Hub's errors as one sentence each."""
    try:
        yield
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
