"""Critical perturbations: for each image the smallest strength on a grid at which an attack changes the decision.

As coded, it is the *first* failing strength of an ascending grid, found by trying every strength on every
image. :func:`search` brackets it per image instead, each image with its own strength (closed form 6);
:func:`brute_force` is the definition. Noise needs no search: unclamped, it moves in latent space (closed form 5), see
:func:`bioadv.measure.noise.sweep`. Only images that the model decides correctly take part (authors' code,
``Attacks.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bioadv.data import checks
from bioadv.data.progress import bar
from bioadv.measure import attacks, gradient_ascent
from bioadv.measure.attacks import PUBLISHED_BOX, Box
from bioadv.measure.gradient_ascent import PGD, PUBLISHED
from bioadv.network import streams
from bioadv.network.models import TwoLayer, frozen

Tensor = torch.Tensor
Attack = Callable[[Tensor, Tensor], Tensor]  # (which images (k,), their strengths (k,)) -> perturbed images (k, D)

GRID = np.logspace(-6, -1.5, 400)  # strengths of the authors' code for FGSM and PGD
L2_GRID = np.logspace(-4, 0.5, 400)  # ours, for attacks in an L2 ball
SEED = streams.ATTACKS[0]
TIE = 1e-4  # of logits: a margin that is smaller may come out either way
NOISE_GRID = np.logspace(-6, np.log(2.5), 400)  # and for noise; the upper end is 10^(ln 2.5) = 8.25, as coded


@dataclass(frozen=True)
class Critical:
    """Critical strengths of N images on a grid of G.

    index: (N,) grid index at which an image fails first, G if it never does; norm: (N,) L2 norm of the perturbation
    there, NaN if it never fails; attacks: mean number of strengths tried per image.
    """

    grid: np.ndarray
    index: np.ndarray
    norm: np.ndarray
    attacks: float

    @property
    def never(self) -> int:
        """Number of images that fail nowhere on the grid; the paper drops them."""
        return int((self.index == len(self.grid)).sum())

    @property
    def epsilon(self) -> np.ndarray:
        """Critical strength (N,) of each image, infinite where it never fails."""
        return np.append(self.grid, np.inf)[self.index]


def fgsm(model: TwoLayer, x: Tensor, y: Tensor, box: Box = PUBLISHED_BOX) -> Attack:
    """FGSM on images x (N, D): one gradient each, computed here; a strength then only moves and clamps."""
    attacks.check(model, x, y, box)
    model = frozen(model)
    direction = _in_parts(lambda i: attacks.gradient(model, x[i], y[i])[0].sign(), len(x))
    return lambda chosen, eps: attacks.along(x[chosen], direction[chosen], eps, _part(box, chosen))


def pgd(
    model: TwoLayer, x: Tensor, y: Tensor, params: PGD = PUBLISHED, box: Box = PUBLISHED_BOX, seed: int = SEED
) -> Attack:
    """PGD on images x (N, D). A random start is drawn once per image and scaled with the strength."""
    attacks.check(model, x, y, box)
    model = frozen(model)
    begin = (
        gradient_ascent.start(params, x, torch.Generator(x.device).manual_seed(seed)) if params.random_start else None
    )

    def attack(chosen: Tensor, eps: Tensor) -> Tensor:
        first = None if begin is None else begin[chosen]
        return gradient_ascent.pgd(model, x[chosen], y[chosen], eps, params, _part(box, chosen), first)

    return attack


def _part(box: Box, chosen: Tensor) -> Box:
    low, high = box
    return low, high[chosen] if isinstance(high, Tensor) else high


def _in_parts(function: Callable[[Tensor], Tensor], count: int, size: int = 1000) -> Tensor:
    return torch.cat([function(part) for part in torch.arange(count).split(size)])


def correct(model: TwoLayer, x: Tensor, y: Tensor) -> Tensor:
    """Indices of the images (N, D) that the model decides correctly; ``ValueError`` if there is none."""
    attacks.check(model, x, y)
    model = frozen(model)
    right = (~_in_parts(lambda i: attacks.wrong(model, x[i], y[i]), len(x))).nonzero()[:, 0]
    if len(right) == 0:
        raise ValueError(f"the model decides none of {len(x)} images correctly; there is nothing to attack")
    return right


def guess(model: TwoLayer, x: Tensor, y: Tensor, grid: np.ndarray = GRID, norm: str = "linf") -> np.ndarray:
    """Grid index (N,) where a linear model would fail: margin over the dual norm of the margin's gradient."""
    checks.known("norm", norm, attacks.NORMS)
    model = frozen(model)
    linear = _in_parts(lambda i: attacks.linear_distance(model, x[i], y[i], norm)[0], len(x))
    return np.searchsorted(grid, linear.cpu().numpy()).clip(0, len(grid) - 1)


def search(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    grid: np.ndarray = GRID,
    near: np.ndarray | None = None,
    below: Sequence[int] = (2, 4),
    size: int = 1000,
    progress: bool | str = False,
) -> Critical:
    """Critical strengths of N images on an ascending grid by bracketing and bisection, per image.

    near: (N,) grid index to look at first, for instance :func:`guess`; brackets widen from there. Failing is not
    monotone in the strength for every image, so when index i fails and i - 1 does not, the points ``below``, i - 2 and
    i - 4, are tried too, and the search goes on from a failing one. What may still differ from :func:`brute_force` is
    an image that fails once further below. progress: show a bar, with this title if it is a text.

    Raises ``ValueError`` for a grid that is not ascending from 0 or more, indices ``near`` that are not on it, or
    images that the model gets wrong already.
    """
    model = frozen(model)
    check(model, x, y, grid)
    start = np.full(len(x), len(grid) // 2) if near is None else np.asarray(near)
    if start.shape != (len(x),) or start.min() < 0 or start.max() >= len(grid):
        raise ValueError(f"near has shape {start.shape}; give an index from 0 to {len(grid) - 1} for each image")
    index, norm, tried = np.full(len(x), len(grid)), np.full(len(x), np.nan, np.float32), 0
    for chosen in bar(torch.arange(len(x)).split(size), progress):
        known = np.full((len(chosen), len(grid)), UNKNOWN, np.int8)
        norms = np.full((len(chosen), len(grid) + 1), np.nan, np.float32)
        width = 1 if near is not None else len(grid)
        while (points := _next_points(known, start[chosen.numpy()], width, below)).max() >= 0:
            open_ones = np.flatnonzero(points >= 0)
            images, at = chosen[torch.from_numpy(open_ones)], points[open_ones]
            moved = attack(images, torch.from_numpy(grid[at]).to(x))
            fails = attacks.wrong(model, moved, y[images]).cpu().numpy()
            known[open_ones, at] = np.where(fails, FAILS, PASSES)
            norms[open_ones, at] = torch.linalg.vector_norm(moved - x[images], dim=1).cpu().numpy()
            tried, width = tried + len(open_ones), 2 * width
        fails = known == FAILS
        index[chosen.numpy()] = first = np.where(fails.any(1), fails.argmax(1), len(grid))
        norm[chosen.numpy()] = norms[np.arange(len(chosen)), first]
    return Critical(grid, index, norm, tried / len(x))


UNKNOWN, PASSES, FAILS = 0, 1, 2


def _next_points(known: np.ndarray, near: np.ndarray, width: int, below: Sequence[int]) -> np.ndarray:
    """Grid index to try for each image, -1 where the search is over; known (N, G) says what has been seen so far.

    First ``near``; then away from it in doubling steps until one point passes and a higher one fails; then their
    middle; then the untried ones of the points below the crossing.
    """
    points = known.shape[1]
    fails = known == FAILS
    high = np.where(fails.any(1), fails.argmax(1), points)
    passes = (known == PASSES) & (np.arange(points) < high[:, None])
    low = np.where(passes.any(1), points - 1 - passes[:, ::-1].argmax(1), -1)
    middle = (low + high) // 2
    down, up = (low < 0) & (high < points), (low >= 0) & (high == points)
    point = np.where(down, np.maximum(middle, high - width), np.where(up, np.minimum(middle, low + width), middle))
    point = np.where((low < 0) & (high == points), near, point)
    over = np.full(len(known), -1)
    for distance in reversed(below):
        probe = (high - distance).clip(0)
        free = (high < points) & (high >= distance) & (known[np.arange(len(known)), probe] == UNKNOWN)
        over = np.where(free, probe, over)
    return np.where(high - low > 1, point, over)


def brute_force(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    grid: np.ndarray = GRID,
    size: int = 1000,
    progress: bool | str = False,
) -> Critical:
    """The definition as coded: every strength on every image, the first that fails. Raises as :func:`search` does."""
    model = frozen(model)
    check(model, x, y, grid)
    index, norm = np.full(len(x), len(grid)), np.full(len(x), np.nan, np.float32)
    for i in bar(range(len(grid) - 1, -1, -1), progress):
        for chosen in torch.arange(len(x)).split(size):
            moved = attack(chosen, torch.full((len(chosen),), grid[i]).to(x))
            fails = attacks.wrong(model, moved, y[chosen])
            images = chosen.numpy()[fails.cpu().numpy()]
            index[images] = i
            norm[images] = torch.linalg.vector_norm((moved - x[chosen])[fails], dim=1).cpu().numpy()
    return Critical(grid, index, norm, float(len(grid)))


def accuracies(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    attack: Attack,
    grid: np.ndarray,
    size: int = 1000,
    progress: bool | str = False,
) -> np.ndarray:
    """True accuracy (G,) under an attack at each strength, as a share of the given images; no monotony is assumed."""
    right, model = np.zeros(len(grid)), frozen(model)
    for i in bar(range(len(grid)), progress):
        for chosen in torch.arange(len(x)).split(size):
            moved = attack(chosen, torch.full((len(chosen),), grid[i]).to(x))
            right[i] += int((~attacks.wrong(model, moved, y[chosen])).sum())
    return right / len(x)


def check(model: TwoLayer, x: Tensor, y: Tensor, grid: np.ndarray) -> None:
    """``ValueError`` for a grid that does not ascend, or images that the model gets wrong unperturbed."""
    if len(grid) == 0 or not (grid[0] >= 0 and np.all(np.diff(grid) > 0) and np.isfinite(grid).all()):
        raise ValueError("grid is not finite, non-negative and strictly ascending; sort the strengths and drop doubles")
    attacks.check(model, x, y)
    z = _in_parts(lambda i: attacks.logits(model, x[i]), len(x))
    tie = TIE * z.abs().amax(1).clamp_max(1)  # may be decided either way, with the size of the batch
    lost = int((attacks.margin(z, y) < -tie).sum())
    if lost:
        raise ValueError(f"x: the model gets {lost} of {len(x)} images wrong unperturbed; keep critical.correct(...)")
