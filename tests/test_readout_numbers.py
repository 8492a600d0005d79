import numpy as np
import pytest

from bioadv.data import files
from bioadv.lab import bootstrap, readout_numbers, statistics
from bioadv.lab.runs import Run
from bioadv.lab.statistics import MissingError, Subject
from bioadv.pages import plots_readout


def path(accuracy=(0.2, 0.4, 0.3, 0.5, 0.45), own=False):
    """A path of five places, at which four images have critical norms that fall by half from place to place."""
    places, norms = len(accuracy), np.array([1.0, 2.0, 4.0, 0.0])
    l2 = norms * 0.5 ** np.arange(places)[:, None]
    place = np.logspace(0, 1 - places, places)
    place[-1] = np.nan if own else place[-1]
    return {
        "place": place,
        "accuracy": np.array(accuracy),
        "l2": l2,
        "linf": l2 / 10,
        "scale": np.array([1.0, 1.0, 2.0, 1.0]),
        "margin": l2 * np.array([0.9, 0.9, 1.8, 1.0]),
        "slope": np.array([[1.0, 1.0, 2.0, 1.0]] * places),
        "first": np.where(norms == 1, 0.5, np.nan) * l2,
        "second": np.where(norms == 1, 0.75, np.nan) * l2,
        "scaled_norm": np.arange(1.0, places + 1),
    }


def test_the_path_rises_to_its_best_accuracy_and_dips_are_left_out():
    assert readout_numbers.rising(path()).tolist() == [0, 2, 3]
    assert readout_numbers.rising(path((0.2, 0.3, 0.4, 0.5, 0.6), own=True)).tolist() == [0, 1, 2, 3]
    assert readout_numbers.own(path()) == 3
    assert readout_numbers.own(path(own=True)) == 4
    assert readout_numbers.nearest(path(), 0.32) == 2


def test_what_the_best_readout_gains_and_keeps_by_hand():
    def gained(found):
        places = readout_numbers.best_beside_own([found])
        return *readout_numbers.ahead(places), readout_numbers.ratio(places).value

    # The best accuracy, 0.5, is at place 3, the model's own, 0.45, at place 4, where norms are half as large.
    assert gained(path(own=True)) == pytest.approx((0.05, 2.0))
    assert gained(path()) == pytest.approx((0, 1))  # without its own it is compared with itself
    # On images that both decide correctly: without the largest of three norms, each median is lower, not their ratio.
    missed = path(own=True)
    missed["l2"][4, 2] = 0
    assert gained(missed) == pytest.approx((0.05, 2.0))
    missed["l2"][3, 0] = 0
    found = readout_numbers.ratio([((missed, 3), (missed, 4))])  # one image is left, so no sample differs
    assert (found.value, found.error) == (pytest.approx(2), 0)
    missed["l2"][3] = 0
    assert readout_numbers.ratio([((missed, 3), (missed, 4))]) is bootstrap.NOTHING
    assert readout_numbers.ratio([]) is bootstrap.NOTHING


def test_from_the_strongest_penalty_to_the_best():
    ((first, last),) = readout_numbers.first_beside_best([path(own=True)])
    assert (first[1], last[1]) == (0, 3)
    assert readout_numbers.ratio([(first, last)]).value == pytest.approx(8)
    ((first, last),) = readout_numbers.first_beside_best([path(own=True), path((0.1, 0.2))], accuracy=0.3)
    assert (first[1], last[1]) == (2, 3)  # the second never gets there


def test_what_interpolation_misses_by_hand():
    """From accuracy 0.2 and norm 2 to 0.5 and 0.25: at 0.3 a third of the way, in the logarithm, to 1; there is 0.5."""
    assert np.exp(readout_numbers.bends(path())) == pytest.approx([0.5])
    assert readout_numbers.bends(path((0.2, 0.4))) == []


def test_a_layer_beside_a_trained_network_by_hand():
    """The network is right on 0.45, which is three quarters of the way from the layer's place 2 to 3."""
    trained = path(own=True)
    trained["l2"][4] = [0.2, 0.5, 9, 9]  # the last image is one that the layer gets wrong
    expected = 0.5**0.25 * 0.25**0.75 / 0.5
    assert readout_numbers.over_own([(path(), trained)]).value == pytest.approx(expected)
    trained["l2"][4, 1:] = 0
    # Of the first image alone, whose norm is half of the layer's median.
    assert readout_numbers.over_own([(path(), trained)]).value == pytest.approx(expected / 2 * 0.5 / 0.2)
    other = {**trained, "accuracy": np.array([0.2, 0.4, 0.3, 0.5, 0.6])}  # no readout of the layer gets there
    both = readout_numbers.over_own([(path(), trained), (path(), other)])
    assert both.seeds == (pytest.approx(expected / 2 * 0.5 / 0.2),)
    assert readout_numbers.over_own([(path(), other)]) is bootstrap.NOTHING


def test_the_error_of_what_is_kept_is_that_over_images():
    rng = np.random.default_rng(0)
    norms = rng.lognormal(sigma=0.5, size=400)
    found = path((0.4, 0.5))
    found["l2"] = np.array([norms, norms * rng.lognormal(sigma=0.1, size=400)])
    once = readout_numbers.ratio([((found, 1), (found, 0))])
    samples = [{**found, "l2": found["l2"][:, rng.integers(400, size=400)]} for _ in range(200)]
    again = [readout_numbers.ratio([((one, 1), (one, 0))], replicates=0).value for one in samples]
    assert once.error == pytest.approx(np.std(again), rel=0.3)


def test_the_error_of_several_seeds_is_over_seeds_as_well():
    """Two seeds that keep half and a tenth on every image: of two drawn anew, half the time both."""
    seeds = [{**path((0.4, 0.5)), "l2": np.outer([1.0, share], np.ones(50))} for share in (0.5, 0.1)]
    found = readout_numbers.ratio([((one, 1), (one, 0)) for one in seeds])
    assert found.seeds == (pytest.approx(0.5), pytest.approx(0.1))
    assert found.error == pytest.approx(0.2 / 2**0.5, rel=0.2)


def test_stored_paths_stand_side_by_side(tmp_path):
    for model, seeds in (("kh", (0, 1)), ("l2", (1,))):
        for seed in seeds:
            run = Run(tmp_path, model, seed)
            files.write_json(run.measured("paths"), {"configuration": {}, "source": ""})
            files.write_arrays(run.folder / "paths.npz", {"accuracy": np.array([seed + (model == "l2") / 2])})
    found = readout_numbers.paired("kh", "l2", tmp_path)
    assert [(float(one["accuracy"][0]), float(other["accuracy"][0])) for one, other in found] == [(0, 1.5), (1, 1.5)]


def test_critical_norms_at_an_accuracy_by_hand():
    found = path()
    assert readout_numbers.right(found, 0).tolist() == [True, True, True, False]
    assert np.exp(readout_numbers.log_best(found, 0)) == pytest.approx(2)
    only = np.array([True, False, False, True])
    assert np.exp(readout_numbers.log_best(found, 0, only)) == pytest.approx(1)
    # Between the places 2 (accuracy 0.3, median 0.5) and 3 (0.5, 0.25), half way in the logarithm.
    assert np.exp(readout_numbers.at_accuracy(found, 0.4)) == pytest.approx((0.5 * 0.25) ** 0.5)
    for beyond in (0.19, 0.51):
        assert np.isnan(readout_numbers.at_accuracy(found, beyond))
    assert np.isnan(readout_numbers.log_best(found, 0, np.zeros(4, bool)))


def test_one_layer_over_another_at_an_accuracy():
    rng = np.random.default_rng(0)
    norms = rng.lognormal(size=400)

    def spread(factor, own):
        """A path of five places; every tenth image is decided wrongly, another tenth for each layer."""
        one = path()
        wrong = np.arange(400) % 10 == own
        return {**one, "l2": np.where(wrong, 0, factor * norms * 0.5 ** np.arange(5)[:, None])}

    found = readout_numbers.over([(spread(3.0, 1), spread(2.0, 2))], 0.35)
    assert (found.value, found.error) == (pytest.approx(1.5), pytest.approx(0, abs=1e-12))  # on the same images
    pairs = [(spread(3.0, 1), spread(2.0, 2)), (spread(5.0, 1), spread(2.0, 2))]
    each = readout_numbers.over(pairs, [0.35, 0.6])  # where the second does not get
    assert each.seeds == (pytest.approx(1.5),)
    found = readout_numbers.over(pairs, 0.35)
    assert found.seeds == (pytest.approx(1.5), pytest.approx(2.5))
    assert found.error == pytest.approx(0.5 / 2**0.5, rel=0.2)  # of two drawn anew, half the time both
    flat = {**path(), "l2": np.where(np.arange(400) % 10 == 2, 0, 1.0) * np.ones((5, 1))}
    alone = readout_numbers.over([(spread(1.0, 1), flat)], 0.3)
    share = 0.8 * 400  # of the images are decided correctly by both
    assert alone.error == pytest.approx(alone.value * np.sqrt(np.pi / 2 / share), rel=0.25)
    assert readout_numbers.over([(path(), path((0.2, 0.3, 0.3, 0.3, 0.3)))], 0.4) is bootstrap.NOTHING
    assert readout_numbers.over([], 0.4) is bootstrap.NOTHING


def test_robust_accuracy_counts_wrong_images_and_each_images_scale():
    found = path()
    # In units of the photograph the norms at place 0 are 1, 2, 2 and 0.
    assert readout_numbers.robust(found, "l2", 1.5)[0] == 0.5
    assert readout_numbers.robust(found, "l2", 0.5)[0] == 0.75
    assert readout_numbers.robust(found, "linf", 0.15)[0] == 0.5


def test_scale_and_certificates_by_hand():
    found = path()
    ratio, spread, before = readout_numbers.linear(found, 0)
    assert (ratio, spread) == (pytest.approx(0.9), pytest.approx(0))
    assert before == pytest.approx(np.log([1, 2, 4]).std())
    assert readout_numbers.certified(found, 1) == pytest.approx(0.75)
    assert readout_numbers.certified(found, 1, "first") == pytest.approx(0.5)
    assert len(readout_numbers.panels()) == 7
    assert readout_numbers.parts(found, 1) == pytest.approx((0.9, 1, 1))  # margins 0.45, 0.9, 3.6; norms 0.5, 1, 2


def test_of_two_certificates_the_larger_counts_image_by_image():
    found = path()
    found["first"] = found["l2"] * np.array([0.5, 0.8, np.nan, 1])
    found["second"] = found["l2"] * np.array([0.7, 0.2, 0.6, 1])
    assert readout_numbers.certified(found, 0, "larger") == pytest.approx(0.7)  # of 0.7, 0.8 and 0.6
    assert readout_numbers.certified(found, 0) == pytest.approx(0.6)


@pytest.fixture
def stored(monkeypatch):
    """Runs of the paper's scale with made-up paths: images as weights withstand twice what KH does."""
    found = {"kh": path(own=True), "random": path(), "gaussian": path(), "l2": path(own=True)}
    found["exemplars"] = {name: value * 2 if name == "l2" else value for name, value in path().items()}
    epochs = {**path(), "place": np.array([1, 10, 100, 1000, 10_000.0])}

    class Stored:
        """A run."""

        accuracy = 0.4

        def __init__(self, model):
            self.model = model

        def arrays(self, probe):
            return epochs if probe == "epochs" else found[self.model]

    def run(self, having, model=None):
        model = model or self.model
        if model not in found:
            raise MissingError(model)
        return Stored(model)

    monkeypatch.setattr(Subject, "run", run)
    return lambda name, model="kh": statistics.statistic(name, Subject(model, 0))


def test_statistics_of_the_predictions(stored):
    at = "log best at KH's accuracy"
    assert stored(at, "exemplars") - stored("log best(kh) at KH's accuracy") == pytest.approx(np.log(2))
    assert stored("best accuracy on the path of penalties") == 0.5
    assert stored("best, after 1000 epochs") == pytest.approx(2 / 8)
    assert stored("best, after 10,000 epochs") == pytest.approx(2 / 16)
    assert stored("log of median margin over gradient norm") - stored("log best") == pytest.approx(np.log(0.9))
    assert stored("median ratio of certificate to best") == pytest.approx(0.75)
    assert stored("log best at the accuracy of l2") == pytest.approx(readout_numbers.at_accuracy(path(), 0.4))
    assert stored("log best at 0.4") == stored("log best at the accuracy of l2")
    with pytest.raises(MissingError):
        stored(at, "bp")


def test_figures_have_a_line_per_layer_and_seed():
    paths = {"kh": [path(), path()], "bp": [path(own=True)]}
    figure = plots_readout.fronts(paths)
    panel = figure.axes[0]
    assert len(panel.lines) == 2 + 1 + 1 + 1  # seeds of KH, BP and its own readout, the diagonal
    np.testing.assert_allclose(panel.lines[0].get_xdata(), [0.2, 0.3, 0.5])
    figure = plots_readout.along(paths, {"kh": [path()]})
    assert [text.get_text() for text in figure.axes[0].texts][:1] == ["1 epoch"]
    margins, slopes, norms = plots_readout.anatomy(paths).axes
    np.testing.assert_allclose(margins.lines[0].get_xydata(), [[0.2, 1.8], [0.3, 0.45], [0.5, 0.225]])
    np.testing.assert_allclose(slopes.lines[0].get_ydata(), 1)
    np.testing.assert_allclose(norms.lines[0].get_ydata(), [2, 0.5, 0.25])
    assert len(margins.lines) == 2 + 1 + 1 + 2  # seeds of KH, BP, its own readout; and of the legend
    figure = plots_readout.live({"kh": (np.array([0.1, 0.2]), np.array([1.0, 2.0]))}, "norm")
    assert figure.axes[0].get_yscale() == "log"


def test_the_best_readouts_of_two_layers_are_compared_on_images_that_both_decide():
    """Only what both get right counts, and neither a place beyond the best nor the readout a model was trained with."""
    one = {
        "place": np.array([1.0, 0.1, 0.01, np.nan]),
        "accuracy": np.array([0.3, 0.5, 0.4, 0.9]),
        "l2": np.array([[9.0, 9, 9], [2, 4, 0], [1, 1, 1], [7, 7, 7]]),
    }
    other = {
        "place": np.array([1.0, 0.1]),
        "accuracy": np.array([0.3, 0.45]),
        "l2": np.array([[8.0, 8, 8], [1, 0, 5]]),
    }
    places = readout_numbers.best_of_both([(one, other)])
    assert readout_numbers.ahead(places) == [pytest.approx(0.05)]
    assert readout_numbers.ratio(places).value == pytest.approx(2)
    apart = other | {"l2": np.array([[8.0, 8, 8], [0, 0, 5]])}
    assert readout_numbers.ratio(readout_numbers.best_of_both([(one, apart)])) is bootstrap.NOTHING
