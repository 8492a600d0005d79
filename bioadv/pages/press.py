"""A figure as the book prints it: a drawing for light and one for dark paper, and the numbers and runs behind it.

Jupyter shows the PNG of a figure, as ever. Where the environment variable ``BIOADV_FIGURES`` names a folder, as it does
when chapters are executed for the book, three files are written there as well, named by the PNG's SHA-256:
``NAME.svg`` (vector graphics, its letters in ``INK``), ``NAME.csv`` (what is drawn, a row per point) and ``NAME.json``
(which stored files the chapter had read by then).
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.container import BarContainer
from matplotlib.figure import Figure

from bioadv.data.files import atomic, write_json
from bioadv.lab.looks import DARK_INK, INK
from bioadv.lab.runs import results

FOLDER_VARIABLE = "BIOADV_FIGURES"
MANY = 1500  # points of one scatter; more of them are pixels in the SVG too
ANONYMOUS = {"Date": None, "Creator": None, "Format": None, "Type": None}


def png(figure: Figure) -> bytes:
    """The figure on white, as Jupyter shows it."""
    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight", pad_inches=0.06, metadata={"Software": None})
    return out.getvalue()


def svg(figure: Figure) -> str:
    """The figure as vector graphics on no ground at all; pictures, maps and clouds of points stay pixels."""
    for axes in figure.axes:
        for line in axes.lines:
            if line.get_linestyle() in ("None", "none") and np.size(line.get_xdata()) > MANY:
                line.set_rasterized(True)
        for collection in axes.collections:
            if isinstance(collection, QuadMesh):
                collection.set_rasterized(True)
    out = io.StringIO()
    with plt.rc_context({"svg.fonttype": "path", "svg.hashsalt": "bioadv"}):
        figure.savefig(
            out, format="svg", bbox_inches="tight", pad_inches=0.06, transparent=True, metadata=ANONYMOUS, dpi=200
        )
    # A hundredth of a point is more than a screen shows.
    return re.sub(r' (?:d|x|y)="[^"]*"', lambda place: re.sub(r"(\.\d\d)\d+", r"\1", place[0]), out.getvalue())


def on_dark(drawing: str) -> str:
    """An SVG drawn in ``INK``, for dark paper."""
    return re.sub(INK, DARK_INK, drawing, flags=re.IGNORECASE)


def drawn(figure: Figure) -> str:
    """What the figure draws, as CSV with the columns panel, series, x, y; pictures and maps of colour are left out."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["panel", "series", "x", "y"])
    for number, axes in enumerate(figure.axes, 1):
        if axes.get_label() == "<colorbar>":
            continue
        panel = axes.get_title() or axes.get_title(loc="left") or axes.get_ylabel() or f"panel {number}"
        for series, x, y in _series(axes):
            writer.writerows([panel, series, _number(a), _number(b)] for a, b in zip(x, y, strict=True))
    return out.getvalue()


def _series(axes: Axes) -> Iterator[tuple[str, Any, Any]]:
    bars = [bar for bar in axes.containers if isinstance(bar, BarContainer)]
    for number, container in enumerate(bars, 1):
        name = str(container.get_label())
        ends = [bar.get_bbox() for bar in container.patches]
        sideways = container.orientation == "horizontal"
        middles = [(box.y0 + box.y1) / 2 if sideways else (box.x0 + box.x1) / 2 for box in ends]
        sizes = [box.width if sideways else box.height for box in ends]
        shown = f"bars {number}" if name.startswith("_") else name
        yield shown, *((sizes, middles) if sideways else (middles, sizes))
    for number, line in enumerate(axes.lines, 1):
        x, y = (np.ravel(values) for values in line.get_data(orig=False))
        name = str(line.get_label())
        if name.startswith("_") and len(x) == 2 and line.get_linestyle() not in ("None", "none"):
            continue  # a guide
        yield (line.get_gid() or f"line {number}") if name.startswith("_") else name, x, y
    for number, points in enumerate(axes.collections, 1):
        if isinstance(points, PathCollection):
            x, y = np.ma.filled(np.ma.asarray(points.get_offsets(), dtype=float), np.nan).T
            name = str(points.get_label())
            yield f"points {number}" if name.startswith("_") else name, x, y


def _number(value: Any) -> str:
    return f"{float(value):.6g}"


class Press:
    """Shows figures, and files them in ``folder`` for the book; remembers which stored results are opened meanwhile."""

    def __init__(self, folder: Path, results: Path) -> None:
        self.folder, self.results = folder, results.resolve()
        self.read: set[str] = set()

    def listen(self, event: str, arguments: tuple[Any, ...]) -> None:
        """An audit hook: note a stored file that is opened."""
        if event == "open" and isinstance(arguments[0], str) and arguments[0].endswith((".npz", ".json")):
            path = Path(arguments[0])
            if path.is_relative_to(self.results):
                self.read.add(path.relative_to(self.results).as_posix())

    def publish(self, figure: Figure) -> bytes:
        """The figure's PNG; its SVG, its numbers and the runs read so far are filed under the PNG's SHA-256."""
        picture = png(figure)
        name = hashlib.sha256(picture).hexdigest()
        for ending, text in ((".svg", svg(figure)), (".csv", drawn(figure))):
            with atomic(self.folder / f"{name}{ending}") as temporary:
                temporary.write_text(text)
        write_json(self.folder / f"{name}.json", {"read": sorted(self.read)})
        return picture


def install() -> None:
    """Make this session's notebook show figures by this module; outside of a notebook nothing happens."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:  # a plain install
        return
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel") or shell.display_formatter is None:
        return
    plt.switch_backend(plt.get_backend())  # when it is loaded, the inline backend sets its own way of showing figures
    show = png
    if folder := os.environ.get(FOLDER_VARIABLE):
        press = Press(Path(folder), results())
        Path(folder).mkdir(parents=True, exist_ok=True)
        sys.addaudithook(press.listen)
        show = press.publish
    shell.display_formatter.formatters["image/png"].for_type(Figure, show)
