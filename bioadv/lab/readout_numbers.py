"""Statistics of the probes ``paths`` and ``epochs``: what a hidden layer is worth at an accuracy of its readout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bioadv.lab import corrections
from bioadv.measure.smallest import RADII

Path = Mapping[str, np.ndarray]  # arrays of a probe, see bioadv.lab.probe_paths


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


def best_over(path: Path, other: Path) -> tuple[float, float]:
    """The most accurate readout of a path beside that of another: test accuracy ahead, and its critical norm over it.

    Norms are medians on the images that both decide correctly; NaN where there are none.
    """
    place, place_other = int(rising(path)[-1]), int(rising(other)[-1])
    common = right(path, place) & right(other, place_other)
    ahead = float(path["accuracy"][place] - other["accuracy"][place_other])
    return ahead, float(np.exp(log_best(path, place, common) - log_best(other, place_other, common)))


def nearest(path: Path, accuracy: float) -> int:
    """The place before the best one whose accuracy is nearest."""
    places = rising(path)
    return int(places[np.abs(path["accuracy"][places] - accuracy).argmin()])


def gain(path: Path) -> tuple[float, float]:
    """What the most accurate readout of the path has over :func:`own`: test accuracy gained, and :func:`kept`."""
    last, trained = int(rising(path)[-1]), own(path)
    return float(path["accuracy"][last] - path["accuracy"][trained]), kept(path, trained, last, replicates=0).value


def kept(path: Path, before: int, after: int, replicates: int = 200, seed: int = 0) -> corrections.Estimate:
    """Median critical L2 norm at a place over that at an earlier one, on images that both decide correctly.

    With its error, by a bootstrap over images.
    """
    common = np.flatnonzero(right(path, before) & right(path, after))
    if not len(common):
        return corrections.NOTHING
    first, last = path["l2"][before][common], path["l2"][after][common]
    value = float(np.median(last) / np.median(first))
    generator, drawn = np.random.default_rng(seed), []
    for _ in range(replicates):
        images = generator.integers(len(common), size=len(common))
        drawn.append(np.median(last[images]) / np.median(first[images]))
    return corrections.Estimate(value, float(np.std(drawn, ddof=1)) if drawn else float("nan"), (value,))


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


def over(
    pairs: Sequence[tuple[Path, Path]], accuracy: float, replicates: int = 200, seed: int = 0
) -> corrections.Estimate:
    """Critical norm of a hidden layer over that of another where their readouts have an accuracy; a pair for each seed.

    Each on the images that both decide correctly at the places nearest to the accuracy. Mean over the seeds of which
    both layers get there, and its error by a bootstrap over seeds, then over images, which all seeds share; ``NOTHING``
    where none gets there.
    """

    def value(pair: tuple[Path, Path], images: np.ndarray) -> float:
        common = np.all([right(one, nearest(one, accuracy)) for one in pair], axis=0)
        of_both = images[common[images]]
        upper, lower = (
            at_accuracy({**one, "l2": one["l2"][:, of_both]}, accuracy) if len(of_both) else np.nan for one in pair
        )
        return float(np.exp(upper - lower))

    everything = np.arange(pairs[0][0]["l2"].shape[1]) if pairs else np.arange(0)
    reached = [pair for pair in pairs if np.isfinite(value(pair, everything))]
    if not reached:
        return corrections.NOTHING
    values, generator, drawn = tuple(value(pair, everything) for pair in reached), np.random.default_rng(seed), []
    for _ in range(replicates):
        chosen = generator.integers(len(reached), size=len(reached))
        images = everything[generator.integers(len(everything), size=len(everything))]
        drawn.append(np.mean([value(reached[which], images) for which in chosen]))
    return corrections.Estimate(float(np.mean(values)), float(np.nanstd(drawn, ddof=1)), values)


def over_own(path: Path, other: Path) -> float:
    """Critical norm of a hidden layer over that of a network, :func:`own` of ``other``, where they are as accurate.

    On the images that both decide correctly; NaN where no readout of the layer is as accurate.
    """
    trained = own(other)
    accuracy = float(other["accuracy"][trained])
    common = right(other, trained) & right(path, nearest(path, accuracy))
    return float(np.exp(at_accuracy(path, accuracy, common) - log_best(other, trained, common)))


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
