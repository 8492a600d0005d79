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

from bioadv.measure.spectra import Moments

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


@torch.no_grad()
def align(weights: Tensor, images: Moments) -> Alignment:
    """Compare hidden weights M (H, D) with the images' covariance, in float64.

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
    _, singular, right = torch.linalg.svd(m, full_matrices=False)  # right (R, D)
    of_images, components = torch.linalg.eigh(images.covariance)
    of_images, components = of_images.flip(0), components.flip(1)
    of_latent = torch.linalg.eigvalsh(m @ images.covariance @ m.T).flip(0)[: len(singular)]
    of_weights = singular.square()
    tiny = torch.finfo(torch.float64).tiny
    loss = of_latent.clamp_min(tiny).log10() - (of_weights * of_images[: len(singular)]).clamp_min(tiny).log10()
    n = torch.arange(1, len(singular) + 1, dtype=torch.float64)
    overlap = (right @ components).square()  # (R, D), rows of sum 1
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


@torch.no_grad()
def nearest(rows: Tensor, images: Tensor, size: int = 1000) -> tuple[Tensor, Tensor]:
    """For each row (H, D) the cosine with the image (N, D) that it is most like, (H,), and that image's index, (H,).

    Both are centred on the mean image first: all images are positive, and so all alike before.
    """
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
