"""A path of readouts at the paper's size: 2000 hidden units on CIFAR-10, ten penalties, a thousand images attacked.

Goals: ten points of a path under 8 minutes, the robust accuracy of a point on 1000 images under 60 s, on two cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks import page
from bioadv.data import datasets
from bioadv.data.files import write_json
from bioadv.lab import probe_paths, probes, provenance
from bioadv.measure import attacks, smallest
from bioadv.measure.smallest import Effort
from bioadv.network import models, readout

T = TypeVar("T")
FILE = Path("benchmarks/readout.json")
PENALTIES = [10 ** -(i / 2) for i in range(10)]  # 1 to 3e-5
IMAGES = 1000
PATH, LATENTS = "path", "latents"
GOALS = {PATH: 480, "linf": 60, "l2": 60}  # seconds
NAMES = {"linf": "$L^\\infty$", "l2": "$L^2$"}


def main() -> None:
    """Measure once, since a part takes a minute; print, and write the file and its part of the page."""
    data = datasets.load("cifar10")
    model = probes.of_untrained("exemplars", 0, data)
    images, y = datasets.unit_lp(data.train), torch.tensor(data.train.labels)
    seconds = dict[str, float]()
    a = timed(seconds, LATENTS, partial(models.in_batches, model.after, images))
    found = timed(seconds, PATH, lambda: readout.path(a, y, PENALTIES, len(data.train.classes)))
    x, labels = datasets.unit_lp(data.test)[:IMAGES], torch.tensor(data.test.labels[:IMAGES])
    scale = datasets.ceiling(data.test)[:IMAGES]
    subject = probe_paths.with_readout(model, found[4].readout, found[4].bias)
    for norm in attacks.NORMS:
        timed(seconds, norm, partial(smallest.smallest, subject, x, labels, scale, norm, Effort(), 0))
    about = {
        "environment": provenance.environment(),
        "images": IMAGES,
        "penalties": len(PENALTIES),
        "units": model.hidden.shape[0],
        "gradient": max(one.gradient for one in found),
        "seconds": seconds,
    }
    write_json(FILE, about)
    page.write("readout", table(about))
    print(table(about))


def timed(seconds: dict[str, float], name: str, function: Callable[[], T]) -> T:
    """What a function returns; its processor time goes into ``seconds``."""
    start = time.process_time()
    found = function()
    seconds[name] = time.process_time() - start
    print(f"{name:12s}{seconds[name]:9.1f} s ({torch.get_num_threads()} threads)", flush=True)
    return found


def table(found: Mapping[str, Any]) -> str:
    """What the page shows."""
    s = found["seconds"]
    lines = [
        f"| {found['units']} hidden units on CIFAR-10 | goal | measured |",
        "|---|---|---|",
        f"| readouts for {found['penalties']} penalties | at most {GOALS[PATH]} s | {s[PATH]:.0f} s |",
        *(
            f"| smallest perturbations of {found['images']} images, {NAMES[n]} | at most {GOALS[n]} s | {s[n]:.0f} s |"
            for n in NAMES
        ),
    ]
    left = f"Largest entry of a gradient at the end of its path: {found['gradient']:.1g}"
    return "\n".join(lines) + f"\n\n{left}; {page.conditions(found)}.\n"


if __name__ == "__main__":
    main()
