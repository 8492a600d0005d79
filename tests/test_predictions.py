import re

import numpy as np
import pytest

from bioadv.data import files
from bioadv.lab import predictions, runs, statistics
from bioadv.lab.statistics import STATISTICS, MissingError, Subject

RANKS = np.arange(1, 601.0)
ENTRY = """
- id: sum
  hypothesis: 1
  statement: "Exponents add."
  scale: paper
  models: [kh]
  statistic: alpha(images)
  value: alpha(rows) + alpha(pixels)
  window: [11, 500]
  rule: close
  tolerance: 0.15
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A function that stores spectra that are power laws with these exponents, for a model and a seed."""
    monkeypatch.setenv(runs.RESULTS_VARIABLE, str(tmp_path))

    def store(model, seed=0, small=False, **alphas):
        folder = statistics.folder("small" if small else "paper", "cifar10") / model / f"seed-{seed}"
        folder.mkdir(parents=True)
        names = {} if small else statistics.ARRAYS
        file = "alignment" if small else "spectra"
        arrays = {names.get(name, name): RANKS**-alpha for name, alpha in alphas.items()}
        files.write_arrays(folder / f"{file}.npz", arrays)
        files.write_json(folder / f"{file}.json", {"configuration": {}, "source": ""})

    return store


@pytest.fixture
def read(tmp_path):
    """A function that reads a ledger of one entry in which some text is replaced."""

    def make(*changes, text=ENTRY):
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "predictions.yaml").write_text(text)
        return predictions.read(tmp_path / "predictions.yaml")

    return make


def test_the_books_predictions_are_well_formed():
    entries = predictions.read()
    assert len(entries) >= 24
    for entry in entries:
        outcome = predictions.evaluate(entry)
        decided = outcome.label not in (predictions.UNMEASURED, predictions.WITHDRAWN)
        assert decided == (not entry.withdrawn and outcome.seeds > 0), entry.id


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[kh]", "[khh]", "at scale paper, model = 'khh' is not known; choose kh"),
        ("[kh]", "[kh, kh]", "give each of them once"),
        ("statistic: alpha(images)", "statistic: alpha(imagse)", "statistic 'alpha(imagse)' is not known"),
        ("+ alpha(pixels)", "+ alpah(pixels)", "statistic 'alpah(pixels)' is not known"),
        ("alpha(rows) + alpha(pixels)", "1e400", "value = '1e400' is not finite"),
        ("alpha(rows) +", "alpha(nobody)(rows) +", "in 'alpha(nobody)(rows)', model = 'nobody' is not known"),
        ("statistic: alpha(images)", "statistic: deficit(bq)", "in 'deficit(bq)', model = 'bq' is not known"),
        ("[11, 500]", "[500, 11]", "window = [500, 11]; give a first and a last rank"),
    ],
)
def test_what_could_never_be_measured_is_refused(read, old, new, words):
    """A slip would leave the prediction unmeasured for ever, without a word."""
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        read((old, new))
    assert "prediction 'sum'" in str(error.value)


def test_a_layer_alone_is_known_at_its_scale_only(read):
    assert read(("[kh]", "[units-100]"), ("scale: paper", "scale: small"))
    with pytest.raises(ValueError, match="at scale paper, model = 'units-100' is not known"):
        read(("[kh]", "[units-100]"))


@pytest.mark.parametrize(("alpha", "label"), [(2.6, "holds"), (2.77, "holds in part"), (2.1, "fails")])
def test_close_means_within_the_tolerance_on_average(results, read, alpha, label):
    results("pixels", images=1.5)
    results("kh", 0, images=alpha - 0.2, rows=1.0)
    results("kh", 3, images=alpha + 0.2, rows=1.0)
    outcome = predictions.evaluate(read()[0])
    assert (outcome.label, outcome.seeds, outcome.missing) == (label, 2, ())
    assert [one.seed for one in outcome.of("kh")] == [0, 3]
    np.testing.assert_allclose([one.gap for one in outcome.measured], [alpha - 2.7, alpha - 2.3], atol=1e-9)


def test_seeds_that_were_known_do_not_decide(results, read):
    results("pixels", images=1.5)
    results("kh", 0, images=2.5, rows=1.0)
    entry = read(("tolerance: 0.15", "tolerance: 0.15\n  known: [0]"))[0]
    outcome = predictions.evaluate(entry)
    assert (outcome.label, outcome.seeds, len(outcome.measured), outcome.missing) == ("not measured", 0, 1, ("kh",))
    results("kh", 1, images=3.5, rows=1.0)
    assert (predictions.evaluate(entry).label, predictions.evaluate(entry).seeds) == ("fails", 1)


def test_the_worst_model_decides_and_one_without_results_is_named(results, read):
    results("pixels", images=1.5)
    results("kh", images=2.5, rows=1.0)
    results("l2", images=3.0, rows=1.0)
    outcome = predictions.evaluate(read(("[kh]", "[kh, l2, jreg]"))[0])
    assert (outcome.label, outcome.missing) == ("fails", ("jreg",))


@pytest.mark.parametrize(
    ("rule", "alphas", "label"),
    [
        ("at least", (1.6, 1.7), "holds"),
        ("at least", (1.4, 1.7), "holds in part"),
        ("at least", (1.4, 1.3), "fails"),
        ("at most", (1.4, 1.3), "holds"),
        ("at most", (1.6, 1.3), "holds in part"),
        ("at most", (1.6, 1.7), "fails"),
    ],
)
def test_bounds_are_for_every_seed_in_part_for_half(results, read, rule, alphas, label):
    for seed, alpha in enumerate(alphas):
        results("kh", seed, images=alpha)
    changes = [("rule: close\n  tolerance: 0.15", f"rule: {rule}"), ("alpha(rows) + alpha(pixels)", "1.5")]
    assert predictions.evaluate(read(*changes)[0]).label == label


def test_what_is_withdrawn_is_not_judged(results, read):
    results("pixels", images=1.5)
    results("kh", images=2.5, rows=1.0)
    outcome = predictions.evaluate(read(("rule: close", 'withdrawn: "ill posed"\n  rule: close'))[0])
    assert (outcome.label, len(outcome.measured)) == ("withdrawn", 1)
    assert predictions.summary([outcome])["withdrawn"] == 1


def test_small_results_lie_in_a_folder_of_their_own(results):
    results("kh-layer", small=True, images=2.0, rows=0.8, pixels=1.3)
    subject = Subject("kh-layer", 0, "cifar10", "small", (11, 100))
    found = [statistics.statistic(f"alpha({of})", subject) for of in ("images", "rows", "pixels")]
    np.testing.assert_allclose(found, [2.0, 0.8, 1.3])
    with pytest.raises(MissingError, match=r"kh-layer, seed 0, on cifar10 has no spectra\.json"):
        statistics.statistic("alpha(images)", Subject("kh-layer", 0))


def test_a_layer_with_too_few_units_for_the_window_decides_nothing(results):
    results("kh-layer", small=True, images=2.0, rows=0.8, pixels=1.3)
    units = len(statistics.spectrum(Subject("kh-layer", 0, "cifar10", "small"), "images"))
    with pytest.raises(MissingError, match=f"kh-layer, seed 0: {units} units have no rank {units + 1}"):
        statistics.statistic("alpha(images)", Subject("kh-layer", 0, "cifar10", "small", (5, units + 1)))
    assert statistics.exponents("kh-layer", (5, units + 1), "small") == {}


def test_the_deficit_is_zero_when_aligned_and_the_mean_loss_per_rank_otherwise(results):
    results("pixels", images=1.5)
    results("kh", images=2.5, rows=1.0)
    results("bp", images=1.5, rows=1.0)
    window = (11, 40)
    subject = Subject("kh", 0, window=window)
    assert abs(statistics.deficit(subject)) < 1e-12
    by_hand = []
    for n in range(window[0], window[1] + 1):
        ranks = np.arange(1.0, n + 1)
        by_hand.append(np.log10(np.prod(ranks**-1.5) / np.prod(ranks**-1.0 * ranks**-1.5)) / n)
    assert predictions.value("deficit(bp)", subject) == pytest.approx(np.mean(by_hand))


def test_exponents_by_seed_of_what_is_stored(results):
    results("pixels", images=1.5)
    results("kh", 0, images=2.5, rows=1.0)
    results("kh", 2, images=2.6)  # with batch norm: no rows
    results("kh", 5, images=2.7, rows=0.9)
    found = statistics.exponents("kh", (11, 100))
    assert list(found) == [0, 5]
    np.testing.assert_allclose(list(found.values()), [[2.5, 1, 1.5], [2.7, 0.9, 1.5]])


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (0.5, 0.5),
        ("0.5", 0.5),
        ("2 * alpha(pixels)", 3.0),
        ("alpha(rows) + alpha(pixels)", 2.5),
        ("alpha(rows) - 2 * alpha(pixels) + 0.25", -1.75),
        ("at KH's accuracy, n - 1", 7.0),
        ("at KH's accuracy, n - 1 - 0.405", 6.595),
        ("0.75 * log best(l2) at this", 0.75 * 2),
        (-0.1, -0.1),
        (1e-5, 1e-5),
        ("-0.5 * log best(l2) at this - -1", 0.0),
    ],
)
def test_formulas(results, monkeypatch, formula, expected):
    results("pixels", images=1.5)
    results("kh", images=2.5, rows=1.0)
    # Names hold blanks, commas and, without blanks around them, signs.
    monkeypatch.setitem(STATISTICS, "at KH's accuracy, n-1", lambda subject: 7.0)
    monkeypatch.setitem(STATISTICS, "log best at this", lambda subject: 2.0 if subject.model == "l2" else 0.0)
    formula = formula.replace("n - 1", "n-1") if isinstance(formula, str) else formula
    assert predictions.value(formula, Subject("kh", 0)) == pytest.approx(expected)


@pytest.mark.parametrize("formula", ["alpha(rows) +", "__import__('os')", "2 ** 3", "alpha(noise)", "", "- 1"])
def test_a_formula_of_other_things_is_refused(results, formula):
    results("kh", images=2.5, rows=1.0)
    with pytest.raises(ValueError, match="is not known; choose from alpha"):
        predictions.value(formula, Subject("kh", 0))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rule: close", "rule: near", "prediction 'sum': rule = 'near'; give close, at least or at most"),
        ("  tolerance: 0.15\n", "", "prediction 'sum': tolerance is missing"),
        ("window: [11, 500]", "window: [11]", "prediction 'sum': window"),
        ("scale: paper", "scale: paper\n  sacle: small", "prediction 'sum': sacle is not a key"),
        ("models: [kh]", "models: []", "prediction 'sum': models = .*give a list of models"),
        ("hypothesis: 1", "hypothesis: 3", "prediction 'sum': hypothesis = 3; give 1 or 2"),
        ("tolerance: 0.15", "tolerance: .inf", "prediction 'sum': tolerance = inf; give a number > 0"),
    ],
)
def test_faults_are_told_by_file_entry_and_key(read, old, new, message):
    with pytest.raises(ValueError, match=rf"predictions\.yaml: {message}"):
        read((old, new))


def test_a_spectrum_that_was_not_stored_is_not_measured(results, read):
    results("kh", images=2.5, rows=1.0)
    entry = read(("statistic: alpha(images)", "statistic: alpha(after ReLU)"))[0]
    assert predictions.evaluate(entry).label == "not measured"
    results("kh-layer", small=True, images=2.5, rows=1.0, pixels=1.5)
    small = Subject("kh-layer", 0, "cifar10", "small")
    with pytest.raises(MissingError, match="stored no spectrum 'after_1'"):
        statistics.statistic("alpha(after ReLU)", small)


def test_two_entries_of_one_name_are_refused(read):
    with pytest.raises(ValueError, match="two predictions with id 'sum'"):
        read(text=ENTRY + ENTRY)


def test_ratios_are_of_the_seeds_that_both_have(results):
    for seed, exponent in ((0, 3.0), (1, 2.5), (2, 2.0)):
        results("kh", seed, images=exponent, rows=1.0)
    for seed in (0, 2, 3):
        results("bp", seed, images=2.0, rows=1.0)
    found = statistics.ratios("alpha(images)", "kh", "bp")
    assert found == {0: pytest.approx(np.e), 2: pytest.approx(1)}
