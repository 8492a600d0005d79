"""Figures of the chapter on where the spectrum comes from; style and conventions as in :mod:`bioadv.pages.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bioadv.lab.looks import GREY, INK, OLIVE, VIOLET, Look
from bioadv.pages.plots import WIDTH, Seeds, once, over_seeds

MARKERS = dict(zip(("CIFAR-10", "MNIST", "photo patches", "scrambled phases", "whitened"), "os^Dv", strict=True))


@dataclass(frozen=True)
class Points:
    """Runs of one kind in a scatter: predicted and measured exponents, of one length, and how they are drawn.

    images: for a panel with several sets of images, the one of these runs, a key of ``MARKERS``; it gives the marker,
    in place of the look's.
    """

    look: Look
    predicted: Sequence[float]
    measured: Sequence[float]
    images: str = ""

    @property
    def style(self) -> dict[str, Any]:
        """Style of its points, for matplotlib: filled, or open with the marker of its images."""
        style = self.look.points | {"markersize": 6, "alpha": 0.85}
        return style | {"marker": MARKERS[self.images], "fillstyle": "none", "markersize": 5} if self.images else style


def products(panels: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """A panel per layer with eigenvalues of its rows, of the pixels, their products, and those on images.

    panels: by name (rows, pixels, images), falling. Rows and pixels are drawn over their first; images and products
    over the first product.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.5), sharey=True, squeeze=False)
    for place, (title, (rows, pixels, images)) in zip(axes[0], panels.items(), strict=True):
        length = min(len(rows), len(pixels), len(images))
        n, product = np.arange(1, length + 1), rows[:length] * pixels[:length]
        place.loglog(n, rows[:length] / rows[0], color=OLIVE, linestyle=":", label="rows")
        place.loglog(n, pixels[:length] / pixels[0], color=GREY, linestyle="--", label="pixels")
        place.loglog(n, product / product[0], color=INK, linewidth=3.5, alpha=0.3, label="their product")
        place.loglog(n, images[:length] / product[0], color=VIOLET, label="on images")
        place.set(title=title, xlabel="rank $n$", ylim=(1e-8, 3))
    axes[0, 0].set_ylabel("eigenvalues")
    figure.legend(*once(axes[0, 0]), loc="outside lower center", ncols=4, fontsize=8)
    return figure


def scatter(panels: Mapping[str, Sequence[Points]], tolerance: float) -> Figure:
    """A panel per title: measured against predicted exponents, and below it what is left.

    The band is plus and minus ``tolerance``. Half of the legend belongs to each panel: its looks, then its images.
    """
    figure, axes = plt.subplots(
        2, len(panels), figsize=(WIDTH, 6), sharex=True, sharey="row", height_ratios=[2.2, 1], squeeze=False
    )
    every = [value for groups in panels.values() for group in groups for value in group.predicted]
    ends = np.array([min(every) - 0.3, max(every) + 0.3])
    for (title, groups), (top, low) in zip(panels.items(), axes.T, strict=True):
        top.plot(ends, ends, color=INK, linewidth=1)
        top.fill_between(ends, ends - tolerance, ends + tolerance, color=GREY, alpha=0.2, linewidth=0)
        low.axhline(0, color=INK, linewidth=1)
        low.axhspan(-tolerance, tolerance, color=GREY, alpha=0.2, linewidth=0)
        for group in groups:
            top.plot(group.predicted, group.measured, **group.style)
            low.plot(group.predicted, np.subtract(group.measured, group.predicted), **group.style)
        top.set(title=title)
        low.set(xlabel="exponent of rows plus pixels", xlim=tuple(ends))
    axes[0, 0].set_ylabel("exponent on images, measured")
    axes[1, 0].set_ylabel("measured less sum")
    keys = [_keys(groups) for groups in panels.values()]
    longest = max(len(one) + len(one) % 2 for one in keys)  # two columns each
    padded = [one + [Line2D([], [], linestyle="none", label=" ")] * (longest - len(one)) for one in keys]
    figure.legend(
        handles=[key for one in padded for key in one],
        loc="outside lower center",
        ncols=2 * len(keys),
        fontsize=8,
        handlelength=1.2,
        columnspacing=1.2,
    )
    return figure


def _keys(groups: Sequence[Points]) -> list[Line2D]:
    """What a panel's colours and, where there are several sets of images, its markers mean."""
    found = dict[str, Line2D]()
    for group in groups:
        style = group.style | ({"marker": "o"} if group.images else {})
        found.setdefault(group.look.short, Line2D([], [], label=group.look.short, **style))
    style = {"color": INK, "linestyle": "none", "fillstyle": "none", "markersize": 5}
    used = [name for name in MARKERS if any(group.images == name for group in groups)]
    return [*found.values(), *(Line2D([], [], label=name, marker=MARKERS[name], **style) for name in used)]


def alignment(deficits: Mapping[str, tuple[Look, Seeds]], ranks: Mapping[str, tuple[Look, Seeds]]) -> Figure:
    """Left: mean loss per rank against perfect alignment; right: where each singular vector of the rows lies.

    deficits: by name a look and, for each seed, decades (R,), at most 0; ranks: a look and, for each seed, the mean
    rank of the principal components that the n-th singular vector is made of, (R,). A line is the mean over seeds up to
    the shortest, its band from the smallest to the largest.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.6))
    for look, values in deficits.values():
        over_seeds(left, values, label=look.short, **look.line)
    for look, values in ranks.values():
        over_seeds(right, values, label=look.short, **look.line)
    left.set_xscale("log")
    right.loglog()
    longest = max((len(one) for _, values in ranks.values() for one in values), default=10)
    right.plot([1, longest], [1, longest], color=INK, linewidth=1)
    left.axhline(0, color=INK, linewidth=1)
    left.set(title="loss per rank, decades", xlabel="rank $n$")
    right.set(title="rank of its components", xlabel="rank $n$ of a singular vector")
    for place in (left, right):
        if place.get_legend_handles_labels()[1]:
            place.legend(fontsize=7, loc="best")
    return figure


def training(panels: Mapping[str, Mapping[str, Seeds]], steps: np.ndarray, marks: Mapping[str, float]) -> Figure:
    """A panel per quantity, and in it per name a line with a band, as in :func:`alignment`; a curve (T,) per seed.

    steps: (T,), drawn at equal distances; marks: a dotted level for a panel.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.2), squeeze=False)
    for place, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for number, (name, values) in enumerate(lines.items()):
            marker = "os^Dv<"[number % 6]
            over_seeds(
                place, values, np.arange(len(steps)), color=f"C{number}", label=name, marker=marker, markersize=4
            )
        if title in marks:
            place.axhline(marks[title], color=GREY, linestyle=":", linewidth=1.2)
        place.set_xticks(
            range(len(steps)), [f"{step:,.0f}".replace(",", " ") for step in steps], fontsize=7, rotation=60
        )
        place.set(title=title, xlabel="steps")
        place.legend(fontsize=7)
    return figure
