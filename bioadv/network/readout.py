"""Readouts trained to the end: penalised logistic regression on latents, for a whole path of penalties.

The paper trains the readout of its KH model for 1000 epochs of Adam and stops. How far is that from done, and what
would a readout be that is done? On a fixed latent a = ReLU(M x)^n the problem is convex: for a penalty lambda,

    minimise over U, c   mean of cross-entropy(U s(a) + c) + lambda / 2 ||U||^2,

with s the standardisation of each unit to mean 0 and variance 1, so that one lambda means the same for layers of every
scale. Solved by L-BFGS (scipy), from the largest penalty to the smallest, each from the solution of the one before.
Symbols: N images, H hidden units, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import minimize
from torch.nn.functional import cross_entropy

Tensor = torch.Tensor
TOLERANCE = 1e-5  # largest entry of the gradient at which a solution counts as one; the loss is of order 1
LIMIT = 2000  # steps of L-BFGS


@dataclass(frozen=True, eq=False)
class Readout:
    """The solution for one penalty, in the units of the latent itself: z = a V^T + b.

    readout V (C, H), bias (C,); loss: mean cross-entropy without the penalty; gradient: largest entry of the
    gradient of the penalised loss by the standardised parameters, which should be below ``TOLERANCE``; steps of L-BFGS.
    """

    penalty: float
    readout: Tensor = field(repr=False)
    bias: Tensor = field(repr=False)
    loss: float
    gradient: float
    steps: int

    @property
    def converged(self) -> bool:
        """Whether the gradient says that this is the minimum."""
        return self.gradient <= TOLERANCE

    @property
    def norm(self) -> float:
        """Frobenius norm of V."""
        return float(torch.linalg.vector_norm(self.readout.double()))


@torch.no_grad()
def path(a: Tensor, y: Tensor, penalties: Sequence[float], classes: int, limit: int = LIMIT) -> list[Readout]:
    """Readouts on latents a (N, H), labels y (N,), for falling penalties; the gradient of each says whether it is done.

    Products run in the precision of ``a``, the solver in float64. A unit that does not vary gets no weight. Raises
    ``ValueError`` for penalties that are not positive and falling, latents or labels that do not fit, or latents that
    are constant in every unit.
    """
    grid = [float(value) for value in penalties]
    if not grid or not all(np.isfinite(grid)) or min(grid) <= 0 or any(b >= a for a, b in pairwise(grid)):
        raise ValueError(f"penalties = {grid}: give positive numbers, each smaller than the one before")
    if a.ndim != 2 or y.shape != a.shape[:1] or not bool(torch.isfinite(a).all()):
        raise ValueError(f"latents have shape {tuple(a.shape)}, labels {tuple(y.shape)}; give finite (N, H) and (N,)")
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise ValueError(f"labels span {int(y.min())} to {int(y.max())}; give 0 to {classes - 1}, or more classes")
    if limit < 1:
        raise ValueError(f"limit = {limit}; give the largest number of steps, at least 1")
    mean, spread = a.double().mean(0), a.double().std(0)
    varies = spread > 1e-6 * (mean.abs() + spread.max())
    if not bool(varies.any()):
        raise ValueError("latents are constant: no unit varies over the images; give a layer that responds to them")
    s = ((a - mean.to(a)) / spread.to(a))[:, varies]
    shape, found = (classes, s.shape[1] + 1), []
    start = np.zeros(shape[0] * shape[1])
    for penalty in grid:
        solved = minimize(
            _loss,
            start,
            args=(s, y, penalty, shape),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": limit, "maxfun": 2 * limit, "maxcor": 20, "ftol": 0.0, "gtol": TOLERANCE},
        )
        start = solved.x
        loss, gradient = _loss(start, s, y, penalty, shape)
        parameters = torch.from_numpy(start).view(shape)
        readout = torch.zeros(classes, a.shape[1], dtype=torch.float64)
        readout[:, varies] = parameters[:, :-1] / spread[varies]
        loss -= penalty / 2 * float(parameters[:, :-1].square().sum())
        bias = parameters[:, -1] - readout @ mean
        largest = float(np.abs(gradient).max())
        found.append(Readout(penalty, readout.to(a), bias.to(a), loss, largest, int(solved.nit)))
    return found


def _loss(flat: np.ndarray, s: Tensor, y: Tensor, penalty: float, shape: tuple[int, int]) -> tuple[float, np.ndarray]:
    """Penalised loss and its gradient by the standardised weights and bias: p minus one-hot, in closed form."""
    parameters = torch.from_numpy(flat).view(shape)
    weights, bias = parameters[:, :-1], parameters[:, -1]
    z = (s @ weights.T.to(s)).double() + bias
    error = torch.softmax(z, dim=1)
    error[torch.arange(len(y)), y] -= 1
    error /= len(y)
    gradient = torch.cat([(error.T.to(s) @ s).double() + penalty * weights, error.sum(0)[:, None]], dim=1)
    loss = float(cross_entropy(z, y)) + penalty / 2 * float(weights.square().sum())
    return loss, gradient.numpy().ravel()
