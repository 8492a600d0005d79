import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings

from bioadv.data import datasets, downloads

# The same examples in every run, however busy the machine: a failure can be repeated.
settings.register_profile("bioadv", derandomize=True, deadline=None)
settings.load_profile("bioadv")

# Trainings of live cells, and of chapters that tests run, go into a cache of this process and not into the user's.
CACHE = tempfile.TemporaryDirectory(prefix="bioadv-cache-")
os.environ[downloads.CACHE_VARIABLE] = CACHE.name

# Real CIFAR-10 and MNIST are used where a folder is given; tests never download.
DATA_DIR = os.environ.get(datasets.DATA_DIR_VARIABLE)


# Minutes each; first, so that no worker is still busy with one of them when all others are done.
LONGEST = ("test_stored_results", "test_live", "test_pages", "test_workflow", "test_extending", "test_explorer")


def pytest_collection_modifyitems(items):
    """The longest modules come first, all else in the order in which it was found."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.fixture(autouse=True)
def _arithmetic():
    """The command counts the smallest numbers as zero, chapters keep numpy quiet; no test hands that on to the next."""
    with np.errstate():
        yield
    torch.set_flush_denormal(False)


def _real(name):
    if not DATA_DIR:
        pytest.skip(f"set {datasets.DATA_DIR_VARIABLE} to a folder with {name} to run this test")
    if not (Path(DATA_DIR) / {"cifar10": "cifar-10-batches-py", "mnist": "MNIST"}[name]).is_dir():
        pytest.skip(f"{datasets.DATA_DIR_VARIABLE} holds no {name}")
    return datasets.load(name, download=False)


@pytest.fixture(scope="session")
def cifar10():
    return _real("cifar10")


@pytest.fixture(scope="session")
def mnist():
    return _real("mnist")


@pytest.fixture(scope="session")
def patches():
    return datasets.load("photo-patches")


@pytest.fixture(scope="session")
def x_patches(patches):
    return datasets.unit_lp(patches.train)


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)
