"""Two critics on one decoder: what they read, how sure the decoder is of a text, and who judges what they write."""

import math
import random
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...adapters import Adapters
from ...errors import UserError
from ...lab import Lab, move
from ...methods import LoRAConfig, houlsby
from ...models import load_base
from ...models.decoder import smollm2_folder
from ...tasks import EncodedText, Rows, Task, batches, encode, encode_text
from ...tasks.questions import load_questions
from ...train import evaluate, fit, predict

PROMPT, OPENINGS = "A critic on the film:", (" the movie", " the acting", " the story is", " a")
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
        print(f"{error}\nIn its place a tiny random decoder: every cell works, no word or number below means a thing.")
        return load_base("tiny-decoder", head="causal", device=lab.device, seed=lab.seed)


def upper_half(model, rank: int) -> LoRAConfig:
    """LoRA at query and value of the upper half of the layers: the error travels no further down."""
    depth = model.config.num_hidden_layers
    return LoRAConfig(rank=rank, layers=tuple(range(depth // 2, depth)))


def sentences(rows: Rows, label: int, count: int, seed: int = 0) -> list[str]:
    """Short sentences with this label, each behind the space that parts it from its prompt."""
    texts = [t for t, y in zip(rows.texts, rows.labels, strict=True) if y == label and len(t.split()) in WORDS]
    return [f" {text}" for text in random.Random(seed).sample(texts, min(count, len(texts)))]


def plain(count: int, tokenizer) -> EncodedText:
    """Short sentences about bees, glaciers and the like, from the bundled passages: no critic has read them.

    Their end tokens do not count: that a text ends after a sentence is the critics' habit, not English.
    """
    passages = dict.fromkeys(question.context for question in load_questions("mini_squad"))
    texts = [text for passage in passages for text in re.split(r"(?<=[.!?])\s+", passage)]
    short = [text for text in texts if len(text.split()) in WORDS]
    data = encode_text(random.Random(0).sample(short, min(count, len(short))), tokenizer)
    data.labels[data.labels == tokenizer.eos_token_id] = -100
    return data


@torch.no_grad()
def text_losses(model, data, loss: Callable[[Tensor, Tensor], Tensor], batch_size: int = 8) -> Tensor:
    """(texts, 2) in the data's order: `loss(logits, labels)` of each text, and how many tokens it is the mean of."""
    model.eval()
    device, rows = next(model.parameters()).device, torch.zeros(len(data), 2)
    for inputs, labels, order in batches(data, batch_size):
        logits = model(**move(inputs, device)).logits.float().cpu()
        for i, one, label in zip(order.tolist(), logits, labels, strict=True):
            rows[i] = torch.tensor([loss(one[None], label[None]).item(), (label[1:] != -100).sum().item()])
    return rows


def perplexity(rows: Tensor) -> float:
    """Of all tokens alike: exp of the mean that `text_losses` gives for each text, weighted by its tokens."""
    return math.exp((rows[:, 0] * rows[:, 1]).sum() / rows[:, 1].sum())


def more_surprised(one: Tensor, other: Tensor) -> tuple[float, float]:
    """(how much higher the loss of a token is for `other`, half-width of its 95% interval over the texts), paired."""
    gap = other[:, 0] - one[:, 0]
    return gap.mean().item(), 1.96 * gap.std().item() / len(gap) ** 0.5


@torch.no_grad()
def sample(
    model, tokenizer, prompts: Sequence[str], pad_left: Callable, new: int, seed: int = 0, batch_size: int = 32
) -> list[str]:
    """What is written behind each prompt, at most `new` tokens drawn at temperature 0.7, by the active adapters.

    pad_left(rows, pad) -> (ids, mask, positions) makes a batch of prompts, as exercise 15c does.
    """
    model.eval()
    texts, device = [], next(model.parameters()).device
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for at in range(0, len(prompts), batch_size):
            rows = [tokenizer(prompt).input_ids for prompt in prompts[at : at + batch_size]]
            ids, mask, _ = (t.to(device) for t in pad_left(rows, tokenizer.pad_token_id))
            drawn = model.generate(
                input_ids=ids, attention_mask=mask, do_sample=True, temperature=0.7, top_k=0, max_new_tokens=new,
                pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
            )  # fmt: skip
            texts += tokenizer.batch_decode(drawn[:, ids.shape[1] :], skip_special_tokens=True)
    return texts


def train_judge(
    task: Task, train: int, epochs: int, seed: int = 0, device="auto"
) -> tuple[Callable[[Sequence[str]], Tensor], float]:
    """(texts -> how probably each is pleased, its accuracy on 300 held-out sentences): an adapter as in notebook 02."""
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
