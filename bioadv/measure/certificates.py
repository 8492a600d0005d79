"""Certified lower bounds: radii within which no perturbation whatsoever changes the decision of a two-layer network.

An attack shows that a perturbation of some size is enough; a certificate shows that none of a smaller size is. The true
critical size lies between. The bounds hold in all of R^D, and so for every pixel box, up to rounding in the arithmetic
of ``x``. ReLU^4.5 has no global Lipschitz constant, hence everything here is local: over the ball around one image.

For a radius r, h_j stays in [l_j, u_j] = h_j -+ r ||m_j||, with the norm dual to the ball's. As f(h) = ReLU(h)^n is
convex, over that interval it lies above its tangent at h_j and below its chord. With the tangent where the margin wants
f large and the chord where it wants f small, the margin is bounded by a linear function of the perturbation, whose
minimum over the ball is exact (linear bound, in the manner of CROWN, Zhang et al. 2018). Taking the worse end of each
interval instead gives the interval bound. Both fall as r grows, and the larger of the two is used.
"""

from __future__ import annotations

import numpy as np
import torch

from bioadv.measure import attacks, critical
from bioadv.network.models import TwoLayer, activation, folded, slope

Tensor = torch.Tensor
DUAL = {"linf": 1, "l2": 2}  # order of the norm dual to the ball's
STEPS = 16  # halvings of the logarithm of the bracket
BRACKET = (1e-3, 4.0)  # in units of the radius at which the model's linearisation fails


@torch.no_grad()
def margin_bound(
    model: TwoLayer, x: Tensor, y: Tensor, radius: Tensor, norm: str = "l2", method: str = "both"
) -> Tensor:
    """Lower bound (B,) on right logit minus largest wrong one, over the ball of each radius (B,) around each image.

    method: ``linear``, ``interval``, or ``both``, the larger of the two.
    """
    weights = folded(model)[0]
    reach = radius[:, None] * torch.linalg.vector_norm(weights, DUAL[norm], dim=1)
    h = model.before(x)
    low, high = activation(h - reach, model.power), activation(h + reach, model.power)
    here, tangent = activation(h, model.power), slope(h, model.power)
    chord = torch.where(reach > 0, (high - low) / (2 * reach).clamp_min(torch.finfo(h.dtype).tiny), tangent)
    middle = low + chord * reach  # value of the chord at h
    bounds = []
    for other in range(len(model.bias)):
        v = model.readout[y] - model.readout[other]
        up, down = v.clamp_min(0), v.clamp_max(0)
        offset = model.bias[y] - model.bias[other]
        linear = (up * here + down * middle).sum(1) + offset
        linear -= radius * torch.linalg.vector_norm((up * tangent + down * chord) @ weights, DUAL[norm], dim=1)
        interval = (up * low + down * high).sum(1) + offset
        chosen = {"linear": linear, "interval": interval, "both": torch.maximum(linear, interval)}[method]
        bounds.append(torch.where(y == other, torch.inf, chosen))
    return torch.stack(bounds).amin(0)


@torch.no_grad()
def certified_radius(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    norm: str = "l2",
    method: str = "both",
    size: int = 250,
    progress: bool | str = False,
) -> np.ndarray:
    """Radius (N,) around each image within which the decision is certain; 0 where it is wrong already.

    The largest radius known to be safe, by bisection to a relative 2e-4; 0 also where no more than a thousandth of the
    linearisation's distance can be certified. Raises ``ValueError`` for an unknown norm or method, or images and
    labels that do not fit.
    """
    if norm not in DUAL:
        raise ValueError(f"norm = {norm!r} is not known; choose {' or '.join(DUAL)}")
    if method not in ("linear", "interval", "both"):
        raise ValueError(f"method = {method!r} is not known; choose linear, interval or both")
    attacks.check(model, x, y)
    radii = np.zeros(len(x))
    for chosen in critical.bar(torch.arange(len(x)).split(size), progress):
        radii[chosen.numpy()] = _bisect(model, x[chosen], y[chosen], norm, method).cpu().numpy()
    return radii


def _bisect(model: TwoLayer, x: Tensor, y: Tensor, norm: str, method: str) -> Tensor:
    slope_here, z = attacks.gradient(model, x, y, "margin")
    room = (-attacks.margin(z, y)).clamp_min(0)
    linear = room / torch.linalg.vector_norm(slope_here, DUAL[norm], dim=1).clamp_min(1e-30)
    low, high = (torch.log(linear * factor) for factor in BRACKET)
    for _ in range(STEPS):
        middle = (low + high) / 2
        safe = margin_bound(model, x, y, middle.exp(), norm, method) > 0
        low, high = torch.where(safe, middle, low), torch.where(safe, high, middle)
    safe = (margin_bound(model, x, y, low.exp(), norm, method) > 0) & (room > 0)
    return torch.where(safe, low.exp(), 0.0)
