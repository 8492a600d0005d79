"""Readers of image files: CIFAR-10 and MNIST as torchvision knows them, ``.npz`` files and folders of images.

Each reader returns ``{"train": (pixels, labels), "test": (pixels, labels)}`` and the names of the classes; what is
read is checked by :class:`bioadv.data.datasets.Images`. The user's images are put in a random order, always the same
one: files are often sorted by class, and a validation set, or the first few images, should hold all classes.
torchvision is imported where it is needed: that takes longer than to load torch itself, and most commands do without.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from bioadv.data.files import read_arrays

Sets = dict[str, tuple[np.ndarray, np.ndarray]]

# MD5 of the unpacked files; torchvision checks those of the archives only.
MNIST_FILES = {
    ("train", "pixels"): ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
    ("train", "labels"): ("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624"),
    ("test", "pixels"): ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    ("test", "labels"): ("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637"),
}


def cifar10(root: Path, download: bool = True) -> tuple[Sets, tuple[str, ...]]:
    """CIFAR-10 below ``root``; every file's MD5 is verified. ``FileNotFoundError`` says what is missing or damaged."""
    from torchvision.datasets import CIFAR10

    vision, folder = CIFAR10, root / CIFAR10.base_folder
    _provide(vision, root, folder, download)
    for file, md5 in [*vision.train_list, *vision.test_list, (vision.meta["filename"], vision.meta["md5"])]:
        _verify(folder / file, md5, folder)
    parts = {split: vision(str(root), train=split == "train") for split in ("train", "test")}
    sets = {split: (part.data, np.array(part.targets)) for split, part in parts.items()}
    return sets, tuple(parts["train"].classes)


def mnist(root: Path, download: bool = True) -> tuple[Sets, tuple[str, ...]]:
    """MNIST below ``root``, its files unpacked or gzipped; the MD5 of the unpacked content is verified."""
    from torchvision.datasets.mnist import MNIST, read_sn3_pascalvincent_tensor
    from torchvision.datasets.utils import extract_archive

    raw = root / "MNIST" / "raw"
    _provide(MNIST, root, raw, download)
    arrays = {}
    with tempfile.TemporaryDirectory() as unpacked:
        for key, (file, md5) in MNIST_FILES.items():
            path = raw / file
            if not path.is_file() and (raw / f"{file}.gz").is_file():
                path = Path(extract_archive(str(raw / f"{file}.gz"), unpacked))
            _verify(path, md5, raw)
            arrays[key] = read_sn3_pascalvincent_tensor(str(path)).numpy()
    sets = {s: (arrays[s, "pixels"][..., None], arrays[s, "labels"].astype(np.int64)) for s in ("train", "test")}
    return sets, tuple("0123456789")


def _provide(vision: type, root: Path, folder: Path, download: bool) -> None:
    """Download into a temporary folder, let torchvision verify the archives, then rename: never half a dataset."""
    if folder.is_dir():
        return
    name = vision.__name__.lower()
    remedy = "set data_dir or BIOADV_DATA_DIR to a folder that holds it"
    if not download:
        raise FileNotFoundError(f"{name}: no folder {folder}; allow the download (needs the network), or {remedy}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            vision(temporary, download=True)
            shutil.move(Path(temporary) / folder.relative_to(root), folder)
    except (OSError, RuntimeError) as error:
        message = f"{name}: could not be downloaded into {root} ({error}); try again with a network, or {remedy}"
        raise FileNotFoundError(message) from error


def _verify(file: Path, md5: str, folder: Path) -> None:
    from torchvision.datasets.utils import check_integrity

    if not check_integrity(str(file), md5):
        raise FileNotFoundError(
            f"{file} is missing or damaged (its MD5 should be {md5}); delete {folder}, then load again to download it"
        )


def from_npz(path: Path) -> tuple[Sets, tuple[str, ...]]:
    """The user's images from an ``.npz`` file with x_train, y_train, x_test, y_test; grey ones may be (N, H, W)."""
    arrays = read_arrays(path)
    missing = [key for key in ("x_train", "y_train", "x_test", "y_test") if key not in arrays]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)} (it has {', '.join(arrays)}); add them")
    sets = {}
    for split in ("train", "test"):
        pixels, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if not labels.size or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{path}: y_{split} has dtype {labels.dtype}, size {labels.size}; give integer labels")
        sets[split] = (pixels[..., None] if pixels.ndim == 3 else pixels, labels)
    count = 1 + max(int(labels.max()) for _, labels in sets.values())
    return _shuffled(sets), tuple(str(label) for label in range(count))


def from_folder(path: Path) -> tuple[Sets, tuple[str, ...]]:
    """The user's images: ``train/CLASS/*`` and ``test/CLASS/*``, or ``CLASS/*`` (every fifth is kept for testing)."""
    if (path / "train").is_dir() and (path / "test").is_dir():
        files = {split: _files_of_classes(path / split) for split in ("train", "test")}
    else:
        every = _files_of_classes(path)
        few = [name for name, members in every.items() if len(members) < 5]
        if few:
            raise ValueError(f"{path}: class {few[0]!r} has fewer than 5 images; add some, or make train/ and test/")
        files = {
            split: {c: [f for i, f in enumerate(m) if (i % 5 == 4) == (split == "test")] for c, m in every.items()}
            for split in ("train", "test")
        }
    if list(files["train"]) != list(files["test"]):
        raise ValueError(
            f"{path}: train/ has classes {list(files['train'])}, test/ has {list(files['test'])}; make them alike"
        )
    first = next(iter(files["train"].values()))[0]
    sets = {}
    for split, members in files.items():
        pixels = np.stack([_read(file, first) for group in members.values() for file in group])
        sets[split] = (pixels, np.repeat(np.arange(len(members)), [len(group) for group in members.values()]))
    return _shuffled(sets), tuple(files["train"])


def _shuffled(sets: Sets) -> Sets:
    """Images and labels in a fixed random order; sets of unequal lengths are left to the check of what was read."""
    orders = {s: np.random.default_rng(0).permutation(len(labels)) for s, (_, labels) in sets.items()}
    return {s: (p[orders[s]], y[orders[s]]) if len(p) == len(y) else (p, y) for s, (p, y) in sets.items()}


def _files_of_classes(folder: Path) -> dict[str, list[Path]]:
    from torchvision.datasets.folder import IMG_EXTENSIONS

    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    files = {c.name: sorted(f for f in c.iterdir() if f.suffix.lower() in IMG_EXTENSIONS) for c in classes}
    empty = [name for name, members in files.items() if not members]
    if len(files) < 2 or empty:
        found = f"class {empty[0]!r} holds no image" if empty else f"{len(files)} class folders"
        raise ValueError(
            f"{folder}: {found}; make one sub-folder of images ({', '.join(IMG_EXTENSIONS)}) for each class"
        )
    return files


def _read(file: Path, like: Path) -> np.ndarray:
    try:
        with Image.open(file) as image, Image.open(like) as first:
            if image.size != first.size:
                sizes = f"{file} is {image.width} x {image.height} pixels, {like} is {first.width} x {first.height}"
                raise ValueError(f"{sizes}; resize all images to one width and height first")
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{file} cannot be read as an image ({error}); repair or remove it") from error
