"""adapterlab: build adapters from scratch, train them, measure them, take them away.

The core (sites, methods, compose, adapters, checkpoint, models, tasks, train) needs torch, transformers and
safetensors only; figures, widgets and the command line import what they use where they use it.
"""

__version__ = "0.1.0"
