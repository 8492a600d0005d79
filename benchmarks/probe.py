"""The perturbation probe beside itself as it was: torch's own products, and all units, also those that are zero.

``python -m benchmarks probe`` writes ``benchmarks/probe.json`` and its part of ``book/cost.md``. Subject: random
features with a trained readout on CIFAR-10, and the same with a quarter of the units at zero, as in the network that
the published Jacobian term leaves. ``BIOADV_BENCHMARK_IMAGES`` images, in seconds of the processor.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks import page
from benchmarks.timing import interleaved, report
from bioadv.data.datasets import load, unit_lp
from bioadv.data.files import write_json
from bioadv.lab import provenance
from bioadv.measure import attacks, critical, gradient_ascent, noise
from bioadv.network import models, products, training
from bioadv.network.models import TwoLayer
from bioadv.network.recipes import Recipe

Tensor = torch.Tensor
FILE = Path("benchmarks/probe.json")
IMAGES, UNITS, EMPTY = int(os.environ.get("BIOADV_BENCHMARK_IMAGES", "1000")), 2000, 500
GOAL, SLOW, ROWS, ALIKE = 0.5, 1.5, 0.8, 0.995


@contextlib.contextmanager
def before() -> Iterator[None]:
    """As it was: torch's own products, models as they are."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(products, "library", return_value="torch"))
        for module in (attacks, critical, noise):
            stack.enter_context(mock.patch.object(module, "frozen", lambda model: model))
        yield


def subject(x: Tensor, y: Tensor) -> TwoLayer:
    """Random features whose readout is trained."""
    model = models.init(TwoLayer(x.shape[1], UNITS, 10), torch.Generator().manual_seed(0))
    latents, order = models.in_batches(model.after, x), torch.Generator().manual_seed(1)
    training.fit(model, latents, y, Recipe("constant", epochs=20), order, readout_only=True, progress=False)
    return model.eval()


def searched(model: TwoLayer, x: Tensor, y: Tensor) -> dict[str, np.ndarray]:
    """What the probe does most: critical strengths under FGSM and PGD as coded, and noise."""
    near = critical.guess(model, x, y)
    fgsm = critical.search(model, x, y, critical.fgsm(model, x, y), near=near).index
    pgd = critical.search(model, x, y, critical.pgd(model, x, y), near=fgsm.clip(0, len(critical.GRID) - 1)).index
    generator = torch.Generator().manual_seed(critical.SEED)
    draws = noise.pool(model, generator, 1000)
    return {"FGSM": fgsm, "PGD": pgd, "noise": noise.sweep(model, x, y, draws, generator).first.index}


def emptied(model: TwoLayer) -> TwoLayer:
    """The model with some units at zero."""
    light = TwoLayer(model.hidden.shape[1], UNITS, 10).requires_grad_(False)
    light.load_state_dict(model.state_dict())
    light.hidden[:EMPTY] = 0
    return light.eval()


def table(found: Mapping[str, Any]) -> str:
    """What the page shows."""
    s, alike = found["seconds"], found["alike"]
    ratio, rows = s["today"] / s["before"], s["empty, today"] / s["empty, before"]
    parts = ", ".join(f"{share:.1%} under {name}" for name, share in alike.items())
    slow = found["default is slow"]
    bar = f"{ratio:.2f}" if slow >= SLOW else f"this processor is none: {slow:.2f} times"
    lines = [
        "| perturbation probe, today beside before | goal | measured |",
        "|---|---|---|",
        f"| time, where torch's own products take {SLOW:g} times as long as the fastest | at most {GOAL:g} | {bar} |",
        f"| time on this processor | at most 1 | {ratio:.2f} |",
        f"| time of a PGD attack where a quarter of the units is zero | at most {ROWS:g} | {rows:.2f} |",
        f"| images at the same point of the grid | at least {ALIKE:.1%} | {min(alike.values()):.1%} |",
    ]
    return "\n".join(lines) + f"\n\n{found['images']} images: {parts}; {page.conditions(found)}.\n"


def main() -> None:
    """Measure, print, and write the file and its part of the page."""
    data = load("cifar10")
    x, y = unit_lp(data.train.first(10_000)), torch.tensor(data.train.labels[:10_000])
    model = subject(x, y)
    right = critical.correct(model, x, y)[:IMAGES]
    x, y = x[right].clone(), y[right]
    seconds, indices = {}, {}
    for name, how in (("before", before), ("today", contextlib.nullcontext)):
        with how():
            start = time.process_time()
            indices[name] = searched(model, x, y)
            seconds[name] = time.process_time() - start
        print(f"{name}: {seconds[name]:.1f} s for {len(x)} images", flush=True)
    light, few = emptied(model), slice(250)
    labels = light(x[few]).argmax(1)

    def attack() -> object:
        return gradient_ascent.pgd(light, x[few], labels, 2e-3, gradient_ascent.PGD(steps=5))

    def as_before() -> object:
        with mock.patch.object(attacks, "frozen", lambda model: model):
            return attack()

    def product(library: str) -> object:
        with mock.patch.object(products, "library", return_value=library):
            return products.product(x, model.hidden)

    timed = interleaved({"empty, today": attack, "empty, before": as_before}, 4, 1, time.process_time)
    libraries = {"torch": lambda: product("torch"), "fastest": lambda: products.product(x, model.hidden)}
    slow = interleaved(libraries, 5, 1, time.process_time)
    report("PGD, a quarter of the units at zero", timed, "empty, before")
    found = {
        "environment": provenance.environment(),
        "images": len(x),
        "seconds": {**seconds, **{name: min(values) for name, values in timed.items()}},
        "default is slow": min(slow["torch"]) / min(slow["fastest"]),
        "alike": {key: float((indices["today"][key] == indices["before"][key]).mean()) for key in indices["today"]},
    }
    write_json(FILE, found)
    page.write("probe", table(found))
    print(table(found))


if __name__ == "__main__":
    main()
