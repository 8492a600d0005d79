"""Attacks on a two-layer network in one step, Gaussian noise and FGSM, and the gradients that all attacks follow.

Symbols as in :mod:`bioadv.network.models`: x (B, D) images, y (B,) labels, eps (B,) strengths, one for each image.
With one hidden layer the gradient of a loss by the image is M^T (f'(h) o V^T dL/dz), two products and no autograd. A
*box* (low, high) holds the values that a pixel may take; unit-norm images have a true ceiling each, see
:func:`bioadv.data.datasets.ceiling`.
"""

from __future__ import annotations

import torch

from bioadv.data import checks
from bioadv.network.models import TwoLayer, check_evaluation, frozen, slope

Tensor = torch.Tensor
Box = tuple[float, float | Tensor]
LOSSES = ("cross-entropy", "margin")
DUAL = {"linf": 1, "l2": 2}  # norms of a ball, and the order of the dual norm
NORMS = tuple(DUAL)
UNBOUNDED: Box = (-float("inf"), float("inf"))
PUBLISHED_BOX: Box = (0.0, 1.0)  # the authors' code clamps there; unit-L3 images have pixels of about 0.06


def dual(norm: str) -> int:
    """Order of the norm dual to that of a ball, ``linf`` or ``l2``; ``ValueError`` for another word."""
    checks.known("norm", norm, NORMS)
    return DUAL[norm]


def check(model: TwoLayer, x: Tensor, y: Tensor, box: Box = UNBOUNDED) -> None:
    """Raise ``ValueError`` for images, labels or a box that do not fit the model or each other."""
    classes, inputs = len(model.bias), model.hidden.shape[1]
    checks.floating(x=x)
    if x.dtype != model.hidden.dtype:
        raise ValueError(f"x has dtype {x.dtype}, the model {model.hidden.dtype}; give x.to(model.hidden.dtype)")
    checks.tensor(y=y)
    if x.ndim != 2 or x.shape[1] != inputs or len(x) == 0:
        raise ValueError(f"x has shape {tuple(x.shape)}; give at least one image as a row of {inputs} pixels")
    if y.shape != (len(x),) or y.dtype != torch.int64:
        raise ValueError(
            f"y has shape {tuple(y.shape)} and dtype {y.dtype}; give one int64 label per image, ({len(x)},)"
        )
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"y spans {int(y.min())}..{int(y.max())}; the model has {classes} classes, 0..{classes - 1}")
    low, high = box
    if any(bool(torch.as_tensor(side).isnan().any()) for side in box):
        raise ValueError(f"box = ({low}, {high}) holds NaN; give the smallest and the largest value of a pixel")
    if not bool(torch.isfinite(x).all()):
        raise ValueError(f"x: {int((~torch.isfinite(x)).any(1).sum())} images are NaN or infinite; remove them")
    outside = int(((x < low) | (x > high * (1 + 1e-6))).any(1).sum())  # white pixels sit at the ceiling, rounded
    if outside:
        raise ValueError(f"x: {outside} images leave the box {low:g}..{_shown(high)}; give the box that they live in")
    if model.training:
        raise ValueError("model is in training mode; call model.eval() before it is attacked")


def _shown(high: float | Tensor) -> str:
    return f"{float(high.max()):g}" if isinstance(high, Tensor) else f"{high:g}"


def strengths(eps: float | Tensor, x: Tensor) -> Tensor:
    """Strengths as a (B, 1) column; ``ValueError`` for others than one, or one for each image, finite and >= 0."""
    if torch.as_tensor(eps).numel() not in (1, len(x)):
        raise ValueError(
            f"eps has {torch.as_tensor(eps).numel()} values for {len(x)} images; give one, or one for each"
        )
    column = torch.as_tensor(eps, dtype=x.dtype, device=x.device).reshape(-1, 1).expand(len(x), 1)
    if not bool(((column >= 0) & (column < float("inf"))).all()):  # a NaN fails this as well
        raise ValueError(
            f"eps spans {float(column.min()):g}..{float(column.max()):g}; give finite strengths >= 0 (images that no "
            "strength fooled have an infinite one: leave them out)"
        )
    return column


@torch.no_grad()
def logits(model: TwoLayer, x: Tensor) -> Tensor:
    """Logits (B, C); ``FloatingPointError`` if any is not finite, so that no NaN passes for a wrong decision."""
    z: Tensor = model(x)
    return finite(z)


def finite(z: Tensor) -> Tensor:
    """The logits as they are, or ``FloatingPointError``: a NaN must never pass for a decision, wrong or right."""
    if not bool(torch.isfinite(z).all()):
        bad = int((~torch.isfinite(z)).any(1).sum())
        raise FloatingPointError(
            f"the model's logits are not finite for {bad} of {len(z)} images; train it again, or give a smaller epsilon"
        )
    return z


def wrong(model: TwoLayer, x: Tensor, y: Tensor) -> Tensor:
    """Whether each image (B, D) is decided against its label, (B,) bool; ``ValueError`` for what is no label."""
    checks.tensor(y=y)
    classes = len(model.bias)
    if y.dtype != torch.int64 or (len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes):
        raise ValueError(f"y has dtype {y.dtype}, or other labels than 0..{classes - 1}; give an int64 for each image")
    if y.shape != (len(x),):
        raise ValueError(f"y has shape {tuple(y.shape)}; give one label per image, ({len(x)},)")
    check_evaluation(model)
    return logits(model, x).argmax(1) != y


def margin(z: Tensor, y: Tensor) -> Tensor:
    """Right logit minus the largest wrong one, (B,), of logits (B, C); the decision is wrong where it is negative."""
    right = z.gather(1, y[:, None])
    return (right - z.scatter(1, y[:, None], -float("inf")).amax(1, keepdim=True))[:, 0]


def linear_distance(model: TwoLayer, x: Tensor, y: Tensor, norm: str) -> tuple[Tensor, Tensor]:
    """How far a linear model with the same margin and gradient would have to move each image, (B,), and the margin.

    Margin over the dual norm of its gradient; negative where the decision is wrong, huge where the gradient is zero.
    """
    uphill, z = gradient(model, x, y, "margin")
    here = margin(z, y)
    return here / torch.linalg.vector_norm(uphill, dual(norm), dim=1).clamp_min(1e-30), here


@torch.no_grad()
def gradient(model: TwoLayer, x: Tensor, y: Tensor, loss: str = "cross-entropy") -> tuple[Tensor, Tensor]:
    """Gradient (B, D) of each image's own loss by its pixels, and the logits (B, C) on the way (closed form 2).

    loss: one of ``LOSSES``, see :class:`bioadv.measure.gradient_ascent.PGD`. ``FloatingPointError`` if a logit is not
    finite.
    """
    checks.known("loss", loss, LOSSES)
    check_evaluation(model)
    h = model.before(x)
    z = finite(model.logits(model.activate(h)))
    if loss == "cross-entropy":
        at_logits = z.softmax(1)
        at_logits.scatter_add_(1, y[:, None], -torch.ones_like(y, dtype=z.dtype)[:, None])
    else:
        other = z.scatter(1, y[:, None], -float("inf")).argmax(1)
        at_logits = torch.zeros_like(z).scatter_(1, other[:, None], 1.0).scatter_(1, y[:, None], -1.0)
    at_latent = (at_logits @ model.readout).mul_(slope(h, model.power))
    return model.pull(at_latent), z


def gaussian(x: Tensor, eps: float | Tensor, generator: torch.Generator) -> Tensor:
    """Images x + eps u with u standard normal in each pixel, not clamped (as coded): ||eps u|| is about sqrt(D) eps."""
    checks.floating(x=x)
    checks.generator(generator)
    return x + strengths(eps, x) * torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def fgsm(model: TwoLayer, x: Tensor, y: Tensor, eps: float | Tensor, box: Box = PUBLISHED_BOX) -> Tensor:
    """Fast gradient sign method: x + eps sign(dL/dx) with the cross-entropy L, clamped to the box (as coded)."""
    check(model, x, y, box)
    return along(x, gradient(model, x, y)[0].sign(), eps, box)


def along(x: Tensor, direction: Tensor, eps: float | Tensor, box: Box) -> Tensor:
    """Images x + eps direction, clamped to the box."""
    return (x + strengths(eps, x) * direction).clamp(*box_like(box, x))


def box_like(box: Box, x: Tensor) -> tuple[Tensor, Tensor]:
    """The sides of a box in the precision of images and on their device."""
    low, high = (torch.as_tensor(side, dtype=x.dtype, device=x.device) for side in box)
    return low, high


@torch.no_grad()
def zero_gradients(model: TwoLayer, x: Tensor, y: Tensor, loss: str = "cross-entropy") -> tuple[int, int]:
    """How many images have a gradient that is exactly zero in every pixel, and how many one that misses the true class.

    The second happens to cross-entropy in float32 when the softmax of the true class rounds to one: its logit then
    pulls no longer. Gradients that are there but small count as neither.
    """
    check(model, x, y)
    zero = saturated = 0
    model = frozen(model)
    for part, labels in zip(x.split(1000), y.split(1000), strict=True):
        slope_here, z = gradient(model, part, labels, loss)
        zero += int((slope_here == 0).all(1).sum())
        saturated += int((z.softmax(1).gather(1, labels[:, None]) == 1).sum()) if loss == "cross-entropy" else 0
    return zero, saturated
