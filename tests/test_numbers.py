"""Each statistic reads the number that it is named for."""

import re
from pathlib import Path

import numpy as np
import pytest

from bioadv.data import datasets, files
from bioadv.lab import numbers
from bioadv.lab.numbers import STATISTICS
from bioadv.lab.runs import RESULTS_VARIABLE, Run
from bioadv.network import kh_params, local_learning

KINDS = {"noise": 1.0, "fgsm": 10.0, "pgd": 100.0}
# Numbers of hidden layers alone, and the layer that each is read from.
WHITENED = {
    "exponent on whitened images": "units-100",
    "exponent on whitened images, white rows": "white-100",
    "exponent on whitened images, images as rows": "exemplars-100",
}
BELOW_BP = {
    "accuracy of the best readout, below BP": "kh",
    "accuracy of the best readout, below BP, images as rows": "exemplars",
    "accuracy of the best readout, below BP, random features": "random",
}


def window(first, last, inside, outside):
    """A spectrum of 600 ranks that falls with one exponent within a window of ranks, and with another around it."""
    n = np.arange(1, 601)
    edge = np.clip(n, first, last)
    return edge**-inside * (n / edge) ** -outside


def test_every_statistic_reads_what_it_says(tmp_path, monkeypatch):
    """One run folder in which every number that could be mistaken for another differs from it."""
    run = Run(tmp_path / "cifar10", "bp", 0)
    about = {"configuration": {"model": "bp", "seed": 0, "data": ""}, "source": "", "seconds": 90.0, "dataset": "x"}
    files.write_json(run.manifest, {**about, "accuracy": {"train": 0.9, "test": 0.5}})
    np.savez(run.folder / "log.npz", jacobian=[3.0, 2.0, 7.0], loss=[1.0, 1.0, 1.0])
    n = np.arange(1, 601)
    np.savez(
        run.folder / "spectra.npz",
        images_before=np.where(n <= 550, n**-2.0, n**-2.0 * np.exp(-(n - 550.0))),
        images_after=window(11, 500, 1.5, 4.0),
        # Single precision: complex by type, not sorted, above the others from rank 401 on.
        images_float32=(np.where(n <= 400, 1.0, 2.0) * n**-2.0).astype(complex),
        noise_before=window(11, 100, 0.25, 4.0),
        noise_after=window(11, 100, 0.75, 4.0),
    )
    norms = {f"{attack}_norm": [scale, 2 * scale, 9 * scale, np.nan] for attack, scale in KINDS.items()}
    np.savez(run.folder / "perturbations.npz", **norms)
    plane = np.arange(2 * 3 * 3).reshape(2, 3, 3) ** 2.0  # radius, kind of plane, image
    np.savez(run.folder / "landscape.npz", low=plane, high=plane + 1000, regions=plane + 2000)
    change = np.where(n <= 10, 1.0, np.where(n < 100, 9.0, np.where(n <= 500, 2.0, 8.0))) * (-1.0) ** n
    np.savez(
        run.folder / "pruning.npz",
        pruned=np.arange(4)[:, None] >= np.array([0, 1, 2, 3, 1, 1]),  # criteria: 1, 4, 5, 6 units
        images_raw=np.ones(600),
        images_threshold=np.exp(change),
        images_mixture=np.exp(5 * change),
    )
    expected = {
        "accuracy": 0.5,
        "jacobian": 7,
        "exponent, images": 2,
        "exponent, images, after activation": 1.5,
        "rank where single precision parts": 401,
        "exponent, noise": 0.25,
        "critical norm, noise": 2,
        "critical norm, FGSM": 20,
        "critical norm, PGD": 200,
        "plane Jacobian, lowest": 100,  # 9 planes of the near radius, then the random ones: 81, 100, 121
        "plane Jacobian, highest": 1100,
        "regions in the plane": 2100,
        "pruned units": 4,
        "change by pruning, ranks 1 to 10": 1,
        "change by pruning, ranks 100 to 500": 2,
        **dict.fromkeys(WHITENED, 0.75),
        "exponent above that of images as rows": 2 - 1.75,
    }
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    np.savez(run.folder / "alignment.npz", images=window(5, 50, 0.75, 4.0))
    alone(Run(tmp_path / "untrained" / "cifar10", "exemplars", 0), 1.5)
    alone(Run(tmp_path / "untrained" / "cifar10", "exemplars", 7), 2.0)
    for name, value in expected.items():
        assert STATISTICS[name].of(run) == pytest.approx(value, rel=1e-6), name
    assert 550 <= STATISTICS["end of the power law"].of(run) <= 560
    coded = "exponent, images, as coded"
    ranks, lifted = np.log(n[10:500]), np.log(np.sort(np.where(n <= 400, 1.0, 2.0) * n**-2.0)[::-1][10:500])
    assert STATISTICS[coded].of(run) == pytest.approx(-np.polyfit(ranks, lifted, 1)[0], rel=1e-6)
    low = "end of the power law, ranks 11 to 100"
    assert STATISTICS[low].of(run) == STATISTICS["end of the power law"].of(run)  # one law up to there
    compared = {"critical norm over weight decay of equal accuracy", *BELOW_BP}
    assert set(STATISTICS) == {*expected, "end of the power law", low, coded, *compared}


def alone(run, exponent):
    """A hidden layer alone whose spectrum on images has this exponent at ranks 11 to 500."""
    files.write_json(run.measured("alignment"), {"configuration": {}, "source": ""})
    np.savez(run.folder / "alignment.npz", images=np.arange(1, 601.0) ** -exponent)


def test_a_statistic_that_compares_runs_is_left_out_where_there_are_none_to_compare_with(tmp_path, monkeypatch):
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    run = Run(tmp_path / "cifar10", "kh", 3)
    files.write_json(run.measured("spectra"), {"configuration": {}, "source": ""})
    np.savez(run.folder / "spectra.npz", images_before=window(11, 500, 3.0, 4.0))
    name = "exponent above that of images as rows"
    assert numbers.measured(name, "kh") == {}
    alone(Run(tmp_path / "untrained" / "cifar10", "exemplars", 0), 2.5)
    assert numbers.measured(name, "kh") == {3: pytest.approx(0.5)}


@pytest.mark.parametrize(
    "statistic", ["exponent above that of images as rows", "critical norm over weight decay of equal accuracy"]
)
def test_a_run_on_other_images_is_not_compared_with_one_on_cifar10(statistic, tmp_path, monkeypatch):
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    run = Run(tmp_path / "my-photos", "kh", 0)
    for probe in ("spectra", "perturbations"):
        files.write_json(run.measured(probe), {"configuration": {}, "source": ""})
    assert numbers.measured(statistic, "kh", "my-photos") == {}
    with pytest.raises(numbers.IncomparableError, match="was made on CIFAR-10"):
        numbers.STATISTICS[statistic].of(run)


def test_a_number_of_a_layer_alone_stands_for_no_other_model_or_images(tmp_path, monkeypatch):
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    alone(Run(tmp_path / "small" / "cifar10-whitened", "units-100", 1), 0.5)
    assert numbers.measured("exponent on whitened images", "bp") == {}
    assert numbers.measured("exponent on whitened images", "kh-layer", "my-photos") == {}


@pytest.mark.parametrize("statistic", WHITENED)
def test_a_statistic_of_a_layer_alone_is_looked_up_there(statistic, tmp_path, monkeypatch):
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    for layer in WHITENED.values():
        alone(Run(tmp_path / "small" / "cifar10-whitened", layer, 1), 0.5 if layer == WHITENED[statistic] else 2.0)
    assert numbers.measured(statistic, "kh-layer") == {1: pytest.approx(0.5)}


@pytest.mark.parametrize("statistic", BELOW_BP)
def test_readouts_at_their_best_are_compared_with_those_of_bp(statistic, tmp_path, monkeypatch):
    """A readout that a model was trained with has no place on the path and is not counted."""
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    small = tmp_path / "small" / "cifar10"
    others = ((model, 1, 0.4 if model == BELOW_BP[statistic] else 0.1) for model in BELOW_BP.values())
    for model, seed, best in (*others, ("bp", 0, 0.45), ("bp", 1, 0.47)):
        run = Run(small, model, seed)
        files.write_json(run.measured("paths"), {"configuration": {}, "source": ""})
        np.savez(run.folder / "paths.npz", place=[1.0, 2.0, np.nan], accuracy=[best, 0.3, 0.9])
        if model != "bp":
            assert numbers.measured(statistic, "kh") == {}
    assert numbers.measured(statistic, "kh") == {1: pytest.approx(0.06)}


def test_unknown_statistics_are_named():
    with pytest.raises(ValueError, match="statistic 'luck' is not known; see accuracy, jacobian"):
        numbers.measured("luck", "bp")


def test_wall_time_of_the_first_seed_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    for seed, seconds in ((2, 90.0), (11, 30.0)):
        about = {"configuration": {"model": "bp", "seed": seed, "data": ""}, "source": "", "seconds": seconds}
        files.write_json(Run(tmp_path / "cifar10", "bp", seed).manifest, {**about, "dataset": "cifar10"})
    assert numbers.minutes("bp", "manifest") == 1.5
    assert numbers.minutes("bp", "spectra") == 0


def test_an_exponent_weighs_all_ranks_alike_and_may_end_early(tmp_path):
    run, spectrum = Run(tmp_path, "bp", 0), np.exp(-0.03 * np.arange(300))  # no power law: weights would show
    files.write_arrays(run.folder / "spectra.npz", {"images_after": spectrum})
    expected = np.polyfit(np.log(np.arange(11, 301)), np.log(spectrum[10:]), 1)[0]
    assert numbers.exponent(run, "images_after", truncate=True) == pytest.approx(-expected)
    with pytest.raises(ValueError, match="window"):
        numbers.exponent(run, "images_after")


def example(page, containing):
    """The Python block of a page that has these words."""
    blocks = re.findall(r"```python\n(.*?)```", (Path(__file__).parent.parent / page).read_text(), re.DOTALL)
    (block,) = (one for one in blocks if containing in one)
    return block


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A study of one's own images: fewer units than a window of the paper has ranks."""
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    run = Run(tmp_path / "my-photos", "kh", 0)
    about = {"configuration": {"model": "kh", "seed": 0, "data": ""}, "source": "", "seconds": 1.0, "dataset": "x"}
    files.write_json(run.manifest, {**about, "accuracy": {"train": 0.9, "test": 0.5}})
    files.write_json(run.measured("spectra"), {"configuration": {}, "source": ""})
    np.savez(run.folder / "spectra.npz", images_before=np.arange(1, 101.0) ** -2)
    return run


def test_the_example_for_ones_own_images_runs(photos, capsys):
    exec(example("book/running.md", "numbers.measured"), {})
    seed, alpha = capsys.readouterr().out.split()
    assert (seed, float(alpha)) == ("0", pytest.approx(2))
    with pytest.raises(ValueError, match=r"'exponent, images' of .*my-photos/kh/seed-0: window = \(11, 500\)"):
        numbers.measured("exponent, images", "kh", "my-photos")


def test_the_example_of_the_front_page_trains_as_long_as_the_size_of_images_allows(monkeypatch):
    asked, data = [], datasets.load("photo-patches")
    monkeypatch.setattr(datasets, "load", lambda name: data)
    monkeypatch.setattr(kh_params, "live_params", lambda *given: asked.append(given))
    monkeypatch.setattr(local_learning, "train", lambda *given: None)
    exec(example("README.md", "live_params"), {})
    assert asked == [(data.name, len(data.train), data.train.inputs)]


def test_the_end_of_a_line_depends_on_the_ranks_that_it_is_drawn_through(tmp_path):
    """A spectrum that bends at rank 100: the line through the ranks before it ends soon after."""
    run = Run(tmp_path / "cifar10", "kh", 0)
    run.folder.mkdir(parents=True)
    np.savez(run.folder / "spectra.npz", images_before=window(1, 100, 1.0, 3.0))
    early, late = (STATISTICS[f"end of the power law{which}"].of(run) for which in (", ranks 11 to 100", ""))
    assert early == pytest.approx(100 * 2**0.5, abs=3)  # there it is half of the line
    assert late != early
