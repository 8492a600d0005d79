"""Numbers as text, with the digits that mean something: for prose, tables and captions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bioadv.lab.bootstrap import PLUS_MINUS

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NOTHING = "–"
POWERS = 6  # from a million on, powers of ten


def number(value: float, digits: int = 3) -> str:
    """A number with ``digits`` significant digits: 0.473, 3.05, 129, 16,804 and, from a million on, 1.42 × 10⁹."""
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = _exponent(value, digits)
    place = digits - 1 - size
    return to_place(value, place if size >= POWERS else max(0, place), digits)


def to_place(value: float, place: int, digits: int = 3) -> str:
    """A number to ``place`` digits after the point; in powers of ten where it is very large or very small."""
    if not math.isfinite(value):
        return number(value)
    size = 0 if value == 0 else _exponent(value, digits)
    if size >= POWERS or size < -4:
        mantissa = value / 10.0**size
        return f"{mantissa:.{max(0, size + place)}f} × 10{str(size).translate(RAISED)}".replace("-", "−")
    rounded = round(value, place)
    return f"{rounded:,.{max(0, place)}f}".replace("-", "−") if rounded else f"{0:.{max(0, place)}f}"


def with_error(value: float, error: float) -> str:
    """A value with its standard deviation, both to the digit where the error begins (one digit more after a 1).

    ``with_error(3.0492, 0.0031)`` is ``3.049 ± 0.003``; without an error, :func:`number`.
    """
    if not math.isfinite(error) or error <= 0:
        return number(value)
    size = _exponent(error, 1)
    place = (1 if round(error / 10.0**size) == 1 else 0) - size
    largest = _exponent(max(abs(value), error), 1)
    if largest >= POWERS:  # a power of ten for both
        inner = with_error(value / 10.0**largest, error / 10.0**largest)
        return f"({inner}) × 10{str(largest).translate(RAISED)}"
    whole = max(place, 0)
    return f"{round(value, place):,.{whole}f}{PLUS_MINUS}{round(error, place):,.{whole}f}".replace("-", "−")


def of_seeds(values: Sequence[float], digits: int = 3, places: int | None = None) -> str:
    """What several training seeds gave, as text.

    One seed: its value. Two: both, or one where they agree to ``digits`` significant digits. Three and more: mean and
    standard deviation. None: a dash.
    """
    known = [float(value) for value in values]
    if not known:
        return NOTHING
    spread = float(np.std(known, ddof=1)) if len(known) > 2 else 0.0
    # An error that is nothing two digits beyond those shown is not worth showing.
    if len(known) > 2 and places is not None and spread < 0.01 * 10.0**-places:
        known, spread = [round(float(np.mean(known)), places + 2)], 0.0
    if spread > 0:
        return with_error(float(np.mean(known)), spread)
    if places is not None:
        shown = [to_place(value, places) for value in known]
    else:
        largest = max((abs(value) for value in known if math.isfinite(value)), default=0.0)
        size = _exponent(largest, digits)
        place = digits - 1 - size
        shown = [to_place(value, place if size >= POWERS else max(0, place)) for value in known]
    return " and ".join(dict.fromkeys(shown))


def count(number: int, what: str) -> str:
    """A number of things, as text.

    >>> count(1, "training"), count(2, "training")
    ('one training', '2 trainings')
    """
    return f"one {what}" if number == 1 else f"{number} {what}s"


def hundredths(value: float, error: float = math.nan) -> str:
    """A fraction, and its error if it has one, as numbers of a hundred.

    >>> hundredths(0.687, 0.035), hundredths(0.5)
    ('69\xa0±\xa04', '50')
    """
    known = f"{100 * value:.0f}"
    return known if math.isnan(error) else f"{known}{PLUS_MINUS}{100 * error:.0f}"


def share(value: float, digits: int = 2) -> str:
    """A fraction as a percentage with a thin space before the sign: 47 %."""
    return f"{number(100 * value, digits)} %"


def _exponent(value: float, digits: int) -> int:
    """The power of ten of the leading digit, after rounding to ``digits``."""
    return int(f"{abs(value):.{max(digits - 1, 0)}e}".split("e")[1])


def band(low: float, high: float) -> str:
    """An interval in words."""
    if low == high:
        return f"exactly {_short(low)}"
    if high == math.inf:
        return f"at least {_short(low)}"
    return f"at most {_short(high)}" if low == -math.inf else f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    mantissa, _, size = f"{value:g}".partition("e")
    power = f"10{str(int(size)).translate(RAISED)}" if size else ""
    text = power if mantissa == "1" and power else f"{mantissa} × {power}" if power else mantissa
    return text.replace("-", "−")
