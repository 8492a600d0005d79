import math

import pytest

from bioadv.pages import wording


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.47321, "0.473"),
        (3.0492, "3.05"),
        (129.6, "130"),
        (16804.3, "16,804"),
        (1.42e9, "1.42 × 10⁹"),
        (0, "0"),
        (-0.05, "−0.0500"),
        (999.9, "1,000"),
        (1e-9, "1.00 × 10⁻⁹"),
        (3.34e-4, "0.000334"),
        (math.nan, "–"),
    ],
)
def test_numbers_have_three_digits_that_mean_something(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (3.0492, 0.0031, "3.049\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.003"),
        (134.5, 80, "130\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}80"),
        (716, 500, "700\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}500"),
        (12.34, 0.96, "12.3\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}1.0"),
        (0.0401, 0.0123, "0.040\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.012"),
        (1.42e9, 3e7, "(1.42\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.03) × 10⁹"),
        (2.5, math.nan, "2.50"),
        (3.05, 0.0, "3.05"),
        (-1.234, 0.02, "−1.23\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.02"),
    ],
)
def test_a_value_ends_where_its_error_begins(value, error, text):
    assert wording.with_error(value, error) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], "–"),
        ([3.049], "3.05"),
        ([3.0471, 3.0472], "3.05"),
        ([3.047, 3.061], "3.05 and 3.06"),
        ([716.0, 216.0], "716 and 216"),
        ([1.0, 2.0, 3.0], "2.0\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}1.0"),
        ([5.0, 5.0, 5.0], "5.00"),
        ([math.nan], "–"),
    ],
)
def test_two_seeds_are_two_values(values, text):
    assert wording.of_seeds(values) == text


def test_places_can_be_asked_for():
    assert wording.of_seeds([0.47314], places=4) == "0.4731"
    assert wording.of_seeds([0.47314, 0.4732], places=4) == "0.4731 and 0.4732"
    assert wording.of_seeds([74.2, 180.8], places=0) == "74 and 181"
    assert wording.of_seeds([1e-9, 3e-9, -1e-9], places=2) == "0.00"  # an error that nobody could see
    assert wording.of_seeds([1.29, 1.29001, 1.29002], places=2) == "1.29"


def test_bands_and_shares():
    assert wording.band(0, 1e-9) == "0 to 10⁻⁹"
    assert wording.band(-math.inf, 2e-9) == "at most 2 × 10⁻⁹"
    assert wording.band(3, math.inf) == "at least 3"
    assert wording.band(2, 2) == "exactly 2"
    assert wording.share(0.4567) == "46 %"
