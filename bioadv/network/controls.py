"""Hidden layers that nobody trained: what of a KH layer's spectrum and robustness needs the local rule?

Each keeps one thing that a KH layer has and drops the rest; rows have the lengths that the rows of the KH layer of the
same seed have after the metric, so that latents have the same scale. Labels are not looked at. ``exemplars`` are
images; ``gaussian`` rows have the images' mean and covariance, and nothing else of theirs; ``gaussian_centred`` their
covariance only; ``kmeans`` averages over clusters, as competition does; ``pca`` has their principal components and a
flat spectrum; ``white`` nothing but the lengths.
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from bioadv.network.hidden import Given
from bioadv.network.local_learning import metric

Tensor = torch.Tensor
KMEANS_BATCH = 4096  # images per step of scikit-learn's MiniBatchKMeans; it advises more than 256 times the cores


def exemplars(given: Given) -> Tensor:
    """Training images drawn at random without replacement; ``ValueError`` if there are fewer images than units."""
    units = len(given.start)
    if len(given.images) < units:
        raise ValueError(f"{units} units need as many training images, there are {len(given.images)}; give more images")
    chosen = torch.randperm(len(given.images), generator=given.generator)[:units]
    return as_long_as_kh(given.images[chosen], given)


def gaussian(given: Given) -> Tensor:
    """Gaussian rows with the mean and the covariance of the images."""
    return as_long_as_kh(_drawn(given) + given.images.mean(0), given)


def gaussian_centred(given: Given) -> Tensor:
    """Gaussian rows of mean zero with the covariance of the images."""
    return as_long_as_kh(_drawn(given), given)


def kmeans(given: Given) -> Tensor:
    """Centres of as many clusters as there are units (scikit-learn's mini-batch k-means)."""
    from sklearn.cluster import MiniBatchKMeans

    seed = int(torch.randint(2**31, (1,), generator=given.generator))
    found = MiniBatchKMeans(len(given.start), random_state=seed, batch_size=KMEANS_BATCH, n_init=1)
    found.fit(given.images.numpy())
    return as_long_as_kh(torch.from_numpy(found.cluster_centers_).to(given.start), given)


def pca(given: Given) -> Tensor:
    """Random rotations of the leading principal components, all of one length: aligned with the images, but flat.

    With more units than pixels the rows are a random frame: their columns are orthogonal instead.
    """
    centred = (given.images - given.images.mean(0)).double()
    components = torch.linalg.eigh(centred.T @ centred)[1].flip(1)  # (D, D), columns from the largest variance down
    units, used = len(given.start), min(given.start.shape)
    turned = torch.linalg.qr(torch.randn(units, used, generator=given.generator, dtype=torch.float64))[0]
    signs = torch.randint(2, (used,), generator=given.generator) * 2.0 - 1
    return as_long_as_kh((turned * signs @ components[:, :used].T).to(given.start), given)


def white(given: Given) -> Tensor:
    """White Gaussian rows."""
    return as_long_as_kh(torch.randn(given.start.shape, generator=given.generator), given)


def _drawn(given: Given) -> Tensor:
    """Random combinations of the centred images: Gaussian with exactly their covariance, and no matrix to factorise."""
    centred = given.images - given.images.mean(0)
    draws = torch.randn(len(given.start), len(centred), generator=given.generator)
    return draws @ centred / (len(centred) - 1) ** 0.5


def as_long_as_kh(rows: Tensor, given: Given) -> Tensor:
    """The rows (H, D), each with the L2 length of a row of the KH layer after the metric."""
    assert given.layer is not None  # Kind.layer
    lengths = torch.linalg.vector_norm(metric(given.layer, given.p), dim=1, keepdim=True)
    return normalize(rows, dim=1) * lengths
