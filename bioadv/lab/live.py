"""Trainings of the chapters' live cells: one function for all models, on any images, within minutes.

They follow the study in all but three things: sizes are small (:func:`bioadv.lab.study.live_scale`), KH layers are not
pruned, and the learning rate stays constant, since the paper's schedules would be over after a few dozen steps per
stage.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from bioadv.data.datasets import Dataset
from bioadv.lab import runner, study
from bioadv.lab.study import Scale
from bioadv.network.local_learning import Trained
from bioadv.network.models import TwoLayer
from bioadv.network.regularizers import JacobianPublished
from bioadv.network.training import Fitted, Recipe

Tensor = torch.Tensor


def train_layer(data: Dataset, sizes: Scale | None = None, seed: int = 0) -> Trained:
    """Train a small KH layer on the training images; sizes: others than :func:`bioadv.lab.study.live_scale`'s."""
    params = (sizes or study.live_scale(data)).layer
    return runner.train_synapses(data, params, seed, torch.device("cpu"))[0]


def train(name: str, data: Dataset, layer: Tensor | None = None, sizes: Scale | None = None, seed: int = 0) -> Fitted:
    """Train the model ``name`` of the study in small; the log has its accuracy on the test images.

    layer: (H, D) synapses of a KH layer, from :func:`train_layer`; only models that are made from one need them. The
    same seed gives all models the same initial weights and the same order of images.

    Raises ``ValueError`` for an unknown model, or if a model that is made from a KH layer is given none.
    """
    chosen, sizes = study.experiment(name), sizes or study.live_scale(data)
    if chosen.kind.layer and layer is None:
        raise ValueError(f"layer = None: {name} is made from a KH layer; give the synapses of live.train_layer")
    penalty = chosen.recipe.penalty
    if isinstance(penalty, JacobianPublished):
        penalty = replace(penalty, batch=sizes.batch)
    sets = runner.image_sets(data, held_out=0.0)
    model = TwoLayer(data.train.inputs, sizes.layer.hidden, len(data.train.classes), chosen.power, chosen.batch_norm)
    runner.initialise(model, chosen.kind, sets["train"][0], seed, sizes.layer.p, layer)
    in_small = replace(chosen, recipe=Recipe("constant", penalty, sizes.epochs, sizes.batch))
    return runner.fit(model, sets, in_small, seed, torch.float32)
