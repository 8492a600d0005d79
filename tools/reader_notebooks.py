"""Notebooks for readers: what a chapter says, in plain Markdown that Jupyter, Colab and every editor show as it is.

``python -m tools.reader_notebooks FOLDER``   write the notebooks of all chapters, and a zip of them all, into FOLDER

Roles and glued numbers are resolved, captions stand below their figures, exercises keep their solutions folded, code
that the book hides is folded, and a first cell installs the package where it is missing. Stored outputs are kept.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools import edition, myst_names
from tools.edition import ROOT, Edition
from tools.myst_names import DIRECTIVE, EQUATION, LABEL, Names, options

Cell = dict[str, Any]
ZIP = "bioadv-notebooks.zip"
FOLDED = "jp-MarkdownHeadingCollapsed"
GLOSSARY = "notation.html"  # the page of terms
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
SETUP = """\
# Where the book's package is missing, as on Colab, this installs the edition that the notebook belongs to.
import importlib.util

if importlib.util.find_spec("bioadv") is None:
    %pip install -q "{requirement}"
"""


class Writer:
    """Turns one chapter into a notebook for readers."""

    def __init__(self, page: str, notebook: Any, names: Names, about: Edition) -> None:
        self.page, self.names, self.about = page, names, about
        self.notebook, self.glued = notebook, myst_names.glued(notebook)
        self.folded = False  # between solution-start and solution-end

    def write(self) -> Any:
        """The notebook; ``ValueError`` names the page and the markup that it does not know."""
        cells = [self._head(), self._setup()]
        for cell in self.notebook["cells"]:
            cells += self._code(cell) if cell["cell_type"] == "code" else self._prose(myst_names.source(cell))
        for number, cell in enumerate(cells):
            digest = hashlib.sha256(cell["source"].encode()).hexdigest()[:10]
            cell["id"] = f"{digest}-{number}"
        # JupyterLab and Colab each have a way of their own to fold the section of a heading.
        folds = [cell for cell in cells if cell["metadata"].get(FOLDED)]
        for cell in folds:
            cell["metadata"]["id"] = cell["id"]
        colab = {"collapsed_sections": [cell["id"] for cell in folds], "provenance": [], "toc_visible": True}
        metadata = {**self.notebook["metadata"], "colab": colab}
        return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}

    def _head(self) -> Cell:
        page = f"book/{self.page}.html"
        where = f"[its page]({self.about.pages}{page})" if self.about.pages else "its page"
        text = (
            f"*Made from a chapter of the book, edition {self.about.version}; {where} has the links between chapters."
        )
        return _markdown(f"{text} Change anything: this copy is yours.*")

    def _setup(self) -> Cell:
        return {
            "cell_type": "code",
            "execution_count": None,
            "metadata": {"tags": ["setup"]},
            "outputs": [],
            "source": SETUP.format(requirement=self.about.requirement).rstrip(),
        }

    # Code

    def _code(self, cell: Cell) -> list[Cell]:
        metadata = {name: value for name, value in cell["metadata"].items() if name == "tags"}
        if self.folded or "hide-input" in metadata.get("tags", ()):
            metadata |= {"cellView": "form", "jupyter": {"source_hidden": True}}
        outputs = [output for output in cell["outputs"] if myst_names.GLUED not in output.get("data", {})]
        new = {**cell, "metadata": metadata, "outputs": outputs, "source": myst_names.source(cell)}
        figure = cell["metadata"].get("mystnb", {}).get("figure")
        if not figure:
            return [new]
        number = self.names.places[figure["name"]].text
        return [new, _markdown(f"**{number}.** {self._inline(figure['caption'])}")]

    # Prose

    def _prose(self, text: str) -> list[Cell]:
        text = LABEL.sub(lambda label: label[0].partition("=\n")[2].lstrip("\n"), text)
        text = EQUATION.sub(self._equation, text)
        parts, last = list[str](), 0
        for block in DIRECTIVE.finditer(text):
            parts += [self._inline(text[last : block.start()]), self._directive(block)]
            last = block.end()
        parts.append(self._inline(text[last:]))
        # What unfolds is a heading's section, and a heading has to begin a cell.
        pieces = [piece.strip() for piece in "".join(parts).split("\f")]
        return [_markdown(piece) for piece in pieces if piece]

    def _equation(self, found: re.Match[str]) -> str:
        return f"$$\n{found[1].rstrip()}\n\\tag{{{self.names.places[found[2]].text}}}\n$$"

    def _directive(self, block: re.Match[str]) -> str:
        kind, title, (given, body) = block[2], block[3].strip(), options(block[4])
        known: dict[str, Callable[[], str]] = {
            "admonition": lambda: _quoted(f"**{self._inline(title)}**\n\n{self._inline(body.strip())}"),
            "exercise": lambda: f"\f#### {self.names.places[given['label']].text}\n\n{self._inline(body.strip())}\n",
            "list-table": lambda: self._captioned(given, title, _rows(body)),
            "solution": lambda: _details(self._inline(body.strip())),
            "solution-end": self._unfold,
            "solution-start": lambda: self._fold(title),
            "table": lambda: self._captioned(given, title, body.strip()),
        }
        if kind not in known:
            raise ValueError(f"{self.page}: directive {kind!r} has no plain form; add one to tools/reader_notebooks.py")
        return known[kind]()

    def _captioned(self, given: dict[str, str], title: str, table: str) -> str:
        number = f"{self.names.places[given['name']].text}. " if "name" in given else ""
        return f"**{number}**{self._inline(title)}\n\n{self._inline(table)}\n"

    def _fold(self, label: str) -> str:
        self.folded = True
        return f"\f##### Solution of {self.names.places[label].text.lower()}\n\f"

    def _unfold(self) -> str:
        self.folded = False
        return "\f"

    def _inline(self, text: str) -> str:
        text = ROLE.sub(self._role, text)
        text = re.sub(r'<a href="([^"]+)">(.*?)</a>', lambda a: self._link(html.unescape(a[1]), a[2]), text)
        return re.sub(r"(?<!!)\[([^]]+)\]\(([\w-]+)\.(?:md|html)\)", lambda a: self._link(f"{a[2]}.html", a[1]), text)

    def _link(self, target: str, words: str) -> str:
        if re.match(r"[a-z]+:", target):
            return f"[{words}]({target})"
        return f"[{words}]({self.about.pages}book/{target})" if self.about.pages else words

    def _role(self, role: re.Match[str]) -> str:
        kind, target = role[1], role[2]
        if kind == "glue:text":
            return self._looked_up(self.glued, target.partition(":")[0], kind)
        if kind in ("ref", "numref", "eq"):
            return self._place(self._looked_up(self.names.places, target, kind), target)
        if kind in ("cite", "cite:p", "cite:t"):
            found = [self._looked_up(self.names.citations, key.strip(), kind) for key in target.split(",")]
            return self._cited(found, kind == "cite:t")
        if kind in ("func", "class", "mod"):
            return f"`{target.lstrip('~')}`"
        if kind == "term":
            words, _, term = target.removesuffix(">").rpartition(" <")
            return self._link(f"{GLOSSARY}#term-{re.sub('[^A-Za-z0-9]+', '-', term)}", words or term)
        raise ValueError(f"{self.page}: role {kind!r} has no plain form; add one to tools/reader_notebooks.py")

    def _looked_up(self, known: dict[str, Any], name: str, kind: str) -> Any:
        if name not in known:
            raise ValueError(f"{self.page}: {{{kind}}}`{name}` refers to nothing; run the chapter, or correct the name")
        return known[name]

    def _place(self, place: myst_names.Place, label: str) -> str:
        text = f"({place.text})" if place.kind == "equation" else place.text
        if place.page == self.page:
            return text
        anchor = f"equation-{label}" if place.kind == "equation" else label
        return self._link(f"{place.page}.html#{anchor}", text)

    @staticmethod
    def _cited(found: list[tuple[str, str, str]], in_text: bool) -> str:
        def linked(text: str, address: str) -> str:
            return f"[{text}]({address})" if address else text

        if in_text:
            return "; ".join(linked(f"{who} ({year})", address) for who, year, address in found)
        return f"({'; '.join(linked(f'{who} {year}', address) for who, year, address in found)})"


def _markdown(text: str) -> Cell:
    metadata: dict[str, Any] = {FOLDED: True} if text.startswith("##### Solution") else {}
    return {"cell_type": "markdown", "metadata": metadata, "source": text}


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _details(text: str) -> str:
    return f"<details><summary><b>Solution</b></summary>\n\n{text}\n\n</details>"


def _rows(body: str) -> str:
    """A list-table as a table of pipes; its first row is the head."""
    rows = [
        [" ".join(cell.split()) for cell in re.split(r"(?m)^(?:\* |  )- ", row)[1:]]
        for row in re.split(r"(?m)^(?=\* - )", body)[1:]
    ]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def leftovers(notebook: Any) -> list[str]:
    """Markup in the prose of a notebook for readers that would be shown raw."""
    prose = [myst_names.source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"]
    raw = r"\{[\w:-]+\}`|^(?:`{3,}|:{3,})\{[\w-]+\}.*|^\([\w-]+\)=|<a href=\"(?!http).*?>"
    return [found for text in prose for found in re.findall(rf"(?m){raw}", text)]


def generate(folder: Path, about: Edition | None = None, root: Path = ROOT) -> list[Path]:
    """Write the notebooks of all chapters into ``folder``; returns their paths, in the order of the book."""
    about, names, written = about or edition.current(), myst_names.collect(root), []
    folder.mkdir(parents=True, exist_ok=True)
    for page in myst_names.chapters(root):
        stored = json.loads((root / "book" / f"{page}.ipynb").read_text(encoding="utf-8"))
        notebook = Writer(page, stored, names, about).write()
        path = folder / f"{page}.ipynb"
        path.write_text(json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


def pack(notebooks: list[Path], to: Path) -> None:
    """Put notebooks into a zip, with fixed dates, so that equal notebooks give equal bytes."""
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in notebooks:
            archive.writestr(zipfile.ZipInfo(f"bioadv-notebooks/{path.name}"), path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    pack(generate(Path(sys.argv[1])), Path(sys.argv[1]) / ZIP)
