"""The learner's LoRA in the place of the package's, and how far one step of Adam moves a model with it."""

from collections.abc import Callable

import torch
from torch import Tensor

from ...adapters import Adapters
from ...methods import LoRA
from ...train import default_loss


def run_with(forward: Callable | None = None, merge: Callable | None = None) -> None:
    """From here on every LoRA computes `forward(x, y, A, B, alpha)`, and `merge(W, A, B, scale)` writes it into W."""
    if forward:
        LoRA.forward = lambda self, x, y: forward(x, y, self.A, self.B, self.scale * len(self.A))
    if merge:
        LoRA.merged = lambda self, weight, bias: (merge(weight, self.A, self.B, self.scale), bias)


def model_moved(adapters: Adapters, name: str, inputs: dict[str, Tensor], labels: Tensor, lr: float) -> float:
    """By what part of their size Adam's first step, without warm-up, moves the encoder's states of a batch.

    name: a new adapter; its head stays as it is, and so does the model's dropout: it is off.
    """
    model, real = adapters.model, inputs["attention_mask"].bool()
    adapters.train(name)
    model.eval()
    trained = [p for key, p in adapters[name].named_parameters() if "head" not in key]
    optimizer = torch.optim.Adam(trained, lr=lr)
    output = model(**inputs, output_hidden_states=True)
    before = output.hidden_states[-1][real].detach()
    default_loss(output, labels).backward()
    optimizer.step()
    with torch.no_grad():
        after = model(**inputs, output_hidden_states=True).hidden_states[-1][real]
    return ((after - before).norm() / before.norm()).item()
