import matplotlib.pyplot as plt
import numpy as np
import pytest

from bioadv.lab.looks import BLUE, RED, Look
from bioadv.lab.predictions import HOLDS, UNMEASURED, Measured, Outcome
from bioadv.lab.schemas import PredictionEntry as Prediction
from bioadv.pages import plots_mechanism, prediction_table

RANKS = np.arange(1, 101.0)
KH, BP = Look("KH", BLUE, "o"), Look("BP", RED, "s", "dashed")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def lines(axes):
    """The lines of axes by label, as arrays of x and y."""
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_products_are_drawn_where_an_aligned_spectrum_lies():
    rows, pixels = RANKS**-1.0, RANKS[:60] ** -1.5
    drawn = lines(plots_mechanism.products({"aligned": (rows, pixels, 0.5 * RANKS**-2.5)}).axes[0])
    assert len(drawn["their product"]) == 60
    np.testing.assert_allclose(drawn["on images"][:, 1], 0.5 * drawn["their product"][:, 1])
    np.testing.assert_allclose(drawn["rows"][:, 1], RANKS[:60] ** -1.0)


def test_a_scatter_shows_measured_against_predicted_and_what_is_left():
    large = [plots_mechanism.Points(KH, [2.5, 2.6], [2.6, 2.5]), plots_mechanism.Points(KH, [2.0], [2.1])]
    small = [plots_mechanism.Points(BP, [1.0], [1.4], "MNIST"), plots_mechanism.Points(BP, [1.0], [1.3], "whitened")]
    figure = plots_mechanism.scatter({"2000 units": large, "small scale": small}, 0.25)
    first, second, below, _ = figure.axes
    points = [line for line in first.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(points[0].get_xydata(), [[2.5, 2.6], [2.6, 2.5]])
    np.testing.assert_allclose(below.lines[1].get_ydata(), [0.1, -0.1])
    assert [line.get_fillstyle() for line in (points[0], second.lines[1])] == ["full", "none"]
    assert [line.get_marker() for line in second.lines[1:]] == ["s", "v"]
    # Each panel owns the same number of entries, two columns of them.
    entries = ["KH", " ", " ", " ", "BP", "MNIST", "whitened", " "]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == entries


def test_alignment_has_losses_left_and_ranks_right():
    figure = plots_mechanism.alignment({"kh": (KH, [-RANKS / 100])}, {"bp": (BP, [RANKS, 3 * RANKS[:60]])})
    left, right = figure.axes
    np.testing.assert_allclose(lines(left)["KH"], np.stack([RANKS, -RANKS / 100], axis=1))
    np.testing.assert_allclose(lines(right)["BP"], np.stack([RANKS, 2 * RANKS], axis=1)[:60])  # up to the shortest
    assert not left.collections  # one seed has no band
    band = right.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (1, 180)
    assert plots_mechanism.alignment({}, {}).axes[1].lines  # perfect alignment, where nothing is stored


def test_training_marks_the_level_of_its_panel():
    panels = {"exponent": {"rows": [[0, 1, 1.2], [0.2, 1, 1.4]]}, "share": {"ten": [[0, 0.5, 0.6]]}}
    first, second = plots_mechanism.training(panels, np.array([0, 100, 5000]), {"share": 0.8}).axes
    np.testing.assert_allclose(lines(first)["rows"], [[0, 0.1], [1, 1], [2, 1.3]])
    assert [line.get_ydata()[0] for line in second.lines] == [0, 0.8]
    assert len(first.lines) == 1
    assert [label.get_text() for label in first.get_xticklabels()] == ["0", "100", "5 000"]


ENTRY = {
    "id": "sum",
    "hypothesis": 1,
    "statement": "A < B.",
    "scale": "small",
    "models": ["kh", "units-100"],
    "statistic": "deficit",
    "value": 1.0,
    "rule": "close",
    "tolerance": 0.25,
}


def cells(label, measured, missing=(), **more):
    outcome = Outcome(Prediction(**{**ENTRY, **more}), label, tuple(measured), tuple(missing))
    return [str(cell) for cell in prediction_table.row(outcome)]


def test_the_table_has_the_seeds_that_decide():
    measured = [Measured("kh", 0, 9.0, 1.0, decides=False), Measured("kh", 1, 2.0, 1.0), Measured("kh", 2, 3.0, 1.0)]
    measured.append(Measured("units-100", 0, 0.5, 1.5))
    statement, predicted, found, verdict, seeds = cells(HOLDS, measured)
    assert statement == "A &lt; B. <small>(at small scale, CIFAR-10)</small>"
    assert predicted == "0.75 to 1.25<br>1.25 to 1.75"
    assert found == "KH: 2.00 and 3.00<br>100\N{NO-BREAK SPACE}units: 0.50"
    assert verdict == '<span class="verdict reproduced">holds</span>'
    assert seeds == "1"


def test_what_was_measured_comes_first():
    entry = Prediction(**ENTRY | {"rule": "at least", "tolerance": None, "models": ["kh"]})
    decided = Outcome(entry, HOLDS, (Measured("kh", 1, 2.0, -1.0),), ())
    table = prediction_table.table([Outcome(entry, UNMEASURED, (), ("kh",)), decided])
    assert [line[1] for line in table.rows] == ["≥ −1.00", "–"]


def test_what_was_known_before_is_shown_as_that():
    measured = [Measured("kh", 0, 9.0, 1.0, decides=False)]
    row = cells(UNMEASURED, measured, ("kh",), models=["kh"], scale="paper")
    assert row[1:3] == ["–", "known before: 9.00"]
    assert row[4] == "–"
    assert "Without 100\N{NO-BREAK SPACE}units." in cells(HOLDS, [Measured("kh", 1, 1.0, 1.0)], ("units-100",))[0]


def test_what_is_withdrawn_has_no_number():
    """Its rule asked for layers that there are not; what is stored under these names is of others."""
    row = cells("withdrawn", [Measured("kh", 1, 2.0, 1.0)], ("kh",), models=["kh"], withdrawn="ill posed")
    assert "ill posed" in row[0]
    assert row[1:3] == ["–", "–"]
    assert row[4] == "–"
    row = cells("withdrawn", [Measured("kh", 0, 9.0, 1.0, decides=False)], models=["kh"], withdrawn="ill posed")
    assert row[1:3] == ["–", "–"]


def test_layers_are_named_by_what_is_changed():
    names = ("settled-delta-0.1", "k-4", "units-800", "settled-200", "x-100", "bp")
    named = [prediction_table.layer(name) for name in names]
    assert [name.replace("\N{NO-BREAK SPACE}", " ") for name in named] == [
        "Δ = 0.1",
        "k = 4",
        "800 units",
        "200 units",
        "x-100",
        "bp",
    ]
