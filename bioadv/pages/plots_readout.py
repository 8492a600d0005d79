"""Figures of the chapter on unfinished readouts, in the style of :mod:`bioadv.pages.plots`; returned, not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bioadv.lab import direction_numbers, readout_numbers, study
from bioadv.lab.looks import GREY, INK
from bioadv.lab.readout_numbers import Path
from bioadv.pages.plots import WIDTH, plain_decades

Paths = Mapping[str, Sequence[Path]]  # by model, one per seed


def fronts(paths: Paths) -> Figure:
    """Robust against clean accuracy, a panel per norm and radius: a line per hidden layer and seed, its readouts dots.

    A large marker is the readout that a model was trained with. The dotted line is where nothing is lost.
    """
    panels = readout_numbers.panels()
    figure, grid = plt.subplots(4, 2, figsize=(WIDTH, 8.6), sharex=True)
    spaces = list(grid.flat)
    for axes, (norm, radius, title) in zip(spaces, panels, strict=False):
        for model, seeds in paths.items():
            for path in seeds:
                _line(axes, model, path, readout_numbers.robust(path, norm, radius))
        low, high = axes.get_xlim()
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
        axes.set(title=title, xlim=(low, high), ylim=(0, high), ylabel="robust accuracy")
    for axes in spaces[len(panels) - 2 : len(panels)]:
        axes.set_xlabel("clean accuracy")
        axes.xaxis.set_tick_params(labelbottom=True)
    _legend(spaces[-1], paths)
    return figure


def along(paths: Paths, trainings: Paths) -> Figure:
    """Median critical L2 norm against clean accuracy, and against the norm of the readout.

    paths: of penalties, a line per hidden layer and seed; trainings: along the paper's training, dashed, with the
    number of epochs above the crosses of all seeds.
    """
    figure, (left, right) = plt.subplots(2, 1, figsize=(WIDTH, 6.6), height_ratios=(3, 2))
    for model, seeds in paths.items():
        for path in seeds:
            median = np.exp([readout_numbers.log_best(path, place) for place in range(len(path["place"]))])
            _line(left, model, path, median)
            places = readout_numbers.rising(path)
            right.plot(path["scaled_norm"][places], median[places], **_look(model))
    for model, seeds in trainings.items():
        heights = [np.exp([readout_numbers.log_best(path, n) for n in range(len(path["place"]))]) for path in seeds]
        for path, median in zip(seeds, heights, strict=True):
            left.plot(path["accuracy"], median, color=study.look(model).colour, linewidth=1, linestyle="--", marker="x")
        rightmost, highest = np.max([path["accuracy"] for path in seeds], axis=0), np.max(heights, axis=0)
        for epoch, *corner in zip(seeds[0]["place"], rightmost, highest, strict=True):
            label = f"{epoch:,.0f} epoch{'s' * int(epoch != 1)}"  # above all seeds and to their right, where no line is
            left.annotate(label, corner, (3, 4), textcoords="offset points", fontsize=8, ha="left", va="bottom")
    left.margins(y=0.1)
    left.set(xlabel="clean accuracy", ylabel="median critical norm", yscale="log")
    right.set(xlabel="norm of the readout, units of variance 1", ylabel="median critical norm")
    right.set(xscale="log", yscale="log")
    handles = [left.plot([], [], label=study.title(model), **_look(model))[0] for model in paths]
    left.legend(handles=handles, fontsize=8, loc="center left")
    return figure


def anatomy(paths: Paths) -> Figure:
    """Medians of the margin, of its gradient and of the critical norm against clean accuracy, each in units of its own.

    A line per hidden layer and seed, its readouts dots; a large marker is the readout that a model was trained with.
    """
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 3.4), sharex=True)
    for number, (axes, title) in enumerate(zip(panels, ("margin", "gradient norm", "critical norm"), strict=True)):
        for model, seeds in paths.items():
            for path in seeds:
                medians = [readout_numbers.parts(path, place)[number] for place in range(len(path["place"]))]
                _line(axes, model, path, np.array(medians))
        axes.set(title=title, yscale="log", xlabel="clean accuracy")
        plain_decades(axes)
    handles = [panels[0].plot([], [], label=study.title(model), **_look(model))[0] for model in paths]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8)
    return figure


def directions(paths: Paths, chosen: Mapping[str, Sequence[int]]) -> Figure:
    """What a critical norm consists of, and where among the components of the images the gradient lies.

    paths: of the probe ``directions``. Left: median margin over gradient norm against median deviation, a line for each
    hidden layer and seed, its readouts dots; dotted, the median distance in standard deviations over all dots. Right:
    share of the gradient's squared length on the first components, at the readouts ``chosen`` for each model, by seed.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.9))
    distances = list[float]()
    for model, seeds in paths.items():
        for path in seeds:
            found = [direction_numbers.medians(path, place) for place in range(len(path["place"]))]
            parts = {part: np.array([one[part] for one in found]) for part in direction_numbers.PARTS}
            places = readout_numbers.rising(path)
            left.plot(parts["deviation"][places], parts["linear"][places], **_look(model))
            distances += parts["distance"][places].tolist()
            own = readout_numbers.own(path)
            if np.isnan(path["place"][own]):
                left.plot(parts["deviation"][own], parts["linear"][own], **_large(model))
        for path, place in zip(seeds, chosen.get(model, ()), strict=False):
            ranks = np.arange(1, path["energy"].shape[1] + 1)
            right.plot(ranks, path["energy"][place], **{**study.look(model).line, "linewidth": 1.2})
    left.set(xscale="log", yscale="log", xlabel="standard deviation along the gradient")
    left.set_ylabel("margin over gradient norm")
    ends = np.array(left.get_xlim())
    left.plot(ends, float(np.median(distances)) * ends, color=GREY, linestyle=":", linewidth=1)
    left.set_xlim(*ends)
    plain_decades(left, both=True)
    right.set(xscale="log", ylim=(0, 1), xlabel="principal components", ylabel="share of the gradient")
    dashes = {model: {**_look(model), **study.look(model).line, "linewidth": 1.2} for model in paths}
    handles = [left.plot([], [], label=study.title(model), **dashes[model])[0] for model in paths]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def live(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], ylabel: str) -> Figure:
    """A value against accuracy, one curve (accuracies, values) per hidden layer."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
    for model, (accuracies, values) in curves.items():
        axes.plot(accuracies, values, label=study.title(model), **_look(model))
    axes.set(xlabel="accuracy on test patches", ylabel=ylabel, yscale="log")
    axes.legend(fontsize=8)
    return figure


def _line(axes: Axes, model: str, path: Path, values: np.ndarray) -> None:
    places, own = readout_numbers.rising(path), readout_numbers.own(path)
    axes.plot(path["accuracy"][places], values[places], **_look(model))
    if np.isnan(path["place"][own]):
        axes.plot(path["accuracy"][own], values[own], **_large(model))


def _look(model: str) -> dict[str, Any]:
    look = study.look(model)
    return {"color": look.colour, "marker": look.marker, "markersize": 3.5, "linewidth": 1.2}


def _large(model: str) -> dict[str, Any]:
    """Of the readout that a model was trained with."""
    return {**_look(model), "markersize": 9, "markeredgecolor": INK, "linestyle": "none"}


def _legend(axes: Axes, paths: Paths) -> None:
    axes.set_axis_off()
    handles = [axes.plot([], [], label=study.title(model), **_look(model))[0] for model in paths]
    large: dict[str, Any] = {
        "markerfacecolor": "none",
        "marker": "o",
        "markersize": 9,
        "markeredgecolor": INK,
        "linestyle": "none",
    }
    handles.append(axes.plot([], [], label="as trained", **large)[0])
    axes.legend(handles=handles, loc="center", fontsize=9)
