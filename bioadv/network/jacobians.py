"""Jacobians of a two-layer network's latent and logits by the images, exactly, and with closed gradients.

Symbols as in :mod:`bioadv.network.models`; f' is the slope of the activation, ||.|| the Frobenius norm.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

from bioadv.network import products
from bioadv.network.models import curvature, slope

Tensor = torch.Tensor


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
