"""The six small networks that the explorer runs in the page, and the images it offers: trained here, written as arrays.

They are those of the chapter on robustness (100 hidden units on photo patches, see :mod:`bioadv.lab.live`) and one
more, whose units are unlearned images. The page computes with the rounded numbers in the file, and so do the
accuracies here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from bioadv.data import photos
from bioadv.data.datasets import Dataset, unit_lp
from bioadv.lab import live, scales, study
from bioadv.network import training
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
# Float16 throughout would leave little room for the results: layers that nobody trained have 8 bits.
BITS = {"random": np.int8, "exemplars": np.uint8}
PER_CLASS = 3  # images that the page offers of each photograph


@dataclass(frozen=True)
class Network:
    """A network as the page has it.

    name: in the registry; hidden (H, D) as stored, times ``scale`` (H,) float32 the weights M;
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


def train_all(data: Dataset, seed: int = 0, sizes: scales.Scale | None = None) -> list[Network]:
    """Train the six networks on a dataset as the chapters' live cells do, a few minutes; the order is the page's."""
    layer = live.train_layer(data, sizes, seed).synapses
    x_test, y_test = unit_lp(data.test), torch.tensor(data.test.labels)
    found = []
    for name in study.members("explorer"):
        model = live.train(name, data, layer, sizes, seed).model
        hidden, scale = rounded(model.hidden.detach(), name)
        readout, bias = (value.detach().numpy().astype(np.float32) for value in (model.readout, model.bias))
        network = Network(name, hidden, scale, model.power, readout, bias, 0.0)
        found.append(replace(network, accuracy=training.accuracy(network.model(), x_test, y_test)))
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
