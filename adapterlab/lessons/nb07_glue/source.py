"""Where the tasks of notebook 07 come from: a GLUE download, the Hub, or rules over the bundled reviews."""

import os
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError
from ...studies.experiments import Places
from ...tasks import Task, load_task
from ...tasks.glue import GLUE, glue_name
from ...tasks.made import MADE

HUB = "hub:nyu-mll/glue"
ON_HUB = {"CoLA": "cola", "SST-2": "sst2", "MRPC": "mrpc", "STS-B": "stsb", "QQP": "qqp", "MNLI": "mnli",
          "QNLI": "qnli", "RTE": "rte"}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """kind: "folder", "hub" or "reviews"; places: what the experiments need to find the tasks; says: one line."""

    kind: str
    places: Places
    says: str

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that can be loaded, as "CoLA"."""
        if self.kind == "reviews":
            return tuple(MADE)
        if self.kind == "hub":
            return tuple(GLUE)
        present = {glue_name(child.name) for child in Path(self.places.glue or "").iterdir() if child.is_dir()}
        return tuple(task for task in GLUE if task in present)

    def key(self, task: str) -> str:
        """What the experiments call the task: "glue/CoLA", or the name of a rule."""
        return task if task in MADE or task.startswith("glue/") else f"glue/{task}"

    def load(self, task: str) -> Task:
        """The task called "CoLA" or "glue/CoLA", or the name of a rule; UserError as `load_task`."""
        name = self.key(task)
        return load_task(self.places.folders.get(name, name), root=self.places.glue)


def glue_source(given: str | Path = "", device: str = "auto") -> Source:
    """Where the tasks come from.

    given: a glue_data folder, "hub", or "": the environment's GLUE_DATA, else the reviews. device: for the experiments.

    Errors: UserError for a folder that is not there or holds no GLUE task.
    """
    given = str(given) or os.environ.get("GLUE_DATA", "")
    if given.lower() == "hub":
        folders = {f"glue/{task}": f"{HUB}/{name}" for task, name in ON_HUB.items()}
        return Source("hub", Places(device, folders), "GLUE from the Hub")
    if not given:
        return Source("reviews", Places(device), "no GLUE here: three tasks made from the bundled reviews by a rule")
    folder = Path(given).expanduser()
    if not folder.is_dir():
        raise UserError(f'{given}: there is no such folder; give the folder of a GLUE download, "hub" or ""')
    source = Source("folder", Places(device, glue=str(folder)), f"GLUE from the folder {folder.name}")
    if not source.tasks:
        raise UserError(f"{given} holds no GLUE task; it needs folders named {', '.join(GLUE)}")
    return source
