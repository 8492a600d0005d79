import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from bioadv.measure import powerlaw
from bioadv.pages import plots, plots_spectra

mpl.use("Agg")
N = np.arange(1.0, 1101.0)


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def test_what_is_not_positive_is_drawn_apart():
    axes = plt.subplots()[1]
    plots_spectra.draw(axes, np.array([2, 1, 0.5, -0.5, 0.25 + 1j, -1.0]))
    solid, dots = axes.lines
    assert solid.get_ydata().tolist() == [1, 0.5, 0.25]
    assert dots.get_xdata().tolist() == [4, 5, 6]
    assert dots.get_ydata().tolist() == [0.25, 0.125, 0.5]


def test_compare_shares_names_and_colours():
    figure = plots_spectra.compare({"one": {"a": N**-1, "b": N**-2}, "two": {"b": N**-3}}, truth=N**-1.0)
    assert figure.axes[1].lines[0].get_color() == figure.axes[0].lines[1].get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "truth"]


def test_populations_show_whole_layers_over_their_parts():
    parts = {10: N[:10] ** -1.0, 1100: 2 * N**-2.0}
    figure = plots_spectra.populations({"kh": (N**-2.0, N**-0.5)}, {"kh": (parts, parts)})
    above, _, below, _ = figure.axes
    assert above.lines[0].get_color() == below.lines[0].get_color() == plots.look("kh").colour
    assert [len(line.get_xdata()) for line in below.lines] == [10, 1100]
    assert below.lines[1].get_ydata()[0] == 1  # over the largest eigenvalue of the whole
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["KH"]


def test_arithmetic_draws_each_over_its_own_line():
    figure = plots_spectra.arithmetic({"a": N**-2.0, "b": 3 * N**-1.5}, [powerlaw.IMAGES, powerlaw.NOISE], 800)
    for axes in figure.axes[1:]:
        for line in axes.lines[:2]:
            np.testing.assert_allclose(line.get_ydata(), 1, rtol=1e-6)


def test_local_exponents_of_a_power_law_are_level():
    figure = plots_spectra.local_exponents({"one": {"a": [N**-2.0]}})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 2, rtol=1e-6)
    figure = plots_spectra.local_exponents({"two": {"a": [N**-2.0, N[:500] ** -3.0]}})
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), 2.5, rtol=1e-6)
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((2, 3))


def test_window_maps_share_a_scale():
    figure = plots_spectra.window_maps({"a": N**-2.1, "b": N**-3.1}, np.arange(2, 42, 2), np.arange(100, 1100, 50))
    scales = {axes.collections[0].get_clim() for axes in figure.axes[:2]}
    assert len(scales) == 1
    assert scales.pop() == pytest.approx((2.1, 3.1))


def test_histogram_says_what_lies_beyond():
    variances = np.array([1e-4, 1e-3, 2e-3, 1.0])
    figure = plots_spectra.variance_histogram(variances, {"cut": 0.0015, "none": float("nan")})
    assert sum(bar.get_height() for bar in figure.axes[0].patches) == 3
    assert any("1 units beyond" in text.get_text() for text in figure.axes[0].texts)
    assert "none" not in [text.get_text() for text in figure.legends[0].get_texts()]


def test_mixtures_add_up():
    rng = np.random.default_rng(0)
    fitted = (np.array([-7.0, -6]), np.array([0.3, 0.1]), np.array([0.7, 0.3]), np.exp(-6.4))
    figure = plots_spectra.mixtures(rng.normal(-7, 0.3, 100), {"a": fitted})
    first, second, total, cutoff = figure.axes[0].lines
    np.testing.assert_allclose(total.get_ydata(), first.get_ydata() + second.get_ydata())
    assert cutoff.get_xdata()[0] == pytest.approx(-6.4)


def test_units_are_marked_by_whether_they_win():
    figure = plots_spectra.norm_and_variance(np.full(3, 1e-3), np.array([1, 1.1, 1.2]), np.array([5, 0, 0]), 1.5e-3)
    winners, idle = figure.axes[0].lines[:2]
    assert (len(winners.get_xdata()), len(idle.get_xdata())) == (1, 2)
    np.testing.assert_allclose(idle.get_ydata(), [0.1, 0.2])


def test_pruned_spectra_and_pictures():
    figure = plots_spectra.pruned_spectra({"images": {"raw": N**-1, "pruned": N[:900] ** -1}})
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [1100, 900]
    rows = plots_spectra.filter_rows({"kept": np.full((3, 12), 255, np.uint8)}, (2, 2, 3))
    assert rows.axes[0].images[0].get_array().max() == 1
