"""An exercise is a table: a reference, cases to try it on, and what each wrong answer means.

    merge = exercise(
        "10c",                            # its id: the cell's tag is exercise-10c
        "W, A, B, scale",                 # the learner's arguments; messages call them by these names
        "W + scale * B @ A",              # the reference: an expression of the arguments, or a function
        [(W, A, B, 3.0), (W2, A2, B2, -0.5)],
        '''
        W + B @ A                # the scale is missing
        right(W, B, A, scale)    # A and B are swapped
        ''',
    )

In the notebook, under the learner's function: `merge = check.merge(merge)`. It prints one verdict, and returns the
learner's function when it is right, else the reference. To add one, put such a table into the lesson's
exercises.py: `check` finds it by its name, and tests/lessons/test_check.py tries the reference, every wrong answer,
every accepted type and mutants of the reference. What you owe it:

- **Cases that tell apart.** A case is a tuple of arguments, copied before every call. The wrong answers must differ
  from the right one and from each other somewhere: no scale 1, no square matrix alone, no symmetric mask, a negative
  number, the limit itself, equal values in other objects. A case may make a wrong answer raise; it is then judged by
  the others.
- **Wrong answers**: lines of code, each with a comment that says what is wrong and, if it can, the mend. The comment
  may stand on lines of its own below; lines without one share the next. The code knows `torch`, `math`, `F`, `right`
  (the reference) and what `names` adds. Whoever's answer behaves like a line on all cases is told its comment;
  a list of tables may hold `(cases, table)`, which looks at these cases only. The first that fits is said, so put
  the special before the general. Anything else is told what it gives and what is due.
- **gradients=True** where the answer is part of a forward pass: the gradients of all tensors among the arguments are
  compared too, so a detached branch is found. **keeps**: {argument: what to say if it is changed in place}, where
  the usual sentence is too little; nothing may be changed in place.
- **Checks**, further positional arguments, where a table cannot say it (a class, random numbers, hooks): functions of
  the learner's function that return None, or one clause. Such an exercise may have no cases; `returns` is then a
  value of the type that is due. **in_place=True**: the right function returns nothing.

What comes back counts as the reference's type when nothing is lost: list for tuple, 0-dim tensor for number, 0 and 1
for bool, 22.0 for 22, float64 for float32. An accepted function is then wrapped, so that it gives the reference's
type ever after, and the verdict says so: later cells never meet another type. A generator, a numpy array for a
tensor, a set for a list and the like are refused by name. `accepted_variants` lists all that is taken.
"""

import copy
import functools
import inspect
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from .attempt import OWN, Blank, explain, has_dots, is_begun, is_empty, methods
from .values import Unfit, convert, difference, differs, leaves, same, short, unchanged, variants

NOT_ATTEMPTED = "not attempted"
CORRECT = "correct"


@dataclass(frozen=True)
class Outcome:
    """What a function made of one case: a value of the right type, another (and why it does not do), or an error."""

    value: Any = None
    unfit: str = ""
    error: Exception | None = None
    changed: str = ""
    converted: str = ""

    def like(self, other: "Outcome", tolerance: float = 1e-5) -> bool:
        return (
            not (self.error or other.error) and self.unfit == other.unfit and same(self.value, other.value, tolerance)
        )


@dataclass(frozen=True)
class Mistake:
    """A known wrong answer: `message` is said to whoever agrees with it wherever both give a value."""

    wrong: Callable
    message: str
    cases: tuple[int, ...]

    def fits(self, outcomes: Sequence[Outcome], wrongs: Sequence[Outcome], rights: Sequence[Outcome]) -> bool:
        both = [i for i in self.cases if not (outcomes[i].error or wrongs[i].error)]
        return all(outcomes[i].like(wrongs[i]) for i in both) and any(not outcomes[i].like(rights[i]) for i in both)


@dataclass(frozen=True, eq=False)
class Exercise:
    """Call it with the learner's function: prints one verdict, returns that function or the reference."""

    ident: str
    arguments: tuple[str, ...]
    reference: Callable
    cases: tuple[tuple, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    checks: tuple[Callable, ...] = ()
    returns: Any = None
    gradients: bool = False
    in_place: bool = False
    keeps: Mapping[str, str] = field(default_factory=dict)
    tolerance: float = 1e-5

    def __call__(self, fn: Any) -> Callable:
        verdict, converted = self._judge(fn)
        if verdict == CORRECT:
            print(f"exercise {self.ident}: correct" + (f" ({converted})" if converted else ""))
            return self._typed(fn) if converted else fn
        if verdict == NOT_ATTEMPTED:
            print(f"exercise {self.ident}: not attempted, using the reference")
        else:
            print(f"exercise {self.ident}: not yet: {verdict}; using the reference")
        return self.reference

    def verdict(self, fn: Any) -> str:
        """ "correct", "not attempted", or the first diagnosis. Leaves the random generators as they were."""
        return self._judge(fn)[0]

    def accepted_variants(self) -> Iterator[tuple[str, Callable]]:
        """(name, function): the reference in every other type of answer that is accepted."""
        if self.in_place or inspect.isclass(self.reference):
            return
        for name, change in variants(self._like, weights=not self.gradients):

            def variant(*args: Any, change: Callable = change, **kwargs: Any) -> Any:
                value = self.reference(*args, **kwargs)
                return change(value) if type(value) is type(self._like) else value

            yield name, variant

    def through(self, make: Callable) -> Callable:
        """This table as a check of another exercise: it judges what `make` makes of the learner's function."""

        def check(fn: Callable) -> str | None:
            verdict = self.verdict(make(fn))
            if verdict == NOT_ATTEMPTED:
                raise Blank
            return None if verdict == CORRECT else verdict

        return check

    # ---- the verdict

    def _judge(self, fn: Any) -> tuple[str, str]:
        """(verdict, what had to be converted)."""
        if fn is None or fn is Ellipsis:
            return NOT_ATTEMPTED, ""
        if not callable(fn):
            return f"this is {short(fn)}, where the function itself is due, without a call", ""
        if not self._can_be_called(fn):
            return f"it must take the arguments {', '.join(self.arguments)}", ""
        empty = [f for f in methods(fn) if is_empty(f)]
        if empty:
            return self._unfinished(fn, empty), ""
        state, converted = random.getstate(), []
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                return self._diagnose(fn, converted) or CORRECT, next(iter(converted), "")
        except Blank:
            return NOT_ATTEMPTED, ""
        except Unfit as unfit:
            return str(unfit), ""
        except Exception as error:
            return self._raised(error, fn), ""
        finally:
            random.setstate(state)

    def _can_be_called(self, fn: Callable) -> bool:
        try:
            inspect.signature(fn).bind(*self.arguments)
        except TypeError:
            return False
        except ValueError:  # a built-in that does not say
            pass
        return True

    def _unfinished(self, fn: Any, empty: list[Callable]) -> str:
        """A class may be half done: then say which half."""
        done = [f for f in methods(fn) if f not in empty and (not has_dots(f) or is_begun(f))]
        if not done:
            return NOT_ATTEMPTED
        names = {"__init__": "the initialisation"}
        there, missing = (names.get(fs[0].__name__, fs[0].__name__) for fs in (done, empty))
        return f"{there} is there, {missing} is not"

    def _raised(self, error: Exception, fn: Any) -> str:
        """`raise NotImplementedError` is a stub; torch's own ("not implemented for 'Bool'") says more."""
        blank = any(has_dots(f, as_value=True) for f in methods(fn))
        blank |= isinstance(error, NotImplementedError) and not str(error)
        return NOT_ATTEMPTED if blank else explain(error, fn)

    def _diagnose(self, fn: Callable, converted: list[str]) -> str | None:
        """One clause, or None; adds to `converted` what was taken for the right type."""
        outcomes = [self._outcome(fn, case) for case in self.cases]
        rights = [self._outcome(self.reference, case) for case in self.cases]
        if not all(a.like(b, self.tolerance) for a, b in zip(outcomes, rights, strict=True)):
            message = self._known(outcomes, rights)
            if message:
                return message
        watched = self._watched(fn, converted)
        for check in self.checks:
            message = check(watched)
            if message:
                return message
        message = self._unlike(fn, outcomes, rights)
        if message:
            return message
        converted += [o.converted for o in outcomes if o.converted]
        return self._cut_off(fn) if self.gradients and self.cases else None

    def _known(self, outcomes: Sequence[Outcome], rights: Sequence[Outcome]) -> str | None:
        for mistake in self.mistakes:
            wrongs = [self._outcome(mistake.wrong, case) for case in self.cases]
            if mistake.fits(outcomes, wrongs, rights):
                return mistake.message
        return None

    def _unlike(self, fn: Callable, outcomes: Sequence[Outcome], rights: Sequence[Outcome]) -> str | None:
        """In the order: raised, another type, changed in place, another value."""
        for at, (case, got) in enumerate(zip(self.cases, outcomes, strict=True)):
            if got.error:
                text = self._raised(got.error, fn)
                return f"for {self._named(case)} {text}" if at and text != NOT_ATTEMPTED else text
        for got in outcomes:
            if got.unfit:
                return got.unfit
        for got in outcomes:
            if got.changed:
                usual = (
                    f"it changes {got.changed} in place; leave it as it came: a = a + b instead of a += b, or a copy"
                )
                return self.keeps.get(got.changed, usual)
        for case, got, right in zip(self.cases, outcomes, rights, strict=True):
            if not got.like(right, self.tolerance):
                return f"for {self._named(case)} {difference(got.value, right.value)}"
        return None

    def _cut_off(self, fn: Callable) -> str | None:
        """The values are right: are the gradients of all the arguments' tensors?"""
        for case in self.cases:
            got, want = (self._gradients(f, case) for f in (fn, self.reference))
            for name, right in want.items():
                if right.any() and (got.get(name) is None or not got[name].any()):
                    return f"the values are right, but no gradient reaches {name}: {CUTS}"
                if not same(got[name], right, 1e-3):
                    return f"the values are right, but the gradient of {name} is not: {CUTS}"
        return None

    def _gradients(self, fn: Callable, case: tuple) -> dict[str, torch.Tensor]:
        args = copy.deepcopy(case)
        named = dict(pair for name, arg in zip(self.arguments, args, strict=True) for pair in leaves(arg, name))
        for tensor in named.values():
            tensor.requires_grad_()
        with torch.enable_grad():
            outputs = [t for _, t in leaves(convert(fn(*args), self._like), "")]
            generator = torch.Generator().manual_seed(1)
            total = sum((t * torch.randn(t.shape, generator=generator)).sum() for t in outputs)
        if not isinstance(total, torch.Tensor) or not total.requires_grad:
            return {}
        grads = torch.autograd.grad(total, list(named.values()), allow_unused=True)
        return {
            name: g if g is not None else torch.zeros_like(t) for (name, t), g in zip(named.items(), grads, strict=True)
        }

    # ---- running

    @functools.cached_property
    def _like(self) -> Any:
        """A value of the type that is due; of a sequence the longest that the cases give."""
        if self.returns is not None or self.in_place or not self.cases:
            return self.returns
        rights = [self.reference(*copy.deepcopy(case)) for case in self.cases]
        return max(rights, key=lambda v: len(v) if isinstance(v, list | tuple | set) else 0)

    def _outcome(self, fn: Callable, case: tuple) -> Outcome:
        args = copy.deepcopy(case)
        try:
            value = fn(*args)
        except Blank:
            raise
        except Exception as error:
            return Outcome(error=error)
        if value is Ellipsis:
            raise Blank
        kept = zip(self.arguments, case, args, strict=True)
        changed = next((name for name, before, after in kept if not unchanged(before, after)), "")
        try:
            taken = convert(value, self._like if fn is not self.reference else None)
        except Unfit as unfit:
            return Outcome(value, unfit=str(unfit), changed=changed)
        return Outcome(taken, changed=changed, converted=differs(value, taken))

    def _watched(self, fn: Callable, converted: list[str]) -> Callable:
        """fn for the checks: `...` raises Blank, another type Unfit, and what is near enough is converted."""
        if inspect.isclass(fn):
            return fn

        def call(*args: Any, **kwargs: Any) -> Any:
            value = fn(*args, **kwargs)
            if value is Ellipsis:
                raise Blank
            if self.in_place:
                return value
            if value is None:
                raise Unfit("it returned None: is a `return` missing?")
            taken = convert(value, self._like)
            converted.extend(filter(None, [differs(value, taken)]))
            return taken

        return call

    def _typed(self, fn: Callable) -> Callable:
        """fn, whose values have the reference's type from here on; those of another kind than the cases' are left."""
        like = self._like

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            value = fn(*args, **kwargs)
            try:
                return convert(value, like)
            except Unfit:
                return value

        return call

    def _named(self, case: tuple) -> str:
        """ "step=10, total=100"."""
        names = [name.split("=")[0].strip() for name in self.arguments]
        return ", ".join(
            f"{name} of shape {tuple(v.shape)}" if isinstance(v, torch.Tensor) and v.ndim else f"{name}={short(v)}"
            for name, v in zip(names, case, strict=True)
        )


KEEP_Y = "it changes y in place; the frozen model's own output must stay as it is: write y + ..., not y += ..."
CUTS = "a .detach(), .item() or torch.no_grad() cuts it off, and nothing behind it would be trained"


def exercise(
    ident: str,
    arguments: str,
    reference: str | Callable,
    cases: Sequence[tuple] = (),
    wrong: str | Sequence[str | tuple[Sequence[tuple], str]] = "",
    *checks: Callable,
    names: Mapping[str, Any] | None = None,
    **options: Any,
) -> Exercise:
    """An exercise as the table at the top of this file describes it. options: fields of Exercise."""
    known = {"torch": torch, "math": math, "F": F, **(names or {})}
    known["right"] = right = expression(arguments, reference, known)
    mistakes = []
    for entry in [wrong] if isinstance(wrong, str) else wrong:
        some, text = (cases, entry) if isinstance(entry, str) else entry
        indices = tuple(i for i, case in enumerate(cases) if any(case is one for one in some))
        mistakes += [Mistake(expression(arguments, code, known), said, indices) for code, said in table(text)]
    split = tuple(name.strip() for name in arguments.split(",") if name.strip())
    return Exercise(ident, split, right, tuple(cases), tuple(mistakes), checks, **options)


def table(text: str) -> list[tuple[str, str]]:
    """(wrong answer, what it means) of a table of wrong answers; the docstring above says how it is written."""
    rows: list[tuple[str, str]] = []
    codes, said = [], ""
    for line in [*text.splitlines(), "end"]:
        code, _, comment = line.partition("#")
        if code.strip() and said:
            rows += [(code, said) for code in codes]
            codes, said = [], ""
        codes += [code.strip()] if code.strip() else []
        said = f"{said} {comment.strip()}".strip()
    return rows


def expression(arguments: str, body: str | Callable, names: Mapping[str, Any]) -> Callable:
    """`body` itself when it is a function, else the function of these arguments that returns it."""
    if not isinstance(body, str):
        return body
    return eval(compile(f"lambda {arguments}: {body}", OWN, "eval"), dict(names))


def random_tensors(*shapes: tuple[int, ...], seed: int = 0) -> list[torch.Tensor]:
    """Standard normal tensors of these shapes, always the same."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def divides(message: str, *args: Any) -> Callable:
    """A check: `message` when the learner's function divides by zero on these arguments."""

    def check(fn: Callable) -> str | None:
        try:
            fn(*args)
        except ZeroDivisionError:
            return message
        return None

    return check
