import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from bioadv.data import datasets, files
from bioadv.lab import (
    direction_numbers,
    probe_directions,
    probes,
    readout_study,
    scales,
    small_paths,
    stale,
    statistics,
)
from bioadv.lab.statistics import Subject
from bioadv.measure import alignment, attacks, directions, spectra
from bioadv.pages import plots_readout
from tests.test_probe_paths import FEW, PARAMS
from tests.test_probes import tiny  # noqa: F401 (a fixture)

SETTINGS = {name: FEW[name] for name in ("penalties", "images", "seed")}


@pytest.fixture
def images():
    """As many as 200 of 12 pixels, with variances that fall."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(200, 12, generator=generator).double() * torch.arange(12, 0, -1) + 1


# The measure


def test_deviation_is_the_standard_deviation_of_projections(images):
    g = torch.randn(5, 12, generator=torch.Generator().manual_seed(1))
    projections = images @ torch.nn.functional.normalize(g.double(), dim=1).T
    found = directions.deviation(g, spectra.moments(images))
    assert found.tolist() == pytest.approx(projections.std(0).tolist(), rel=1e-10)
    assert directions.deviation(3 * g, spectra.moments(images)).tolist() == pytest.approx(found.tolist())


def test_shares_are_squared_cosines_with_components_and_sum_to_one(images):
    of = spectra.moments(images)
    known, g = alignment.components(of), torch.randn(4, 12, generator=torch.Generator().manual_seed(2))
    found = directions.shares(g, known)
    plain = [[float(torch.cosine_similarity(one.double(), e, dim=0)) ** 2 for e in known.vectors.T] for one in g]
    assert found.numpy() == pytest.approx(np.array(plain))
    assert found.sum(1).tolist() == pytest.approx([1.0] * 4)
    assert (found @ known.variances).sqrt().tolist() == pytest.approx(directions.deviation(g, of).tolist())


def test_a_layers_deviation_is_that_of_sums_of_its_rows_with_all_signs(images):
    of, m = spectra.moments(images), torch.randn(3, 12, generator=torch.Generator().manual_seed(3)).double()
    sums = torch.stack([torch.tensor(signs).double() @ m for signs in itertools.product((-1, 1), repeat=3)])
    squares = (directions.deviation(sums, of).square() * sums.square().sum(1)).mean() / sums.square().sum(1).mean()
    assert directions.of_layer(m, of) == pytest.approx(float(squares.sqrt()))


def test_a_layers_deviation_for_isotropic_rows_and_for_images(images):
    of = spectra.moments(images)
    s = of.covariance
    assert directions.of_layer(torch.eye(12), of) == pytest.approx(float((s.trace() / 12).sqrt()))
    centred = images - images.mean(0)
    assert directions.of_layer(centred, of) == pytest.approx(float(((s @ s).trace() / s.trace()).sqrt()))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda of: directions.deviation(torch.ones(2, 5), of), r"rows have shape \(2, 5\); give one of 12 inputs"),
        (lambda of: directions.deviation(torch.ones(12), of), r"rows have shape \(12,\)"),
        (lambda of: directions.deviation(torch.full((1, 12), torch.nan), of), "rows are NaN or infinite"),
        (lambda of: directions.shares(torch.ones(2, 5), alignment.components(of)), "give one of 12 inputs"),
        (lambda of: directions.of_layer(torch.zeros(3, 12), of), "weights are all zero"),
    ],
)
def test_input_that_does_not_fit(images, call, words):
    with pytest.raises(ValueError, match=words):
        call(spectra.moments(images))


def test_a_gradient_of_zero_has_no_direction(images):
    assert directions.deviation(torch.zeros(1, 12), spectra.moments(images)).isnan().all()


# The probe


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(probes.PROBES, "directions", replace(probes.PROBES["directions"], settings=SETTINGS))
    monkeypatch.setitem(probes.PROBES, "paths", replace(probes.PROBES["paths"], settings=FEW))
    monkeypatch.setattr(scales, "scale", lambda data: scales.Scale(PARAMS, epochs=2, batch=20))


def test_the_probe_has_the_places_and_margins_of_the_paths(tiny, tmp_path, small):  # noqa: F811
    data, folder = datasets.load(tiny), tmp_path / "tiny.npz" / "exemplars" / "seed-3"
    found = files.read_arrays(probes.run(folder, "directions", data, progress=False))
    beside = files.read_arrays(probes.run(folder, "paths", data, progress=False))
    for name in ("place", "accuracy", "images", "margin", "slope"):
        assert found[name] == pytest.approx(beside[name], rel=1e-4)
    inputs = data.train.inputs
    assert found["energy"].shape == (2, inputs)
    assert (np.diff(found["energy"]) >= -1e-6).all()
    assert found["energy"][:, -1] == pytest.approx(1)
    of = spectra.moments(datasets.unit_lp(data.train))
    assert found["variances"] == pytest.approx(alignment.components(of).variances.numpy(), rel=1e-4, abs=1e-9)
    model = probes.of_untrained("exemplars", 3, data)
    assert found["layer"] == pytest.approx(directions.of_layer(model.hidden, of))
    assert stale.faults(folder / "directions.json", tmp_path, data) == []


def test_the_deviation_stored_is_that_along_the_gradient(tiny, small):  # noqa: F811
    """Of a network with a readout of its own, which comes last."""
    data = datasets.load(tiny)
    model = probes.of_untrained("random", 0, data)
    torch.nn.init.normal_(model.readout, generator=torch.Generator().manual_seed(4))
    found = probe_directions.measure_directions(model, data, SETTINGS, False)
    assert np.isnan(found["place"][-1])
    chosen = found["images"]
    x, y = datasets.unit_lp(data.test)[chosen], torch.tensor(data.test.labels)[chosen]
    g, _ = attacks.gradient(model, x, y, "margin")
    train = datasets.unit_lp(data.train).double()
    plain = [(train @ (one / one.norm())).std() for one in g.double()]
    assert found["deviation"][-1] == pytest.approx(np.array(plain), rel=1e-4)
    right = found["margin"][-1] > 0
    vectors = torch.linalg.svd(train - train.mean(0), full_matrices=False)[2]
    unit = torch.nn.functional.normalize(g[torch.from_numpy(right)].double(), dim=1)
    leading = (unit @ vectors[:5].T).square().sum(1).mean()
    assert found["energy"][-1][4] == pytest.approx(float(leading), rel=1e-4)


def test_the_probe_is_made_at_small_scale_as_well(tiny, tmp_path, monkeypatch):  # noqa: F811
    data = datasets.load(tiny)
    monkeypatch.setattr(small_paths, "SIZES", scales.Scale(PARAMS, epochs=2, batch=20))
    monkeypatch.setitem(small_paths.PROBES, "directions", (probe_directions.measure_directions, SETTINGS))
    found = files.read_arrays(small_paths.make("random", 0, data, tmp_path, "directions", progress=False))
    assert found["place"].tolist() == [1.0, pytest.approx(0.01)]


# Statistics


def path(deviation, slope=1.0, own=None):
    """Two readouts, three images, the last of them decided wrongly; ``own``: of the readout that was taken off."""
    margin = np.array([[1.0, 2, -1], [2, 4, -9]])
    found = {
        "place": np.array([1.0, 0.1]),
        "accuracy": np.array([0.3, 0.4]),
        "margin": margin,
        "slope": np.full((2, 3), slope),
        "deviation": np.outer(deviation, [1.0, 1, 50]),
        "energy": np.array([[0.1, 0.6, 1], [0.2, 0.7, 1]]),
    }
    if own is None:
        return found
    last = {"place": np.nan, "accuracy": 0.35, "margin": margin[0], "slope": found["slope"][0]}
    last |= {"deviation": np.full(3, own), "energy": np.array([0.3, 0.8, 1])}
    return {name: np.concatenate([values, [last[name]]]) for name, values in found.items()}


def test_medians_are_of_images_that_are_decided_correctly():
    found = direction_numbers.medians(path((0.5, 0.1), slope=2.0), 0)
    assert found == {"linear": 0.75, "deviation": 0.5, "distance": 1.5}
    nothing = path((0.5, 0.1))
    nothing["margin"][0] = -1
    assert np.isnan(list(direction_numbers.medians(nothing, 0).values())).all()


def test_ranges_are_over_the_readouts_up_to_the_best_of_all_paths():
    found = direction_numbers.ranges([path((0.5, 0.1)), path((0.8, 0.2), slope=3.0, own=9.0)])
    assert found["deviation"] == (0.1, 0.8)
    assert found["linear"] == (0.5, 3.0)
    assert found["distance"] == (pytest.approx(0.625), pytest.approx(30))


def test_logs_are_interpolated_between_readouts():
    one = path((0.5, 0.1))
    assert direction_numbers.log_at(one, "deviation", 0.35) == pytest.approx(np.log([0.5, 0.1]).mean())
    assert direction_numbers.log_at(one, "linear", 0.4) == pytest.approx(np.log(3))
    assert np.isnan(direction_numbers.log_at(one, "linear", 0.41))
    assert direction_numbers.log_own(path((0.5, 0.1), own=0.25), "deviation") == pytest.approx(np.log(0.25))
    assert direction_numbers.log_best(path((0.5, 0.1), own=0.25), "deviation") == pytest.approx(np.log(0.1))


def test_layers_are_compared_where_both_have_an_accuracy():
    first, second = path((0.5, 0.1)), path((0.8, 0.2), slope=3.0)
    found = direction_numbers.over([first, second], [second, first], 0.4)
    assert found["deviation"] == pytest.approx([0.1 / 0.2, 0.2 / 0.1])
    assert np.allclose(np.multiply(found["deviation"], found["distance"]), found["linear"])
    one_for_all = direction_numbers.over([first, second], [first], 0.35)
    assert one_for_all["deviation"] == pytest.approx([1, (0.8 * 0.2 / 0.5 / 0.1) ** 0.5])
    assert np.isnan(direction_numbers.over([first], [second], 0.5)["linear"]).all()
    with pytest.raises(ValueError, match="shorter|longer"):
        direction_numbers.over([first, second], [first, second, first], 0.4)


def test_the_share_of_direction_is_one_where_nothing_else_differs():
    linear, deviation = np.log([6.0, 3.0]), np.log([2.0, 1.0])
    assert direction_numbers.share((linear[0], deviation[0]), (linear[1], deviation[1])) == pytest.approx(1)
    assert direction_numbers.share((linear[0], 0.0), (linear[1], 0.0)) == 0


@pytest.fixture
def stored(tmp_path, monkeypatch):
    monkeypatch.setenv("BIOADV_RESULTS", str(tmp_path))
    given = {"kh": path((0.8, 0.2), own=0.4), "random": path((0.1, 0.05), 4.0), "bp": path((0.1, 0.05), own=0.1)}
    for model, arrays in given.items():
        folder = tmp_path / "small" / "cifar10" / model / "seed-0"
        folder.mkdir(parents=True)
        files.write_arrays(folder / "directions.npz", arrays)
        files.write_json(folder / "directions.json", {"configuration": {}, "seconds": 1.0, "source": ""})
    return Subject("kh", 0, "cifar10", "small", (1, 3))


def test_stored_arrays_by_model_kh_first(stored):
    found = readout_study.stored("directions", models=["random", "l2", "kh"])
    assert list(found) == ["kh", "random"]
    assert [one["deviation"][0][0] for one in found["kh"]] == [0.8]
    assert list(readout_study.stored("directions")) == ["kh", "bp", "random"]
    assert readout_study.stored("directions", "paper") == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("share of direction, from 0.34 to 0.4", np.log(0.8**0.6 * 0.2**0.4 / 0.2) / np.log(1.5**0.6 * 3**0.4 / 3)),
        ("share of direction, over random at 0.32", np.log(0.8 * 0.25**0.2 / (0.1 * 0.5**0.2)) / np.log(4)),
        ("share of direction, as trained to best", np.log(0.4 / 0.2) / np.log(1.5 / 3)),
        ("log deviation over bp, as trained", np.log(4)),
        ("log deviation over kh at 0.34", 0.0),
    ],
)
def test_statistics_of_predictions(stored, name, value):
    assert statistics.statistic(name, stored) == pytest.approx(value)


def test_the_share_on_leading_components_is_that_of_the_readout_as_trained():
    assert statistics.STATISTICS["share on the first 100 components, as trained"].keywords == {"components": 100}


def test_the_share_on_leading_components(stored):
    assert statistics._leading(stored, 2) == 0.8


def test_an_accuracy_that_no_readout_has_is_not_measured(stored):
    for name in ("share of direction, over random at 0.42", "log deviation over kh at 0.42"):
        with pytest.raises(statistics.MissingError, match=r"no readout at 0\.42"):
            statistics.statistic(name, stored)


# The figure


def test_the_figure_has_a_dot_for_each_readout_and_the_chosen_shares():
    paths = {"kh": [path((0.8, 0.2), own=0.4)], "random": [path((0.1, 0.05), 4.0)]}
    left, right = plots_readout.directions(paths, {"kh": [2], "random": [0]}).axes
    kh, own, random, diagonal = left.get_lines()[:4]
    assert kh.get_xdata().tolist() == pytest.approx([0.8, 0.2])
    assert kh.get_ydata().tolist() == pytest.approx([1.5, 3.0])
    assert (own.get_xdata().tolist(), own.get_ydata().tolist()) == ([0.4], [1.5])
    assert random.get_ydata().tolist() == pytest.approx([0.375, 0.75])
    # Distances 1.875, 15, 3.75 and 15: their median is the slope of the diagonal.
    x, y = diagonal.get_data()
    assert (y / x).tolist() == pytest.approx([9.375, 9.375])
    shown = [line.get_ydata().tolist() for line in right.get_lines()]
    assert shown == [pytest.approx([0.3, 0.8, 1]), pytest.approx([0.1, 0.6, 1])]
