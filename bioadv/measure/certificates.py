"""Certified lower bounds: radii within which no perturbation whatsoever changes the decision of a two-layer network.

An attack shows that a perturbation of some size is enough; a certificate shows that none of a smaller size is. The true
critical size lies between. The bounds hold in all of R^D, and so for every pixel box, up to rounding in the arithmetic
of ``x``. ReLU^4.5 has no global Lipschitz constant, hence everything here is local: over the ball around one image.

For a radius r, h_j stays in [l_j, u_j] = h_j -+ r ||m_j||, with the norm dual to the ball's. As f(h) = ReLU(h)^q is
convex, over that interval it lies above its tangent at h_j and below its chord. With the tangent where the margin wants
f large and the chord where it wants f small, the margin is bounded by a linear function of the perturbation, whose
minimum over the ball is exact (linear bound, in the manner of CROWN, Zhang et al. 2018). Taking the worse end of each
interval instead gives the interval bound. Both fall as r grows, and the larger of the two is used.

The chord charges every unit as if all of them moved to the ends of their intervals at once. The bound of second order
does not: it keeps the gradient of the margin as it is and bounds what curvature can take away from it. Over the
interval, f lies below f(h_j) + f'(h_j) t + kappa_j t^2 / 2, so that in an L2 ball the margin loses at most
r ||gradient|| + r^2 Lambda / 2, where Lambda bounds the largest eigenvalue of M^T diag(d) M, ``d_j = |v_j| kappa_j``
over the units that the margin wants small. That is the largest of diag(d)^1/2 M M^T diag(d)^1/2, which the Frobenius
norm bounds, and so does the quotient of Collatz and Wielandt for the matrix of absolute values.
"""

from __future__ import annotations

import numpy as np
import torch

from bioadv.data.progress import bar
from bioadv.measure import attacks
from bioadv.network import products
from bioadv.network.models import TwoLayer, activation, folded, frozen, slope

Tensor = torch.Tensor
STEPS = 16  # halvings of the logarithm of the bracket
BRACKET = (1e-3, 4.0)  # in units of the radius at which the model's linearisation fails
FLAT = 1e20  # a linearisation that fails only so far away has a gradient of zero
METHODS = ("linear", "interval", "both", "second order", "all")
ITERATIONS = 3  # of the power method that chooses the vector for the quotient of Collatz and Wielandt


@torch.no_grad()
def margin_bound(
    model: TwoLayer, x: Tensor, y: Tensor, radius: Tensor, norm: str = "l2", method: str = "both"
) -> Tensor:
    """Lower bound (B,) on right logit minus largest wrong one, over the ball of each radius (B,) around each image.

    method: ``linear``, ``interval``, ``both``, the larger of the two; ``second order``, in L2 balls only; or ``all``,
    the largest of the three. Raises ``ValueError`` for an unknown norm or method, or radii that are not one number
    >= 0 for each image.
    """
    _check(norm, method)
    attacks.check(model, x, y)
    if radius.shape != (len(x),) or not bool(((radius >= 0) & radius.isfinite()).all()):
        raise ValueError(
            f"radius has shape {tuple(radius.shape)}, smallest {float(radius.min()) if radius.numel() else '-'}; give "
            f"one finite number >= 0 for each of {len(x)} images"
        )
    weights = folded(model)[0]
    overlaps = products.product(weights, weights).abs() if method in ("second order", "all") else weights.new_zeros(0)
    reach = radius[:, None] * torch.linalg.vector_norm(weights, attacks.dual(norm), dim=1)
    h = model.before(x)
    low, high = activation(h - reach, model.power), activation(h + reach, model.power)
    here, tangent = activation(h, model.power), slope(h, model.power)
    chord = torch.where(reach > 0, (high - low) / (2 * reach).clamp_min(torch.finfo(h.dtype).tiny), tangent)
    middle = low + chord * reach  # value of the chord at h
    bent = curvature_bound(h, reach, model.power) if len(overlaps) else chord
    bounds = []
    for other in range(len(model.bias)):
        v = model.readout[y] - model.readout[other]
        up, down = v.clamp_min(0), v.clamp_max(0)
        offset = model.bias[y] - model.bias[other]
        linear = (up * here + down * middle).sum(1) + offset
        linear -= radius * torch.linalg.vector_norm(model.pull(up * tangent + down * chord), attacks.dual(norm), dim=1)
        interval = (up * low + down * high).sum(1) + offset
        second = torch.full_like(linear, -torch.inf)
        if len(overlaps):
            loss = radius * torch.linalg.vector_norm(model.pull(v * tangent), dim=1)
            loss += radius.square() / 2 * largest_eigenvalue_bound(torch.where(down < 0, -down * bent, 0.0), overlaps)
            second = torch.where(loss.isfinite(), (v * here).sum(1) + offset - loss, -torch.inf)
        both = torch.maximum(linear, interval)
        kinds = {"linear": linear, "interval": interval, "both": both, "second order": second}
        chosen = kinds.get(method, torch.maximum(both, second))
        bounds.append(torch.where(y == other, torch.inf, chosen))
    return torch.stack(bounds).amin(0)


def curvature_bound(h: Tensor, reach: Tensor, power: float) -> Tensor:
    """Smallest kappa with f(h + t) <= f(h) + f'(h) t + kappa t^2 / 2 for ``|t| <= reach``; elementwise, f = ReLU^q.

    For q >= 2 the second derivative rises, so that the bound is tight at t = reach. For q = 1 it is tight where the
    parabola touches the other branch, at t = -2 h, or at the end of the interval if that is nearer; the kink itself
    (h = 0) has no parabola above it, and kappa is infinite. Raises ``ValueError`` for 1 < q < 2.
    """
    tiny = torch.finfo(h.dtype).tiny
    if power == 1:
        depth = h.abs()
        at_end = 2 * (reach - depth) / reach.square().clamp_min(tiny)
        return torch.where(reach <= depth, 0.0, torch.where(reach < 2 * depth, at_end, 1 / (2 * depth)))
    if power < 2:
        raise ValueError(f"power = {power}: the bound of second order is for q = 1 and q >= 2; use another method")
    rise = activation(h + reach, power) - activation(h, power) - slope(h, power) * reach
    return (2 * rise / reach.square().clamp_min(tiny)).clamp_min(0)


def largest_eigenvalue_bound(d: Tensor, overlaps: Tensor) -> Tensor:
    """Upper bound (B,) on the largest eigenvalue of M^T diag(d) M, for d (B, H) >= 0 and ``|M M^T|`` (H, H).

    The smaller of the Frobenius norm and the quotient ``max_i (|A| u)_i / u_i`` of
    A = diag(d)^1/2 M M^T diag(d)^1/2, which holds for every u > 0; a few steps of the power method make it tight.
    """
    frobenius = (products.product(d, overlaps.square()) * d).sum(1).clamp_min(0).sqrt()
    root, used = d.sqrt(), d > 0
    u = root / torch.linalg.vector_norm(root, dim=1, keepdim=True).clamp_min(torch.finfo(d.dtype).tiny)
    quotient = torch.full_like(frobenius, torch.inf)
    for _ in range(ITERATIONS):
        image = root * products.product(root * u, overlaps)
        ratio = torch.where(used, image / u.clamp_min(torch.finfo(d.dtype).tiny), 0.0)
        quotient = torch.minimum(quotient, ratio.amax(1))
        u = image / torch.linalg.vector_norm(image, dim=1, keepdim=True).clamp_min(torch.finfo(d.dtype).tiny)
    return torch.minimum(frobenius, quotient)


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

    The largest radius known to be safe, by bisection to a relative 2e-4, between a thousandth and four times the
    distance at which the linearisation fails or, where the gradient is zero, that of the nearest kink; 0 also where
    less than this can be certified. Raises ``ValueError`` for an unknown norm or method, or images and
    labels that do not fit.
    """
    _check(norm, method)
    attacks.check(model, x, y)
    radii, model = np.zeros(len(x)), frozen(model)
    for chosen in bar(torch.arange(len(x)).split(size), progress):
        radii[chosen.numpy()] = _bisect(model, x[chosen], y[chosen], norm, method).cpu().numpy()
    return radii


def _check(norm: str, method: str) -> None:
    attacks.dual(norm)  # raises for an unknown one
    if method not in METHODS:
        raise ValueError(f"method = {method!r} is not known; choose from {', '.join(METHODS)}")
    if norm != "l2" and method in ("second order", "all"):
        raise ValueError(f"method = {method!r} is for L2 balls; with norm = {norm!r} choose linear, interval or both")


def _bisect(model: TwoLayer, x: Tensor, y: Tensor, norm: str, method: str) -> Tensor:
    linear, margin = attacks.linear_distance(model, x, y, norm)
    room = margin.clamp_min(0)
    # Where no unit responds the gradient is zero. Nothing changes up to the nearest kink, so the search begins there.
    m = model.hidden.detach()
    reach = model.before(x).abs() / torch.linalg.vector_norm(m, attacks.dual(norm), dim=1).clamp_min(1e-30)
    linear = torch.where(linear > FLAT, reach.amin(1), linear).clamp_min(0)
    low, high = (torch.log(linear * factor) for factor in BRACKET)
    for _ in range(STEPS):
        middle = (low + high) / 2
        safe = margin_bound(model, x, y, middle.exp(), norm, method) > 0
        low, high = torch.where(safe, middle, low), torch.where(safe, high, middle)
    safe = (margin_bound(model, x, y, low.exp(), norm, method) > 0) & (room > 0)
    return torch.where(safe, low.exp(), 0.0)
