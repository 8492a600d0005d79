"""What predictions speak of: statistics of stored runs, by name.

A statistic is a line in ``STATISTICS``: a name and a function of a :class:`Subject` that raises :class:`MissingError`
where the results that it needs are not stored. ``name(model)`` is that of another model, same seed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from bioadv.lab import corrections, direction_numbers, frontier, readout_numbers, runs, study
from bioadv.lab.runs import Run
from bioadv.measure import powerlaw

ALONE = ("small", "untrained")  # scales of hidden layers alone; their results lie in folders of these names


class MissingError(LookupError):
    """What a statistic needs is not there: results that are stored, or ranks that the layer has."""


@dataclass(frozen=True)
class Subject:
    """What a statistic is of: a model with a seed, on some images at a scale, over a window of ranks (first, last)."""

    model: str
    seed: int
    data: str = "cifar10"
    scale: str = "paper"
    window: tuple[int, int] = powerlaw.IMAGES

    def run(self, having: str, model: str | None = None) -> Run:
        """The stored run of the model, or of another one, with a file; raises :class:`MissingError`."""
        model = model or self.model
        seed = 0 if model == study.PIXELS else self.seed
        found = runs.in_folder(folder(self.scale, self.data), model, having)
        if seed not in found:
            raise MissingError(f"{model}, seed {seed}, on {self.data} has no {having}")
        return found[seed]


def folder(scale: str, data: str) -> Path:
    """The folder of the runs of a scale (``paper``, or one of ``ALONE``) on some images."""
    return runs.results() / scale / data if scale in ALONE else runs.results() / data


def statistic(name: str, subject: Subject) -> float:
    """A statistic by its name, or, with a model in brackets, of that model; ``ValueError`` for an unknown one."""
    plain, model = resolved(name)
    return STATISTICS[plain](replace(subject, model=model) if model else subject)


def resolved(name: str) -> tuple[str, str]:
    """A name in ``STATISTICS``, and the model in its brackets, if there is one; ``ValueError`` for an unknown one."""
    if name in STATISTICS:
        return name, ""
    named = re.fullmatch(r"([^()]+)\(([\w.-]+)\)(.*)", name)
    if named and named[1] + named[3] in STATISTICS:
        return named[1] + named[3], named[2]
    raise ValueError(f"statistic {name!r} is not known; choose from {', '.join(STATISTICS)}")


def ratios(name: str, model: str, other: str, scale: str = "paper", data: str = "cifar10") -> dict[int, float]:
    """By how much a model exceeds another one in a statistic that is a logarithm, as a factor, by seed.

    Of the seeds for which both are stored, and where both have a value.
    """
    found = dict[int, float]()
    for seed in runs.seeds(folder(scale, data) / model):
        with contextlib.suppress(MissingError):
            one, two = (statistic(name, Subject(of, seed, data, scale)) for of in (model, other))
            found[seed] = float(np.exp(one - two))
    return found


# Hypothesis 1, from eigenvalues alone.

PARTS = ("images", "rows", "pixels")
ARRAYS = {"images": "images_before", "rows": "noise_exact"}  # what the probe `spectra` calls these eigenvalues


def spectrum(subject: Subject, of: str) -> np.ndarray:
    """Eigenvalues, falling: of ``images`` (M S M^T, test images), ``rows`` (M M^T) or ``pixels`` (S).

    Of a hidden layer alone also those behind an activation, by the name of the array.
    """
    if subject.scale in ALONE:
        found = subject.run("alignment.json").arrays("alignment")
        if of not in found:
            raise MissingError(f"{subject.model}, seed {subject.seed}: its probe stored no spectrum {of!r}")
        return found[of]
    if of == "pixels":
        return subject.run("spectra.json", study.PIXELS).arrays("spectra")[ARRAYS["images"]]
    if of not in ARRAYS:
        raise MissingError(f"scale {subject.scale!r} has no spectrum {of!r}; that is stored of layers alone")
    found = subject.run("spectra.json").arrays("spectra")
    if ARRAYS[of] not in found:
        raise MissingError(f"{subject.model} has batch norm, which gives its rows no spectrum of their own")
    return found[ARRAYS[of]]


def alpha(subject: Subject, of: str) -> float:
    """Exponent of one of these spectra over the subject's window; ``MissingError`` for one that ends before it."""
    found, last = spectrum(subject, of), subject.window[1]
    if len(found) < last:
        raise MissingError(f"{subject.model}, seed {subject.seed}: {len(found)} units have no rank {last}")
    return powerlaw.fit(found, subject.window).alpha


def loss(subject: Subject) -> np.ndarray:
    """Mean loss per rank against perfect alignment up to each rank, in decades, to the window's end; at most 0."""
    last = subject.window[1]
    latent, rows, pixels = (np.log10(spectrum(subject, of)[:last].astype(float)) for of in PARTS)
    mean: np.ndarray = (latent - rows - pixels).cumsum() / np.arange(1, last + 1)
    return mean


def deficit(subject: Subject) -> float:
    """The mean of :func:`loss` over the window."""
    return float(loss(subject)[subject.window[0] - 1 :].mean())


def exponents(
    model: str,
    window: tuple[int, int],
    scale: str = "paper",
    data: str = "cifar10",
    parts: Sequence[str] = PARTS,
) -> dict[int, list[float]]:
    """Exponents by seed, of the runs that are stored: on images, of the rows and of the pixels, or of other parts."""
    found = dict[int, list[float]]()
    for seed in runs.seeds(folder(scale, data) / model):
        subject = Subject(model, seed, data, scale, window)
        with contextlib.suppress(MissingError):
            found[seed] = [alpha(subject, of) for of in parts]
    return found


# Hypothesis 2, from the probes `paths` and `epochs`. Of the images attacked, those count that all of these decide
# correctly, each at the place whose accuracy is nearest to KH's.
COMPARED = ("kh", "exemplars", "gaussian", "random")


def _path(subject: Subject, probe: str = "paths", model: str | None = None) -> readout_numbers.Path:
    return subject.run(f"{probe}.json", model).arrays(probe)


def _log_best_at_kh(subject: Subject) -> float:
    accuracy = subject.run("manifest.json", "kh").accuracy
    paths = [_path(subject, model=model) for model in COMPARED]
    common = np.all([readout_numbers.right(one, readout_numbers.nearest(one, accuracy)) for one in paths], axis=0)
    return _reached(readout_numbers.at_accuracy(_path(subject), accuracy, common), subject, accuracy)


def _log_best_at_l2(subject: Subject) -> float:
    decay, accuracy = _path(subject, model="l2"), subject.run("manifest.json", "l2").accuracy
    common = readout_numbers.right(decay, readout_numbers.own(decay))
    return _reached(readout_numbers.at_accuracy(_path(subject), accuracy, common), subject, accuracy)


def _log_best_at(subject: Subject, accuracy: float) -> float:
    return _reached(readout_numbers.at_accuracy(_path(subject), accuracy), subject, accuracy)


def _reached(value: float, subject: Subject, accuracy: float) -> float:
    if np.isnan(value):
        raise MissingError(f"{subject.model}, seed {subject.seed}: no readout has an accuracy of {accuracy:.3f}")
    return value


def _log_best(subject: Subject) -> float:
    path = _path(subject)
    return readout_numbers.log_best(path, readout_numbers.own(path))


def _log_linear(subject: Subject) -> float:
    path = _path(subject)
    place = readout_numbers.own(path)
    chosen = readout_numbers.right(path, place)
    return float(np.log(np.median((path["margin"] / path["slope"])[place][chosen])))


def _certified(subject: Subject) -> float:
    path = _path(subject)
    return readout_numbers.certified(path, readout_numbers.own(path))


def _after(subject: Subject, epochs: int) -> float:
    path = _path(subject, "epochs")
    places = [int(np.flatnonzero(path["place"] == stop)[0]) for stop in (1000, 10_000) if stop in path["place"]]
    if len(places) < 2:
        raise MissingError(f"{subject.model}, seed {subject.seed}: its training was not followed for 10,000 epochs")
    common = np.all([readout_numbers.right(path, place) for place in places], axis=0)
    return float(np.exp(readout_numbers.log_best(path, places[epochs == 10_000], common)))


def _best_accuracy(subject: Subject, probe: str = "paths") -> float:
    return readout_numbers.best_accuracy(_path(subject, probe))


# Of models whose readout was trained as KH's is, from the probe `perturbations`: PGD in an L2 ball, in units of the
# unit-L3 image, on the images that both of a comparison decide correctly.
BALL = "PGD in an L2 ball"


def _log_over_kh(subject: Subject) -> float:
    pair = [subject.run("perturbations.json", model) for model in (None, "kh")]
    one, kh = corrections.medians(pair, BALL, common=True)
    return float(np.log(one / kh))


def _log_over_decay(subject: Subject) -> float:
    beside = frontier.beside(subject.run("perturbations.json"), "accuracy")
    if beside is None:
        raise MissingError(f"{subject.model}, seed {subject.seed}: no weight decay is as accurate")
    return float(np.log(corrections.compared([beside], BALL, common=True, replicates=0).value))


# From the probe `directions`: how far images differ along the gradient of the margin.


def _logs(path: readout_numbers.Path, at: float | str) -> list[float]:
    """Logarithms of the linear critical norm and of the deviation at an accuracy, or ``own``, or ``best``."""
    of = {"own": direction_numbers.log_own, "best": direction_numbers.log_best}
    parts = direction_numbers.PARTS[:2]
    return [direction_numbers.log_at(path, p, at) if isinstance(at, float) else of[at](path, p) for p in parts]


def _share_of_direction(subject: Subject, upper: float | str, lower: float | str, other: str | None = None) -> float:
    path, beside = _path(subject, "directions"), _path(subject, "directions", other)
    value = direction_numbers.share(_logs(path, upper), _logs(beside, lower))
    if np.isnan(value):
        raise MissingError(f"{subject.model}, seed {subject.seed}: no readout at {upper} or {lower}")
    return value


def _log_deviation_over(subject: Subject, other: str, at: float | str) -> float:
    one, beside = (_logs(_path(subject, "directions", model), at)[1] for model in (None, other))
    if np.isnan(one - beside):
        raise MissingError(f"{subject.model} or {other}, seed {subject.seed}: no readout at {at}")
    return one - beside


def _leading(subject: Subject, components: int) -> float:
    path = _path(subject, "directions")
    return float(path["energy"][readout_numbers.own(path)][components - 1])


STATISTICS: dict[str, Callable[[Subject], float]] = {
    "alpha(images)": lambda subject: alpha(subject, "images"),
    "alpha(rows)": lambda subject: alpha(subject, "rows"),
    "alpha(pixels)": lambda subject: alpha(subject, "pixels"),
    "deficit": deficit,
    "accuracy": lambda subject: subject.run("manifest.json").accuracy,
    "best accuracy on the path of penalties": _best_accuracy,
    "best accuracy with the weakest penalties": partial(_best_accuracy, probe="ends"),
    "best, after 1000 epochs": lambda subject: _after(subject, 1000),
    "best, after 10,000 epochs": lambda subject: _after(subject, 10_000),
    "log best at KH's accuracy": _log_best_at_kh,
    "log best at the accuracy of l2": _log_best_at_l2,
    **{f"log best at {place:g}": partial(_log_best_at, accuracy=place) for place in (0.32, 0.34, 0.38, 0.4)},
    "log best": _log_best,
    "log critical norm over KH": _log_over_kh,
    "log critical norm over weight decay of its accuracy": _log_over_decay,
    "log of median margin over gradient norm": _log_linear,
    "median ratio of certificate to best": _certified,
    "share of direction, over random at 0.32": partial(_share_of_direction, upper=0.32, lower=0.32, other="random"),
    "share of direction, over random at 0.42": partial(_share_of_direction, upper=0.42, lower=0.42, other="random"),
    "share of direction, from 0.34 to 0.4": partial(_share_of_direction, upper=0.34, lower=0.4),
    "share of direction, as trained to best": partial(_share_of_direction, upper="own", lower="best"),
    "log deviation over kh at 0.34": partial(_log_deviation_over, other="kh", at=0.34),
    "log deviation over kh at 0.42": partial(_log_deviation_over, other="kh", at=0.42),
    "log deviation over bp, as trained": partial(_log_deviation_over, other="bp", at="own"),
    "share on the first 100 components, as trained": partial(_leading, components=100),
    "alpha(after ReLU)": lambda subject: alpha(subject, "after_1"),
    "alpha(after ReLU^4.5)": lambda subject: alpha(subject, "after_4.5"),
    "alpha(Gaussian after ReLU)": lambda subject: alpha(subject, "gaussian_1"),
    "alpha(Gaussian after ReLU^4.5)": lambda subject: alpha(subject, "gaussian_4.5"),
}
