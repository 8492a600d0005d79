"""Readers of image files: CIFAR-10 and MNIST as torchvision knows them, and folders of the user's images.

Each reader returns ``{"train": (pixels, labels), "test": (pixels, labels)}`` and the names of the classes.
torchvision is imported where it is needed: that takes longer than to load torch itself, and most commands do without.
"""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bioadv.data import pictures
from bioadv.data.image_arrays import FAINTEST, SPLITS, Sets, check_size, shuffled

LITTER = ("__macosx", "@eadir", "thumbs.db", "desktop.ini")  # what systems leave in folders, besides hidden files

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

    raw = root / "MNIST" / "raw"
    _provide(MNIST, root, raw, download)
    arrays = {}
    with tempfile.TemporaryDirectory() as unpacked:
        for key, (file, md5) in MNIST_FILES.items():
            path = raw / file
            if not path.is_file() and (raw / f"{file}.gz").is_file():
                path = _unpacked(raw / f"{file}.gz", unpacked)
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
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".download-") as temporary:
            vision(temporary, download=True)
            folder.parent.mkdir(exist_ok=True)
            shutil.move(Path(temporary) / folder.relative_to(root), folder)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())  # torchvision lists each mirror on a line of its own
        message = f"{name}: could not be downloaded into {root} ({reason}); try again with a network, or {remedy}"
        raise FileNotFoundError(message) from error


def _unpacked(archive: Path, folder: str) -> Path:
    from torchvision.datasets.utils import extract_archive

    try:
        return Path(extract_archive(str(archive), folder))
    except (OSError, EOFError, zlib.error) as error:
        raise FileNotFoundError(
            f"{archive} is damaged ({error}); delete {archive.parent}, then load again to download it"
        ) from error


def _verify(file: Path, md5: str, folder: Path) -> None:
    from torchvision.datasets.utils import check_integrity

    if not check_integrity(str(file), md5):
        raise FileNotFoundError(
            f"{file} is missing or damaged (its MD5 should be {md5}); delete {folder}, then load again to download it"
        )


def from_folder(path: Path) -> tuple[Sets, tuple[str, ...]]:
    """The user's images: ``train/CLASS/*`` and ``test/CLASS/*``, or ``CLASS/*`` (every fifth is kept for testing).

    Hidden files and files that are no pictures are left alone; :mod:`bioadv.data.pictures` says what is made of a
    picture. Images have one channel if all are grey, and float32 pixels if one is deep. Raises ``ValueError`` with the
    file that cannot be used.
    """
    if (path / "train").is_dir() and (path / "test").is_dir():
        files = {split: _files_of_classes(path / split) for split in SPLITS}
    else:
        every = _files_of_classes(path)
        few = [name for name, members in every.items() if len(members) < 5]
        if few:
            raise ValueError(f"{path}: class {few[0]!r} has fewer than 5 images; add some, or make train/ and test/")
        files = {
            split: {c: [f for i, f in enumerate(m) if (i % 5 == 4) == (split == "test")] for c, m in every.items()}
            for split in SPLITS
        }
    if list(files["train"]) != list(files["test"]):
        raise ValueError(
            f"{path}: train/ has classes {list(files['train'])}, test/ has {list(files['test'])}; make them alike"
        )
    listed = {split: [file for group in files[split].values() for file in group] for split in SPLITS}
    stacks = dict(zip(SPLITS, _stacks([listed[split] for split in SPLITS]), strict=True))
    labels = {split: np.repeat(np.arange(len(files[split])), list(map(len, files[split].values()))) for split in SPLITS}
    classes = tuple(os.fsencode(name).decode("utf-8", "backslashreplace") for name in files["train"])
    return shuffled({split: (stacks[split], labels[split]) for split in SPLITS}), classes


def _stacks(groups: Sequence[Sequence[Path]]) -> list[np.ndarray]:
    """The pictures of each group of files as (N, H, W, C), all of one size, number of channels and dtype."""
    first, read = groups[0][0], list[np.ndarray]()
    for file in (file for group in groups for file in group):
        one = pictures.read(file)
        if not read:
            check_size(str(first.parent.parent), sum(map(len, groups)), one.shape)
        elif one.shape[:2] != read[0].shape[:2]:
            (height, width), (rows, columns) = one.shape[:2], read[0].shape[:2]
            sizes = f"{file} is {width} x {height} pixels, {first} is {columns} x {rows}"
            raise ValueError(f"{sizes}; resize all images to one width and height first")
        if one.max() < (FAINTEST if one.dtype == np.float32 else 1):
            raise ValueError(f"{file} is all zero (black) and has no unit-norm version; remove it")
        read.append(one)
    channels = max(one.shape[2] for one in read)
    deep = any(one.dtype == np.float32 for one in read)

    def alike(one: np.ndarray) -> np.ndarray:
        if deep and one.dtype == np.uint8:
            one = one / np.float32(255)
        return np.broadcast_to(one, (*one.shape[:2], channels))

    ends = np.cumsum([0, *map(len, groups)])
    return [np.stack([alike(one) for one in read[a:b]]) for a, b in itertools.pairwise(ends)]


def _files_of_classes(folder: Path) -> dict[str, list[Path]]:
    """Picture files by class; ``ValueError`` for what lies where neither a class nor a picture is expected."""
    known, others = pictures.suffixes()
    entries = _entries(folder)
    classes = [entry for entry in entries if entry.is_dir()]
    files = {entry.name: [f for f in _entries(entry) if f.suffix.lower() in known] for entry in classes}
    for file in (file for entry in classes for file in _entries(entry) if file.suffix.lower() not in known):
        if file.is_dir():
            raise ValueError(
                f"{file} is a folder within a class; make CLASS/*.png, or train/CLASS/*.png and test/CLASS/*.png"
            )
        if file.suffix.lower() in others:
            raise ValueError(f"{file} is a kind of picture that is not read; save it as PNG, or remove it")
    empty = [name for name, members in files.items() if not members]
    if len(files) < 2 or empty:
        found = f"class {empty[0]!r} holds no image" if empty else f"{len(files)} class folders"
        raise ValueError(f"{folder}: {found}; make one sub-folder of images ({', '.join(known)}) for each class")
    beside = [entry for entry in entries if entry.suffix.lower() in (*known, *others) and entry not in classes]
    if beside:
        raise ValueError(f"{beside[0]} lies beside the folders of the classes; move it into one, or remove it")
    return files


def _entries(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        remedy = f"allow reading it: chmod u+rx -- {shlex.quote(str(folder))}"
        raise ValueError(f"{folder} cannot be listed ({error.strerror}); {remedy}") from error
    return [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in LITTER]
