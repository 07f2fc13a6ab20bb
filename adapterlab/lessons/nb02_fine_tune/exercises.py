"""Exercises of 02_fine_tune: the schedule, the loop, a stopwatch."""

import warnings
from functools import partial

import torch
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from ...train import linear_schedule
from ..kit.exercise import exercise
from ..kit.values import same

# 16 steps: round(1.6) is 2, int(1.6) is 1; 4 steps: round(0.4) is 0, and one step of warm-up is due all the same
STEPS = [(step, 100) for step in (0, 4, 9, 10, 55, 99)]
SCHEDULES = [*STEPS, (0, 7), (6, 7), (1, 16), (2, 16), (0, 4), (1, 4), (1, 2)]


def _rise(total):
    return max(1, round(0.1 * total))


def _scaled(step, total, rise):
    return (step + 1) / rise if step < rise else (total - step) / max(1, total - rise)


warmup_then_decay = exercise("02a", "step, total", linear_schedule, SCHEDULES, [(STEPS, """
    1 - step / total                                          # there is no warm-up: it starts at its highest
    min(1.0, (step + 1) / (0.1 * total))
    right(step, total) if step < round(0.1 * total) else 1.0  # it never decays after the warm-up
    step / round(0.1 * total) if step < round(0.1 * total) else right(step, total)
        # step 0 has the factor 0, so the first batch teaches nothing: count the first step as 1
    right(step, total) if step < round(0.1 * total) else (total - step) / total
    right(step, total) if step < round(0.1 * total) else 1 - (step + 1) / total
        # at the end of the warm-up it jumps down: the decay must start from 1
    right(step, total) if step < rise(total) else (total - 1 - step) / max(1, total - 1 - rise(total))
        # the line reaches 0 at the last step, total - 1, which then teaches nothing; it is 0 at `total`
    right(step, total) if step < rise(total) else (step - rise(total)) / (total - rise(total))
        # it climbs again after the warm-up: (step - rise) grows, (total - step) falls
    """), """
    (step + 1) / rise(total) if step <= rise(total) else right(step, total)
        # at step = rise it goes beyond 1: the warm-up holds for step < rise
    scaled(step, total, max(1, int(0.1 * total)))
        # int(0.1 * total) cuts off; `rise` is rounded: round(0.1 * total)
    scaled(step, total, 0.1 * total)  # `rise` is a whole number of steps: max(1, round(0.1 * total))
    scaled(step, total, round(0.1 * total))
        # `rise` becomes 0 for few steps, and then there is no warm-up step at all: max(1, ...)
    100 * right(step, total)  # the factor goes up to 1, not to 100
    """], names={"rise": _rise, "scaled": _scaled})  # fmt: skip


# ---- 02b: the loop


class _Net(nn.Module):
    """One map behind a dropout, in eval mode, with gradients that an earlier step left."""

    def __init__(self):
        super().__init__()
        self.drop, self.linear = nn.Dropout(0.5), nn.Linear(3, 2)
        for p in self.parameters():
            p.grad = torch.ones_like(p)
        self.eval()

    def forward(self, x):
        return self.linear(self.drop(x))


def _loop(model, batches, optimizer, schedule, loss, clip, *, without=(), early=False, once=False):
    """The reference; `without` some of its lines, the schedule `early` (before the optimizer) or `once` an epoch."""
    losses = []
    if "train" not in without:
        model.train()
    for inputs, labels in batches:
        value = loss(model(**inputs), labels)
        if "zero_grad" not in without:
            optimizer.zero_grad()
        value.backward()
        if "clip" not in without:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        steps = [optimizer.step] + [schedule.step] * (not once and "schedule" not in without)
        for step in reversed(steps) if early else steps:
            step()
        losses.append(value.item())
    if once:
        schedule.step()
    return losses


#: What a wrong loop does, and what to say then.
LOOPS = (
    ({"without": ("train",)}, "model.train() is missing: dropout stays switched off"),
    ({"without": ("zero_grad",)},
     "the gradients of the steps before are added up: optimizer.zero_grad() before every backward()"),
    ({"without": ("clip",)}, "the gradients are not clipped: clip_grad_norm_ between backward() and optimizer.step()"),
    ({"without": ("schedule",)}, "the learning rate never changes: schedule.step() after optimizer.step()"),
    ({"once": True}, "the schedule moves once an epoch; it counts steps: schedule.step() after every optimizer.step()"),
    ({"early": True}, "schedule.step() comes before optimizer.step(), so the first rate of all is skipped"),
    ({"without": ("zero_grad", "clip")}, "the gradients are neither cleared before backward() nor clipped after it"),
    ({"without": ("clip", "schedule")}, "the gradients are not clipped, and the schedule never moves"),
)  # fmt: skip


def _train(loop):
    """What a loop returns, and what it leaves behind: all weights, the rate, the mode; and whether a gradient."""
    torch.manual_seed(0)
    model = _Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    rows = [({"x": 9 * torch.randn(4, 3)}, torch.tensor([0, 1, 1, 0])) for _ in range(3)]
    with warnings.catch_warnings():  # torch's own about the order of the two steps
        warnings.simplefilter("ignore")
        schedule = LambdaLR(optimizer, lambda step: 1 / (step + 1))
        losses = loop(model, iter(rows), optimizer, schedule, functional.cross_entropy, 0.7)
    gradient = any(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
    return losses, (_flat(model), optimizer.param_groups[0]["lr"], model.training), gradient


def _flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _loops(fn):
    (losses, left, gradient), (right_losses, right, _) = _train(fn), _train(_loop)
    torch.manual_seed(0)
    if torch.equal(left[0], _flat(_Net())):
        if gradient:
            return "no weight has moved: optimizer.step() is missing"
        return "no weight has moved and no gradient is left: backward() is missing, or zero_grad() comes after it"
    if not same(left, right, 1e-6):
        known = (message for change, message in LOOPS if same(left, _train(partial(_loop, **change))[1], 1e-6))
        order = "loss, zero_grad, backward, clip at `clip`, optimizer, schedule, in this order"
        return next(
            known, f"after three batches the weights are off by {(left[0] - right[0]).abs().max():.2g}: {order}"
        )
    if len(losses) != 3:
        return f"three batches went in and {len(losses)} losses came back: one a batch"
    if not same(losses, right_losses, 1e-4):
        return "the training is right, but the losses returned are not: append each batch's own, value.item()"
    return None


training_loop = exercise("02b", "model, batches, optimizer, schedule, loss, clip", _loop, (), "", _loops, returns=[0.5])


# ---- 02c: a stopwatch


class Day:
    """A clock that only moves when a job works: the machine is slow at first, has a hiccup, and is fast in the end.

    jobs: after so many the same day begins again.
    """

    PACE = (5.0, 4.0, 3.0, 1.0, 9.0, 1.5, 1.0, 1.25)

    def __init__(self, jobs):
        self.now, self.done, self.jobs = 0.0, 0, jobs

    def __call__(self):
        return self.now

    def work(self, seconds):
        self.now += seconds * self.PACE[self.done % self.jobs % len(self.PACE)]
        self.done += 1


def _day(seconds, rounds):
    clock = Day(len(seconds) * rounds)
    return [partial(clock.work, s) for s in seconds], rounds, clock


def _times(works, rounds, clock, blocks=False):
    """A list of times a work; in turns, or in blocks, one work after the other."""
    times = [[] for _ in works]
    order = [i for i in range(len(works)) for _ in range(rounds)] if blocks else [*range(len(works))] * rounds
    for i in order:
        start = clock()
        works[i]()
        times[i].append(clock() - start)
    return times


def _in_turn(works, rounds, clock):
    return [sorted(times)[rounds // 2] for times in _times(works, rounds, clock)]


time_in_turn = exercise("02c", "works, rounds, clock", _in_turn,
    [_day((1.0, 2.0, 4.0), 5), _day((3.0, 1.0), 3), _day((1.0, 1.5, 2.5, 0.5), 7)], """
    [sorted(t)[rounds // 2] for t in times(works, rounds, clock, blocks=True)]
        # each is timed in a block of its own, so a slow minute hits one alone: in every round all of them, once each
    [sum(t) / rounds for t in times(works, rounds, clock)]  # that is the mean, which one hiccup moves; take the median
    [sum(t) for t in times(works, rounds, clock)]
    [min(t) for t in times(works, rounds, clock)]
    [max(t) for t in times(works, rounds, clock)]  # that is the rounds' sum, fastest or slowest; take the median
    [t[rounds // 2] for t in times(works, rounds, clock)]
        # that is the round in the middle: sort the times before you take the middle one
    [t[0] for t in times(works, rounds, clock)]
    [t[-1] for t in times(works, rounds, clock)]            # only one round counts; take the median of all
    [1000 * t for t in right(works, rounds, clock)]         # return seconds, as the clock gives them
    right(works, rounds, clock)[::-1]                       # the order is turned round; keep that of `works`
    sorted(right(works, rounds, clock))                     # the medians are sorted; keep the order of `works`
""", names={"times": _times})  # fmt: skip

QUIZ = """c a
    1 a  # on a larger test set the mistake would be smaller, and still be one
    1 b  # time is not the reason: think of what choosing does to the score that chose
    2 b  # work out first how far a score on 500 sentences swings by itself
    2 c  # that is a claim too, and a difference of 1.5 points does not prove it
"""
