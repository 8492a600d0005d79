"""The Krotov-Hopfield rule: hidden units compete for each image, and only two of them learn from it.

Symbols: B images per batch, D inputs, H hidden units. The synapses are W (H, D), one row per unit, so that the rows
that change lie together in memory. What a unit multiplies its input with is its *metric* ``M = W |W|^(p-2)``; its
responses are ``h = x M^T`` (B, H).

The paper trains H = 2000 units for 1000 epochs with Delta = 0.4 (its section on local learning; values read from the
authors' code ``llearn_CIFAR.py`` and ``llearn_MNIST.py`` at e1b82cd).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.nn.functional import embedding_bag
from tqdm import tqdm

from bioadv.data import checkpoints, checks
from bioadv.network import products
from bioadv.network.states import Keeping

Tensor = torch.Tensor
SMALLEST_MAXIMUM = 1e-9  # the guard of the authors' code against division by zero in the normalised step
PAPER_POWER = 4.5  # q of ReLU^q behind the layer in the paper's KH model


@dataclass(frozen=True)
class KHParams:
    """Parameters of the rule; the defaults are the paper's for CIFAR-10. All are dimensionless.

    hidden: units H; p: order of the norm that each unit's synapses converge to; k: rank that is inhibited, >= 2;
    delta: strength of that inhibition; radius: R, the norm converged to; rate: first learning rate epsilon_0, the
    largest change of any synapse in one step; epochs, batch: passes over the images, images per step;
    init_mean, init_std: of the Gaussian initial synapses.
    """

    hidden: int = 2000
    p: float = 3.0
    k: int = 2
    delta: float = 0.4
    radius: float = 1.0
    rate: float = 0.02
    epochs: int = 1000
    batch: int = 1000
    init_mean: float = 0.0
    init_std: float = 1.0

    def __post_init__(self) -> None:
        values = asdict(self)
        counts = {name: values.pop(name) for name in ("hidden", "k", "epochs", "batch")}
        checks.whole(**counts)
        checks.finite(**values)
        ranges = {
            "hidden": (self.hidden >= 2, "at least 2 units are needed to compete"),
            "p": (self.p >= 1, "it is the order of a norm; give p >= 1"),
            "k": (2 <= self.k <= self.hidden, f"give a rank from 2 to hidden = {self.hidden}"),
            "delta": (self.delta >= 0, "give a strength >= 0"),
            "radius": (self.radius > 0, "give a radius > 0"),
            "rate": (self.rate > 0, "give a learning rate > 0"),
            "epochs": (self.epochs >= 2, "the last epoch has rate 0 and changes nothing; give at least 2"),
            "batch": (self.batch >= 1, "give at least 1"),
            "init_std": (self.init_std > 0, "give a standard deviation > 0"),
        }
        for name, (good, remedy) in ranges.items():
            if not good:
                raise ValueError(f"{name} = {getattr(self, name)}: {remedy}")


PAPER_CIFAR10 = KHParams()
PAPER_MNIST = KHParams(k=7, rate=0.04, batch=100)
# For the live cells. At this small size the paper's delta = 0.4 lets one unit win everything; 0.2 keeps the layer
# alive. 10,000 steps, more on CIFAR-10, whose norms are slower to converge.
LIVE = {
    "photo-patches": KHParams(hidden=100, delta=0.2, batch=100, epochs=200),
    "cifar10": KHParams(hidden=100, delta=0.2, batch=100, epochs=40),
    "mnist": KHParams(hidden=100, delta=0.2, batch=100, epochs=17),
}
ANY = KHParams(hidden=100, delta=0.1, batch=100)  # of other images: grey photographs die at 0.2
LIVE_STEPS = 10_000
LIVE_WORK = 3.1e9  # pixels seen in all, those of 10,000 batches of 32 x 32 x 3 images: a minute


def live_params(name: str, images: int, inputs: int = 3072) -> KHParams:
    """Parameters that train a small layer within minutes on the dataset ``name`` of that many training images.

    inputs: pixels of an image. Epochs are as many as ``LIVE_STEPS`` and ``LIVE_WORK`` allow, at least the two that
    the rule needs; for less work still, give fewer or smaller images.
    """
    if name in LIVE:
        return LIVE[name]
    steps = -(-images // ANY.batch)
    return replace(ANY, epochs=max(2, int(min(LIVE_STEPS / steps, LIVE_WORK / (images * inputs)))))


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
class Health:
    """Whether a layer is alive. Norm convergence alone proves nothing: a layer with one winner converges too.

    norms (H,): ||w_j||_p; wins (H,): images of the set on which the unit ranks first; alive (H,) bool: the response is
    positive on at least one image, so a ReLU passes something on; mean_weight (H,).
    """

    norms: np.ndarray
    wins: np.ndarray
    alive: np.ndarray
    mean_weight: np.ndarray
    radius: float

    @property
    def converged(self) -> float:
        """Fraction of units with | ||w_j||_p - R | <= 0.01, the authors' tolerance (they accept above 0.9)."""
        return float((np.abs(self.norms - self.radius) <= 1e-2).mean())

    @property
    def live(self) -> float:
        """Fraction of units that respond to at least one image."""
        return float(self.alive.mean())

    @property
    def winning(self) -> float:
        """Fraction of units that win at least one image."""
        return float((self.wins > 0).mean())


def health(w: Tensor, x: Tensor, params: KHParams, batch: int = 1000) -> Health:
    """Norms, winners and dead units of a layer w (H, D) on images x (N, D)."""
    m = metric(w, params.p)
    wins = torch.zeros(len(w), dtype=torch.int64, device=w.device)
    highest = torch.full((len(w),), -torch.inf, dtype=w.dtype, device=w.device)
    for part in x.split(batch):
        h = responses(part.to(w), m)
        wins += torch.bincount(h.argmax(1), minlength=len(w))
        highest = torch.maximum(highest, h.amax(0))
    norms = torch.linalg.vector_norm(w, params.p, dim=1)
    return Health(
        norms=norms.numpy(force=True),
        wins=wins.numpy(force=True),
        alive=(highest > 0).numpy(force=True),
        mean_weight=w.mean(1).numpy(force=True),
        radius=params.radius,
    )


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
    array, or a state of other parameters, images, seed or device.
    """
    checks.floating(x=x)
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
