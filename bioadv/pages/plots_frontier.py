"""Robustness against accuracy, and models against each other; conventions as in :mod:`bioadv.pages.plots`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from bioadv.lab import study
from bioadv.lab.looks import GREY
from bioadv.pages import plots
from bioadv.pages.plots import WIDTH

Points = Mapping[str, Sequence[tuple[float, float]]]  # by model, (accuracy, median critical norm) of each seed


def accuracy_and_norm(
    points: Mapping[str, Points],
    paper: Mapping[str, Mapping[str, tuple[float, float]]] | None = None,
) -> Figure:
    """The layout of the paper's Figure A2: median critical norm against accuracy, a panel per attack, a point per seed.

    points, paper: by attack and model (accuracy, median); the paper's are drawn hollow.
    """
    figure, panels = plt.subplots(1, len(points), figsize=(WIDTH, 2.6))
    for axes, (attack, models) in zip(np.atleast_1d(panels), points.items(), strict=True):
        for model, seeds in models.items():
            axes.plot(*np.transpose(seeds), **plots.points(model), markersize=7)
        for model, place in (paper or {}).get(attack, {}).items():
            label = None if model in models else f"{plots.look(model).short}, paper"
            hollow = {"markerfacecolor": "none", "markersize": 12, "markeredgewidth": 0.9, "label": label}
            axes.plot(*place, **plots.points(model) | hollow)
        axes.margins(x=0.15, y=0.15)
        axes.set(title=attack, xlabel="accuracy", ylim=(0, None))
    np.atleast_1d(panels)[0].set_ylabel(r"median critical $\|\Delta x\|_2$")
    handles, labels = np.atleast_1d(panels)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6))
    return figure


def frontier(curve: Mapping[str, Points], models: Mapping[str, Points], hollow: Mapping[str, Points]) -> Figure:
    """Median critical norm against accuracy, a panel per attack, beside the curve of a penalty with several strengths.

    curve, models, hollow: by attack; the curve goes through the means over the seeds of a strength, small dots.
    """
    figure, panels = plt.subplots(1, len(curve), figsize=(WIDTH, 3.6), sharey=True)
    for axes, (attack, strengths) in zip(np.atleast_1d(panels), curve.items(), strict=True):
        places = {model: tuple(np.mean(seeds, axis=0)) for model, seeds in strengths.items()}
        axes.plot(*np.transpose(sorted(places.values())), "-", color=GREY, zorder=1)
        axes.plot(*np.transpose(list(itertools.chain(*strengths.values()))), ".", color=GREY, zorder=1)
        for number, (model, place) in enumerate(places.items()):
            offset = (-10, -11) if number % 2 else (4, 4)  # in turn below and above, so that neighbours do not overlap
            strength = plots.look(model).short.removeprefix("L2 ")
            axes.annotate(strength, place, offset, textcoords="offset points", fontsize=8)
        for model, seeds in models[attack].items():
            axes.plot(*np.transpose(seeds), **plots.points(model))
        for model, seeds in hollow[attack].items():
            axes.plot(*np.transpose(seeds), **plots.points(model) | {"markerfacecolor": "none"})
        axes.margins(0.12)
        axes.set(title=attack, xlabel="accuracy on test images", yscale="log")
    np.atleast_1d(panels)[0].set_ylabel(r"median critical $\|\Delta x\|_2$")
    handles, labels = np.atleast_1d(panels)[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    return figure


def rows_of_choices(values: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """A row per choice, in it a point per model at the mean over its seeds; the legend has their number.

    values: by model and choice, one number per seed; all models have the same choices.
    """
    choices = list(next(iter(values.values())))
    figure, axes = plt.subplots(figsize=(WIDTH, 1.4 + 0.31 * len(choices)))
    for number, (model, by_choice) in enumerate(values.items()):
        places = np.arange(len(choices)) + 0.08 * (number - len(values) / 2)
        label = f"{study.title(model)} ({len(by_choice[choices[0]])})"
        means = [np.mean(by_choice[name]) for name in choices]
        axes.plot(means, places, **plots.points(model) | {"label": label})
    axes.set_yticks(range(len(choices)), choices)
    axes.invert_yaxis()
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    return figure


def hero(points: Points, certain: Mapping[str, float], curve: Points) -> Figure:
    """The finding in one picture: median critical norm against accuracy, every model by name beside its point.

    points: by model, (accuracy, median critical norm) of each seed; certain: by model, the median norm up to which a
    certificate rules out any change, drawn as the foot of a bar below the point; curve: a penalty of several strengths.
    """
    # Narrower than other figures, with larger letters, so that a phone shows it whole.
    figure, axes = plt.subplots(figsize=(5.0, 4.2))
    strengths = {model: tuple(np.mean(seeds, axis=0)) for model, seeds in curve.items()}
    if strengths:
        axes.plot(*np.transpose(sorted(strengths.values())), "-", color=GREY, zorder=1, label="weight decay")
        axes.plot(*np.transpose(list(itertools.chain(*curve.values()))), ".", color=GREY, zorder=1)
    for number, (model, place) in enumerate(sorted(strengths.items(), key=lambda item: item[1])):
        strength = plots.look(model).short.removeprefix("L2 × ")
        if strength != "1" and number not in (0, len(strengths) - 1):
            continue  # the ends of the line and the published strength say how it goes
        text = f"× {strength}" if number else f"weight decay × {strength}"
        # Below the line, above which models are named.
        offset, ha, va = ((0, 6), "center", "bottom") if not number else ((0, -5), "center", "top")
        axes.annotate(text, place, offset, textcoords="offset points", fontsize=9, ha=ha, va=va)
    last = np.zeros(2)
    for model, seeds in sorted(points.items(), key=lambda item: float(np.mean(item[1], axis=0)[0])):
        place = np.mean(seeds, axis=0)
        near = abs(place[0] - last[0]) < 0.02 and abs(np.log(place[1] / max(last[1], 1e-9))) < 0.2
        last = place
        if model in certain:
            foot, colour = certain[model], plots.look(model).colour
            axes.plot([place[0]] * 2, [foot, place[1]], color=colour, alpha=0.45, linewidth=3, zorder=1)
        axes.plot(*np.transpose(seeds), **plots.points(model), markersize=8)
        strong = model in ("kh", "l2", "bp", "random")
        name = plots.look(model).short.removesuffix(f", q = {study.KH_POWER:g}")
        axes.annotate(
            name.replace(", ", ",\n"), place, (8, -12 if near else 4), textcoords="offset points",
            fontsize=10 if strong else 9, weight="bold" if strong else "normal",
        )  # fmt: skip
    axes.margins(x=0.2, y=0.12)
    axes.set(xlabel="accuracy on test images", ylabel="length of the perturbation needed", yscale="log")
    plots.plain_decades(axes)
    return figure


def exponent_and_norm(
    models: Points, short: Points, paths: Mapping[str, tuple[float, Sequence[np.ndarray]]], equal: Mapping[str, Points]
) -> Figure:
    """Median critical norm against an exponent. Left: models as trained, and other readouts of their layers.

    models, short: (exponent, norm) of each seed, filled and open. paths: by hidden layer its exponent and, for each
    seed, the norms of its readouts, a vertical line of dots. equal: right, a panel for each accuracy that all have.
    """
    figure, panels = plt.subplots(
        1, 1 + len(equal), figsize=(WIDTH, 4.2), sharex=True, sharey=True, width_ratios=[1.4] + [1] * len(equal)
    )
    for model, (exponent, norms) in paths.items():
        for found in norms:
            colour = plots.look(model).colour
            panels[0].plot([exponent] * len(found), found, ".-", color=colour, alpha=0.4, markersize=4, linewidth=1)
    for group, more in ((models, {}), (short, {"markerfacecolor": "none"})):
        for model, seeds in group.items():
            panels[0].plot(*np.mean(seeds, axis=0), **plots.points(model) | more)
    panels[0].set(title="as trained, and other readouts", ylabel=r"median critical $\|\Delta x\|_2$", yscale="log")
    for axes, (title, points) in zip(panels[1:], equal.items(), strict=True):
        for model, seeds in points.items():
            axes.plot(*np.mean(seeds, axis=0), **plots.points(model))
        axes.set(title=title)
    for axes in panels:
        axes.set_xlabel("exponent")
    plots.plain_decades(panels[0])
    figure.legend(*plots.once(*panels), loc="outside lower center", ncols=3, fontsize=8)
    return figure
