import numpy as np
import pytest

from bioadv.data import files
from bioadv.lab import corrections
from bioadv.measure.critical import NOISE_GRID


def test_exponents_of_known_spectra(tmp_path):
    n = np.arange(1, 601.0)
    arrays = {key: n ** -(1 + i / 2) for i, key in enumerate(corrections.EXPONENTS.values())}
    arrays["images_float32"] = (arrays["images_float32"] + 1j * 1e-9)[::-1]  # complex, and in any order
    files.write_arrays(tmp_path / "spectra.npz", arrays)
    found = corrections.exponents(tmp_path)
    for i, (alpha, reach) in enumerate(found.values()):
        assert alpha == pytest.approx(1 + i / 2)
        assert reach == 600


def perturbations(folder, images, norms, **more):
    """A file of the probe in which every measure has the same norms, but those given."""
    arrays = {key: np.array(norms, float) for key in corrections.NORMS.values()}
    steps = np.arange(len(images)) % 100 + 200
    arrays |= {"noise_index": steps, "noise_norm": 55 * NOISE_GRID[steps], "noise_half": steps + 1}
    files.write_arrays(folder / "perturbations.npz", {**arrays, "images": np.array(images), **more})
    return folder


def test_medians_over_own_and_common_images(tmp_path):
    a = perturbations(tmp_path / "a", [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    b = perturbations(tmp_path / "b", [9, 4, 2], [9, 4, 2])
    assert corrections.medians({"a": a, "b": b})["FGSM (as coded)"] == {"a": 3, "b": 4}
    assert corrections.medians({"a": a, "b": b}, common=True)["FGSM (as coded)"] == {"a": 3, "b": 3}


def test_a_measure_on_a_part_of_the_images_is_carried_over_to_all(tmp_path):
    """Here it is half of the reference on each image, so its median is too, whichever images are in the part."""
    reference = np.array([1.0, 2, 3, 4, 5, 60])
    a = perturbations(tmp_path / "a", [5, 6, 1, 2, 4, 3], reference, certified_l2=reference[:2] / 2)
    b = perturbations(tmp_path / "b", [3, 5, 6, 8], [7.0, 1, 9, 8], certified_l2=np.array([3.5, 0.5, 4.5]))
    for common in (False, True):
        found = corrections.medians({"a": a, "b": b}, common)
        for model in "ab":
            half, whole = found["certified in L2"][model], found["PGD (as coded)"][model]
            assert half == pytest.approx(whole / 2)


def test_noise_at_which_half_of_the_draws_fail(tmp_path):
    a = perturbations(tmp_path, range(5), np.ones(5))
    assert corrections.medians({"a": a})[corrections.HALF]["a"] == pytest.approx(55 * NOISE_GRID[203])
    a = perturbations(tmp_path, range(5), np.ones(5), noise_half=np.array([1, 2, 400, 400, 400]))
    assert corrections.medians({"a": a})[corrections.HALF]["a"] == np.inf


def test_ratio_and_its_error(tmp_path):
    """Two models that differ by a factor on every image: no error on common images, one on images of their own."""
    norms = np.random.default_rng(0).lognormal(size=400)
    a = perturbations(tmp_path / "a", range(400), 1.5 * norms, margin_norm=1.2 * norms[:90])
    order = np.random.default_rng(1).permutation(400)
    b = perturbations(tmp_path / "b", order, norms[order], margin_norm=norms[order][:90])
    runs = {"a": a, "b": b}
    assert corrections.ratio(runs, "PGD (as coded)", common=True) == (pytest.approx(1.5), pytest.approx(0, abs=1e-12))
    value, error = corrections.ratio(runs, "PGD, margin loss", common=True)
    assert value == pytest.approx(1.2)
    assert error == pytest.approx(0, abs=1e-12)
    value, error = corrections.ratio(runs, "PGD (as coded)")
    assert value == pytest.approx(1.5)
    # The median of n lognormal values has the error sqrt(pi / 2n), relative; the ratio of two, sqrt(2) times that.
    assert error == pytest.approx(1.5 * np.sqrt(np.pi / 400), rel=0.3)
    assert corrections.ratio(runs, "PGD (as coded)") == (value, error)
    with pytest.raises(ValueError, match="runs has 1 models; give two"):
        corrections.ratio({"a": a}, "PGD (as coded)")


def test_images_that_never_fail_are_not_forgotten(tmp_path):
    a = perturbations(tmp_path, range(3), [1.0, np.nan, np.nan])
    assert corrections.medians({"a": a})["PGD (as coded)"]["a"] == np.inf


def test_a_model_is_compared_at_its_own_place_on_a_curve():
    places, values = [0.5, 0.3, 0.4], [1.0, 4.0, 2.0]  # in any order; value = 4 * 2 ** -(10 * place - 3)
    for place in (0.3, 0.35, 0.4, 0.47, 0.5):
        assert corrections.matched(place, places, values) == pytest.approx(4 * 2 ** -(10 * place - 3))
    assert np.isnan(corrections.matched(0.29, places, values))
    assert np.isnan(corrections.matched(0.51, places, values))
    assert np.isnan(corrections.matched(0.4, [], []))
    assert corrections.matched(0.51, places, values, slack=0.02) == 1
    assert corrections.matched(0.29, places, values, slack=0.02) == 4
    assert np.isnan(corrections.matched(0.53, places, values, slack=0.02))
