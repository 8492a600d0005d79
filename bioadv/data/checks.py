"""What a parameter may be: a whole number, a finite number, one of several names. Errors name it and the remedy.

Ranges are checked where the parameter is defined; here is what Python would let pass: 100.5 units, an infinite rate,
``True`` for 1, and a misspelt name that is taken for the other one.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch


def whole(**values: Any) -> None:
    """``ValueError`` for what is not an ``int``."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise ValueError(f"{name} = {value!r}; give a whole number (an int)")


def finite(**values: Any) -> None:
    """``ValueError`` for what is not an ``int`` or ``float``, and for NaN and infinity."""
    for name, value in values.items():
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise ValueError(f"{name} = {value!r}; give a finite number (an int or float)")


def positive(**values: Any) -> None:
    """``ValueError`` for what is not finite and above 0."""
    finite(**values)
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name} = {value}; give a number > 0")


def tensor(**values: Any) -> None:
    """``ValueError`` for what is not a tensor."""
    for name, value in values.items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{name} is a {type(value).__name__}; give a tensor, such as torch.from_numpy(array)")


def floating(**values: Any) -> None:
    """``ValueError`` for what is not a tensor of floating-point numbers; whole ones would round what meets them."""
    tensor(**values)
    for name, value in values.items():
        if not value.is_floating_point():
            raise ValueError(f"{name} has dtype {value.dtype}; give floating-point numbers, such as {name}.float()")


def instance(kind: type, remedy: str, **values: Any) -> None:
    """``ValueError`` for what is not of a class."""
    for name, value in values.items():
        if not isinstance(value, kind):
            raise ValueError(f"{name} = {value!r} is no {kind.__name__}; give {remedy}")


def generator(given: Any) -> None:
    """``ValueError`` for what is not a ``torch.Generator``: with None, torch draws from its global stream."""
    if not isinstance(given, torch.Generator):
        raise ValueError(f"generator = {given!r}; give torch.Generator().manual_seed(0), or another seed")


def known(name: str, value: Any, choices: Collection[str]) -> None:
    """``ValueError`` for a name that is none of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} = {value!r} is not known; choose {' or '.join(choices)}")
