"""Figures of the chapter on robustness, in the style of :mod:`bioadv.pages.plots`; each is returned, not shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bioadv.lab.looks import GREY, INK
from bioadv.pages import plots
from bioadv.pages.plots import WIDTH, readable

Curve = tuple[np.ndarray, np.ndarray]


def _colour(model: str) -> str:
    return plots.look(model).colour


def _short(model: str) -> str:
    """Its short name, or for what is no model of the study, the name itself."""
    return plots.look(model).short


def perturbed_images(rows: Mapping[str, tuple[np.ndarray, np.ndarray]], notes: Mapping[str, tuple[str, str]]) -> Figure:
    """A row per model: the image, the perturbation on mid-grey, their sum.

    All perturbations are magnified alike, so that they can be compared: the largest pixel of the largest one is full.
    Under each stands its length in units of the image's.

    rows: (image, perturbed), each (H, W, C) in [0, 1]; notes: what the model says of either.
    """
    figure, panels = plt.subplots(len(rows), 3, figsize=(0.75 * WIDTH, 1.5 * len(rows)), squeeze=False)
    gain = 0.5 / max([1e-9, *(float(np.abs(moved - image).max()) for image, moved in rows.values())])
    for (model, (image, perturbed)), line in zip(rows.items(), panels, strict=True):
        difference = np.clip(0.5 + gain * (perturbed - image), 0, 1)
        for axes, picture in zip(line, (image, difference, np.clip(perturbed, 0, 1)), strict=True):
            axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.grid(visible=False)
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(_short(model), rotation=0, ha="right", va="center")
        length = np.linalg.norm(perturbed - image) / max(float(np.linalg.norm(image)), 1e-9)
        for axes, note in zip(line, (notes[model][0], f"length {100 * length:.2g} %", notes[model][1]), strict=True):
            # Names of classes, which may hold dollar signs.
            axes.set_xlabel(readable(note), fontsize=9, parse_math=False)
    for axes, title in zip(panels[0], ("image", f"perturbation × {gain:.0f}", "perturbed image"), strict=True):
        axes.set_title(title, fontsize=9)
    return figure


def sweeps(
    curves: Mapping[str, Mapping[str, Sequence[Curve]]],
    norms: Mapping[str, Mapping[str, Sequence[np.ndarray]]],
    seeds: bool = False,
) -> Figure:
    """The layout of the paper's Figure 1: per attack, accuracy against strength, and boxes of critical norms.

    curves: by attack and model, one (strengths, accuracy) per seed; norms: by attack and model, critical norms (N,) of
    each seed, NaN where an image never fails (dropped, as coded). Boxes span the quartiles, whiskers 1.5 times
    their distance, no fliers. seeds: name their number in the legend.
    """
    figure, panels = plt.subplots(len(curves), 2, figsize=(WIDTH, 2.15 * len(curves)), width_ratios=(3, 2))
    for attack, (left, right) in zip(curves, np.atleast_2d(panels), strict=True):
        for model, found in curves[attack].items():
            name = f"{_short(model)}, {len(found)} seed{'s' * (len(found) > 1)}" if seeds else _short(model)
            for number, (strengths, accuracy) in enumerate(found):
                style = plots.line(model) | {"label": None if number else name}
                left.plot(strengths, accuracy, **style)
        left.set(xscale="log", ylim=(-0.03, 1.03), ylabel="relative accuracy", title=attack)
        left.set_yticks([0, 0.5, 1], ["0", "½", "1"])
        _boxes(right, norms[attack])
    panels = np.atleast_2d(panels)
    for axes in panels[:-1, 1]:  # the boxes below have the same order
        axes.tick_params(labelbottom=False)
    panels[-1, 0].set_xlabel(r"strength $\epsilon$")
    panels[0, 1].set_title(r"critical norm $\|\Delta x\|_2$")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 3 if seeds else 6))
    return figure


def _boxes(axes: Axes, norms: Mapping[str, Sequence[np.ndarray]]) -> None:
    for place, (model, seeds) in enumerate(norms.items()):
        width = 0.7 / len(seeds)
        for number, values in enumerate(seeds):
            axes.boxplot(
                values[np.isfinite(values)],
                positions=[place + (number - (len(seeds) - 1) / 2) * width],
                widths=0.8 * width,
                showfliers=False,
                patch_artist=True,
                boxprops={"facecolor": _colour(model), "alpha": 0.35, "edgecolor": _colour(model)},
                medianprops={"color": INK},
                whiskerprops={"color": _colour(model)},
                capprops={"color": _colour(model)},
            )
    axes.set_xticks(
        range(len(norms)),
        [_short(model).split(",")[0] for model in norms],
        fontsize=8,
        rotation=40,
        ha="right",
        rotation_mode="anchor",
    )
    axes.tick_params(axis="x", pad=2)
    axes.set(ylim=(0, None), xlim=(-0.6, len(norms) - 0.4))
    axes.grid(visible=False, axis="x")


def first_and_half(first: Mapping[str, np.ndarray], half: Mapping[str, np.ndarray], side: float) -> Figure:
    """Noise: distribution over images of the strength at the first failure and where half of the draws fail.

    first, half: strengths (N,) by model, infinite where never; side: strength at which the noise is as long as an
    image.
    """
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 2.7), sharey=True, sharex=True)
    last = max(float(v[np.isfinite(v)].max(initial=0)) for values in (first, half) for v in values.values())
    for axes, title, values in zip(panels, ("first failure", "fails half of the time"), (first, half), strict=True):
        for model, strengths in values.items():
            axes.plot(*_cumulative(strengths, last), **plots.line(model))
        axes.axvline(side, color=GREY, linestyle=":", linewidth=1)
        axes.set(xscale="log", title=title, xlabel=r"strength $\epsilon$", ylim=(0, 1))
    panels[0].annotate("noise as long\nas the image", (side, 0.03), (4, 0), textcoords="offset points", fontsize=8)
    panels[0].set_ylabel("share of images")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(first))
    return figure


def _cumulative(values: np.ndarray, last: float) -> Curve:
    """Share of the values at or below each of them; flat from the largest finite one to ``last``."""
    finite = np.sort(values[np.isfinite(values)])
    share = np.arange(1, len(finite) + 1) / len(values)
    return np.append(finite, last), np.append(share, len(finite) / len(values))


def compared(pairs: Mapping[str, tuple[np.ndarray, np.ndarray]], names: tuple[str, str], unit: str) -> Figure:
    """Two critical strengths of the same images, a panel per model: (first, second), each (N,), infinite if never."""
    figure, panels = plots.grid(len(pairs), sharex=True, sharey=True)
    known = np.concatenate([np.concatenate(pair) for pair in pairs.values()])
    found = known[np.isfinite(known) & (known > 0)]
    low, high = np.quantile(found, [0.002, 1]) if len(found) else (0.1, 1.0)  # nothing fools any image: empty panels
    for axes, (model, (first, second)) in zip(panels, pairs.items(), strict=True):
        axes.set(xscale="log", yscale="log", title=_short(model), xlim=(low, 1.1 * high), ylim=(low, 1.1 * high))
        axes.plot([low, high], [low, high], color=GREY, linewidth=1)
        axes.plot(first, second, ".", color=_colour(model), markersize=3.5, alpha=0.75)
    figure.supylabel(f"{names[1]}{unit}", fontsize=10)
    figure.supxlabel(f"{names[0]}{unit}", fontsize=10)
    return figure


def brackets(lower: Mapping[str, np.ndarray], upper: Mapping[str, np.ndarray], unit: str) -> Figure:
    """Per image the radius that is certified and the one that an attack needs, infinite if none does; sorted by it."""
    figure, panels = plots.grid(len(lower), sharey=True, sharex=True)
    known = np.concatenate([*upper.values(), *lower.values()])
    highest = known[np.isfinite(known)].max(initial=0) or 1.0  # an image that nothing fools has no end
    # Three decades: with the few images that lie almost on a boundary, a band twice as high as it is low looks thin.
    panels[0].set(yscale="log", ylim=(1e-3 * highest, 1.5 * highest))
    for axes, model in zip(panels, lower, strict=True):
        order = np.argsort(upper[model])
        rank = np.linspace(0, 1, len(order))
        axes.fill_between(rank, lower[model][order], upper[model][order], color=_colour(model), alpha=0.3, linewidth=0)
        axes.plot(rank, upper[model][order], color=_colour(model), label="attacked")
        axes.plot(rank, lower[model][order], color=INK, linewidth=0.7, label="certified")
        axes.set(title=_short(model), xticks=[0, 1], xticklabels=["0", "1"])
    figure.supylabel(unit, fontsize=10)
    figure.supxlabel("images, by rank of the attack", fontsize=10)
    return figure


def absolute_accuracy(curves: Mapping[str, Curve], certified: Mapping[str, Curve]) -> Figure:
    """Share of *all* images decided correctly against the size of the perturbation: attacked, and certain (dashed)."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.9))
    for number, (model, curve) in enumerate(curves.items()):
        axes.plot(
            *curve, color=_colour(model), marker=plots.look(model).marker, markersize=5, label=_short(model),
            markevery=(0.02 + 0.01 * number, 0.12),
        )  # fmt: skip
        axes.plot(*certified[model], color=_colour(model), linestyle="--", linewidth=1, label="_certain")
    axes.set(xlabel=r"size of the perturbation, $L^2$", ylabel="accuracy", ylim=(0, None), xlim=(0, None))
    axes.legend()
    return figure


def masking(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Accuracy against strength for several attacks, a panel per model; a gradient attack should never be the upper."""
    figure, panels = plots.grid(len(curves), height=2.3, sharey=True, sharex=True)
    for axes, (model, attacks) in zip(panels, curves.items(), strict=True):
        for number, (attack, curve) in enumerate(attacks.items()):
            axes.plot(*curve, **plots.line(attack, number))
        axes.set(xscale="log", title=_short(model), ylim=(-0.03, 1.03), xlabel=r"strength $\epsilon$")
    panels[0].set_ylabel("relative accuracy")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure
