"""Images by name: photo patches (the default), CIFAR-10, MNIST, noise, or the user's own.

``load("photo-patches")`` needs no network. ``load("cifar10")`` and ``load("mnist")`` go through torchvision: read
from ``data_dir`` or the folder named by ``BIOADV_DATA_DIR``, downloaded where they are absent. ``load("mine.npz")``
and ``load("folder/")`` read the user's own images.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from bioadv.data import checks, image_arrays, image_files, photos

KNOWN = ("photo-patches", "cifar10", "mnist")
DATA_DIR_VARIABLE = "BIOADV_DATA_DIR"


@dataclass(frozen=True, eq=False)
class Images:
    """A set of labelled images.

    Its arrays are read-only views: an array that was given must not be changed afterwards.

    pixels: (N, H, W, C) uint8 in 0..255, or float32 in [0, 1]; labels: (N,) int64, indices into ``classes``;
    blocks: (N,) int64, equal for images that overlap (resample blocks in a bootstrap), or None.

    Raises ``ValueError`` for a wrong shape, dtype or range, NaN pixels, or labels outside the classes.
    """

    pixels: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    name: str
    blocks: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        pixels, labels = np.asarray(self.pixels), np.asarray(self.labels)
        where = f"images {self.name!r}"
        if pixels.ndim != 4 or 0 in pixels.shape:
            raise ValueError(f"{where}: pixels have shape {pixels.shape}; give a non-empty (N, H, W, C) array")
        if np.issubdtype(pixels.dtype, np.floating):
            pixels = pixels.astype(np.float32)
            if not np.isfinite(pixels).all():
                count = int((~np.isfinite(pixels)).any((1, 2, 3)).sum())
                raise ValueError(f"{where}: pixels of {count} images are NaN or infinite; remove or repair them")
            if pixels.min() < 0 or pixels.max() > 1:
                span = f"[{pixels.min():g}, {pixels.max():g}]"
                raise ValueError(f"{where}: float pixels span {span}; scale them to [0, 1], or give uint8 0..255")
        elif pixels.dtype != np.uint8:
            raise ValueError(f"{where}: pixels have dtype {pixels.dtype}; give uint8 (0..255) or float ([0, 1])")
        if labels.shape != (len(pixels),) or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"{where}: labels have shape {labels.shape} and dtype {labels.dtype}; "
                f"give one integer per image, shape ({len(pixels)},)"
            )
        if labels.min() < 0 or labels.max() >= len(self.classes):
            raise ValueError(
                f"{where}: labels span {labels.min()}..{labels.max()} but there are {len(self.classes)} classes; "
                f"number the classes from 0 to {len(self.classes) - 1}"
            )
        if self.blocks is not None and np.shape(self.blocks) != (len(pixels),):
            raise ValueError(f"{where}: blocks have shape {np.shape(self.blocks)}; give one integer per image")
        for name, value in (("pixels", pixels), ("labels", labels.astype(np.int64)), ("blocks", self.blocks)):
            if value is not None:
                view = np.asarray(value).view()
                view.flags.writeable = False
                object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.pixels.shape[1:]
        return height, width, channels

    @property
    def inputs(self) -> int:
        """Number of inputs D = H * W * C of a network that sees these images."""
        return int(np.prod(self.shape))

    @property
    def pixel_max(self) -> float:
        """Largest value a pixel may take: 255 for uint8, 1 for float images."""
        return 255.0 if self.pixels.dtype == np.uint8 else 1.0

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 over dtype, shape, pixels and labels."""
        digest = hashlib.sha256(f"{self.pixels.dtype} {self.pixels.shape}".encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()

    def first(self, count: int) -> Images:
        """The first ``count`` images."""
        if not 1 <= count <= len(self):
            raise ValueError(f"count = {count}, but images {self.name!r} holds {len(self)}; give 1 to {len(self)}")
        blocks = None if self.blocks is None else self.blocks[:count]
        return replace(self, pixels=self.pixels[:count], labels=self.labels[:count], blocks=blocks)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images of one name; ``ValueError`` if their shapes or classes differ."""

    name: str
    train: Images
    test: Images

    def __post_init__(self) -> None:
        if self.train.shape != self.test.shape or self.train.classes != self.test.classes:
            raise ValueError(
                f"dataset {self.name!r}: training images are {self.train.shape} in {len(self.train.classes)} classes, "
                f"test images {self.test.shape} in {len(self.test.classes)}; make them alike"
            )

    @property
    def content_hash(self) -> str:
        """SHA-256 over both sets."""
        return hashlib.sha256((self.train.content_hash + self.test.content_hash).encode()).hexdigest()


def load(name: Path | str = "photo-patches", data_dir: Path | str | None = None, download: bool = True) -> Dataset:
    """Load a dataset by name, or the user's own from an ``.npz`` file or an image folder.

    name: ``photo-patches``, ``cifar10``, ``mnist``; a path to an ``.npz`` with x_train, y_train, x_test, y_test
    (see ``image_arrays.from_npz``); or to a folder with one sub-folder of images per class, or ``train/``
    and ``test/`` with one sub-folder per class each (see ``image_files.from_folder``).
    data_dir: where CIFAR-10 and MNIST lie or are downloaded to; default ``$BIOADV_DATA_DIR``, else the user's cache.
    download: whether these two are fetched where they are absent.

    Raises ``ValueError`` for an unknown name or bad content, ``FileNotFoundError`` for missing files.
    """
    name = os.fspath(name)
    if not name.strip():
        raise ValueError(f"dataset {name!r} is no name; give one of {', '.join(KNOWN)}, an .npz file or a folder")
    path, blocks = Path(name), {}
    if (folder := folder_name(name)) in KNOWN and name not in KNOWN:
        raise ValueError(
            f"dataset {name!r} has the name of {folder}, whose results it would be mixed up with; rename it"
        )
    if name == "photo-patches":
        patches = photos.patch_sets()
        sets = {split: part[:2] for split, part in patches.items()}
        blocks = {split: part[2] for split, part in patches.items()}
        classes = tuple(photo.name for photo in photos.PHOTOS)
    elif name == "cifar10":
        sets, classes = image_files.cifar10(data_folder(data_dir), download)
    elif name == "mnist":
        sets, classes = image_files.mnist(data_folder(data_dir), download)
    elif path.suffix.lower() == ".npz" and os.path.isfile(path):
        sets, classes = image_arrays.from_npz(path)
    elif os.path.isdir(path):  # of os, which says no where Path raises: a name too long, a closed folder
        sets, classes = image_files.from_folder(path)
    else:
        known = ", ".join(KNOWN)
        raise ValueError(
            f"dataset {name!r} is neither one of {known} nor an existing .npz file or folder; give one of these"
        )
    train, test = (Images(*sets[s], classes, f"{name}/{s}", blocks.get(s)) for s in ("train", "test"))
    return Dataset(name, train, test)


def folder_name(name: str) -> str:
    """The name of the folder for what is made with a dataset: the last part of its path, whole.

    So ``photos.a`` and ``photos.b`` differ, as do ``mine.npz`` and a folder ``mine``; ``.`` and ``..`` are the folders
    that they stand for. Raises ``ValueError`` for the root of the disk, which has no name.

    >>> folder_name("photos/../mine.npz")
    'mine.npz'
    """
    last = os.path.basename(os.path.abspath(name))
    if not last:
        raise ValueError(f"dataset {name!r} has no name to file its results under; give a folder below it")
    return last


def results_folder(out: Path, name: str) -> Path:
    """The folder below ``out`` of what is made with a dataset, see :func:`folder_name`.

    Two sets of one name in different places have the same folder; ``bioadv.lab.runner`` tells them apart by content,
    and refuses the second where the first has results. Raises ``ValueError`` if the results would lie among the images
    themselves, or in a folder among them.
    """
    folder = out / folder_name(name)
    images, there = Path(os.path.abspath(name)), Path(os.path.abspath(folder))
    if name not in KNOWN and (there == images or images in there.parents):
        raise ValueError(f"out = {str(out)!r} would put the results into the images, {name!r}; give another folder")
    return folder


def unit_lp(images: Images, p: float = 3.0) -> torch.Tensor:
    """Images as rows of unit L^p norm, x / ||x||_p on raw pixels, no centring (paper: p = 3).

    Returns (N, D) float32, pixels in the order height, width, channel. Raises ``ValueError`` if p < 1 or an image is
    all zero (it has no direction), or if p is so large that the norm of an image is beyond float32, or below it.

    >>> pixels = np.array([[[[3], [4], [5]]]], np.uint8)  # one grey image, 1 pixel high and 3 wide
    >>> unit_lp(Images(pixels, np.array([0]), ("a",), "mine"))  # 216 = 27 + 64 + 125 is 6 cubed
    tensor([[0.5000, 0.6667, 0.8333]])
    """
    if not p >= 1:
        raise ValueError(f"p = {p} is not the order of a norm; give p >= 1 (the paper uses 3)")
    x = torch.empty(len(images), images.inputs)
    for start in range(0, len(images), 5000):  # in pieces: no second copy of a large set in memory
        part = x[start : start + 5000]
        part.copy_(torch.from_numpy(images.pixels[start : start + 5000].reshape(len(part), -1).copy()))
        norms = torch.linalg.vector_norm(part, p, dim=1, keepdim=True)
        if not norms.all():
            index = start + int((norms == 0).nonzero()[0, 0])
            if part[index - start].any():
                raise ValueError(
                    f"p = {p}: the norm of image {index} of {images.name!r} is below float32; give a smaller p"
                )
            raise ValueError(f"image {index} of {images.name!r} is all zero and has no unit-norm version; remove it")
        if not norms.isfinite().all():
            raise ValueError(f"p = {p}: the norms of {images.name!r} are beyond float32; give a smaller p, or infinity")
        part /= norms
    return x


def ceiling(images: Images, p: float = 3.0) -> torch.Tensor:
    """Largest value (N, 1) that a pixel of each unit-L^p image may take: full scale over the norm of the raw image.

    For images that :func:`unit_lp` takes: that of an image that is all zero is infinite.
    """
    flat = torch.from_numpy(images.pixels.reshape(len(images), -1).astype(np.float32))
    return images.pixel_max / torch.linalg.vector_norm(flat, p, dim=1, keepdim=True)


def gaussian_noise(count: int, inputs: int, generator: torch.Generator) -> torch.Tensor:
    """Noise "images" (count, inputs): i.i.d. standard normal pixels, not normalised (paper: noise spectra)."""
    for name, value in (("count", count), ("inputs", inputs)):
        if value < 1:
            raise ValueError(f"{name} = {value}; give at least 1")
    checks.generator(generator)
    return torch.randn(count, inputs, generator=generator)


def data_folder(data_dir: Path | str | None = None) -> Path:
    """Where CIFAR-10 and MNIST lie: ``data_dir``, else ``$BIOADV_DATA_DIR``, else the user's cache.

    ``FileNotFoundError`` if the first or the second is given and no folder: a slip in it should not start a download.
    """
    given = os.environ.get(DATA_DIR_VARIABLE) if data_dir is None else data_dir
    if given is None:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bioadv"
    if not (str(given) and os.path.isdir(given)):
        source = DATA_DIR_VARIABLE if data_dir is None else "data_dir"
        raise FileNotFoundError(f"{source} = {str(given)!r} is no folder; make it, or name the one that holds the data")
    return Path(given)
