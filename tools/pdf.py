"""The whole book as one PDF, printed by an installed Chromium from the pages as they are: ``python -m tools.pdf``.

The pages are put behind each other in one document, so that links between chapters lead to a place in the same file.
"""

from __future__ import annotations

import shutil
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag

from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, sync_playwright
from pypdf import PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

from bioadv.data.files import atomic
from tools.build_book import HTML, pages

OUT = HTML / "book.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TOGETHER = "print.html"
FOOTER = (
    '<div style="font: 8px sans-serif; width: 100%; text-align: center">'
    '<span class="pageNumber"></span> of <span class="totalPages"></span></div>'
)
HEADINGS = (
    "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map((e) => e.textContent.trim().replace(/\\s+/g, ' '))"
)
STYLE = """
.printed { break-before: page; }
.printed:first-child { break-before: auto; }
body { background: #fff; font-size: 11px; }
html, .bd-article { font-size: 11px; padding: 0; }
"""


def browser() -> str:
    """Path of an installed Chromium; ``RuntimeError`` with the remedy where there is none."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return path
    raise RuntimeError("no Chromium is installed; install one (Debian: apt install chromium) to print the book")


def place(page: str, fragment: str = "") -> str:
    """The identifier in the printed document of a page, or of a place in it."""
    return Path(page).stem + (f"--{fragment}" if fragment else "")


def chapter(page: str, soup: BeautifulSoup, others: set[str]) -> Tag:
    """The article of a rendered page; its identifiers carry the page's name, links to other pages are links in here."""
    article = soup.select_one("article.bd-article")
    if article is None:
        raise ValueError(f"{page}.html has no article; build the book anew with `make book`")
    for drawing in article.select("a.enlarge.for-dark"):  # paper is light
        drawing.decompose()
    for one in article.select("[id]"):
        one["id"] = place(page, str(one["id"]))
    for link in article.select("a[href]"):
        path, fragment = urldefrag(str(link["href"]))
        target = Path(path).stem if path else Path(page).stem
        if path.startswith(("http:", "https:", "mailto:")):
            continue
        if target in others and (not path or path.endswith(".html")):
            link["href"] = "#" + place(target, fragment if target != "explorer" else "")
        else:
            link.unwrap()  # a file beside the page, which a reader of the PDF does not have
    for solution in article.select("details"):
        if "hide" not in (solution.get("class") or []):
            solution["open"] = ""
    for image in article.select("img"):
        image["loading"] = "eager"
    for useless in article.select("script, .headerlink"):
        useless.decompose()
    article.name = "section"
    article["class"] = "bd-article printed"
    article["id"] = place(page)
    return article


def together(html: Path = HTML) -> str:
    """One document of all pages, in the order of the table of contents."""
    soups = {page: BeautifulSoup((html / f"{page}.html").read_text(), "html.parser") for page in pages()}
    root = BeautifulSoup((html / f"{pages()[0]}.html").read_text(), "html.parser")
    head, body = root.head, root.body
    if head is None or body is None:
        raise ValueError("the front page has no head or body; build the book anew with `make book`")
    for script in head.select("script:not([src*='katex']):not([src*='auto-render'])"):
        script.decompose()
    for link in soups.values():  # the front page may have no formulas; then its head does not ask for their styles
        for needed in link.select("head [href*='katex'], head [src*='katex'], head [src*='auto-render']"):
            if not head.select(f"[href='{needed.get('href')}'], [src='{needed.get('src')}']"):
                head.append(needed)
    style = root.new_tag("style")
    style.string = STYLE
    head.append(style)
    body.clear()
    main = root.new_tag("main", attrs={"class": "bd-main"})
    body.append(main)
    stems = {Path(page).stem for page in soups}
    for page, soup in soups.items():
        main.append(chapter(page, soup, stems))
    return str(root)


def titled(paper: bytes, headings: list[str]) -> bytes:
    """The PDF with the bookmarks named by ``headings``, in their order: Chromium doubles the words of some of them."""
    writer = PdfWriter(clone_from=BytesIO(paper))
    marks: list[DictionaryObject] = []

    def collect(first: Any) -> None:
        while first is not None:
            marks.append(one := first.get_object())
            collect(one.get("/First"))
            first = one.get("/Next")

    collect(writer.root_object["/Outlines"].get_object().get("/First"))  # type: ignore[union-attr]
    if len(marks) != len(headings):
        raise ValueError(f"the printed book has {len(marks)} bookmarks for {len(headings)} headings")
    for mark, heading in zip(marks, headings, strict=True):
        mark[NameObject("/Title")] = TextStringObject(heading)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def printed(started: Browser, html: Path = HTML) -> bytes:
    """The built book as a PDF, by a running browser."""
    document = (html / pages()[0]).parent / TOGETHER
    document.write_text(together(html))
    try:
        tab = started.new_page(color_scheme="light")
        tab.goto(document.as_uri())
        tab.evaluate("document.documentElement.dataset.theme = 'light'")
        tab.wait_for_function("[...document.images].every((image) => image.complete)", timeout=60_000)
        paper = tab.pdf(
            format="A4",
            outline=True,
            tagged=True,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOTER,
            margin={"top": "18mm", "bottom": "18mm", "left": "18mm", "right": "18mm"},
        )
        headings = tab.evaluate(HEADINGS)
        tab.close()
    finally:
        document.unlink()
    return titled(paper, headings)


def main(out: Path = OUT) -> None:
    """Print the built book to ``out``; needs an installed Chromium."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser(), args=["--no-sandbox", "--disable-gpu"])
        paper = printed(started)
        started.close()
    with atomic(out) as temporary:
        temporary.write_bytes(paper)


if __name__ == "__main__":
    main()
