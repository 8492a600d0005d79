"""Lay out what Jupyter Book reads, and check what it wrote.

``python -m tools.build_book stage``   gather pages, executed chapters and the status table in _build/stage
``python -m tools.build_book picture NAME FILE``  write a stored figure to a PNG file, for the README
``python -m tools.build_book verify``  assert that every expected page, figure and link target is in _build/html
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from sphinx_external_toc.parsing import parse_toc_yaml

from bioadv.data.files import atomic, read_json
from tools import edition, myst_names, page_links, reader_notebooks
from tools.notebooks import ROOT

BUILD = ROOT / "_build"
EXPLORER, VIEWS = "explorer.html", ("spectra", "playground", "landscape", "ledger")  # as in explorer/page/main.js
EXECUTED, STAGE, HTML = BUILD / "executed", BUILD / "stage", BUILD / "html"


def pages() -> list[str]:
    """All pages of the table of contents, in order, as paths without suffix."""
    return list(parse_toc_yaml(str(ROOT / "_toc.yml")))


def status_table() -> str:
    """When each chapter was executed, how long it took and on what, as a Markdown table."""
    rows = ["| chapter | seconds | Python | torch | numpy | instruction set |", "|---|---|---|---|---|---|"]
    for page in pages():
        record = EXECUTED / f"{Path(page).name}.json"
        if record.is_file():
            r = read_json(record)
            cells = (r["seconds"], r["python"], r["torch"], r["numpy"], f"{r['machine']}, {r['vector_instructions']}")
            rows.append(f"| {{doc}}`{r['chapter']}` | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows) + "\n"


def stage() -> None:
    """Gather in one clean folder everything the book is rendered from."""
    shutil.rmtree(STAGE, ignore_errors=True)
    shutil.copytree(
        ROOT / "book", STAGE / "book", ignore=shutil.ignore_patterns("*.ipynb", "*.py", ".*", "__pycache__")
    )
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, STAGE / name)
    for page in pages():
        if (ROOT / f"{page}.py").is_file():
            shutil.copy(EXECUTED / f"{Path(page).name}.ipynb", STAGE / f"{page}.ipynb")
    (STAGE / "book" / "status_table.md").write_text(status_table())
    downloads = STAGE / "book" / page_links.DOWNLOADS
    reader_notebooks.pack(reader_notebooks.generate(downloads, root=STAGE), downloads / reader_notebooks.ZIP)


class _Page(HTMLParser):
    """Collects what a rendered page refers to and defines."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.loaded: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note links, images, identifiers, and the scripts and style sheets of the book's own pages."""
        values = dict(attrs)
        self.ids.add(values.get("id") or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        if tag == "img":
            self.images.append(values)
        place = {"script": "src", "link": "href"}.get(tag)
        if place and "_static/explorer/" in (values.get(place) or ""):
            self.loaded.append(values[place] or "")


def _expected_figures(page: str) -> list[str]:
    """Names of the figures that a chapter's cells declare."""
    executed = EXECUTED / f"{Path(page).name}.ipynb"
    if not executed.is_file():
        return []
    cells = json.loads(executed.read_text())["cells"]
    figures = (cell["metadata"].get("mystnb", {}).get("figure", {}).get("name") for cell in cells)
    return [name for name in figures if name]


def picture(name: str, out: Path) -> None:
    """Write the figure ``name`` of a stored notebook to ``out``; ``ValueError`` if no chapter has it."""
    for notebook in sorted((ROOT / "book").glob("*.ipynb")):
        for cell in json.loads(notebook.read_text())["cells"]:
            if cell["metadata"].get("mystnb", {}).get("figure", {}).get("name") == name:
                (png,) = (o["data"]["image/png"] for o in cell["outputs"] if "image/png" in o.get("data", {}))
                with atomic(out) as temporary:
                    temporary.write_bytes(base64.b64decode(png))
                return
    raise ValueError(f"no stored chapter has a figure named {name!r}")


def verify(html: Path = HTML) -> list[str]:
    """Everything missing from the rendered book, one line each."""
    found, rendered = [], {}
    for name in pages():
        file = html / f"{name}.html"
        if file.is_file():
            rendered[file] = _Page(file.read_text())
        else:
            found.append(f"page {name} was not rendered")
            continue
        ids = rendered[file].ids
        found += [f"{name}: figure {figure} is missing" for figure in _expected_figures(name) if figure not in ids]
        text = file.read_text()
        found += [
            f"{name}: unresolved {what!r}" for what in re.findall(r"(?:\?\?\?|undefined label[^<]*|glue:\w+)", text)
        ]
    if not (html / "index.html").is_file():
        found.append("index.html is missing")
    found += _other_numbers(html) + _missing_links(html)
    for file, page in rendered.items():
        for image in page.images:
            source = image.get("src") or ""
            if not source.startswith(("http", "data:")) and not (file.parent / source).resolve().is_file():
                found.append(f"{file.name}: image {source} is missing")
            if "_images/" in source and not image.get("alt"):
                found.append(f"{file.name}: image {source} has no alternative text")
        found += [f"{file.name}: {source} is missing" for source in page.loaded if not (file.parent / source).is_file()]
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            path, _, fragment = link.partition("#")
            path = path.partition("?")[0]  # what follows is for the page
            target = (file.parent / path).resolve() if path else file
            if not target.exists():
                found.append(f"{file.name}: link {link} leads nowhere")
            elif target.name == EXPLORER and fragment.partition("?")[0] in VIEWS:
                continue  # the page makes its views itself
            elif fragment and target in rendered and fragment not in rendered[target].ids:
                found.append(f"{file.name}: link {link} names a missing place")
    return found


def _other_numbers(html: Path) -> list[str]:
    """Figures and tables whose number in the notebooks of readers is another than on the page."""
    found = []
    for label, place in myst_names.collect(ROOT).places.items() if html == HTML else ():
        page = html / "book" / f"{place.page}.html"
        if place.kind in ("figure", "table") and page.is_file():
            block = page.read_text().partition(f'id="{label}"')[2]
            number = re.search(r'class="caption-number">([^<]*)<', block)
            if not number or number[1].strip() != place.text:
                found.append(f"{page.name}: {label} is {number and number[1].strip()}, in the notebooks {place.text}")
    return found


def _missing_links(html: Path) -> list[str]:
    """Pages without what leads from them to the repository and to services, where those are known."""
    about, found = edition.current(), []
    for name in pages() if about.url and html == HTML else ():
        text = (html / f"{name}.html").read_text() if (html / f"{name}.html").is_file() else ""
        is_notebook = (ROOT / f"{name}.ipynb").is_file()
        source = f"{name}.{'py' if is_notebook else 'md'}"
        launch = about.launch(Path(name).name).values() if is_notebook else ()
        wanted = [about.url, about.edit(source), about.report(name), *launch]
        found += [f"{name}: no link to {url}" for url in wanted if f'href="{escape(url)}"' not in text]
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["stage"]:
        stage()
    elif len(sys.argv) == 4 and sys.argv[1] == "picture":
        picture(sys.argv[2], Path(sys.argv[3]))
    elif sys.argv[1:] == ["verify"]:
        problems = verify()
        print("\n".join(problems) or f"the book is complete: {len(pages())} pages in {HTML.relative_to(ROOT)}")
        sys.exit(bool(problems))
    else:
        sys.exit(__doc__)
