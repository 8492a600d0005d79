"""In which directions networks are attacked: gradients of the margin among the principal components of the images.

Symbols: S (D, D) covariance of the images, with variances lambda_n and components e_n; g (D,) the gradient of an
image's margin m, right logit less the largest wrong one. Of its squared length the share ``(g . e_n)^2 / |g|^2`` lies
on component n. How far images differ along g is the standard deviation ``sigma = sqrt(g^T S g) / |g|``, whose square
is the sum over n of share_n lambda_n.

To first order the decision changes at a distance of ``m / |g| = zeta sigma``, with ``zeta = m / sqrt(g^T S g)``: how
many standard deviations of the images along g the image is away from the boundary, times how long one is.
"""

from __future__ import annotations

import torch

from bioadv.data.moments import Moments
from bioadv.measure.alignment import Components

Tensor = torch.Tensor


@torch.no_grad()
def deviation(directions: Tensor, images: Moments) -> Tensor:
    """Standard deviation of the images along each direction, (N,) float64; NaN for a direction of length 0.

    directions (N, D). Raises ``ValueError`` for another number of inputs D than the images have.
    """
    g = _checked(directions, len(images.covariance))
    return (torch.einsum("nd,nd->n", g @ images.covariance.double(), g).clamp_min(0) / g.square().sum(1)).sqrt()


@torch.no_grad()
def shares(directions: Tensor, known: Components) -> Tensor:
    """Share of each direction's squared length on each principal component, (N, D) float64, rows of sum 1.

    directions (N, D). Raises ``ValueError`` for another number of inputs D than the components have.
    """
    g = _checked(directions, len(known.vectors))
    return (g @ known.vectors.double()).square() / g.square().sum(1, keepdim=True)


@torch.no_grad()
def of_layer(weights: Tensor, images: Moments) -> float:
    """The deviation that gradients would have if all units had an equal part in them, with signs at random.

    weights M (H, D): the root of tr(M S M^T) / tr(M M^T), which is the mean of the squared deviation along the rows,
    weighted by their squared lengths. For isotropic rows it is the root of tr S / D, the least that a layer can have
    without avoiding what images differ in; for rows that are images, of tr S^2 / tr S. ``ValueError`` for weights that
    are zero, or of another number of inputs.
    """
    m = _checked(weights, len(images.covariance))
    if not bool(m.any()):
        raise ValueError("weights are all zero; give those of a trained or initialised layer")
    return float((torch.einsum("hd,hd->", m @ images.covariance.double(), m) / m.square().sum()).sqrt())


def _checked(rows: Tensor, inputs: int) -> Tensor:
    if rows.ndim != 2 or rows.shape[1] != inputs:
        raise ValueError(f"rows have shape {tuple(rows.shape)}; give one of {inputs} inputs for each image or unit")
    if not bool(torch.isfinite(rows).all()):
        raise ValueError("rows are NaN or infinite; give finite ones")
    return rows.detach().double()
