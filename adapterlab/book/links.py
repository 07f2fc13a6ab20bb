"""Where the book opens without being installed: links to it, and each notebook's launch cell, for Colab.

The address of the repository stands in pyproject.toml's [project.urls], and is read from there.
"""

import tomllib

from ..paths import ROOT

#: Outside, where the notebook lies alone; in a checkout or beside an installed package it does nothing.
LAUNCH = """import importlib.util

if importlib.util.find_spec("adapterlab") is None:  # on Colab, say: fetch the book and what it needs, some minutes
    !git clone -q --depth 1 {address} book
    %cd -q book
    %pip install -q -r requirements.txt"""


def address() -> str:
    """The repository's address, without a slash at its end."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]["Repository"]


def badges() -> str:
    """The README's line of launch links, as Markdown."""
    at = address()
    owner_and_name = at.removeprefix("https://github.com/")
    colab = "https://colab.research.google.com"
    links = {
        "Binder": (
            "https://mybinder.org/badge_logo.svg",
            f"https://mybinder.org/v2/gh/{owner_and_name}/HEAD?urlpath=lab/tree/notebooks",
        ),
        "Colab": (
            f"{colab}/assets/colab-badge.svg",
            f"{colab}/github/{owner_and_name}/blob/main/notebooks/00_start_here.ipynb",
        ),
        "Codespaces": ("https://github.com/codespaces/badge.svg", f"https://codespaces.new/{owner_and_name}"),
    }
    return " ".join(f"[![{name}]({picture})]({link})" for name, (picture, link) in links.items())


def set_launch(nb) -> None:
    """Write the launch cell anew, which is tagged so."""
    for cell in nb.cells:
        if "launch" in cell.metadata.get("tags", []):
            cell.source = LAUNCH.format(address=address())
