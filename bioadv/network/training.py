"""Training with labels: the whole network by backpropagation, or the readout alone on latents computed once.

Protocol of the paper (authors' code, ``Trainers.py``): cross-entropy, Adam, batches of 1000, 1000 epochs, a learning
rate that depends on the epoch. Evaluation here is always in evaluation mode.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm

from bioadv.data import checks
from bioadv.network import idle, models, regularizers, states
from bioadv.network.graphs import captured
from bioadv.network.models import TwoLayer
from bioadv.network.regularizers import NoPenalty, Penalty
from bioadv.network.states import Keeping

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
        if self.penalty is not None and not (isinstance(self.penalty, Penalty) and is_dataclass(self.penalty)):
            raise ValueError(
                f"penalty = {self.penalty!r}; give one of bioadv.network.regularizers, a frozen dataclass of your own "
                "that is a Penalty, or None"
            )
        checks.whole(epochs=self.epochs, batch=self.batch)
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} = {getattr(self, name)}; give at least 1")

    @property
    def term(self) -> Penalty:
        """The penalty, or the one that does nothing."""
        return self.penalty or NoPenalty()

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, see :func:`learning_rate`."""
        return learning_rate(self.schedule, epoch, self.epochs)


def learning_rate(schedule: str, epoch: int, epochs: int = PAPER_EPOCHS) -> float:
    """Learning rate of epoch 1..epochs. As coded, epoch t uses the schedule's value at t - 1.

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
        left += LONGEST_STEP * steps * recipe.rate(epoch)
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


PARTS = ("loss", "cross_entropy", "penalty", "train_accuracy", "jacobian", "learning_rate")


def fit(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    *,
    evaluate: Mapping[str, Set] | None = None,
    readout_only: bool = False,
    keeping: Keeping | None = None,
    progress: bool = True,
) -> Fitted:
    """Train ``model`` in place on images x (N, D) with labels y (N,), on the device they share.

    The hidden product runs in the precision of ``x`` (float32 or bfloat16); weights and all else stay in float32.
    evaluate: named sets (x, y) whose accuracy is measured, for instance ``{"test": (x_test, y_test)}``.
    readout_only: all x are latents (N, H) after the activation, computed once, and only the readout learns.
    keeping: where the state is kept, if anywhere; from one that is there already training goes on, and ends with the
    same weights as if it had never been interrupted (on the same machine with the same number of threads).

    Raises ``ValueError`` for data or a state that do not fit, and :class:`TrainingDiverged` when the loss is no longer
    finite; the last good state is then kept.
    """
    checks.generator(generator)
    sets, keeping = dict(evaluate or {}), keeping or Keeping()
    if isinstance(model, models.Frozen):
        raise ValueError("model is frozen and cannot learn; give the model that it was made from")
    if readout_only and not recipe.term.is_decay:
        raise ValueError(
            f"penalty = {type(recipe.penalty).__name__} looks at the hidden weights, and the readout alone learns; "
            "give one that is a weight decay, or None"
        )
    if taken := {"x", "train"} & sets.keys():
        raise ValueError(f"evaluate has {taken.pop()!r}, which is what the training images go by; give another name")
    for name, (inputs, labels) in {"x": (x, y), **sets}.items():
        _check(name, model, inputs, labels, readout_only)
        if not bool(torch.isfinite(inputs).all()):
            raise ValueError(f"{name}: inputs are NaN or infinite; give finite ones, and look at what made them")
    _check_batches(model, recipe, len(x))
    optimizer = _optimizer(model, recipe, readout_only)
    log = {name: np.full(recipe.epochs, np.nan) for name in (*PARTS, *(f"{name}_accuracy" for name in sets))}
    state = states.State(model, optimizer, generator, log)
    identity = states.identity(model, x, y, generator, readout_only, recipe) if keeping.path else {}
    done, seconds = state.restore(keeping.path, identity)
    start, shown = time.perf_counter() - seconds, dict[str, str]()
    whole, known = _step_function(model, optimizer, recipe, readout_only), recipe.term.once(x)
    step = functools.partial(_lighter, whole, model, optimizer, recipe, readout_only)
    last = last_epoch(recipe, len(x))
    bar = tqdm(range(done + 1, last + 1), "fit", last, initial=done, disable=not progress, unit="epoch")
    for epoch in bar:
        _set_rate(optimizer, recipe.rate(epoch))
        try:
            values = _epoch(model, x, y, recipe, generator, step, known)
            for name, (inputs, labels) in sets.items() if evaluated(epoch, last) else ():
                log[f"{name}_accuracy"][epoch - 1] = accuracy(model, inputs, labels, readout_only)
        except FloatingPointError as error:
            raise _diverged(f"{error} in epoch {epoch}", keeping, done) from error
        for name, value in zip(PARTS, (*values, recipe.rate(epoch)), strict=True):
            log[name][epoch - 1] = value
        if evaluated(epoch, last):
            shown = {name: f"{log[f'{name}_accuracy'][epoch - 1]:.3f}" for name in sets}
        bar.set_postfix({"loss": f"{log['loss'][epoch - 1]:.3f}", **shown}, refresh=False)
        if keeping.due(epoch, last):
            state.write(keeping.path, identity, epoch, time.perf_counter() - start)
            done = epoch
    optimizer.zero_grad(set_to_none=True)
    return Fitted(model.eval(), _repeated(log, max(done, last)), time.perf_counter() - start)


def _epoch(
    model: TwoLayer,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
    step: Callable[[], contextlib.AbstractContextManager[Any]],
    known: Tensor | None,
) -> tuple[float, ...]:
    """One pass over the images in random order; what the log has of it, but for the learning rate.

    Raises ``FloatingPointError`` when the loss, or what a penalty computes before, is not finite.
    """
    model.train()
    order = torch.randperm(len(x), generator=generator, device=generator.device).split(recipe.batch)
    with models.kept_statistics(model):
        directions = recipe.term.each_epoch(model, x, order[-1], known)
    with step() as light:
        sums = torch.stack([light(x[chosen], y[chosen], directions) for chosen in order]).sum(0).tolist()
    loss, entropy, extra, right = sums
    decayed = regularizers.decay_value(recipe.penalty, model)
    jacobian = float(torch.linalg.vector_norm(model.hidden.detach()))
    steps, loss = len(order), loss / len(order) + decayed
    if not math.isfinite(loss + jacobian):
        raise FloatingPointError("the loss is not finite")
    model.eval()
    return loss, entropy / steps, extra / steps + decayed, right / len(x), jacobian


def _repeated(log: dict[str, np.ndarray], ended: int) -> dict[str, np.ndarray]:
    """The log of a training that ended after epoch ``ended``, filled up to the last epoch of its schedule."""
    epochs = len(log["loss"])
    skipped = [epoch - 1 for epoch in range(ended + 1, epochs + 1) if not evaluated(epoch, epochs)]
    for name, values in log.items():
        values[ended:] = 0.0 if name == "learning_rate" else values[ended - 1]
        if name.endswith("_accuracy") and name != "train_accuracy":
            values[skipped] = np.nan  # as in any epoch after which it is not measured
    return {**log, "ended": np.array(ended)}


def _diverged(what: str, keeping: Keeping, done: int) -> TrainingDiverged:
    kept = f"the state after epoch {done} is in {keeping.path}" if keeping.path and done else "no checkpoint was kept"
    return TrainingDiverged(f"{what}; {kept}; lower the rate or the penalty")


@torch.no_grad()
def accuracy(model: TwoLayer, x: Tensor, y: Tensor, readout_only: bool = False, size: int = 1000) -> float:
    """Fraction of right answers on images (N, D), or on latents (N, H) with ``readout_only``.

    Raises ``ValueError`` for inputs or labels (N,) that do not fit the model or each other, and for a model with batch
    norm in training mode, which would learn from what it is shown; ``FloatingPointError`` for logits without a number.
    """
    _check("accuracy", model, x, y, readout_only)
    checks.whole(size=size)
    if size < 1:
        raise ValueError(f"size = {size}; give the number of images at once, at least 1")
    models.check_evaluation(model)
    answer, right = model.logits if readout_only else model, 0
    for inputs, labels in zip(x.split(size), y.split(size), strict=True):
        z = answer(inputs)
        if not bool(torch.isfinite(z).all()):
            raise FloatingPointError("the logits are not finite")
        right += int((z.argmax(1) == labels).sum())
    return right / len(x)


def _check(name: str, model: TwoLayer, x: Tensor, y: Tensor, readout_only: bool) -> None:
    checks.floating(**{name: x})
    width = model.hidden.shape[0 if readout_only else 1]
    if x.ndim != 2 or x.shape[1] != width or not len(x):
        what = "latents (N, H)" if readout_only else "images (N, D)"
        raise ValueError(f"{name}: inputs have shape {tuple(x.shape)}; give {what} with {width} columns")
    if not isinstance(y, Tensor):
        raise ValueError(f"{name}: labels are a {type(y).__name__}; give a tensor, such as torch.from_numpy(array)")
    if y.shape != (len(x),) or y.dtype != torch.int64:
        raise ValueError(
            f"{name}: labels have shape {tuple(y.shape)} and dtype {y.dtype}; give an int64 for each of {len(x)} images"
        )
    if int(y.min()) < 0 or int(y.max()) >= len(model.bias):
        raise ValueError(
            f"{name}: labels have values {int(y.min())}..{int(y.max())}; give labels from 0 to {len(model.bias) - 1}"
        )


def _check_batches(model: TwoLayer, recipe: Recipe, images: int) -> None:
    """Refuse what has no variance: a last batch of one image; and penalties that do not know of batch norm."""
    alone = recipe.batch == 1 or images % recipe.batch == 1
    if (model.norm is not None or recipe.term.varies) and alone:
        raise ValueError(
            f"batch = {recipe.batch} leaves one image of {images} for the last batch, which has no variance for batch "
            "norm or a spectral penalty; give another batch, or another number of images"
        )
    if model.norm is not None and not recipe.term.with_norm:
        raise ValueError(
            f"penalty = {type(recipe.penalty).__name__} is not defined with batch norm; give a model without it"
        )


def _optimizer(model: TwoLayer, recipe: Recipe, readout_only: bool) -> torch.optim.Adam:
    """Adam; a penalty that is a weight decay is applied inside it, which is exact and costs nothing."""
    hidden, rest = recipe.term.decay()
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
            rows = recipe.term.row_decay(model, h)
            extra = recipe.term.added(model, h, directions) if rows is None else row_value(rows)
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


@contextlib.contextmanager
def _lighter(
    step: Any, model: TwoLayer, optimizer: torch.optim.Adam, recipe: Recipe, readout_only: bool
) -> Iterator[Any]:
    """The step without the units at rest, if there are enough; not where a graph or the penalty knows of all."""
    if readout_only or model.hidden.is_cuda or not recipe.term.by_unit:
        yield step
        return
    with idle.left_out(model, optimizer, lambda light: _optimizer(light, recipe, False)) as (light, moving):
        yield step if light is model else _step_function(light, moving, recipe, False)
