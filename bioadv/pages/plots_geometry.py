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
from matplotlib.patheffects import withStroke
from scipy import ndimage

from bioadv.lab import looks
from bioadv.lab.looks import GREY, INK
from bioadv.measure.landscapes import Landscape
from bioadv.pages import plots
from bioadv.pages.plots import WIDTH, readable

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


COLUMNS = 3  # landscapes in a row
LARGE = 0.06  # share of a map that a region needs to bear its class's name


def landscapes(
    found: Mapping[str, Landscape], classes: Sequence[str], marks: Mapping[str, tuple[float, float]] | None = None
) -> Figure:
    """A landscape for each named model: the Jacobian above, the decisions below, three models in a row.

    Above: ||da/dx||, each on its own colour scale. Below: decision regions in the colour of the class, with its name
    where there is room, and white lines where the confidence passes one half and nine tenths. marks: points (s, t) to
    mark by name in all panels, besides the image at the origin.
    """
    wide = 2 if len(found) == 4 else min(COLUMNS, len(found))
    blocks = -(-len(found) // wide)
    side = min(0.9 * WIDTH / wide - 0.3, 1.75)  # of a panel, inches
    size = WIDTH, blocks * (2 * side + 1.1) + 0.55
    figure, panels = plt.subplots(2 * blocks, wide, figsize=size, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat:
        axes.set_axis_off()
    for number, (name, one) in enumerate(found.items()):
        block, column = divmod(number, wide)
        top, bottom = panels[2 * block, column], panels[2 * block + 1, column]
        radius = float(one.coordinates[-1])
        extent = (-radius, radius, -radius, radius)
        shown = top.imshow(one.latent_jacobian, origin="lower", extent=extent, cmap="viridis")
        low, high = float(one.latent_jacobian.min()), float(one.latent_jacobian.max())
        bar = figure.colorbar(shown, ax=top, location="bottom", shrink=0.9, pad=0.04, aspect=14)
        if high - low > 1e-4 * high:
            bar.set_ticks([low, high], labels=[f"{low:.3g}", f"{high:.3g}"])
        else:  # a constant: one number says it all
            bar.set_ticks([low], labels=[f"{low:.3g} everywhere"])
        bar.ax.tick_params(labelsize=8, length=2)
        top.set_title(plots.look(name).short, fontsize=10)
        bottom.imshow(_decisions(one), origin="lower", extent=extent)
        _label_regions(bottom, one, classes)
        for axes in (top, bottom):
            axes.set_axis_on()
            _mark(axes, (0.0, 0.0), "#ffffff", "o")
            for place in (marks or {}).values():
                _mark(axes, place, "#ffffff", "x")
            axes.grid(visible=False)
            axes.set(xlim=(-radius, radius), ylim=(-radius, radius))
            ticks = [f"{-radius:.2g}", "0", f"{radius:.2g}"]
            axes.set_xticks([-radius, 0, radius], ticks, fontsize=8)
            axes.set_yticks([-radius, 0, radius], ticks, fontsize=8)
            axes.tick_params(labelbottom=axes is bottom)
        if column == 0:
            top.set_ylabel(r"$\|\partial a/\partial x\|$", fontsize=9)
            bottom.set_ylabel("decisions", fontsize=9)
    present = np.unique(np.concatenate([np.unique(one.classes) for one in found.values()]))
    handles = [Patch(color=tuple(CLASS_COLOURS[label % 10]), label=f"class {label}") for label in present]
    names = [readable(classes[label]) for label in present]
    legend = figure.legend(handles=handles, loc="outside lower center", ncols=_columns(names), fontsize=8)
    for name, text in zip(names, legend.get_texts(), strict=True):
        # Set afterwards: a legend leaves out labels that begin with an underscore, and reads dollar signs as formulas.
        text.set(text=name, parse_math=False)
    return figure


def _columns(names: Sequence[str], most: int = 5) -> int:
    """In how many columns of a legend names of 8 points are no wider than a figure."""
    for columns in range(min(most, len(names)), 1, -1):
        rows = -(-len(names) // columns)
        widths = [max(map(plots.width, names[start : start + rows])) for start in range(0, len(names), rows)]
        if sum(0.53 + 0.068 * letters for letters in widths) <= WIDTH + 0.3:  # inches; its margins may be used
            return columns
    return 1


def _label_regions(axes: Axes, one: Landscape, classes: Sequence[str]) -> None:
    """The name of the class on each large region, and lines of equal confidence."""
    s = one.coordinates
    for label in np.unique(one.classes):
        inside = one.classes == label
        if inside.mean() >= LARGE:
            depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
            row, column = (int(place) for place in np.unravel_index(depth.argmax(), depth.shape))
            room = 1 - min(0.9, 0.06 * plots.width(readable(classes[label])))  # so that no name leaves the map
            across, up = float(np.clip(s[column], room * s[0], room * s[-1])), float(s[row])
            if np.hypot(across, up) < 0.3 * s[-1]:  # nor covers the mark at the origin
                up -= 0.45 * float(s[-1])
            axes.text(
                across, up, readable(classes[label]), color="#ffffff", fontsize=8, ha="center", va="center",
                parse_math=False, clip_on=True, path_effects=[withStroke(linewidth=2, foreground="#000000")],
            )  # fmt: skip
    if one.confidence.max() > one.confidence.min():
        levels = [level for level in (0.5, 0.9) if one.confidence.min() < level < one.confidence.max()]
        if levels:
            axes.contour(s, s, one.confidence, levels=levels, colors="#ffffff", linewidths=0.7)


def _decisions(one: Landscape) -> np.ndarray:
    """Colours (P, P, 3) of the classes."""
    return CLASS_COLOURS[one.classes % 10]


def _mark(axes: Axes, place: tuple[float, float], colour: str, marker: str) -> None:
    stroke = [withStroke(linewidth=2.5, foreground="#000000")]
    axes.plot(
        *place, marker, color=colour, markersize=5, markeredgewidth=1.2, fillstyle="none", zorder=3, path_effects=stroke
    )


def quantities(values: Mapping[str, Mapping[str, np.ndarray]], labels: Mapping[str, str], log: Sequence[str]) -> Figure:
    """A panel per quantity; in it a row per model with a dot for each plane and a bar at the median.

    values: by quantity, then by model, (N,) for a kind of plane or (2, N) for near the data and far away; labels: of
    the quantities; log: the quantities that need a logarithmic axis.
    """
    names = list(next(iter(values.values())))
    height = 0.75 + 0.24 * len(names)
    figure, panels = plots.grid(len(values), 2, height, sharey=True)
    kinds = looks.THINGS["near"], looks.THINGS["far"]
    for axes, (quantity, models) in zip(panels, values.items(), strict=True):
        for row, name in enumerate(names):
            pairs = np.atleast_2d(models[name])
            for line, kind, shift in zip(pairs, kinds, (-0.17, 0.17), strict=False):
                places = np.full(line.shape, row + (shift if len(pairs) > 1 else 0.0))
                axes.plot(line, places, **kind.points, markersize=3, alpha=0.75, mew=0, label=f"{name}, {kind.short}")
                if np.isfinite(line).any():
                    axes.plot([np.nanmedian(line)], places[:1], "|", color=INK, markersize=9, markeredgewidth=1.5)
        axes.set_title(labels[quantity], fontsize=9)
        axes.tick_params(axis="x", labelsize=8)
        if quantity in log:
            axes.set_xscale("log")
    panels[0].set_yticks(np.arange(len(names)), [plots.look(name).short for name in names], fontsize=9)
    panels[0].invert_yaxis()
    handles = [Line2D([], [], **kind.points, label=kind.short) for kind in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def paired(
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], across: str, up: str, lines: Sequence[float] = (1.0,)
) -> Figure:
    """A panel per model: for each image the norm found by one attack against that found by another, both finite.

    lines: ratios up / across to draw as guides; below the line of ratio 1 the second attack was the better one.
    """
    figure, panels = plots.grid(len(pairs), height=2.4, sharex=True, sharey=True)
    every = np.concatenate([np.concatenate(pair) for pair in pairs.values()])
    every = every[np.isfinite(every) & (every > 0)]
    low, high = float(every.min()) / 1.3, float(every.max()) * 1.3
    for axes, (name, (x, y)) in zip(panels, pairs.items(), strict=True):
        look = plots.look(name)
        axes.plot(x, y, "o", color=look.colour, markersize=2.5, alpha=0.75, mew=0)
        for ratio in lines:
            axes.plot([low, high], [ratio * low, ratio * high], color=GREY, linewidth=1, zorder=1)
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal", title=look.short)
        axes.tick_params(labelsize=8)
    figure.supxlabel(across, fontsize=9)
    figure.supylabel(up, fontsize=9)
    return figure
