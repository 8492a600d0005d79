"""Figures of landscapes: what :mod:`bioadv.pages.plots` is for everything else. Same style, nothing is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bioadv.lab.looks import BLACK, BLUE, GREY, ORANGE
from bioadv.measure.landscapes import Landscape
from bioadv.pages.plots import WIDTH

# Paul Tol's muted scheme and one more of his, for ten classes: distinct to colour-blind readers, none near white.
CLASS_COLOURS = np.array(
    [
        to_rgb(colour)
        for colour in (
            *("#332288", "#88CCEE", "#DDCC77", "#117733", "#CC6677"),
            *("#AA4499", "#44AA99", "#999933", "#882255", "#661100"),
        )
    ]
)


def landscapes(
    found: Mapping[str, Landscape], classes: Sequence[str], marks: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """The layout of the paper's figure: a column per named landscape.

    Top: ||da/dx||, each on its own colour scale. Bottom: decision regions, in the colour of the class, the more opaque
    the more confident. marks: points (s, t) to mark by name in all panels, besides the image at the origin.
    """
    side = min(0.92 * WIDTH / len(found) - 0.3, 1.4)  # of a panel, inches
    size = WIDTH, 2 * side + 1.75
    figure, panels = plt.subplots(2, len(found), figsize=size, squeeze=False, sharex=True, sharey=True)
    for (name, one), (top, bottom) in zip(found.items(), panels.T, strict=True):
        radius = float(one.coordinates[-1])
        extent = (-radius, radius, -radius, radius)
        shown = top.imshow(one.latent_jacobian, origin="lower", extent=extent, cmap="viridis")
        low, high = float(one.latent_jacobian.min()), float(one.latent_jacobian.max())
        bar = figure.colorbar(shown, ax=top, location="bottom", shrink=0.9, pad=0.04, aspect=12)
        if high - low > 1e-4 * high:
            bar.set_ticks([low, high], labels=[f"{low:.3g}", f"{high:.3g}"])
        else:  # a constant: one number says it all
            bar.set_ticks([low], labels=[f"{low:.3g} everywhere"])
        bar.ax.tick_params(labelsize=8, length=2)
        top.set_title(name.replace(", ", ",\n"), fontsize=9)
        bottom.imshow(_decisions(one), origin="lower", extent=extent)
        for axes in (top, bottom):
            _mark(axes, (0.0, 0.0), "white" if axes is top else BLACK, "o")
            for place in (marks or {}).values():
                _mark(axes, place, "white" if axes is top else BLACK, "x")
            axes.grid(visible=False)
            axes.set(xlim=(-radius, radius), ylim=(-radius, radius))
            axes.set_xticks([-radius, 0, radius], [f"{-radius:.2g}", "0", f"{radius:.2g}"], fontsize=8)
            axes.set_yticks([-radius, 0, radius], [f"{-radius:.2g}", "0", f"{radius:.2g}"], fontsize=8)
    panels[0, 0].set_ylabel(r"$\|\partial a/\partial x\|$", fontsize=9)
    panels[1, 0].set_ylabel("decisions", fontsize=9)
    present = np.unique(np.concatenate([np.unique(one.classes) for one in found.values()]))
    handles = [Patch(color=tuple(CLASS_COLOURS[label % 10]), label=f"class {label}") for label in present]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)), fontsize=8)
    for label, text in zip(present, legend.get_texts(), strict=True):
        # Set afterwards: a legend leaves out labels that begin with an underscore, and reads dollar signs as formulas.
        text.set(text=classes[label], parse_math=False)
    return figure


def _decisions(one: Landscape) -> np.ndarray:
    """Colours (P, P, 3): from white at confidence 0 to the class's colour at 1."""
    colours = CLASS_COLOURS[one.classes % 10]
    return 1 - one.confidence[..., None] * (1 - colours)


def _mark(axes: Axes, place: tuple[float, float], colour: str, marker: str) -> None:
    axes.plot(*place, marker, color=colour, markersize=3.5, markeredgewidth=1, fillstyle="none", zorder=3)


def quantities(values: Mapping[str, Mapping[str, np.ndarray]], labels: Mapping[str, str], log: Sequence[str]) -> Figure:
    """A panel per quantity; in it a row per model with a dot for each plane and a bar at the median.

    values: by quantity, then by model, (N,) for a kind of plane or (2, N) for near the data and far away; labels: of
    the quantities; log: the quantities that need a logarithmic axis.
    """
    names = list(next(iter(values.values())))
    figure, panels = plt.subplots(1, len(values), figsize=(WIDTH, 0.9 + 0.34 * len(names)), sharey=True, squeeze=False)
    for axes, (quantity, models) in zip(panels[0], values.items(), strict=True):
        for row, name in enumerate(names):
            pairs = np.atleast_2d(models[name])
            for line, colour, shift in zip(pairs, (BLUE, ORANGE), (-0.17, 0.17), strict=False):
                height = row + (shift if len(pairs) > 1 else 0.0)
                axes.plot(line, np.full(line.shape, height), "o", color=colour, markersize=3, alpha=0.5, mew=0)
                if np.isfinite(line).any():
                    axes.plot([np.nanmedian(line)], [height], "|", color=BLACK, markersize=9, markeredgewidth=1.5)
        axes.set_title(labels[quantity], fontsize=9)
        axes.tick_params(axis="x", labelsize=8)
        if quantity in log:
            axes.set_xscale("log")
    panels[0, 0].set_yticks(np.arange(len(names)), names, fontsize=9)
    panels[0, 0].invert_yaxis()
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, label=label)
        for colour, label in ((BLUE, "near the data"), (ORANGE, "out to the paper's radius"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def paired(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], across: str, up: str, lines: Sequence[float] = (1.0,)
) -> Figure:
    """A panel per model: for each image the norm found by one attack against that found by another, both finite.

    lines: ratios up / across to draw as guides; below the line of ratio 1 the second attack was the better one.
    """
    figure, panels = plt.subplots(1, len(pairs), figsize=(WIDTH, 2.4), squeeze=False, sharex=True, sharey=True)
    every = np.concatenate([np.concatenate(pair) for pair in pairs.values()])
    every = every[np.isfinite(every) & (every > 0)]
    low, high = float(every.min()) / 1.3, float(every.max()) * 1.3
    for axes, (name, (x, y)) in zip(panels[0], pairs.items(), strict=True):
        axes.plot(x, y, "o", color=BLUE, markersize=2.5, alpha=0.5, mew=0)
        for ratio in lines:
            axes.plot([low, high], [ratio * low, ratio * high], color=GREY, linewidth=1, zorder=1)
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal", title=name)
        axes.tick_params(labelsize=8)
    figure.supxlabel(across, fontsize=9)
    figure.supylabel(up, fontsize=9)
    return figure
