"""Sizes of the study's trainings on a dataset: the paper's, small ones, and those of the chapters' live cells."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from bioadv.data.datasets import Dataset
from bioadv.lab.experiments import Experiment
from bioadv.lab.study import experiment
from bioadv.network import kh_params, recipes
from bioadv.network.kh_params import KHParams
from bioadv.network.regularizers import JacobianPublished

EFFORT_VARIABLE = "BIOADV_EFFORT"
LIVE_STEPS = 1200  # of training with labels, in a chapter's live cells and on own images
LIVE_WORK = 9.3e8  # pixels seen in all, those of 1200 batches of 250 images of 32 x 32 x 3


@dataclass(frozen=True)
class Scale:
    """Sizes that go with a dataset: hidden units, epochs and batch of supervised training, and the local rule's."""

    layer: KHParams
    epochs: int = 1000
    batch: int = 1000


def scale(data: Dataset) -> Scale:
    """The paper's sizes for CIFAR-10 and MNIST; small ones, minutes on a laptop, for everything else."""
    paper = {"cifar10": kh_params.PAPER_CIFAR10, "mnist": kh_params.PAPER_MNIST}
    return Scale(paper[data.name]) if data.name in paper else _small(data, 1.0)


def live_scale(data: Dataset) -> Scale:
    """Sizes for a chapter's live cells, on any images: those of the photo patches, and no more steps and no more work.

    The environment variable ``BIOADV_EFFORT``, a number from 0 to 1, shortens all trainings by that factor, for a look
    at what a chapter makes of some images.
    """
    return _small(data, effort())


def _small(data: Dataset, effort: float) -> Scale:
    count, inputs = len(data.train), data.train.inputs
    batch = batch_size(count)
    epochs = min(LIVE_STEPS / -(-count // batch), LIVE_WORK / (count * inputs))
    layer = kh_params.live_params(data.name, count, inputs)
    layer = replace(layer, epochs=max(2, round(effort * layer.epochs)))
    return Scale(layer, epochs=max(2, int(effort * epochs)), batch=batch)


def effort() -> float:
    """What ``BIOADV_EFFORT`` asks for, 1 if it is not set; ``ValueError`` if it is no number above 0 and at most 1."""
    text = os.environ.get(EFFORT_VARIABLE) or "1"
    try:
        share = float(text)
    except ValueError:
        share = float("nan")
    if not 0 < share <= 1:
        raise ValueError(f"{EFFORT_VARIABLE} = {text!r}; give a number above 0 and at most 1, or unset it")
    return share


def batch_size(images: int, most: int = 250) -> int:
    """Images per step: ``most`` of thousands, fewer of few, so that an epoch has about twenty steps.

    Never one that leaves a single image for the last step, of all images or of the nine tenths that are not held out:
    one image has no variance, which batch norm and the spectral penalties need.
    """
    wanted = min(most, max(10, images // 20))
    left = (images, images - round(0.1 * images))
    return next((size for size in range(wanted, 1, -1) if all(count % size != 1 for count in left)), wanted)


def at_scale(name: str, data: Dataset, epochs: int | None = None) -> Experiment:
    """An experiment with the sizes that go with a dataset, as it is trained there; epochs: other than the scale's."""
    chosen, sizes = experiment(name), scale(data)
    share = chosen.recipe.epochs / recipes.PAPER_EPOCHS
    wanted = max(1, round(share * sizes.epochs)) if epochs is None else epochs
    recipe = replace(chosen.recipe, epochs=wanted, batch=sizes.batch)
    if isinstance(recipe.penalty, JacobianPublished):
        recipe = replace(recipe, penalty=replace(recipe.penalty, batch=sizes.batch))
    return replace(chosen, recipe=recipe)
