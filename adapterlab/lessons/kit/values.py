"""Answers as values: taken as the type of the right answer, compared with it, and told apart in a few words."""

import math
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

NUMBERS = {bool: "True or False", int: "a whole number", float: "a number"}


class Unfit(Exception):
    """A value of another kind than the right answer; the text says which of the two is due, and the mend."""


# ---- the type of the right answer


def convert(got: Any, like: Any) -> Any:
    """`got` in the type of `like`: list and tuple, 0-dim tensor and number, 0/1 and bool count as one another.

    Lengths, shapes and values stay as they are. Raises Unfit where the kinds differ.
    """
    if got is None and like is not None:
        raise Unfit("it returned None: is a `return` missing?")
    if isinstance(like, torch.Tensor):
        return _tensor(got, like)
    if isinstance(like, bool | int | float):
        return _number(got, type(like))
    if isinstance(like, list | tuple | set):
        return _container(got, like)
    if isinstance(like, str | dict) and not isinstance(got, type(like)):
        raise Unfit(f"it gives {kind(got)}, where {kind(like)} is due")
    return got


def _number(got: Any, number: type) -> Any:
    if isinstance(got, torch.Tensor | np.ndarray | np.generic):
        if math.prod(got.shape) != 1:
            raise Unfit(f"it gives {kind(got)} of shape {tuple(got.shape)}, where {NUMBERS[number]} is due")
        got = got.item()
    if not isinstance(got, bool | int | float):
        raise Unfit(f"it gives {kind(got)}, where {NUMBERS[number]} is due{_mend(got, None)}")
    if number is bool and got not in (0, 1):
        raise Unfit(f"it gives {short(got)}, where True or False is due")
    if number is int and math.isfinite(got):  # 22.0 is 22, and 21.5 stays what it is
        return round(got) if abs(got - round(got)) <= 1e-9 * max(1.0, abs(got)) else got
    return bool(got) if number is bool else float(got)


def _tensor(got: Any, like: torch.Tensor) -> torch.Tensor:
    if isinstance(got, bool | int | float) and like.ndim == 0:
        return torch.tensor(got, dtype=like.dtype)
    if not isinstance(got, torch.Tensor):
        raise Unfit(f"it gives {kind(got)}, where a tensor is due{_mend(got, like)}")
    if isinstance(got, nn.Parameter):
        got = got.detach()
    if got.dtype == like.dtype:
        return got
    if got.is_floating_point() == like.is_floating_point() and like.dtype in (torch.float32, torch.int64):
        return got.to(like.dtype)
    wanted = str(like.dtype).removeprefix("torch.")
    raise Unfit(f"its numbers are {str(got.dtype).removeprefix('torch.')}, where {wanted} is due: .to({like.dtype})")


def _container(got: Any, like: list | tuple | set) -> Any:
    ordered = isinstance(got, list | tuple)
    if not (ordered or isinstance(like, set) and isinstance(got, set | frozenset)):
        raise Unfit(f"it gives {kind(got)}, where {kind(like)} is due{_mend(got, like)}")
    if isinstance(like, set):
        return set(got)
    known = list(like)
    if len(known) == len(got):
        return type(like)(convert(g, k) for g, k in zip(got, known, strict=True))
    return type(like)(convert(g, known[0]) for g in got) if known else type(like)(got)


def _mend(got: Any, like: Any) -> str:
    """How to get from what came back to what is due, where there is one way."""
    into = type(like).__name__ if isinstance(like, list | tuple | set) else None
    if isinstance(got, types.GeneratorType):
        if got.gi_code.co_name != "<genexpr>":
            return ": `yield` makes it one; write `return`"
        return f": put {into}(...) around it" if into else ": nothing in it has run yet"
    if isinstance(got, np.ndarray | np.generic) and isinstance(like, torch.Tensor):
        return ": stay in torch, or end with torch.from_numpy(...)"
    if isinstance(got, tuple) and len(got) == 1:
        return ": a comma at the end of the line makes it one"
    if isinstance(got, list | tuple) and isinstance(like, torch.Tensor):
        return f" (it holds {len(got)}): make one tensor of them, or return the one that is asked for"
    if isinstance(got, set | frozenset) and into:
        return (
            f": a set has no order and drops what is there twice; {'sorted(...)' if into == 'list' else 'tuple(...)'}"
        )
    if isinstance(got, np.ndarray | torch.Tensor) and into:
        several = any(isinstance(part, torch.Tensor) for part in like)
        return f" of {len(like)}: return all, with commas between" if several else f": {into}(x.tolist()) makes one"
    return f": {into}(...) makes one" if into and isinstance(got, map | filter | range | zip | dict) else ""


def kind(value: Any) -> str:
    """What a value is, in two or three words."""
    if isinstance(value, nn.Module):
        return f"a module ({type(value).__name__})"
    if isinstance(value, torch.Tensor):
        return "a tensor"
    if isinstance(value, np.ndarray | np.generic):
        return "a numpy array" if getattr(value, "ndim", 0) else "a numpy number"
    if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType | type):
        return f"a function ({value.__name__}, not called)"
    names = {str: "a string", int: "an int", dict: "a dict", types.GeneratorType: "a generator", type(None): "None"}
    name = type(value).__name__
    return names.get(type(value), f"{'an' if name[0] in 'aeiou' else 'a'} {name}")


def differs(got: Any, converted: Any) -> str:
    """ "a list counts as a tuple" where `convert` had something to do, else ""."""
    if isinstance(converted, torch.Tensor):
        if not isinstance(got, torch.Tensor):
            return f"{kind(got)} counts as a tensor"
        if isinstance(got, nn.Parameter):
            return "a parameter counts as a tensor"
        return f"{got.dtype} counts as {converted.dtype}" if got.dtype != converted.dtype else ""
    if type(got) is not type(converted):
        return f"{kind(got)} counts as {kind(converted)}"
    if isinstance(converted, list | tuple):
        return next((text for pair in zip(got, converted, strict=True) if (text := differs(*pair))), "")
    return ""


def variants(like: Any, weights: bool = True) -> Iterator[tuple[str, Callable]]:
    """(name, function of a right value): every other type in which `convert` takes it.

    weights: whether a parameter counts as the tensor it holds, and a number too (not where gradients are compared).
    """
    if isinstance(like, bool):
        yield from [("0 or 1", int), ("a 0-dim tensor", torch.tensor), ("a numpy bool", np.bool_)]
    elif isinstance(like, int):
        yield from [("a float", float), ("a 0-dim tensor", torch.tensor), ("a numpy int", np.int64)]
    elif isinstance(like, float):
        yield from [("a 0-dim tensor", lambda v: torch.tensor(v, dtype=torch.float64)), ("a numpy float", np.float64)]
    elif isinstance(like, torch.Tensor):
        if weights and like.ndim == 0:
            yield "a number", lambda v: v.item()
        if like.dtype in (torch.float32, torch.int64):
            yield "double", lambda v: v.double() if v.is_floating_point() else v.to(torch.int32)
        if weights and like.is_floating_point():
            yield "a parameter", lambda v: nn.Parameter(v)
    elif isinstance(like, list | tuple):
        other = tuple if isinstance(like, list) else list
        yield f"a {other.__name__}", other
        for at, part in enumerate(like):
            for name, change in variants(part, weights):
                yield f"{name} at [{at}]", lambda v, at=at, f=change: [f(x) if i == at else x for i, x in enumerate(v)]
    elif isinstance(like, set):
        yield from [("a list", list), ("a tuple", tuple)]


# ---- equal?


def same(got: Any, want: Any, tolerance: float = 1e-5) -> bool:
    """Equal in shape, and in value within the tolerance (relative, and absolute around zero); nan equals nan."""
    if isinstance(want, torch.Tensor):
        if not isinstance(got, torch.Tensor) or got.shape != want.shape:
            return False
        return torch.allclose(got.double(), want.double(), rtol=tolerance, atol=tolerance, equal_nan=True)
    if isinstance(want, dict):
        return (
            isinstance(got, dict) and got.keys() == want.keys() and all(same(got[k], want[k], tolerance) for k in want)
        )
    if isinstance(want, list | tuple):
        if not isinstance(got, list | tuple) or len(got) != len(want):
            return False
        return all(same(g, w, tolerance) for g, w in zip(got, want, strict=True))
    if isinstance(want, float) or isinstance(got, float):
        try:
            return float(got) == float(want) or abs(float(got) - float(want)) <= tolerance * max(1.0, abs(float(want)))
        except (TypeError, ValueError, RuntimeError):
            return False
    return type(got) in (bool, int, str, type(None), type(want)) and bool(got == want)


def unchanged(before: Any, after: Any) -> bool:
    """The same numbers, names and flags, bit for bit; functions and other objects are taken as they are."""
    if isinstance(before, torch.Tensor):
        return before.shape == after.shape and torch.equal(before.detach(), after.detach())
    if isinstance(before, nn.Module):
        flags = [[p.requires_grad for p in module.parameters()] for module in (before, after)]
        return flags[0] == flags[1] and unchanged(before.state_dict(), after.state_dict())
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(unchanged(before[k], after[k]) for k in before)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(unchanged, before, after))
    return not isinstance(before, bool | int | float | str) or before == after


def leaves(value: Any, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """(name, tensor) of every float tensor in a value: `w["l"]`, `states[0]`, `down.weight`."""
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        yield name, value
    elif isinstance(value, nn.Module):
        yield from ((f"{name}.{part}", p) for part, p in value.named_parameters())
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from leaves(part, f'{name}["{key}"]')
    elif isinstance(value, list | tuple):
        for at, part in enumerate(value):
            yield from leaves(part, f"{name}[{at}]")


# ---- in a few words


def difference(got: Any, want: Any) -> str:
    """One clause: what came back instead of what was due, never more than a few numbers of it."""
    if isinstance(want, torch.Tensor) and isinstance(got, torch.Tensor):
        return _between_tensors(got, want)
    pairs = isinstance(want, list | tuple) and isinstance(got, list | tuple)
    if pairs and (max(len(repr(got)), len(repr(want))) > 60 or any(isinstance(v, torch.Tensor) for v in want)):
        if len(got) != len(want):
            return f"it gives {len(got)} values, expected {len(want)}"
        at = next(i for i, (g, w) in enumerate(zip(got, want, strict=True)) if not same(g, w))
        return f"at [{at}] {difference(got[at], want[at])}"
    return f"it gives {short(got)}, expected {short(want)}"


def _between_tensors(got: torch.Tensor, want: torch.Tensor) -> str:
    if got.shape != want.shape:
        return f"it gives the shape {tuple(got.shape)}, expected {tuple(want.shape)}"
    far = ~torch.isclose(got.double(), want.double(), rtol=1e-5, atol=1e-5).flatten()
    first = int(far.nonzero()[0]) if far.any() else 0
    begin = 0 if first < 3 else first
    numbers = [", ".join(f"{v:.4g}" for v in t.detach().flatten()[begin : begin + 3].tolist()) for t in (got, want)]
    dots = ", ..." if got.numel() > begin + 3 else ""
    place = f" from number {begin} on" if begin else ""
    return f"it gives {numbers[0]}{dots}{place}, expected {numbers[1]}{dots} (shape {tuple(want.shape)})"


def short(value: Any) -> str:
    """A value in at most 60 characters."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}" if value.ndim else f"{value.item():.6g}"
    if isinstance(value, nn.Module) or callable(value) or isinstance(value, types.GeneratorType | np.ndarray):
        return kind(value)
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    if len(text) <= 60 and "tensor(" not in text and " at 0x" not in text:
        return text
    if isinstance(value, list | tuple | set | dict):
        return f"{kind(value)} of {len(value)}"
    return text[:57] + "..."
