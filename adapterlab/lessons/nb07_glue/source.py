"""Where the tasks of notebook 07 come from: a GLUE download, the Hub, or rules over the bundled reviews."""

import os
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from ...studies.experiments import Places
from ...tasks import Task, load_task
from ...tasks.glue import GLUE, glue_name
from ...tasks.made import MADE


@dataclass(frozen=True)
class Source:
    """tasks: "CoLA" -> "glue/CoLA", what the experiments call it; places: where they find it; says: one line."""

    tasks: dict[str, str]
    places: Places
    says: str

    def load(self, name: str) -> Task:
        """A task by its name in `tasks`; UserError as `load_task`."""
        key = self.tasks.get(name, name)
        return load_task(self.places.folders.get(key, key), root=self.places.glue)


def glue_source(given: str | Path = "", device: str = "auto") -> Source:
    """given: a glue_data folder, "hub", or "": the environment's GLUE_DATA, else the reviews; device: of experiments.

    Errors: UserError for a folder that is not there or holds no GLUE task.
    """
    given, glue = str(given) or os.environ.get("GLUE_DATA", ""), {name: f"glue/{name}" for name in GLUE}
    if not given:
        says = "no GLUE here: three tasks made from the bundled reviews by a rule"
        return Source({name: name for name in MADE}, Places(device), says)
    if given.lower() == "hub":
        folders = {key: f"hub:nyu-mll/glue/{name.lower().replace('-', '')}" for name, key in glue.items()}
        return Source(glue, Places(device, folders), "GLUE from the Hub")
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(f'{given}: there is no such folder; give the folder of a GLUE download, "hub" or ""')
    present = {glue_name(child.name) for child in folder.iterdir() if child.is_dir()}
    tasks = {name: key for name, key in glue.items() if name in present}
    if not tasks:
        raise UserError(f"{given} holds no GLUE task; it needs folders named {', '.join(GLUE)}")
    return Source(tasks, Places(device, glue=str(folder)), f"GLUE from the folder {folder.name}")
