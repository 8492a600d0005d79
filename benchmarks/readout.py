"""A path of readouts at the paper's size: 2000 hidden units on CIFAR-10, ten penalties, a thousand images attacked.

Goals: ten points of a path under 8 minutes, the robust accuracy of a point on 1000 images under 60 s, on two cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

import torch

from bioadv.data import datasets
from bioadv.lab import probe_paths, probes
from bioadv.measure import attacks, smallest
from bioadv.measure.smallest import Effort
from bioadv.network import models, readout

T = TypeVar("T")
PENALTIES = [10 ** -(i / 2) for i in range(10)]  # 1 to 3e-5
IMAGES = 1000


def main() -> None:
    """Print wall seconds, and the processor's seconds, of each part; once, since a part takes minutes."""
    data = datasets.load("cifar10")
    model = probes.of_untrained("exemplars", 0, data)
    images, y = datasets.unit_lp(data.train), torch.tensor(data.train.labels)
    a = timed("latents of the training images", partial(models.in_batches, model.after, images))
    found = timed(f"{len(PENALTIES)} penalties", lambda: readout.path(a, y, PENALTIES, len(data.train.classes)))
    print(f"largest gradient left: {max(one.gradient for one in found):.1e}")
    x, labels = datasets.unit_lp(data.test)[:IMAGES], torch.tensor(data.test.labels[:IMAGES])
    scale = datasets.ceiling(data.test)[:IMAGES]
    subject = probe_paths.with_readout(model, found[4].readout, found[4].bias)
    for norm in attacks.NORMS:
        search = partial(smallest.smallest, subject, x, labels, scale, norm, Effort(), 0)
        timed(f"smallest {norm} perturbation of {IMAGES} images", search)


def timed(name: str, function: Callable[[], T]) -> T:
    """What a function returns; prints how long it took."""
    wall, processor = time.perf_counter(), time.process_time()
    found = function()
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{name:50s}{wall:9.1f} s{processor:9.1f} s of processors ({torch.get_num_threads()} threads)", flush=True)
    return found
