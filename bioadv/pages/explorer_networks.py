"""The six small networks that the explorer runs in the page, and the images it offers: trained here, written as arrays.

They are those of the chapter on robustness (100 hidden units on photo patches, see ``study.live_scale``) and one more,
whose units are unlearned images. The page computes with the numbers in the file, so hidden weights are rounded first
and a frozen layer's readout is trained on what it rounds to.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from bioadv.data import photos
from bioadv.data.datasets import Dataset, unit_lp
from bioadv.lab import study
from bioadv.network import local_learning, models, training
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
# Ten networks' worth of float16 would not leave room for anything else: the random layer's weights have 8 bits.
BITS = {"random": np.int8, "exemplars": np.uint8}
PER_CLASS = 3  # images that the page offers of each photograph


@dataclass(frozen=True)
class Network:
    """A network as the page has it.

    name: in the registry, or ``exemplars``; hidden (H, D) as stored, times ``scale`` (H,) float32 the weights M;
    power; readout (C, H) and bias (C,), float32; accuracy: on the test patches.
    """

    name: str
    hidden: np.ndarray
    scale: np.ndarray
    power: float
    readout: np.ndarray
    bias: np.ndarray
    accuracy: float

    def model(self) -> TwoLayer:
        """The same network in torch, from the very numbers that the page reads."""
        model = TwoLayer(self.hidden.shape[1], len(self.hidden), len(self.bias), self.power)
        with torch.no_grad():
            model.hidden.copy_(torch.from_numpy(self.hidden.astype(np.float32) * self.scale[:, None]))
            model.readout.copy_(torch.from_numpy(self.readout.copy()))
            model.bias.copy_(torch.from_numpy(self.bias.copy()))
        return model.eval()


def train_all(data: Dataset, seed: int = 0) -> list[Network]:
    """Train the six networks on a dataset, a minute on one core; the order is that of the page."""
    x, y = unit_lp(data.train), torch.tensor(data.train.labels)
    x_test, y_test = unit_lp(data.test), torch.tensor(data.test.labels)
    sizes = study.live_scale(data)
    layer = local_learning.train(x, sizes.layer, torch.Generator().manual_seed(seed), progress=False)
    chosen = torch.linspace(0, len(x) - 1, sizes.layer.hidden).round().long()
    frozen: dict[str, Tensor] = {
        "kh": local_learning.metric(layer.synapses, sizes.layer.p),
        "exemplars": local_learning.metric(x[chosen], sizes.layer.p),
    }
    found = []
    for name in ("kh", "exemplars", "bp", "l2", "jreg", "random"):
        recipe_of = study.experiment("kh" if name == "exemplars" else name)
        generator = torch.Generator().manual_seed(seed)
        model = TwoLayer(data.train.inputs, sizes.layer.hidden, len(data.train.classes), recipe_of.power)
        models.init(model, generator)
        readout_only = recipe_of.hidden != "backprop"
        hidden, scale = rounded(frozen.get(name, model.hidden.detach()), name)
        if readout_only:
            model.hidden.data.copy_(torch.from_numpy(hidden.astype(np.float32) * scale[:, None]))
        recipe = training.Recipe("constant", recipe_of.recipe.penalty, sizes.epochs, sizes.batch)
        inputs = model.after(x).detach() if readout_only else x
        model = training.fit(model, inputs, y, recipe, generator, readout_only=readout_only, progress=False).model
        if not readout_only:
            hidden, scale = rounded(model.hidden.detach(), name)
        readout, bias = (value.detach().numpy().astype(np.float32) for value in (model.readout, model.bias))
        network = Network(name, hidden, scale, recipe_of.power, readout, bias, 0.0)
        accuracy = training.accuracy(network.model(), x_test, y_test)
        found.append(Network(name, hidden, scale, recipe_of.power, readout, bias, accuracy))
    return found


def rounded(weights: Tensor, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Hidden weights (H, D) as the file holds them, and the scale of each row (H,): float16, or 8 bits."""
    m = weights.numpy().astype(np.float32)
    kind = BITS.get(name)
    if kind is None:
        return m.astype(np.float16), np.ones(len(m), np.float32)
    scale = (np.abs(m).max(1) / np.iinfo(kind).max).astype(np.float32)
    return np.rint(m / scale[:, None]).astype(kind), scale


def sample(data: Dataset, networks: list[Network], per_class: int = PER_CLASS) -> np.ndarray:
    """Indices of test images to offer: of each class the first ones that most networks decide correctly, spread out.

    Images of one block overlap, so no two of the chosen ones share a block where there are enough.
    """
    x, y = unit_lp(data.test), data.test.labels
    with torch.no_grad():
        right = np.sum([network.model()(x).argmax(1).numpy() == y for network in networks], axis=0)
    blocks = np.arange(len(y)) if data.test.blocks is None else data.test.blocks
    chosen: list[int] = []
    for label in range(len(data.test.classes)):
        members = np.flatnonzero(y == label)
        order = members[np.argsort(-right[members], kind="stable")]
        _, first = np.unique(blocks[order], return_index=True)
        spread = [*order[np.sort(first)], *order]
        chosen += list(dict.fromkeys(int(i) for i in spread))[:per_class]
    return np.array(chosen)


def credits(classes: tuple[str, ...]) -> list[str]:
    """Whom to thank for the images of each class, with the licence."""
    known = {photo.name: f"{photo.credit}; {photo.licence}" for photo in photos.PHOTOS}
    return [known.get(name, "") for name in classes]
