"""The page of the book on cost: its tables are written by the benchmarks and never by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAGE = Path("book/cost.md")


def paged(text: str, name: str, content: str) -> str:
    """The page with the part of one benchmark replaced; ``ValueError`` if it has no place for it."""
    start, end = f"<!-- measured: {name} -->\n", f"<!-- end of {name} -->"
    if start not in text or end not in text:
        raise ValueError(f"{PAGE} has no part {name!r}; put {start.strip()} and {end} where it belongs")
    before, rest = text.split(start)
    return f"{before}{start}\n{content}\n{end}{rest.split(end)[1]}"


def write(name: str, content: str) -> None:
    """Write one benchmark's part into the page."""
    PAGE.write_text(paged(PAGE.read_text(), name, content))


def conditions(found: Mapping[str, Any]) -> str:
    """Where something was measured, for the line below a table."""
    about = found["environment"]
    how = f"{about['threads']} thread, {about['machine']} with {about['vector_instructions']}"
    return f"{how}, torch {str(about['torch']).split('+')[0]}, large products by `{about['products']}`"
