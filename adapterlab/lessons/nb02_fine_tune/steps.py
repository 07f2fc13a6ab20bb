"""A training step that can be repeated: what 02 times in turn."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from ...adapters import Adapters
from ...train import default_loss, trained_parameters


def step_of(
    model: nn.Module, hosts: Adapters, name: str, loop: Callable, inputs: dict[str, Tensor], labels: Tensor
) -> Callable[[], None]:
    """() -> nothing: one step of `loop` (called as `train_epoch` is) on this batch, at rate 0: no weight moves.

    hosts, name: the adapter that is in training; where several share a model, it is made so again before every step.
    """
    alone = len(hosts) == 1
    if not alone:
        hosts.train(name)
    optimizer = torch.optim.SGD(trained_parameters(model), lr=0.0)
    schedule = LambdaLR(optimizer, lambda step: 1.0)

    def step() -> None:
        if not alone:
            hosts.train(name)
        loop(model, [(inputs, labels)], optimizer, schedule, default_loss, 1.0)

    return step
