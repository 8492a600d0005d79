"""The article about the book, ``paper/paper.md``, with its numbers filled in: ``python -m tools.article [FOLDER]``

FOLDER, ``_build/article`` if none is given, gets ``paper.md`` and ``paper.bib`` as a journal takes them, with their
figures, and ``paper.pdf``, printed by an installed Chromium. Placeholders are resolved by what the book itself uses:

``{glue:text}`PAGE/NAME```        what a chapter glued under that name, in its stored notebook
``{claim}`ID```, ``{seeds}`ID```  verdict of the ledger on a claim, and the number of training seeds behind it
``![caption](fig-NAME)``          a figure of a chapter
``[@KEY; @KEY]``, ``@KEY``        a reference, of ``book/references.bib``
"""

from __future__ import annotations

import html
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import yaml
from markdown_it import MarkdownIt
from playwright.sync_api import sync_playwright
from pybtex.database import parse_file
from pybtex.plugin import find_plugin

from bioadv.lab import claims
from tools import build_book, myst_names, pdf
from tools.edition import ROOT

ARTICLE, REFERENCES = ROOT / "paper" / "paper.md", ROOT / "book" / "references.bib"
OUT = ROOT / "_build" / "article"
ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
FIGURE = re.compile(r"!\[([^]]+)\]\((fig-[\w-]+)\)")
CITED = re.compile(r"\[([^][]*@[^][]+)\]|(?<![\w@.])@([\w-]+)")
STYLE = """
@page { size: A4; margin: 17mm 18mm; }
body { font: 9.8pt/1.33 "Liberation Serif", "Times New Roman", serif; }
h1 { font-size: 17pt; line-height: 1.15; margin: 0 0 4pt; } h2 { font-size: 11.5pt; margin: 9pt 0 2pt; }
h1, h2 { font-family: "Liberation Sans", Arial, sans-serif; break-after: avoid; }
p { margin: 0 0 5pt; text-align: justify; hyphens: auto; } a { color: inherit; text-decoration: none; }
table { border-collapse: collapse; margin: 3pt auto 6pt; } th, td { padding: 1pt 8pt; text-align: left; }
th { border-bottom: 0.5pt solid; } table { border-top: 0.7pt solid; border-bottom: 0.7pt solid; }
figure { margin: 4pt auto 6pt; text-align: center; break-inside: avoid; } figure img { width: 62%; }
figcaption { font-size: 8.4pt; text-align: left; }
.references p { font-size: 8.2pt; line-height: 1.2; margin: 0 0 2pt; }
"""


def values(root: Path = ROOT) -> dict[str, str]:
    """What the stored chapters glued, as it stands in their prose, by ``page/name``."""
    found = dict[str, str]()
    for page in myst_names.chapters(root):
        notebook = json.loads((root / "book" / f"{page}.ipynb").read_text(encoding="utf-8"))
        found |= {f"{page}/{name}": value for name, value in myst_names.glued(notebook).items()}
    return found


def resolved(text: str, glued: Mapping[str, str], verdicts: Mapping[str, claims.Verdict]) -> str:
    """The text with all placeholders filled in; ``ValueError`` names one that is not known."""
    known = {
        "glue:text": glued,
        "claim": {name: verdict.label for name, verdict in verdicts.items()},
        "seeds": {name: str(verdict.seeds) for name, verdict in verdicts.items()},
    }

    def role(found: re.Match[str]) -> str:
        kind, name = found[1], found[2]
        if kind not in known:
            raise ValueError(f"the article has {found[0]}; its placeholders are {', '.join(sorted(known))}")
        if name not in known[kind]:
            raise ValueError(f"the article has {found[0]}, which is not known; run the chapter, or correct the name")
        return known[kind][name]

    return ROLE.sub(role, text)


def filled() -> str:
    """The article with its numbers, as Markdown."""
    verdicts = {claim.id: claims.judge(claim) for claim in claims.read()}
    return resolved(ARTICLE.read_text(encoding="utf-8"), values(), verdicts)


def keys(text: str) -> list[str]:
    """The references that a text cites, each once, in order."""
    cited = (key for group, one in CITED.findall(text) for key in (re.findall(r"@([\w-]+)", group) or [one]))
    return list(dict.fromkeys(cited))


def references(cited: list[str]) -> list[str]:
    """The list of references as HTML, by name and year; ``ValueError`` if one is not known."""
    known = parse_file(str(REFERENCES))
    unknown = [key for key in cited if key not in known.entries]
    if unknown:
        raise ValueError(f"the article cites @{unknown[0]}, which {REFERENCES.name} does not have; add it there")
    entries = find_plugin("pybtex.style.formatting", "plain")().format_bibliography(known, cited)
    backend = find_plugin("pybtex.backends", "html")()
    return [entry.text.render(backend) for entry in entries]


def in_text(text: str) -> str:
    """The text with its citations as authors and years."""
    people = myst_names.collect(ROOT).citations

    def cite(found: re.Match[str]) -> str:
        if found[2]:
            who, year, _ = people[found[2]]
            return f"{who} ({year})"
        group = re.sub(r"@([\w-]+)", lambda key: " ".join(people[key[1]][:2]), found[1])
        return f"({group})"

    return CITED.sub(cite, text)


def page(text: str, folder: Path) -> str:
    """The article as one HTML page; its figures, ``fig-NAME.png``, are written into the folder."""
    _, head, body = text.split("---\n", 2)
    about = yaml.safe_load(head)
    listed = references(keys(body))
    for _, name in FIGURE.findall(body):
        build_book.picture(name, folder / f"{name}.png")
    shown = FIGURE.sub(
        r'<figure><img src="\2.png" alt="">\n<figcaption>\1</figcaption></figure>\n',
        in_text(body).replace("\n# ", "\n## "),
    )
    prose = MarkdownIt("commonmark", {"html": True, "typographer": True}).enable("table").render(shown)
    names = ", ".join(author["name"] for author in about["authors"])
    heading = f"<h1>{html.escape(about['title'])}</h1><p>{html.escape(names)}, {html.escape(str(about['date']))}</p>"
    last = "".join(f"<p>{one}</p>" for one in listed)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(about["title"])}</title>'
        f'<style>{STYLE}</style></head><body>{heading}{prose}<div class="references">{last}</div></body></html>'
    )


def write(folder: Path = OUT) -> Path:
    """Write the article into the folder; returns the path of its PDF. ``RuntimeError`` where there is no Chromium."""
    folder.mkdir(parents=True, exist_ok=True)
    text = filled()
    document = folder / "paper.html"
    document.write_text(page(text, folder), encoding="utf-8")
    (folder / "paper.md").write_text(FIGURE.sub(r"![\1](\2.png)", text), encoding="utf-8")
    shutil.copyfile(REFERENCES, folder / "paper.bib")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=pdf.browser(), args=["--no-sandbox", "--disable-gpu"])
        tab = started.new_page()
        tab.goto(document.as_uri())
        tab.pdf(path=folder / "paper.pdf", prefer_css_page_size=True, print_background=True, tagged=True)
        started.close()
    return folder / "paper.pdf"


if __name__ == "__main__":
    try:
        print(write(*map(Path, sys.argv[1:2])))
    except (RuntimeError, ValueError) as error:
        sys.exit(f"article: {error}")
