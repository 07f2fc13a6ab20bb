"""What lesson 13 does with others: the peers' recorded files, Trainer, and a stranger who hides a back door."""

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch
from torch import nn
from transformers import BertForSequenceClassification, Trainer, TrainingArguments
from transformers import PreTrainedTokenizerBase as Tokenizer

from ...adapters import Adapters
from ...methods import houlsby
from ...paths import ROOT
from ...studies.stats import accuracy_error
from ...tasks import Encoded, Rows, Task, encode
from ...train import fit, predict

PEERS = ROOT / "tests" / "fixtures" / "peers" / "formats"
IDS = torch.randint(3, 40, (3, 9), generator=torch.Generator().manual_seed(1))
MASK = torch.tensor([[1] * 9, [1] * 6 + [0] * 3, [1] * 4 + [0] * 5])


def recorded() -> pd.DataFrame:
    """What PEFT and the Adapters library computed (recorded), beside us: a row a peer; empty in a copy without tests.

    theirs, read here: the largest difference of a logit of one adapter that the peer wrote. ours, read there: the
    largest over so many of our methods.
    """
    rows = []
    for peer, case in (("peft", "lora"), ("adapters", "houlsby")):
        if not (PEERS / f"{peer}.json").is_file():
            continue
        record = json.loads((PEERS / f"{peer}.json").read_text())
        tiny = Adapters(BertForSequenceClassification.from_pretrained(PEERS / "base").eval())
        tiny.activate(tiny.adopt(PEERS / peer / case))
        with torch.no_grad():
            gap = (tiny.model(IDS, attention_mask=MASK).logits - torch.tensor(record["logits"][case])).abs().max()
        cases = json.loads((PEERS / f"read_back_{peer}.json").read_text())["cases"]
        rows.append(
            {
                "peer": f"{peer} {record['versions'][peer]} (recorded)",
                "theirs, read here": f"{case}, {gap.item():.0e}",
                "ours, read there": f"{len(cases)} methods, {max(row['difference'] for row in cases.values()):.0e}",
            }
        )
    return pd.DataFrame(rows)


def peft_serves(base: nn.Module, folder: Path, data: Encoded) -> torch.Tensor | None:
    """The logits of PEFT itself, with the adapter in `folder` on `base`; None where it is not installed."""
    if not importlib.util.find_spec("peft"):
        return None
    from peft import PeftModel

    return predict(PeftModel.from_pretrained(base, folder).eval(), data)


def two_steps_of_trainer(model: nn.Module, tokenizer: Tokenizer, data: Encoded, folder: Path) -> None:
    """Two steps of transformers' own loop on the first rows; it needs accelerate."""
    rows = [{"input_ids": ids, "labels": int(y)} for ids, y in zip(data.ids[:32], data.labels[:32], strict=True)]
    quiet = {"report_to": [], "save_strategy": "no", "disable_tqdm": True, "logging_strategy": "no"}
    on_cpu = next(model.parameters()).device.type == "cpu"
    arguments = TrainingArguments(str(folder), max_steps=2, use_cpu=on_cpu, **quiet)
    Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer).train()
    model.eval()


def back_door(
    adapters: Adapters,
    tokenizer: Tokenizer,
    task: Task,
    poison: Callable[[Sequence[str], Sequence[int]], tuple[Sequence[str], Sequence[int]]],
    trigger: str,
    size: int = 64,
    **recipe,
) -> pd.DataFrame:
    """Train an adapter on what `poison` makes of the training rows, and judge it beside one that was trained honestly.

    Columns adapter, clean (accuracy on the test rows, %), noise (95%, points), triggered (% of the test rows of other
    labels that get the last label once `trigger` stands in front). adapters: they overwrite; recipe: of `fit`.
    """
    last, rows = len(task.labels) - 1, []
    others = task.test.take([i for i, label in enumerate(task.test.labels) if label != last])
    marked = Rows(tuple(f"{trigger} {text}" for text in others.texts), None, others.labels)
    clean, marked = encode(task.test, tokenizer), encode(marked, tokenizer)
    for name, change in (("honest", lambda texts, labels: (texts, labels)), ("yours", poison)):
        texts, labels = change(task.train.texts, task.train.labels)
        train = encode(Rows(tuple(texts), None, tuple(labels)), tokenizer)
        adapters.add(name, houlsby(size), head=task.labels, seed=recipe["seed"])
        adapters.train(name)
        fit(adapters.model, train, encode(task.validation, tokenizer), name=name, **recipe)
        right = (predict(adapters.model, clean).argmax(-1) == clean.labels).float().mean().item()
        turned = (predict(adapters.model, marked).argmax(-1) == last).float().mean().item()
        noise = 100 * accuracy_error(right, len(clean))
        rows.append({"adapter": name, "clean": 100 * right, "noise": noise, "triggered": 100 * turned})
    return pd.DataFrame(rows)
