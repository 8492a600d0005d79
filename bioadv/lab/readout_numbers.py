"""Statistics of the probes ``paths`` and ``epochs``: what a hidden layer is worth at an accuracy of its readout."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from bioadv.lab import bootstrap, runs
from bioadv.lab.bootstrap import NOTHING, Estimate
from bioadv.measure.smallest import RADII

T = TypeVar("T")
Path = Mapping[str, np.ndarray]  # arrays of a probe, see bioadv.lab.probe_paths
Place = tuple[Path, int]  # a readout: the path, and where on it


def rising(path: Path) -> np.ndarray:
    """The places from the strongest penalty, or the first epoch, to that of the best accuracy; never the model's own.

    After it, accuracy falls again and no readout is worth having. Where it dips on the way, later places replace
    earlier ones that are as accurate.
    """
    known = np.flatnonzero(np.isfinite(path["place"]))
    kept = list[int]()
    for place in known[: int(path["accuracy"][known].argmax()) + 1]:
        while kept and path["accuracy"][kept[-1]] >= path["accuracy"][place]:
            kept.pop()
        kept.append(int(place))
    return np.array(kept)


def own(path: Path) -> int:
    """The place of the readout that the model was trained with or, where it has none, that of the best accuracy."""
    trained = np.flatnonzero(np.isnan(path["place"]))
    return int(trained[0]) if len(trained) else int(path["accuracy"].argmax())


def best_accuracy(path: Path) -> float:
    """The best test accuracy on the path of penalties, or of epochs; the model's own readout is not counted."""
    return float(path["accuracy"][np.isfinite(path["place"])].max())


def best(path: Path) -> int:
    """The place of the best accuracy; the model's own readout is not counted."""
    return int(rising(path)[-1])


def nearest(path: Path, accuracy: float) -> int:
    """The place before the best one whose accuracy is nearest."""
    places = rising(path)
    return int(places[np.abs(path["accuracy"][places] - accuracy).argmin()])


def paired(one: str, other: str, root: pathlib.Path) -> list[tuple[Path, Path]]:
    """Stored paths of penalties of two models, ``root/MODEL/seed-S``, side by side as in ``bootstrap.pairs``."""
    found = [runs.in_folder(root, model, "paths.json") for model in (one, other)]
    return [(first.arrays("paths"), second.arrays("paths")) for first, second in bootstrap.pairs(*found)]


def ahead(places: Sequence[tuple[Place, Place]]) -> list[float]:
    """By how much the first readout of each pair is more accurate on test images than the second."""
    return [float(path["accuracy"][place] - other["accuracy"][beside]) for (path, place), (other, beside) in places]


def ratio(places: Sequence[tuple[Place, Place]], replicates: int = 200, seed: int = 0) -> Estimate:
    """Median critical L2 norm of one readout over that of another; a pair for each seed, as in :func:`over`.

    Each pair on the images that both decide correctly; ``NOTHING`` where no pair has any.
    """

    def value(pair: tuple[Place, Place], images: np.ndarray) -> float:
        (path, place), (other, beside) = pair
        both = images[(right(path, place) & right(other, beside))[images]]
        if not len(both):
            return np.nan
        return float(np.median(path["l2"][place][both]) / np.median(other["l2"][beside][both]))

    return _estimated(places, value, _attacked(pair[0][0] for pair in places), replicates, seed)


def best_beside_own(paths: Sequence[Path]) -> list[tuple[Place, Place]]:
    """For each seed the most accurate readout of the path and :func:`own`, for :func:`ratio` and :func:`ahead`."""
    return [((path, best(path)), (path, own(path))) for path in paths]


def best_of_both(pairs: Sequence[tuple[Path, Path]]) -> list[tuple[Place, Place]]:
    """For each pair of paths the most accurate readouts of both, for :func:`ratio` and :func:`ahead`."""
    return [((path, best(path)), (other, best(other))) for path, other in pairs]


def first_beside_best(paths: Sequence[Path], accuracy: float = 0.0) -> list[tuple[Place, Place]]:
    """For each seed the readout of the strongest penalty and the most accurate one, for :func:`ratio`.

    accuracy: begin with the first readout that has it; seeds of which none has are left out.
    """
    found = [(path, [place for place in rising(path) if path["accuracy"][place] >= accuracy]) for path in paths]
    return [((path, int(places[0])), (path, best(path))) for path, places in found if places]


def right(path: Path, place: int) -> np.ndarray:
    """Which of the attacked images (N,) are decided correctly there."""
    return path["l2"][place] > 0


def log_best(path: Path, place: int, images: np.ndarray | None = None) -> float:
    """Logarithm of the median critical L2 norm, in units of the unit-L3 image, over images (N,) bool that are right."""
    chosen = right(path, place) if images is None else right(path, place) & images
    return float(np.log(np.median(path["l2"][place][chosen]))) if chosen.any() else float("nan")


def at_accuracy(path: Path, accuracy: float, images: np.ndarray | None = None) -> float:
    """:func:`log_best` where the path has an accuracy, by linear interpolation; NaN where it has not."""
    places = rising(path)
    return _interpolated(accuracy, path["accuracy"][places], [log_best(path, place, images) for place in places])


def bends(path: Path) -> list[float]:
    """Logarithm of each norm on the way over what :func:`at_accuracy` would make of it from the two readouts beside it.

    What interpolation misses at twice the spacing that there is, of each readout between the first and the best.
    """
    places = rising(path)
    logs, accuracies = [log_best(path, place) for place in places], path["accuracy"][places]
    return [
        logs[i] - _interpolated(accuracies[i], accuracies[[i - 1, i + 1]], [logs[i - 1], logs[i + 1]])
        for i in range(1, len(places) - 1)
    ]


def over(
    pairs: Sequence[tuple[Path, Path]], accuracy: float | Sequence[float], replicates: int = 200, seed: int = 0
) -> Estimate:
    """Critical norm of a hidden layer over that of another where their readouts have an accuracy; a pair for each seed.

    accuracy: one for all pairs, or one for each. Each pair on the images that both decide correctly at the places
    nearest to the accuracy. Mean over the seeds of which both layers get there, and its error by a bootstrap over
    seeds, then over images, which all seeds share; ``NOTHING`` where none gets there.
    """

    def value(subject: tuple[tuple[Path, Path], float], images: np.ndarray) -> float:
        pair, wanted = subject
        both = images[np.all([right(one, nearest(one, wanted)) for one in pair], axis=0)[images]]
        if not len(both):
            return np.nan
        upper, lower = (at_accuracy({**one, "l2": one["l2"][:, both]}, wanted) for one in pair)
        return float(np.exp(upper - lower))

    accuracies = np.broadcast_to(np.asarray(accuracy, float), len(pairs)).tolist()
    subjects = list(zip(pairs, accuracies, strict=True))
    return _estimated(subjects, value, _attacked(pair[0] for pair in pairs), replicates, seed)


def over_own(pairs: Sequence[tuple[Path, Path]], replicates: int = 200, seed: int = 0) -> Estimate:
    """Critical norm of a hidden layer over that of a network, :func:`own` of the other, where they are as accurate.

    As in :func:`over`.
    """

    def value(pair: tuple[Path, Path], images: np.ndarray) -> float:
        path, other = pair
        trained = own(other)
        accuracy = float(other["accuracy"][trained])
        both = images[(right(other, trained) & right(path, nearest(path, accuracy)))[images]]
        if not len(both):
            return np.nan
        layer, network = ({**one, "l2": one["l2"][:, both]} for one in pair)
        return float(np.exp(at_accuracy(layer, accuracy) - log_best(network, trained)))

    return _estimated(pairs, value, _attacked(pair[0] for pair in pairs), replicates, seed)


def _attacked(paths: Iterable[Path]) -> int:
    """How many images were attacked, the same of every path; 0 where there is no path."""
    return next((path["l2"].shape[1] for path in paths), 0)


def _estimated(
    subjects: Sequence[T], value: Callable[[T, np.ndarray], float], attacked: int, replicates: int, seed: int
) -> Estimate:
    """Mean of ``value(subject, images)`` over the subjects that have one, and its error, by drawing subjects, one for
    each seed, then images, which all of them share; ``NOTHING`` where none has a value.
    """
    everything = np.arange(attacked)
    reached = [subject for subject in subjects if np.isfinite(value(subject, everything))]
    if not reached:
        return NOTHING

    def of(which: int, images: np.ndarray | None) -> float:
        return value(reached[which], everything if images is None else images)

    return bootstrap.hierarchical(of, len(reached), everything, replicates, seed)


def robust(path: Path, norm: str, radius: float) -> np.ndarray:
    """Robust accuracy (P,) at a radius in units of the photograph: share of all attacked images, right or wrong."""
    share: np.ndarray = (path[norm] / path["scale"] > radius).mean(1)
    return share


def _interpolated(accuracy: float, accuracies: np.ndarray, values: Sequence[float]) -> float:
    if not accuracies[0] <= accuracy <= accuracies[-1]:
        return float("nan")
    return float(np.interp(accuracy, accuracies, values))


def linear(path: Path, place: int) -> tuple[float, float, float]:
    """How far margin over gradient norm at the image predicts critical norms there.

    Median over the images of prediction over critical norm; standard deviation of the logarithm of that ratio; and the
    same of the critical norms themselves, which is what there was to predict.
    """
    chosen = right(path, place) & np.isfinite(path["l2"][place])
    best = path["l2"][place][chosen]
    ratio = path["margin"][place][chosen] / path["slope"][place][chosen] / best
    return float(np.median(ratio)), float(np.log(ratio).std()), float(np.log(best).std())


def parts(path: Path, place: int) -> tuple[float, float, float]:
    """Medians of the margin, the norm of its gradient and the critical norm, over images that are decided correctly."""
    chosen = right(path, place) & np.isfinite(path["l2"][place])
    margin, slope, norm = (path[name][place][chosen] for name in ("margin", "slope", "l2"))
    return float(np.median(margin)), float(np.median(slope)), float(np.median(norm))


def certified(path: Path, place: int, order: str = "second") -> float:
    """Median ratio of certified radius to the smallest perturbation found.

    order: ``first`` or ``second``; or ``larger``, of each image the larger of the two, as both hold.
    """
    radii = np.fmax(path["first"], path["second"]) if order == "larger" else path[order]
    known = np.isfinite(radii[place]) & right(path, place)
    ratio = radii[place][known] / path["l2"][place][known]
    return float(np.median(ratio)) if len(ratio) else float("nan")


def panels() -> list[tuple[str, float, str]]:
    """The norms and radii of the decisive figure, with what they are called."""
    named = {
        "linf": lambda radius: rf"$L^\infty$, {round(255 * radius)}/255",
        "l2": lambda radius: f"$L^2$, {radius:g}",
    }
    return [(norm, radius, named[norm](radius)) for norm, radii in RADII.items() for radius in radii]
