"""The covariance behind an activation, predicted from the mean and the covariance before it, for Gaussian latents.

For two jointly Gaussian units h_i, h_j of correlation rho and any f, Mehler's formula (1866) gives

    cov(f(h_i), f(h_j)) = sum over k >= 1 of c_ik c_jk rho^k,   c_ik = E[f(m_i + s_i z) He_k(z)] / sqrt(k!),

with z standard normal and He_k the Hermite polynomials. With f = ReLU^q, means zero and equal variances it is the
arc-cosine kernel of order q (Cho and Saul 2009). The term k = 1 is the latent's own covariance with every unit
stretched by its mean slope, E f'(h_i); all terms are positive, so no eigenvalue behind the activation is smaller than
that term's: an activation can flatten a spectrum more than it can steepen it.
"""

from __future__ import annotations

import math

import torch

from bioadv.data.moments import Moments

Tensor = torch.Tensor
TERMS = 60  # of the series; what is left is added to the diagonal
GRID = torch.linspace(-9, 9, 3601, dtype=torch.float64)  # of z; good to five digits with a kink anywhere


@torch.no_grad()
def activated(latent: Moments, power: float, terms: int = TERMS) -> Moments:
    """Moments of a = ReLU(h)^q for Gaussian h of the given moments (H,), (H, H), in float64; q = ``power``.

    Raises ``ValueError`` if power or terms is below 1.
    """
    if not power >= 1 or terms < 1:
        raise ValueError(f"power = {power}, terms = {terms}; give q >= 1 and at least one term")
    deviation = latent.covariance.diagonal().clamp_min(0).sqrt()
    shape = torch.exp(-GRID.square() / 2) * (GRID[1] - GRID[0]) / math.sqrt(2 * math.pi)
    values = (latent.mean[:, None] + deviation[:, None] * GRID).clamp_min(0).pow(power)  # (H, Z)
    mean = values @ shape
    values -= mean[:, None]  # moves no coefficient from the first on
    scale = torch.where(deviation > 0, deviation, 1)
    rho = (latent.covariance / scale[:, None] / scale).clamp(-1, 1)
    found, rise = torch.zeros_like(rho), torch.ones_like(rho)
    before, here = torch.zeros_like(GRID), torch.ones_like(GRID)  # He_k / sqrt(k!) of two orders
    for k in range(1, terms + 1):
        before, here = here, (GRID * here - math.sqrt(k - 1) * before) / math.sqrt(k)
        rise = rise * rho
        c = values @ (shape * here)
        found += torch.outer(c, c) * rise
    found.diagonal().copy_(values.square() @ shape)
    return Moments(latent.count, mean, found)
