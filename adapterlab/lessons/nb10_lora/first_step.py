"""How far one step of Adam moves a real model, for section 3 of 10_lora."""

import torch
from torch import Tensor

from ...adapters import Adapters
from ...train import default_loss


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
