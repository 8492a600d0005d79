"""Readouts trained to the end: penalised logistic regression on latents, for a whole path of penalties.

The paper trains the readout of its KH model for 1000 epochs of Adam and stops. How far is that from done, and what
would a readout be that is done? On a fixed latent a = ReLU(M x)^q the problem is convex: for a penalty lambda,

    minimise over U, c   mean of cross-entropy(U s(a) + c) + lambda / 2 ||U||^2,

with s the standardisation of each unit to mean 0 and variance 1, so that one lambda means the same for layers of every
scale, and rows of another length give the same network. Solved by L-BFGS (scipy), from the largest penalty to the
smallest, each from the solution of the one before. Units of image-like rows are nearly copies of each other, on which
L-BFGS alone takes thousands of steps. So it works in coordinates in which the loss curves alike in all directions where
the logits are 0: there its Hessian is S^T S / (N C) + lambda, up to the one direction that moves all classes alike.
Symbols: N images, H hidden units, C classes, S (N, H) standardised latents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import OptimizeResult, minimize
from torch.nn.functional import cross_entropy, linear

from bioadv.data import checks
from bioadv.network import products

Tensor = torch.Tensor
TOLERANCE = 1e-5  # largest entry of the gradient at which a solution counts as one; the loss is of order 1
LIMIT = 2000  # steps of L-BFGS
RIDGES = 40  # tried, each ten times the one before
RATE = 1e-3  # of Adam, the paper's


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


def adam(
    start: tuple[Tensor, Tensor], a: Tensor, y: Tensor, epochs: Sequence[int], batch: int, generator: torch.Generator
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Epoch, readout (C, H) and bias (C,) along the paper's training: Adam at 1e-3, cross-entropy, no penalty.

    start: readout and bias before it; a (N, H) latents; epochs: rising, where to stop by. The same steps as
    :func:`bioadv.network.training.fit` with the constant schedule takes. Raises ``ValueError``
    for other epochs, and for latents or labels that do not fit, before the first step.
    """
    stops = list(epochs)
    checks.whole(**{f"epochs[{i}]": stop for i, stop in enumerate(stops)})
    checks.generator(generator)
    if not stops or stops[0] < 1 or any(b <= a for a, b in pairwise(stops)):
        raise ValueError(f"epochs = {stops}; give whole numbers from 1 on, each larger than the one before")
    _check(a, y, len(start[1]))
    return _adam(start, a, y, stops, batch, generator)


def _adam(
    start: tuple[Tensor, Tensor], a: Tensor, y: Tensor, stops: list[int], batch: int, generator: torch.Generator
) -> Iterator[tuple[int, Tensor, Tensor]]:
    readout, bias = (part.detach().clone().requires_grad_() for part in start)
    optimizer = torch.optim.Adam([readout, bias], lr=RATE, fused=True)
    for epoch in range(1, stops[-1] + 1):
        for chosen in torch.randperm(len(a), generator=generator).split(batch):
            optimizer.zero_grad(set_to_none=True)
            with torch.enable_grad():
                cross_entropy(linear(a[chosen], readout, bias), y[chosen]).backward()
            optimizer.step()
        if epoch in stops:
            yield epoch, readout.detach().clone(), bias.detach().clone()


@torch.no_grad()
def path(a: Tensor, y: Tensor, penalties: Sequence[float], classes: int, limit: int = LIMIT) -> list[Readout]:
    """Readouts on latents a (N, H), labels y (N,), for falling penalties; the gradient of each says whether it is done.

    Products run in the precision of ``a``, the solver in float64. A unit that does not vary, or so little that this
    precision has no number for it, gets no weight. Raises ``ValueError`` for penalties that are not positive and
    falling, latents or labels that do not fit, or latents that are constant in every unit.
    """
    grid = [float(value) for value in penalties]
    if not grid or not all(np.isfinite(grid)) or min(grid) <= 0 or any(b >= a for a, b in pairwise(grid)):
        raise ValueError(f"penalties = {grid}: give positive numbers, each smaller than the one before")
    _check(a, y, classes)
    if limit < 1:
        raise ValueError(f"limit = {limit}; give the largest number of steps, at least 1")
    mean, spread = a.double().mean(0), a.double().std(0)
    varies = (spread > 1e-6 * mean.abs()) & (spread.to(a) > torch.finfo(a.dtype).tiny)
    if not bool(varies.any()):
        raise ValueError("latents are constant: no unit varies over the images; give a layer that responds to them")
    s = ((a - mean.to(a)) / spread.to(a))[:, varies]
    curved = products.outer(s, s).double() / (len(s) * classes)
    parameters, found = torch.zeros(classes, s.shape[1] + 1, dtype=torch.float64), []
    for penalty in grid:
        parameters, loss, largest, steps = _solve(parameters, s, y, penalty, curved, limit)
        readout = torch.zeros(classes, a.shape[1], dtype=torch.float64)
        readout[:, varies] = parameters[:, :-1] / spread[varies]
        loss -= penalty / 2 * float(parameters[:, :-1].square().sum())
        bias = parameters[:, -1] - readout @ mean
        found.append(Readout(penalty, readout.to(a), bias.to(a), loss, largest, steps))
    return found


def _check(a: Tensor, y: Tensor, classes: int) -> None:
    checks.floating(latents=a)
    if a.ndim != 2 or not len(a) or y.shape != a.shape[:1] or not bool(torch.isfinite(a).all()):
        raise ValueError(f"latents have shape {tuple(a.shape)}, labels {tuple(y.shape)}; give finite (N, H) and (N,)")
    if y.dtype != torch.int64:
        raise ValueError(f"labels have dtype {y.dtype}; give int64")
    if int(y.min()) < 0 or int(y.max()) >= classes:
        raise ValueError(f"labels span {int(y.min())} to {int(y.max())}; give 0 to {classes - 1}, or more classes")


def _solve(
    start: Tensor, s: Tensor, y: Tensor, penalty: float, curved: Tensor, limit: int
) -> tuple[Tensor, float, float, int]:
    """Weights and bias (C, H + 1), penalised loss, largest entry of its gradient, steps; from ``start``.

    curved: S^T S / (N C). The solver sees P with weights = P L^-1, L L^T = curved + penalty.
    """
    shape, last = (start.shape[0], start.shape[1]), dict[str, float]()
    root = _root(curved, penalty)
    flat = torch.cat([start[:, :-1] @ root, start[:, -1:] * shape[0] ** -0.5], dim=1)

    def plain(p: np.ndarray) -> Tensor:
        there = torch.from_numpy(p).view(shape)
        weights = torch.linalg.solve_triangular(root.T, there[:, :-1].T, upper=True).T
        return torch.cat([weights, there[:, -1:] * shape[0] ** 0.5], dim=1)

    def objective(p: np.ndarray) -> tuple[float, np.ndarray]:
        loss, gradient = _loss(plain(p).numpy().ravel(), s, y, penalty, shape)
        last["gradient"] = float(np.abs(gradient).max())
        by_weight = torch.from_numpy(gradient).view(shape)
        pulled = torch.linalg.solve_triangular(root, by_weight[:, :-1].T, upper=False).T
        return loss, torch.cat([pulled, by_weight[:, -1:] * shape[0] ** 0.5], dim=1).numpy().ravel()

    def done(intermediate_result: OptimizeResult) -> None:
        if last["gradient"] <= TOLERANCE:  # of the parameters themselves, not of what the solver sees
            raise StopIteration

    options = {"maxiter": limit, "maxfun": 2 * limit, "maxcor": 20, "ftol": 0.0, "gtol": 0.0}
    solved = minimize(objective, flat.numpy().ravel(), jac=True, method="L-BFGS-B", callback=done, options=options)
    loss, _ = objective(solved.x)
    return plain(solved.x), loss, last["gradient"], int(solved.nit)


def _root(curved: Tensor, penalty: float) -> Tensor:
    """Cholesky factor of curved + ridge, with the smallest ridge, from the penalty on by tens, that rounding allows.

    Products in single precision can leave latents that hardly differ with a negative eigenvalue. The factor is only the
    unit in which the solver steps, so that the solution is the same with any of them. ``FloatingPointError`` if none
    does, which takes a NaN.
    """
    ridge = penalty
    for _ in range(RIDGES):
        root, failed = torch.linalg.cholesky_ex(curved + ridge * torch.eye(len(curved), dtype=torch.float64))
        if not int(failed):
            return root
        ridge = max(10 * ridge, 1e-12)
    raise FloatingPointError(f"no ridge up to {ridge:g} makes the latents' second moments positive; check the latents")


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
