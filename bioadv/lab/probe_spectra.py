"""What the probes ``spectra`` and ``pruning`` measure; :mod:`bioadv.lab.probes` runs them and keeps the results.

Eigenvalues are computed in float64 and stored in float32, whose range they fit. Names of arrays: images or noise, tap
(before or after the activation), and where there are several, the number of units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from bioadv.data import datasets
from bioadv.data.datasets import Dataset
from bioadv.lab import runner
from bioadv.measure import powerlaw, spectra
from bioadv.network import jacobians, local_learning, products, pruning, streams
from bioadv.network.models import TwoLayer

Tensor = torch.Tensor
Arrays = dict[str, np.ndarray]
# Settings: sizes of the populations (the first so many units, as coded), noise images and their seed, random
# subsets of units (how many, of what size), and replicates of the bootstrap over images.
SPECTRA: dict[str, Any] = {
    "sizes": [10, 50, 100, 500, 1000, 1500, 2000],
    "noise": 10_000,
    "seed": streams.NOISE[0],
    "subsets": [5, 500],
    "replicates": 12,
}
PRUNING: dict[str, Any] = {"p": 3.0, "noise": 10_000, "seed": streams.NOISE[0], "replicates": 49, "pictures": 12}
FEWEST = 10  # test images
CRITERIA = ("raw", "threshold", "mixture_published", "mixture")


def measure_spectra(model: TwoLayer, data: Dataset, settings: dict[str, Any], progress: bool) -> Arrays:
    """Eigenspectra of a model's latents on the test images and on noise, and what the exponents rest on.

    ``*_before``, ``*_after``: all units, float64 arithmetic; ``*_before_n``: the first n; ``images_before_subsets``:
    random subsets of units; ``noise_exact``: eigenvalues of M M^T, the noise spectrum without sampling error;
    ``*_float32``, ``*_tf32``: the authors' estimator, complex; ``images_float32_centred``: the same, shifted by
    the mean latent of the first batch; ``bootstrap_before``, ``bootstrap_after`` (replicates, 4): per resample of the
    images, exponents at ranks 11 to 500 and 11 to 100, and the ranks up to which these lines hold within a factor 2
    (NaN where a resample of few images has fewer ranks).

    Raises ``ValueError`` for fewer than ten test images, whose resamples could be all the same image.
    """
    if len(data.test) < FEWEST:
        raise ValueError(f"data: {len(data.test)} test images; spectra and their bootstrap need at least {FEWEST}")
    generator = torch.Generator().manual_seed(settings["seed"])
    images = datasets.unit_lp(data.test)
    sources = {"images": images, "noise": datasets.gaussian_noise(settings["noise"], data.test.inputs, generator)}
    hidden, found = len(model.hidden), {}
    blocks = None if data.test.blocks is None else torch.from_numpy(data.test.blocks.copy())
    bar = tqdm(total=9, desc="spectra", disable=not progress)
    for source, x in sources.items():
        for after in (False, True):
            name = f"{source}_{'after' if after else 'before'}"
            latent = torch.cat(list(spectra.latents(model, x, after)))
            of = spectra.moments(latent)
            found[name] = spectra.eigenspectrum(of)
            if not after:
                for size in (size for size in settings["sizes"] if size < hidden):
                    found[f"{name}_{size}"] = spectra.eigenspectrum(of, size)
            if source == "images":
                found[f"bootstrap_{'after' if after else 'before'}"] = spectra.bootstrap(
                    latent, _exponents, settings["replicates"], generator, blocks
                )
            if name == "images_before":
                count, size = settings["subsets"][0], min(settings["subsets"][1], hidden)
                subsets = (torch.randperm(hidden, generator=generator)[:size] for _ in range(count))
                found[f"{name}_subsets"] = torch.stack([_padded(spectra.eigenspectrum(of, s), size) for s in subsets])
            bar.update()
        # The authors shift latents by a mean pixel, that is, of the inputs.
        shift = float(x[: spectra.BATCH].mean())
        for name, rounded in (("float32", False), ("tf32", True)):
            h = spectra.published_latents(model, x, rounded)
            found[f"{source}_{name}"] = spectra.published(h, shift, rounded)
            bar.update()
    first = next(spectra.published_latents(model, images))
    found["images_float32_centred"] = spectra.published(spectra.published_latents(model, images), first.mean(0))
    if model.norm is None:
        m = model.hidden.detach().double()
        found["noise_exact"] = torch.linalg.eigvalsh(products.product(m, m)).flip(0)
    bar.update()
    bar.close()
    return {name: _stored(values) for name, values in found.items()}


def _exponents(spectrum: Tensor) -> Tensor:
    """Alpha over each of the paper's windows, cut where the spectrum ends, and the ranks where these lines end.

    NaN for a spectrum that ends before the windows have three ranks, as with few images or a layer of one live unit.
    """
    if powerlaw.positive(spectrum) < powerlaw.IMAGES[0] + 2:
        return torch.full((4,), torch.nan, dtype=torch.float64)
    fits = [powerlaw.fit(spectrum, window, truncate=True) for window in (powerlaw.IMAGES, powerlaw.NOISE)]
    ends = [powerlaw.reach(spectrum, line) for line in fits]
    return torch.tensor([*(line.alpha for line in fits), *ends], dtype=torch.float64)


def measure_pruning(model: TwoLayer, data: Dataset, settings: dict[str, Any], progress: bool) -> Arrays:
    """What each criterion prunes from an unpruned local layer, and what that does to spectra and Jacobians.

    Criteria, in the order of ``CRITERIA``: none, fixed threshold, mixture as coded, mixture as corrected.
    ``variances``, ``norms``: per unit; ``pruned`` (4, H) bool; ``cutoffs`` (4,), NaN where there is none;
    ``images_C``, ``noise_C``: spectra before the activation; ``jacobian`` (2, 4): norm of dh/dx, and root mean square
    of that of da/dx over the test images; ``p_value``: one mode against two; ``pictures``: some units' synapses, kept
    above pruned (by the threshold), evenly spaced in variance, as :func:`bioadv.pages.plots.filter_grid` scales them.

    Raises ``ValueError`` if the layer has been pruned already.
    """
    m = model.hidden.detach()
    w = local_learning.synapses_of(m, settings["p"])
    if not bool(w.any(1).all()):
        raise ValueError(f"{int((~w.any(1)).sum())} units have no weights: the layer is pruned; give a kh-layer run")
    variance, threshold = pruning.variances(w), runner.prune_above(data, settings["p"])
    mixtures = {"mixture_published": _published_mixture(variance), "mixture": pruning.mixture(variance)}
    masks = {"raw": torch.zeros(len(w), dtype=torch.bool), "threshold": pruning.above_threshold(w, threshold)}
    masks |= {name: found.prunes(variance) for name, found in mixtures.items()}
    x = datasets.unit_lp(data.test)
    generator = torch.Generator().manual_seed(settings["seed"])
    noise = datasets.gaussian_noise(settings["noise"], data.test.inputs, generator)
    found: dict[str, Tensor | np.ndarray] = {
        "variances": variance,
        "norms": torch.linalg.vector_norm(w, settings["p"], dim=1),
    }
    found["pruned"] = torch.stack([masks[name] for name in CRITERIA])
    none = float("nan")
    cutoffs = [none, threshold, *(found.cutoff or none for found in mixtures.values())]
    found["cutoffs"] = np.array(cutoffs)
    for name, mixture in mixtures.items():
        for part in ("means", "deviations", "weights", "scores"):
            found[f"{name}_{part}"] = getattr(mixture, part)
    found["p_value"] = np.array(pruning.bootstrap_order(variance, settings["replicates"]))
    jacobian = []
    with torch.no_grad():
        h = torch.cat([model.before(part) for part in x.split(spectra.BATCH)])
        for name in tqdm(CRITERIA, "pruning", disable=not progress):
            kept = m[~masks[name]]
            after = jacobians.latent_jacobian(kept, h[:, ~masks[name]], model.power)
            jacobian.append([float(kept.norm()), float(after.sqrt())])
    for source, images in (("images", x), ("noise", noise)):
        of = spectra.moments(spectra.latents(model, images))
        for name in CRITERIA:
            found[f"{source}_{name}"] = spectra.eigenspectrum(of, (~masks[name]).nonzero()[:, 0])
    found["jacobian"] = np.array(jacobian).T
    found["pictures"] = _pictures(w, variance, masks["threshold"], settings["pictures"])
    return {name: _stored(values) for name, values in found.items()}


def _published_mixture(variance: Tensor) -> pruning.Mixture:
    """The mixture as coded, or an empty one that prunes nothing where its constants do not fit the layer."""
    low, high = pruning.PUBLISHED_RANGE
    if int(((variance.log() > low) & (variance.log() < high)).sum()) >= pruning.FEWEST:
        return pruning.published_mixture(variance)
    nothing = np.zeros(0)
    return pruning.Mixture(nothing, nothing, nothing, None, nothing)


def _pictures(w: Tensor, variance: Tensor, pruned: Tensor, count: int) -> Tensor:
    """Synapses of kept and of pruned units as bytes, (2, count, D); fewer pruned units are repeated, none are grey."""
    rows = []
    for group in (~pruned, pruned):
        ranked = group.nonzero()[:, 0][variance[group].argsort()]
        if len(ranked):
            chosen = w[ranked[torch.linspace(0, len(ranked) - 1, count).round().long()]]
        else:
            chosen = torch.zeros_like(w[:1]).expand(count, -1)
        scale = chosen.abs().kthvalue(max(1, round(0.99 * w.shape[1])), dim=1, keepdim=True)[0].clamp_min(1e-30)
        rows.append(((0.5 + 0.5 * chosen / scale).clamp(0, 1) * 255).round().to(torch.uint8))
    return torch.stack(rows)


def _padded(values: Tensor, length: int) -> Tensor:
    """A spectrum that pruned units have shortened, filled up with zeros."""
    return torch.cat([values, values.new_zeros(length - len(values))])


def _stored(values: Tensor | np.ndarray) -> np.ndarray:
    array = values.numpy(force=True) if isinstance(values, Tensor) else np.asarray(values)
    return array.astype(np.float32) if array.dtype == np.float64 else array
