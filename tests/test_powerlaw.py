import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioadv.measure import powerlaw
from bioadv.measure.powerlaw import Fit, fit, local_exponent, participation_ratio, positive, reach, window_map

N = np.arange(1.0, 2001.0)


def noisy(alpha, size=600, spread=0.1, seed=0):
    """A falling spectrum near a power law."""
    noise = np.random.default_rng(seed).normal(0, spread, size)
    return np.sort(np.exp(-alpha * np.log(N[:size]) + noise))[::-1]


@given(alpha=st.floats(0.1, 6), scale=st.floats(1e-12, 1e12), weighted=st.booleans())
@settings(max_examples=30, deadline=None)
def test_an_exact_power_law_is_found(alpha, scale, weighted):
    found = fit(scale * N**-alpha, (11, 500), weighted)
    assert found.alpha == pytest.approx(alpha, abs=1e-9)
    assert np.exp(found.log_scale) == pytest.approx(scale, rel=1e-8)
    assert found.r_squared == pytest.approx(1)
    assert found.error < 1e-6
    np.testing.assert_allclose(found.line(N), scale * N**-alpha, rtol=1e-7)


def test_ranks_are_one_based_and_windows_include_both_ends():
    spectrum = N**-2
    spectrum[[9, 500]] *= 100  # ranks 10 and 501, just outside
    assert fit(spectrum, (11, 500), ordered=False).alpha == pytest.approx(2, abs=1e-12)
    assert fit(spectrum, (10, 500), ordered=False).alpha > 2.01
    assert fit(spectrum, (11, 501), ordered=False).alpha < 1.999


def test_fit_is_the_regression_of_scipy():
    from scipy.stats import linregress

    spectrum = noisy(1.7)
    found, wanted = fit(spectrum, (11, 500)), linregress(np.log(N[10:500]), np.log(spectrum[10:500]))
    assert found.alpha == pytest.approx(-wanted.slope)
    assert found.log_scale == pytest.approx(wanted.intercept)
    assert found.error == pytest.approx(wanted.stderr)
    assert found.r_squared == pytest.approx(wanted.rvalue**2)


def test_weighted_fit_is_numpys():
    """np.polyfit's weights multiply residuals, so they are the roots of ours."""
    spectrum, n = noisy(1.7), N[10:500]
    slope, intercept = np.polyfit(np.log(n), np.log(spectrum[10:500]), 1, w=n**-0.5)
    found = fit(spectrum, (11, 500), weighted=True)
    assert found.alpha == pytest.approx(-slope)
    assert found.log_scale == pytest.approx(intercept)


def test_bad_windows_are_refused():
    spectrum = N[:300] ** -1
    with pytest.raises(ValueError, match="the spectrum has 300 eigenvalues; take more images or units"):
        fit(spectrum, (11, 500))
    with pytest.raises(ValueError, match="at least three ranks"):
        fit(spectrum, (0, 100))
    with pytest.raises(ValueError, match="at least three ranks"):
        fit(spectrum, (50, 51))
    with pytest.raises(ValueError, match="at least three ranks"):
        fit(spectrum[:10], (11, 500), truncate=True)
    spectrum[200:] = -1e-9
    with pytest.raises(ValueError, match="eigenvalue 201 is -1e-09, not positive"):
        fit(spectrum, (11, 300))
    with pytest.raises(ValueError, match="holds NaN"):
        fit([1.0, np.nan, 0.1], (1, 3))
    with pytest.raises(ValueError, match="one dimension"):
        fit(np.ones((3, 3)), (1, 3))


def test_truncation_is_visible():
    spectrum = N[:300] ** -1
    spectrum[200:] = 0
    found = fit(spectrum, (11, 500), truncate=True)
    assert (found.first, found.last) == (11, 200)
    assert found.alpha == pytest.approx(1)
    assert positive(spectrum) == 200
    assert positive(N) == len(N)


def test_reach_is_where_the_line_is_left():
    spectrum = N**-2
    spectrum[700:] /= 1.6  # from rank 701
    spectrum[900:] /= 1.6
    line = fit(spectrum, (11, 500))
    assert reach(spectrum, line) == 900
    assert reach(spectrum, line, 1.5) == 700
    assert reach(spectrum, line, 5) == 2000
    spectrum[1500:] = 0
    assert reach(spectrum, line, 5) == 1500
    floor = np.maximum(N**-2, 1e-6)  # leaves the line upwards, where n^-2 is half of it
    assert reach(floor, fit(floor, (11, 500))) == 1414
    with pytest.raises(ValueError, match="factor = 1"):
        reach(spectrum, line, 1)


def test_reach_is_below_the_middle_where_there_is_no_power_law():
    bent = np.exp(-3 * np.log(N) ** 2)
    line = fit(bent, (11, 500))
    assert reach(bent, line) < round((11 * 500) ** 0.5)


def test_local_exponent_follows_a_bend():
    spectrum = np.where(N <= 100, N**-1, 100 * N**-2)
    n, alpha = local_exponent(spectrum)
    assert alpha[(n >= 3) & (n <= 66)] == pytest.approx(1, abs=1e-8)
    assert alpha[n >= 151] == pytest.approx(2, abs=1e-8)
    assert 1.3 < alpha[n == 100] < 1.7
    assert n[-1] == pytest.approx(2000 / 1.5, abs=1)
    with pytest.raises(ValueError, match="ratio = 1"):
        local_exponent(spectrum, 1)


def test_local_exponent_is_a_fit():
    spectrum = noisy(2)
    n, alpha = local_exponent(spectrum, 2)
    assert alpha[n == 100] == pytest.approx(fit(spectrum, (50, 200)).alpha)


def test_local_exponent_stops_at_what_is_not_positive():
    spectrum = N[:300] ** -1
    spectrum[200:] = -1
    assert local_exponent(spectrum)[0][-1] == 133


def test_window_map_is_a_fit_per_window():
    spectrum = noisy(2.5, 1200)
    first, last = np.arange(2, 42, 2), np.linspace(100, 1200, 20).astype(int)
    alpha = window_map(spectrum, first, last)
    plain = [[fit(spectrum, (a, b)).alpha for b in last] for a in first]
    np.testing.assert_allclose(alpha, plain, rtol=1e-8)


def test_window_map_marks_windows_that_are_none():
    alpha = window_map(noisy(1), [10, 50], [40, 51, 100])
    assert np.isnan(alpha).tolist() == [[False, False, False], [True, True, False]]
    with pytest.raises(ValueError, match="windows span ranks 0 to 100"):
        window_map(noisy(1), [0], [100])
    with pytest.raises(ValueError, match="positive at ranks 1 to 600"):
        window_map(noisy(1), [1], [601])


def test_window_map_is_fast():
    import time

    spectrum = noisy(2, 2000)
    first, last = np.arange(5, 25), np.linspace(100, 1900, 20).astype(int)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        window_map(spectrum, first, last)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.05  # the figure for 400 windows; about 1 ms here


def test_participation_ratio():
    assert participation_ratio(np.ones(7)) == pytest.approx(7)
    assert participation_ratio([5.0, 0, 0]) == pytest.approx(1)
    assert participation_ratio([1e200, 1e200, 0]) == participation_ratio([1e-200, 1e-200]) == pytest.approx(2)
    with pytest.raises(ValueError, match="zero throughout"):
        participation_ratio([0.0, 0.0])


def test_naive_error_misses_the_spread():
    """Sorted eigenvalues have correlated residuals: the error of least squares is not that of the exponent."""
    rng = np.random.default_rng(0)
    true = N[:100] ** -1
    fits = []
    for _ in range(40):
        x = rng.normal(size=(300, 100)) * true**0.5
        fits.append(fit(np.linalg.eigvalsh(np.cov(x.T))[::-1], (5, 40)))
    spread = np.std([f.alpha for f in fits], ddof=1)
    assert spread > 1.5 * np.mean([f.error for f in fits])


def test_a_fit_is_a_value():
    assert fit(N**-1, (11, 500)) == fit(N**-1, (11, 500))
    assert isinstance(powerlaw.fit(N**-1), Fit)


@pytest.mark.parametrize(
    ("spectrum", "words"),
    [
        (np.arange(1.0, 41), r"rises from rank 1 to 2 \(1, 2\); sort the eigenvalues, the largest first"),
        (np.append(np.arange(40.0, 1, -1), 2.5), "rises from rank 39 to 40"),
        (np.arange(40.0, 0, -1) + 0.1j, "is complex; give real eigenvalues"),
        (np.arange(40.0, 0, -1).astype(np.complex64), "is complex; give real eigenvalues"),
        (np.append(np.inf, np.arange(39.0, 0, -1)), "holds NaN or infinity"),
        (np.append(np.arange(40.0, 1, -1), np.nan), "holds NaN or infinity"),
        (np.zeros(40), "is zero throughout"),
    ],
)
def test_a_spectrum_whose_exponent_would_be_wrong_is_refused(spectrum, words):
    line = fit(np.arange(40.0, 0, -1), (1, 30))
    for function in (
        lambda: fit(spectrum, (1, 30)),
        lambda: fit(spectrum, (1, 30), truncate=True),
        lambda: powerlaw.reach(spectrum, line),
        lambda: powerlaw.local_exponent(spectrum),
        lambda: powerlaw.window_map(spectrum, [1], [30]),
        lambda: powerlaw.participation_ratio(spectrum),
    ):
        with pytest.raises(ValueError, match=f"spectrum .*{words}"):
            function()


def test_estimates_along_given_directions_need_not_fall():
    values = 1.0 / np.arange(1, 41)
    values[[20, 21]] = values[[21, 20]]
    assert fit(values, (1, 40), ordered=False).alpha == pytest.approx(1, abs=0.01)
    with pytest.raises(ValueError, match="is complex"):
        powerlaw.positive(values + 0j)
