import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from bioadv.data import datasets
from bioadv.lab import study
from bioadv.measure import landscapes
from bioadv.pages import plots, plots_frontier, plots_geometry, plots_robustness, plots_training

mpl.use("Agg")


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        plots.use_style()
        yield
    plt.close("all")


def test_tile_puts_pictures_where_they_belong():
    pictures = np.arange(3)[:, None, None, None] * np.ones((3, 2, 2, 1)) / 4
    sheet = plots.tile(pictures, columns=2, gap=1)
    assert sheet.shape == (5, 5, 1)
    assert sheet[..., 0].tolist() == [
        [0, 0, 1, 0.25, 0.25],
        [0, 0, 1, 0.25, 0.25],
        [1, 1, 1, 1, 1],
        [0.5, 0.5, 1, 1, 1],
        [0.5, 0.5, 1, 1, 1],
    ]


def test_filters_are_scaled_one_by_one_and_centred_on_grey():
    weights = np.array([[0.0, 0.1, -0.1, 0.0], [0.0, 5.0, 0.0, -5.0]])
    sheet = plots.filter_grid(weights, (2, 2, 1), columns=2).axes[0].images[0].get_array()
    assert sheet[:, :2].tolist() == [[0.5, 1.0], [0.0, 0.5]]
    assert sheet[:, 4:].tolist() == [[0.5, 1.0], [0.5, 0.0]]


def test_one_extreme_weight_does_not_grey_out_a_filter():
    weights = np.ones((1, 1000))
    weights[0, 0] = 1000
    sheet = plots.filter_grid(weights, (10, 100, 1)).axes[0].images[0].get_array()
    assert (sheet == 1).all()


def test_zero_filters_are_grey():
    sheet = plots.filter_grid(np.zeros((1, 4)), (2, 2, 1)).axes[0].images[0].get_array()
    assert (sheet[:2, :2] == 0.5).all()


def test_example_images_show_every_class(patches):
    figure = plots.example_images(patches.test, per_class=2)
    assert [axes.get_title() for axes in figure.axes] == list(patches.test.classes)


ODD = ("a$b", r"$\\frac$", "<b>", "100%", "_x", "{y}", "a\nb", r"\\alpha $x^$")
ONE_LINE = [name.replace("\n", " ") for name in ODD]


def test_names_of_classes_are_drawn_as_they_are(tmp_path):
    """Not as formulas, which may not even parse."""
    labels = np.arange(2 * len(ODD)) % len(ODD)
    mine = datasets.Images(np.full((len(labels), 4, 5, 1), 9, np.uint8), labels, ODD, "mine")
    figure = plots.example_images(mine)
    assert [axes.get_title() for axes in figure.axes] == ONE_LINE
    figure.savefig(tmp_path / "x.png")
    pictures = np.ones((4, 5, 3)), np.zeros((4, 5, 3))
    named = dict(zip("abcdefgh", zip(ODD, ODD[::-1], strict=True), strict=True))
    figure = plots_robustness.perturbed_images(dict.fromkeys(named, pictures), named)
    assert set(ONE_LINE) <= {axes.get_xlabel() for axes in figure.axes}
    figure.savefig(tmp_path / "x.png")
    side = np.array([-1.0, 0, 1])
    decided = np.arange(9).reshape(3, 3) % len(ODD)
    found = landscapes.Landscape(side, np.ones((3, 3)), None, decided, np.ones((3, 3)))
    figure = plots_geometry.landscapes({"one": found}, ODD)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ONE_LINE
    figure.savefig(tmp_path / "x.png")


def test_example_images_leave_out_what_is_not_there():
    labels = np.repeat(np.arange(1, 40), 2)
    mine = datasets.Images(np.full((78, 4, 4, 1), 9, np.uint8), labels, tuple(map(str, range(1000))), "mine")
    figure = plots.example_images(mine)
    assert [axes.get_title() for axes in figure.axes] == [str(label) for label in range(1, 11)]


def test_layer_history_draws_what_it_is_given():
    history = {"norm": np.array([3.0, 2.0]), "converged": np.array([0, 0.5]), "winning": np.array([1, 0.9])}
    figure = plots_training.layer_history({"one": history, "two": history})
    for axes, key in zip(figure.axes, ("norm", "converged", "winning"), strict=True):
        np.testing.assert_array_equal(axes.lines[0].get_ydata(), history[key])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "two"]


def test_ranked_wins_are_shares_in_falling_order():
    line = plots_training.ranked_wins({"test": np.array([0, 6, 2, 0, 2])}).axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), [0.6, 0.2, 0.2])


def test_health_bars_keep_order():
    figure = plots_training.health_bars(["a", "b"], {"live": [1.0, 0.0], "winning": [0.5, 0.25]})
    assert [bar.get_width() for bar in figure.axes[0].patches] == [1.0, 0.0, 0.5, 0.25]


def test_models_are_drawn_as_the_registry_says():
    """The same colour and marker in every figure, and a point at the mean over seeds."""
    values = {"kh": {"a": [1.0, 3.0], "b": [5.0, 5.0]}, "bp": {"a": [4.0], "b": [6.0]}}
    axes = plots_frontier.rows_of_choices(values).axes[0]
    for model, line in zip(values, axes.lines, strict=True):
        assert (line.get_color(), line.get_marker()) == (study.look(model).colour, study.look(model).marker)
    assert list(axes.lines[0].get_xdata()) == [2.0, 5.0]
    curve = {"short-l2-1": [(0.5, 1.0)], "short-l2-2": [(0.4, 2.0), (0.4, 4.0)]}
    axes = plots_frontier.frontier({"PGD": curve}, {"PGD": {"bp": [(0.5, 1.0)]}}, {"PGD": {}}).axes[0]
    assert list(axes.lines[0].get_ydata()) == [3.0, 1.0]
    assert sorted(axes.lines[1].get_ydata()) == [1.0, 2.0, 4.0]  # a dot for each of its trainings
    assert axes.lines[2].get_marker() == study.look("bp").marker
    assert [text.get_text() for text in axes.texts] == ["× 1", "× 2"]


def test_training_curves_have_a_row_and_a_legend_for_each_group(recwarn):
    log = {name: np.linspace(1, 2, 5) for name in ("loss", "cross_entropy", "test_accuracy", "jacobian")}
    figure = plots_training.training_curves([{"bp": log, "l2": log}, {"bp": log, "random": log}])
    figure.draw_without_rendering()
    assert not [one for one in recwarn if not issubclass(one.category, DeprecationWarning)]  # all of it fits
    drawn = [line.get_color() for axes in figure.axes[:1] for line in axes.lines]
    assert drawn == [study.look("bp").colour, study.look("l2").colour]
    legends = [[text.get_text() for text in part.legends[0].get_texts()] for part in figure.subfigs]
    assert legends == [["BP", "L2"], ["BP", "random features"]]


def test_the_hero_names_every_model():
    figure = plots_frontier.hero(
        {"kh": [(0.47, 0.08), (0.47, 0.09)], "bp": [(0.56, 0.03)]}, {"kh": 0.05}, {"short-l2-2": [(0.43, 0.1)]}
    )
    assert [text.get_text() for text in figure.axes[0].texts] == ["weight decay × 2", "KH", "BP"]


def test_perturbations_are_magnified_alike():
    image = np.full((4, 4, 3), 0.5)
    rows = {"kh": (image, image + 0.1), "bp": (image, image - 0.05)}
    figure = plots_robustness.perturbed_images(rows, {"kh": ("a", "b"), "bp": ("a", "c")})
    shown = [axes.images[0].get_array() for axes in figure.axes]
    np.testing.assert_allclose(shown[1], 1.0)
    np.testing.assert_allclose(shown[4], 0.25)
    assert [axes.get_xlabel() for axes in figure.axes[1::3]] == ["length 20 %", "length 10 %"]


def test_names_in_letters_that_no_font_has_are_told_apart(monkeypatch, tmp_path):
    """As numbers: drawn they would all be the same box, with a warning for each, which here is an error."""
    monkeypatch.setattr(plots, "FURTHER_FONTS", ())
    plots.use_style()
    names = ("猫", "🐶 dogs", "żółw", "tab\tand\nline", "a name that goes on and on", "ツキノワグマの子")
    for family in (["DejaVu Sans"], ["sans-serif"]):  # a name with a hyphen is no pattern
        with mpl.rc_context({"font.family": family}):
            assert [plots.readable(name) for name in names] == [
                *("U+732B", "U+1F436 dogs", "żółw", "tab and line", "a name tha…on and on", "U+30C4 …U+5B50"),
            ]
    labels = np.arange(6)
    mine = datasets.Images(np.full((6, 4, 5, 1), 9, np.uint8), labels, names, "mine")
    plots.example_images(mine).savefig(tmp_path / "x.png")
    one = landscapes.Landscape(
        np.linspace(-1, 1, 3), np.ones((3, 3)), None, np.array([[0, 1, 2], [3, 4, 5], [0, 0, 0]]), np.ones((3, 3))
    )
    plots_geometry.landscapes({"kh": one}, names).savefig(tmp_path / "x.png")
    picture = np.full((4, 5, 3), 0.5)
    plots_robustness.perturbed_images({"kh": (picture, picture / 2)}, {"kh": names[3:5]}).savefig(tmp_path / "x.png")


def test_long_names_widen_no_figure(tmp_path):
    """Neither examples nor a legend grow beyond the page; a legend of short names has its five columns."""
    plots.use_style()
    long = tuple(f"a name that goes on and on, number {number}" for number in range(10))
    labels = np.arange(10)
    mine = datasets.Images(np.full((10, 4, 5, 1), 9, np.uint8), labels, long, "mine")
    regions = np.repeat(labels, 10).reshape(10, 10)
    one = landscapes.Landscape(np.linspace(-1, 1, 10), np.ones((10, 10)), None, regions, np.ones((10, 10)))
    drawn = (plots.example_images(mine), plots_geometry.landscapes({"kh": one, "bp": one}, long))
    for figure in drawn:
        width = figure.get_tightbbox(figure.canvas.get_renderer()).width
        assert width < 1.15 * plots.WIDTH
    few = plots_geometry.landscapes({"kh": one}, "abcdefghij").legends[0]
    assert (few._ncols, drawn[1].legends[0]._ncols) == (5, 3)
    assert plots_geometry.landscapes({"kh": one}, ("矢" * 9,) * 10).legends[0]._ncols < 5


def test_a_font_of_another_weight_puts_no_warning_into_a_notebook(caplog):
    plots.use_style()
    mpl.font_manager.FontManager.findfont(mpl.font_manager.fontManager, "no such family at all")
    assert not caplog.records


def test_a_font_that_is_there_is_asked(monkeypatch):
    monkeypatch.setattr(plots, "FURTHER_FONTS", ("no such font", "STIXGeneral"))
    plots.use_style()
    assert mpl.rcParams["font.family"] == ["DejaVu Sans", "STIXGeneral"]
    rune = "\U0001d538"  # a letter that both have
    assert plots.readable(rune) == rune
    assert plots.width("a 矢") == 4


def test_a_mean_over_seeds_ends_with_the_shortest_and_its_band_has_the_extremes():
    _, axes = plt.subplots()
    plots.over_seeds(axes, [np.array([1.0, 2.0, 9.0]), np.array([3.0, 6.0])], color="red")
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 2], [2, 4]])
    corners = axes.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in corners} == {(1, 1), (1, 3), (2, 2), (2, 6)}
    plots.over_seeds(axes, [np.array([5.0, 7.0])], np.array([10, 20]))
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[10, 5], [20, 7]])
    assert len(axes.collections) == 1  # one seed has no band


def test_a_long_curve_keeps_both_ends_and_as_many_points_as_can_be_seen():
    _, axes = plt.subplots()
    plots.over_seeds(axes, [np.arange(1, 2001.0) ** 2])
    x, y = axes.lines[0].get_data()
    assert (x[0], x[-1]) == (1, 2000)
    assert plots.MANY / 2 < len(x) <= plots.MANY
    np.testing.assert_array_equal(y, x**2.0)


def test_images_that_nothing_fools_leave_a_figure_that_can_be_drawn():
    never, certain = np.full(3, np.inf), np.ones(3)
    for figure in (
        plots_robustness.brackets({"kh": certain}, {"kh": never}, "radius"),
        plots_robustness.brackets({"kh": np.zeros(3)}, {"kh": never}, "radius"),
        plots_robustness.compared({"kh": (never, never)}, ("a", "b"), ""),
    ):
        figure.draw_without_rendering()
    figure = plots_robustness.brackets({"kh": certain}, {"kh": np.array([2.0, 8.0, np.inf])}, "radius")
    assert figure.axes[0].get_ylim() == pytest.approx((8e-3, 12))
