"""Figures in one style: one function per kind of figure, colours that colour-blind readers can tell apart.

Figures are drawn on white. On dark pages the book's style sheet inverts lightness and keeps hue, except for pictures
(cells tagged ``picture``), so that both themes are legible. Every function returns the figure and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from bioadv.data.datasets import Images
from bioadv.lab.looks import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY

WIDTH = 6.4  # inches; with 10 point type still legible when a phone shrinks it


def use_style() -> None:
    """Set matplotlib's defaults for this session."""
    plt.rcParams.update(
        {
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK]),
            "axes.spines.right": False,
            "axes.spines.top": False,
            "axes.titlesize": "medium",
            "figure.constrained_layout.use": True,
            "figure.dpi": 144,
            "figure.figsize": (WIDTH, 3.0),
            "font.size": 10,
            "grid.alpha": 0.25,
            "image.interpolation": "nearest",
            "legend.frameon": False,
            "lines.linewidth": 1.6,
            "savefig.dpi": 144,
        }
    )


def tile(pictures: np.ndarray, columns: int, gap: int = 2, fill: float = 1.0) -> np.ndarray:
    """Pictures (N, H, W, C) in [0, 1] side by side, row by row, ``gap`` pixels of ``fill`` between them."""
    count, height, width, channels = pictures.shape
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), fill)
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = picture
    return sheet


def show(axes: Axes, sheet: np.ndarray) -> None:
    """A sheet (H, W, C) in [0, 1] without axes; one channel is shown in grey."""
    axes.imshow(sheet[..., 0] if sheet.shape[-1] == 1 else sheet, cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()


def example_images(images: Images, per_class: int = 4, columns: int = 10) -> Figure:
    """A column of example images for each class that has any, its name above it; the first ``columns`` of them."""
    classes = np.unique(images.labels)[:columns]
    figure, panels = plt.subplots(1, len(classes), figsize=(WIDTH, 0.75 * per_class))
    for label, axes in zip(classes, np.atleast_1d(panels), strict=True):
        members = np.flatnonzero(images.labels == label)
        chosen = members[np.linspace(0, len(members) - 1, per_class).astype(int)]
        show(axes, tile(images.pixels[chosen] / images.pixel_max, columns=1))
        # A class is called what the user likes: dollar signs are no formula.
        axes.set_title(images.classes[label], rotation=45, ha="left", fontsize=8, parse_math=False)
    return figure


def filter_grid(weights: np.ndarray, shape: tuple[int, int, int], columns: int = 20) -> Figure:
    """Weights (H, D) as H pictures of ``shape``; mid-grey is zero, and 1 % of each unit's weights saturate."""
    scale = np.quantile(np.abs(weights), 0.99, axis=1, keepdims=True)
    pictures = np.clip(0.5 + 0.5 * weights / np.maximum(scale, 1e-30), 0, 1).reshape(-1, *shape)
    sheet = tile(pictures, columns)
    figure, axes = plt.subplots(figsize=(WIDTH, WIDTH * sheet.shape[0] / sheet.shape[1]))
    show(axes, sheet)
    return figure


def layer_history(histories: Mapping[str, Mapping[str, np.ndarray]], radius: float = 1.0) -> Figure:
    """Mean norm, fraction converged and fraction of winning units against the epoch, a line per named run."""
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 2.6), sharex=True)
    for name, history in histories.items():
        epochs = np.arange(1, len(history["norm"]) + 1)
        for axes, key in zip(panels, ("norm", "converged", "winning"), strict=True):
            axes.plot(epochs, history[key], label=name)
    panels[0].axhline(radius, color=GREY, linestyle=":", linewidth=1)
    panels[0].set(yscale="log", title="mean norm of a unit", xlabel="epoch")
    panels[1].set(ylim=(-0.03, 1.03), title="units at norm $R$", xlabel="epoch")
    panels[2].set(ylim=(-0.03, 1.03), title="units that won", xlabel="epoch")
    panels[1].set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    panels[2].set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    if len(histories) > 1:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def ranked_wins(wins: Mapping[str, np.ndarray]) -> Figure:
    """Share of the images that each unit wins, units ranked by it, a line per named set; zeros are left out."""
    figure, axes = plt.subplots()
    for name, counts in wins.items():
        share = np.sort(counts)[::-1] / counts.sum()
        won = share > 0
        axes.plot(np.arange(1, won.sum() + 1), share[won], marker=".", markersize=4, label=name)
    units = len(next(iter(wins.values())))
    axes.axhline(1 / units, color=GREY, linestyle=":", linewidth=1)
    axes.annotate("all units alike", (units, 1 / units), ha="right", va="bottom", color=GREY, fontsize=8)
    axes.set(xlabel="units, most successful first", ylabel="share of images won", yscale="log", xlim=(0, units))
    axes.legend()
    return figure


def health_bars(names: Sequence[str], measures: Mapping[str, Sequence[float]]) -> Figure:
    """Grouped horizontal bars: for each named layer, fractions (0 to 1) such as live and winning units."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.6 + 0.42 * len(names)))
    height = 0.8 / len(measures)
    for i, (measure, values) in enumerate(measures.items()):
        axes.barh(np.arange(len(names)) + (i - (len(measures) - 1) / 2) * height, values, height, label=measure)
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    axes.set(xlim=(0, 1), xlabel="share of the units")
    axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(measures))
    return figure


def training_curves(logs: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Cross-entropy, test accuracy and ||J|| against the epoch, a line per named run.

    logs: by name, as :class:`bioadv.network.training.Fitted` has them.
    """
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.4), sharex=True)
    for index, (name, log) in enumerate(logs.items()):
        style = {"color": f"C{index % 7}", "linestyle": ("-", "--", ":")[index // 7], "label": name}
        epochs = np.arange(1, len(log["loss"]) + 1)
        measured = np.isfinite(log["test_accuracy"])
        panels[0].plot(epochs, log["cross_entropy"], **style)
        panels[1].plot(epochs[measured], log["test_accuracy"][measured], **style)
        panels[2].plot(epochs, log["jacobian"], **style)
    for axes, title in zip(panels, ("cross-entropy", "test accuracy", r"$\|\partial h/\partial x\|$"), strict=True):
        axes.set(title=title, xlabel="epoch")
    panels[2].set_yscale("log")
    panels[2].yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    panels[2].yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panels[2].yaxis.set_minor_locator(NullLocator())
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def verdict_bars(rows: Mapping[str, Mapping[str, int]]) -> Figure:
    """Stacked horizontal bars: for each kind of claim, how many got each verdict, with the numbers in the bars."""
    colours = dict(zip(next(iter(rows.values())), (GREEN, SKY, RED, GREY, "#D9D9D9"), strict=True))
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.42 * len(rows)))
    for place, counts in enumerate(rows.values()):
        left = 0
        for label, count in counts.items():
            axes.barh(place, count, left=left, color=colours[label], height=0.7, edgecolor="white")
            if count:
                axes.annotate(str(count), (left + count / 2, place), ha="center", va="center", fontsize=9)
            left += count
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set(xlabel="claims")
    axes.grid(visible=False, axis="y")
    marks = [Rectangle((0, 0), 1, 1, color=colour) for colour in colours.values()]
    figure.legend(marks, list(colours), loc="outside upper center", ncols=3, fontsize=8)
    return figure
