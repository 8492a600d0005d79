"""Named statistics of a run: one number each, from the files in its folder. For the ledger and the chapters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bioadv.data import files
from bioadv.lab import corrections, frontier, provenance, readout_numbers, runs, study
from bioadv.lab.probe_perturbations import median_norm
from bioadv.lab.runs import Run
from bioadv.measure import powerlaw

CIFAR10 = "cifar10"
SMALL = f"small/{CIFAR10}"
PARTED = 1.25


class IncomparableError(LookupError):
    """A statistic compares a run with others, and there are none of these."""


@dataclass(frozen=True)
class Statistic:
    """needs: the file that a run must have; of: the number of a run that has it.

    place: folder of images and name of the layer, for a number of a hidden layer alone, which stands for a ``model`` on
    CIFAR-10 and for no other.
    """

    needs: str
    of: Callable[[Run], float]
    place: tuple[str, str] | None = None
    model: str = ""


def exponent(run: Run, spectrum: str, window: tuple[int, int] = powerlaw.IMAGES, truncate: bool = False) -> float:
    """Exponent of a spectrum of the probe ``spectra`` by its name, over a window of ranks."""
    return powerlaw.fit(run.arrays("spectra")[spectrum], window, truncate=truncate).alpha


def _reach(run: Run, window: tuple[int, int] = powerlaw.IMAGES) -> float:
    spectrum = run.arrays("spectra")["images_before"]
    return powerlaw.reach(spectrum, powerlaw.fit(spectrum, window))


def _as_coded(run: Run) -> float:
    """Exponent on images by the authors' single-precision estimator."""
    values = corrections.as_read(run.arrays("spectra")["images_float32"])
    return powerlaw.fit(values, powerlaw.IMAGES, truncate=True).alpha


def _parting(run: Run) -> float:
    """The first rank where the authors' single-precision estimator exceeds the exact spectrum by a quarter."""
    found = run.arrays("spectra")
    exact, coded = found["images_before"], np.real(found["images_float32"])
    end = min(len(exact), powerlaw.positive(coded))
    apart = coded[:end] / exact[:end] > PARTED
    if not apart.any():
        raise IncomparableError(f"{run.folder}: the estimators do not part")
    return float(apart.argmax()) + 1


def critical_norm(run: Run, attack: str) -> float:
    """Median critical norm under an attack of the probe ``perturbations``, as coded."""
    return median_norm(run.arrays("perturbations")[f"{attack}_norm"])


def _plane(run: Run, name: str) -> float:
    """Median over images, random planes of the paper's radius."""
    return float(np.median(run.arrays("landscape")[name][1, 0]))


def _pruning(run: Run, first: int, last: int) -> float:
    """Largest |ln| of the ratio of eigenvalues, unpruned over pruned by the threshold, over a window of ranks."""
    found = run.arrays("pruning")
    raw, pruned = (found[f"images_{name}"][first - 1 : last] for name in ("raw", "threshold"))
    return float(np.abs(np.log(raw / pruned)).max())


def _alone(run: Run, window: tuple[int, int]) -> float:
    """Exponent on images of a hidden layer alone, before the activation."""
    return powerlaw.fit(run.arrays("alignment")["images"], window).alpha


def _above_exemplars(run: Run) -> float:
    """Exponent on images less the mean of layers whose rows are images, drawn at random."""
    _of_cifar10(run)
    found = runs.at_hand("exemplars", "alignment.json", "untrained/cifar10").values()
    others = [_alone(one, powerlaw.IMAGES) for one in found]
    if not others:
        raise IncomparableError("no layer of images as rows is at hand")
    return exponent(run, "images_before") - float(np.mean(others))


def _of_cifar10(run: Run) -> None:
    if run.root.name != CIFAR10:
        raise IncomparableError(f"what {run.folder} is compared with was made on CIFAR-10")


def _above_decay(run: Run) -> float:
    """Median critical norm over that of weight decay at the run's accuracy, on images that both decide correctly."""
    _of_cifar10(run)
    comparison = frontier.beside(run, "accuracy")
    if comparison is None:
        raise IncomparableError("no training with weight decay is as accurate")
    return corrections.compared([comparison], "PGD, margin loss", common=True, replicates=0).value


def _below_bp(run: Run) -> float:
    """Accuracy of the best readout on the path of penalties, below the mean of BP's; a hidden layer of 100 units."""
    others = runs.at_hand("bp", "paths.json", SMALL).values()
    if not others:
        raise IncomparableError("no readout of BP's hidden layer is at hand")
    return float(np.mean([readout_numbers.best_accuracy(one.arrays("paths")) for one in others])) - (
        readout_numbers.best_accuracy(run.arrays("paths"))
    )


STATISTICS: dict[str, Statistic] = {
    "accuracy": Statistic(provenance.MANIFEST, lambda run: run.accuracy),
    "jacobian": Statistic(provenance.MANIFEST, lambda run: run.last("jacobian")),
    "exponent, images": Statistic("spectra.json", lambda run: exponent(run, "images_before")),
    "exponent, images, as coded": Statistic("spectra.json", _as_coded),
    "rank where single precision parts": Statistic("spectra.json", _parting),
    "exponent, images, after activation": Statistic("spectra.json", lambda run: exponent(run, "images_after")),
    "exponent, noise": Statistic("spectra.json", lambda run: exponent(run, "noise_before", powerlaw.NOISE)),
    "end of the power law": Statistic("spectra.json", _reach),
    "end of the power law, ranks 11 to 100": Statistic("spectra.json", lambda run: _reach(run, powerlaw.NOISE)),
    "critical norm, noise": Statistic("perturbations.json", lambda run: critical_norm(run, "noise")),
    "critical norm, FGSM": Statistic("perturbations.json", lambda run: critical_norm(run, "fgsm")),
    "critical norm, PGD": Statistic("perturbations.json", lambda run: critical_norm(run, "pgd")),
    "plane Jacobian, lowest": Statistic("landscape.json", lambda run: _plane(run, "low")),
    "plane Jacobian, highest": Statistic("landscape.json", lambda run: _plane(run, "high")),
    "regions in the plane": Statistic("landscape.json", lambda run: _plane(run, "regions")),
    "exponent above that of images as rows": Statistic("spectra.json", _above_exemplars),
    "exponent on whitened images": Statistic(
        "alignment.json", lambda run: _alone(run, (5, 50)), ("small/cifar10-whitened", "units-100"), "kh-layer"
    ),
    **{
        f"exponent on whitened images, {what}": Statistic(
            "alignment.json", lambda run: _alone(run, (5, 50)), ("small/cifar10-whitened", name), "kh-layer"
        )
        for what, name in (("white rows", "white-100"), ("images as rows", "exemplars-100"))
    },
    "critical norm over weight decay of equal accuracy": Statistic("perturbations.json", _above_decay),
    "accuracy of the best readout, below BP": Statistic("paths.json", _below_bp, (SMALL, "kh"), "kh"),
    **{
        f"accuracy of the best readout, below BP, {what}": Statistic("paths.json", _below_bp, (SMALL, name), "kh")
        for what, name in (("images as rows", "exemplars"), ("random features", "random"))
    },
    "pruned units": Statistic("pruning.json", lambda run: float(run.arrays("pruning")["pruned"][1].sum())),
    "change by pruning, ranks 1 to 10": Statistic("pruning.json", lambda run: _pruning(run, 1, 10)),
    "change by pruning, ranks 100 to 500": Statistic("pruning.json", lambda run: _pruning(run, 100, 500)),
}


def measured(statistic: str, model: str, data: str = "cifar10") -> dict[int, float]:
    """A statistic of a model by seed, for the runs at hand of which it can be had; ``ValueError`` lists the statistics.

    Raises ``ValueError`` for a name that is neither a model of the study nor one of which there are results.

    >>> 0.4 < measured("accuracy", "kh")[0] < 0.6  # seed 0 on CIFAR-10
    True
    """
    _check_model(model, data)
    if statistic not in STATISTICS:
        raise ValueError(f"statistic {statistic!r} is not known; see {', '.join(STATISTICS)}")
    chosen = STATISTICS[statistic]
    if chosen.place and (data, model) != (CIFAR10, chosen.model):
        return {}
    found = dict[int, float]()
    images, name = chosen.place or (data, model)
    for seed, run in runs.at_hand(name, chosen.needs, images).items():
        try:
            found[seed] = chosen.of(run)
        except IncomparableError:
            continue
        except ValueError as error:
            raise ValueError(f"{statistic!r} of {run.folder}: {error}") from None
    return found


def minutes(model: str, part: str, data: str = "cifar10") -> float:
    """Wall time of a training (``manifest``) or a probe, of the model's first seed at hand; 0 if there is none.

    Raises as :func:`measured` does.
    """
    _check_model(model, data)
    found = runs.at_hand(model, f"{part}.json", data)
    return files.read_json(found[min(found)].measured(part))["seconds"] / 60 if found else 0.0


def _check_model(model: str, data: str) -> None:
    if model not in (*study.EXPERIMENTS, *study.SUBJECTS) and not (runs.results() / data / model).is_dir():
        raise ValueError(f"model = {model!r} is not known; see bioadv list, or give one that has results on {data}")
