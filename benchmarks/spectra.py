"""Spectra at the paper's size: seconds per estimator, and what each finds where the truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.timing import interleaved, report
from bioadv.measure import powerlaw, spectra
from bioadv.network import models
from bioadv.network.models import TwoLayer

IMAGES, INPUTS, UNITS = 10_000, 3072, 2000


def known(alpha: float, offset: float, generator: torch.Generator) -> torch.Tensor:
    """Latents (10,000, 2000), float64, whose sample covariance has exactly the eigenvalues n^-alpha.

    Cosines of different frequency are orthogonal to each other and to a constant; a reflection then mixes the units,
    and all units get a mean of about ``offset`` standard deviations of the first component.
    """
    n = torch.arange(1, UNITS + 1, dtype=torch.float64)
    x = torch.cos(torch.pi / IMAGES * torch.outer(torch.arange(IMAGES, dtype=torch.float64) + 0.5, n))
    x *= (2 * (IMAGES - 1) / IMAGES * n**-alpha).sqrt()
    v = torch.nn.functional.normalize(torch.randn(UNITS, generator=generator, dtype=torch.float64), dim=0)
    return x.sub_(torch.outer(2 * (x @ v), v)).add_(offset * torch.randn(UNITS, generator=generator, dtype=x.dtype))


def main() -> None:
    """Print seconds, then the exponent at ranks 11 to 500 that each estimator finds for known spectra."""
    generator = torch.Generator().manual_seed(0)
    model = models.init(TwoLayer(INPUTS, UNITS, 10), generator)
    x = torch.rand(IMAGES, INPUTS, generator=generator)
    of_images = spectra.moments(x)
    spectrum = np.arange(1.0, UNITS + 1) ** -2
    first, last = np.arange(5, 25), np.linspace(100, UNITS, 20).astype(int)
    functions: dict[str, Callable[[], object]] = {
        "float64, from the images": lambda: spectra.eigenspectrum(spectra.moments(spectra.latents(model, x))),
        "float64, through Sigma_x": lambda: spectra.eigenspectrum(spectra.linear_moments(of_images, model.hidden)),
        "authors' estimator, float32": lambda: spectra.published(spectra.published_latents(model, x), 0.5),
        "400 windows": lambda: powerlaw.window_map(spectrum, first, last),
    }
    seconds = interleaved(functions, rounds=3, warmup=1)
    report("spectrum of 2000 units over 10,000 images", seconds, "float64, from the images")

    print(
        f"\n{'exponent found at ranks 11 to 500':34s}" + "".join(f"{name:>12s}" for name in ("float64", "f32", "TF32"))
    )
    for alpha in (0.5, 1.0, 2.0, 3.0, 4.0):
        for offset in (0.0, 1.0):
            h = known(alpha, offset, generator)
            found = [spectra.eigenspectrum(spectra.moments(h))]
            found += [spectra.published(h.float().split(1000), 0.0, rounded).real for rounded in (False, True)]
            fits = [powerlaw.fit(values, truncate=True) for values in found]
            marks = [f"{fit.alpha:.3f}" + (f" to {fit.last}" if fit.last < 500 else "") for fit in fits]
            print(f"{f'true {alpha}, mean {offset:g}':34s}" + "".join(f"{mark:>12s}" for mark in marks), flush=True)


if __name__ == "__main__":
    main()
