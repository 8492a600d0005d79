"""Figures of how layers and networks learn; style and conventions as in :mod:`bioadv.pages.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bioadv.lab import looks
from bioadv.lab.looks import GREY
from bioadv.pages import plots
from bioadv.pages.plots import WIDTH


def layer_history(histories: Mapping[str, Mapping[str, np.ndarray]], radius: float = 1.0) -> Figure:
    """Mean norm, fraction converged and fraction of winning units against the epoch, a line per named run."""
    figure, panels = plt.subplots(1, 3, figsize=(WIDTH, 2.6), sharex=True)
    for number, (name, history) in enumerate(histories.items()):
        epochs = np.arange(1, len(history["norm"]) + 1)
        for axes, key in zip(panels, ("norm", "converged", "winning"), strict=True):
            axes.plot(epochs, history[key], **plots.line(name, number))
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
        axes.plot(np.arange(1, won.sum() + 1), share[won], marker=".", markersize=4, **plots.line(name, number))
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
            style = plots.line(name, number)
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
        plots.plain_decades(axes)
    return figure
