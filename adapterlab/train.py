"""Training and measuring: one loop for every method, fit around it, predict and evaluate.

The recipe is that of Houlsby et al. 2019, section 3.1: Adam, the learning rate warmed up over the first tenth of the
steps and then decayed linearly to zero, the best state on the validation data kept.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from .adapter import count_parameters, trained_parameters
from .errors import UserError
from .lab import device_name, mixed_precision, move, peak_memory_mb, release_memory, reset_peak_memory, seed_everything
from .methods import LoRA
from .progress import Progress
from .tasks import Encoded, EncodedText, batches, score
from .tasks.text import IGNORED, check_text

COLLAPSED = "every validation sentence got the same answer: lower the learning rate or warm up longer"


@dataclass(frozen=True)
class Verdict:
    """What validation says of a model. loss: nan where a judge of the user's gave the score.

    low: the lower the score the better, as of a perplexity.
    """

    score: float
    loss: float = math.nan
    collapsed: bool = False
    low: bool = False

    @property
    def rank(self) -> tuple[float, float]:
        """The higher the better: the score, and among equal scores the lower loss; nan is the worst."""
        values = (-self.score if self.low else self.score, -self.loss)
        score, loss = (-math.inf if math.isnan(value) else value for value in values)
        return score, loss


def judge_logits(logits: Tensor, labels: Tensor, metric: str = "accuracy") -> Verdict:
    """The verdict on logits, (rows, labels) or (rows, 1) for a regression, given the labels, (rows,)."""
    if labels.is_floating_point():
        return Verdict(score(metric, logits, labels), F.mse_loss(logits.squeeze(-1), labels).item())
    one_answer = len(logits.argmax(-1).unique()) == 1 < len(labels.unique())
    return Verdict(score(metric, logits, labels), F.cross_entropy(logits, labels).item(), one_answer)


@dataclass
class Run:
    """What one training run did and cost.

    history: one dict a step (step, epoch, loss, lr); the last one of an epoch has validation besides, and
        validation_loss where it was judged on data. best, best_epoch: the score kept, and when it was reached.
    """

    name: str
    metric: str
    seed: int
    lr: float
    epochs: int
    trained: int
    total: int
    device: str
    best: float = math.nan
    best_epoch: int = 0
    seconds: float = 0.0
    step_ms: float = 0.0
    peak_mb: float = 0.0
    history: list[dict] = field(default_factory=list)
    verdict: Verdict | None = None

    @property
    def trained_percent(self) -> float:
        return 100 * self.trained / self.total

    @property
    def collapsed(self) -> bool:
        """At the best epoch every validation row got the same answer, though the labels differ."""
        return self.verdict is not None and self.verdict.collapsed

    def record(self, epoch: int, losses: Sequence, rates: list[float]) -> None:
        """Write an epoch's losses down, one a step, with the learning rates that the steps took."""
        if not isinstance(losses, Sequence) or not len(losses) == len(rates) > 0:
            raise UserError("the loop has to train on the batches and return a list with the loss of each")
        for value, rate in zip(losses, rates, strict=True):
            self.history.append({"step": len(self.history) + 1, "epoch": epoch, "loss": float(value), "lr": rate})

    def judged(self, epoch: int, verdict: Verdict | None) -> bool:
        """Write down what validation says of an epoch (None: nobody was asked); is the state now the one to keep?

        Of equal verdicts the later one counts, which has trained longer. A loss that is not finite is never kept.
        """
        last, finite = self.history[-1], math.isfinite(self.history[-1]["loss"])
        if verdict is None:
            return finite
        last["validation"] = verdict.score
        if not math.isnan(verdict.loss):
            last["validation_loss"] = verdict.loss
        if better := finite and (self.verdict is None or verdict.rank >= self.verdict.rank):
            self.best, self.best_epoch, self.verdict = verdict.score, epoch, verdict
        return better

    def __str__(self) -> str:
        best = f"{self.best:.2f}" if self.verdict is not None and self.verdict.low else f"{100 * self.best:.1f}"
        reached = f"{self.metric} {best} on validation (epoch {self.best_epoch} of {self.epochs})"
        if math.isnan(self.best):
            reached = f"loss {self.history[-1]['loss']:.3f}"
        cost = f"{self.seconds:.1f} s, {self.step_ms:.0f} ms a step"
        return f"{self.name}: {reached}, {cost}" + (f"; {COLLAPSED}" if self.collapsed else "")


def linear_schedule(step: int, total: int, warmup: float = 0.1) -> float:
    """The learning rate's factor at a step (0 is the first): up to 1 over `warmup` of the steps, then down to 0."""
    rise = max(1, round(warmup * total))
    if step < rise:
        return (step + 1) / rise
    return (total - step) / max(1, total - rise)


def lora_plus(ratio: float = 16.0) -> Callable[[nn.Module, float], list[dict]]:
    """LoRA+, Hayou et al. 2024: B learns at ratio * lr, A and all else (a head) at lr: fit(..., groups=lora_plus(16)).

    Errors: UserError for a ratio that is not above 0, and, in training, where no LoRA's B is trained.
    """
    if not ratio > 0:
        raise UserError(f"lora_plus: the ratio must be above 0, not {ratio!r}")

    def groups(model: nn.Module, lr: float) -> list[dict]:
        fast = [m.B for m in model.modules() if isinstance(m, LoRA) and m.B.requires_grad]
        if not fast:
            raise UserError("lora_plus: no LoRA is trained here; call adapters.train(name) of one that is a LoRA")
        names = {id(p) for p in fast}
        rest = [p for p in trained_parameters(model) if id(p) not in names]
        return [{"params": rest, "lr": lr}, {"params": fast, "lr": ratio * lr}]

    return groups


def default_loss(output, labels: Tensor) -> Tensor:
    """Cross-entropy for classes (long labels), squared error for a regression (float labels), or of the next token.

    The next token where logits are (batch, tokens, vocabulary): labels (batch, tokens), -100 where none is learned.
    """
    if output.logits.ndim == 3:
        return next_token_loss(output.logits, labels)
    logits = output.logits.float()
    if labels.is_floating_point():
        return F.mse_loss(logits.squeeze(-1), labels)
    return F.cross_entropy(logits, labels)


def next_token_loss(logits: Tensor, labels: Tensor, reduction: str = "mean") -> Tensor:
    """Cross-entropy of each token given what stands before it, over the labels that are not -100."""
    learned = labels[:, 1:] != IGNORED
    return F.cross_entropy(logits[:, :-1][learned].float(), labels[:, 1:][learned], reduction=reduction)


def train_epoch(
    model: nn.Module,
    batches: Iterable[tuple[dict, Tensor]],
    optimizer: Optimizer,
    schedule: LRScheduler,
    loss: Callable = default_loss,
    clip: float = 1.0,
) -> list[Tensor]:
    """Train on every batch once; the loss of each step. batches: (inputs, labels) pairs on the model's device."""
    parameters = trained_parameters(model)
    losses = []
    model.train()
    for inputs, labels in batches:
        with mixed_precision(labels.device):
            value = loss(model(**inputs), labels)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        schedule.step()
        losses.append(value.detach())
    return losses


def accumulating(many: int) -> Callable:
    """A loop like `train_epoch` that takes a step every `many` batches, and one with what is left at the end.

    Each batch weighs as much as it has labels to learn, so a step's gradient is that of all its rows in one batch, of a
    loss that is a mean over them. Only one batch's activations are held at a time.
    """

    def loop(model, batches, optimizer, schedule, loss=default_loss, clip=1.0) -> list[Tensor]:
        parameters, losses, rest = trained_parameters(model), [], iter(batches)
        model.train()
        while group := list(islice(rest, many)):
            weights = [learned(labels) for _, labels in group]
            optimizer.zero_grad()
            losses.append(torch.zeros((), device=group[0][1].device))
            for (inputs, labels), weight in zip(group, weights, strict=True):
                with mixed_precision(labels.device):
                    value = loss(model(**inputs), labels) * (weight / sum(weights))
                value.backward()
                losses[-1] += value.detach()
            nn.utils.clip_grad_norm_(parameters, clip)
            optimizer.step()
            schedule.step()
        return losses

    return loop


def learned(labels: Tensor) -> int:
    """How many labels a batch's mean loss is over: its rows, or of (rows, tokens) the next tokens that are not -100."""
    return int((labels[:, 1:] != IGNORED).sum()) if labels.ndim == 2 and labels.shape[1] > 1 else len(labels)


@contextmanager
def checkpointed(model: nn.Module, on: bool = True) -> Iterator[None]:
    """Within it a training pass keeps a layer's input alone; backward runs the layer again (Chen et al. 2016).

    The same numbers, dropout's too. UserError for a model whose class cannot. `on`: False changes nothing.
    """
    whole: Any = model
    if on and not getattr(whole, "supports_gradient_checkpointing", False):
        raise UserError(f"{type(model).__name__} does not support gradient checkpointing: leave checkpointing=False")
    on = on and not whole.is_activation_checkpointing
    if on:
        whole.activation_checkpointing_enable({"use_reentrant": False})
    try:
        yield
    finally:
        if on:
            whole.activation_checkpointing_disable()


class Best:
    """`with Best(model, optimizer) as best: ... best.keep()`: the model is left in the state last kept.

    The state is what trains and the buffers (a BatchNorm's running means). On leaving, also by an error or Ctrl-C, the
    model is in eval mode and the memory of gradients and optimizer is given back.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer):
        self.model, self.optimizer = model, optimizer
        self.state = [*trained_parameters(model), *model.buffers()]
        self.kept: list[Tensor] = []

    def keep(self) -> None:
        """Copy the state, over the copy before: a second one beside it would be the peak of a full fine-tuning."""
        if not self.kept:
            self.kept = [torch.empty_like(value) for value in self.state]
        for kept, value in zip(self.kept, self.state, strict=True):
            kept.copy_(value.detach())

    def __enter__(self) -> "Best":
        return self

    def __exit__(self, *error) -> None:
        self.optimizer.zero_grad()
        self.optimizer.state.clear()
        if self.kept:
            with torch.no_grad():
                for now, value in zip(self.state, self.kept, strict=True):
                    now.copy_(value)
        self.model.eval()
        release_memory()


def fit(
    model: nn.Module,
    train: Encoded,
    validation: Encoded | None = None,
    *,
    epochs: int = 3,
    lr: float = 1e-3,
    batch_size: int = 32,
    clip: float = 1.0,
    seed: int = 0,
    metric: str = "accuracy",
    loss: Callable = default_loss,
    judge: Callable[[nn.Module], float] | None = None,
    schedule: Callable[[int, int], float] = linear_schedule,
    loop: Callable = train_epoch,
    groups: Callable[[nn.Module, float], list] = lambda model, lr: trained_parameters(model),
    accumulate: int = 1,
    checkpointing: bool = False,
    name: str = "fit",
    show: bool = True,
) -> Run:
    """Train whatever of the model requires a gradient, and leave it at its best state on the validation data.

    train, validation: what `tasks.encode` made, or `encode_text`: then the lowest perplexity is best.
    judge: model -> score, in the place of `evaluate(model, validation)`.
    schedule: (step, total steps) -> factor of lr. loop: one epoch, called and answering like `train_epoch`.
    groups: (model, lr) -> the optimizer's parameters or groups of them, as `lora_plus(16)` makes them.
    accumulate: batches a step, see `accumulating`; history and step_ms count steps. checkpointing: see `checkpointed`.
    Of equal scores the one with the lower validation loss is kept; with a judge, the later one. Mixed precision on a
    GPU, float32 on a CPU, where the same seed gives the same numbers bit for bit.
    Errors: UserError when nothing requires a gradient, the data is empty, or the loss is not finite.
    """
    total = _steps(model, train, epochs, batch_size, lr, accumulate, loop)
    loop = loop if accumulate == 1 else accumulating(accumulate)
    judge_epoch = _judging(validation, metric, judge)
    metric = "perplexity" if isinstance(train, EncodedText) else metric
    run = Run(name, metric, seed, lr, epochs, *count_parameters(model), device_name(next(model.parameters()).device))
    optimizer = torch.optim.Adam(groups(model, lr), lr=lr, fused=True)
    scheduler = LambdaLR(optimizer, lambda step: schedule(step, total))
    seed_everything(seed)
    with checkpointed(model, checkpointing), Best(model, optimizer) as best, Progress(total, name, show) as bar:
        for epoch, feed, rates in _epochs(run, train, batch_size, accumulate, optimizer, bar):
            run.record(epoch, loop(model, feed, optimizer, scheduler, loss, clip), rates)
            if run.judged(epoch, judge_epoch(model)):
                best.keep()
        bar.done(str(run))
    return run


def _steps(model: nn.Module, train: Encoded, epochs: int, batch_size: int, lr: float, accumulate: int, loop) -> int:
    """How many steps it will take; UserError when it cannot begin."""
    if isinstance(train, EncodedText):
        check_text(model, train)
    if not trained_parameters(model):
        raise UserError("nothing to train: every parameter is frozen; call adapters.train(name) or unfreeze(model)")
    check_recipe(train, epochs, batch_size, lr)
    if accumulate < 1 or accumulate > 1 and loop is not train_epoch:
        raise UserError(f"accumulate must be at least 1, and 1 beside a loop of your own, not {accumulate}")
    return epochs * math.ceil(math.ceil(len(train) / batch_size) / accumulate)


def check_recipe(train: Encoded, epochs: int, batch_size: int, lr: float) -> None:
    """UserError when there is nothing to train on, or no way to train so."""
    if len(train) == 0:
        raise UserError("nothing to train on: the training split is empty")
    if epochs < 1 or batch_size < 1 or not lr > 0:
        raise UserError(f"epochs and batch_size must be at least 1 and lr above 0, not {epochs}, {batch_size}, {lr}")


def _judging(validation: Encoded | None, metric: str, judge) -> Callable[[nn.Module], Verdict | None]:
    """Who judges the model after an epoch: the user's judge, the validation data, or nobody."""
    if judge is not None:
        return lambda model: Verdict(float(judge(model)))
    if validation is None:
        return lambda model: None
    if isinstance(validation, EncodedText):
        return lambda model: judge_text(model, validation)
    return lambda model: judge_logits(predict(model, validation), validation.labels, metric)


def _epochs(
    run: Run, train: Encoded, batch_size: int, accumulate: int, optimizer: Optimizer, bar: Progress
) -> Iterator[tuple]:
    """(epoch, its batches for the loop, the learning rate that each step meets); measures what it costs."""
    device, training = optimizer.param_groups[0]["params"][0].device, 0.0
    reset_peak_memory(device)
    started = time.perf_counter()

    def feed(epoch: int, rates: list[float]) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        nonlocal training
        tick = time.perf_counter()
        for i, (inputs, labels, _) in enumerate(batches(train, batch_size, shuffle=True, seed=run.seed, epoch=epoch)):
            if begins := i % accumulate == 0:
                rates.append(optimizer.param_groups[0]["lr"])
            yield move(inputs, device), labels.to(device)
            if begins:
                bar.step(f"epoch {epoch}/{run.epochs}")
        training += time.perf_counter() - tick

    for epoch in range(1, run.epochs + 1):
        rates: list[float] = []
        yield epoch, feed(epoch, rates), rates
        if not math.isfinite(last := run.history[-1]["loss"]):
            raise UserError(f"{run.name}: the loss is {last} in epoch {epoch}; try a lower lr than {run.lr}")
    run.seconds, run.step_ms = time.perf_counter() - started, 1000 * training / len(run.history)
    run.peak_mb = peak_memory_mb(device)


@torch.no_grad()
def predict(model: nn.Module, data: Encoded, batch_size: int = 64) -> Tensor:
    """The logits of every row in the data's order: (rows, labels), float32 on the CPU."""
    if len(data) == 0:
        raise UserError("nothing to evaluate on: the split is empty")
    was, device = model.training, next(model.parameters()).device
    model.eval()
    pieces, order = [], []
    with mixed_precision(device):
        for inputs, _, rows in batches(data, batch_size):
            pieces.append(model(**move(inputs, device)).logits.float().cpu())
            order.append(rows)
    model.train(was)
    return torch.cat(pieces)[torch.cat(order).argsort()]


def evaluate(model: nn.Module, data: Encoded, metric: str = "accuracy", batch_size: int = 64) -> float:
    """The score of the model's predictions on the data, between 0 and 1 (correlations between -1 and 1)."""
    return score(metric, predict(model, data, batch_size), data.labels)


@torch.no_grad()
def judge_text(model: nn.Module, data: EncodedText, batch_size: int = 8) -> Verdict:
    """The verdict on a decoder: the perplexity of the texts, and the mean loss of a learned token that it is exp of."""
    check_text(model, data)
    if len(data) == 0:
        raise UserError("nothing to evaluate on: there is no text")
    was, device, total = model.training, next(model.parameters()).device, 0.0
    model.eval()
    with mixed_precision(device):
        for inputs, labels, _ in batches(data, batch_size):
            total += next_token_loss(model(**move(inputs, device)).logits, labels.to(device), "sum").item()
    model.train(was)
    mean = total / data.learned
    return Verdict(torch.tensor(mean).exp().item(), mean, low=True)


def perplexity(model: nn.Module, data: EncodedText, batch_size: int = 8) -> float:
    """exp of the mean cross-entropy of a token that is learned (prompts do not count): 1 is certainty."""
    return judge_text(model, data, batch_size).score
