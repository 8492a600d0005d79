"""Planes through input space: how fast the latent changes, what the network decides, and how sure it is.

A plane is x + s u + t v with u and v orthonormal. The latent before the activation is affine on it, h(x + s u + t v)
= h(x) + s M u + t M v, so that a landscape needs three products with M and then only work per latent (closed form 2).
Distances are in L2 units of the unit-L3 images, whose own L2 norm is 3.5 on average on CIFAR-10. Symbols as in
:mod:`bioadv.network.models`; a map of P x P points has t along its rows and s along its columns, both rising.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage

from bioadv.data import checks
from bioadv.network import products
from bioadv.network.models import TwoLayer, folded, frozen, slope

Tensor = torch.Tensor
PAPER_RADIUS = 20.0  # of the paper's plane, L2 units
PAPER_POINTS = 100  # per side of the paper's plane
FLAT = 1e-5  # relative spread below which a map counts as constant


@dataclass(frozen=True)
class Plane:
    """origin + s u + t v; origin, u and v (D,), u and v orthonormal."""

    origin: Tensor
    u: Tensor
    v: Tensor

    def at(self, s: float, t: float) -> Tensor:
        """The image (D,) at these coordinates."""
        return self.origin + s * self.u + t * self.v


def random_plane(x: Tensor, generator: torch.Generator) -> Plane:
    """The plane through an image x (D,) along two orthonormalised Gaussian directions, as coded."""
    checks.generator(generator)
    if x.ndim != 1:
        raise ValueError(f"x has shape {tuple(x.shape)}; give one image, (D,)")
    return _plane(x, *torch.randn(2, len(x), generator=generator, dtype=x.dtype))


def plane_towards(x: Tensor, target: Tensor, other: Tensor | torch.Generator) -> Plane:
    """The plane through x (D,) whose first axis points at ``target`` (D,), such as an adversarial example.

    other: a third image (D,) that lies in the plane as well, at t > 0, or a generator for a random second axis.
    Raises ``ValueError`` if the three do not span a plane.
    """
    second = torch.randn(len(x), generator=other, dtype=x.dtype) if isinstance(other, torch.Generator) else other - x
    return _plane(x, target - x, second)


def _plane(x: Tensor, first: Tensor, second: Tensor) -> Plane:
    """Gram-Schmidt, in double precision: differences of images can be nearly parallel."""
    u, v = first.double(), second.double()
    u = u / u.norm().clamp_min(1e-300)
    rest = v - (v @ u) * u
    if not (first.norm() > 0 and rest.norm() > 1e-6 * v.norm()):
        raise ValueError("the two directions are zero or parallel and span no plane; give three images not on one line")
    return Plane(x, u.to(x), (rest / rest.norm()).to(x))


@dataclass(frozen=True)
class Landscape:
    """Maps (P, P) over a plane: ||da/dx||_F, ||dz/dx||_F (or None), class, largest softmax; coordinates (P,)."""

    coordinates: np.ndarray
    latent_jacobian: np.ndarray
    logit_jacobian: np.ndarray | None
    classes: np.ndarray
    confidence: np.ndarray

    def thinned(self, step: int = 2) -> Landscape:
        """Every ``step``-th point per axis: the same plane at a coarser resolution."""
        maps = (self.latent_jacobian, self.logit_jacobian, self.classes, self.confidence)
        kept = (None if values is None else values[::step, ::step] for values in maps)
        return Landscape(self.coordinates[::step], *kept)  # type: ignore[arg-type]


@torch.no_grad()
def landscape(
    model: TwoLayer,
    plane: Plane,
    radius: float = PAPER_RADIUS,
    points: int = PAPER_POINTS,
    logit_jacobian: bool = False,
    rows: int = 4,
) -> Landscape:
    """Maps of ``points`` x ``points`` over the square -radius <= s, t <= radius (L2 units).

    rows: of the map that are computed at once. Raises ``ValueError`` for a radius or number of points that makes no
    square, or a plane that does not fit the model.
    """
    if not 0 < radius < float("inf"):
        raise ValueError(f"radius = {radius}; give a finite length > 0, in L2 units of the images")
    if points < 2:
        raise ValueError(f"points = {points}; give at least 2 per side")
    model = frozen(model)
    weights, offset = folded(model)
    if len(plane.origin) != weights.shape[1]:
        raise ValueError(f"plane: its points have {len(plane.origin)} inputs, the model has {weights.shape[1]}")
    spanned = torch.stack([plane.origin, plane.u, plane.v])
    if not bool(spanned.isfinite().all()) or not bool(weights.isfinite().all()):
        raise ValueError("plane or model: some numbers are NaN or infinite; give finite ones")
    origin, u, v = spanned.to(weights) @ weights.T
    s = torch.linspace(-radius, radius, points, dtype=weights.dtype)
    square, pair = weights.square().sum(1), None
    if logit_jacobian:
        pair = products.product(weights, weights).mul_(model.readout.T @ model.readout)
    across = (origin + offset) + s[:, None] * u  # (P, H), the row t = 0
    parts: list[list[Tensor]] = [[], [], [], []]
    for t in s.split(rows):
        h = (across + t[:, None, None] * v).flatten(0, 1)
        f = slope(h, model.power)
        parts[0].append(f.square() @ square)
        parts[1].append(h.new_zeros(0) if pair is None else products.against(f, pair).mul_(f).sum(1))
        # ReLU(h)^q = f'(h) h / q: one power serves both.
        confidence, chosen = model.logits(f.mul_(h).div_(model.power)).softmax(1).max(1)
        parts[2].append(chosen)
        parts[3].append(confidence)
    latent, logit, classes, confidence = (torch.cat(part) for part in parts)
    maps = [values.reshape(points, points).numpy() for values in (latent.sqrt(), classes, confidence)]
    norms = None if pair is None else logit.clamp_min(0).sqrt().reshape(points, points).numpy()
    return Landscape(s.numpy(), maps[0], norms, maps[1], maps[2])


def relative_spread(values: np.ndarray) -> float:
    """Standard deviation over mean of a map, such as ||da/dx||_F over a plane; 0 where it is constant."""
    deviation = float(np.std(values, dtype=np.float64))
    return deviation / float(np.mean(values, dtype=np.float64)) if deviation else 0.0


def smoothness(values: np.ndarray) -> float:
    """Exponent of the structure function of a map (P, P) at the scale of its grid.

    The mean square of f(x + d) - f(x) grows as d^(2 e): e = 1 where f is differentiable and the grid resolves it, 1/2
    where it is made of steps, near 0 for noise. Taken from differences over one and two grid points. NaN if f is
    constant to within 1e-5 of its mean, where rounding would decide.
    """
    values = values.astype(np.float64)
    if relative_spread(values) < FLAT:
        return float("nan")
    one, two = (
        np.mean(np.square(values[step:] - values[:-step])) + np.mean(np.square(values[:, step:] - values[:, :-step]))
        for step in (1, 2)
    )
    return float(np.log2(two / one) / 2)


def regions(classes: np.ndarray) -> int:
    """Number of connected decision regions of a map of classes (P, P); points that touch at a corner only do not."""
    return sum(int(ndimage.label(classes == label)[1]) for label in np.unique(classes))


def boundary_length(classes: np.ndarray, spacing: float) -> float:
    """Length of the decision boundaries on a map of classes (P, P) with grid ``spacing``, in the same unit.

    By the Cauchy-Crofton formula from the crossings of the grid's rows, columns and diagonals; within 6 % for straight
    lines of any direction. Plain edge counting would be wrong by up to 41 %.
    """
    straight = np.sum(classes[1:] != classes[:-1]) + np.sum(classes[:, 1:] != classes[:, :-1])
    diagonal = np.sum(classes[1:, 1:] != classes[:-1, :-1]) + np.sum(classes[1:, :-1] != classes[:-1, 1:])
    return float(np.pi / 8 * spacing * (straight + diagonal / np.sqrt(2)))


def summary(found: Landscape) -> dict[str, float]:
    """What one landscape amounts to: range and spread of the Jacobian, regions and boundary at two resolutions.

    ``boundary`` is in units of the plane's side; ``*_coarse`` is with every second point left out.
    """
    coarse = found.thinned()
    side = float(found.coordinates[-1] - found.coordinates[0])
    spacing = side / (len(found.coordinates) - 1)
    numbers = {
        "low": float(found.latent_jacobian.min()),
        "high": float(found.latent_jacobian.max()),
        "spread": relative_spread(found.latent_jacobian),
        "smoothness": smoothness(found.latent_jacobian),
        "classes": float(len(np.unique(found.classes))),
        "regions": float(regions(found.classes)),
        "regions_coarse": float(regions(coarse.classes)),
        "boundary": boundary_length(found.classes, spacing) / side,
        "boundary_coarse": boundary_length(coarse.classes, 2 * spacing) / side,
        "confidence": float(found.confidence.mean()),
    }
    if found.logit_jacobian is not None:
        numbers["logit_spread"] = relative_spread(found.logit_jacobian)
        numbers["logit_mean"] = float(found.logit_jacobian.mean())
    return numbers
