"""Training with labels: the whole network by backpropagation, or the readout alone on latents computed once.

Protocol of the paper (authors' code, ``Trainers.py``): cross-entropy, Adam, batches of 1000, 1000 epochs, a learning
rate that depends on the epoch. Evaluation here is always in evaluation mode.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from bioadv.data import checks
from bioadv.data.files import read_checkpoint, write_checkpoint
from bioadv.network import models, products, regularizers
from bioadv.network.graphs import captured
from bioadv.network.models import TwoLayer
from bioadv.network.regularizers import LatentJacobian, LogitJacobian, Penalty, Spectral

Tensor = torch.Tensor
Set = tuple[Tensor, Tensor]
PAPER_EPOCHS = 1000
SCHEDULES = ("constant", "steps", "decaying")


class TrainingDiverged(RuntimeError):  # noqa: N818 (the name says what happened)
    """The loss is no longer finite; the message names the epoch and the last good checkpoint."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: schedule of the learning rate, penalty, epochs, images per step.

    schedule: ``constant`` 1e-3; ``steps``, 1e-3, 5e-4, 2e-4, 1e-4, 1e-5 from epochs 1, 32, 92, 122, 162 on; or
    ``decaying``, 1e-3, from epoch 92 on falling by a factor e every 30 epochs (authors' ``Training_CIFAR10``). With
    another number of epochs than 1000 the schedule is stretched.
    """

    schedule: str = "steps"
    penalty: Penalty | None = None
    epochs: int = PAPER_EPOCHS
    batch: int = 1000

    def __post_init__(self) -> None:
        checks.known("schedule", self.schedule, SCHEDULES)
        if self.penalty is not None and not isinstance(self.penalty, Penalty):
            raise ValueError(f"penalty = {self.penalty!r}; give one of bioadv.network.regularizers, or None")
        checks.whole(epochs=self.epochs, batch=self.batch)
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; give at least 1")


def learning_rate(schedule: str, epoch: int, epochs: int = PAPER_EPOCHS) -> float:
    """Learning rate of epoch 1..epochs. As published, epoch t uses the schedule's value at t - 1.

    >>> [learning_rate("steps", epoch) for epoch in (1, 31, 32)]
    [0.001, 0.001, 0.0005]
    """
    checks.known("schedule", schedule, SCHEDULES)
    t = (epoch - 1) * PAPER_EPOCHS / epochs
    if schedule == "constant":
        return 1e-3
    if schedule == "decaying":
        return 1e-3 if t <= 90 else 1e-3 * math.exp(-(t - 90) / 30)
    for last, rate in ((30, 1e-3), (90, 5e-4), (120, 2e-4), (160, 1e-4)):
        if t <= last:
            return rate
    return 1e-5


# A step of Adam moves no weight further than this times the rate: |m| / sqrt(v) <= (1 - b1) / sqrt((1 - b2)
# (1 - b1^2 / b2)) by the inequality of Cauchy and Schwarz, and the corrections for the start only make it smaller.
LONGEST_STEP = (1 - 0.9) / math.sqrt((1 - 0.999) * (1 - 0.9**2 / 0.999))  # 7.27
REACH = 1e-6  # how far all that is left of a schedule may still move any weight when training ends


def last_epoch(recipe: Recipe, images: int) -> int:
    """The epoch after which the rest of the schedule can move no weight by more than ``REACH``: training ends there.

    For the decaying schedule of 1000 epochs with 50 steps each it is epoch 577; the others never end early.

    >>> last_epoch(Recipe("decaying"), images=50_000)
    577
    """
    steps, left = math.ceil(images / recipe.batch), 0.0
    for epoch in range(recipe.epochs, 1, -1):
        left += LONGEST_STEP * steps * learning_rate(recipe.schedule, epoch, recipe.epochs)
        if left > REACH:
            return epoch
    return 1


@dataclass(frozen=True)
class Fitted:
    """A trained model, its log, and the seconds spent.

    log, one value per epoch (T,): ``loss`` and its parts ``cross_entropy`` and ``penalty``, means over the steps;
    ``train_accuracy`` during the epoch; ``NAME_accuracy`` after it for each set given (NaN where not evaluated);
    ``jacobian``, ||M|| after it, which is ||dh/dx|| up to batch norm, if there is one; ``learning_rate``. And ``ended``
    (), the last epoch that was trained, see :func:`last_epoch`: after it the rate is 0 and all else repeats.
    """

    model: TwoLayer
    log: dict[str, np.ndarray]
    seconds: float


def evaluated(epoch: int, epochs: int) -> bool:
    """Whether accuracy is measured after this epoch: the first twenty, every tenth, and the last."""
    return epoch <= 20 or epoch % 10 == 0 or epoch == epochs


def fit(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    evaluate: Mapping[str, Set] | None = None,
    readout_only: bool = False,
    checkpoint: Path | str | None = None,
    every: int = 10,
    progress: bool = True,
) -> Fitted:
    """Train ``model`` in place on images x (N, D) with labels y (N,), on the device they share.

    The hidden product runs in the precision of ``x`` (float32 or bfloat16); weights and all else stay in float32.
    evaluate: named sets (x, y) whose accuracy is measured, for instance ``{"test": (x_test, y_test)}``.
    readout_only: all x are latents (N, H) after the activation, computed once, and only the readout learns.
    checkpoint: file that keeps the state every ``every`` epochs; if it exists, training goes on from it and ends with
    the same weights as if it had never been interrupted (on the same machine with the same number of threads).

    Raises ``ValueError`` for data or a checkpoint that do not fit, and :class:`TrainingDiverged` when the loss is no
    longer finite; the last good checkpoint is then kept.
    """
    sets = dict(evaluate or {})
    for name, (inputs, labels) in {"x": (x, y), **sets}.items():
        _check(name, model, inputs, labels, readout_only)
    if every < 1:
        raise ValueError(f"every = {every}; give the number of epochs between checkpoints, at least 1")
    optimizer = _optimizer(model, recipe, readout_only)
    _check_batches(model, recipe, len(x))
    names = ("loss", "cross_entropy", "penalty", "train_accuracy", "jacobian", "learning_rate")
    log = {name: np.full(recipe.epochs, np.nan) for name in (*names, *(f"{name}_accuracy" for name in sets))}
    identity: dict[str, Any] = {}
    done, seconds = 0, 0.0
    if checkpoint is not None:
        identity = _identity(model, x, y, recipe, generator, readout_only)
        if Path(checkpoint).exists():
            done, seconds = _resume(Path(checkpoint), identity, model, optimizer, generator, log)
    start, shown = time.perf_counter() - seconds, dict[str, str]()
    step = _step_function(model, optimizer, recipe, readout_only)
    sigma = _covariance(x) if isinstance(recipe.penalty, Spectral) and recipe.penalty.variant == "stated" else None
    last = last_epoch(recipe, len(x))
    bar = tqdm(range(done + 1, last + 1), "fit", last, initial=done, disable=not progress, unit="epoch")
    for epoch in bar:
        _set_rate(optimizer, learning_rate(recipe.schedule, epoch, recipe.epochs))
        model.train()
        order = torch.randperm(len(x), generator=generator, device=generator.device).split(recipe.batch)
        try:
            with models.kept_statistics(model):
                directions = _directions(recipe.penalty, model, x, order[-1], sigma)
        except FloatingPointError as error:
            raise _diverged(str(error), epoch, checkpoint, done) from error
        sums = torch.stack([step(x[chosen], y[chosen], directions) for chosen in order]).sum(0).tolist()
        _record(log, epoch, recipe, model, sums, len(order), len(x))
        if not math.isfinite(log["loss"][epoch - 1] + log["jacobian"][epoch - 1]):
            raise _diverged("the loss is not finite", epoch, checkpoint, done)
        model.eval()
        if evaluated(epoch, last):
            for name, (inputs, labels) in sets.items():
                log[f"{name}_accuracy"][epoch - 1] = accuracy(model, inputs, labels, readout_only)
            shown = {name: f"{log[f'{name}_accuracy'][epoch - 1]:.3f}" for name in sets}
        bar.set_postfix({"loss": f"{log['loss'][epoch - 1]:.3f}", **shown}, refresh=False)
        if checkpoint is not None and (epoch % every == 0 or epoch == last):
            state = {**_state(model, optimizer, log), "generator": generator.get_state()}
            seconds = time.perf_counter() - start
            write_checkpoint(checkpoint, state, epoch=epoch, seconds=seconds, identity=identity)
            done = epoch
    return Fitted(model.eval(), _repeated(log, max(done, last)), time.perf_counter() - start)


def _repeated(log: dict[str, np.ndarray], ended: int) -> dict[str, np.ndarray]:
    """The log of a training that ended after epoch ``ended``, filled up to the last epoch of its schedule."""
    epochs = len(log["loss"])
    skipped = [epoch - 1 for epoch in range(ended + 1, epochs + 1) if not evaluated(epoch, epochs)]
    for name, values in log.items():
        values[ended:] = 0.0 if name == "learning_rate" else values[ended - 1]
        if name.endswith("_accuracy") and name != "train_accuracy":
            values[skipped] = np.nan  # as in any epoch after which it is not measured
    return {**log, "ended": np.array(ended)}


def _diverged(what: str, epoch: int, checkpoint: Path | str | None, done: int) -> TrainingDiverged:
    kept = f"the state after epoch {done} is in {checkpoint}" if checkpoint and done else "no checkpoint was kept"
    return TrainingDiverged(f"{what} in epoch {epoch}; {kept}; lower the rate or the penalty")


@torch.no_grad()
def accuracy(model: TwoLayer, x: Tensor, y: Tensor, readout_only: bool = False, size: int = 1000) -> float:
    """Fraction of right answers on images (N, D), or on latents (N, H) with ``readout_only``."""
    answer = model.logits if readout_only else model
    parts = zip(x.split(size), y.split(size), strict=True)
    return sum(int((answer(inputs).argmax(1) == labels).sum()) for inputs, labels in parts) / len(x)


def _check(name: str, model: TwoLayer, x: Tensor, y: Tensor, readout_only: bool) -> None:
    width = model.hidden.shape[0 if readout_only else 1]
    if x.ndim != 2 or x.shape[1] != width or not len(x):
        what = "latents (N, H)" if readout_only else "images (N, D)"
        raise ValueError(f"{name}: inputs have shape {tuple(x.shape)}; give {what} with {width} columns")
    if y.shape != (len(x),) or int(y.min()) < 0 or int(y.max()) >= len(model.bias):
        raise ValueError(
            f"{name}: labels have shape {tuple(y.shape)} and values {int(y.min())}..{int(y.max())}; "
            f"give one label from 0 to {len(model.bias) - 1} for each of {len(x)} images"
        )


def _check_batches(model: TwoLayer, recipe: Recipe, images: int) -> None:
    """Refuse what has no variance: a last batch of one image; and penalties that do not know of batch norm."""
    if (model.norm is not None or isinstance(recipe.penalty, Spectral)) and images % recipe.batch == 1:
        raise ValueError(
            f"batch = {recipe.batch} leaves one image of {images} for the last batch, which has no variance for batch "
            "norm or a spectral penalty; give another batch, or another number of images"
        )
    if model.norm is not None and isinstance(recipe.penalty, LatentJacobian | LogitJacobian):
        raise ValueError(
            f"penalty = {type(recipe.penalty).__name__} is not defined with batch norm; give a model without it"
        )


def _optimizer(model: TwoLayer, recipe: Recipe, readout_only: bool) -> torch.optim.Adam:
    """Adam; a penalty that is a weight decay is applied inside it, which is exact and costs nothing."""
    hidden, rest = regularizers.decay(recipe.penalty)
    norm = [] if model.norm is None or readout_only else list(model.norm.parameters())
    groups: list[dict[str, Any]] = [{"params": [model.readout, model.bias, *norm], "weight_decay": rest}]
    if not readout_only:
        groups.append({"params": [model.hidden], "weight_decay": hidden})
    on_gpu = model.hidden.is_cuda
    rate = torch.tensor(1e-3, device=model.hidden.device) if on_gpu else 1e-3
    return torch.optim.Adam(groups, lr=rate, fused=True, capturable=on_gpu)


def _set_rate(optimizer: torch.optim.Adam, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)  # in place: a recorded graph reads it from there
        else:
            group["lr"] = rate


def _step_function(model: TwoLayer, optimizer: torch.optim.Adam, recipe: Recipe, readout_only: bool) -> Any:
    """One step (inputs, labels, directions) -> loss, entropy, penalty and number of right answers, (4,) float64."""

    def row_value(rows: Tensor) -> Tensor:
        weights = model.hidden.detach()
        return (rows * torch.linalg.vecdot(weights, weights)).sum() / 2

    def step(inputs: Tensor, labels: Tensor, directions: Tensor | None) -> Tensor:
        rows = None
        if readout_only:
            logits, extra = model.logits(inputs), model.bias.new_zeros(())
        else:
            h = model.before(inputs)
            logits = model.logits(model.activate(h))
            rows = regularizers.row_decay(recipe.penalty, model, h)
            extra = regularizers.penalty(recipe.penalty, model, h, directions) if rows is None else row_value(rows)
        entropy = cross_entropy(logits, labels)
        loss = entropy + extra
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if rows is not None and model.hidden.grad is not None:
            model.hidden.grad.addcmul_(model.hidden.detach(), rows[:, None])
        optimizer.step()
        right = (logits.detach().argmax(1) == labels).sum()
        return torch.stack([value.detach().double() for value in (loss, entropy, extra, right)])

    return captured(step, model, optimizer) if model.hidden.is_cuda else step


def _directions(
    penalty: Penalty | None, model: TwoLayer, x: Tensor, last: Tensor, sigma: Tensor | None
) -> Tensor | None:
    if not isinstance(penalty, Spectral):
        return None
    seen = x[last] if penalty.variant == "logged" else x
    return regularizers.principal_directions(penalty, model, seen, sigma).to(x.dtype)


def _covariance(x: Tensor, size: int = 5000) -> Tensor:
    """Covariance (D, D) of the images, float32 result of a float64 sum over batches."""
    mean = x.double().mean(0) if len(x) < size else sum(part.double().sum(0) for part in x.split(size)) / len(x)
    moments = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for part in x.split(size):
        centred = part.double() - mean
        moments += products.outer(centred, centred)
    return (moments / (len(x) - 1)).float()


def _record(
    log: dict[str, np.ndarray], epoch: int, recipe: Recipe, model: TwoLayer, sums: list[float], steps: int, images: int
) -> None:
    loss, entropy, extra, right = sums
    decayed = regularizers.decay_value(recipe.penalty, model)
    rate = learning_rate(recipe.schedule, epoch, recipe.epochs)
    jacobian = float(torch.linalg.vector_norm(model.hidden.detach()))
    values = (loss / steps + decayed, entropy / steps, extra / steps + decayed, right / images, jacobian, rate)
    names = ("loss", "cross_entropy", "penalty", "train_accuracy", "jacobian", "learning_rate")
    for name, value in zip(names, values, strict=True):
        log[name][epoch - 1] = value


def _identity(
    model: TwoLayer, x: Tensor, y: Tensor, recipe: Recipe, generator: torch.Generator, readout_only: bool
) -> dict[str, Any]:
    """What must agree between a checkpoint and the run that goes on from it."""
    data = hashlib.sha256(x.cpu().view(torch.uint8).numpy().data)
    data.update(y.cpu().numpy().data)
    return {
        "dtype": str(x.dtype),  # first: it changes the images' hash as well
        "data": data.hexdigest(),
        "seed": generator.initial_seed(),
        "shape": [*model.hidden.shape, len(model.bias)],
        "power": model.power,
        "batch_norm": model.norm is not None,
        "readout_only": readout_only,
        "penalty_kind": type(recipe.penalty).__name__,
        **asdict(recipe),
    }


def _state(model: TwoLayer, optimizer: torch.optim.Adam, log: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """All that the next epoch depends on beside the generator, and the log, as named tensors."""
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        state |= {f"adam.{index}.{name}": value for name, value in moments.items()}
    return state | {f"log.{name}": torch.from_numpy(values) for name, values in log.items()}


def _resume(
    path: Path,
    identity: dict[str, Any],
    model: TwoLayer,
    optimizer: torch.optim.Adam,
    generator: torch.Generator,
    log: dict[str, np.ndarray],
) -> tuple[int, float]:
    """Restore everything in place; return the epochs done and the seconds they took."""
    like = {**_state(model, optimizer, log), **_moments(optimizer)}
    tensors, done, seconds = read_checkpoint(path, "training", identity, like, len(log["loss"]), generator)
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".", 2)
            moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    for name, values in log.items():
        values[:] = tensors[f"log.{name}"].numpy()
    return done, seconds


def _moments(optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """What Adam keeps of each parameter after its first step, by the names of :func:`_state`; values do not count."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {
        f"adam.{index}.{name}": torch.zeros(()) if name == "step" else parameter
        for index, parameter in enumerate(parameters)
        for name in ("step", "exp_avg", "exp_avg_sq")
    }
