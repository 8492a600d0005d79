"""Penalties on a two-layer network: as coded by the authors, and as stated by the papers they come from.

A penalty is a frozen dataclass of its constants. Three kinds exist. Those that are a weight decay (L2, and the Jacobian
term as coded) are applied inside Adam, where they cost nothing: see :func:`decay`. The Jacobian of a ReLU latent is
a decay with its own strength for each unit and batch: see :func:`row_decay`. The others are added to the loss: see
:func:`penalty`. Symbols as in :mod:`bioadv.network.models`; f' is the slope of the activation, ||.|| the Frobenius
norm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from bioadv.data import checks
from bioadv.network import products
from bioadv.network.models import TwoLayer, curvature, slope

Tensor = torch.Tensor


@dataclass(frozen=True)
class L2:
    """strength * ||theta||^2 over all parameters, readout weight and bias included (authors' code, 5e-4)."""

    strength: float = 5e-4

    def __post_init__(self) -> None:
        checks.positive(strength=self.strength)


@dataclass(frozen=True)
class JacobianPublished:
    """The authors' Jacobian term by its expectation: strength * (1 + 2 / B) / 3 * ||dh/dx||^2, which is ||M||^2.

    It acts on h, before the activation, where the Jacobian does not depend on the image. The factor comes from a slip:
    of three random projections the second and third are normalised over the whole batch.
    """

    strength: float = 1e-3
    projections: int = 3
    batch: int = 1000

    def __post_init__(self) -> None:
        checks.whole(projections=self.projections, batch=self.batch)
        checks.positive(strength=self.strength, projections=self.projections, batch=self.batch)

    @property
    def factor(self) -> float:
        """Mean of the estimator over ||M||^2; 0.334 for three projections and batches of 1000."""
        return (1 + (self.projections - 1) / self.batch) / self.projections


@dataclass(frozen=True)
class LatentJacobian:
    """strength * mean over images of ||da/dx||^2, the Jacobian of the latent after the activation, exactly."""

    strength: float = 1e-3

    def __post_init__(self) -> None:
        checks.positive(strength=self.strength)


@dataclass(frozen=True)
class LogitJacobian:
    """strength / 2 * mean over images of ||dz/dx||^2, exactly (Hoffman, Roberts, Yaida 2019; they use 0.01)."""

    strength: float = 0.01

    def __post_init__(self) -> None:
        checks.positive(strength=self.strength)


@dataclass(frozen=True)
class Spectral:
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

    def __post_init__(self) -> None:
        checks.positive(strength=self.strength, alpha=self.alpha)
        checks.whole(tau=self.tau)
        if self.tau < 0:
            raise ValueError(f"tau = {self.tau}; give the number of leading components to leave alone, >= 0")
        checks.known("variant", self.variant, ("stated", "logged", "scale-free"))


Penalty = L2 | JacobianPublished | LatentJacobian | LogitJacobian | Spectral
SHIFT = 0.02  # what the public code subtracts from h before it takes second moments


def decay(penalty: Penalty | None) -> tuple[float, float]:
    """Weight decay that Adam adds to the gradient, (of the hidden weights, of readout and bias).

    A term c ||theta||^2 of the loss has the gradient 2 c theta, so the decay is 2 c.
    """
    if isinstance(penalty, L2):
        return 2 * penalty.strength, 2 * penalty.strength
    if isinstance(penalty, JacobianPublished):
        return 2 * penalty.strength * penalty.factor, 0.0
    return 0.0, 0.0


@torch.no_grad()
def decay_value(penalty: Penalty | None, model: TwoLayer) -> float:
    """Value of a penalty that is a weight decay; 0 for the others."""
    hidden, rest = decay(penalty)
    value = hidden / 2 * model.hidden.square().sum()
    return float(value + rest / 2 * (model.readout.square().sum() + model.bias.square().sum()))


def penalty(kind: Penalty | None, model: TwoLayer, h: Tensor, directions: Tensor | None = None) -> Tensor:
    """Value of a penalty that is added to the loss, differentiable, for the latent h (B, H) of a batch; 0 for a decay.

    directions: (H, H), from :func:`principal_directions`; only for :class:`Spectral`.
    """
    if isinstance(kind, LatentJacobian):
        return kind.strength * latent_jacobian(model.hidden, h, model.power)
    if isinstance(kind, LogitJacobian):
        return kind.strength / 2 * logit_jacobian(model.hidden, model.readout, h, model.power)
    if isinstance(kind, Spectral):
        if directions is None:
            raise ValueError("directions = None; a spectral penalty needs principal_directions of this epoch")
        latent = model.activate(h) if kind.variant == "scale-free" else h
        return spectral(kind, latent, directions)
    return h.new_zeros(())


@torch.no_grad()
def row_decay(kind: Penalty | None, model: TwoLayer, h: Tensor) -> Tensor | None:
    """Weight decay (H,) of each unit that a :class:`LatentJacobian` of a ReLU network (n = 1) amounts to, else None.

    f' is 0 or 1 and has no slope of its own, so the gradient is 2 * strength * (share of images with h_j > 0) * m_j.
    """
    if not isinstance(kind, LatentJacobian) or model.power != 1:
        return None
    return 2 * kind.strength / len(h) * (h > 0).sum(0)


def latent_jacobian(m: Tensor, h: Tensor, power: float = 1.0) -> Tensor:
    """Mean over the batch of ||da/dx||^2 = sum_j f'(h_j)^2 ||m_j||^2 (closed form 2).

    One product of a (B, H) array with a vector of length H: no projections, no autograd loop. Differentiable in m
    (H, D) and, for n > 1, in h (B, H).
    """
    return (slope(h, power).square().mean(0) * _RowNorms.apply(m)).sum()


class _RowNorms(torch.autograd.Function):
    """||m_j||^2 of each row, without the (H, D) intermediates that autograd would keep."""

    @staticmethod
    def forward(ctx: Any, m: Tensor) -> Tensor:
        ctx.save_for_backward(m)
        return torch.linalg.vecdot(m, m)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (m,) = ctx.saved_tensors
        return m * (2 * gradient)[:, None]


def logit_jacobian(m: Tensor, v: Tensor, h: Tensor, power: float = 1.0) -> Tensor:
    """Mean over the batch of ||dz/dx||^2 = sum(G o K) / B with G = M M^T, K = (V^T V) o (F^T F), F = f'(h).

    m (H, D), v (C, H), h (B, H); differentiable in all three (in h only for n > 1, through f').
    """
    return _LogitJacobian.apply(m, v, slope(h, power), None if power == 1 else curvature(h, power), h)


class _LogitJacobian(torch.autograd.Function):
    """The closed form with its closed gradients: 2 K M / B, 2 V (G o F^T F) / B, and 2 f'' F (G o V^T V) / B for h."""

    @staticmethod
    def forward(ctx: Any, m: Tensor, v: Tensor, f: Tensor, f_slope: Tensor | None, h: Tensor) -> Tensor:
        gram, overlap, joint = products.product(m, m), v.T @ v, products.outer(f, f)  # each (H, H)
        ctx.save_for_backward(m, v, f, f_slope, gram, overlap, joint)
        return (gram * overlap).mul_(joint).sum() / len(h)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        m, v, f, f_slope, gram, overlap, joint = ctx.saved_tensors
        scale = 2 * gradient / len(f)
        to_m = products.against((overlap * joint).mul_(scale), m)
        to_v = v @ (gram * joint).mul_(scale)
        to_h = None if f_slope is None else products.against(f, gram * overlap).mul_(f_slope).mul_(scale)
        return to_m, to_v, None, None, to_h


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
        moments = products.outer(shifted, shifted) / len(x)
    elif kind.variant == "stated" and sigma is not None and model.norm is None:
        moments = products.product(products.product(model.hidden, sigma), model.hidden)  # sigma is symmetric
    else:
        tap = model.after if kind.variant == "scale-free" else model.before
        mean = torch.stack([tap(part).sum(0) for part in x.split(size)]).sum(0) / len(x)
        moments = torch.zeros(len(mean), len(mean), dtype=mean.dtype, device=mean.device)
        for part in x.split(size):
            centred = tap(part) - mean
            moments += products.outer(centred, centred)
        moments /= len(x) - 1
    if not bool(torch.isfinite(moments).all()):
        raise FloatingPointError("the covariance of the latent is not finite")
    try:
        return torch.linalg.eigh(moments)[1].flip(1)
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
