"""adapterlab: build adapters from scratch, train them, measure them, take them away.

The core (sites, methods, compose, adapters, checkpoint, models, tasks, train) needs torch, transformers and
safetensors only; figures, widgets and the command line import what they use where they use it.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    if name != "check":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return importlib.import_module(".lessons.check", __name__)
