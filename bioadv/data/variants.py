"""Images with something taken from them, as rows: their edges, or their spectrum.

``rows("cifar10-scrambled")`` keeps the amplitudes of each image's Fourier components and draws their phases anew, the
same for the three colours: edges and objects are gone, the covariance is nearly the images' own.
``rows("cifar10-whitened")`` has the directions of the images and a flat spectrum. Any other name is that of a dataset.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from bioadv.data import datasets
from bioadv.data.datasets import Dataset
from bioadv.data.moments import of_batches

Tensor = torch.Tensor
SCRAMBLED, WHITENED = "-scrambled", "-whitened"
FLATTEST = 1e-12  # share of the largest variance; directions with less have no variance to divide by
PHASES = 740_000  # seed of the phases of training images, the next one of test images


@dataclass(frozen=True, eq=False)
class Rows:
    """Training (N, D) and test images (M, D) as rows of unit L^p norm, float32; digest: of the images they are from."""

    name: str
    train: Tensor = field(repr=False)
    test: Tensor = field(repr=False)
    digest: str


def base(name: str) -> str:
    """The dataset that a variant is made from; of a name with both suffixes only the last is taken away."""
    return name.removesuffix(SCRAMBLED if name.endswith(SCRAMBLED) else WHITENED)


def rows(name: str, count: int | None = None, p: float = 3.0) -> Rows:
    """A dataset or a variant of it, with the first ``count`` training images, or with all that there are if fewer.

    Raises what :func:`bioadv.data.datasets.load` raises, and ``ValueError`` for a count below 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"count = {count}; give at least 1, or None for all training images")
    data = datasets.load(base(name))
    make = whitened if name.endswith(WHITENED) else scrambled if name.endswith(SCRAMBLED) else plain
    train, test = make(data, count, p)
    return Rows(name, train, test, data.content_hash)


def plain(data: Dataset, count: int | None, p: float) -> tuple[Tensor, Tensor]:
    """The images as they are."""
    part = data.train if count is None else data.train.first(min(count, len(data.train)))
    return datasets.unit_lp(part, p), datasets.unit_lp(data.test, p)


def scrambled(data: Dataset, count: int | None, p: float) -> tuple[Tensor, Tensor]:
    """Each image with phases of its own; pixels may leave the range of images, a few below zero."""
    sets = []
    for seed, x in enumerate(plain(data, count, p)):
        generator = torch.Generator().manual_seed(PHASES + seed)
        height, width, channels = data.train.shape
        found = torch.empty_like(x)
        for start in range(0, len(x), 1000):
            part = x[start : start + 1000].reshape(-1, height, width, channels).movedim(3, 1)
            found[start : start + len(part)] = new_phases(part, generator).movedim(1, 3).flatten(1)
        sets.append(_unit(found, p))
    return sets[0], sets[1]


def new_phases(images: Tensor, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W) with random phases, alike in all channels; means and amplitudes stay."""
    noise = torch.randn(len(images), 1, *images.shape[2:], generator=generator)
    turn = torch.fft.fft2(noise)
    turn = turn / turn.abs()
    turn[:, :, 0, 0] = 1  # the mean keeps its sign
    # A phase is added, not replaced, so that colours keep theirs relative to each other.
    return torch.fft.ifft2(torch.fft.fft2(images) * turn).real


def whitened(data: Dataset, count: int | None, p: float) -> tuple[Tensor, Tensor]:
    """ZCA: each principal component divided by its standard deviation, over all training images; the mean removed."""
    train, test = plain(data, None, p)
    of = of_batches(part.double() for part in train.split(5000))
    variances, components = torch.linalg.eigh(of.covariance)
    kept = variances > FLATTEST * variances[-1]
    turn = (components[:, kept] / variances[kept].sqrt()) @ components[:, kept].T
    return tuple(_unit(((x.double() - of.mean) @ turn).float(), p) for x in (train[:count], test))  # type: ignore[return-value]


def _unit(x: Tensor, p: float) -> Tensor:
    return x / torch.linalg.vector_norm(x, p, dim=1, keepdim=True)
