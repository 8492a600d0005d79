"""What the probe ``perturbations`` measures: critical perturbations of a trained model on the test images.

Names of arrays, for N images decided correctly, in random order, of which the first n take part in what is expensive:
``images`` (N,) indices into the test set; ``image_norm`` (N,) their L2 norms; ``accuracy``, share of all test images.
``A_index``, ``A_norm`` for an attack A: grid index of the critical strength (the grid's length if there is none) and L2
norm there (NaN); ``A_accuracy``: true accuracy among correct images, at the grid indices ``points`` (for ``noise`` at
all); ``A_never``, ``A_attacks``: images that never fail, strengths tried per image.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from bioadv.data import datasets
from bioadv.data.datasets import Dataset
from bioadv.measure import attacks, certificates, critical, noise
from bioadv.measure.attacks import PUBLISHED_BOX
from bioadv.measure.critical import GRID, L2_GRID, Critical
from bioadv.measure.gradient_ascent import PUBLISHED, PUBLISHED_MARGIN, RECOMMENDED, RECOMMENDED_L2
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
Arrays = dict[str, np.ndarray]
# Settings: draws in the noise pool; seed of noise and random starts; images that the expensive parts and the true
# accuracies of PGD are limited to; every how many points of the grid those are taken; large strengths at which the
# accuracy should have come to nothing.
PERTURBATIONS: dict[str, Any] = {
    "pool": 5000,
    "seed": critical.SEED,
    "subset": 1000,
    "few": 500,
    "every": 10,
    "far": [0.03, 0.1, 0.3, 1.0],
}


def _correct(
    model: TwoLayer, data: Dataset, settings: Mapping[str, Any], most: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Test images (N, D) that the model decides correctly, their labels, and their indices in the test set.

    In random order, so that the first so many are a fair sample of a set that is sorted by class.
    """
    x, y = datasets.unit_lp(data.test), torch.tensor(data.test.labels)
    right = critical.correct(model, x, y)
    right = right[torch.randperm(len(right), generator=torch.Generator().manual_seed(settings["seed"]))][:most]
    return x[right], y[right], right


def _stored(name: str, found: Critical) -> Arrays:
    return {
        f"{name}_index": found.index.astype(np.int16),
        f"{name}_norm": found.norm,
        f"{name}_never": np.array(found.never),
        f"{name}_attacks": np.array(found.attacks),
    }


def _bar(progress: bool, title: str) -> bool | str:
    return title if progress else False


def measure_noise(model: TwoLayer, data: Dataset, settings: Mapping[str, Any], progress: bool) -> Arrays:
    """Published noise: first failures, the point where half of the draws fail, and the true accuracy."""
    x, y, right = _correct(model, data, settings)
    generator = torch.Generator().manual_seed(settings["seed"])
    draws = noise.pool(model, generator, settings["pool"])
    found = noise.sweep(model, x, y, draws, generator, progress=_bar(progress, "noise"))
    return {
        "images": right.numpy().astype(np.int32),
        "image_norm": torch.linalg.vector_norm(x, dim=1).numpy(),
        "accuracy": np.array(len(x) / len(data.test)),
        **_stored("noise", found.first),
        "noise_half": found.half.astype(np.int16),
        "noise_accuracy": found.accuracy.astype(np.float32),
    }


def measure_published(model: TwoLayer, data: Dataset, settings: Mapping[str, Any], progress: bool) -> Arrays:
    """FGSM and PGD as coded on all images, true accuracies, and counts of zero gradients."""
    x, y, _ = _correct(model, data, settings)
    points, few = np.arange(settings["every"] // 2, len(GRID), settings["every"]), settings["few"]
    fast = critical.fgsm(model, x, y)
    fgsm = critical.search(model, x, y, fast, near=critical.guess(model, x, y), progress=_bar(progress, "FGSM"))
    near = fgsm.index.clip(0, len(GRID) - 1)
    pgd = critical.search(model, x, y, critical.pgd(model, x, y), near=near, progress=_bar(progress, "PGD"))
    slow = critical.pgd(model, x[:few], y[:few])
    zero, saturated = attacks.zero_gradients(model, x, y)
    return {
        **_stored("fgsm", fgsm),
        **_stored("pgd", pgd),
        "points": points.astype(np.int16),
        "fgsm_accuracy": critical.accuracies(model, x, y, fast, GRID[points]).astype(np.float32),
        "pgd_accuracy": critical.accuracies(
            model, x[:few], y[:few], slow, GRID[points], progress=_bar(progress, "PGD, accuracy")
        ).astype(np.float32),
        "zero_gradients": np.array(zero),
        "saturated": np.array(saturated),
    }


def measure_recommended(model: TwoLayer, data: Dataset, settings: Mapping[str, Any], progress: bool) -> Arrays:
    """Stronger attacks on a subset: PGD with a margin loss, the recommended variants, and large strengths."""
    x, y, right = _correct(model, data, settings, settings["subset"])
    near, seed = critical.guess(model, x, y), settings["seed"]
    box = (0.0, datasets.ceiling(data.test)[right])
    margin, strong = critical.pgd(model, x, y, PUBLISHED_MARGIN), critical.pgd(model, x, y, RECOMMENDED, box, seed)
    l2 = critical.pgd(model, x, y, RECOMMENDED_L2, box, seed)
    near_l2 = critical.guess(model, x, y, L2_GRID, "l2")
    found = {
        "margin": critical.search(model, x, y, margin, near=near, progress=_bar(progress, "PGD, margin")),
        "recommended": critical.search(model, x, y, strong, near=near, progress=_bar(progress, "recommended")),
        "l2": critical.search(model, x, y, l2, L2_GRID, near_l2, progress=_bar(progress, "recommended, L2")),
    }
    few = slice(settings["few"])
    far = {
        "fgsm": critical.fgsm(model, x[few], y[few]),
        "pgd": critical.pgd(model, x[few], y[few], PUBLISHED, PUBLISHED_BOX),
        "recommended": strong,
    }
    arrays = {name: array for kind, result in found.items() for name, array in _stored(kind, result).items()}
    for name, attack in far.items():
        share = critical.accuracies(model, x[few], y[few], attack, np.array(settings["far"]))
        arrays[f"{name}_far_accuracy"] = share.astype(np.float32)
    return arrays


def measure_certificates(model: TwoLayer, data: Dataset, settings: Mapping[str, Any], progress: bool) -> Arrays:
    """Certified radii in the L2 and Linf norm on the same subset, in float64."""
    x, y, _ = _correct(model, data, settings, settings["subset"])
    precise = copy.deepcopy(model).double()
    radii = {
        norm: certificates.certified_radius(precise, x.double(), y, norm, progress=_bar(progress, norm))
        for norm in ("l2", "linf")
    }
    return {f"certified_{norm}": radius.astype(np.float32) for norm, radius in radii.items()}


MEASURES = {
    "noise": measure_noise,
    "published": measure_published,
    "recommended": measure_recommended,
    "certificates": measure_certificates,
}


def strength(index: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Critical strengths from grid indices; infinite where an image never fails."""
    return np.append(grid, np.inf)[index]


def median_norm(norms: np.ndarray) -> float:
    """Median of critical norms, images that never fail (NaN) dropped as coded; NaN if none fails."""
    failed = norms[np.isfinite(norms)]
    return float(np.median(failed)) if len(failed) else float("nan")


def summary(found: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The probe's result in a few numbers.

    ``accuracy``; ``noise``, ``fgsm``, ``pgd``: median critical norms as coded, images that never fail dropped;
    ``zero``, ``saturated``: images whose gradient is zero, or no longer sees the true class; ``loss``: median critical
    strength of PGD with cross-entropy over that with a margin, same images; ``left``: accuracy under the recommended
    PGD at the largest strength; ``half``: median strength of noise that fails an image half of the time over that of
    the first failure; ``certified``, ``attacked``: median ends of the bracket of the critical L2 norm.
    """
    subset = slice(len(found["margin_index"]))
    noise_median, half = (np.median(strength(found[f"noise_{k}"], critical.NOISE_GRID)) for k in ("index", "half"))
    entropy, margin = (
        np.median(strength(index, GRID)) for index in (found["pgd_index"][subset], found["margin_index"])
    )
    numbers = {
        "accuracy": found["accuracy"],
        **{kind: median_norm(found[f"{kind}_norm"]) for kind in ("noise", "fgsm", "pgd")},
        "zero": found["zero_gradients"],
        "saturated": found["saturated"],
        "loss": entropy / margin if np.isfinite(entropy) else entropy,
        "left": found["recommended_far_accuracy"][-1],
        "half": half / noise_median if np.isfinite(half) else half,
        "certified": np.median(found["certified_l2"]),
        "attacked": np.median(strength(found["l2_index"], L2_GRID)),
    }
    return {name: float(value) for name, value in numbers.items()}
