"""adapterlab: build adapters from scratch, train them, measure them, take them away.

    from adapterlab import Adapters, encode, fit, houlsby, load_base, load_task

The rooms, from the bottom to the top; what stands in one imports from those below it alone:

    errors paths profiles progress lab hub  the ground: UserError; device, seeds, memory; is the Hub there?
    families sites quantize                 where: the sites of a model, and how a frozen map keeps its weights
    methods/                                what: y' = method(x, y), a short file each
    compose adapter suits                   together; one adapter; does the one suit the other?
    special hooks                           how they get at the model
    merge combine                           into the frozen weights; of weights
    files/                                  an adapter on disk, and away
    explain adapters                        what looks wrong; the life of many on one model
    models tasks/ train                     a base, a task, a loop
    studies/                                measuring and comparing
    lessons/                                what the notebooks need: exercises, figures, views
    book/                                   running the notebooks

Up to `train` it takes torch, transformers, safetensors and what these bring; figures, widgets and the command line
import what they use where they use it. The names of `LESSON` are imported when they are first asked for.
"""

import importlib
import os

# Threads that wait for each other spin; beside other work (a browser, a second notebook) they spin away the cores they
# wait for: benchmarks/busy.py measures it. OpenMP reads this when torch is loaded, so import adapterlab first.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

__version__ = "0.1.0"

LESSON = {
    "Adapters": "adapters",
    "Ledger": "studies.ledger",
    "UserError": "errors",
    "batches": "tasks",
    "check": "lessons.check",
    "encode": "tasks",
    "evaluate": "train",
    "fit": "train",
    "houlsby": "methods",
    "load_base": "models",
    "load_task": "tasks",
    "predict": "train",
    "setup": "lab",
    "tree": "studies.tree",
}


def __getattr__(name: str):
    if name not in LESSON:
        raise AttributeError(f'adapterlab has no "{name}"; import it from its module')
    module = importlib.import_module(f"{__name__}.{LESSON[name]}")
    return module if name == "check" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *LESSON])
