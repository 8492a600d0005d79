"""How attacks of other libraries, ``foolbox`` and ``pyautoattack``, are run and judged (extra ``referees``)."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from bioadv.data import checks
from bioadv.measure import attacks
from bioadv.network.models import TwoLayer, frozen

Tensor = torch.Tensor
LIBRARIES = ("foolbox", "pyautoattack")


def missing() -> list[str]:
    """The libraries that are not installed; ``pip install 'bioadv[referees]'`` brings them."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is None]


@dataclass(frozen=True)
class Found:
    """What an attack found: adversarial images (N, D), equal to the image where it failed, and found (N,) bool."""

    images: Tensor
    found: Tensor

    def norms(self, x: Tensor, order: float = 2.0) -> Tensor:
        """Norm (N,) of the perturbation of each image, infinite where the attack failed."""
        lengths = torch.linalg.vector_norm(self.images - x, order, dim=1)
        return torch.where(self.found, lengths, torch.inf)


def checked(model: TwoLayer, x: Tensor, y: Tensor, **budget: int) -> TwoLayer:
    """The model, frozen, for the libraries, on the CPU.

    Raises ``ValueError`` for what they would take silently: a budget of nothing, images x (N, D) that leave [0, 1] or
    are misclassified as they are, and what :func:`bioadv.measure.attacks.check` refuses; ``ModuleNotFoundError`` where
    a library is missing.
    """
    checks.whole(**budget)
    for name, value in budget.items():
        if value < 1:
            raise ValueError(f"{name} = {value}; give at least 1, since an attack that does nothing finds nothing")
    if absent := missing():
        raise ModuleNotFoundError(f"{' and '.join(absent)}: not installed; pip install 'bioadv[referees]'")
    attacks.check(model, x, y)
    if not (float(x.min()) >= 0 and float(x.max()) <= 1):
        raise ValueError(f"x spans {float(x.min()):g}..{float(x.max()):g}; give finite pixels within [0, 1]")
    with torch.no_grad():
        logits = model(x)
    if not bool(torch.isfinite(logits).all()):
        raise ValueError("the model's logits are not finite on x; a NaN would count as a success")
    wrong = int((logits.argmax(1) != y).sum())
    if wrong:
        raise ValueError(f"{wrong} of {len(x)} images are misclassified unperturbed; attack only correct ones")
    return frozen(model)


def same_shape(x: Tensor, other: Tensor, name: str) -> None:
    """``ValueError`` if what is given beside images is not one for each."""
    checks.tensor(**{name: other})
    if other.shape != x.shape:
        raise ValueError(f"{name} has shape {tuple(other.shape)}, x {tuple(x.shape)}; give one for each image")


@torch.no_grad()
def judged(model: TwoLayer, x: Tensor, y: Tensor, images: Tensor) -> Found:
    """Success by our own forward pass, not by the library's word; a non-finite logit is a failure."""
    images = images.detach()
    logits = model(images)
    found = (logits.argmax(1) != y) & torch.isfinite(logits).all(1)
    return Found(torch.where(found[:, None], images, x), found)


class _Module(nn.Module):
    """A function as the module that foolbox asks for."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def foolbox() -> Any:
    """The library of this name."""
    with warnings.catch_warnings():  # it imports scipy's filters by an old name
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("foolbox")


def runner(attack: Any, function: Callable[[Tensor], Tensor], bounds: tuple[float, float]) -> Callable[..., Tensor]:
    """An attack of foolbox on a function, as a function of images and labels."""
    wrapped = foolbox().PyTorchModel(_Module(function).eval(), bounds=bounds, device="cpu")
    return lambda x, y, **more: attack.run(wrapped, x, foolbox().criteria.Misclassification(y), **more)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Run with torch's global generator seeded, and put it back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
