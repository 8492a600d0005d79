"""Robust accuracy in original pixel units: the smallest perturbation of each image that any of several attacks finds.

An image reaches the network divided by its own L3 norm, so that one and the same radius means another change of the
photograph for every image. Here it is told in the units of the photograph, in which full scale is 1: 8/255 in every
pixel, or an L2 norm of 0.5. The scale of an image, :func:`bioadv.data.datasets.ceiling`, is what full scale becomes
in the unit-L3 image; a radius r is ``scale r`` there, and pixels stay between 0 and ``scale``. The norm that the image
was divided by stays that of the clean one.

Attacks, each image with its own strength: PGD on the margin, by bisection; then, a little below what that found, PGD on
cross-entropy from random starts and Auto-PGD; and DDN in L2. The smallest that any of them finds counts, and the robust
accuracy at a radius is the share of all images that are decided correctly and for which none found less.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bioadv.data import checks
from bioadv.measure import attacks, critical, gradient_ascent, referees
from bioadv.measure.gradient_ascent import PGD
from bioadv.network.models import TwoLayer, frozen

Tensor = torch.Tensor
RADII = {"linf": (1 / 255, 2 / 255, 4 / 255, 8 / 255), "l2": (0.1, 0.25, 0.5)}  # of images in [0, 1]
GRIDS = {"linf": np.logspace(-5, 0, 400), "l2": np.logspace(-4, 2, 400)}  # strengths that are tried, same units


@dataclass(frozen=True)
class Effort:
    """Gradients per image.

    steps: of PGD at every strength; restarts: of PGD on cross-entropy; auto: steps of Auto-PGD; ddn: of DDN, in L2;
    below: the strength of the second look, as a share of the smallest perturbation found in the first.
    """

    steps: int = 10
    restarts: int = 1
    auto: int = 15
    ddn: int = 40
    below: float = 0.98

    def __post_init__(self) -> None:
        checks.whole(steps=self.steps, restarts=self.restarts, auto=self.auto, ddn=self.ddn)
        for name in ("steps", "restarts", "auto", "ddn"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; give at least 1")
        if not 0 < self.below < 1:
            raise ValueError(f"below = {self.below}; give a share above 0 and below 1")


def smallest(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    scale: Tensor,
    norm: str = "l2",
    effort: Effort | None = None,
    seed: int = critical.SEED,
) -> Tensor:
    """Norm (N,) of the smallest perturbation found for each unit-L3 image x (N, D), infinite where none was.

    scale (N, 1): of :func:`bioadv.data.datasets.ceiling`; divide by it for the units of the photograph. Images that
    are decided wrongly as they are get 0. Raises ``ValueError`` for a norm that is neither ``linf`` nor ``l2``, and for
    images, labels or scales that do not fit each other.
    """
    checks.known("norm", norm, attacks.NORMS)
    if scale.shape != (len(x), 1) or not bool((scale > 0).all()):
        raise ValueError(f"scale has shape {tuple(scale.shape)}; give a positive one per image, ({len(x)}, 1)")
    if model.hidden.dtype != torch.float32:
        raise ValueError(f"model has dtype {model.hidden.dtype}; the libraries compute in float32, give model.float()")
    model, effort = frozen(model), effort or Effort()
    attacks.check(model, x, y, (0.0, scale))
    found = torch.zeros(len(x))
    right = (~attacks.wrong(model, x, y)).nonzero()[:, 0]
    if len(right):
        found[right] = _of_right(model, x[right], y[right], scale[right], norm, effort, seed)
    return found


def _of_right(model: TwoLayer, x: Tensor, y: Tensor, scale: Tensor, norm: str, effort: Effort, seed: int) -> Tensor:
    def length(moved: Tensor) -> Tensor:
        return torch.linalg.vector_norm(moved - x, torch.inf if norm == "linf" else 2, dim=1)

    def tried(best: Tensor, moved: Tensor) -> Tensor:
        moved = moved.clamp(torch.zeros(1), scale)  # of other libraries, whose box is larger
        broken = attacks.wrong(model, moved, y)
        return torch.where(broken, torch.minimum(best, length(moved)), best)

    most = float(GRIDS[norm][-1]) * scale[:, 0]
    margin = PGD(effort.steps, norm, "margin", step=2.5 / effort.steps, best=True, project=True)
    entropy = PGD(effort.steps, norm, step=2.5 / effort.steps, random_start=True, best=True, project=True)
    grid, box = GRIDS[norm], (0.0, scale)

    def attack(chosen: Tensor, eps: Tensor) -> Tensor:
        full = scale[chosen]
        return gradient_ascent.pgd(model, x[chosen], y[chosen], eps * full[:, 0], margin, (0.0, full))

    linear, _ = attacks.linear_distance(model, x, y, norm)
    near = np.searchsorted(grid, (linear / scale[:, 0]).numpy()).clip(0, len(grid) - 1)
    searched = critical.search(model, x, y, attack, grid, near, below=())
    best = torch.from_numpy(searched.epsilon).float() * scale[:, 0]
    if norm == "l2":  # what the box cuts off a perturbation makes it shorter than its strength
        best = torch.minimum(best, torch.from_numpy(searched.norm).nan_to_num(nan=torch.inf))
        best = tried(best, referees.ddn(model, x, y, effort.ddn, seed).images)
    for restart in range(effort.restarts):
        eps = effort.below * torch.minimum(best, most)
        generator = torch.Generator().manual_seed(seed + restart)
        best = tried(
            best, gradient_ascent.pgd(model, x, y, eps, entropy, box, gradient_ascent.start(entropy, x, generator))
        )
    auto = referees.auto_pgd(model, x, y, effort.below * torch.minimum(best, most), norm, steps=effort.auto, seed=seed)
    return tried(best, auto.images)
