import matplotlib as mpl
import numpy as np
import pytest

from bioadv.measure.landscapes import Landscape
from bioadv.pages import plots, plots_geometry

mpl.use("Agg")


@pytest.fixture(autouse=True)
def style():
    import matplotlib.pyplot as plt

    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


@pytest.fixture
def found():
    classes = np.array([[0, 0], [1, 2]])
    confidence = np.array([[1.0, 0.0], [0.5, 1.0]])
    return Landscape(np.array([-2.0, 2.0]), np.array([[1.0, 2.0], [3.0, 4.0]]), None, classes, confidence)


def test_a_decision_has_its_classs_colour_and_name(found):
    colours = plots_geometry._decisions(found)
    np.testing.assert_allclose(colours[0, 1], plots_geometry.CLASS_COLOURS[0])
    np.testing.assert_allclose(colours[1, 0], plots_geometry.CLASS_COLOURS[1])
    figure = plots_geometry.landscapes({"one": found}, ["cat", "dog", "owl"])
    names = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert names == {"cat", "dog", "owl"}


def test_landscapes_are_three_in_a_row(found):
    figure = plots_geometry.landscapes(dict.fromkeys("abcde", found), ["cat", "dog", "owl"])
    titled = [axes for axes in figure.axes if axes.get_title()]
    figure.draw_without_rendering()
    lefts = [round(axes.get_position().x0, 2) for axes in titled]
    assert lefts[:2] == lefts[3:]
    assert len(set(lefts)) == 3


def test_ten_classes_have_ten_colours_that_show_on_white():
    assert len(np.unique(plots_geometry.CLASS_COLOURS, axis=0)) == 10
    assert plots_geometry.CLASS_COLOURS.mean(1).max() < 0.8


def test_landscapes_draw_both_maps_the_right_way_up(found):
    figure = plots_geometry.landscapes({"one": found, "two": found}, ["a", "b", "c"])
    images = [axes.images[0] for axes in figure.axes if axes.images]
    assert len(images) == 4
    for image in images:
        assert image.origin == "lower"
        assert image.get_extent() == [-2, 2, -2, 2]
    np.testing.assert_array_equal(images[0].get_array(), found.latent_jacobian)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["one", "two"]


def test_a_constant_map_says_so(found):
    flat = Landscape(found.coordinates, np.full((2, 2), 3.0), None, found.classes, found.confidence)
    figure = plots_geometry.landscapes({"flat": flat}, ["a", "b", "c"])
    labels = [text.get_text() for axes in figure.axes for text in axes.get_xticklabels()]
    assert "3 everywhere" in labels


def test_quantities_have_a_dot_per_plane_and_a_bar_at_the_median():
    values = {"regions": {"one": np.array([[1.0, 3.0, 2.0], [5.0, np.nan, 9.0]])}}
    axes = plots_geometry.quantities(values, {"regions": "regions"}, log=[]).axes[0]
    drawn = [np.asarray(line.get_xdata()).tolist() for line in axes.lines]
    assert drawn[:2] == [[1, 3, 2], [2]]
    assert drawn[3] == [7]
    assert axes.get_title() == "regions"


def test_a_model_without_values_has_an_empty_row():
    values = {"spread": {"one": np.full((2, 3), np.nan), "two": np.ones((2, 3))}}
    axes = plots_geometry.quantities(values, {"spread": "spread"}, log=["spread"]).axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["one", "two"]
    assert sum(line.get_marker() == "|" for line in axes.lines) == 2


def test_pairs_share_one_square():
    figure = plots_geometry.paired({"one": (np.array([1.0, np.inf]), np.array([2.0, 3.0]))}, "with", "without")
    axes = figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    guide = axes.lines[-1]
    np.testing.assert_allclose(guide.get_xdata(), guide.get_ydata())
