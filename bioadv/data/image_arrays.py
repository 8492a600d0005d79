"""Reader of the user's images in an ``.npz`` file.

What cannot be used is refused here, by its own index: afterwards the images are put in a random order, always the same
one. Files are often sorted by class, and a validation set, or the first few images, should hold all classes.
"""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np

Sets = dict[str, tuple[np.ndarray, np.ndarray]]
SPLITS = ("train", "test")
KEYS = ("x_train", "y_train", "x_test", "y_test")
FAINTEST = 1e-6  # share of full scale; the cubes of fainter pixels vanish in float32, and with them the unit norm


def from_npz(path: Path) -> tuple[Sets, tuple[str, ...]]:
    """The user's images from an ``.npz`` file with x_train, y_train, x_test, y_test; nothing else in it is read.

    Images are (N, H, W, C), C = 1 or 3, or (N, H, W), uint8 or float in [0, 1]. Labels are any integers or texts, (N,)
    or (N, 1): each value is a class. Raises ``ValueError`` with the array and the index of what cannot be used.
    """
    arrays = _read_npz(path)
    pixels = {split: _checked(f"{path}: x_{split}", arrays[f"x_{split}"]) for split in SPLITS}
    found = {split: _by_value(f"{path}: y_{split}", arrays[f"y_{split}"]) for split in SPLITS}
    for split in SPLITS:
        if len(pixels[split]) != len(found[split][1]):
            raise ValueError(
                f"{path}: x_{split} holds {len(pixels[split])} images, y_{split} {len(found[split][1])} labels; "
                "give one label per image"
            )
    classes, images = found["train"][0], len(pixels["train"])
    if len(classes) < 2:
        raise ValueError(f"{path}: all images of x_train have the label {classes[0]}; add images of another class")
    if len(classes) == images:
        raise ValueError(
            f"{path}: the {images} images of x_train have {images} different labels (such as {classes[-1]}); "
            "give labels that tell the class of an image, not the image"
        )
    position = {name: index for index, name in enumerate(classes)}
    alone = [name for name in found["test"][0] if name not in position]
    if alone:
        raise ValueError(
            f"{path}: y_test has labels that y_train lacks ({', '.join(alone[:5])}); "
            "add training images of these classes, or remove them from the test images"
        )
    of_test = np.array([position[name] for name in found["test"][0]])[found["test"][1]]
    labels = {"train": found["train"][1], "test": of_test}
    return shuffled({split: (pixels[split], labels[split]) for split in SPLITS}), classes


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    """The four arrays; each is checked by its header, so that nothing is allocated for what the file does not hold."""
    try:
        with zipfile.ZipFile(path) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files written under Python 2
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [key for key in KEYS if key not in members]
            if not missing:
                return {key: _member(archive, members[key]) for key in KEYS}
    except Exception as error:  # on damaged files zipfile and numpy raise errors of any kind
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as an .npz file ({reason}); make it again with numpy.savez") from error
    raise ValueError(f"{path} lacks {', '.join(missing)} (it has {', '.join(members)}); add them")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects; give it a dtype of numbers or texts")
        size = dtype.itemsize
        for length in shape:
            size *= length  # integers of Python, which do not overflow
        held = info.file_size - file.tell()
        if size != held or min(shape, default=0) < 0:
            raise ValueError(f"{info.filename} should have {size} bytes for shape {shape} and has {held}")
        fits(info.filename, size)
    with archive.open(info) as file:
        return np.asarray(np.lib.format.read_array(file, allow_pickle=False))


def fits(what: str, size: int) -> None:
    """``ValueError`` if ``size`` bytes for ``what`` are more than this machine has memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise ValueError(
            f"{what}: {size / 1e9:.3g} GB are more than this machine's memory of {memory / 1e9:.3g} GB; "
            "give fewer or smaller images"
        )


def _checked(where: str, x: np.ndarray) -> np.ndarray:
    """Pixels as (N, H, W, C) of a fit shape and range; ``ValueError`` with the remedy, or the index of a bad image."""
    if x.ndim == 3 and x.shape[2] not in (1, 3):
        x = x[..., None]
    if x.ndim != 4 or 0 in x.shape or x.shape[3] not in (1, 3):
        raise ValueError(f"{where} has shape {x.shape}; {_remedy(x.shape)}")
    if x.dtype.kind != "f" and x.dtype != np.uint8:
        raise ValueError(
            f"{where} has dtype {x.dtype}; give uint8 (0..255; if it has that range: x.astype(numpy.uint8)) "
            "or float in [0, 1]"
        )
    check_size(where, len(x), x.shape[1:])
    rows = x.reshape(len(x), -1)
    if x.dtype.kind == "f":
        _refuse(where, ~np.isfinite(rows).all(1), "has a pixel that is NaN or infinite; repair or remove it")
        out = (rows.min(1) < 0) | (rows.max(1) > 1)
        span = f"{rows.min():g} to {rows.max():g}"
        _refuse(where, out, f"has pixels outside [0, 1] (all: {span}); scale them, x / 255 if they are 0..255")
    faintest = FAINTEST if x.dtype.kind == "f" else 1
    _refuse(where, rows.max(1) < faintest, "is all zero (black) and has no unit-norm version; remove it")
    return x


def _remedy(shape: tuple[int, ...]) -> str:
    wanted = "give (N, H, W) for grey or (N, H, W, 3) for RGB"
    if 0 in shape:
        return "give at least one image"
    if len(shape) == 3:
        return f"{wanted}, or (N, H, {shape[2]}, 1) if these are grey images {shape[2]} pixels wide"
    if len(shape) == 4 and shape[1] in (1, 3):
        return f"it looks like (N, C, H, W): {wanted}, x.transpose(0, 2, 3, 1)"
    if len(shape) == 4 and shape[2] in (1, 3):
        return f"it looks like (H, W, C, N): {wanted}, x.transpose(3, 0, 1, 2)"
    if len(shape) == 4 and shape[3] == 4:
        return f"{wanted}; if the fourth channel is alpha, x[..., :3] leaves it out"
    return f"{wanted}, for example x.reshape(-1, H, W, 3)"


def check_size(where: str, count: int, shape: tuple[int, ...]) -> None:
    """``ValueError`` if images of a shape (H, W, C) have no direction, or do not fit into memory as float32."""
    inputs = int(np.prod(shape))
    if inputs < 2:
        raise ValueError(f"{where}: images of shape {shape} are all alike at unit norm; give at least two pixels")
    fits(f"{where} as float32", 4 * count * inputs)


def _refuse(where: str, bad: np.ndarray, reason: str) -> None:
    """``ValueError`` naming the first of the bad images (N,) by its index in the user's array, and their number."""
    if bad.any():
        others = f" (and {bad.sum() - 1} more)" if bad.sum() > 1 else ""
        raise ValueError(f"{where}: image {np.flatnonzero(bad)[0]}{others} {reason}")


def _by_value(where: str, y: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The different labels in order, as texts, and each image's index among them; any integers or texts will do."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or not y.size:
        remedy = "y.argmax(1) if these are one-hot" if y.ndim == 2 else "one label per image"
        raise ValueError(f"{where} has shape {y.shape}; give shape (N,), {remedy}")
    if y.dtype.kind not in "biufSU":
        raise ValueError(f"{where} has dtype {y.dtype}; give integers or texts")
    if y.dtype.kind == "f":
        bad = ~(np.isfinite(y) & (y == np.round(y)))
        if bad.any():
            raise ValueError(f"{where}[{np.flatnonzero(bad)[0]}] = {y[bad][0]}; give integers or texts as labels")
    values, codes = np.unique(y, return_inverse=True)
    if y.dtype.kind == "S":
        return tuple(value.decode("utf-8", "backslashreplace") for value in values), codes
    return tuple(str(int(value) if y.dtype.kind == "f" else value) for value in values), codes


def shuffled(sets: Sets) -> Sets:
    """Images and labels in a fixed random order."""
    orders = {split: np.random.default_rng(0).permutation(len(labels)) for split, (_, labels) in sets.items()}
    return {split: (pixels[orders[split]], labels[orders[split]]) for split, (pixels, labels) in sets.items()}
