"""The registry of experiments and how to run one: every model of the paper, its controls, and corrected variants.

A run is a folder ``OUT/DATASET/MODEL/seed-S`` with ``model.safetensors`` (or ``layer.safetensors``), ``log.npz`` and,
written last, ``manifest.json``. A run that was killed goes on from its checkpoint; a finished one is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from bioadv.data import datasets, files
from bioadv.data.datasets import Dataset
from bioadv.lab import provenance
from bioadv.network import local_learning, models, pruning, training
from bioadv.network.local_learning import KHParams
from bioadv.network.models import TwoLayer
from bioadv.network.regularizers import L2, JacobianPublished, LatentJacobian, LogitJacobian, Penalty, Spectral
from bioadv.network.training import Recipe

Tensor = torch.Tensor
LAYER = "kh-layer"
KH_POWER = 4.5  # n of ReLU^n in the paper's KH model
KH_ALPHA = 2.62  # exponent of the authors' KH layer, target of their SpecReg-KH (public code at e1b82cd)
PUBLISHED_THRESHOLD_FOR = ("cifar10", "photo-patches")  # 32 x 32 colour photographs
DTYPES = ("auto", "float32", "bfloat16")
WEIGHTS, SYNAPSES = "model.safetensors", "layer.safetensors"  # of a model, of a KH layer; kept out of git
LOG = "log.npz"


@dataclass(frozen=True)
class Experiment:
    """A model of the study.

    group: ``published``, ``control``, ``frontier`` or ``corrected``; hidden: ``local`` (a trained KH layer),
    ``backprop`` or ``random``; recipe: at the paper's scale; power: n of ReLU^n; pruned: whether KH units above the
    variance threshold are removed; held_out: share of the training images kept for validation.
    """

    title: str
    group: str
    hidden: str
    recipe: Recipe
    power: float = 1.0
    pruned: bool = False
    held_out: float = 0.0
    batch_norm: bool = False


def _published(title: str, hidden: str, recipe: Recipe, **more: Any) -> Experiment:
    return Experiment(title, "published", hidden, recipe, **more)


def _control(title: str, hidden: str, schedule: str = "constant", **more: Any) -> Experiment:
    return Experiment(title, "control", hidden, Recipe(schedule), **more)


def _corrected(title: str, recipe: Recipe, **more: Any) -> Experiment:
    return Experiment(title, "corrected", "backprop", recipe, held_out=0.1, **more)


def _frontier(title: str, penalty: Penalty | None, schedule: str = "steps", **more: Any) -> Experiment:
    """A point of what a penalty can do at one strength, in a tenth of the epochs: several of them make a curve."""
    recipe = Recipe(schedule, penalty, epochs=training.PAPER_EPOCHS // 10)
    return Experiment(title, "frontier", "backprop", recipe, **more)


EXPERIMENTS = {
    "kh": _published("KH", "local", Recipe("constant"), power=KH_POWER, pruned=True),
    "bp": _published("BP", "backprop", Recipe("steps")),
    "l2": _published("L2", "backprop", Recipe("steps", L2())),
    "jreg": _published("Jacobian", "backprop", Recipe("steps", JacobianPublished())),
    "specreg": _published("Spectral, as stated", "backprop", Recipe("decaying", Spectral())),
    "specreg-logged": _published(
        "Spectral, as logged", "backprop", Recipe("decaying", Spectral(alpha=KH_ALPHA, variant="logged"))
    ),
    "specreg-kh": _published(
        "Spectral, KH target", "backprop", Recipe("constant", Spectral(1e-3, KH_ALPHA, 10, "logged"))
    ),
    # With the schedule of the published SpecReg, whose row it should equal if that one's weights never moved.
    "random": _control("random features", "random", "decaying"),
    "random-constant": _control("random features, constant rate", "random"),
    "random-power": _control("random features, $n$ = 4.5", "random", power=KH_POWER),
    "kh-linear": _control("KH, $n$ = 1", "local", pruned=True),
    "kh-unpruned": _control("KH, not pruned", "local", power=KH_POWER),
    # Strengths of L2 in units of the published one; the last but one is the control of the last.
    "short-l2-0.5": _frontier("L2 × 0.5", L2(2.5e-4)),
    "short-l2-1": _frontier("L2 × 1", L2(5e-4)),
    "short-l2-1.5": _frontier("L2 × 1.5", L2(7.5e-4)),
    "short-l2-2": _frontier("L2 × 2", L2(1e-3)),
    "short-l2-4": _frontier("L2 × 4", L2(2e-3)),
    "short-latent": _frontier("Jacobian of the latent", LatentJacobian()),
    "short-norm": _frontier("batch norm", None, "decaying", batch_norm=True),
    "short-scalefree": _frontier(
        "batch norm, spectral, scale-free", Spectral(1.0, 1.0, 10, "scale-free"), "decaying", batch_norm=True
    ),
    "jreg-latent": _corrected("Jacobian of the latent", Recipe("steps", LatentJacobian())),
    "jreg-logits": _corrected("Jacobian of the logits", Recipe("steps", LogitJacobian())),
    # With batch norm, as Nassar et al. have it: without it the latent's scale is free, and training runs away.
    "specreg-scalefree": _corrected(
        "Spectral, scale-free", Recipe("decaying", Spectral(1.0, 1.0, 10, "scale-free")), batch_norm=True
    ),
    "specreg-scalefree-kh": _corrected(
        "Spectral, scale-free, KH exponent",
        Recipe("decaying", Spectral(1.0, KH_ALPHA, 10, "scale-free")),
        batch_norm=True,
    ),
}


@dataclass(frozen=True)
class Scale:
    """Sizes that go with a dataset: hidden units, epochs and batch of supervised training, and the local rule's."""

    layer: KHParams
    epochs: int = 1000
    batch: int = 1000


def scale(data: Dataset) -> Scale:
    """The paper's sizes for CIFAR-10 and MNIST; small ones, minutes on a laptop, for everything else."""
    if data.name == "cifar10":
        return Scale(local_learning.PAPER_CIFAR10)
    if data.name == "mnist":
        return Scale(local_learning.PAPER_MNIST)
    return Scale(local_learning.live_params(data.name, len(data.train)), epochs=60, batch=250)


def live_scale(data: Dataset) -> Scale:
    """Sizes for a chapter's live cells, on any images: about as many steps as on the photo patches."""
    epochs = min(60, max(2, 300_000 // len(data.train)))
    return Scale(local_learning.live_params(data.name, len(data.train)), epochs=epochs, batch=250)


def prune_above(data: Dataset, p: float = 3.0, radius: float = 1.0) -> float:
    """Variance above which KH units are pruned: the published number on CIFAR-10 and on the photo patches.

    On other images it is :func:`bioadv.network.pruning.threshold`, which holds for all of them; the published one does
    not (on MNIST it prunes every unit of a healthy layer).
    """
    if data.name in PUBLISHED_THRESHOLD_FOR:
        return pruning.PUBLISHED_THRESHOLD
    return pruning.threshold(data.train.inputs, p, radius)


def experiment(name: str) -> Experiment:
    """An experiment by name; ``ValueError`` lists the known ones."""
    if name not in EXPERIMENTS:
        raise ValueError(f"model {name!r} is not known; choose from {', '.join([LAYER, *EXPERIMENTS])}")
    return EXPERIMENTS[name]


def at_scale(name: str, data: Dataset, epochs: int | None = None) -> Experiment:
    """An experiment with the sizes that go with a dataset, as it is trained there; epochs: other than the scale's."""
    chosen, sizes = experiment(name), scale(data)
    share = chosen.recipe.epochs / training.PAPER_EPOCHS
    recipe = replace(chosen.recipe, epochs=epochs or max(1, round(share * sizes.epochs)), batch=sizes.batch)
    if isinstance(recipe.penalty, JacobianPublished):
        recipe = replace(recipe, penalty=replace(recipe.penalty, batch=sizes.batch))
    return replace(chosen, recipe=recipe)


@dataclass(frozen=True)
class Where:
    """Where and how a run computes: root of the output, device, precision of products, bars, epochs per checkpoint."""

    out: Path = Path("results")
    device: str = "auto"
    dtype: str = "auto"
    progress: bool = True
    every: int = 10

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype = {self.dtype!r} is not known; choose from {', '.join(DTYPES)}")
        choose_device(self.device)

    def folder(self, data: Dataset, model: str, seed: int) -> Path:
        """The folder of a run."""
        return self.out / Path(data.name).stem / model / f"seed-{seed}"


def choose_device(name: str) -> torch.device:
    """``auto``: CUDA if there is one, else the CPU; ``ValueError`` for an unknown or absent one.

    Not Apple's MPS: it has no double precision, in which covariances and sums over images are taken.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, dtype=torch.float64, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device = {name!r} cannot be used ({reason}); give auto, cuda or cpu") from error
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 products on CUDA and on processors with instructions for them, else float32."""
    native = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    fast = device.type == "cuda" or (device.type == "cpu" and native)
    chosen = ("bfloat16" if fast else "float32") if name == "auto" else name
    return torch.bfloat16 if chosen == "bfloat16" else torch.float32


def train(name: str, data: Dataset, seed: int, where: Where, epochs: int | None = None) -> Path:
    """Train a model and return its run folder; what is finished is not done again, what was interrupted goes on.

    A finished run has its manifest and its weights. Where only the weights are missing, as in a fresh clone, it is
    trained again; the manifest stays until the new one is ready. Models with a local layer train that first if it is
    not there yet. Raises ``ValueError`` for an unknown model, a bad seed or number of epochs, or a folder that holds
    another configuration.
    """
    if seed < 0:
        raise ValueError(f"seed = {seed}; give an integer >= 0")
    if epochs is not None and epochs < 1:
        raise ValueError(f"epochs = {epochs}; give at least 1")
    if name == LAYER:
        return _train_layer(data, seed, where, epochs)
    chosen, sizes = at_scale(name, data, epochs), scale(data)
    layer = None
    if chosen.hidden == "local":
        layer = files.read_tensors(_train_layer(data, seed, where, None) / SYNAPSES)[0]["synapses"]
    device = choose_device(where.device)
    dtype = choose_dtype(where.dtype, device) if chosen.hidden == "backprop" else torch.float32
    configuration = {"model": name, "seed": seed, "data": data.content_hash, "experiment": chosen, "dtype": str(dtype)}
    folder = where.folder(data, name, seed)
    # The precision that is chosen for this machine may be another than where the stored run was made.
    asked = {key: value for key, value in configuration.items() if key != "dtype" or where.dtype != "auto"}
    checkpoint = folder / "checkpoint.safetensors"
    if provenance.same_configuration(folder, asked, WEIGHTS, LOG):
        files.tidy(checkpoint)  # of a run that was stopped between its last two steps
        return folder
    model = _initial(chosen, sizes, data, seed, layer).to(device)
    sets = _sets(data, chosen.held_out, device)
    readout_only = chosen.hidden != "backprop"
    tap: Callable[[Tensor], Tensor] = model.after if readout_only else (lambda x: x.to(dtype))
    seen = {part: (models.in_batches(tap, x), y) for part, (x, y) in sets.items()}
    # Hashed before the run, not after it: that is the code which is about to be executed.
    source = source_of(name)
    fitted = training.fit(
        model,
        *seen.pop("train"),
        chosen.recipe,
        torch.Generator(device).manual_seed(10_000 + seed),
        evaluate=seen,
        readout_only=readout_only,
        checkpoint=checkpoint,
        every=where.every,
        progress=where.progress,
    )
    accuracy = {part: training.accuracy(fitted.model, x, y) for part, (x, y) in sets.items()}
    provenance.remove_manifest(folder)
    models.save(fitted.model, folder / WEIGHTS)
    files.write_arrays(folder / LOG, fitted.log)
    _finish(folder, WEIGHTS, configuration, data, device, fitted.seconds, source, accuracy=accuracy)
    checkpoint.unlink(missing_ok=True)
    return folder


def _train_layer(data: Dataset, seed: int, where: Where, epochs: int | None) -> Path:
    params = scale(data).layer
    params = replace(params, epochs=epochs) if epochs else params
    configuration = {"model": LAYER, "seed": seed, "data": data.content_hash, "layer": params}
    folder = where.folder(data, LAYER, seed)
    checkpoint = folder / "checkpoint.safetensors"
    if provenance.same_configuration(folder, configuration, SYNAPSES, LOG):
        files.tidy(checkpoint)
        return folder
    device = choose_device(where.device)
    x = datasets.unit_lp(data.train, params.p).to(device)
    generator, source = torch.Generator(device).manual_seed(seed), source_of(LAYER)
    trained = local_learning.train(
        x, params, generator, checkpoint=checkpoint, every=where.every, progress=where.progress
    )
    health = local_learning.health(trained.synapses, x.cpu(), params)
    provenance.remove_manifest(folder)
    files.write_tensors(folder / SYNAPSES, {"synapses": trained.synapses})
    arrays = {"norms": health.norms, "wins": health.wins, "alive": health.alive, "mean_weight": health.mean_weight}
    files.write_arrays(folder / LOG, {**trained.history, **arrays})
    shares = {"converged": health.converged, "live": health.live, "winning": health.winning}
    _finish(folder, SYNAPSES, configuration, data, device, trained.seconds, source, health=shares)
    checkpoint.unlink(missing_ok=True)
    return folder


def _initial(chosen: Experiment, sizes: Scale, data: Dataset, seed: int, layer: Tensor | None) -> TwoLayer:
    """The network before supervised training; the same seed gives all models the same random weights."""
    model = TwoLayer(
        data.train.inputs, sizes.layer.hidden, len(data.train.classes), chosen.power, batch_norm=chosen.batch_norm
    )
    models.init(model, torch.Generator().manual_seed(seed))
    if layer is not None:
        if chosen.pruned:
            layer = pruning.prune(
                layer, pruning.above_threshold(layer, prune_above(data, sizes.layer.p, sizes.layer.radius))
            )
        with torch.no_grad():
            model.hidden.copy_(local_learning.metric(layer, sizes.layer.p))
    return model


def _sets(data: Dataset, held_out: float, device: torch.device) -> dict[str, tuple[Tensor, Tensor]]:
    """Unit-norm images and labels by part: train, test, and validation, the held-out share at the end of train."""
    x, y = datasets.unit_lp(data.train).to(device), torch.tensor(data.train.labels).to(device)
    sets = {"test": (datasets.unit_lp(data.test).to(device), torch.tensor(data.test.labels).to(device))}
    kept = len(x) - round(held_out * len(x))
    if kept < len(x):
        sets["validation"] = (x[kept:], y[kept:])
    return {"train": (x[:kept], y[:kept]), **sets}


# The functions that results are made with; their source is hashed into each manifest.
LOCAL = (datasets.unit_lp, local_learning.init, local_learning.learning_rate, local_learning._epoch)
SUPERVISED = (datasets.unit_lp, TwoLayer, _initial, _sets, training.fit)


def source_of(name: str) -> str:
    """Hash of the code that a model, or the KH layer, is trained with; see ``bioadv.lab.provenance.source_hash``."""
    if name == LAYER:
        return provenance.source_hash(*LOCAL)
    return provenance.source_hash(*SUPERVISED, *(LOCAL if experiment(name).hidden == "local" else ()))


def _finish(
    folder: Path,
    weights: str,
    configuration: dict[str, Any],
    data: Dataset,
    device: torch.device,
    seconds: float,
    source: str,
    **outcome: Any,
) -> None:
    """Write the manifest, which marks the run as whole."""
    about = {
        "configuration": provenance.describe_all(configuration),
        "dataset": data.name,
        "device": str(device),
        "seconds": round(seconds, 1),
        "source": source,
    }
    provenance.write_manifest(folder, (weights, LOG), **about, **outcome)


def load_model(folder: Path) -> TwoLayer:
    """The trained model of a run folder; ``FileNotFoundError`` if the run is not finished or its weights are gone."""
    manifest = provenance.read_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"{folder} holds no finished run; train the model first, or let it finish")
    if not provenance.intact(folder / provenance.MANIFEST, WEIGHTS):
        about = manifest["configuration"]
        command = f"bioadv train {about['model']} --data {manifest['dataset']} --seed {about['seed']}"
        raise FileNotFoundError(
            f"{folder} has its manifest but not its weights, {WEIGHTS} (git does not keep them); "
            f"train it again: {command} --out {folder.parent.parent.parent}"
        )
    return models.load(folder / WEIGHTS)
