"""Exponents beside critical norms: of the right seeds, and in the right order."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from bioadv.data import files
from bioadv.lab import corrections, steepness
from bioadv.lab.runs import RESULTS_VARIABLE, Run
from bioadv.pages import plots_frontier

BEST = "PGD in an L2 ball"
N = np.arange(1, 601.0)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """Writes what a probe left of a run."""
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))

    def write(model, seed, probe, **arrays):
        run = Run(tmp_path / "cifar10", model, seed)
        files.write_json(run.measured(probe), {"configuration": {"model": model, "seed": seed}, "source": ""})
        np.savez(run.folder / f"{probe}.npz", **arrays)

    return write


def spectrum(exponent):
    """After the activation one exponent, before it another."""
    return {"images_after": N**-exponent, "images_before": N**-9.0}


def attacked(norm):
    """All images of a run change their class at one length."""
    return {"images": np.arange(5), "l2_norm": np.full(5, norm), corrections.REFERENCE: np.ones(5)}


def test_only_seeds_with_both_count_and_each_with_its_own(results):
    for seed, exponent, norm in ((0, 1.0, 0.1), (1, 1.5, 0.2)):
        results("kh", seed, "spectra", **spectrum(exponent))
        results("kh", seed, "perturbations", **attacked(norm))
    results("kh", 2, "spectra", **spectrum(7.0))
    results("bp", 0, "perturbations", **attacked(0.3))
    found = steepness.points(["kh", "bp"], BEST)
    assert found == {"kh": [pytest.approx(one) for one in ((1.0, 0.1), (1.5, 0.2))]}


def test_a_window_is_taken_as_given(results):
    bent = np.where(N <= 100, N**-1.0, 100.0 * N**-2.0)
    results("kh", 0, "spectra", images_after=bent)
    assert steepness.exponents("kh", (11, 100)) == {0: pytest.approx(1.0)}
    assert steepness.exponents("kh")[0] > 1.3


def test_ranks_are_correlated_over_means_of_models():
    found = {"a": [(1.0, 5.0), (3.0, 7.0)], "b": [(2.5, 9.0)], "c": [(4.0, 8.0)]}
    assert steepness.rank_correlation(found) == pytest.approx(0.5)  # 2, 2.5, 4 beside 6, 9, 8
    with pytest.raises(ValueError, match="found has 2 models; give at least 3"):
        steepness.rank_correlation({"a": [(1, 1)], "b": [(2, 2)]})


def path(accuracies, norms):
    """A path of penalties on four images, of which one is decided wrongly everywhere."""
    l2 = np.array([[0.0, norm, norm, norm] for norm in norms])
    return {"place": 10.0 ** -np.arange(len(norms)), "accuracy": np.array(accuracies), "l2": l2}


def test_readouts_of_one_layer_up_to_the_best_and_at_an_accuracy(results):
    results("kh", 0, "spectra", **spectrum(1.0))
    results("kh", 1, "spectra", **spectrum(2.0))
    results("kh", 1, "paths", **path([0.3, 0.5, 0.4], [8.0, 2.0, 1.0]))
    results("kh", 2, "paths", **path([0.2, 0.3], [9.0, 4.0]))
    exponent, norms = steepness.of_readouts("kh")
    assert exponent == pytest.approx(1.5)
    np.testing.assert_allclose(norms[0], [8, 2])
    np.testing.assert_allclose(norms[1], [9, 4])
    assert steepness.at_accuracy("kh", 0.4) == pytest.approx((1.5, 4.0))  # only one gets there: between 8 and 2
    assert np.isnan(steepness.at_accuracy("kh", 0.6)[1])


def test_the_figure_draws_a_point_for_each_model_and_a_line_for_each_path():
    figure = plots_frontier.exponent_and_norm(
        {"kh": [(2.0, 0.1), (2.2, 0.3)]},
        {"short-l2-0": [(1.8, 0.1)]},
        {"kh": (2.1, [np.array([0.3, 0.1])])},
        {"at 42 %": {"random": [(1.3, 0.04)]}},
    )
    assert isinstance(figure, Figure)
    left, right = figure.axes
    drawn = [line.get_xydata().tolist() for line in left.lines]
    assert drawn == [[[2.1, 0.3], [2.1, 0.1]], [[2.1, 0.2]], [[1.8, 0.1]]]
    assert [line.get_xydata().tolist() for line in right.lines] == [[[1.3, 0.04]]]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["KH", "L2 × 0", "random features"]
