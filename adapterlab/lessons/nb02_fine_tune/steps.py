"""What 02 does with a way to fine-tune besides training it: make it ready, repeat its step, compare it by seeds."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from ...adapters import Adapters
from ...studies.stats import mean_interval
from ...studies.ways import prepare
from ...train import default_loss, trained_parameters


class Ready(NamedTuple):
    """A model, the adapters on it, and the one whose parts are trained."""

    model: nn.Module
    adapters: Adapters
    name: str


def ready(way: str, labels: Sequence[str], beside: Adapters, seed: int) -> Ready:
    """A way to fine-tune, ready for `fit`: beside the adapters that are there, or on a model of its own."""
    model, _, adapters = prepare(way, labels, seed=seed, beside=beside)
    return Ready(model, adapters, way)


def step_of(way: Ready, loop: Callable, inputs: dict[str, Tensor], labels: Tensor) -> Callable[[], None]:
    """() -> nothing: one step of `loop` (called as `train_epoch` is) on this batch, at rate 0: no weight moves."""

    def step() -> None:
        if len(way.adapters) > 1:  # another one may be in training
            way.adapters.train(way.name)
        optimizer = torch.optim.SGD(trained_parameters(way.model), lr=0.0)
        loop(way.model, [(inputs, labels)], optimizer, LambdaLR(optimizer, lambda step: 1.0), default_loss, 1.0)

    return step


def paired(frame: pd.DataFrame, one: str, other: str) -> str:
    """What `one` scores above `other`, seed by seed, in points with its 95% interval, and whether that excludes 0.

    frame: columns who, seed, accuracy (0 to 1). Seeds that one of the two lacks are left out.
    """
    wide = 100 * frame.pivot(index="seed", columns="who", values="accuracy")
    gaps = (wide[one] - wide[other]).dropna()
    mean, half = mean_interval(gaps)
    verdict = "told apart" if len(gaps) > 2 and abs(mean) > half else "not told apart: it would take more seeds"
    return f"{one} minus {other}: {mean:+.1f} ± {half:.1f} points over {len(gaps)} seeds, {verdict}"
