"""How things are drawn: short name, colour, marker and dash, the same in every figure, table and page.

Two palettes. One is that of the models: the hues of Okabe and Ito, with lightness chosen so that every one of them
stands out from white and from dark paper; a colour is a family of models, the marker and the dash tell its members
apart, also in grey. The other is for all that is no model: attacks, taps, estimators, kinds of planes.
``INK``, the colour of letters and of what is drawn like them, is ``DARK_INK`` on dark paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, INK, GREY = (
    "#0B6BC0",
    "#C0871A",
    "#00855A",
    "#B8431A",
    "#C26AAE",
    "#2E9BD0",
    "#222222",
    "#7F7F7F",
)
VIOLET, OLIVE, WINE, TEAL = "#7B55D0", "#8A8500", "#C2376F", "#2F8F9D"
DARK_INK = "#E2E6EA"
DASHES: dict[str, Any] = {
    "solid": "-",
    "dashed": "--",
    "dotted": ":",
    "dash-dot": "-.",
    "long": (0, (8, 2)),
    "double": (0, (5, 2, 1, 2, 1, 2)),
    "dense": (0, (1, 0.8)),
}


@dataclass(frozen=True)
class Look:
    """short: name in legends and on axes; colour: ``#rrggbb``; marker: matplotlib's; dash: a key of ``DASHES``."""

    short: str
    colour: str
    marker: str
    dash: str = "solid"

    def __post_init__(self) -> None:
        if self.dash not in DASHES:
            raise ValueError(f"dash = {self.dash!r} is not known; choose from {', '.join(DASHES)}")

    @property
    def points(self) -> dict[str, Any]:
        """Style of points, for matplotlib."""
        return {"color": self.colour, "marker": self.marker, "linestyle": "none"}

    @property
    def line(self) -> dict[str, Any]:
        """Style of a line, for matplotlib."""
        return {"color": self.colour, "linestyle": DASHES[self.dash]}


THINGS = {
    # attacks
    "noise": Look("noise", OLIVE, "o", "dotted"),
    "FGSM": Look("FGSM", TEAL, "s", "dashed"),
    "PGD": Look("PGD", VIOLET, "D"),
    "PGD, as coded": Look("PGD, as coded", VIOLET, "D"),
    "PGD, margin": Look("PGD, margin loss", WINE, "^", "dashed"),
    "PGD, recommended": Look("PGD, recommended", TEAL, "v", "dotted"),
    "random search": Look("random search", OLIVE, "o", "dash-dot"),
    # where a spectrum is taken
    "before": Look("before the activation", VIOLET, "o"),
    "after": Look("after the activation", WINE, "s", "dashed"),
    # how its covariance is computed
    "float64": Look("float64", VIOLET, "o"),
    "float32, as coded": Look("float32, as coded", WINE, "s"),
    "TF32 products, as coded": Look("TF32 products, as coded", OLIVE, "^", "dashed"),
    "float32, shifted by the mean latent": Look("float32, shifted by the mean latent", TEAL, "D", "dotted"),
    # how far a plane reaches
    "near": Look("near the data", TEAL, "o"),
    "far": Look("out to the paper's radius", WINE, "D"),
}
SPARE = (VIOLET, WINE, TEAL, OLIVE, INK, GREY)  # for what has no entry, in this order
MARKERS = "osD^vP"


def thing(name: str, number: int = 0) -> Look:
    """How an attack, a tap or an estimator is drawn; the ``number``-th spare look for a name without an entry."""
    spare = number % len(SPARE)
    return THINGS.get(name) or Look(name, SPARE[spare], MARKERS[spare], list(DASHES)[number % len(DASHES)])
