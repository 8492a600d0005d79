"""Where the spectrum of a linear latent comes from: the weights', the images', and how they are turned to each other.

Symbols: M (H, D) hidden weights, S (D, D) covariance of the images, C = M S M^T that of h = M x, so that M M^T is the
covariance of the latent on white noise. lambda_n is the n-th largest eigenvalue, n from 1.

If the right singular vectors of M are the principal components of S, in the same order, then lambda_n(C) is
lambda_n(M M^T) lambda_n(S): on logarithmic axes the two spectra add, and so do their exponents. In general Horn's
inequality (1950) holds: for every n the product of the first n eigenvalues of C is at most the product of those of
M M^T and of S. How far it falls short is how far the two are from being aligned.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from bioadv.data.moments import Moments

Tensor = torch.Tensor


@dataclass(frozen=True, eq=False)
class Alignment:
    """Eigenvalues, falling, and how the singular vectors of M lie to the principal components of the images.

    latent, weights, images: lambda_n of C (R,), of M M^T (R,) and of S (D,), R = min(H, D). deficit (R,): the mean over
    the first n ranks of log10 lambda(C) - log10 lambda(M M^T) - log10 lambda(S), in decades, at most 0. rank (R,): for
    the n-th right singular vector the geometric mean of the ranks of the principal components that it is made of,
    weighted by its squared overlap with each; n itself where they are the same. near (R,): share of its squared length
    on principal components of ranks n / 2 to 2 n.
    """

    latent: Tensor
    weights: Tensor
    images: Tensor
    deficit: Tensor
    rank: Tensor
    near: Tensor


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components of images: variances (D,), falling, and the components as columns, (D, D)."""

    variances: Tensor
    vectors: Tensor


@torch.no_grad()
def components(images: Moments) -> Components:
    """The principal components of images, in float64."""
    variances, vectors = torch.linalg.eigh(images.covariance.double())
    return Components(variances.flip(0), vectors.flip(1))


@torch.no_grad()
def align(weights: Tensor, images: Moments, known: Components | None = None) -> Alignment:
    """Compare hidden weights M (H, D) with the images' covariance, in float64.

    known: the images' :func:`components`, which take longer than all else here, where many layers meet the same images.
    N images have variance along N - 1 components, and there are no more ranks than that: R is at most N - 1.
    Singular vectors come from eigenvectors of M M^T: faster than decomposing M, and precise for all but the smallest.

    Raises ``ValueError`` if the two do not have the same number of inputs D, or if M is zero or not finite.
    """
    m = weights.detach().double()
    if m.ndim != 2 or m.shape[1] != len(images.covariance):
        raise ValueError(
            f"weights have shape {tuple(m.shape)}, the images {len(images.covariance)} inputs; "
            "give weights (H, D) of the same number of inputs"
        )
    if not bool(torch.isfinite(m).all()) or not bool(m.any()):
        raise ValueError("weights are zero or not finite; give those of a trained or initialised layer")
    m = m[m.any(1)]  # pruned units carry no eigenvalue
    known = known or components(images)
    of_images, vectors = known.variances, known.vectors
    of_weights, right = (part[: images.count - 1] for part in _singular(m))
    of_latent = torch.linalg.eigvalsh(m @ images.covariance.double() @ m.T).flip(0)[: len(of_weights)]
    tiny = torch.finfo(torch.float64).tiny
    loss = of_latent.clamp_min(tiny).log10() - (of_weights * of_images[: len(of_weights)]).clamp_min(tiny).log10()
    n = torch.arange(1, len(of_weights) + 1, dtype=torch.float64)
    overlap = (right @ vectors).square()  # (R, D), rows of sum 1
    k = torch.arange(1, len(of_images) + 1, dtype=torch.float64)
    inside = (k[None] >= n[:, None] / 2) & (k[None] <= 2 * n[:, None])
    return Alignment(
        latent=of_latent,
        weights=of_weights,
        images=of_images,
        deficit=loss.cumsum(0) / n,
        rank=(overlap @ k.log()).exp(),
        near=(overlap * inside).sum(1),
    )


def _singular(m: Tensor) -> tuple[Tensor, Tensor]:
    """Squared singular values (R,), falling, and right singular vectors (R, D) of m (H, D)."""
    if len(m) > m.shape[1]:
        square, right = torch.linalg.eigh(m.T @ m)
        return square.flip(0).clamp_min(0), right.flip(1).T
    square, left = torch.linalg.eigh(m @ m.T)
    return square.flip(0).clamp_min(0), torch.nn.functional.normalize(left.flip(1).T @ m, dim=1)


@torch.no_grad()
def leading(rows: Tensor, known: Components, count: int) -> Tensor:
    """Share of each row's squared length (H,) that lies on the first ``count`` principal components; rows (H, D)."""
    if not 1 <= count <= known.vectors.shape[1]:
        raise ValueError(f"count = {count}; give the number of components, 1 to {known.vectors.shape[1]}")
    unit = torch.nn.functional.normalize(rows.to(known.vectors), dim=1)
    return (unit @ known.vectors[:, :count]).square().sum(1)


@torch.no_grad()
def nearest(rows: Tensor, images: Tensor, size: int = 1000) -> tuple[Tensor, Tensor]:
    """For each row (H, D) the cosine with the image (N, D) that it is most like, (H,), and that image's index, (H,).

    Both are centred on the mean image first: all images are positive, and so all alike before.
    """
    if not len(images):
        raise ValueError("images: there are none; give at least one")
    centre = images.mean(0)
    unit = torch.nn.functional.normalize(rows - centre, dim=1)
    best = torch.full((len(rows),), -torch.inf, dtype=rows.dtype)
    index = torch.zeros(len(rows), dtype=torch.int64)
    for start in range(0, len(images), size):
        part = torch.nn.functional.normalize(images[start : start + size] - centre, dim=1)
        cosine, where = (unit @ part.T).max(1)
        better = cosine > best
        best, index = torch.where(better, cosine, best), torch.where(better, start + where, index)
    return best, index
