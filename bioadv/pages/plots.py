"""Figures in one style: one function per kind of figure. Every function returns the figure and shows nothing.

Where a function takes things by name, a name of the study's registry is drawn as the registry says and labelled by its
short name; an attack, a tap or an estimator as :mod:`bioadv.lab.looks` says; any other name in spare colours, as it is.
What is drawn in ``INK`` changes with the page's theme (:mod:`bioadv.pages.press`); on pictures use pure black or white.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from bioadv.data.datasets import Images
from bioadv.lab import looks, study
from bioadv.lab.looks import GREY, INK, TEAL, WINE
from bioadv.pages import press

WIDTH = 6.4  # inches; with 10 point type still legible when a phone shrinks it
LONGEST_NAME = 20  # letters of a class's name


# Where the first font lacks a letter, as of Chinese, Japanese or Korean names, one of these is asked, if it is there.
FURTHER_FONTS = (
    *(
        "Noto Sans CJK JP",
        "Noto Sans CJK SC",
        "Source Han Sans",
        "WenQuanYi Zen Hei",
        "Noto Sans",
        "Noto Sans Symbols 2",
    ),
    *("Hiragino Sans", "PingFang SC", "Apple SD Gothic Neo", "Arial Unicode MS", "Yu Gothic", "Microsoft YaHei"),
)


def use_style() -> None:
    """Set matplotlib's defaults for this session, and how its notebook shows figures."""
    # A font without the usual weight is told of on the error stream, which would end up in outputs.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    installed = set(font_manager.get_font_names())
    plt.rcParams.update(
        {
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "font.family": ["DejaVu Sans", *(name for name in FURTHER_FONTS if name in installed)],
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=list(looks.SPARE)),
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
    press.install()


def look(name: str, number: int = 0) -> looks.Look:
    """How something is drawn, by its name; number: its place among things that have no look of their own."""
    return study.look(name) if name in study.EXPERIMENTS or name in study.SUBJECTS else looks.thing(name, number)


def line(name: str, number: int = 0) -> dict[str, Any]:
    """Colour, dash and label of a line, for matplotlib."""
    return {**look(name, number).line, "label": look(name, number).short}


def points(name: str, number: int = 0) -> dict[str, Any]:
    """Colour, marker and label of points, for matplotlib; their faces are pale, so that none hides another."""
    chosen = look(name, number)
    face = (*to_rgb(chosen.colour), 0.45)
    return {**chosen.points, "markerfacecolor": face, "markeredgewidth": 1.3, "label": chosen.short}


def grid(count: int, columns: int = 3, height: float = 2.0, **more: Any) -> tuple[Figure, list[Axes]]:
    """A figure with ``count`` panels, ``columns`` in a row at most: none is narrower than a third of the page."""
    wide = min(count, columns)
    rows = -(-count // wide)
    figure, panels = plt.subplots(rows, wide, figsize=(WIDTH, height * rows + 0.5), squeeze=False, **more)
    flat = list(panels.flat)
    for axes in flat[count:]:
        axes.set_axis_off()
    for axes in flat[max(0, count - wide) : count]:  # the lowest of their columns
        axes.tick_params(labelbottom=True)
    return figure, flat[:count]


def readable(text: str, most: int = LONGEST_NAME) -> str:
    """A text of the user's, such as the name of a class, in one line of about ``most`` letters that can be drawn.

    A letter that no font here has is shown as its number, U+732B: otherwise all of these would be drawn as the same
    box, with a warning for each. Of a longer text the middle is left out, so that beginning and end tell it apart.
    """
    families = [font_manager.FontProperties(family=[family]) for family in plt.rcParams["font.family"]]
    fonts = [font_manager.get_font(font_manager.findfont(family)) for family in families]
    shown = [
        letter if letter == " " or any(font.get_char_index(ord(letter)) for font in fonts) else f"U+{ord(letter):04X} "
        for letter in " ".join(text.split())
    ]
    if width("".join(shown)) > most:
        head, tail = shown[: len(shown) // 2], shown[len(shown) // 2 :]
        while width("".join(head + tail)) >= most:
            if width("".join(head)) > width("".join(tail)):
                head.pop()
            else:
                tail.pop(0)
        shown = [*head, "…", *tail]
    return " ".join("".join(shown).split())


def width(text: str) -> int:
    """About how many letters wide a text is; those of Chinese, Japanese and Korean count twice."""
    return sum(2 if unicodedata.east_asian_width(letter) in "FW" else 1 for letter in text)


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
        axes.set_title(readable(images.classes[label]), rotation=45, ha="left", fontsize=8, parse_math=False)
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
    for number, (name, history) in enumerate(histories.items()):
        epochs = np.arange(1, len(history["norm"]) + 1)
        for axes, key in zip(panels, ("norm", "converged", "winning"), strict=True):
            axes.plot(epochs, history[key], **line(name, number))
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
    for number, (name, counts) in enumerate(wins.items()):
        share = np.sort(counts)[::-1] / counts.sum()
        won = share > 0
        axes.plot(np.arange(1, won.sum() + 1), share[won], marker=".", markersize=4, **line(name, number))
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
        places = np.arange(len(names)) + (i - (len(measures) - 1) / 2) * height
        axes.barh(places, values, height, label=measure, color=looks.SPARE[i])
    axes.set_yticks(np.arange(len(names)), names)
    axes.invert_yaxis()
    axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    axes.set(xlim=(0, 1), xlabel="share of the units")
    axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=len(measures))
    return figure


def training_curves(rows: Sequence[Mapping[str, Mapping[str, np.ndarray]]]) -> Figure:
    """Cross-entropy, test accuracy and ||J|| against the epoch: a row of panels for each group of models.

    rows: of each group, by model, its log as :class:`bioadv.network.training.Fitted` has it.
    """
    figure = plt.figure(figsize=(WIDTH, 2.7 * len(rows)))
    parts = np.atleast_1d(np.asarray(figure.subfigures(len(rows), 1), dtype=object))
    panels = np.array([part.subplots(1, 3) for part in parts])
    for part, places, logs in zip(parts, panels, rows, strict=True):
        for number, (name, log) in enumerate(logs.items()):
            style = line(name, number)
            epochs = np.arange(1, len(log["loss"]) + 1)
            measured = np.isfinite(log["test_accuracy"])
            places[0].plot(epochs, log["cross_entropy"], **style)
            places[1].plot(epochs[measured], log["test_accuracy"][measured], **style)
            places[2].plot(epochs, log["jacobian"], **style)
        part.legend(*places[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(logs), fontsize=8)
    for axes in panels[:, 2]:
        axes.set_yscale("log")
    for column, title in zip(panels.T, ("cross-entropy", "test accuracy", r"$\|\partial h/\partial x\|$"), strict=True):
        column[0].set_title(title)
        column[-1].set_xlabel("epoch")
        limits = [axes.get_ylim() for axes in column]
        for axes in column:  # rows are compared: one scale
            axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    for axes in panels[:, 2]:
        plain_decades(axes)
    return figure


def plain_decades(axes: Axes) -> None:
    """Label a logarithmic y axis of few decades at 1, 2 and 5, in plain numbers, and nowhere else."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_locator(NullLocator())


VERDICTS = (TEAL, "#8FB7BD", WINE, GREY, "#D9D9D9")  # reproduced, in part, not, not testable, not measured


def verdict_bars(rows: Mapping[str, Mapping[str, int]]) -> Figure:
    """Stacked horizontal bars: for each kind of claim, how many got each verdict, with the numbers in the bars.

    Verdicts that no claim got are left out.
    """
    labels = [label for label in next(iter(rows.values())) if any(counts[label] for counts in rows.values())]
    colours = dict(zip(next(iter(rows.values())), VERDICTS, strict=True))
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.42 * len(rows)))
    left = np.zeros(len(rows))
    for label in labels:
        sizes = np.array([counts[label] for counts in rows.values()])
        bars = axes.barh(range(len(rows)), sizes, left=left, color=colours[label], height=0.7, label=label)
        texts = [str(size) if size else "" for size in sizes]
        dark = label in labels[:1] or colours[label] in (WINE, GREY)
        axes.bar_label(bars, texts, label_type="center", fontsize=9, color="#ffffff" if dark else "#000000")
        left += sizes
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set(xlabel="claims")
    axes.grid(visible=False, axis="y")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure
