"""Exercises of 00_start_here: what is stored, how good a model is."""

import torch

from ..kit.exercise import exercise, random_tensors

megabytes = exercise("00a", "tasks, model_bytes, adapter_bytes",
    "(tasks * model_bytes / 1e6, (model_bytes + tasks * adapter_bytes) / 1e6)",
    [(3, 90_868_376, 2_432_550), (10, 40_000_000, 1_500_000), (1, 7_000_000, 200_000)], """
    right(tasks, model_bytes, adapter_bytes)[::-1]  # the two change places: first the copies, then the adapters
    (right(tasks, model_bytes, adapter_bytes)[0], tasks * adapter_bytes / 1e6)
        # the model itself is missing in the second: no adapter works without it
    (right(tasks, model_bytes, adapter_bytes)[0], tasks * (model_bytes + adapter_bytes) / 1e6)
        # every adapter pays for the model again; it is stored once
    (right(tasks, model_bytes, adapter_bytes)[0], (model_bytes + adapter_bytes) / 1e6)
        # the second holds one adapter; every task brings its own
    (model_bytes / 1e6, right(tasks, model_bytes, adapter_bytes)[1])  # the first is one copy; every task has its own
    ((tasks + 1) * model_bytes / 1e6, right(tasks, model_bytes, adapter_bytes)[1])
        # one copy too many: fine-tuned copies need no further model
    (tasks * model_bytes, model_bytes + tasks * adapter_bytes)        # these are bytes; divide by 1e6 for MB
    (tasks * model_bytes / 2**20, (model_bytes + tasks * adapter_bytes) / 2**20)
        # 1 MB is a million bytes here, 1e6; 2**20 is a mebibyte
    (tasks * model_bytes / 1e6, model_bytes + tasks * adapter_bytes / 1e6)
        # the model's bytes are not divided: put the sum of the second in brackets
    tuple(round(mb) for mb in right(tasks, model_bytes, adapter_bytes))
    tuple(round(mb, 1) for mb in right(tasks, model_bytes, adapter_bytes))
        # do not round: the notebook rounds when it prints
""")  # fmt: skip

LABELS = torch.tensor([0, 2, 1, 2, 0, 1, 1])
ANSWERS = [
    (random_tensors((7, 3), seed=1)[0], LABELS),
    (random_tensors((6, 2), seed=3)[0] + 2, LABELS[:6].clamp(max=1)),
    (random_tensors((5, 5), seed=5)[0] - 2, LABELS[:5]),
]

accuracy_percent = exercise("00b", "logits, labels", "100 * (logits.argmax(dim=1) == labels).float().mean().item()",
    ANSWERS, """
    right(logits, labels) / 100                 # it is a fraction; multiply by 100 for percent
    100 - right(logits, labels)                 # these are the wrong answers: compare with ==
    right(logits, labels) * len(labels) / 100   # that is the number of right rows; divide it by the rows
    right(logits, labels) / logits.shape[1]     # it divides by rows times labels; every row has one answer
    100 * (logits.argmin(dim=1) == labels).float().mean().item()  # it takes the smallest logit; argmax is the largest's
    100 * (logits.argmax(dim=0) == labels[: logits.shape[1]]).float().mean().item()
    100 * (logits.argmax(dim=0) == labels).float().mean().item()
        # argmax(dim=0) compares the rows with each other; within a row it is dim=1
    100 * ((logits[:, 1] > 0).long() == labels).float().mean().item()
        # a logit above 0 is no answer; the largest of the row is, whatever its sign
    100 * logits.softmax(1).gather(1, labels[:, None]).mean().item()
        # that is the mean probability of the right label; count the rows whose largest logit is at it
    round(right(logits, labels))                # do not round: the notebook rounds when it prints
""")  # fmt: skip

QUIZ = """b a c
    1 a  # an adapter's file is a few percent of the model: no copy of it fits in there
    1 c  # a head has a few thousand numbers at most, too few to make up a whole model
    2 b  # what is saved is a second copy of the model; how many copies does one task have?
    2 c  # the model is there once, and the adapter beside it is far smaller than another model
    3 a  # the shapes fit and the answers would be nonsense: it learned to correct other weights
    3 b  # no factor turns what was learned beside some weights into what suits others
"""
