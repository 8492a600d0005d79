"""Covariance eigenspectra of latents: in float64, and, for comparison only, with the arithmetic of the authors' code.

Symbols: a latent (N, H) is h before the activation or a = ReLU(h)^q after it, for N images and H hidden units; lambda_n
is the n-th largest eigenvalue of its covariance, n from 1. Variances are in units of the latent squared.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator

import torch
from torch.nn.functional import linear

from bioadv.data import checks
from bioadv.data.moments import Moments, of_batches
from bioadv.network import products
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
BATCH = 1000  # images per step of a streaming pass; the authors' batch, on which their shift depends
TF32_BITS = 13  # of float32's 23 mantissa bits TF32 keeps 10


@torch.no_grad()
def latents(model: TwoLayer, x: Tensor, after: bool = False, dtype: torch.dtype = torch.float64) -> Iterator[Tensor]:
    """Latents (B, H) of images x (N, D), batch by batch, computed in ``dtype`` from the stored weights.

    after: a = ReLU(h)^q instead of h.
    """
    precise = copy.deepcopy(model).to(dtype).eval()
    for part in x.split(BATCH):
        yield precise.after(part.to(dtype)) if after else precise.before(part.to(dtype))


def moments(latent: Tensor | Iterable[Tensor]) -> Moments:
    """Mean and covariance of a latent (N, H), or of batches of one, in one pass in float64.

    Raises ``ValueError`` if a latent is not finite, is not (B, H), or if there are fewer than two images.
    """
    parts = latent.split(BATCH) if isinstance(latent, Tensor) else latent
    return of_batches(map(_checked, parts), products.outer)


def _checked(part: Tensor) -> Tensor:
    checks.floating(latent=part)
    if part.ndim != 2 or not bool(torch.isfinite(part).all()):
        raise ValueError(f"latent has shape {tuple(part.shape)} or holds NaN or infinity; give finite rows, (B, H)")
    return part.double()


def linear_moments(images: Moments, m: Tensor) -> Moments:
    """Moments of h = x M^T from those of the images, without looking at an image again: M Sigma_x M^T.

    m (H, D). Only for latents that are linear in x: before the activation, without batch norm.
    """
    m, covariance = m.detach().double(), images.covariance.double()
    return Moments(images.count, m @ images.mean.double(), products.product(products.product(m, covariance), m))


def eigenspectrum(of: Moments, units: int | Tensor | None = None) -> Tensor:
    """Eigenvalues lambda_n of a covariance, falling, float64, from a symmetric solver.

    units: the first so many hidden units, or the indices of some; None for all. Units that do not vary (pruned or dead
    ones) carry no eigenvalue, and N images span N - 1 directions: the result has as many entries as there are varying
    units, at most N - 1. Raises ``ValueError`` if no unit varies or there are not that many units.
    """
    mean, covariance = of.mean, of.covariance
    if units is not None:
        if isinstance(units, int) and not 1 <= units <= len(mean):
            raise ValueError(f"units = {units}; the latent has {len(mean)}, give 1 to {len(mean)}")
        chosen = torch.arange(units) if isinstance(units, int) else units
        mean, covariance = mean[chosen], covariance[chosen][:, chosen]
    # A constant unit keeps a variance of the size of the rounding of its mean.
    varying = covariance.diagonal() > (64 * torch.finfo(torch.float64).eps * mean).square()
    if not bool(varying.any()):
        raise ValueError(f"none of the {len(mean)} units varies over the images; there is no spectrum")
    eigenvalues = torch.linalg.eigvalsh(covariance[varying][:, varying]).flip(0)
    return eigenvalues[: of.count - 1]


def tf32(x: Tensor) -> Tensor:
    """Float32 numbers rounded to the 10 mantissa bits of TF32, to nearest, ties to even."""
    bits = x.float().contiguous().view(torch.int32)
    odd = (bits >> TF32_BITS) & 1
    return ((bits + odd + (1 << (TF32_BITS - 1)) - 1) & -(1 << TF32_BITS)).view(torch.float32)


@torch.no_grad()
def published_latents(model: TwoLayer, x: Tensor, rounded: bool = False) -> Iterator[Tensor]:
    """Latents h (B, H) in float32, batch by batch; rounded: with operands in TF32, as GPUs of that time had it."""
    for part in x.split(BATCH):
        h = linear(tf32(part), tf32(model.hidden)) if rounded else linear(part, model.hidden)
        yield h if model.norm is None else model.norm(h)


@torch.no_grad()
def published(latent: Iterable[Tensor], shift: float | Tensor, rounded: bool = False) -> Tensor:
    """Eigenvalues as the authors' code (``cov_spectrum`` at e1b82cd) computes them, complex64, by falling real part.

    One float32 pass over batches (B, H) sums (h - shift) and (h - shift)(h - shift)^T, where the shift is the mean
    *pixel* of the first batch (a mean latent (H,) would be better); the mean is subtracted at the end; the solver is
    the one for general matrices. Rounding can make eigenvalues negative or complex: the code keeps the real parts.
    rounded: products of TF32 operands. Raises ``ValueError`` for fewer than two latents, or products that are not
    finite numbers, on which the solver can end the process.
    """
    count, total, products = 0, torch.zeros(0), torch.zeros(0)
    for part in latent:
        shifted = part.float() - shift
        operand = tf32(shifted) if rounded else shifted
        square = operand.T @ operand
        products = square if count == 0 else products + square
        total = shifted.sum(0) if count == 0 else total + shifted.sum(0)
        count += len(part)
    if count < 2:
        raise ValueError(f"latent has {count} rows; give at least 2")
    mean = tf32(total) if rounded else total
    covariance = (products - torch.outer(mean, mean) / count) / (count - 1)
    if not bool(covariance.isfinite().all()):
        raise ValueError("latent has NaN, infinite or too large values: its covariance is not finite in float32")
    eigenvalues = torch.linalg.eigvals(covariance)
    return eigenvalues[eigenvalues.real.argsort(descending=True)]


def bootstrap(
    latent: Tensor,
    statistic: Callable[[Tensor], Tensor],
    replicates: int,
    generator: torch.Generator,
    blocks: Tensor | None = None,
) -> Tensor:
    """A statistic of the eigenspectrum under resampling of the images with replacement, (replicates, ...).

    latent (N, H); statistic: spectrum -> tensor; blocks (N,): images that overlap share a number and are drawn
    together. Read the spread, not the mean: a resample holds about 63 % of the images, so its small eigenvalues are
    biased low. Raises ``ValueError`` for fewer than two replicates or blocks.
    """
    checks.whole(replicates=replicates)
    checks.generator(generator)
    if replicates < 2:
        raise ValueError(f"replicates = {replicates}; give at least 2, better 20")
    members = torch.arange(len(latent)) if blocks is None else blocks.unique(return_inverse=True)[1]
    if blocks is not None and len(blocks) != len(latent):
        raise ValueError(f"blocks has {len(blocks)} entries for {len(latent)} images; give one number per image")
    groups = int(members.max()) + 1
    if groups < 2:
        raise ValueError(f"blocks names {groups} block; at least 2 are needed to resample")
    latent = latent.double()
    found = []
    for _ in range(replicates):
        drawn = torch.randint(groups, (groups,), generator=generator)
        times = torch.bincount(drawn, minlength=groups)[members]
        rows, weight = latent[times > 0], times[times > 0].double()
        count = int(weight.sum())
        mean = weight @ rows / count
        scaled = (rows - mean) * weight.sqrt()[:, None]
        covariance = products.outer(scaled, scaled) / (count - 1)
        found.append(statistic(eigenspectrum(Moments(len(rows), mean, covariance))))  # as many ranks as images differ
    return torch.stack(found)


def cross_validated(first: Tensor, second: Tensor) -> Tensor:
    """Cross-validated PCA (Stringer et al. 2019): the variance along each direction that repeats share, (min(N-1, H),).

    first, second (N, H): responses to the same N images. Directions are the principal ones of ``first``; noise that is
    independent between repeats averages out of the product of the projections, so estimates can be negative.
    """
    if first.shape != second.shape or first.ndim != 2:
        shapes = f"{tuple(first.shape)} and {tuple(second.shape)}"
        raise ValueError(f"first and second have shapes {shapes}; give two (N, H) responses to the same images")
    if not bool(torch.isfinite(first).all() and torch.isfinite(second).all()):
        raise ValueError("first or second holds NaN or infinity; give finite responses")
    a, b = (part.double() - part.double().mean(0) for part in (first, second))
    directions = torch.linalg.eigh(products.outer(a, a))[1].flip(1)[:, : len(a) - 1]
    return ((a @ directions) * (b @ directions)).sum(0) / (len(a) - 1)
