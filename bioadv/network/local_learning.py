"""The Krotov-Hopfield rule: hidden units compete for each image, and only two of them learn from it.

Symbols: B images per batch, D inputs, H hidden units. The synapses are W (H, D), one row per unit, so that the rows
that change lie together in memory. What a unit multiplies its input with is its *metric* ``M = W |W|^(p-2)``; its
responses are ``h = x M^T`` (B, H).

The paper trains H = 2000 units for 1000 epochs with Delta = 0.4 (its section on local learning), see
:mod:`bioadv.network.kh_params`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import embedding_bag
from tqdm import tqdm

from bioadv.data import checkpoints, checks
from bioadv.network import products
from bioadv.network.kh_params import KHParams
from bioadv.network.states import Keeping

Tensor = torch.Tensor
SMALLEST_MAXIMUM = 1e-9  # the guard of the authors' code against division by zero in the normalised step


def init(params: KHParams, inputs: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """Gaussian initial synapses (H, D); the paper takes mean 0 and standard deviation 1."""
    w = torch.randn(params.hidden, inputs, generator=generator, dtype=dtype, device=generator.device)
    return w.mul_(params.init_std).add_(params.init_mean)


def metric(w: Tensor, p: float) -> Tensor:
    """``M = W |W|^(p-2)``, elementwise: what a unit multiplies its input with. Shape of ``w``.

    >>> metric(torch.tensor([3.0, -2.0]), p=3)
    tensor([ 9., -4.])
    """
    if p == 2:
        return w.clone()
    if p < 2:
        return w.sign() * w.abs().pow(p - 1)  # the other form would divide by zero where a synapse is
    return w * w.abs() if p == 3 else w * w.abs().pow(p - 2)


def synapses_of(m: Tensor, p: float) -> Tensor:
    """The synapses W whose :func:`metric` is M, for p > 1. Shape of ``m``.

    >>> synapses_of(torch.tensor([9.0, -4.0]), p=3)
    tensor([ 3., -2.])
    """
    return m.sign() * m.abs() ** (1 / (p - 1))


def responses(x: Tensor, m: Tensor) -> Tensor:
    """``x M^T`` (B, H) of images x (B, D) and a metric m (H, D), in the precision of the metric."""
    return products.product(x.to(m.dtype), m)


def learning_rate(params: KHParams, epoch: int) -> float:
    """epsilon_t = epsilon_0 (1 - t / T) in epoch t = 1..T, as coded: the first is below epsilon_0, the last 0."""
    return params.rate * (1 - epoch / params.epochs)


def step_plain(w: Tensor, x: Tensor, params: KHParams, rate: float) -> Tensor:
    """One step by the definition, with a full sort and dense matrices: slow, and the reference for :func:`step`.

    w (H, D), x (B, D); returns the new synapses (H, D).
    """
    h = x @ metric(w, params.p).T  # (B, H)
    ranking = h.argsort(dim=1, descending=True)
    g = torch.zeros_like(h)
    g.scatter_(1, ranking[:, :1], 1.0)  # the winner learns,
    g.scatter_(1, ranking[:, params.k - 1 : params.k], -params.delta)  # the unit of rank k unlearns
    change = params.radius**params.p * (g.T @ x) - (g * h).sum(0)[:, None] * w
    return w + rate * change / change.abs().max().clamp_min(SMALLEST_MAXIMUM)


class Screen(Protocol):
    """Another way to the leaders of a metric m (H, D) that it was made for, see :mod:`bioadv.network.screening`."""

    def leaders(self, x: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The k largest responses to images x (B, D), largest first, and their units; both (B, k)."""
        ...

    def changed(self, rows: Tensor) -> None:
        """Take note that these rows (U,) of the metric have changed."""
        ...


def step(w: Tensor, m: Tensor, x: Tensor, params: KHParams, rate: float, screen: Screen | None = None) -> Tensor:
    """One step in place: the same numbers as :func:`step_plain` with one matrix product instead of two.

    g has two nonzeros per image, so only the rows of winners and of rank-k units change, and g^T x is a weighted sum
    of a few images per changed row. w (H, D) and its metric m (H, D) are both updated; x (B, D); screen: of m, finds
    the leaders without the whole product. Returns the winner of each image, (B,) int64.
    """
    response, unit = responses(x, m).topk(params.k, dim=1) if screen is None else screen.leaders(x, params.k)
    response, unit = response[:, [0, -1]], unit[:, [0, -1]]  # (B, 2): the winner and rank k
    g = response.new_tensor([1.0, -params.delta]).expand_as(response)
    rows, place = unit.flatten().unique(return_inverse=True)  # the U <= 2B rows that change
    order = place.argsort(stable=True)  # entries of one row together, images in order
    ends = torch.bincount(place, minlength=len(rows)).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    drive = embedding_bag(  # (U, D): sum of g times image over the entries of each row
        order // 2, x, starts, mode="sum", per_sample_weights=g.flatten()[order]
    )
    decay = torch.zeros_like(drive[:, 0]).index_add_(0, place, (g * response).flatten())
    old = w[rows]
    change = drive.mul_(params.radius**params.p).addcmul_(decay[:, None], old, value=-1)
    low, high = change.aminmax()
    largest = torch.maximum(-low, high).clamp_min(SMALLEST_MAXIMUM)
    new = old.addcmul_(change, rate / largest)
    w[rows], m[rows] = new, metric(new, params.p)
    if screen is not None:
        screen.changed(rows)
    return unit[:, 0]


@dataclass(frozen=True)
class Trained:
    """A trained layer: synapses (H, D) on the CPU, seconds spent, and per epoch (T,) what happened.

    history: ``rate``; ``converged``, fraction of units at norm R; ``winning``, fraction of units that won in the epoch;
    ``norm``, mean ||w||_p.
    """

    synapses: Tensor
    params: KHParams
    history: dict[str, np.ndarray]
    seconds: float


HISTORY = ("rate", "converged", "winning", "norm")


def train(
    x: Tensor,
    params: KHParams,
    generator: torch.Generator,
    *,
    screen: Callable[[Tensor, Tensor], Screen] | None = None,
    keeping: Keeping | None = None,
    progress: bool = True,
) -> Trained:
    """Train a layer on images x (N, D), unit-norm rows, on the device that x and the generator share.

    screen: :class:`bioadv.network.screening.Screen`, to find the leaders by it; None for the whole product.
    keeping: where the state is kept, if anywhere; from one that is there already training goes on, and ends with the
    same weights as if it had never been interrupted (on the same processor with the same number of threads; on CUDA,
    where sums have no fixed order, up to rounding). Raises ``ValueError`` for images that are not a finite (N, D)
    array, or a state of other parameters, images, seed or device; ``FloatingPointError`` when synapses leave the
    floating-point numbers, and the last good state is kept.
    """
    checks.floating(x=x)
    checks.instance(KHParams, "bioadv.network.kh_params.KHParams(...)", params=params)
    if keeping is not None:
        checks.instance(Keeping, "Keeping(path, every)", keeping=keeping)
    checks.generator(generator)
    if x.ndim != 2 or not len(x) or not torch.isfinite(x).all():
        raise ValueError(f"x has shape {tuple(x.shape)} or holds NaN; give finite images as rows, (N, D), from unit_lp")
    x, keeping = x.detach(), keeping or Keeping()
    identity = {} if keeping.path is None else _identity(x, params, generator)
    if keeping.path is not None:
        identity["screened"] = None if screen is None else True
    done, seconds, history = 0, 0.0, {name: np.zeros(params.epochs) for name in HISTORY}
    if keeping.path is not None and Path(keeping.path).exists():
        like = {"synapses": x.new_empty(params.hidden, x.shape[1]), **_as_tensors(history)}
        known = identity, like, params.epochs, generator
        state, done, seconds = checkpoints.read(keeping.path, "local learning", *known)
        w = state["synapses"].to(x)
        for name in HISTORY:
            history[name][:] = state[name].numpy()
    else:
        w = init(params, x.shape[1], generator, x.dtype)
    start = time.perf_counter() - seconds
    epochs = range(done + 1, params.epochs + 1)
    bar = tqdm(epochs, "kh", params.epochs, initial=done, disable=not progress, unit="epoch")
    for epoch in bar:
        won = _epoch(w, x, params, learning_rate(params, epoch), generator, screen)
        norms = torch.linalg.vector_norm(w, params.p, dim=1)
        if not bool(norms.isfinite().all()):
            raise FloatingPointError(f"the synapses are not finite in epoch {epoch}; lower rate, p, radius or init_std")
        converged = ((norms - params.radius).abs() <= 1e-2).float().mean()
        values = (learning_rate(params, epoch), converged, won.float().mean(), norms.mean())
        for name, value in zip(HISTORY, values, strict=True):
            history[name][epoch - 1] = float(value)
        bar.set_postfix(converged=f"{float(converged):.3f}", winning=f"{float(values[2]):.3f}", refresh=False)
        if keeping.path is not None and keeping.due(epoch, params.epochs):
            state = {"synapses": w, "generator": generator.get_state(), **_as_tensors(history)}
            seconds = time.perf_counter() - start
            checkpoints.write(keeping.path, state, epoch=epoch, seconds=seconds, identity=identity)
    return Trained(w.cpu(), params, history, time.perf_counter() - start)


def _epoch(
    w: Tensor,
    x: Tensor,
    params: KHParams,
    rate: float,
    generator: torch.Generator,
    screen: Callable[[Tensor, Tensor], Screen] | None = None,
) -> Tensor:
    """One pass over the images in random order; returns which units won at least once, (H,) bool."""
    m = metric(w, params.p)  # anew each epoch, so that a resumed run starts from the same bits
    won = torch.zeros(len(w), dtype=torch.bool, device=w.device)
    order = torch.randperm(len(x), generator=generator, device=generator.device).split(params.batch)
    by = None if screen is None else screen(m, x[order[0]])
    for chosen in order:
        won[step(w, m, x[chosen], params, rate, by)] = True
    return won


def _identity(x: Tensor, params: KHParams, generator: torch.Generator) -> dict[str, object]:
    """What must agree between a checkpoint and the run that goes on from it."""
    return {
        "images": hashlib.sha256(x.cpu().contiguous().numpy().data).hexdigest(),
        "seed": generator.initial_seed(),
        **asdict(params),
        checkpoints.BEGUN: checkpoints.begun(generator, {}),
    }


def _as_tensors(history: dict[str, np.ndarray]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in history.items()}
