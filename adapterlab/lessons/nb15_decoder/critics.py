"""Two critics on one decoder: what they read, how sure the decoder is of a text, and who judges what they write."""

import math
import random
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...adapters import Adapters
from ...decoder import smollm2_folder
from ...errors import UserError
from ...lab import Lab, move
from ...methods import houlsby
from ...models import load_base
from ...tasks import Rows, Task, batches, encode, load_task
from ...tasks.questions import load_questions
from ...train import evaluate, fit, predict

CRITICS = {"pleased": 1, "displeased": 0}  # critic -> label of Rotten Tomatoes
WORDS = range(5, 21)  # of a sentence: short ones, for small machines


def decoder(name: str, lab: Lab) -> tuple:
    """(model, tokenizer) of a decoder; the tiny one, whose text means nothing, where SmolLM2 cannot be had.

    In smoke nothing is fetched: SmolLM2 is taken where it lies on the machine already.
    """
    try:
        if name == "smollm2" and lab.profile == "smoke" and not smollm2_folder().is_dir():
            raise UserError("SmolLM2 is not on this machine, and smoke fetches nothing")
        return load_base(name, head="causal", device=lab.device, seed=lab.seed)
    except UserError as error:
        if name != "smollm2":
            raise
        print(f"{error}\nIn its place a tiny random decoder: every cell works, and no word or number below means a thing.")
        return load_base("tiny-decoder", head="causal", device=lab.device, seed=lab.seed)


def sentences(rows: Rows, label: int, count: int, seed: int = 0) -> list[str]:
    """Short sentences with this label, each behind the space that parts it from its prompt."""
    texts = [t for t, y in zip(rows.texts, rows.labels, strict=True) if y == label and len(t.split()) in WORDS]
    return [f" {text}" for text in random.Random(seed).sample(texts, min(count, len(texts)))]


def plain_sentences(count: int) -> list[str]:
    """Short sentences about bees, glaciers and the like, out of the bundled passages: no critic has read them."""
    passages = dict.fromkeys(question.context for question in load_questions("mini_squad"))
    texts = [text for passage in passages for text in re.split(r"(?<=[.!?])\s+", passage)]
    return random.Random(0).sample([text for text in texts if len(text.split()) in WORDS], count)


@torch.no_grad()
def text_losses(model, data, loss: Callable[[Tensor, Tensor], Tensor], batch_size: int = 8) -> Tensor:
    """(texts, 2) in the data's order: `loss(logits, labels)` of each text, and how many tokens it is the mean of."""
    model.eval()
    device, rows = next(model.parameters()).device, torch.zeros(len(data), 2)
    for inputs, labels, order in batches(data, batch_size):
        logits = model(**move(inputs, device)).logits.float().cpu()
        for i, one, label in zip(order.tolist(), logits, labels, strict=True):
            rows[i] = torch.tensor([loss(one[None], label[None]), (label[1:] != -100).sum()])
    return rows


def perplexity(rows: Tensor) -> float:
    """Of all tokens alike: exp of the mean that `text_losses` gives for each text, weighted by its tokens."""
    return math.exp((rows[:, 0] * rows[:, 1]).sum() / rows[:, 1].sum())


def more_surprised(one: Tensor, other: Tensor) -> tuple[float, float]:
    """(how much higher the loss of a token is for `other`, half-width of its 95% interval over the texts), paired."""
    gap = other[:, 0] - one[:, 0]
    return gap.mean().item(), 1.96 * gap.std().item() / len(gap) ** 0.5


def train_judge(
    task: Task, train: int, epochs: int, seed: int = 0, device="auto"
) -> tuple[Callable[[Sequence[str]], Tensor], float]:
    """(texts -> the probability that each is pleased, its accuracy on 300 held-out sentences): notebook 02's adapter."""
    data = task.subset(train=train, validation=min(300, train), test=None)
    model, tokenizer = load_base(labels=len(data.labels), device=device, seed=seed)
    adapters = Adapters(model)
    adapters.add("judge", houlsby(64), head=data.labels, seed=seed)
    adapters.train("judge")
    fit(model, encode(data.train, tokenizer), epochs=epochs, lr=1e-3, batch_size=16, seed=seed, name="the judge")

    def judge(texts: Sequence[str]) -> Tensor:
        rows = Rows(tuple(text.strip() or "." for text in texts), None, (0,) * len(texts))
        return predict(model, encode(rows, tokenizer)).softmax(-1)[:, CRITICS["pleased"]]

    return judge, evaluate(model, encode(data.validation, tokenizer))
