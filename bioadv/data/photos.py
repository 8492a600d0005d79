"""Ten real photographs that install with scikit-image and scikit-learn, cut into 32 x 32 patches.

The label of a patch is the photograph it was cut from. A photograph is divided into square blocks;
every fourth block, along diagonals, belongs to the test set, and a patch never leaves its block, so no
patch straddles the line between training and test. Patches of one block overlap: resample blocks, not
patches, when you bootstrap.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from tqdm import TqdmWarning

PATCH = 32  # pixels, the side of a CIFAR-10 image
BLOCK = 64  # pixels; a block lies wholly in the training set or wholly in the test set
STRIDE = 8  # pixels between neighbouring patches of a block
TRAIN_PER_PHOTO, TEST_PER_PHOTO = 500, 200  # all that the smallest photograph, the cat, yields


@dataclass(frozen=True)
class Photo:
    """A photograph: its name as a class, the loader's name, and whom to thank."""

    name: str
    loader: str
    credit: str
    licence: str


PHOTOS = (
    Photo("astronaut", "astronaut", "NASA, Great Images database", "public domain"),
    Photo("coffee", "coffee", "Rachel Michetti, Pikolo Espresso Bar", "CC0"),
    Photo("cat", "chelsea", "Stéfan van der Walt", "CC0"),
    Photo("rocket", "rocket", "SpaceX", "public domain"),
    Photo("galaxies", "hubble_deep_field", "NASA, Hubble eXtreme Deep Field", "public domain"),
    Photo("retina", "retina", "Mikael Häggström, doi:10.15347/wjm/2014.008", "CC0"),
    Photo("tissue", "immunohistochemistry", "Center for Microscopy and Molecular Imaging", "no known restrictions"),
    Photo("motorcycle", "stereo_motorcycle", "Scharstein et al., Middlebury stereo benchmark 2014", "see benchmark"),
    Photo("temple", "china.jpg", "danielbuechele, Flickr 6061409035", "CC BY 2.0"),
    Photo("flower", "flower.jpg", "vultilion, Flickr 6056698931", "CC BY 2.0"),
)


def photograph(photo: Photo) -> np.ndarray:
    """The photograph as (height, width, 3) uint8; read from the installed packages, never downloaded."""
    import skimage.data  # here, because these two take seconds to import and few commands need them
    from sklearn.datasets import load_sample_image

    if photo.loader.endswith(".jpg"):
        return np.asarray(load_sample_image(photo.loader))
    with warnings.catch_warnings():
        # Its download library asks for progress bars in the notebook's own style, and misses them in the output.
        warnings.simplefilter("ignore", TqdmWarning)
        loaded = getattr(skimage.data, photo.loader)()
    return np.asarray(loaded[0] if isinstance(loaded, tuple) else loaded)  # a stereo pair: the left image


def featureless(patches: np.ndarray) -> np.ndarray:
    """Which patches (N, 32, 32, 3) show nothing: maximum below 16 or standard deviation below 2 (of 255).

    Black sky and borders; an all-zero patch would also have no unit-norm version.
    """
    flat = patches.reshape(len(patches), -1)
    result: np.ndarray = (flat.max(1) < 16) | (flat.std(1) < 2)
    return result


def cut(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut one photograph into ``(patches, blocks, is_test)``.

    patches (N, 32, 32, 3) uint8 in reading order of their blocks, blocks (N,) the block's index within the
    photograph, is_test (N,) bool.
    """
    rows, columns = image.shape[0] // BLOCK, image.shape[1] // BLOCK
    offsets = range(0, BLOCK - PATCH + 1, STRIDE)
    patches, blocks, is_test = [], [], []
    for block in range(rows * columns):
        row, column = divmod(block, columns)
        for dy in offsets:
            for dx in offsets:
                y, x = row * BLOCK + dy, column * BLOCK + dx
                patches.append(image[y : y + PATCH, x : x + PATCH])
                blocks.append(block)
                is_test.append((2 * row + column) % 4 == 0)
    stack = np.stack(patches)
    keep = ~featureless(stack)
    return stack[keep], np.array(blocks)[keep], np.array(is_test)[keep]


def _evenly(patches: np.ndarray, blocks: np.ndarray, count: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    if len(patches) < count:
        raise ValueError(f"photograph {name!r} yields {len(patches)} usable patches, {count} are needed")
    # Evenly spaced rather than random: no random number generator to keep stable across versions.
    chosen = np.linspace(0, len(patches) - 1, count).round().astype(int)
    return patches[chosen], blocks[chosen]


def patch_sets() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All patches as ``{"train": (pixels, labels, blocks), "test": ...}``.

    pixels (N, 32, 32, 3) uint8; labels (N,) int64; blocks (N,) int64, distinct between photographs. N is 5000
    and 2000. Classes alternate, so that any leading part is balanced.
    """
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"train": [], "test": []}
    for photo in PHOTOS:
        patches, blocks, is_test = cut(photograph(photo))
        for split, mask, count in (("train", ~is_test, TRAIN_PER_PHOTO), ("test", is_test, TEST_PER_PHOTO)):
            parts[split].append(_evenly(patches[mask], blocks[mask], count, photo.name))
    result = {}
    for split, per_photo in parts.items():
        pixels = np.stack([p for p, _ in per_photo], axis=1).reshape(-1, PATCH, PATCH, 3)
        blocks = np.stack([10_000 * i + b for i, (_, b) in enumerate(per_photo)], axis=1).reshape(-1)
        labels = np.tile(np.arange(len(PHOTOS)), len(pixels) // len(PHOTOS))
        result[split] = (pixels, labels, blocks.astype(np.int64))
    return result
