"""A bank: many adapters trained in one pass over one frozen model, each exactly as it would be alone.

names = [adapters.add(f"size {m}", houlsby(m), head=labels, seed=0) and f"size {m}" for m in (1, 8, 64)]
runs = Bank(adapters, names).fit(train, validation, lr=[1e-3, 1e-3, 3e-4])

The rows of all members go through the model as one large batch; at each site every member's rows meet that member's
own weights in one batched product. The frozen model knows nothing of it. Sizes differ by filling up with zeros: a
unit whose weights in and out are zero puts out act(0) = 0 and gets no gradient, so the filling stays zero by itself.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR

from ..adapter import Adapter, Info
from ..adapters import Adapters
from ..errors import UserError
from ..lab import device_name, mixed_precision, move, peak_memory_mb, release_memory, reset_peak_memory, seed_everything
from ..methods import Bottleneck, Change, Head, ScaleShift
from ..methods.head import Reading
from ..progress import Progress
from ..tasks import Encoded, batches, score
from ..train import Run, Verdict, check_recipe, judge_logits, linear_schedule

NAME = "bank of adapters"  # under which a bank hangs on the model while it runs


class Banked(Change):
    """The members' modules at one site as one: `weights` names this site's slices of the bank's tensor.

    x, y: (members * batch, ..., width), member after member -> the same shape.
    """

    def __init__(self, bank: "Bank", where: tuple[str, int], like: Change):
        super().__init__()
        self.bank = bank
        self.where, self.act, self.like = where, like.act, (like,)  # in a tuple, so that it is no part of this module

    def linear(self, name: str, x: Tensor) -> Tensor:
        """x (members, n, inputs) times each member's own matrix, plus its own bias: (members, n, outputs)."""
        weight = self.bank.views[*self.where, name + ".weight"]  # (members, outputs, inputs)
        bias = self.bank.views[*self.where, name + ".bias"]  # (members, outputs)
        return torch.baddbmm(bias.unsqueeze(1), x, weight.transpose(1, 2))

    def rows(self, x: Tensor) -> Tensor:
        """(members * batch, ..., width) -> (members, batch * ..., width)"""
        return x.reshape(len(self.bank), -1, x.shape[-1])


class BankedBottleneck(Banked):
    """Bottlenecks of all members at one site."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        assert self.act is not None
        hidden = self.act(self.linear("down", self.rows(y)))  # (members, n, largest size)
        return y + self.linear("up", hidden).view_as(y)


class BankedScaleShift(Banked):
    """LayerNorms' scales and shifts of all members."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        scale, shift = (self.bank.views[*self.where, name].unsqueeze(1) for name in ("scale", "shift"))
        return torch.addcmul(shift, self.rows(y), scale).view_as(y)  # (members, 1, width) with (members, n, width)


class BankedHead(Banked):
    """Classifiers of all members."""

    wants_reading = True

    def forward(self, x: Tensor | Reading, y: Tensor) -> Tensor:
        x = self.like[0].read(x)  # (members * batch, ..., width), pooled as every member's head does it
        logits = self.linear("linear", self.rows(x))  # (members, n, labels)
        return logits.view(*x.shape[:-1], logits.shape[-1])


BANKED = {Bottleneck: BankedBottleneck, ScaleShift: BankedScaleShift, Head: BankedHead}


class Bank:
    """Several adapters of one `Adapters`, stacked. They may differ in size, initial weights and learning rate.

    names: the members; each has the same methods (bottleneck, LayerNorm, head) at the same sites.
    flat: (members, parameters), every member's parameters in one row, the smaller sizes filled up with zeros.
    After `fit` the members hold their trained weights and are used, saved and evaluated like any other adapter.
    Errors: UserError for members that do not fit together, or a method that has no batched form.
    """

    def __init__(self, adapters: Adapters, names: Iterable[str]):
        self.adapters, self.names = adapters, tuple(names)
        if not self.names or len(set(self.names)) < len(self.names):
            raise UserError("a bank needs at least one adapter, and each only once")
        self.members = [adapters[name] for name in self.names]
        self.slots: dict[tuple, tuple[int, ...]] = {}  # (site, place, parameter) -> largest shape
        self.modules = self._match()
        self.sizes = [math.prod(shape) for shape in self.slots.values()]
        device = next(adapters.model.parameters()).device
        self.flat = torch.zeros(len(self.names), sum(self.sizes), device=device)
        self.views: dict[tuple, Tensor] = {}
        self.read()

    def __len__(self) -> int:
        return len(self.names)

    def _match(self) -> dict[str, list[Change]]:
        """Note the largest shape of every parameter, and make the members' modules at each place into a banked one."""
        first = self.members[0]
        for name, adapter in zip(self.names, self.members, strict=True):
            if list(adapter.at) != list(first.at):
                raise UserError(f'"{name}" sits at other sites than "{self.names[0]}"; a bank needs the same sites')
        banked: dict[str, list[Change]] = {}
        for site, modules in first.at.items():
            for i, module in enumerate(modules):
                alike = [self._alike(site, i, name) for name in self.names]
                for key, _ in module.named_parameters():
                    shapes = [tuple(m.get_parameter(key).shape) for m in alike]
                    self.slots[site, i, key] = tuple(max(d) for d in zip(*shapes, strict=True))
                    if isinstance(module, Head) and len(set(shapes)) > 1:
                        raise UserError("the members' heads have different labels; a bank is for one task")
                banked.setdefault(site, []).append(BANKED[type(module)](self, (site, i), module))
        return banked

    def _alike(self, site: str, i: int, name: str) -> Change:
        """A member's i-th module at a site; UserError if it is not of the first member's kind, or has no banked one."""
        first, modules = self.members[0].at[site][i], self.adapters[name].at[site]
        module = modules[i] if i < len(modules) else None
        if module is None or type(module) not in BANKED:
            kind = type(module).__name__
            raise UserError(f'"{name}" has a {kind} at {site}, which no bank can hold; train it alone, with fit')
        if isinstance(module, Head) and isinstance(first, Head) and module.pooling != first.pooling:
            raise UserError(f'the heads of "{name}" and "{self.names[0]}" read {module.pooling} and {first.pooling}')
        if type(module) is not type(first) or module.act is not first.act:
            raise UserError(f'"{name}" and "{self.names[0]}" differ at {site} in more than their size')
        return module

    # ---- between the members and the bank's tensor

    def _pairs(self, flat: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """(member's parameter, its part of flat) for every parameter of every member."""
        views = self._split(flat)
        for b, adapter in enumerate(self.members):
            for (site, i, key), view in views.items():
                p = adapter.at[site][i].get_parameter(key)
                yield p, view[b][tuple(slice(n) for n in p.shape)]  # a small member's part is its corner

    def _split(self, flat: Tensor) -> dict[tuple, Tensor]:
        """(site, place, parameter) -> (members, *largest shape), as views of flat (members, parameters)."""
        parts = flat.split(self.sizes, dim=1)
        return {k: p.view(len(self), *s) for (k, s), p in zip(self.slots.items(), parts, strict=True)}

    @torch.no_grad()
    def read(self) -> None:
        """Take the members' weights into the bank."""
        for p, part in self._pairs(self.flat):
            part.copy_(p)

    @torch.no_grad()
    def write(self) -> None:
        """Give the bank's weights to the members."""
        for p, part in self._pairs(self.flat):
            p.copy_(part)

    @contextmanager
    def _running(self):
        """Hang the bank on the model in the place of the members."""
        store = self.adapters.store
        store[NAME] = adapter = Adapter(Info(()), {})
        adapter.at = self.modules
        self.adapters.attachment.update()
        try:
            with self.adapters.use(NAME):
                yield
        finally:
            del store[NAME]
            self.views = {}
            self.adapters.attachment.update()

    def logits(self, inputs: dict) -> Tensor:
        """inputs: rows of all members, member after member. (members, batch, labels), float32."""
        out = self.adapters.model(**inputs).logits.float()
        return out.view(len(self), -1, *out.shape[1:])

    # ---- training and measuring

    def fit(
        self,
        train: Encoded,
        validation: Encoded | None = None,
        *,
        epochs: int = 3,
        lr: float | Sequence[float] = 1e-3,
        batch_size: int = 32,
        warmup: float = 0.1,
        clip: float = 1.0,
        seed: int = 0,
        orders: Sequence[int] | None = None,
        metric: str = "accuracy",
        amp: bool = True,
        name: str = "bank",
        show: bool = True,
    ) -> list[Run]:
        """Train every member; each is left at its own best state on the validation data. One `Run` a member.

        lr: one, or one a member. seed: of the batches' order (and of dropout), as in `train.fit`. orders: one such seed
        a member, where each is to see its own order; batches are then padded to the longest among the orders.
        Each member's gradient is clipped by its own norm: the same numbers as `train.fit` up to float32 rounding,
        without dropout. With dropout every member draws masks of its own, but not those that it would draw alone. A
        member whose loss is no longer finite gets best = nan and harms no other.
        seconds, step_ms and peak_mb of a Run are those of the whole pass.
        amp: bfloat16 on a GPU that has it; on a CPU everything is float32.
        """
        lrs, orders = _each(lr, len(self), "lr"), _each(seed if orders is None else orders, len(self), "orders")
        for rate in lrs:
            check_recipe(train, epochs, batch_size, rate)
        runs, device = self._begin(lrs, orders, epochs, metric), self.flat.device
        total = epochs * math.ceil(len(train) / batch_size)
        rows, best = [nn.Parameter(row) for row in self.flat], self.flat.clone()  # rows: views of flat
        optimizer = torch.optim.Adam([{"params": [row], "lr": r} for row, r in zip(rows, lrs, strict=True)], fused=True)
        scheduler = LambdaLR(optimizer, partial(linear_schedule, total=total, warmup=warmup))
        seed_everything(seed)
        reset_peak_memory(device)
        training, started = 0.0, time.perf_counter()
        with self._running(), Progress(total, name, show) as bar:
            for epoch in range(1, epochs + 1):
                tick, step_done = time.perf_counter(), partial(bar.step, f"epoch {epoch}/{epochs}")
                feed = rounds(train, batch_size, orders, epoch, device)
                losses, rates = self._epoch(rows, feed, optimizer, scheduler, clip, amp, step_done)
                for run, *of_member in zip(runs, losses, rates, strict=True):
                    run.record(epoch, *of_member)
                training += time.perf_counter() - tick
                for b in self._improved(runs, epoch, validation, metric, amp):
                    best[b] = self.flat[b]
            seconds, step_ms = time.perf_counter() - started, 1000 * training / total
            for run in runs:
                run.seconds, run.step_ms, run.peak_mb = seconds, step_ms, peak_memory_mb(device)
            bar.done(f"{name}: {len(self)} adapters in {seconds:.1f} s, {step_ms:.0f} ms a step")
        self.flat = best
        self.write()
        self.adapters.model.eval()
        release_memory()
        return runs

    def _begin(self, lrs: list[float], orders: list[int], epochs: int, metric: str) -> list[Run]:
        """Freeze the model, take the members' weights as they are now; a `Run` for each, in which nothing has run."""
        self.adapters.freeze()
        self.read()
        total, where = self.adapters.base_count(), device_name(self.flat.device)
        return [
            Run(name, metric, order, lr, epochs, self.adapters.count(name), total, where)
            for name, order, lr in zip(self.names, orders, lrs, strict=True)
        ]

    def _epoch(self, rows, feed, optimizer, scheduler, clip: float, amp: bool, step_done: Callable) -> tuple:
        """Train on every round once, as `train.train_epoch`; (losses, learning rates), a list of the steps a member."""
        cast, losses, rates = partial(mixed_precision, self.flat.device) if amp else torch.enable_grad, [], []
        self.adapters.model.train()
        for inputs, labels, weights in feed:
            with cast():
                self.views = self._split(torch.stack(rows))
                each = member_losses(self.logits(inputs), labels, weights)  # (members,)
            optimizer.zero_grad()
            each.sum().backward()  # one member's loss knows no other's row
            for row in rows:
                nn.utils.clip_grad_norm_(row, clip)
            rates.append(scheduler.get_last_lr())
            optimizer.step()
            scheduler.step()
            losses.append(each.detach())
            step_done()
        return torch.stack(losses, dim=1).tolist(), list(zip(*rates, strict=True))

    def _improved(self, runs: list[Run], epoch: int, validation: Encoded | None, metric: str, amp: bool) -> list[int]:
        """Judge every member on the validation data; which members are better than they ever were."""
        verdicts: list[Verdict | None] = [None] * len(self)
        if validation is not None:
            every = self.predict(validation, amp=amp)  # (members, rows, labels)
            verdicts = [judge_logits(logits, validation.labels, metric) for logits in every]
        return [b for b, (run, verdict) in enumerate(zip(runs, verdicts, strict=True)) if run.judged(epoch, verdict)]

    @torch.no_grad()
    def predict(self, data: Encoded, batch_size: int | None = None, amp: bool = True) -> Tensor:
        """Every member's logits of every row, in the data's order: (members, rows, labels), float32 on the CPU.

        batch_size: rows for each member in one pass; None: 64, on a CPU 64 for all members together.
        """
        if len(data) == 0:
            raise UserError("nothing to evaluate on: the split is empty")
        if self.adapters.active != NAME:
            with self._running():
                return self.predict(data, batch_size, amp)
        model, device = self.adapters.model, self.flat.device
        batch_size = batch_size or (64 if device.type == "cuda" else max(1, 64 // len(self)))
        model.eval()
        pieces, order = [], []
        with mixed_precision(device) if amp else torch.no_grad():
            self.views = self._split(self.flat)
            for inputs, _, rows in batches(data, batch_size):
                pieces.append(self.logits(repeat(move(inputs, device), len(self))).cpu())
                order.append(rows)
        return torch.cat(pieces, 1)[:, torch.cat(order).argsort()]

    def evaluate(
        self, data: Encoded, metric: str = "accuracy", batch_size: int | None = None, amp: bool = True
    ) -> list[float]:
        """Every member's score on the data; as `train.evaluate` for each."""
        return [score(metric, logits, data.labels) for logits in self.predict(data, batch_size, amp)]


def member_losses(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Each member's mean loss: (members,). logits: (members, batch, labels); labels, weights: (members, batch)."""
    if labels.is_floating_point():
        each = F.mse_loss(logits.squeeze(-1), labels, reduction="none")
    else:
        each = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none").view_as(labels)
    return (each * weights).sum(1) / weights.sum(1)


Round = tuple[dict[str, Tensor], Tensor, Tensor]


def rounds(train: Encoded, batch_size: int, orders: list[int], epoch: int, device: torch.device) -> Iterator[Round]:
    """One batch a member at a time: (inputs of all rows, labels (members, batch), weights (members, batch)).

    Members of one order share its batches. With several orders the last, short batch comes at different times: it is
    filled up with rows of weight 0.
    """
    distinct = list(dict.fromkeys(orders))
    streams = [batches(train, batch_size, shuffle=True, seed=order, epoch=epoch) for order in distinct]
    pick = torch.tensor([distinct.index(order) for order in orders], device=device)  # (members,) into the streams
    for parts in zip(*streams, strict=True):
        rows = max(len(labels) for _, labels, _ in parts)
        inputs = {}
        for key in parts[0][0]:
            fill = train.pad_id if key == "input_ids" else 0
            width = max(i[key].shape[1] for i, _, _ in parts)
            stacked = torch.stack([_grow(_widen(i[key], width, fill), rows) for i, _, _ in parts]).to(device)
            inputs[key] = stacked[pick].flatten(0, 1)  # (streams, batch, tokens, ...) -> (members * batch, tokens, ...)
        labels = torch.stack([_grow(labels, rows) for _, labels, _ in parts]).to(device)[pick]
        weights = torch.stack([(torch.arange(rows) < len(labels)).float() for _, labels, _ in parts])
        yield inputs, labels, weights.to(device)[pick]


def repeat(inputs: dict[str, Tensor], times: int) -> dict[str, Tensor]:
    """The same rows for every member, member after member: (batch, tokens, ...) -> (times * batch, tokens, ...)."""
    return {k: v.repeat(times, *[1] * (v.ndim - 1)) for k, v in inputs.items()}


def _widen(values: Tensor, width: int, fill: int) -> Tensor:
    """(batch, tokens, ...) -> (batch, width, ...)."""
    return F.pad(values, (0, 0) * (values.ndim - 2) + (0, width - values.shape[1]), value=fill)


def _grow(values: Tensor, rows: int) -> Tensor:
    """(batch, ...) -> (rows, ...): repeat the first row until there are so many."""
    return torch.cat([values, values[:1].expand(rows - len(values), *values.shape[1:])])


def _each(value, count: int, what: str) -> list:
    values = [value] * count if isinstance(value, int | float) else list(value)
    if len(values) != count:
        raise UserError(f"{what} lists {len(values)} values for a bank of {count}; give one, or one a member")
    return values
