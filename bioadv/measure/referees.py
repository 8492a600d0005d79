"""Attacks of other people, as referees: thin adapters to ``pyautoattack`` and ``foolbox`` (extra ``referees``).

White-box: :func:`apgd` (L-infinity) and :func:`ddn` (L2) follow gradients. Black-box: :func:`square` (L-infinity) sees
logits, :func:`hop_skip_jump` (L2) sees decisions only. A model that merely hides its gradient looks robust to the
first pair and not to the second.

All work in our units, unit-L3 images, and in the clamp of the attacks as coded, 0 <= pixel <= 1. That is the box
[0, 1] which these libraries assume, so images go in as they are (the upper bound never binds: pixels are about 0.06).
DDN alone has step lengths in absolute units, made for pixels that fill the box; it gets images and box times
:func:`ddn_scale`, and its distances are divided by it. Random numbers are drawn from a seed, and torch's global state
is left as it was.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from bioadv.data import checks
from bioadv.network.models import TwoLayer, frozen

Tensor = torch.Tensor
DDN_SCALE = 8.0  # unit-L3 images of CIFAR-10 times 8 have about the norm of images with pixels in [0, 1],
DDN_INPUTS = 3072  # and pixels go as D^(-1/3)
LIBRARIES = ("foolbox", "pyautoattack")
FEWEST_FOR_DLR = 3  # classes
BALLS = {"linf": "Linf", "l2": "L2"}  # what pyautoattack calls them


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


def ddn_scale(inputs: int) -> float:
    """What unit-L3 images of D inputs are multiplied by so that pixels are as large as those of images in [0, 1]."""
    return float(DDN_SCALE * (inputs / DDN_INPUTS) ** (1 / 3))


def ddn(model: TwoLayer, x: Tensor, y: Tensor, steps: int = 200, seed: int = 0, batch: int = 250) -> Found:
    """Decoupled direction and norm (foolbox): a small L2 perturbation by gradients of the cross-entropy.

    x (N, D), y (N,), all classified correctly; steps: gradients per image.
    """
    model = _checked(model, x, y, steps=steps, batch=batch)
    attack = _foolbox().attacks.DDNAttack(steps=steps, init_epsilon=1.0)
    scale = ddn_scale(x.shape[1])
    run = _runner(attack, lambda inputs: model(inputs / scale), (0.0, scale))
    with _seeded(seed):
        parts = [run(a * scale, b) / scale for a, b in zip(x.split(batch), y.split(batch), strict=True)]
    return _judged(model, x, y, torch.cat(parts).clamp(0, 1))


def hop_skip_jump(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    starts: Tensor,
    steps: int = 30,
    evaluations: int = 100,
    gamma: float = 10.0,
    seed: int = 0,
    batch: int = 50,
    progress: bool = False,
) -> Found:
    """HopSkipJump (foolbox): a small L2 perturbation from decisions alone, no gradient, no logits.

    starts (N, D): images that the model puts in another class, see :func:`starting_points`. steps: jumps;
    evaluations: random directions of the first jump, growing with the root of the step; gamma: width of the probed
    shell, as a multiple of the library's default, which is so thin that float32 rounding decides in it.
    """
    model = _checked(model, x, y, steps=steps, evaluations=evaluations, batch=batch)
    _same_shape(x, starts, "starts")
    if not bool((model(starts).argmax(1) != y).all()):
        raise ValueError("starts: some have the class of their image; take them from starting_points")

    class PerImage(_foolbox().attacks.HopSkipJumpAttack):  # type: ignore[misc]
        """The library (3.3.4) gives unit norm to a whole batch, not to each image: probes and estimated gradient."""

        def approximate_gradients(self, decide: Any, images: Any, steps: int, delta: Any) -> Any:
            gradient = super().approximate_gradients(decide, images, steps, delta * len(images) ** 0.5)
            return gradient / (gradient.square().sum(axis=1, keepdims=True).sqrt() + 1e-30)

    attack = PerImage(steps=steps, initial_gradient_eval_steps=evaluations, gamma=gamma)
    run, parts = _runner(attack, model, (0.0, 1.0)), []
    bar = tqdm(range(0, len(x), batch), "HopSkipJump", disable=not progress)
    with _seeded(seed), torch.no_grad():
        for first in bar:
            part = slice(first, first + batch)
            parts.append(run(x[part], y[part], starting_points=starts[part]))
    return _judged(model, x, y, torch.cat(parts))


@torch.no_grad()
def starting_points(model: TwoLayer, x: Tensor, y: Tensor, pool: Tensor) -> Tensor:
    """For each image x (N, D) of class y the nearest image of ``pool`` (P, D) that the model puts in another class.

    Raises ``ValueError`` if the whole pool has the class of some image.
    """
    classes = model(pool).argmax(1)
    distances = torch.cdist(x, pool).masked_fill(classes == y[:, None], torch.inf)
    nearest, index = distances.min(1)
    if not bool(torch.isfinite(nearest).all()):
        raise ValueError(f"pool: none of its {len(pool)} images is in another class for some image; give more")
    return pool[index]


def apgd(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    loss: str = "dlr",
    low: float = 1e-5,
    high: float = 0.1,
    rounds: int = 10,
    steps: int = 50,
    seed: int = 0,
    progress: bool = False,
) -> Found:
    """Auto-PGD (pyautoattack) in L-infinity, and by bisection the smallest epsilon of each image where it succeeds.

    loss: ``ce`` (cross-entropy) or ``dlr`` (difference of logits ratio, which does not saturate; >= 3 classes). All
    images are attacked at ``high`` first, then each at its own geometric mean of the highest failure (or ``low``) and
    the lowest success, ``rounds`` times: epsilon is then known to a factor (high / low)^(2^-rounds).
    Raises ``ValueError`` for another loss, or images and labels that do not fit the model.
    """
    model = _checked(model, x, y, rounds=rounds, steps=steps)
    from pyautoattack.autopgd_base import APGDAttack

    _check_loss(model, loss)
    if not 0 < low < high:
        raise ValueError(f"low = {low}, high = {high}; give 0 < low < high")
    failed, succeeded = torch.full((len(x), 1), low), torch.full((len(x), 1), high)
    best, found, epsilon = x.clone(), torch.zeros(len(x), dtype=torch.bool), succeeded.clone()
    for _ in tqdm(range(rounds + 1), f"APGD {loss}", disable=not progress):
        # The library only multiplies and clamps by epsilon, so that a column of one value per image will do.
        attack = APGDAttack(model, n_iter=steps, eps=epsilon, seed=seed, loss=loss, logger=logging.getLogger(__name__))
        with _seeded(seed):
            images = attack.perturb(x, y).detach()
        success = _judged(model, x, y, images).found
        best[success], found = images[success], found | success
        succeeded = torch.where(success[:, None], epsilon, succeeded)
        failed = torch.where(success[:, None], failed, epsilon)
        epsilon = torch.where(found[:, None], (failed * succeeded).sqrt(), epsilon)
    return Found(best, found)


def auto_pgd(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    eps: Tensor,
    norm: str = "linf",
    loss: str = "ce",
    steps: int = 50,
    seed: int = 0,
) -> Found:
    """Auto-PGD (pyautoattack) in a ball of the norm ``linf`` or ``l2``, each image with its own radius eps (N,).

    Raises as :func:`apgd` does, and for radii that are not positive or not one per image.
    """
    model = _checked(model, x, y, steps=steps)
    from pyautoattack.autopgd_base import APGDAttack

    if norm not in BALLS:
        raise ValueError(f"norm = {norm!r} is not known; choose from {', '.join(BALLS)}")
    _check_loss(model, loss)
    if eps.shape != (len(x),) or not bool((eps > 0).all() & torch.isfinite(eps).all()):
        raise ValueError(f"eps has shape {tuple(eps.shape)}; give a finite radius > 0 per image, ({len(x)},)")
    settings = {"n_iter": steps, "seed": seed, "loss": loss, "logger": logging.getLogger(__name__)}
    attack = APGDAttack(model, norm=BALLS[norm], eps=eps[:, None], **settings)
    with _seeded(seed):
        return _judged(model, x, y, attack.perturb(x, y))


def _check_loss(model: TwoLayer, loss: str) -> None:
    if loss not in ("ce", "dlr"):
        raise ValueError(f"loss = {loss!r} is not known; choose ce or dlr")
    if loss == "dlr" and len(model.bias) < FEWEST_FOR_DLR:
        raise ValueError(
            f"loss = 'dlr' compares the three largest logits, and the model has {len(model.bias)} classes; give ce"
        )


def square(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    shape: tuple[int, int, int],
    epsilons: list[float],
    queries: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> Tensor:
    """Square attack (pyautoattack) in L-infinity, from logits alone: success (E, N) bool at each epsilon.

    shape: height, width, channels of the images; epsilons: rising. An image counts as broken at all larger epsilons
    too, since a perturbation within one is within the other.
    """
    model = _checked(model, x, y, queries=queries)
    from pyautoattack.square import SquareAttack

    if sorted(epsilons) != epsilons or not epsilons or not epsilons[0] > 0:
        raise ValueError(f"epsilons = {epsilons}; give rising numbers > 0")
    height, width, channels = shape

    def predict(pictures: Tensor) -> Tensor:
        return model(pictures.permute(0, 2, 3, 1).flatten(1))

    pictures = x.reshape(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()
    broken, rows = torch.zeros(len(x), dtype=torch.bool), []
    for epsilon in tqdm(epsilons, "Square", disable=not progress):
        if not bool(broken.all()):
            left = (~broken).nonzero()[:, 0]
            attack = SquareAttack(predict, eps=epsilon, n_queries=queries, seed=seed)
            with _seeded(seed), torch.no_grad():
                images = attack.perturb(pictures[left], y[left]).permute(0, 2, 3, 1).flatten(1)
            broken[left] = _judged(model, x[left], y[left], images).found
        rows.append(broken.clone())
    return torch.stack(rows)


def _checked(model: TwoLayer, x: Tensor, y: Tensor, **budget: int) -> TwoLayer:
    """The model, frozen, for the libraries; what they would take silently is refused, a budget of nothing as well."""
    checks.whole(**budget)
    for name, value in budget.items():
        if value < 1:
            raise ValueError(f"{name} = {value}; give at least 1, since an attack that does nothing finds nothing")
    if absent := missing():
        raise ModuleNotFoundError(f"{' and '.join(absent)}: not installed; pip install 'bioadv[referees]'")
    if model.training:
        raise ValueError("model is in training mode; call its eval() first")
    if x.ndim != 2 or y.shape != (len(x),):
        raise ValueError(f"x has shape {tuple(x.shape)}, y {tuple(y.shape)}; give (N, D) images and (N,) labels")
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


def _same_shape(x: Tensor, other: Tensor, name: str) -> None:
    if other.shape != x.shape:
        raise ValueError(f"{name} has shape {tuple(other.shape)}, x {tuple(x.shape)}; give one for each image")


@torch.no_grad()
def _judged(model: TwoLayer, x: Tensor, y: Tensor, images: Tensor) -> Found:
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


def _foolbox() -> Any:
    with warnings.catch_warnings():  # it imports scipy's filters by an old name
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("foolbox")


def _runner(attack: Any, function: Callable[[Tensor], Tensor], bounds: tuple[float, float]) -> Callable[..., Tensor]:
    wrapped = _foolbox().PyTorchModel(_Module(function).eval(), bounds=bounds, device="cpu")
    return lambda x, y, **more: attack.run(wrapped, x, _foolbox().criteria.Misclassification(y), **more)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Run with torch's global generator seeded, and put it back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
