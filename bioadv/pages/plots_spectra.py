"""Figures of the chapters on spectra and pruning; style and conventions as in :mod:`bioadv.pages.plots`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bioadv.lab.looks import GREY, INK, OLIVE, TEAL, VIOLET, WINE
from bioadv.measure import powerlaw
from bioadv.pages import plots
from bioadv.pages.plots import WIDTH, show, tile

Spectra = Mapping[str, np.ndarray]


def draw(axes: Axes, spectrum: np.ndarray, label: str | None = None, **style: object) -> None:
    """One spectrum against its rank, over its largest eigenvalue; what follows the first non-positive one as ``|.|``.

    Eigenvalues that rounding has made negative or complex are real parts here, and drawn as faint dots.
    """
    values = np.real(spectrum) / np.real(spectrum[0])
    end = powerlaw.positive(values)
    n = np.arange(1, len(values) + 1)
    (line,) = axes.loglog(n[:end], values[:end], label=label, **style)
    if (values[end:] < 0).any():
        axes.loglog(n[end:], np.abs(values[end:]), ".", markersize=1.5, alpha=0.4, color=line.get_color())


def compare(panels: Mapping[str, Spectra], truth: np.ndarray | None = None, floor: float | None = None) -> Figure:
    """Panels of spectra by name, each over its largest eigenvalue; truth: a spectrum to draw dotted below them."""
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.4), sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for place, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for name, spectrum in lines.items():
            width = 1.6 if truth is None else 4.0 - 1.3 * names.index(name)  # lines that coincide should all show
            draw(place, spectrum, **plots.line(name, names.index(name)), linewidth=width)
        if truth is not None:
            place.loglog(np.arange(1, len(truth) + 1), truth / truth[0], ":", color=INK, label="truth")
        place.set(title=title, xlabel="rank $n$")
        if floor is not None:
            place.set_ylim(bottom=floor)
    axes[0, 0].set_ylabel(r"$\lambda_n / \lambda_1$")
    _shared_legend(figure, list(axes[0]))
    return figure


def populations(
    models: Mapping[str, tuple[np.ndarray, np.ndarray]],
    parts: Mapping[str, tuple[Mapping[int, np.ndarray], Mapping[int, np.ndarray]]],
) -> Figure:
    """Spectra on test images (left) and on noise (right): all models above, then a row of sub-populations per layer.

    models: by name, the spectra of the whole layer; parts: by name, spectra by number of units, drawn the thicker the
    more units. The windows that exponents are fitted in are shaded.
    """
    size = WIDTH, 3.0 + 1.9 * len(parts)
    heights = [1.4] + [1.0] * len(parts)
    figure, axes = plt.subplots(1 + len(parts), 2, figsize=size, sharex=True, sharey="col", height_ratios=heights)
    for place, window in zip(axes.T, (powerlaw.IMAGES, powerlaw.NOISE), strict=True):
        for panel in place:
            panel.axvspan(*window, color=GREY, alpha=0.12, linewidth=0)
    for name, found in models.items():
        for place, spectrum in zip(axes[0], found, strict=True):
            place.loglog(np.arange(1, len(spectrum) + 1), spectrum / spectrum[0], **plots.line(name))
    for row, (name, sources) in zip(axes[1:], parts.items(), strict=True):
        for place, spectra in zip(row, sources, strict=True):
            sizes = sorted(spectra)
            top = spectra[sizes[-1]][0]
            for number, units in enumerate(sizes):
                strength = (number + 1) / len(sizes)
                spectrum = spectra[units]
                place.loglog(
                    np.arange(1, len(spectrum) + 1), spectrum / top, color=plots.look(name).colour,
                    alpha=0.3 + 0.7 * strength, linewidth=0.6 + 1.4 * strength, label=f"{len(spectrum)} units",
                )  # fmt: skip
        row[0].set_ylabel(f"parts of {plots.look(name).short}", fontsize=9)
    axes[0, 0].set(title=r"test images, $\lambda_n / \lambda_1$", ylim=(1e-9, 3))
    axes[0, 1].set(title=r"Gaussian noise, $\lambda_n / \lambda_1$", ylim=(1e-6, 3))
    axes[0, 0].set_ylabel("whole layers", fontsize=9)
    for place in axes[-1]:
        place.set_xlabel("rank $n$")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    return figure


def arithmetic(spectra: Spectra, windows: Sequence[tuple[int, int]], end: int) -> Figure:
    """Estimators of one spectrum: as they are, and, a column per window, each over the line fitted to it there.

    end: a rank to mark, up to which a power law is claimed. The grey band is a factor 2 around the line.
    """
    figure, axes = plt.subplots(1, 1 + len(windows), figsize=(WIDTH, 3.6), width_ratios=[1.2] + [1] * len(windows))
    for number, (name, spectrum) in enumerate(spectra.items()):
        style = plots.line(name, number) | {"linewidth": 3.2 - 0.7 * number}  # lines that coincide should all show
        draw(axes[0], spectrum, **style)
        for place, window in zip(axes[1:], windows, strict=True):
            values = np.real(spectrum)
            n = np.arange(1, powerlaw.positive(values) + 1)
            place.loglog(n, values[: len(n)] / powerlaw.fit(values, window).line(n), **style)
    axes[0].set(title=r"$\lambda_n / \lambda_1$", xlabel="rank $n$", ylim=(1e-14, 2))
    for place, window in zip(axes[1:], windows, strict=True):
        place.axhspan(0.5, 2, color=GREY, alpha=0.2, linewidth=0)
        place.set(title=f"over the line at {window[0]}–{window[1]}", xlabel="rank $n$", xlim=(5, 2500), ylim=(0.05, 5))
    for place in axes:
        place.axvline(end, color=GREY, linestyle=":", linewidth=1)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def local_exponents(
    panels: Mapping[str, Mapping[str, Sequence[np.ndarray]]], ratio: float = 1.5, limit: float = 6
) -> Figure:
    """Exponent in a sliding window of ranks n / ratio to n * ratio; a power law would be a horizontal line.

    panels: by title and name, a spectrum for each training seed. A line is the mean over seeds, at the ranks that all
    of them have; its band goes from the smallest to the largest.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.2), sharey=True, squeeze=False)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for place, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for name, spectra in lines.items():
            found = [powerlaw.local_exponent(np.real(spectrum), ratio) for spectrum in spectra]
            longest = max((n for n, _ in found), key=len)
            plots.over_seeds(place, [alpha for _, alpha in found], longest, **plots.line(name, names.index(name)))
        place.set_xscale("log")
        place.set(title=title, xlabel="rank $n$", ylim=(0, limit))
        place.set_xticks([k for k in (3, 10, 30, 100, 300, 1000) if k < place.get_xlim()[1]])
        place.xaxis.set_major_formatter("{x:g}")
        place.xaxis.set_minor_formatter("")
    axes[0, 0].set_ylabel(r"local exponent")
    _shared_legend(figure, list(axes[0]))
    return figure


def window_maps(spectra: Spectra, first: np.ndarray, last: np.ndarray, marks: Sequence[tuple[int, int]] = ()) -> Figure:
    """The fitted exponent for every window, a panel per spectrum on one colour scale; marks: windows to circle."""
    maps = {name: powerlaw.window_map(spectrum, first, last) for name, spectrum in spectra.items()}
    figure, axes = plt.subplots(1, len(maps), figsize=(WIDTH, 2.9), sharey=True, squeeze=False)
    low, high = (bound([bound(alpha) for alpha in maps.values()]) for bound in (np.nanmin, np.nanmax))
    for place, (name, alpha) in zip(axes[0], maps.items(), strict=True):
        mesh = place.pcolormesh(first, last, alpha.T, vmin=low, vmax=high, cmap="cividis", shading="nearest")
        lines = place.contour(first, last, alpha.T, levels=8, colors="white", linewidths=0.7)
        place.clabel(lines, fontsize=7)
        for a, b in marks:
            place.plot(a, b, "o", markersize=7, fillstyle="none", color="#ffffff", markeredgewidth=1.6)
        place.set(title=name, xlabel="first rank")
        place.grid(visible=False)
    axes[0, 0].set_ylabel("last rank")
    figure.colorbar(mesh, ax=list(axes[0]), label=r"$\alpha$")
    return figure


def _shared_legend(figure: Figure, axes: Sequence[Axes]) -> None:
    handles, labels = plots.once(*axes)
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 4), fontsize=8)


def variance_histogram(
    variances: np.ndarray, cutoffs: Mapping[str, float], reference: np.ndarray | None = None, width: float = 6e-5
) -> Figure:
    """Units per bin of the variance of their synapses, and cutoffs by name; reference: counts of another layer."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    edges = np.arange(0, 3e-3 + width / 2, width)
    axes.hist(variances, list(edges), color=plots.look("kh").colour, alpha=0.55, label="this layer")
    if reference is not None:
        axes.stairs(reference, edges[: len(reference) + 1], color=INK, linewidth=1.2, label="authors' layer")
    for (name, cutoff), (color, dash) in zip(
        cutoffs.items(), ((WINE, "-"), (OLIVE, "--"), (TEAL, ":"), (VIOLET, "-.")), strict=False
    ):
        if np.isfinite(cutoff):
            axes.axvline(cutoff, color=color, linestyle=dash, label=name)
    beyond = int((variances > edges[-1]).sum())
    if beyond:
        axes.annotate(
            f"{beyond} units beyond →", (0.995, 0.05), xycoords="axes fraction", ha="right", fontsize=8, color=GREY
        )
    axes.set(xlabel="variance of a unit's synapses", ylabel="units", xlim=(0, edges[-1]))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def mixtures(
    log_variances: np.ndarray, fitted: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray, float]]
) -> Figure:
    """Histogram of log variances with a fitted mixture per panel: (means, deviations, weights, cutoff variance)."""
    figure, axes = plt.subplots(1, len(fitted), figsize=(WIDTH, 2.9), sharey=True, squeeze=False)
    low, high = np.quantile(log_variances, 0.002) - 0.8, np.quantile(log_variances, 0.99) + 0.8
    beyond = int((log_variances > high).sum())
    edges = np.linspace(low, high, 80)
    grid = np.linspace(low, high, 800)
    for place, (name, (means, deviations, weights, cutoff)) in zip(axes[0], fitted.items(), strict=True):
        place.hist(log_variances, list(edges), density=True, color=plots.look("kh").colour, alpha=0.35)
        density = [
            w * np.exp(-((grid - m) ** 2) / (2 * s**2)) / (s * np.sqrt(2 * np.pi))
            for m, s, w in zip(means, deviations, weights, strict=True)
            if s > 0
        ]
        for component in density:
            place.plot(grid, component, color=GREY, linewidth=1)
        if density:
            place.plot(grid, np.sum(density, 0), color=INK, linewidth=1.2)
        if np.isfinite(cutoff):
            place.axvline(np.log(cutoff), color=WINE)
        place.set(title=name, xlabel="ln variance", xlim=(low, high))
        place.locator_params(axis="x", nbins=5)
        if beyond:
            place.annotate(
                f"{beyond} units →", (0.98, 0.92), xycoords="axes fraction", ha="right", fontsize=8, color=GREY
            )
    axes[0, 0].set_ylabel("density of units")
    return figure


def pruned_spectra(panels: Mapping[str, Spectra]) -> Figure:
    """Spectra in absolute units, raw dotted and pruned solid, as in the paper's figure on pruning."""
    figure, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.2), squeeze=False)
    styles = ((INK, ":"), (VIOLET, "-"), (WINE, "--"), (TEAL, "-."))
    for place, (title, lines) in zip(axes[0], panels.items(), strict=True):
        for (name, spectrum), (color, dash) in zip(lines.items(), styles, strict=False):
            place.loglog(np.arange(1, len(spectrum) + 1), spectrum, color=color, linestyle=dash, label=name)
        place.set(title=title, xlabel="rank $n$")
    axes[0, 0].set_ylabel(r"$\lambda_n$")
    _shared_legend(figure, list(axes[0]))
    return figure


def norm_and_variance(variances: np.ndarray, norms: np.ndarray, wins: np.ndarray, threshold: float) -> Figure:
    """Each unit as a point: how far its norm is from 1 against its variance; filled where it wins some image."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.0))
    off = np.maximum(np.abs(norms - 1), 1e-7)
    for won, style in (
        (True, {"color": TEAL, "marker": ".", "label": "wins images"}),
        (False, {"color": WINE, "marker": "x", "label": "wins none"}),
    ):
        chosen = (wins > 0) == won
        if chosen.any():
            axes.loglog(variances[chosen], off[chosen], linestyle="none", markersize=3.5, alpha=0.75, **style)
    axes.axvline(threshold, color=GREY, linestyle=":")
    axes.axhline(0.01, color=GREY, linestyle=":")
    axes.set(xlabel="variance of a unit's synapses", ylabel=r"$|\,\|w\|_3 - 1\,|$")
    axes.legend(fontsize=8)
    return figure


def filter_rows(groups: Mapping[str, np.ndarray], shape: tuple[int, int, int]) -> Figure:
    """Rows of synapses as pictures: groups of (N, D) bytes, 128 is zero."""
    figure, axes = plt.subplots(len(groups), 1, figsize=(WIDTH, 0.25 + 0.75 * len(groups)), squeeze=False)
    for place, (name, rows) in zip(axes[:, 0], groups.items(), strict=True):
        show(place, tile(rows.reshape(-1, *shape) / 255, columns=len(rows)))
        place.set_title(name, fontsize=9, loc="left")
    return figure
