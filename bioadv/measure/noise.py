"""Gaussian noise of many strengths on many images, computed in latent space (closed form 5).

Unclamped noise moves the latent along a straight line, h(x + eps u) = h(x) + eps M u. So M u is computed once for a
pool of draws u, and a strength on an image costs no product with the hidden weights. The protocol as coded draws
fresh noise at every strength. Here image b takes the draw (b + s_i) mod P at grid index i, with distinct offsets s_i:
no image ever meets a draw twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bioadv.data import checks
from bioadv.data.progress import bar
from bioadv.measure import attacks, critical
from bioadv.measure.critical import NOISE_GRID, Critical
from bioadv.network import products
from bioadv.network.models import TwoLayer, folded, frozen

Tensor = torch.Tensor
SMALLEST_POOL = 5000


@dataclass(frozen=True)
class Pool:
    """Draws of standard normal noise: latent (P, H), how far each moves h per unit of strength; norms (P,) of the u.

    H counts the units of the frozen model (:class:`bioadv.network.models.Frozen`), without those that never respond.
    """

    latent: Tensor
    norms: Tensor


@dataclass(frozen=True)
class Sweep:
    """Noise of G strengths on N images.

    first: the critical strength as coded, the first failure over G independent draws, which is biased low; half: (N,)
    grid index from which on an image fails in half of the draws, G if it never does; accuracy: (G,) share of the images
    decided correctly; offsets: (G,) s_i, see the module.
    """

    first: Critical
    half: np.ndarray
    accuracy: np.ndarray
    offsets: np.ndarray


@torch.no_grad()
def pool(model: TwoLayer, generator: torch.Generator, count: int = SMALLEST_POOL) -> Pool:
    """Draw a pool of ``count`` noise vectors for a model; ``ValueError`` for fewer than 1.

    generator: with another seed than the weights were drawn with, or the first draws *are* the weights.
    """
    checks.whole(count=count)
    checks.generator(generator)
    if count < 1:
        raise ValueError(f"count = {count}; give the number of draws, at least 1")
    weights = folded(frozen(model))[0]
    latent, norms = weights.new_empty(count, len(weights)), weights.new_empty(count)
    for some in torch.arange(count).split(500):
        u = torch.randn(len(some), weights.shape[1], generator=generator, dtype=weights.dtype, device=generator.device)
        latent[some], norms[some] = products.product(u, weights), torch.linalg.vector_norm(u, dim=1)
    return Pool(latent, norms)


@torch.no_grad()
def sweep(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    draws: Pool,
    generator: torch.Generator,
    grid: np.ndarray = NOISE_GRID,
    size: int = 125,
    progress: bool | str = False,
) -> Sweep:
    """Noise of every strength of the grid on images x (N, D) that the model decides correctly.

    Raises ``ValueError`` for a pool smaller than the grid (an image would meet a draw twice), and as
    :func:`bioadv.measure.critical.search` does.
    """
    model = frozen(model)
    critical.check(model, x, y, grid)
    count = len(draws.latent)
    if count < len(grid):
        raise ValueError(f"draws hold {count} vectors for {len(grid)} strengths; draw at least as many")
    size = min(size, count)
    offsets = torch.randperm(count, generator=generator, device=generator.device)[: len(grid)].tolist()
    wrapped = torch.cat([draws.latent, draws.latent[:size]])  # so that any run of images is a slice
    fails = np.empty((len(x), len(grid)), bool)
    for chosen in bar(torch.arange(len(x)).split(size), progress):
        h, labels, first = model.before(x[chosen]), y[chosen], int(chosen[0])
        for i, offset in enumerate(offsets):
            at = (first + offset) % count
            moved = torch.add(h, wrapped[at : at + len(h)], alpha=float(grid[i]))
            z = attacks.finite(model.logits(model.activate(moved)))
            fails[chosen.numpy(), i] = (z.argmax(1) != labels).cpu().numpy()
    index = np.where(fails.any(1), fails.argmax(1), len(grid))
    norms = draws.norms.cpu().numpy()
    drawn = (np.arange(len(x)) + np.append(offsets, 0)[index]) % count
    norm = (norms[drawn] * np.append(grid, np.nan)[index]).astype(np.float32)
    first_failure = Critical(grid, index, norm, float(len(grid)))
    return Sweep(first_failure, half_point(fails), 1 - fails.mean(0), np.asarray(offsets))


def half_point(fails: np.ndarray) -> np.ndarray:
    """Grid index (N,) from which on an image fails in half of its draws, from one draw (N, G) per strength.

    It is the split that misplaces the fewest draws, failures below it and successes from it on. That is where the
    isotonic regression of failure on strength, the best monotone curve through the draws, crosses one half.
    """
    if np.ndim(fails) != 2:
        raise ValueError(f"fails has shape {np.shape(fails)}; give one draw per image and strength, (N, G)")
    fails = np.asarray(fails, bool)  # of whole numbers, ~ would turn the bits
    failures_below = np.pad(np.cumsum(fails, 1), ((0, 0), (1, 0)))
    successes_above = np.pad(np.cumsum(~fails[:, ::-1], 1)[:, ::-1], ((0, 0), (0, 1)))
    return (failures_below + successes_above).argmin(1)
