"""Training and measuring: fit, predict, evaluate, and the cost ledger.

The recipe is that of Houlsby et al. 2019, section 3.1: Adam, the learning rate warmed up over the first tenth of the
steps and then decayed linearly to zero, the best state on the validation data kept.
"""

import math
import platform
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from .adapter import base_parameters
from .errors import UserError
from .lab import peak_memory_mb, release_memory, reset_peak_memory, seed_everything
from .progress import Progress
from .sites import find_layers
from .tasks import Encoded, batches, score


@dataclass
class Run:
    """What one training run did and cost. history: one dict a step (step, epoch, loss, lr, validation)."""

    name: str
    metric: str
    seed: int
    lr: float
    epochs: float
    trained: int
    total: int
    device: str
    best: float = math.nan
    best_epoch: int = 0
    seconds: float = 0.0
    step_ms: float = 0.0
    peak_mb: float = 0.0
    history: list[dict] = field(default_factory=list)

    @property
    def trained_percent(self) -> float:
        return 100 * self.trained / self.total


def linear_schedule(step: int, total: int, warmup: float = 0.1) -> float:
    """The learning rate's factor at a step (0 is the first): up to 1 over `warmup` of the steps, then down to 0."""
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return (total - step) / max(1, total - rise)


def default_loss(output, labels):
    """Cross-entropy for classes (long labels), squared error for a regression (float labels)."""
    logits = output.logits.float()
    if labels.is_floating_point():
        return F.mse_loss(logits.squeeze(-1), labels)
    return F.cross_entropy(logits, labels)


def fit(
    model: nn.Module,
    train: Encoded,
    validation: Encoded | None = None,
    *,
    epochs: int = 3,
    lr: float = 1e-3,
    batch_size: int = 32,
    warmup: float = 0.1,
    clip: float = 1.0,
    seed: int = 0,
    metric: str = "accuracy",
    loss=default_loss,
    judge=None,
    name: str = "fit",
    show: bool = True,
) -> Run:
    """Train whatever of the model requires a gradient, and leave it at its best state on the validation data.

    train, validation: what `tasks.encode` made. judge: model -> score, in the place of `evaluate(model, validation)`.
    Mixed precision on a GPU, float32 on a CPU, where the same seed gives the same numbers bit for bit.
    Errors: UserError when nothing requires a gradient, the data is empty, or the loss is not finite.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise UserError(
            "nothing to train: every parameter is frozen; call adapters.train(name) or unfreeze(model) first"
        )
    if len(train) == 0:
        raise UserError("nothing to train on: the training split is empty")
    if epochs < 1 or batch_size < 1 or not lr > 0:
        raise UserError(f"epochs and batch_size must be at least 1 and lr above 0, not {epochs}, {batch_size}, {lr}")
    judge = judge or ((lambda m: evaluate(m, validation, metric)) if validation is not None else None)
    device = next(model.parameters()).device
    run = Run(name, metric, seed, lr, epochs, *count_parameters(model), device_name(device))
    total = epochs * math.ceil(len(train) / batch_size)
    optimizer = torch.optim.Adam(parameters, lr=lr, fused=True)
    state = [*parameters, *model.buffers()]  # a BatchNorm's running means are buffers
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: linear_schedule(step, total, warmup))
    amp, scaler = mixed_precision(device)
    best, started, training = None, time.perf_counter(), 0.0
    seed_everything(seed)
    reset_peak_memory(device)
    try:
        with Progress(total, name, show) as bar:
            for epoch in range(1, epochs + 1):
                model.train()
                tick = time.perf_counter()
                for inputs, labels, _ in batches(train, batch_size, shuffle=True, seed=seed, epoch=epoch):
                    with amp():
                        value = loss(model(**move(inputs, device)), labels.to(device))
                    optimizer.zero_grad(set_to_none=True)
                    scaler.scale(value).backward()
                    scaler.unscale_(optimizer)
                    nn.utils.clip_grad_norm_(parameters, clip)
                    scaler.step(optimizer)
                    scaler.update()
                    rate = scheduler.get_last_lr()[0]
                    scheduler.step()
                    run.history.append(
                        {"step": len(run.history) + 1, "epoch": epoch, "loss": value.detach(), "lr": rate}
                    )
                    bar.step(f"epoch {epoch}/{epochs}")
                last = finish_epoch(run)
                training += time.perf_counter() - tick
                if not math.isfinite(last):
                    raise UserError(f"{name}: the loss is {last} in epoch {epoch}; try a lower lr than {lr}")
                if judge is None:
                    continue
                run.history[-1]["validation"] = now = float(judge(model))
                if best is None or now > run.best:
                    run.best, run.best_epoch = now, epoch
                    best = [value.detach().clone() for value in state]
            run.seconds, run.step_ms = time.perf_counter() - started, 1000 * training / len(run.history)
            run.peak_mb = peak_memory_mb(device)
            bar.done(f"{name}: {verdict(run)}{run.seconds:.1f} s, {run.step_ms:.0f} ms a step")
    finally:
        optimizer.zero_grad(set_to_none=True)
        optimizer.state.clear()
        if best is not None:
            with torch.no_grad():
                for now, value in zip(state, best, strict=True):
                    now.copy_(value)
        model.eval()
        release_memory()
    return run


def verdict(run: Run) -> str:
    if math.isnan(run.best):
        return f"loss {run.history[-1]['loss']:.3f}, "
    return f"{run.metric} {100 * run.best:.1f} on validation (epoch {run.best_epoch} of {run.epochs}), "


def finish_epoch(run: Run) -> float:
    """Turn the epoch's losses into numbers, in one go: reading them one by one would stall a GPU at every step."""
    pending = [row for row in run.history if isinstance(row["loss"], torch.Tensor)]
    for row, value in zip(pending, torch.stack([row["loss"] for row in pending]).tolist(), strict=True):
        row["loss"] = value
    return run.history[-1]["loss"]


def mixed_precision(device: torch.device):
    """(autocast, gradient scaler): bfloat16 where the GPU has it, else float16 with scaling; neither on a CPU."""
    if device.type != "cuda":
        return nullcontext, torch.amp.GradScaler(enabled=False)
    kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return lambda: torch.autocast("cuda", kind), torch.amp.GradScaler("cuda", enabled=kind is torch.float16)


def move(inputs: dict, device) -> dict:
    return {key: value.to(device, non_blocking=True) for key, value in inputs.items()}


@torch.no_grad()
def predict(model: nn.Module, data: Encoded, batch_size: int = 64) -> torch.Tensor:
    """The logits of every row in the data's order: (rows, labels), float32 on the CPU."""
    was, device = model.training, next(model.parameters()).device
    model.eval()
    pieces, order = [], []
    with mixed_precision(device)[0]():
        for inputs, _, rows in batches(data, batch_size):
            pieces.append(model(**move(inputs, device)).logits.float().cpu())
            order.append(rows)
    model.train(was)
    return torch.cat(pieces)[torch.cat(order).argsort()]


def evaluate(model: nn.Module, data: Encoded, metric: str = "accuracy", batch_size: int = 64) -> float:
    """The score of the model's predictions on the data, between 0 and 1 (correlations between -1 and 1)."""
    if len(data) == 0:
        raise UserError("nothing to evaluate on: the split is empty")
    return score(metric, predict(model, data, batch_size), data.labels)


def unfreeze(model: nn.Module, top: int | None = None) -> None:
    """Make the model itself trainable: all of it, or its top layers with everything above them (pooler and head).

    top=0 trains the head alone: the pooler then stays frozen, as in the adapter recipe (Houlsby et al. 2019, section 3.2,
    calls top=k "variable fine-tuning").
    """
    for p in model.parameters():
        p.requires_grad_(top is None)
    if top is None:
        return
    base = getattr(model, model.base_model_prefix, model)
    layers = [model.get_submodule(path) for path in find_layers(model).values()]
    if not 0 <= top <= len(layers):
        raise UserError(f"top={top} is outside this model's 0 to {len(layers)} layers")
    trained = list(layers[len(layers) - top :])
    trained += [module for name, module in model.named_children() if module is not base]
    if top and getattr(base, "pooler", None) is not None:
        trained.append(base.pooler)
    for module in trained:
        module.requires_grad_(True)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(parameters that require a gradient, parameters of the model without its adapters)."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return trained, sum(p.numel() for p in base_parameters(model).values())


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def disk_bytes(path) -> int:
    """The bytes of a file, or of all files of a folder."""
    path = Path(path)
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size


class Ledger:
    """What every method cost, a row a run: `ledger.add(run, disk=folder)`, then `ledger.frame()`."""

    def __init__(self):
        self.rows: list[dict] = []

    def add(self, run: Run, disk=None, **more) -> None:
        """disk: bytes, or the path whose bytes count."""
        size = disk if disk is None or isinstance(disk, int) else disk_bytes(disk)
        self.rows.append(
            {
                "method": run.name,
                run.metric: round(100 * run.best, 1),
                "trained": run.trained,
                "trained %": round(run.trained_percent, 3),
                "step ms": round(run.step_ms, 1),
                "seconds": round(run.seconds, 1),
                "peak MB": round(run.peak_mb),
                "disk MB": None if size is None else round(size / 1e6, 2),
                "device": run.device,
                "torch": torch.__version__,
                "python": platform.python_version(),
                **more,
            }
        )

    def frame(self):
        """A pandas DataFrame, one row a run."""
        import pandas as pd

        return pd.DataFrame(self.rows)
