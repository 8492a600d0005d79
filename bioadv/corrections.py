"""What each correction does to a conclusion: the same run read as coded, and read with one thing put right.

Everything comes from the files of the probes; nothing is trained or attacked here. For the chapter "Beyond the paper".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bioadv import powerlaw, results

EXPONENTS = {
    "as coded (float32, before the activation)": "images_float32",
    "operands rounded to TF32": "images_tf32",
    "float32, centred": "images_float32_centred",
    "float64": "images_before",
    "float64, after the activation": "images_after",
}
NORMS = {
    "noise, first failure (as coded)": "noise_norm",
    "FGSM (as coded)": "fgsm_norm",
    "PGD (as coded)": "pgd_norm",
    "PGD, margin loss": "margin_norm",
    "PGD, recommended": "recommended_norm",
    "PGD in an L2 ball": "l2_norm",
    "certified in L2": "certified_l2",
}


def exponents(run: Path, window: tuple[int, int] = powerlaw.IMAGES) -> dict[str, tuple[float, int]]:
    """Exponent of the spectrum on images, and the rank where its line ends, for each estimator of ``EXPONENTS``.

    An estimator that gives complex eigenvalues is read by their real parts, sorted, up to the first that is not
    positive.
    """
    found, spectra = {}, results.read_arrays(run / "spectra.npz")
    for name, key in EXPONENTS.items():
        values = np.sort(np.real(spectra[key]).astype(float))[::-1]
        line = powerlaw.fit(values, window, truncate=True)
        found[name] = (line.alpha, powerlaw.reach(values, line))
    return found


def medians(runs: Mapping[str, Path], common: bool = False) -> dict[str, dict[str, float]]:
    """Median critical norm, by measure of ``NORMS`` and model.

    common: only images that all of these models classify correctly; else, as published, each model has its own. Images
    that never fail count as infinite, so that they are not forgotten in the median.
    """
    stored = {model: results.read_arrays(run / "perturbations.npz") for model, run in runs.items()}
    shared = set.intersection(*(set(found["images"].tolist()) for found in stored.values())) if common else None
    table: dict[str, dict[str, float]] = {}
    for name, key in NORMS.items():
        for model, found in stored.items():
            norms = found[key].astype(float)
            kept = np.isin(found["images"][: len(norms)], list(shared)) if shared is not None else slice(None)
            table.setdefault(name, {})[model] = float(np.median(np.nan_to_num(norms[kept], nan=np.inf)))
    return table


def matched(place: float, places: Sequence[float], values: Sequence[float]) -> float:
    """Value at ``place`` of a curve through points, by linear interpolation of its logarithm; NaN outside the points.

    For the comparison of a model with others that are as accurate, or have as large a Jacobian, as it: places are
    accuracies or norms of the others, values the ratios of critical norms (> 0) to them, in any order.
    """
    order = np.argsort(places)
    at, logs = np.asarray(places, float)[order], np.log(np.asarray(values, float))[order]
    if not len(at) or not at[0] <= place <= at[-1]:
        return float("nan")
    return float(np.exp(np.interp(place, at, logs)))
