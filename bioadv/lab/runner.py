"""Trains a model of the study, or the KH layer, and keeps what comes out in the folder of its run.

A run that was killed goes on from its checkpoint; a finished one is left alone. The manifest is written last.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bioadv.data import datasets, files, image_arrays
from bioadv.data.datasets import Dataset
from bioadv.lab import hashing, jobs, processes, provenance, runs, scales, study
from bioadv.lab.experiments import Experiment
from bioadv.lab.jobs import Job, Where
from bioadv.lab.runs import Run
from bioadv.network import hidden, layer_health, local_learning, models, pruning, streams, training
from bioadv.network.hidden import Given, Kind
from bioadv.network.kh_params import KHParams
from bioadv.network.local_learning import Trained
from bioadv.network.models import TwoLayer
from bioadv.network.screening import Screen
from bioadv.network.spectral_penalty import Spectral
from bioadv.network.states import Keeping
from bioadv.network.training import Fitted

Tensor = torch.Tensor
Sets = dict[str, tuple[Tensor, Tensor]]
PUBLISHED_THRESHOLD_FOR = ("cifar10", "photo-patches")  # 32 x 32 colour photographs
MOST_INPUTS = 3 * 256 * 256  # values of an image; training on larger ones would take gigabytes and hours


def train(name: str, data: Dataset, seed: int, where: Where, epochs: int | None = None) -> Path:
    """Train a model and return its run folder; what is finished is not done again, what was interrupted goes on.

    A finished run has its manifest and its weights. Where only the weights are missing, as in a fresh clone, it is
    trained again; the manifest stays until the new one is ready. Models with a local layer train that first if it is
    not there yet, for as many ``epochs`` if these are given. Raises ``ValueError`` for an unknown model, a bad seed or
    number of epochs, or a folder that holds another configuration, ``RuntimeError`` if another process trains there.
    """
    jobs.check(seed, epochs)
    job = Job(name, data, seed, where, epochs)
    run, asked = job.run, job.asked
    _check_name(run, data)
    if not _finished(run, asked):
        with processes.alone(processes.run_lock(run.folder, "train"), str(run.folder)):
            if not _finished(run, asked):  # in the meantime, by another process
                _make_layer(job) if name == study.LAYER else _make_model(job)
    return run.folder


def _check_name(run: Run, data: Dataset) -> None:
    """Refuse images that are not those of the other runs in the folder: two sets of one name would lie side by side."""
    for path in sorted(run.root.glob(f"*/{runs.named('*')}/{provenance.MANIFEST}")):
        manifest = provenance.read_manifest(path.parent)
        if manifest and manifest["configuration"]["data"] != data.content_hash and path.parent != run.folder:
            raise ValueError(
                f"data = {data.name!r}: {run.root} holds runs on other images of this name, such as {path.parent}; "
                "give another --out folder, or rename the images"
            )


def _make_model(job: Job) -> None:
    run, data, wanted = job.run, job.data, job.configuration
    chosen, params, layer = scales.at_scale(job.name, data, job.epochs), scales.scale(data).layer, None
    _check_size(job.name, data, params.hidden, chosen)
    if chosen.kind.layer:
        train(study.LAYER, data, job.seed, job.where, job.epochs)
        layer = pruned(run.layer.synapses(), params, data) if chosen.pruned else run.layer.synapses()
    sets = image_sets(data, chosen.held_out, scales.scale(data).layer.p)
    model = TwoLayer(data.train.inputs, params.hidden, len(data.train.classes), chosen.power, chosen.batch_norm)
    initialise(model, chosen.kind, sets["train"][0], job.seed, params.p, layer)
    sets = {part: (x.to(job.device), y.to(job.device)) for part, (x, y) in sets.items()}
    # Hashed before the run, not after it: that is the code which is about to be executed.
    source, keeping = source_of(job.name, job.screened), job.where.keeping(run)
    fitted = fit(model.to(job.device), sets, chosen, job.seed, job.dtype, keeping, job.where.progress)
    accuracy = accuracies(fitted.model, sets)
    wanted = {**wanted, "dtype": str(job.dtype)}
    save = functools.partial(models.save, fitted.model)
    _finish(job, wanted, save, fitted.log, fitted.seconds, source, accuracy=accuracy)


def _make_layer(job: Job) -> None:
    run, wanted, source = job.run, job.configuration, source_of(job.name, job.screened)
    params: KHParams = wanted["layer"]
    _check_size(job.name, job.data, params.hidden)
    keeping, progress = job.where.keeping(run), job.where.progress
    screen = Screen if job.screened else None
    trained, health = train_synapses(job.data, params, job.seed, job.device, keeping, progress, screen)
    arrays = {"norms": health.norms, "wins": health.wins, "alive": health.alive, "mean_weight": health.mean_weight}
    shares = {"converged": health.converged, "live": health.live, "winning": health.winning}
    save = functools.partial(files.write_tensors, tensors={"synapses": trained.synapses})
    _finish(job, wanted, save, {**trained.history, **arrays}, trained.seconds, source, health=shares)


def _check_size(name: str, data: Dataset, units: int, chosen: Experiment | None = None) -> None:
    """``ValueError``, before any work, for images too large, or for more numbers than the memory can hold."""
    (height, width, channels), inputs = data.train.shape, data.train.inputs
    images = f"images of {width} x {height} x {channels} values"
    if inputs > MOST_INPUTS:
        raise ValueError(
            f"{data.name}: {images} are too large for networks in which every unit sees every value; resize them to "
            f"at most {MOST_INPUTS} values (256 x 256 in colour)"
        )
    copies = 4 if chosen and chosen.kind.trained else 2  # with a gradient and Adam's two moments, or with the metric
    numbers = (len(data.train) + len(data.test) + copies * units) * inputs
    penalty = chosen.recipe.penalty if chosen else None
    stated = isinstance(penalty, Spectral) and penalty.variant == "stated"
    if stated or (chosen and chosen.hidden == "pca"):
        numbers += 5 * inputs**2  # the covariance of the pixels, in float64 and once more in float32
    image_arrays.fits(f"{name} on {images}", 4 * numbers)


def _finished(run: Run, wanted: dict[str, Any]) -> bool:
    """Whether the run is there, whole; tidies up behind one that was stopped between its last two steps.

    Also behind one that was killed while it wrote, and whose weights were then fetched.
    """
    done = provenance.same_configuration(run.folder, wanted, run.weights.name, run.log.name)
    if done:
        files.tidy(run.checkpoint)
        files.tidy(files.staging(run.manifest))
    return done


def _finish(
    job: Job,
    wanted: dict[str, Any],
    save: Callable[[Path], None],
    log: dict[str, np.ndarray],
    seconds: float,
    source: str,
    **outcome: Any,
) -> None:
    """Write weights and log, and the manifest, which marks the run as whole; then its checkpoint is of no more use.

    save: writes the weights to a file. Until all three are written, what an earlier training left stays as it is.
    """
    run = job.run
    about = {
        "configuration": provenance.describe_all(wanted),
        "dataset": job.data.name,
        "device": str(job.device),
        "seconds": round(seconds, 1),
        "source": source,
    }
    with files.together(run.manifest) as new:
        save(new / run.weights.name)
        files.write_arrays(new / run.log.name, log)
        provenance.write_manifest(new, (run.weights.name, run.log.name), **about, **outcome)
    run.checkpoint.unlink(missing_ok=True)


# What moves a number; the source of all this, and of what it refers to, is hashed into each manifest.


def image_sets(data: Dataset, held_out: float, p: float = 3.0) -> Sets:
    """Images of unit L^p norm and labels by part: train, test, and validation, a share held out at the end of train."""
    x, y = datasets.unit_lp(data.train, p), torch.tensor(data.train.labels)
    sets = {"test": (datasets.unit_lp(data.test, p), torch.tensor(data.test.labels))}
    kept = len(x) - round(held_out * len(x))
    if kept < len(x):
        sets["validation"] = (x[kept:], y[kept:])
    return {"train": (x[:kept], y[:kept]), **sets}


def prune_above(data: Dataset, p: float = 3.0, radius: float = 1.0) -> float:
    """Variance above which KH units are pruned: the published number on CIFAR-10 and on the photo patches.

    On other images it is :func:`bioadv.network.pruning.threshold`, which holds for all of them; the published one does
    not (on MNIST it prunes every unit of a healthy layer).
    """
    if data.name in PUBLISHED_THRESHOLD_FOR:
        return pruning.PUBLISHED_THRESHOLD
    return pruning.threshold(data.train.inputs, p, radius)


def pruned(synapses: Tensor, params: KHParams, data: Dataset) -> Tensor:
    """The synapses (H, D) of a layer with those of units above the threshold set to zero."""
    threshold = prune_above(data, params.p, params.radius)
    return pruning.prune(synapses, pruning.above_threshold(synapses, threshold))


def initialise(model: TwoLayer, kind: Kind, images: Tensor, seed: int, p: float, layer: Tensor | None) -> TwoLayer:
    """The network before training with labels, in place; the same seed gives all models the same random weights."""
    models.init(model, torch.Generator().manual_seed(streams.pick(streams.START, seed)))
    drawn = torch.Generator().manual_seed(streams.pick(streams.DRAWN, seed))
    with torch.no_grad():
        model.hidden.copy_(hidden.weights(kind, Given(images, model.hidden.detach().clone(), drawn, p, layer)))
    return model


def fit(
    model: TwoLayer,
    sets: Sets,
    chosen: Experiment,
    seed: int,
    dtype: torch.dtype,
    keeping: Keeping | None = None,
    progress: bool = False,
) -> Fitted:
    """Train with labels: everything on images in ``dtype``, or the readout alone on latents, computed once."""
    alone = not chosen.kind.trained
    tap: Callable[[Tensor], Tensor] = model.after if alone else (lambda x: x.to(dtype))
    seen = {part: (models.in_batches(tap, x), y) for part, (x, y) in sets.items()}
    order = torch.Generator(model.hidden.device).manual_seed(streams.pick(streams.ORDER, seed))
    x, y = seen.pop("train")
    how: dict[str, Any] = {"readout_only": alone, "keeping": keeping, "progress": progress}
    return training.fit(model, x, y, chosen.recipe, order, evaluate=seen, **how)


def accuracies(model: TwoLayer, sets: Sets) -> dict[str, float]:
    """Share of the images of each part that the model decides correctly."""
    return {part: training.accuracy(model, x, y) for part, (x, y) in sets.items()}


def train_synapses(
    data: Dataset,
    params: KHParams,
    seed: int,
    device: torch.device,
    keeping: Keeping | None = None,
    progress: bool = False,
    screen: Callable[[Tensor, Tensor], local_learning.Screen] | None = None,
) -> tuple[Trained, layer_health.Health]:
    """Train a KH layer on the training images, its leaders found by a screen if given, and say whether it is alive."""
    x = datasets.unit_lp(data.train, params.p)
    generator = torch.Generator(device).manual_seed(streams.pick(streams.START, seed))
    trained = local_learning.train(x.to(device), params, generator, screen=screen, keeping=keeping, progress=progress)
    return trained, layer_health.health(trained.synapses, x, params)


LOCAL = (train_synapses,)
SUPERVISED = (image_sets, initialise, fit, accuracies)


def source_of(name: str, screened: bool = False) -> str:
    """Hash of the code that a model, or the KH layer, is trained with; see ``bioadv.lab.hashing.source_hash``.

    Of the kinds of hidden layers and of the penalties only the model's own count, and the screen only where it is used.
    """
    return hashing.source_hash(*roots(name, screened))


def roots(name: str, screened: bool = False) -> tuple[Callable[..., Any], ...]:
    """The functions whose source :func:`source_of` takes."""
    local = (*LOCAL, Screen) if screened else LOCAL
    if name == study.LAYER:
        return local
    chosen = study.experiment(name)
    layer = (*(local if chosen.kind.layer else ()), *((pruned,) if chosen.pruned else ()))
    return (*SUPERVISED, *layer, *chosen.code)
