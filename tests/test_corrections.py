import numpy as np
import pytest

from bioadv.data import files
from bioadv.lab import corrections, frontier, numbers, runs, statistics
from bioadv.lab.bootstrap import NOTHING, PLUS_MINUS, Estimate
from bioadv.lab.corrections import Comparison, averaged, compared
from bioadv.lab.runs import Run
from bioadv.lab.statistics import MissingError, Subject
from bioadv.measure.critical import NOISE_GRID


def test_exponents_of_known_spectra(tmp_path):
    n = np.arange(1, 601.0)
    arrays = {key: n ** -(1 + i / 2) for i, key in enumerate(corrections.EXPONENTS.values())}
    arrays["images_float32"] = (arrays["images_float32"] + 1j * 1e-9)[::-1]  # complex, and in any order
    run = Run(tmp_path, "a", 0)
    files.write_arrays(run.folder / "spectra.npz", arrays)
    found = corrections.exponents(run)
    for i, (alpha, reach) in enumerate(found.values()):
        assert alpha == pytest.approx(1 + i / 2)
        assert reach == 600


def perturbations(run, images, norms, **more):
    """A file of the probe in which every measure has the same norms, but those given."""
    arrays = {key: np.array(norms, float) for key in corrections.NORMS.values()}
    steps = np.arange(len(images)) % 100 + 200
    arrays |= {"noise_index": steps, "noise_norm": 55 * NOISE_GRID[steps], "noise_half": steps + 1}
    files.write_arrays(run.folder / "perturbations.npz", {**arrays, "images": np.array(images), **more})
    return run


def test_medians_over_own_and_common_images(tmp_path):
    a = perturbations(Run(tmp_path, "a", 0), [1, 2, 3, 4, 5], [1, 2, 3, 4, 5])
    b = perturbations(Run(tmp_path, "b", 0), [9, 4, 2], [9, 4, 2])
    assert corrections.medians([a, b], "FGSM (as coded)") == [3, 4]
    assert corrections.medians([a, b], "FGSM (as coded)", common=True) == [3, 3]


def test_a_measure_on_a_part_of_the_images_is_carried_over_to_all(tmp_path):
    """Here it is half of the reference on each image, so its median is too, whichever images are in the part."""
    reference = np.array([1.0, 2, 3, 4, 5, 60])
    a = perturbations(Run(tmp_path, "a", 0), [5, 6, 1, 2, 4, 3], reference, certified_l2=reference[:2] / 2)
    b = perturbations(Run(tmp_path, "b", 0), [3, 5, 6, 8], [7.0, 1, 9, 8], certified_l2=np.array([3.5, 0.5, 4.5]))
    for common in (False, True):
        found = (corrections.medians([a, b], m, common) for m in ("certified in L2", "PGD (as coded)"))
        for half, whole in zip(*found, strict=True):
            assert half == pytest.approx(whole / 2)


def test_on_which_images_a_certificate_exceeds_an_attack(tmp_path, monkeypatch):
    """One model has images 1 to 6, of which the first four have certificates, the other 3 to 8; so 3 and 4 count."""
    one = [Run(tmp_path, "a", seed) for seed in (0, 1)]
    perturbations(one[0], [1, 2, 3, 4, 5, 6], np.ones(6), certified_l2=np.array([9.0, 9, 3, 1]))
    perturbations(one[1], [1, 2, 3, 4, 5, 6], np.ones(6), certified_l2=np.array([0.0, 0, 3, 3]))
    other = perturbations(Run(tmp_path, "b", 0), [8, 7, 4, 3, 6, 5], np.ones(6), l2_norm=np.full(6, 2.0))
    measures = "certified in L2", "PGD in an L2 ball"
    known = {"a": one}
    monkeypatch.setattr(runs, "at_hand", lambda model, having: dict(enumerate(known.get(model, []))))

    def share(lower, measures=measures):
        known["b"] = [lower]
        return corrections.share_above("a", "b", *measures)

    found = share(other)
    assert (found.value, found.seeds) == (0.75, (0.5, 1.0))
    assert 0 < found.error < 0.5
    never = perturbations(Run(tmp_path, "b", 1), [3, 4], np.ones(2), l2_norm=np.array([np.nan, 0.5]))
    assert share(never).seeds == (0.5, 0.5)  # it is the image that fails
    apart = perturbations(Run(tmp_path, "b", 2), [5, 6], np.ones(2))
    assert share(apart) is NOTHING
    assert corrections.share_above("a", "nobody", *measures) is NOTHING
    with pytest.raises(ValueError, match="measure = 'luck' is not known"):
        share(apart, ("luck", "PGD in an L2 ball"))


def test_noise_at_which_half_of_the_draws_fail(tmp_path):
    a = perturbations(Run(tmp_path, "a", 0), range(5), np.ones(5))
    assert corrections.medians([a], corrections.HALF)[0] == pytest.approx(55 * NOISE_GRID[203])
    a = perturbations(Run(tmp_path, "a", 0), range(5), np.ones(5), noise_half=np.array([1, 2, 400, 400, 400]))
    assert corrections.medians([a], corrections.HALF)[0] == np.inf


def ratio(upper, lower, measure, common=False):
    return compared([Comparison(((upper, lower),))], measure, common)


def test_ratio_and_its_error(tmp_path):
    """Two models that differ by a factor on every image: no error on common images, one on images of their own."""
    norms = np.random.default_rng(0).lognormal(size=400)
    a = perturbations(Run(tmp_path, "a", 0), range(400), 1.5 * norms, margin_norm=1.2 * norms[:90])
    order = np.random.default_rng(1).permutation(400)
    b = perturbations(Run(tmp_path, "b", 0), order, norms[order], margin_norm=norms[order][:90])
    exact = ratio(a, b, "PGD (as coded)", common=True)
    assert (exact.value, exact.error) == (pytest.approx(1.5), pytest.approx(0, abs=1e-12))
    on_part = ratio(a, b, "PGD, margin loss", common=True)
    assert (on_part.value, on_part.error) == (pytest.approx(1.2), pytest.approx(0, abs=1e-12))
    # Own images: where they are the same, they are drawn together; where they are not, each model has its own error.
    assert ratio(a, b, "PGD (as coded)") == exact
    b = perturbations(Run(tmp_path, "b", 1), order + 400, norms[order])
    own = ratio(a, b, "PGD (as coded)")
    assert own.value == pytest.approx(1.5)
    # The median of n lognormal values has the error sqrt(pi / 2n), relative; the ratio of two, sqrt(2) times that.
    assert own.error == pytest.approx(1.5 * np.sqrt(np.pi / 400), rel=0.3)
    assert ratio(a, b, "PGD (as coded)") == own


def test_an_error_over_seeds_and_images(tmp_path):
    """Seeds that differ by a factor on every image, on images that a rival is measured on as well."""
    norms = np.random.default_rng(0).lognormal(size=400)
    rival = perturbations(Run(tmp_path, "b", 0), range(400), np.ones(400))

    def over(factors):
        seeds = [perturbations(Run(tmp_path, "a", n), range(400), f * norms) for n, f in enumerate(factors)]
        return compared([Comparison(((one, rival),)) for one in seeds], "PGD (as coded)", replicates=1000)

    images = np.median(norms) * np.sqrt(np.pi / 800)  # of the median of n lognormal values
    alike = over([1.0] * 10)
    assert alike.seeds == (pytest.approx(np.median(norms)),) * 10
    assert alike.error == pytest.approx(images, rel=0.2)  # no smaller than of one seed: they have the images in common
    factors = np.linspace(0.5, 1.5, 10)
    both = over(factors)
    assert both.value == pytest.approx(np.median(norms))
    training = np.median(norms) * factors.std() / np.sqrt(10)
    assert both.error == pytest.approx(np.hypot(images, training), rel=0.15)
    assert np.isnan(compared([Comparison(((rival, rival),))], "PGD (as coded)", replicates=0).error)


def test_the_error_of_a_median_knows_of_images_and_of_seeds():
    values, images = np.random.default_rng(0).normal(size=400), np.arange(1000, 1400)
    alone = averaged([values], [images], replicates=500)
    assert alone.value == pytest.approx(np.median(values))
    assert alone.error == pytest.approx(1.25 / 20, rel=0.25)  # of a median of 400 normal numbers
    alike = averaged([values] * 5, [images] * 5, replicates=500)
    assert alike.error == pytest.approx(alone.error, rel=0.2)  # five seeds on the same images know no more of these
    seeds = [values + shift for shift in (-20, -10, 0, 10, 20)]
    apart = averaged(seeds, [images] * 5, replicates=500)
    assert apart.value == pytest.approx(np.median(values))
    assert apart.error == pytest.approx(np.std([-20, -10, 0, 10, 20]) / np.sqrt(5), rel=0.15)
    assert averaged([np.array([1.0, np.nan, 3.0])], [np.arange(3)]).value == 2  # as coded, what never fails is dropped
    assert averaged([], []) is NOTHING


def test_a_median_of_a_sample_of_images(tmp_path):
    values, images = np.array([5.0, 1, np.nan, 3]), np.array([7, 2, 4, 0])
    one = corrections._sorted(values, images)
    assert one.median() == 4
    for times in ([0, 0, 2, 0, 1, 0, 0, 3], [2, 0, 1, 0, 0, 0, 0, 1], [1, 0, 0, 0, 3, 0, 0, 0]):
        repeated = np.repeat(np.nan_to_num(values, nan=np.inf), np.array(times)[images])
        assert one.median(np.array(times)) == np.median(repeated)
    assert np.isnan(one.median(np.zeros(8, int)))


def test_estimates_as_text():
    assert compared([], "PGD (as coded)") is NOTHING
    assert str(NOTHING) == "–"
    assert str(Estimate(3.0, 0.5, (2.0, 4.0))) == "2.00 and 4.00"
    assert str(Estimate(2.0015, 0.5, (2.001, 2.002))) == "2.00"
    assert str(Estimate(3.0, 0.5, (2.0, 4.0, 3.0))) == f"3.00{PLUS_MINUS}0.50"
    assert str(Estimate(2.0)) == "2.00"
    assert str(Estimate(1.0421, 0.0031)) == f"1.042{PLUS_MINUS}0.003"


@pytest.fixture
def at_hand(tmp_path, monkeypatch):
    """A function that stores attacked runs of the study: model, seed, accuracy, norm of every image, Jacobian."""
    monkeypatch.setenv(runs.RESULTS_VARIABLE, str(tmp_path))

    def store(model, seed, accuracy, norm, jacobian=1.0):
        run = perturbations(Run(tmp_path / "cifar10", model, seed), range(9), np.full(9, norm))
        about = {"configuration": {"model": model, "seed": seed, "data": ""}, "source": "", "seconds": 1.0}
        files.write_json(run.manifest, {**about, "dataset": "cifar10", "accuracy": {"test": accuracy}})
        files.write_json(run.measured("perturbations"), about)
        files.write_arrays(run.log, {"jacobian": np.array([9.0, jacobian])})
        return run

    return store


def test_a_lead_is_taken_seed_by_seed(at_hand):
    for seed, norm in ((0, 2.0), (1, 6.0), (2, 4.0)):
        at_hand("kh", seed, 0.5, norm)
    for seed, norm in ((0, 1.0), (1, 2.0)):
        at_hand("bp", seed, 0.5, norm)
    found = corrections.lead("kh", "bp", "PGD (as coded)")
    assert (found.value, found.seeds) == (pytest.approx(3), (2.0, 3.0, 4.0))  # the first stands in for the third
    assert found.error == pytest.approx((2 / 3 / 3) ** 0.5, rel=0.25)  # of a mean of three draws
    assert corrections.lead("bp", "kh", "PGD (as coded)").seeds == (0.5, pytest.approx(1 / 3), 0.25)
    at_hand("l2", 5, 0.5, 3.0)  # no seed of the others
    assert corrections.lead("kh", "l2", "PGD (as coded)").seeds == pytest.approx((2 / 3, 2, 4 / 3))
    at_hand("l2", 1, 0.5, 1.0)
    assert corrections.lead("kh", "l2", "PGD (as coded)").seeds == pytest.approx((2 / 3, 6, 4 / 3))
    noise = "noise, first failure (as coded)"
    bp = [corrections.medians([run], noise)[0] for run in runs.at_hand("bp", "perturbations.json").values()]
    other = corrections.lead("kh", "bp", "PGD (as coded)", against=noise)
    assert other.seeds == pytest.approx((2 / bp[0], 6 / bp[1], 4 / bp[0]))
    assert corrections.lead("kh", "jreg", "PGD (as coded)") is NOTHING
    table = corrections.leads("kh", ["bp"])
    assert list(table) == list(corrections.NORMS)
    assert table["PGD (as coded)"]["bp"][0] == found
    assert corrections.norms(["kh", "l2"])["kh"]["PGD (as coded)"] == [2.0, 6.0, 4.0]
    assert "jreg" not in corrections.norms(["kh", "jreg"])


def test_only_seeds_that_both_models_have_are_shared(at_hand):
    for seed in (0, 1, 3):
        at_hand("kh", seed, 0.5, 2.0)
    assert corrections.shared("kh-unpruned", "kh") == []
    for seed in (3, 1, 4):
        at_hand("kh-unpruned", seed, 0.5, 1.0)
    pairs = corrections.shared("kh-unpruned", "kh")
    assert sorted((one.model, one.seed, other.model, other.seed) for one, other in pairs) == [
        ("kh-unpruned", 1, "kh", 1),
        ("kh-unpruned", 3, "kh", 3),
    ]


def test_a_model_beside_a_penalty_of_several_strengths(at_hand):
    """Norm 4 at accuracy 0.4, 1 at 0.6: at 0.5 it is 2 (geometric), so a model with 3 there has a lead of 1.5."""
    at_hand("short-l2-2", 0, 0.4, 4.0, jacobian=1.0)
    at_hand("short-l2-0.5", 0, 0.6, 1.0, jacobian=3.0)
    at_hand("short-norm", 0, 0.6, 0.5)
    at_hand("kh", 0, 0.5, 3.0, jacobian=5.0)
    assert set(frontier.swept(of_decay=True)) == {"short-l2-0.5", "short-l2-2"}
    assert frontier.swept(of_decay=False) == ["short-norm"]
    assert frontier.points(["kh", "bp"], "PGD (as coded)") == {"kh": [(0.5, 3.0)]}
    assert frontier.lead_at("kh", "PGD (as coded)", "accuracy").value == pytest.approx(1.5)
    assert frontier.lead_at("kh", "PGD (as coded)", "jacobian") is NOTHING  # beyond the curve
    assert frontier.leads_at("kh")["PGD (as coded)"]["accuracy"][1].value == pytest.approx(1.5)
    noise, pgd = (frontier.lead_at("kh", m, "accuracy", True).value for m in (corrections.HALF, "PGD (as coded)"))
    assert noise != pytest.approx(pgd)
    low, high = frontier.range_at("kh")
    assert low == pytest.approx(
        min(noise, pgd, frontier.lead_at("kh", "noise, first failure (as coded)", "accuracy", True).value)
    )
    assert high == pytest.approx(pgd)
    name = "critical norm over weight decay of equal accuracy"
    assert numbers.measured(name, "kh") == {0: pytest.approx(1.5)}
    statistic, over = statistics.statistic, "log critical norm over"
    assert statistic(f"{over} weight decay of its accuracy", Subject("kh", 0)) == pytest.approx(np.log(1.5))
    assert statistic(f"{over} KH", Subject("short-norm", 0)) == pytest.approx(np.log(0.5 / 3))
    at_hand("kh", 1, 0.7, 3.0)  # more accurate than any of them
    with pytest.raises(MissingError, match="kh, seed 1: no weight decay is as accurate"):
        statistic(f"{over} weight decay of its accuracy", Subject("kh", 1))
    assert list(numbers.measured(name, "kh")) == [0]


def test_a_model_beside_several_trainings_of_each_strength(at_hand):
    """A curve for each seed; where a strength lacks it, its other one stands in, for the curve as for the model."""
    for seed, norm in ((0, 4.0), (1, 9.0)):
        at_hand("short-l2-2", seed, 0.4, norm)
    at_hand("short-l2-0.5", 0, 0.6, 1.0)
    at_hand("kh", 0, 0.5, 3.0)
    measure, statistic = "PGD (as coded)", "log critical norm over weight decay of its accuracy"
    assert {seed: [run.seed for run in curve] for seed, curve in frontier.curves().items()} == {0: [0, 0], 1: [0, 1]}
    found = frontier.lead_at("kh", measure, "accuracy")
    assert found.seeds == pytest.approx((1.5, 1))  # of one training of KH, beside two curves
    assert found.error > 0
    assert statistics.statistic(statistic, Subject("kh", 0)) == pytest.approx(np.log(1.5))
    at_hand("kh", 1, 0.5, 6.0)
    at_hand("kh", 2, 0.5, 8.0)
    assert frontier.lead_at("kh", measure, "accuracy").seeds == pytest.approx((1.5, 2, 4))
    for seed, ratio in ((0, 1.5), (1, 2), (2, 4)):
        assert statistics.statistic(statistic, Subject("kh", seed)) == pytest.approx(np.log(ratio))


def test_images_that_never_fail_are_not_forgotten(tmp_path):
    a = perturbations(Run(tmp_path, "a", 0), range(3), [1.0, np.nan, np.nan])
    assert corrections.medians([a], "PGD (as coded)")[0] == np.inf


def test_a_model_is_compared_at_its_own_place_on_a_curve():
    places, values = [0.5, 0.3, 0.4], [1.0, 4.0, 2.0]  # in any order; value = 4 * 2 ** -(10 * place - 3)
    for place in (0.3, 0.35, 0.4, 0.47, 0.5):
        assert frontier.interpolated(place, places, values) == pytest.approx(4 * 2 ** -(10 * place - 3))
    assert np.isnan(frontier.interpolated(0.29, places, values))
    assert np.isnan(frontier.interpolated(0.51, places, values))
    assert np.isnan(frontier.interpolated(0.4, [], []))
    assert frontier.interpolated(0.51, places, values, slack=0.02) == 1
    assert frontier.interpolated(0.29, places, values, slack=0.02) == 4
    assert np.isnan(frontier.interpolated(0.53, places, values, slack=0.02))


@pytest.mark.parametrize(
    ("error", "shown"),
    [(0.02, "1.23 ± 0.02"), (0.004, "1.234 ± 0.004"), (0.0003, "1.2345 ± 0.0003"), (0, "1.23 ± 0.00")],
)
def test_an_error_that_is_there_is_never_shown_as_none(error, shown):
    assert str(Estimate(1.2345, error, (1.0, 1.0, 1.0))).replace("\xa0", " ") == shown


def test_an_unknown_measure_or_place_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"measure = 'pgd' is not known; choose .*PGD \(as coded\)"):
        corrections.lead("kh", "bp", "pgd")
    with pytest.raises(ValueError, match="place = 'acc' is not known; choose accuracy or jacobian"):
        frontier.lead_at("kh", "PGD (as coded)", "acc")


def test_models_that_share_no_image_are_not_compared(tmp_path):
    pair = tuple(
        perturbations(Run(tmp_path, name, 0), images, [1, 2]) for name, images in (("a", [0, 1]), ("b", [2, 3]))
    )
    assert compared([Comparison((pair,))], "PGD (as coded)", common=True) is NOTHING
    assert np.isfinite(compared([Comparison((pair,))], "PGD (as coded)").value)
