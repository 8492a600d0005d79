"""Trainings of the chapters' live cells: one function for all models, on any images, within minutes.

They follow the study in all but three things: sizes are small (:func:`bioadv.lab.scales.live_scale`), KH layers are not
pruned, and the learning rate stays constant, since the paper's schedules would be over after a few dozen steps per
stage.

What one chapter has trained the next one finds in the user's cache: the file's name is a digest of all that its numbers
depend on, so that other code, images, settings, libraries, processors or threads have another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bioadv.data import checkpoints, downloads, files
from bioadv.data.datasets import Dataset
from bioadv.lab import hashing, provenance, runner, scales, study
from bioadv.lab.scales import Scale
from bioadv.network.local_learning import Trained
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe
from bioadv.network.regularizers import JacobianPublished
from bioadv.network.states import Keeping
from bioadv.network.training import Fitted

Tensor = torch.Tensor
DAYS = 30  # after which a training that no chapter asked for leaves the cache


def train_layer(data: Dataset, sizes: Scale | None = None, seed: int = 0) -> Trained:
    """Train a small KH layer on the training images; sizes: others than :func:`bioadv.lab.scales.live_scale`'s."""
    params = (sizes or scales.live_scale(data)).layer
    keeping = kept(study.LAYER, data=data.content_hash, seed=seed, layer=params)
    return runner.train_synapses(data, params, seed, torch.device("cpu"), keeping)[0]


def train(name: str, data: Dataset, layer: Tensor | None = None, sizes: Scale | None = None, seed: int = 0) -> Fitted:
    """Train the model ``name`` of the study at live scale; the log has its accuracy on the test images.

    layer: (H, D) synapses of a KH layer, from :func:`train_layer`; only models that are made from one need them. The
    same seed gives all models the same initial weights and the same order of images.

    Raises ``ValueError`` for an unknown model, or if a model that is made from a KH layer is given none.
    """
    chosen, sizes = study.experiment(name), sizes or scales.live_scale(data)
    if chosen.kind.layer and layer is None:
        raise ValueError(f"layer = None: {name} is made from a KH layer; give the synapses of live.train_layer")
    penalty = chosen.recipe.penalty
    if isinstance(penalty, JacobianPublished):
        penalty = replace(penalty, batch=sizes.batch)
    sets = runner.image_sets(data, 0.0, sizes.layer.p)
    model = TwoLayer(data.train.inputs, sizes.layer.hidden, len(data.train.classes), chosen.power, chosen.batch_norm)
    runner.initialise(model, chosen.kind, sets["train"][0], seed, sizes.layer.p, layer)
    in_small = replace(chosen, recipe=Recipe("constant", penalty, sizes.epochs, sizes.batch))
    begun = hashlib.sha256(model.hidden.detach().numpy().data).hexdigest()  # it holds the layer
    keeping = kept(name, data=data.content_hash, seed=seed, experiment=in_small, begun=begun)
    return runner.fit(model, sets, in_small, seed, torch.float32, keeping)


def kept(name: str, **about: Any) -> Keeping:
    """Where a finished training is kept, or found, in the folder of :func:`bioadv.data.downloads.cache`.

    name: of the model, or of the KH layer; about: what it depends on beside code, libraries, processor and threads. A
    folder that cannot be written, or a full disk, costs the next chapter some waiting and nothing else; a file that is
    damaged is made again.
    """
    folder = downloads.cache() / "live"
    code = hashing.source_hash(*runner.roots(name), train, train_layer)
    everything = {**provenance.describe_all(about), **provenance.environment(), "name": name, "code": code}
    key = hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:20]
    path = folder / f"{key}.safetensors"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder)
        if path.exists():
            path.touch()
    except OSError:
        return Keeping()
    try:
        files.read_tensors(path)
    except (OSError, ValueError):  # absent, damaged or not to be read
        files.tidy(path)
        if path.exists():
            return Keeping()
    return Keeping(checkpoints.Spare(path) if os.access(folder, os.W_OK) else None, every=10**9)  # the end is enough


def _tidy(folder: Path) -> None:
    oldest = time.time() - DAYS * 24 * 3600
    for path in folder.glob("*.safetensors"):
        with contextlib.suppress(OSError):  # another process may be tidying as well
            if path.stat().st_mtime < oldest:
                path.unlink()
