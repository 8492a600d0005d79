"""Training with labels: the whole network by backpropagation, or the readout alone on latents computed once.

Protocol of the paper (authors' code, ``Trainers.py``): cross-entropy, Adam, batches of 1000, 1000 epochs, a learning
rate that depends on the epoch. Evaluation here is always in evaluation mode.
"""

from __future__ import annotations

import contextlib
import functools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bioadv.data import checks
from bioadv.network import models, regularizers, states, steps
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe, evaluated, last_epoch
from bioadv.network.states import Keeping

Tensor = torch.Tensor
Set = tuple[Tensor, Tensor]


class TrainingDiverged(RuntimeError):  # noqa: N818 (the name says what happened)
    """The loss is no longer finite; the message names the epoch and the last good checkpoint."""


@dataclass(frozen=True)
class Fitted:
    """A trained model, its log, and the seconds spent.

    log, one value per epoch (T,): ``loss`` and its parts ``cross_entropy`` and ``penalty``, means over the steps;
    ``train_accuracy`` during the epoch; ``NAME_accuracy`` after it for each set given (NaN where not evaluated);
    ``jacobian``, ||M|| after it, which is ||dh/dx|| up to batch norm, if there is one; ``learning_rate``. And ``ended``
    (), the last epoch that was trained, see :func:`bioadv.network.recipes.last_epoch`: after it the rate is 0 and all
    else repeats.
    """

    model: TwoLayer
    log: dict[str, np.ndarray]
    seconds: float


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
    checks.instance(Recipe, "bioadv.network.recipes.Recipe(...)", recipe=recipe)
    if keeping is not None:
        checks.instance(Keeping, "Keeping(path, every)", keeping=keeping)
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
    optimizer = steps.adam(model, recipe, readout_only)
    log = {name: np.full(recipe.epochs, np.nan) for name in (*PARTS, *(f"{name}_accuracy" for name in sets))}
    state = states.State(model, optimizer, generator, log)
    identity = states.identity(model, x, y, generator, readout_only, recipe) if keeping.path else {}
    done, seconds = state.restore(keeping.path, identity)
    start, shown = time.perf_counter() - seconds, dict[str, str]()
    whole, known = steps.step_function(model, optimizer, recipe, readout_only), recipe.term.once(x)
    step = functools.partial(steps.lighter, whole, model, optimizer, recipe, readout_only)
    last = last_epoch(recipe, len(x))
    bar = tqdm(range(done + 1, last + 1), "fit", last, initial=done, disable=not progress, unit="epoch")
    for epoch in bar:
        steps.set_rate(optimizer, recipe.rate(epoch))
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
    checks.tensor(**{f"{name}: y": y})
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
