"""The spectral penalty: deviation of a latent's covariance spectrum from a power law, as stated and as logged.

Symbols as in :mod:`bioadv.network.regularizers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from bioadv.data import checks
from bioadv.data.moments import of_batches
from bioadv.network import products
from bioadv.network.models import TwoLayer
from bioadv.network.regularizers import Penalty

Tensor = torch.Tensor
SHIFT = 0.02  # what the authors' code subtracts from h before it takes second moments


@dataclass(frozen=True)
class Spectral(Penalty):
    """strength / H * sum over n > tau of (lambda_n / gamma_n - 1)^2 + max(0, lambda_n / gamma_n - 1).

    lambda_n is the variance of the batch along the n-th principal direction, which is computed once per epoch.

    variant: ``stated``, gamma_n = n^-alpha, absolute, directions from the covariance of h over all training images
    (as stated); ``logged``, the same target with the estimator as coded: directions from one
    batch, second moments instead of covariances, shifted by 0.02 (this fits the stored log, an inference);
    ``scale-free``, gamma_n = lambda_(tau+1) ((tau+1) / n)^alpha of the batch, without gradient, on the latent after
    the activation, from n = tau + 2 on (Nassar et al. 2020).
    """

    strength: float = 1.0
    alpha: float = 1.0
    tau: int = 0
    variant: str = "stated"
    varies: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checks.positive(strength=self.strength, alpha=self.alpha)
        checks.whole(tau=self.tau)
        if self.tau < 0:
            raise ValueError(f"tau = {self.tau}; give the number of leading components to leave alone, >= 0")
        checks.known("variant", self.variant, ("stated", "logged", "scale-free"))

    def once(self, x: Tensor) -> Tensor | None:
        """For ``stated``, the covariance (D, D) of the images."""
        return image_covariance(x) if self.variant == "stated" else None

    def each_epoch(self, model: TwoLayer, x: Tensor, last: Tensor, known: Tensor | None) -> Tensor | None:
        """The principal directions, in the precision of the images; ``ValueError`` if tau leaves none of them."""
        most = len(model.hidden) - (2 if self.variant == "scale-free" else 1)
        if self.tau > most:
            raise ValueError(f"tau = {self.tau} leaves no component of {len(model.hidden)} units; give at most {most}")
        seen = x[last] if self.variant == "logged" else x
        return principal_directions(self, model, seen, known).to(x.dtype)

    def added(self, model: TwoLayer, h: Tensor, directions: Tensor | None = None) -> Tensor:
        """By closed form 4; ``ValueError`` without directions."""
        if directions is None:
            raise ValueError("directions = None; a spectral penalty needs principal_directions of this epoch")
        return spectral(self, model.activate(h) if self.variant == "scale-free" else h, directions)


def image_covariance(x: Tensor, size: int = 5000) -> Tensor:
    """Covariance (D, D) of the images x (N, D), float32 result of a float64 sum over batches."""
    return of_batches((part.double() for part in x.split(size)), products.outer).covariance.float()


@torch.no_grad()
def principal_directions(
    kind: Spectral, model: TwoLayer, x: Tensor, sigma: Tensor | None = None, size: int = 1000
) -> Tensor:
    """Principal directions (H, H) of the latent that the penalty acts on, columns by falling eigenvalue.

    x (N, D): training images; for ``logged`` one batch. sigma (D, D): their covariance; with it the covariance of h is
    M sigma M^T and no image has to be looked at (closed form 3; only without batch norm).

    Raises ``FloatingPointError`` when the latent is no longer finite, or too ill-conditioned to have directions.
    """
    if kind.variant == "logged":
        shifted = model.before(x) - SHIFT
        covariance = products.outer(shifted, shifted) / len(x)
    elif kind.variant == "stated" and sigma is not None and model.norm is None:
        covariance = products.product(products.product(model.hidden, sigma), model.hidden)  # sigma is symmetric
    else:
        tap = model.after if kind.variant == "scale-free" else model.before
        covariance = of_batches((tap(part) for part in x.split(size)), products.outer).covariance
    if not bool(torch.isfinite(covariance).all()):
        raise FloatingPointError("the covariance of the latent is not finite")
    try:
        return torch.linalg.eigh(covariance)[1].flip(1)
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise FloatingPointError("the covariance of the latent has no eigenvectors to working precision") from error


def spectral(kind: Spectral, latent: Tensor, directions: Tensor) -> Tensor:
    """The spectral penalty for a batch's latent (B, H): column variances of its projection (closed form 4).

    The projection runs in the precision of ``directions`` (H, H).
    """
    shift = SHIFT if kind.variant == "logged" else latent.mean(0)
    divisor = len(latent) if kind.variant == "logged" else len(latent) - 1
    projected = products.linear((latent - shift).to(directions.dtype), directions.T).to(latent.dtype)
    eigenvalues = projected.square().sum(0) / divisor
    n = torch.arange(1, len(eigenvalues) + 1, dtype=latent.dtype, device=latent.device)
    first = kind.tau
    if kind.variant == "scale-free":
        anchor = eigenvalues[kind.tau].detach().clamp_min(torch.finfo(latent.dtype).tiny)
        target, first = anchor * ((kind.tau + 1) / n) ** kind.alpha, kind.tau + 1
    else:
        target = n**-kind.alpha
    ratio = eigenvalues[first:] / target[first:] - 1
    return kind.strength / len(eigenvalues) * (ratio.square() + ratio.relu()).sum()
