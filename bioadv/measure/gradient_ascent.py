"""Projected gradient ascent (PGD), as coded by the authors and as is usually recommended.

Symbols and boxes as in :mod:`bioadv.measure.attacks`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bioadv.data import checks
from bioadv.measure.attacks import (
    LOSSES,
    NORMS,
    PUBLISHED_BOX,
    Box,
    box_like,
    check,
    gradient,
    logits,
    margin,
    strengths,
)
from bioadv.network.models import TwoLayer, frozen

Tensor = torch.Tensor


@dataclass(frozen=True)
class PGD:
    """Projected gradient ascent; the defaults are those of the authors' code (``Attacks.py``), ``RECOMMENDED`` is not.

    steps: gradient steps; norm: of the ball, ``linf`` or ``l2``; loss: ``cross-entropy`` or ``margin``,
    :func:`bioadv.measure.attacks.margin` with its sign turned, whose gradient never saturates; step: length of a step
    in units of eps, or None for the rule as coded, 0.01 in absolute terms but 0.1 eps where eps < 0.01; random_start:
    begin anywhere in the ball instead of at x; best: return the iterate with the smallest margin instead of the last
    one; project: clamp to the box after each step instead of once at the end.
    """

    steps: int = 20
    norm: str = "linf"
    loss: str = "cross-entropy"
    step: float | None = None
    random_start: bool = False
    best: bool = False
    project: bool = False

    def __post_init__(self) -> None:
        checks.whole(steps=self.steps)
        if self.steps < 1:
            raise ValueError(f"steps = {self.steps}; give at least 1")
        checks.known("norm", self.norm, NORMS)
        checks.known("loss", self.loss, LOSSES)
        if self.step is not None:  # in units of eps
            checks.positive(step=self.step)


PUBLISHED = PGD()
PUBLISHED_MARGIN = PGD(loss="margin")
RECOMMENDED = PGD(steps=40, loss="margin", step=0.0625, random_start=True, best=True, project=True)
RECOMMENDED_L2 = PGD(steps=40, norm="l2", loss="margin", step=0.0625, random_start=True, best=True, project=True)


def start(params: PGD, x: Tensor, generator: torch.Generator) -> Tensor:
    """Where in the unit ball each image starts, (B, D), uniform; scaled by eps, so the same for all strengths."""
    checks.floating(x=x)
    checks.generator(generator)
    u = torch.empty_like(x)
    if params.norm == "linf":
        return u.uniform_(-1, 1, generator=generator)
    u.normal_(generator=generator)
    radius = torch.rand((len(x), 1), generator=generator, dtype=x.dtype, device=x.device) ** (1 / x.shape[1])
    return u.mul_(radius / torch.linalg.vector_norm(u, dim=1, keepdim=True))


@torch.no_grad()
def pgd(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    eps: float | Tensor,
    params: PGD = PUBLISHED,
    box: Box = PUBLISHED_BOX,
    begin: Tensor | None = None,
) -> Tensor:
    """Projected gradient ascent from x; returns perturbed images (B, D) inside the box.

    begin: (B, D) from :func:`start`, where ``params.random_start`` asks for one. An image with a zero gradient stays
    where it is. Raises ``ValueError`` for bad images, labels, strengths, or a start that is missing or not asked for.
    """
    check(model, x, y, box)
    strength, (low, high) = strengths(eps, x), box_like(box, x)
    if params.random_start and begin is None:
        raise ValueError("begin = None; params.random_start needs a start in the unit ball, see gradient_ascent.start")
    if begin is not None and not params.random_start:
        raise ValueError("begin is given, but params.random_start = False would leave it out; set it to True")
    if begin is not None:
        _check_start(begin, x, params.norm)
    now = x + strength * begin if params.random_start and begin is not None else x.clone()
    if params.project:
        now = now.clamp(low, high)
    best, reached = x, torch.full((len(x),), -float("inf"), dtype=x.dtype, device=x.device)
    moved, length = now - x, _step_length(params, strength)
    model = frozen(model)
    for _ in range(params.steps):
        uphill, z = gradient(model, now, y, params.loss)
        if params.best:
            best, reached = _better(best, reached, now, -margin(z, y))
        moved = _into_ball(moved.addcmul_(_unit(uphill, params.norm), length), strength, params.norm)
        now = x + moved
        if params.project:
            now = now.clamp_(low, high)
            moved = now - x
    now = now.clamp(low, high)
    return _better(best, reached, now, -margin(logits(model, now), y))[0] if params.best else now


def _check_start(begin: Tensor, x: Tensor, norm: str) -> None:
    if begin.shape != x.shape or begin.dtype != x.dtype:
        raise ValueError(f"begin has shape {tuple(begin.shape)} and dtype {begin.dtype}; give a start for each pixel")
    longest = float(torch.linalg.vector_norm(begin, torch.inf if norm == "linf" else 2, dim=1).max())
    if not longest <= 1 + 1e-5:  # rounded; a NaN fails this as well
        raise ValueError(f"begin reaches {longest:g}; give starts in the unit ball, see gradient_ascent.start")


def _step_length(params: PGD, strength: Tensor) -> Tensor:
    if params.step is not None:
        return params.step * strength
    return torch.where(strength < 1e-2, 0.1 * strength, 1e-2)


def _unit(uphill: Tensor, norm: str) -> Tensor:
    """Steepest direction of unit norm, in place; zero for a zero gradient."""
    if norm == "linf":
        return uphill.sign_()
    # First by the largest entry: squares of gradients below 1e-19 vanish in float32.
    uphill /= uphill.abs().amax(1, keepdim=True).clamp_min(torch.finfo(uphill.dtype).tiny)
    return uphill.div_(torch.linalg.vector_norm(uphill, dim=1, keepdim=True).clamp_min(1e-30))


def _into_ball(moved: Tensor, strength: Tensor, norm: str) -> Tensor:
    """The perturbation pulled back into its ball, in place."""
    if norm == "linf":
        return moved.clamp_(-strength, strength)
    length = torch.linalg.vector_norm(moved, dim=1, keepdim=True).clamp_min(1e-30)
    return moved.mul_((strength / length).clamp_max(1))


def _better(best: Tensor, reached: Tensor, now: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    return torch.where((value > reached)[:, None], now, best), torch.maximum(value, reached)
