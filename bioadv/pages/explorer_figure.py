"""The figure that stands on the explorer's page while nothing moves: no script, or a file missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from bioadv.data.files import atomic
from bioadv.lab import study
from bioadv.lab.looks import DARK_INK, INK
from bioadv.measure import powerlaw
from bioadv.pages.explorer_data import FOLDER, QUANTILES, unpack
from bioadv.pages.plots import WIDTH

THEMES = {"light": INK, "dark": DARK_INK}  # of lines and letters; the ground is the page's


def write(results: Mapping[str, Any], folder: Path = FOLDER) -> list[Path]:
    """Draw both panels from the explorer's own data, once for each theme, and write them as SVG files."""
    return [_write(results, folder / f"static-{theme}.svg", ink) for theme, ink in THEMES.items()]


def _write(results: Mapping[str, Any], path: Path, ink: str) -> Path:
    edges = ("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color")
    style: Any = {**dict.fromkeys(edges, ink), "svg.hashsalt": path.stem, "font.size": 10, "legend.frameon": False}
    with plt.rc_context(style):
        figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.2), layout="constrained")
        for name, spectrum in _first(results["spectra"], [*study.members("few"), study.PIXELS]):
            values = np.exp(unpack(spectrum["images_before"]))
            about = results["models"][name]
            line = powerlaw.fit(values, powerlaw.IMAGES, truncate=True)
            ranks = np.arange(1, len(values) + 1)
            left.plot(ranks, values / values[0], color=_ink(about["colour"], ink), label=about["title"])
            ends = np.array([line.first, line.last])
            left.plot(ends, line.line(ends) / values[0], color=ink, linewidth=1)
        left.set(xscale="log", yscale="log", ylim=(1e-10, 2), xlabel="rank", ylabel="eigenvalue / the largest")
        for name, entry in _first(results["norms"], study.members("live")):
            found, about = entry["attacks"]["PGD"], results["models"][name]
            share = QUANTILES * (1 - found["without"] / found["images"])
            right.plot(np.exp(unpack(found)), share, color=_ink(about["colour"], ink), label=about["title"])
        right.set(xscale="log", xlim=(3e-3, 1), xlabel="size of the perturbation, L2", ylabel="share of images fooled")
        for axes in (left, right):
            axes.legend(fontsize=8)
            axes.spines[["top", "right"]].set_visible(False)
        with atomic(path) as temporary:
            figure.savefig(temporary, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return path


def _first(entries: list[dict[str, Any]], names: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """The entry of the lowest seed of each model that there is."""
    return [(name, found[0]) for name in names if (found := [one for one in entries if one["model"] == name])]


def _ink(colour: str, ink: str) -> str:
    return ink if colour == INK else colour
