"""Figures in one style: one function per kind of figure. Every function returns the figure and shows nothing.

Where a function takes things by name, a name of the study's registry is drawn as the registry says and labelled by its
short name; an attack, a tap or an estimator as :mod:`bioadv.lab.looks` says; any other name in spare colours, as it is.
What is drawn in ``INK`` changes with the page's theme (:mod:`bioadv.pages.press`); on pictures use pure black or white.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
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
from bioadv.lab.looks import INK
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


def once(*places: Axes) -> tuple[list[Any], list[str]]:
    """Handles and labels of several axes, each label once; for a legend that they share."""
    found: dict[str, Any] = {}
    for place in places:
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)


def plain_decades(axes: Axes, both: bool = False) -> None:
    """Label a logarithmic y axis of few decades at 1, 2 and 5, in plain numbers, and nowhere else; both: x as well."""
    for axis in (axes.yaxis, axes.xaxis)[: 1 + both]:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())


Seeds = Sequence[np.ndarray]  # a curve for each training seed
MANY = 100  # points of a curve


def over_seeds(axes: Axes, curves: Seeds, at: np.ndarray | None = None, **style: Any) -> None:
    """The mean of curves, and a band from the smallest to the largest; no further than the shortest goes.

    at: where on the horizontal axis; default: ranks from 1. Of long curves as many points as can be told apart on a
    logarithmic axis, so that the page stays light.
    """
    shortest = min(map(len, curves))
    kept = np.arange(shortest)
    if shortest > 2 * MANY:
        kept = np.unique(np.geomspace(1, shortest, MANY).round().astype(int)) - 1
    values = np.array([one[:shortest] for one in curves])[:, kept]
    n = kept + 1 if at is None else np.asarray(at)[kept]
    (drawn,) = axes.plot(n, values.mean(0), **style)
    if len(values) > 1:
        axes.fill_between(n, values.min(0), values.max(0), color=drawn.get_color(), alpha=0.2, linewidth=0)
