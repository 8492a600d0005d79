"""How a model is shown: its short name, colour, marker and dash, the same in every figure, table and page.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart, without the yellow, which white paper
swallows. A colour is a family of models, the marker and the dash tell its members apart, also in grey.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK, GREY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#222222",
    "#8A8A8A",
)
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
