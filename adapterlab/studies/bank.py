"""A bank: many adapters trained in one pass over one frozen model, each exactly as it would be alone.

names = [adapters.add(f"size {m}", houlsby(m), head=labels, seed=0) and f"size {m}" for m in (1, 8, 64)]
runs = Bank(adapters, names).fit(train, validation, lr=[1e-3, 1e-3, 3e-4])

The rows of all members go through the model as one large batch; at each site every member's rows meet that member's
own weights in one batched product. The frozen model knows nothing of it. Sizes differ by filling up with zeros: a
unit whose weights in and out are zero puts out act(0) = 0 and gets no gradient, so the filling stays zero by itself.
"""

import copy
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
from ..progress import Progress
from ..tasks import Encoded, batches, score
from ..train import Run, Verdict, check_recipe, judge_logits, linear_schedule

NAME = "bank of adapters"  # under which a bank hangs on the model while it runs
BANKED = (Bottleneck, ScaleShift, Head)  # what they do to one member's rows they do to all members', one matrix each


class Linears(nn.Module):
    """The members' linear maps as one. x: (members, n, inputs) -> (members, n, outputs)."""

    weight: Tensor  # (members, outputs, inputs)
    bias: Tensor  # (members, 1, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight.transpose(1, 2))


class Banked(Change):
    """The members' modules at one place as one: the first one's computation, with parameters of all.

    x, y: (members * batch, ..., width), member after member -> the same shape; a head reads x, all others y.
    """

    def __init__(self, first: Change, members: int):
        super().__init__()
        self.first, self.members = (first,), members  # in a tuple, so that it is no part of this module
        self.wants_reading, self.all = first.wants_reading, copy.deepcopy(first)
        for name, module in list(self.all.named_children()):
            if isinstance(module, nn.Linear):
                setattr(self.all, name, Linears())
        self.all._parameters.clear()

    def put(self, key: str, value: Tensor) -> None:
        """Compute with this parameter: (members, *shape)."""
        path, _, name = key.rpartition(".")
        setattr(self.all.get_submodule(path), name, value.unsqueeze(1) if value.ndim == 2 else value)

    def forward(self, x, y: Tensor) -> Tensor:
        value = self.first[0].read(x) if self.wants_reading else y
        rows = value.reshape(self.members, -1, value.shape[-1])  # (members, batch * ..., width)
        result = self.all(rows, rows)
        return result.view(*value.shape[:-1], result.shape[-1])


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
        self.shapes: dict[tuple[str, int, str], tuple[int, ...]] = {}  # (site, place, parameter) -> the largest shape
        self.modules = self._match()
        device = next(adapters.model.parameters()).device
        self.flat = torch.zeros(len(self), sum(map(math.prod, self.shapes.values())), device=device)
        self.read()

    def __len__(self) -> int:
        return len(self.names)

    def _match(self) -> dict[str, list[Banked]]:
        """Note the largest shape of every parameter, and make the members' modules at each place into a banked one."""
        first = self.members[0]
        for name, adapter in zip(self.names, self.members, strict=True):
            if list(adapter.at) != list(first.at):
                raise UserError(f'"{name}" sits at other sites than "{self.names[0]}"; a bank needs the same sites')
        for site, modules in first.at.items():
            for i, module in enumerate(modules):
                alike = [self._alike(site, i, name) for name in self.names]
                for key, _ in module.named_parameters():
                    shapes = [tuple(m.get_parameter(key).shape) for m in alike]
                    self.shapes[site, i, key] = tuple(max(d) for d in zip(*shapes, strict=True))
                    if isinstance(module, Head) and len(set(shapes)) > 1:
                        raise UserError("the members' heads have different labels; a bank is for one task")
        return {site: [Banked(module, len(self)) for module in modules] for site, modules in first.at.items()}

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

    def views(self, flat: Tensor) -> dict[tuple[str, int, str], Tensor]:
        """(site, place, parameter) -> (members, *largest shape), as views of flat (members, parameters)."""
        parts = flat.split([math.prod(shape) for shape in self.shapes.values()], dim=1)
        return {k: part.view(len(self), *s) for (k, s), part in zip(self.shapes.items(), parts, strict=True)}

    def _pairs(self) -> Iterator[tuple[Tensor, Tensor]]:
        """(member's parameter, its part of flat) for every parameter of every member."""
        for (site, i, key), view in self.views(self.flat).items():
            for member, part in zip(self.members, view, strict=True):
                p = member.at[site][i].get_parameter(key)
                yield p, part[tuple(slice(n) for n in p.shape)]  # a small member's part is its corner

    @torch.no_grad()
    def read(self) -> None:
        """Take the members' weights into the bank."""
        for p, part in self._pairs():
            part.copy_(p)

    @torch.no_grad()
    def write(self) -> None:
        """Give the bank's weights to the members."""
        for p, part in self._pairs():
            p.copy_(part)

    @contextmanager
    def _running(self) -> Iterator[None]:
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
            self.adapters.attachment.update()

    def logits(self, flat: Tensor, inputs: dict) -> Tensor:
        """inputs: rows of all members, member after member. (members, batch, labels), float32."""
        for (site, i, key), view in self.views(flat).items():
            self.modules[site][i].put(key, view)
        logits = self.adapters.model(**inputs).logits.float()
        return logits.view(len(self), -1, *logits.shape[1:])

    # ---- training and measuring

    def fit(
        self,
        train: Encoded,
        validation: Encoded | None = None,
        *,
        epochs: int = 3,
        lr: float | Sequence[float] = 1e-3,
        batch_size: int = 32,
        clip: float = 1.0,
        seed: int = 0,
        orders: Sequence[int] | None = None,
        metric: str = "accuracy",
        name: str = "bank",
        show: bool = True,
    ) -> list[Run]:
        """Train every member with the recipe of `train.fit`; each is left at its own best state. One `Run` a member.

        lr: one, or one a member. seed: of the batches' order (and of dropout). orders: one such seed a member, where
        each is to see its own order; batches are then padded to the longest among the orders.
        Each member's gradient is clipped by its own norm: the numbers are `train.fit`'s up to float32 rounding, without
        dropout; with it every member draws masks of its own. A member whose loss is no longer finite gets best = nan
        and harms no other. seconds, step_ms and peak_mb of a Run are those of the whole pass.
        """
        lrs, orders = _each(lr, len(self), "lr"), _each(seed if orders is None else orders, len(self), "orders")
        for rate in lrs:
            check_recipe(train, epochs, batch_size, rate)
        runs = self._begin(lrs, orders, epochs, metric)
        steps = epochs * math.ceil(len(train) / batch_size)
        seed_everything(seed)
        with self._running(), Progress(steps, name, show) as bar:
            self._train(runs, partial(rounds, train, batch_size, orders), validation, steps, clip, bar)
            bar.done(f"{name}: {len(self)} adapters in {runs[0].seconds:.1f} s, {runs[0].step_ms:.0f} ms a step")
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

    def _train(self, runs: list[Run], feed: Callable, validation: Encoded | None, steps: int, clip: float, bar) -> None:
        """Train all epochs, note them in the runs, and leave in `flat` every member's best state."""
        rows, best, device = [nn.Parameter(row) for row in self.flat], self.flat.clone(), self.flat.device
        groups = [{"params": [row], "lr": run.lr} for row, run in zip(rows, runs, strict=True)]  # rows: views of flat
        optimizer = torch.optim.Adam(groups, fused=True)
        schedule = LambdaLR(optimizer, partial(linear_schedule, total=steps))
        reset_peak_memory(device)
        training, started = 0.0, time.perf_counter()
        for epoch in range(1, runs[0].epochs + 1):
            tick, losses, rates = time.perf_counter(), [], []
            self.adapters.model.train()
            for batch in feed(epoch, device):
                rates.append(schedule.get_last_lr())
                losses.append(self._step(rows, optimizer, batch, clip))
                schedule.step()
                bar.step(f"epoch {epoch}/{runs[0].epochs}")
            of_members = torch.stack(losses, dim=1).tolist(), zip(*rates, strict=True)
            for run, values, taken in zip(runs, *of_members, strict=True):
                run.record(epoch, values, list(taken))
            training += time.perf_counter() - tick
            for b, verdict in enumerate(self._verdicts(validation, runs[0].metric)):
                if runs[b].judged(epoch, verdict):
                    best[b] = self.flat[b]
        self.flat = best
        for run in runs:
            run.seconds, run.step_ms = time.perf_counter() - started, 1000 * training / steps
            run.peak_mb = peak_memory_mb(device)

    def _step(self, rows: list[nn.Parameter], optimizer: torch.optim.Optimizer, batch: "Round", clip: float) -> Tensor:
        """One step of every member; (members,), their losses before it."""
        inputs, labels, weights = batch
        with mixed_precision(self.flat.device):
            losses = member_losses(self.logits(torch.stack(rows), inputs), labels, weights)
        optimizer.zero_grad()
        losses.sum().backward()  # one member's loss knows no other's row
        for row in rows:
            nn.utils.clip_grad_norm_(row, clip)
        optimizer.step()
        return losses.detach()

    def _verdicts(self, validation: Encoded | None, metric: str) -> list[Verdict | None]:
        if validation is None:
            return [None] * len(self)
        return [judge_logits(logits, validation.labels, metric) for logits in self.predict(validation)]

    @torch.no_grad()
    def predict(self, data: Encoded, batch_size: int | None = None) -> Tensor:
        """Every member's logits of every row, in the data's order: (members, rows, labels), float32 on the CPU.

        batch_size: rows for each member in one pass; None: 64, on a CPU 64 for all members together.
        """
        if len(data) == 0:
            raise UserError("nothing to evaluate on: the split is empty")
        if self.adapters.active != NAME:
            with self._running():
                return self.predict(data, batch_size)
        device = self.flat.device
        batch_size = batch_size or (64 if device.type == "cuda" else max(1, 64 // len(self)))
        self.adapters.model.eval()
        pieces, order = [], []
        with mixed_precision(device):
            for inputs, _, rows in batches(data, batch_size):
                inputs = {k: v.repeat(len(self), *[1] * (v.ndim - 1)) for k, v in move(inputs, device).items()}
                pieces.append(self.logits(self.flat, inputs).cpu())
                order.append(rows)
        return torch.cat(pieces, 1)[:, torch.cat(order).argsort()]

    def evaluate(self, data: Encoded, metric: str = "accuracy") -> list[float]:
        """Every member's score on the data; as `train.evaluate` for each."""
        return [score(metric, logits, data.labels) for logits in self.predict(data)]


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
        cuts = [rows.tolist() for _, _, rows in parts]
        longest = max(map(len, cuts))
        rows = torch.tensor([cut + cut[:1] * (longest - len(cut)) for cut in cuts])  # (streams, batch)
        weights = torch.tensor([[1.0] * len(cut) + [0.0] * (longest - len(cut)) for cut in cuts])
        inputs = move(train.inputs(rows.flatten().tolist()), device)  # (streams * batch, tokens, ...)
        inputs = {k: v.unflatten(0, rows.shape)[pick].flatten(0, 1) for k, v in inputs.items()}
        yield inputs, train.labels[rows].to(device)[pick], weights.to(device)[pick]


def _each(value, count: int, what: str) -> list:
    values = [value] * count if isinstance(value, int | float) else list(value)
    if len(values) != count:
        raise UserError(f"{what} lists {len(values)} values for a bank of {count}; give one, or one a member")
    return values
