"""A tiny set of images that a network learns at once, and a disk that is full."""

import contextlib
import errno

import numpy as np
import pytest

from bioadv.data import files


def write(path, train=60, test=50):
    """Noise of 4 x 4 grey pixels whose bright row is the class, one of three, as an .npz file."""
    rng, parts = np.random.default_rng(0), {}
    for split, count in (("train", train), ("test", test)):
        y = np.arange(count) % 3
        x = rng.integers(20, 80, (count, 4, 4, 1))
        x[np.arange(count), y] += 150
        parts |= {f"x_{split}": x.astype(np.uint8), f"y_{split}": y}
    np.savez(path, **parts)


@contextlib.contextmanager
def full_disk(full):
    """Where a file of the name ``full`` finds no space any more; all others are written."""
    atomic = files.atomic

    def no_space(path):
        if path.name == full:
            raise files.refused(path, OSError(errno.ENOSPC, ""))
        return atomic(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "atomic", no_space)
        yield
