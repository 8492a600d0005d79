import json

import numpy as np
import pytest

from bioadv.lab import claims
from bioadv.lab.claims import IN_PART, NOT, REPRODUCED, UNMEASURED, Claim, judge
from bioadv.lab.runs import RESULTS_VARIABLE, ROOT

KINDS = {"noise": 1.0, "fgsm": 10.0, "pgd": 100.0}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A function that stores accuracies of a model by seed, as finished runs."""
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))

    def store(model, *accuracies):
        for seed, value in enumerate(accuracies):
            folder = tmp_path / "cifar10" / model / f"seed-{seed}"
            folder.mkdir(parents=True)
            about = {"configuration": {"model": model, "seed": seed, "data": ""}, "source": "", "seconds": 1.0}
            (folder / "manifest.json").write_text(json.dumps({**about, "accuracy": {"test": value}}))

    return store


def claim(rule, *models, **more):
    return Claim("x", "text", "somewhere", rule, "page#fig", ("accuracy",), models, **more)


def test_close_is_about_the_mean_over_seeds(runs):
    runs("kh", 0.40, 0.50)
    runs("bp", 0.56, 0.57, 0.58)
    assert judge(claim("close", "kh", value=0.455, tolerance=0.01)).text == "reproduced, two seeds only"
    assert judge(claim("close", "bp", value=0.565, tolerance=0.01)).text == "reproduced"
    assert judge(claim("close", "bp", value=0.545, tolerance=0.01)).label == IN_PART
    assert judge(claim("close", "bp", value=0.53, tolerance=0.01)).label == NOT
    assert judge(claim("close", "bp", value=0.53, tolerance=0.01)).values == {"accuracy, bp": [0.56, 0.57, 0.58]}


def test_order_is_counted_seed_by_seed(runs):
    runs("bp", 0.5, 0.5, 0.5, 0.5)
    runs("l2", 0.4, 0.4, 0.4, 0.4)
    runs("kh", 0.3, 0.3, 0.45, 0.3)
    assert judge(claim("order", "bp", "l2")).text == "reproduced"
    assert judge(claim("order", "bp", "l2", "kh")).label == IN_PART
    assert judge(claim("order", "l2", "bp")).label == NOT
    assert judge(claim("order", "bp", "bp")).label == NOT  # equal is not larger


def test_only_seeds_that_all_models_have_count(runs):
    runs("bp", 0.5, 0.1)
    runs("kh", 0.4)
    assert judge(claim("order", "bp", "kh")).text == "reproduced, one seed only"
    assert judge(claim("order", "bp", "l2")).text == UNMEASURED


def test_bounds_hold_in_every_seed_or_in_half(runs):
    runs("kh", 0.4, 0.5, 0.6)
    assert judge(claim("at least", "kh", value=0.4)).label == REPRODUCED
    assert judge(claim("at least", "kh", value=0.45)).label == IN_PART
    assert judge(claim("at most", "kh", value=0.45)).label == NOT
    assert judge(claim("at most", "kh", value=0.6)).label == REPRODUCED


def window(first, last, inside, outside):
    """A spectrum of 600 ranks that falls with one exponent within a window of ranks, and is noise around it."""
    n = np.arange(1, 601)
    return np.where((n >= first) & (n <= last), n**-inside, 10 * (n % 7 + 1.0) ** outside)


def test_every_statistic_reads_what_it_says(tmp_path):
    """One run folder in which every number that could be mistaken for another differs from it."""
    (tmp_path / "manifest.json").write_text(json.dumps({"accuracy": {"train": 0.9, "test": 0.5}}))
    np.savez(tmp_path / "log.npz", jacobian=[3.0, 2.0, 7.0], loss=[1.0, 1.0, 1.0])
    n = np.arange(1, 601)
    np.savez(
        tmp_path / "spectra.npz",
        images_before=np.where(n <= 550, n**-2.0, n**-2.0 * np.exp(-(n - 550.0))),
        images_after=window(11, 500, 1.5, 1),
        noise_before=window(11, 100, 0.25, 1),
        noise_after=window(11, 100, 0.75, 1),
    )
    norms = {f"{attack}_norm": [scale, 2 * scale, 9 * scale, np.nan] for attack, scale in KINDS.items()}
    np.savez(tmp_path / "perturbations.npz", **norms)
    plane = np.arange(2 * 3 * 3).reshape(2, 3, 3) ** 2.0  # radius, kind of plane, image
    np.savez(tmp_path / "landscape.npz", low=plane, high=plane + 1000, regions=plane + 2000)
    change = np.where(n <= 10, 1.0, np.where(n < 100, 9.0, np.where(n <= 500, 2.0, 8.0))) * (-1.0) ** n
    np.savez(
        tmp_path / "pruning.npz",
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
    }
    for name, value in expected.items():
        assert claims.STATISTICS[name][1](tmp_path) == pytest.approx(value, rel=1e-6), name
    assert 550 <= claims.STATISTICS["end of the power law"][1](tmp_path) <= 560
    assert set(claims.STATISTICS) == {*expected, "end of the power law"}


def test_a_relative_tolerance_is_one_of_the_value(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(
        "- {id: a, text: t, where: w, rule: close, figure: f, statistics: [accuracy], models: [kh], "
        "value: accuracy.values.kh, relative: 0.1}\n"
    )
    (entry,) = claims.read(path)
    assert entry.value == 0.472
    assert entry.tolerance == pytest.approx(0.0472)


def test_bad_claims_are_named(tmp_path):
    for more, words in (
        ({"rule": "nearly"}, "rule = 'nearly' is not known; choose from close"),
        ({"rule": "close", "value": 0.5}, "tolerance = None; give what counts as agreement"),
        ({"rule": "at most"}, "give the value that rule 'at most' compares with"),
        ({"rule": "order", "models": ()}, "give the statistics and models"),
        ({"rule": "order", "statistics": ("luck",)}, "statistic 'luck' is not known"),
    ):
        given = {"statistics": ("accuracy",), "models": ("kh",), **more}
        with pytest.raises(ValueError, match=words):
            Claim("x", "text", "somewhere", figure="page#fig", **given)
    entry = "- {id: a, text: t, where: w, rule: untestable, figure: f}\n"
    for text, words in (
        (2 * entry, "two claims with id 'a'"),
        ("- {id: a, txt: t}\n", "claim 'a' .* is not well formed"),
        ("- {id: a, value: accuracy.values.elephant}\n", "'accuracy.values.elephant' is not in paper.yaml"),
    ):
        (tmp_path / "claims.yaml").write_text(text)
        with pytest.raises(ValueError, match=words):
            claims.read(tmp_path / "claims.yaml")


def test_the_ledger_is_whole():
    ledger = claims.read()
    assert len(ledger) >= 20
    pages = {path.stem for path in (ROOT / "book").glob("*.py")}
    for entry in ledger:
        page, label = entry.figure.split("#")
        assert page in pages, entry.id
        assert f'"{label}"' in (ROOT / "book" / f"{page}.py").read_text(), entry.id
        assert "{" not in entry.sentence
        if entry.rule == "untestable":
            assert entry.why, f"{entry.id}: say why it cannot be tested"


def test_every_verdict_of_the_ledger_can_be_computed():
    verdicts = [judge(entry) for entry in claims.read()]
    counts = claims.summary(verdicts)
    assert sum(counts.values()) == len(verdicts)
    for verdict in verdicts:
        assert (verdict.seeds > 0) == bool(verdict.values)
