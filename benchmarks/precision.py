"""bfloat16 products against float32 on CIFAR-10: do accuracy and exponents agree within what two seeds differ?

``python -m benchmarks precision``; ``EPOCHS`` of ``MODELS`` for each seed and precision, some five minutes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from bioadv.data.datasets import load, unit_lp
from bioadv.data.files import read_arrays, read_json
from bioadv.lab import runner
from bioadv.lab.jobs import Where
from bioadv.lab.runs import WEIGHTS
from bioadv.measure import powerlaw, spectra
from bioadv.network import models

MODELS, SEEDS, EPOCHS = ("bp",), (0, 1), 10


def main() -> None:
    """Print each run, and the gap between precisions beside the gap between seeds."""
    data = load("cifar10")
    of_images = spectra.moments(unit_lp(data.test))
    print(f"\n{', '.join(MODELS)} on {data.name}, {EPOCHS} epochs")
    print(f"{'model':10s}{'seed':>6s}{'products':>12s}{'accuracy':>10s}{'alpha 11-500':>14s}{'s per epoch':>13s}")
    for name in MODELS:
        found = {}
        for seed in SEEDS:
            for dtype in ("float32", "bfloat16"):
                with tempfile.TemporaryDirectory() as folder:
                    run = runner.train(name, data, seed, Where(Path(folder), dtype=dtype, progress=False), EPOCHS)
                    log, model = read_arrays(run / "log.npz"), models.load(run / WEIGHTS)
                    speed = read_json(run / "manifest.json")["seconds"] / EPOCHS
                hidden = model.hidden.detach()
                values = spectra.eigenspectrum(spectra.linear_moments(of_images, hidden)).numpy()
                one = float(log["test_accuracy"][-1]), powerlaw.fit(values, powerlaw.IMAGES).alpha
                found[seed, dtype] = one
                print(f"{name:10s}{seed:6d}{dtype:>12s}{one[0]:10.4f}{one[1]:14.3f}{speed:13.2f}", flush=True)
        for index, what in enumerate(("accuracy", "exponent")):
            between = [abs(found[s, "bfloat16"][index] - found[s, "float32"][index]) for s in SEEDS]
            seeds = [abs(found[SEEDS[0], d][index] - found[SEEDS[1], d][index]) for d in ("float32", "bfloat16")]
            print(f"{name}, {what}: precisions differ by {max(between):.4f} at most, seeds by {max(seeds):.4f}")
