"""What the roles of the book refer to: titles, numbers of figures, tables and equations, citations, glued values.

Beside the standard library it needs PyYAML and pybtex, as the build of the wheel does.
"""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pybtex.database import parse_file
from pybtex.richtext import Text

GLUED = "application/papermill.record/text/plain"
LABEL = re.compile(r"(?m)^\(([\w-]+)\)=\n+#+ +(.*)$")
DIRECTIVE = re.compile(r"(?ms)^(`{3,}|:{3,})\{([\w-]+)\} ?([^\n]*)\n(.*?)^\1 *$")
EQUATION = re.compile(r"(?ms)^\$\$ *\n(.*?)^\$\$ *\(([\w-]+)\) *$")
OPTION = re.compile(r"(?m)\A((?::[\w-]+:.*\n)*)")


@dataclass(frozen=True)
class Place:
    """Where a label stands: what its kind is called, its title or number, the page, and the label itself."""

    kind: str
    text: str
    page: str


@dataclass
class Names:
    """Places by label, and citations by key as (authors, year, address)."""

    places: dict[str, Place] = field(default_factory=dict)
    citations: dict[str, tuple[str, str, str]] = field(default_factory=dict)


def options(body: str) -> tuple[dict[str, str], str]:
    """The options at the head of a directive's body, and the rest."""
    head = OPTION.match(body)
    lines = head[1] if head else ""
    found = {name: value.strip() for name, value in re.findall(r"(?m)^:([\w-]+):(.*)$", lines)}
    return found, body[len(lines) :]


def chapters(root: Path) -> dict[str, str]:
    """Names of the book's chapters that are notebooks, in order, with their numbers; the front page has none."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))
    listed = [(toc["root"], "")]
    number = 0
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            number += bool(part.get("numbered"))
            listed.append((chapter["file"], str(number) if part.get("numbered") else ""))
    return {Path(file).name: number for file, number in listed if (root / f"{file}.ipynb").is_file()}


def collect(root: Path) -> Names:
    """Read all chapters and pages of ``root/book``; ``ValueError`` if a label or a glued name stands twice."""
    names = Names(citations=_citations(root / "book" / "references.bib"))
    numbers = chapters(root)
    for file in sorted((root / "book").glob("*.md")):
        text = file.read_text(encoding="utf-8")
        _add(names, {found[1]: Place("title", found[2], file.stem) for found in LABEL.finditer(text)})
    for page, number in numbers.items():
        notebook = json.loads((root / "book" / f"{page}.ipynb").read_text(encoding="utf-8"))
        _add(names, _places(notebook, page, number))
    return names


def _add(names: Names, found: dict[str, Place]) -> None:
    twice = sorted(names.places.keys() & found.keys())
    if twice:
        raise ValueError(f"label {twice[0]!r} stands on pages {names.places[twice[0]].page} and {found[twice[0]].page}")
    names.places |= found


def _places(notebook: Any, page: str, chapter: str) -> dict[str, Place]:
    """The labels of a notebook; figures, tables and equations are numbered as the rendered book numbers them."""
    found, counts = dict[str, Place](), dict[str, int]()

    def count(kind: str, label: str, word: str) -> None:
        counts[kind] = counts.get(kind, 0) + 1
        number = f"{chapter}.{counts[kind]}" if chapter else str(counts[kind])
        found[label] = Place(kind, f"{word}{number}", page)

    for cell in notebook["cells"]:
        text = source(cell)
        if cell["cell_type"] == "code":
            name = cell["metadata"].get("mystnb", {}).get("figure", {}).get("name")
            if name:
                is_table = name.startswith("tab-")  # as tools.sphinx_pages has it
                count("table" if is_table else "figure", name, "Table " if is_table else "Fig. ")
            continue
        found |= {label[1]: Place("title", label[2], page) for label in LABEL.finditer(text)}
        for equation in EQUATION.finditer(text):
            count("equation", equation[2], "")
        for _, kind, _, body in DIRECTIVE.findall(text):
            given = options(body)[0]
            if kind in ("table", "list-table") and "name" in given:
                count("table", given["name"], "Table ")
            if kind == "exercise" and "label" in given:
                count("exercise", given["label"], "Exercise ")
    return found


def source(cell: Any) -> str:
    """The text of a cell, which may be stored as lines."""
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def glued(notebook: Any) -> dict[str, str]:
    """Values that the cells of a notebook glued, by name, as they stand in prose."""
    found = {}
    for output in (output for cell in notebook["cells"] for output in cell.get("outputs", [])):
        if GLUED in output.get("data", {}):
            text = output["data"][GLUED]
            value = text if isinstance(text, str) else "".join(text)
            shown = str(ast.literal_eval(value)) if value[:1] in "'\"" else value
            found[output["metadata"]["scrapbook"]["name"]] = shown
    return found


def _citations(path: Path) -> dict[str, tuple[str, str, str]]:
    found = {}
    for key, entry in parse_file(str(path)).entries.items():
        surnames = [" ".join(person.prelast_names + person.last_names) for person in entry.persons["author"]]
        people = [str(Text.from_latex(name)) for name in surnames]
        who = f"{people[0]} et al." if len(people) > 2 else " and ".join(people)
        arxiv = re.search(r"arXiv:(\d{4}\.\d{4,5})", entry.fields.get("journal", "") + entry.fields.get("note", ""))
        doi, url = entry.fields.get("doi"), entry.fields.get("url", "")
        address = f"https://doi.org/{doi}" if doi else url or (f"https://arxiv.org/abs/{arxiv[1]}" if arxiv else "")
        found[key] = (who, entry.fields.get("year", ""), address)
    return found
