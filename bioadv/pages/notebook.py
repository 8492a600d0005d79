"""What chapters need and nothing else does: a style, the images of the live cells, and checks that hold anywhere."""

from __future__ import annotations

import html
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from bioadv.data import datasets
from bioadv.pages import plots

DATA_VARIABLE = "BIOADV_DATA"


def begin(tests: int = 2) -> datasets.Dataset:
    """Set the figure style and return the images of the live cells.

    These are the photo patches, or what the environment variable ``BIOADV_DATA`` names: ``cifar10``, ``mnist``, an
    ``.npz`` file or a folder of images. tests: how many test images the chapter's live cells need. Raises
    ``ValueError`` if there are fewer, or if the variable is set and empty, and what ``load`` raises.
    """
    plots.use_style()
    torch.set_grad_enabled(True)
    name = os.environ.get(DATA_VARIABLE, "photo-patches")
    if not name.strip():
        raise ValueError(f"{DATA_VARIABLE} is set but empty; unset it for the photo patches, or name other images")
    data = datasets.load(name)
    if len(data.test) < tests:
        raise ValueError(
            f"{DATA_VARIABLE} = {data.name} has {len(data.test)} test images; the live cells of this chapter need at "
            f"least {tests}: add images, or unset {DATA_VARIABLE} to see the photo patches"
        )
    return data


def check(name: str, value: float, low: float = -math.inf, high: float = math.inf) -> None:
    """Pass if low <= value <= high, and print the band, never the value: the output is the same on every machine.

    Raises ``AssertionError`` with the value otherwise (a NaN is never inside).
    """
    band = (
        f"at least {low:g}" if high == math.inf else f"at most {high:g}" if low == -math.inf else f"{low:g} to {high:g}"
    )
    if not low <= value <= high:
        raise AssertionError(f"{name} is {value:g}, expected {band}")
    print(f"✓ {name}: {band}")


def observe(data: datasets.Dataset, name: str, value: float, low: float = -math.inf, high: float = math.inf) -> None:
    """Like :func:`check` for what the chapter says of the photo patches; on other images the value is only shown."""
    if data.name == "photo-patches":
        check(name, value, low, high)
    else:
        print(f"on {data.name}, {name} is {value:.3g}; on the photo patches it is {low:g} to {high:g}")


class Html(str):
    """Text that is HTML: a :class:`Table` shows it as it is. All other text stands for itself and is escaped."""

    __slots__ = ()


def escaped(cell: Any) -> str:
    """A cell as HTML: markup of :class:`Html` stays, everything else is shown letter by letter."""
    return str(cell) if isinstance(cell, Html) else html.escape(str(cell), quote=False)


class Table:
    """Rows of text as an HTML table that follows the page's theme, and as plain text; see :class:`Html`."""

    def __init__(self, header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> None:
        table = (header, *rows)
        self.header, *self.rows = ([cell if isinstance(cell, Html) else str(cell) for cell in row] for row in table)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escaped(cell)}</th>" for cell in self.header)
        # The number of seeds that spread() appends is small and does not break.
        seeds = re.compile(r" \((\d+ seeds?)\)")
        rows = [[seeds.sub(r" <small>\1</small>", escaped(cell)) for cell in row] for row in self.rows]
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        return f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        table = [self.header, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(self.header))]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
        return "\n".join(line.rstrip() for line in lines)


def glue_all(values: Mapping[str, Any]) -> None:
    """Make values available to the prose under their names, without showing them here.

    Where ``myst_nb`` is not installed nothing happens: prose that was written for readers has its numbers already.
    """
    try:
        from myst_nb import glue  # only the build of the book needs it
    except ModuleNotFoundError:
        return

    for name, value in values.items():
        glue(name, value, display=False)


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Mean and standard deviation over seeds as text, with the number of seeds; a dash if there are none."""
    if not len(values):
        return "–"
    seeds = f"({len(values)} seed{'s' if len(values) > 1 else ''})"
    mean = f"{np.mean(values):.{digits}f}"
    return f"{mean} {seeds}" if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f} {seeds}"
