import numpy as np
import pytest

from bioadv import corrections, results


def test_exponents_of_known_spectra(tmp_path):
    n = np.arange(1, 601.0)
    arrays = {key: n ** -(1 + i / 2) for i, key in enumerate(corrections.EXPONENTS.values())}
    arrays["images_float32"] = (arrays["images_float32"] + 1j * 1e-9)[::-1]  # complex, and in any order
    results.write_arrays(tmp_path / "spectra.npz", arrays)
    found = corrections.exponents(tmp_path)
    for i, (alpha, reach) in enumerate(found.values()):
        assert alpha == pytest.approx(1 + i / 2)
        assert reach == 600


def test_medians_over_own_and_common_images(tmp_path):
    own = {"a": [1, 2, 3, 4, 5], "b": [2, 4, 9]}
    for model, images in own.items():
        arrays = {key: np.array(images, float) for key in corrections.NORMS.values()}
        arrays["certified_l2"] = arrays["certified_l2"][:2]  # measured on a part of the images
        results.write_arrays(tmp_path / model / "perturbations.npz", {**arrays, "images": np.array(images)})
    runs = {model: tmp_path / model for model in own}
    assert corrections.medians(runs)["FGSM (as coded)"] == {"a": 3, "b": 4}
    assert corrections.medians(runs, common=True)["FGSM (as coded)"] == {"a": 3, "b": 3}
    assert corrections.medians(runs, common=True)["certified in L2"] == {"a": 2, "b": 3}


def test_images_that_never_fail_are_not_forgotten(tmp_path):
    norms = np.array([1.0, np.nan, np.nan])
    arrays = dict.fromkeys(corrections.NORMS.values(), norms)
    results.write_arrays(tmp_path / "perturbations.npz", {**arrays, "images": np.arange(3)})
    assert corrections.medians({"a": tmp_path})["PGD (as coded)"]["a"] == np.inf


def test_a_model_is_compared_at_its_own_place_on_a_curve():
    places, values = [0.5, 0.3, 0.4], [1.0, 4.0, 2.0]  # in any order; value = 4 * 2 ** -(10 * place - 3)
    for place in (0.3, 0.35, 0.4, 0.47, 0.5):
        assert corrections.matched(place, places, values) == pytest.approx(4 * 2 ** -(10 * place - 3))
    assert np.isnan(corrections.matched(0.29, places, values))
    assert np.isnan(corrections.matched(0.51, places, values))
    assert np.isnan(corrections.matched(0.4, [], []))
