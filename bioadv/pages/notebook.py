"""What chapters need and nothing else does: a style, the images of the live cells, and checks that hold anywhere."""

from __future__ import annotations

import html
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bioadv.data import datasets
from bioadv.lab import scales
from bioadv.pages import plots, wording

DATA_VARIABLE = "BIOADV_DATA"
STORED_VARIABLE = "BIOADV_STORED"
MOST_INPUTS = 3 * 64 * 64  # values in an image of the live cells, which also make its covariance matrix
NUMERIC = re.compile(r"[(−+-]?(?:\d|10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]|–$)")


def begin(tests: int = 2) -> datasets.Dataset:
    """Set the figure style and return the images of the live cells.

    These are the photo patches, or what the environment variable ``BIOADV_DATA`` names: ``cifar10``, ``mnist``, an
    ``.npz`` file or a folder of images. tests: how many test images the chapter's live cells need. Raises
    ``ValueError`` if there are fewer, if images have more than ``MOST_INPUTS`` values, or if the variable is set and
    empty, and what ``load`` raises.
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
    if data.test.inputs > MOST_INPUTS:
        height, width, channels = data.test.shape
        raise ValueError(
            f"{DATA_VARIABLE} = {data.name} has images of {width} x {height} x {channels} values; live cells take at "
            f"most {MOST_INPUTS} (64 x 64 in colour, 110 x 110 in grey): resize them"
        )
    return data


def check(name: str, value: float, low: float = -math.inf, high: float = math.inf) -> None:
    """Pass if low <= value <= high, and print the value beside its band.

    Where the environment variable ``BIOADV_STORED`` is set, as it is when outputs are stored or compared, the value is
    left out: the output is then the same on every machine. Raises ``AssertionError`` otherwise (a NaN is never inside).
    """
    value, words = float(value), wording.band(low, high)  # one number, whether it is shown or not
    if not low <= value <= high:
        raise AssertionError(f"{name} is {value:g}, expected {words}")
    shown = "" if os.environ.get(STORED_VARIABLE) else f"{wording.number(value)}, expected "
    print(f"✓ {name}: {shown}{words}")


def observe(data: datasets.Dataset, name: str, value: float, low: float = -math.inf, high: float = math.inf) -> None:
    """Like :func:`check` for what the chapter says of the photo patches.

    On other images, and after trainings that ``BIOADV_EFFORT`` has shortened, the value is only shown.
    """
    shortened = f" with {scales.EFFORT_VARIABLE}={scales.effort():g}" if scales.effort() < 1 else ""
    if data.name == "photo-patches" and not shortened:
        check(name, value, low, high)
    else:
        words = wording.band(low, high)
        print(
            f"on {data.name}{shortened}, {name} is {wording.number(float(value))}; on the photo patches it is {words}"
        )


class Html(str):
    """Text that is HTML: a :class:`Table` shows it as it is. All other text stands for itself and is escaped."""

    __slots__ = ()


def escaped(cell: Any) -> str:
    """A cell as HTML: markup of :class:`Html` stays, everything else is shown letter by letter."""
    return str(cell) if isinstance(cell, Html) else html.escape(str(cell), quote=False)


class Table:
    """Rows of text as an HTML table that follows the page's theme, and as plain text; see :class:`Html`.

    A column in which no row has anything but a dash is left out. Columns of numbers are aligned to the right. Every
    cell knows its column's head, so that a phone can show a row as a card.
    """

    def __init__(self, header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> None:
        table = [[cell if isinstance(cell, Html) else str(cell) for cell in row] for row in (header, *rows)]
        kept = [i for i in range(len(header)) if not rows or any(row[i] != wording.NOTHING for row in table[1:])]
        self.header, *self.rows = ([row[i] for i in kept] for row in table)

    def _numeric(self, column: int) -> bool:
        """Whether most cells of a column are numbers; tags do not count."""
        texts = [re.sub(r"<[^>]*>", "", row[column]).strip() for row in self.rows]
        return column > 0 and sum(bool(NUMERIC.match(text)) for text in texts) > len(texts) / 2

    def _repr_html_(self) -> str:
        kinds = [' class="number"' * self._numeric(i) for i in range(len(self.header))]
        labels = [html.escape(re.sub(r"<[^>]*>", " ", head), quote=True) for head in self.header]
        pairs = zip(kinds, self.header, strict=True)
        head = "".join(f'<th scope="col"{kind}>{escaped(cell)}</th>' for kind, cell in pairs)
        body = ""
        for row in self.rows:
            cells = zip(kinds, labels, row, strict=True)
            shown = [f'<td{kind} data-label="{label}">{escaped(cell)}</td>' for kind, label, cell in cells]
            body += f"<tr>{''.join(shown)}</tr>"
        return f'<table class="table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'

    def __repr__(self) -> str:
        table = [self.header, *self.rows]
        widths = [max(len(row[i]) for row in table) for i in range(len(self.header))]
        lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
        return "\n".join(line.rstrip() for line in lines)


class Unbroken(str):
    """A text whose repr, which prose shows, has its no-break spaces and not their code."""

    def __repr__(self) -> str:
        """As of a text, in quotes."""
        return super().__repr__().replace("\\xa0", "\N{NO-BREAK SPACE}")


def glue_all(values: Mapping[str, Any]) -> None:
    """Make values available to the prose under their names, without showing them here.

    Where ``myst_nb`` is not installed nothing happens: prose that was written for readers has its numbers already.
    """
    try:
        from myst_nb import glue  # only the build of the book needs it
    except ModuleNotFoundError:
        return

    for name, value in values.items():
        glue(name, Unbroken(value) if isinstance(value, str) else value, display=False)


def spread(values: Sequence[float], digits: int = 3) -> str:
    """What several training seeds gave, as text; see :func:`bioadv.pages.wording.of_seeds`.

    digits: of one or two values, after the point; a mean has as many as its standard deviation allows.
    """
    return wording.of_seeds(values, places=digits)
