"""What the book's pages have beyond Jupyter Book: figures for both themes, tables that are tables, a glossary at hand.

A Sphinx extension. It changes how pages look, never what they say:

* a figure named ``tab-...`` is numbered as a table and has its caption above;
* a figure with files of :mod:`bioadv.pages.press` beside it is shown as vector graphics, in the colours of the page's
  theme, with links to its numbers, its cell and the runs it was made from;
* checks that follow each other fold into one line;
* the first use of a term of the glossary on a page links to it, and hovering shows what it means;
* every page has a description for those who share its address, and ``index.html`` is the front page.
"""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.transforms.references import Substitutions
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from bioadv.data.files import read_json
from bioadv.lab.runs import is_run, results
from bioadv.pages.press import on_dark

FRONT, GLOSSARY = "book/intro", "book/notation"
EVERYDAY = {"reach"}  # terms that are ordinary words as well
PLAIN = re.compile(r"\s+")


class TableFigure(nodes.figure):  # type: ignore[misc]
    """A figure that is a table."""


class Tables(SphinxTransform):
    """Make figures whose name begins with ``tab-`` tables, their captions above."""

    default_priority = Substitutions.default_priority - 1

    def apply(self, **kwargs: Any) -> None:
        """Replace the nodes."""
        for figure in list(self.document.findall(nodes.figure)):
            names = [*figure.get("names", []), *figure.get("ids", [])]
            if not isinstance(figure, TableFigure) and any(name.startswith("tab-") for name in names):
                kept = sorted(figure.children, key=lambda node: not isinstance(node, nodes.caption))
                table = TableFigure("", *kept, **figure.attributes)
                figure.parent.replace(figure, table)
                self.document.ids |= dict.fromkeys(table["ids"], table)


def visit_table_figure(self: Any, node: nodes.Element) -> None:
    """As a figure, of its own class."""
    node["classes"] = [*node.get("classes", []), "table-figure"]
    self.visit_figure(node)


def depart_table_figure(self: Any, node: nodes.Element) -> None:
    """As a figure."""
    self.depart_figure(node)


# ---- glossary


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Link the first use of each term of the glossary on a chapter's page, with its meaning as a hint."""
    if page == GLOSSARY or not page.startswith("book/") or page == "book/references":
        return
    terms = _terms(app)
    if not terms:
        return
    pattern = re.compile(
        rf"(?<![\w-])({'|'.join(sorted(map(re.escape, terms), key=len, reverse=True))})(s?)(?![\w-])", re.I
    )
    used: set[str] = set()
    for paragraph in doctree.findall(nodes.paragraph):
        if any(isinstance(above, (nodes.caption, nodes.entry, nodes.title)) for above in _above(paragraph)):
            continue
        for text in list(paragraph.findall(nodes.Text)):
            if not any(
                isinstance(above, (nodes.reference, nodes.literal, nodes.math, nodes.strong)) for above in _above(text)
            ):
                _link(app, page, text, terms, pattern, used)


def _above(node: nodes.Node) -> list[nodes.Node]:
    found, parent = [], node.parent
    while parent is not None:
        found.append(parent)
        parent = parent.parent
    return found


def _link(
    app: Sphinx,
    page: str,
    text: nodes.Text,
    terms: dict[str, tuple[str, str]],
    pattern: re.Pattern[str],
    used: set[str],
) -> None:
    pieces: list[nodes.Node] = []
    end, plain = 0, str(text)
    for match in pattern.finditer(plain):
        term = match[1].lower()
        if term in used:
            continue
        used.add(term)
        place, meaning = terms[term]
        link = nodes.reference("", match[0], internal=True, classes=["term"], reftitle=meaning)
        link["refuri"] = f"{app.builder.get_relative_uri(page, GLOSSARY)}#{place}"
        pieces += [nodes.Text(plain[end : match.start()]), link]
        end = match.end()
    if pieces:
        text.parent.replace(text, [*pieces, nodes.Text(plain[end:])])


def _terms(app: Sphinx) -> dict[str, tuple[str, str]]:
    """By term: the place on the glossary's page, and the definition as plain text."""
    if not hasattr(app.env, "bioadv_terms"):
        found: dict[str, tuple[str, str]] = {}
        for item in app.env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
            meaning = PLAIN.sub(" ", item[-1].astext()).strip()
            for term in item.findall(nodes.term):
                for name in (name.strip().lower() for name in term.astext().split(",")):
                    if name not in EVERYDAY:
                        found[name] = (term["ids"][0], meaning)
        app.env.bioadv_terms = found  # type: ignore[attr-defined]
    terms: dict[str, tuple[str, str]] = app.env.bioadv_terms  # type: ignore[attr-defined]
    return terms


# ---- figures, checks, descriptions

FIGURE = re.compile(
    r'<figure class="(?P<classes>[^"]*)" id="(?P<name>[^"]*)">\s*(?P<body>.*?)</figcaption>\s*</figure>', re.S
)
IMAGE = re.compile(r'<img (?:[^>]*?)alt="(?P<alt>[^"]*)" src="(?P<folder>[^"]*?)(?P<hash>[0-9a-f]{64})\.png"[^>]*/?>')
CELL = '<div class="cell '
CHECKS = re.compile(
    r'<div class="output stream [^"]*"><div class="highlight"><pre><span></span>'
    r"(?P<lines>(?:✓ [^\n]*\n)+)</pre></div>\s*</div>"
)


def dress(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Change a page's body as this module says, and describe it in its head."""
    if not context.get("body"):
        return
    body = CHECKS.sub(_fold, context["body"])
    context["body"] = FIGURE.sub(lambda match: _figure(app, match, body), body)
    context["body"] = _name_cells(context["body"])
    context["metatags"] = context.get("metatags", "") + _description(app, page, context)


def _fold(match: re.Match[str]) -> str:
    lines = [line.removeprefix("✓ ") for line in match["lines"].splitlines()]
    if len(lines) == 1:
        return f'<p class="checks">✓ {lines[0]}</p>'
    items = "".join(f"<li>{line}</li>" for line in lines)
    return f'<details class="checks"><summary>✓ {len(lines)} checks hold</summary><ul>{items}</ul></details>'


def _figure(app: Sphinx, match: re.Match[str], page: str) -> str:
    links = [f'<a href="#code-{match["name"]}">code</a>'] if _cell_before(page, match.start()) >= 0 else []
    shown = match["body"]
    image = IMAGE.search(shown)
    if image:
        files = Path(app.confdir).parent / "figures"
        if (files / f"{image['hash']}.svg").is_file():
            shown = shown.replace(image[0], _pictures(app, files, image))
            links.insert(0, f'<a href="{image["folder"]}{image["hash"]}.csv" download="{match["name"]}.csv">data</a>')
            links += _runs(app, files, image)
    behind = f'<span class="behind">{" · ".join(links)}</span>' if links else ""
    if "table-figure" in match["classes"]:  # docutils leaves the caption open until the end
        caption, closing, table = shown.partition("</p>")
        shown = f"{caption}{closing}{behind}</figcaption>{table}"
        return f'<figure class="{match["classes"]}" id="{match["name"]}">\n{shown}\n</figure>'
    return f'<figure class="{match["classes"]}" id="{match["name"]}">\n{shown}{behind}</figcaption>\n</figure>'


def _pictures(app: Sphinx, files: Path, image: re.Match[str]) -> str:
    """Both drawings of a figure, each a link to itself alone."""
    target = Path(app.outdir) / "_images"
    target.mkdir(exist_ok=True)
    drawing = (files / f"{image['hash']}.svg").read_text()
    (target / f"{image['hash']}.svg").write_text(drawing)
    (target / f"{image['hash']}-dark.svg").write_text(on_dark(drawing))
    shutil.copy(files / f"{image['hash']}.csv", target)
    width, height = (float(size) for size in re.findall(r'(?:width|height)="([\d.]+)pt"', drawing)[:2])
    size = f'width="{round(4 / 3 * width)}" height="{round(4 / 3 * height)}" loading="lazy"'
    shown = ""
    for theme, ending in (("light", ""), ("dark", "-dark")):
        source = f"{image['folder']}{image['hash']}{ending}.svg"
        picture = f'<img class="dark-light" alt="{image["alt"]}" src="{source}" {size}/>'
        shown += f'<a class="enlarge for-{theme}" href="{source}" title="Enlarge">{picture}</a>'
    return shown


def _runs(app: Sphinx, files: Path, image: re.Match[str]) -> list[str]:
    """A link to the manifests of the runs that the chapter had read when it drew the figure, if there are any."""
    read = read_json(files / f"{image['hash']}.json")["read"]
    runs = sorted({str(Path(name).parent) for name in read if is_run(Path(name).parent)})
    if not runs:
        return []
    manifests = {run: read_json(path) for run in runs if (path := results() / run / "manifest.json").is_file()}
    out = Path(app.outdir) / "_images" / f"{image['hash']}.json"
    out.write_text(json.dumps({"files": read, "manifests": manifests}, indent=1))
    link = f'<a href="{image["folder"]}{image["hash"]}.json" title="All runs that the chapter had read by then">'
    return [f"{link}{len(runs)} run{'s' * (len(runs) > 1)}</a>"]


def _cell_before(page: str, place: int) -> int:
    return page.rfind(CELL, 0, place)


def _name_cells(page: str) -> str:
    """Give the cell of each figure the name that the figure's link asks for."""
    for match in reversed(list(re.finditer(r'href="#(code-[^"]+)"', page))):
        start = _cell_before(page, page.find(f'id="{match[1].removeprefix("code-")}"'))
        page = page[:start] + f'<div id="{match[1]}" class="cell ' + page[start + len(CELL) :]
    return page


def _description(app: Sphinx, page: str, context: dict[str, Any]) -> str:
    first = re.search(r"<p>(.*?)</p>", context["body"], re.S)
    words = PLAIN.sub(" ", html.unescape(re.sub(r"<[^>]*>|\\[()]", "", first[1]))).strip() if first else ""
    if len(words) > 200:
        words = f"{words[:200].rsplit(' ', 1)[0]} …"
    title = re.sub(r"<[^>]*>", "", context.get("title", ""))
    base = (app.config.html_baseurl or "").rstrip("/")
    card = f"{base}/_static/card.png" if base else f"{'../' * page.count('/')}_static/card.png"  # the hero, see below
    tags = {"og:title": title, "og:description": words, "og:type": "article", "og:image": card}
    tags |= {"og:site_name": app.config.html_title} | ({"og:url": f"{base}/{page}.html"} if base else {})
    shown = "".join(f'<meta property="{name}" content="{html.escape(value)}" />\n' for name, value in tags.items())
    named = f'<meta name="description" content="{html.escape(words)}" />\n'
    return f'{named}<meta name="twitter:card" content="summary_large_image" />\n{shown}'


def front_page(app: Sphinx, exception: Exception | None) -> None:
    """Make ``index.html`` the front page itself, with the addresses that hold one folder higher."""
    if exception is not None or app.builder.name != "html":
        return
    folder = Path(FRONT).parent
    page = (Path(app.outdir) / f"{FRONT}.html").read_text()
    if picture := re.search(r'class="enlarge for-light" href="\.\./(_images/[0-9a-f]{64})\.svg"', page):
        shutil.copy(Path(app.outdir) / f"{picture[1]}.png", Path(app.outdir) / "_static" / "card.png")

    def moved(match: re.Match[str]) -> str:
        name, address = match[1], match[2]
        if re.match(r"[a-z]+:|#|//|$", address):
            return match[0]
        path, mark, place = address.partition("#")
        inside = path.removeprefix("../") if path.startswith("../") else f"{folder}/{path}"
        return f'{name}="{inside}{mark}{place}"'

    page = re.sub(r'\b(href|src|action)="([^"]*)"', moved, page)
    page = page.replace('data-content_root="../"', 'data-content_root="./"')
    (Path(app.outdir) / "index.html").write_text(page)


def setup(app: Sphinx) -> dict[str, Any]:
    """Tell Sphinx what there is."""
    app.add_enumerable_node(
        TableFigure, "table", _title_of, override=True, html=(visit_table_figure, depart_table_figure)
    )
    app.add_transform(Tables)
    app.connect("doctree-resolved", link_terms)
    app.connect("html-page-context", dress, priority=900)
    app.connect("build-finished", front_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _title_of(node: nodes.Node) -> str:
    for child in node.children:
        if isinstance(child, nodes.caption):
            return str(child.astext())
    return ""
