"""What the theme leaves undone on the rendered pages, in one pass: ``python -m tools.finish``.

Scripts that nothing uses go, icons that nothing shows go, pictures load when they are reached, and names and roles are
those that a screen reader understands. A second pass changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from bioadv.data.files import atomic
from tools.build_book import HTML

# An icon of the theme's script: its name, then width, height, other names, code point and outline.
ICON = re.compile(
    r'(?:"(?P<quoted>[a-z0-9-]+)"|(?P<bare>[a-z][a-z0-9]*)):'
    r'\[\d+,\d+,\[(?P<others>[^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?'
)
# A rule of the theme's styles for an icon of its font, which the icons of that script replace.
RULE = re.compile(r'(?:\.fa-[a-z0-9-]+:{1,2}before,?)+\{content:"\\[0-9a-f]+"\}')
SEARCH = ("searchtools.js", "language_data.js", "searchindex.js")  # needed where results are shown
LOGO = "Front page"
BELOW = "Pages of"


def icons_used(html: Path) -> set[str]:
    """Names of all icons that pages and scripts of the book ask for, without the prefix ``fa-``."""
    files = [*html.rglob("*.html"), *(html / "_static").glob("*.js"), *(html / "_static" / "scripts").glob("*.js")]
    texts = (file.read_text() for file in files if file.name != "fontawesome.js")
    return {name for text in texts for name in re.findall(r"\bfa-([a-z0-9-]+)", text)}


def without_unused_icons(script: str, used: set[str]) -> str:
    """The theme's icon script with the outlines of ``used`` icons alone; ``ValueError`` if it holds none of them."""
    kept = 0

    def keep(found: re.Match[str]) -> str:
        nonlocal kept
        names = {found["quoted"] or found["bare"], *re.findall(r'"([a-z0-9-]+)"', found["others"])}
        kept += bool(names & used)
        return found[0] if names & used else ""

    thinner = ICON.sub(keep, script)
    if not kept:
        raise ValueError(
            "the theme's icon script holds no icon of the pages; its format has changed, see tools/finish.py"
        )
    return thinner


def without_icon_rules(styles: str) -> str:
    """The theme's styles without the rules for icons of its font; ``ValueError`` if there never were any."""
    if ".fa-" not in styles:
        raise ValueError("the theme's styles name no icon; their format has changed, see tools/finish.py")
    return RULE.sub("", styles)


def no_search(soup: BeautifulSoup) -> None:
    """The index of all words is loaded by the page that searches it, and by no other."""
    if not soup.select_one("#search-results"):
        for script in soup.select("script[src]"):
            if str(script["src"]).partition("?")[0].rpartition("/")[2] in SEARCH:
                script.decompose()


def no_thebe(soup: BeautifulSoup) -> None:
    """Jupyter Book and its theme both load a launcher of kernels, which the book does not use; it names a server."""
    for script in soup.find_all(["script", "link"]):
        told = " ".join([script.get_text(), str(script.get("src")), str(script.get("href")), str(script.get("type"))])
        if "thebe" in told.lower() or "kernelName" in told:
            script.decompose()


def names(soup: BeautifulSoup) -> None:
    """What is read aloud is what is shown: labels that hide the visible words go, the logo lies in a landmark."""
    for summary in soup.select("summary[aria-label]"):
        del summary["aria-label"]
    for summary in soup.select("nav summary"):  # what opens the pages below one in the table of contents has no words
        page = summary.find_previous("a")
        if not summary.get_text(strip=True) and page is not None:
            summary["aria-label"] = f"{BELOW} {page.get_text(' ', strip=True)}"
    for button in soup.select("button.search-button-field[aria-label]"):
        del button["aria-label"]
    for icon in soup.select("button.theme-switch-button i[title]"):
        del icon["title"]
    for logo in soup.select("a.navbar-brand.logo"):
        if logo.parent is not None and logo.parent.name != "nav":
            logo.wrap(soup.new_tag("nav", attrs={"aria-label": LOGO}))


def theme(soup: BeautifulSoup) -> None:
    """A reader who chose no theme gets that of the system; the empty text that stands there is told as an error."""
    for script in soup.select("script[data-cfasync]"):
        if script.string:
            script.string = script.string.replace(
                'localStorage.getItem("mode") || ""', 'localStorage.getItem("mode") || "auto"'
            )
    if soup.body is not None and soup.body.get("data-default-mode") == "":
        soup.body["data-default-mode"] = "auto"


def references(soup: BeautifulSoup) -> None:
    """Roles of the list of references that are deprecated, or not allowed there."""
    for place in soup.select(".citation-list[role], .citation[role], .citation [role]"):
        del place["role"]


def pictures(soup: BeautifulSoup) -> None:
    """Pictures below the first screen load when the reader comes near."""
    for image in soup.select("article img"):
        image["loading"] = "lazy"
        image["decoding"] = "async"


def formulas(soup: BeautifulSoup) -> None:
    """Pages without formulas load nothing for them."""
    if not soup.select_one(".math"):
        for place in soup.find_all(["script", "link"]):
            if "katex" in str(place.get("src") or place.get("href")):
                place.decompose()


def folded_code(soup: BeautifulSoup) -> None:
    """Folded code that shows nothing is folded into the cell after it, if that is folded too: one bar, not three."""
    for cell in soup.select("article .cell.tag_hide-input"):
        after = cell.find_next_sibling()
        if not isinstance(after, Tag) or "tag_hide-input" not in (after.get("class") or []):
            continue
        here, there = (one.select_one(":scope > details.above-input") for one in (cell, after))
        alone = [child.name for child in cell.find_all(recursive=False)] == ["details"]
        if here is None or there is None or there.summary is None or not alone or cell.get("id"):
            continue
        for code in reversed(here.find_all("div", class_="cell_input", recursive=False)):
            there.summary.insert_after(code.extract())
        cell.decompose()


def cards(soup: BeautifulSoup) -> None:
    """On phones a row of a wide table is a card (see pages.css): each value has its column's name, and is one box."""
    for table in soup.select("article table.table"):
        heads = [" ".join(head.get_text(" ").split()) for head in table.select("thead th")]
        in_prose = table.find_parent(class_="cell_output") is None
        if "cards" in (table.get("class") or []) or not heads or (in_prose and len(heads) < 3):
            continue
        table["class"] = " ".join([*(table.get("class") or []), "cards", *(["of-prose"] if in_prose else [])])
        for row in table.select("tbody tr"):
            for value, head in zip(row.find_all("td", recursive=False), heads, strict=False):
                value["data-label"] = head
                if len(value.contents) > 1:
                    box = soup.new_tag("span")
                    box.extend([part.extract() for part in list(value.contents)])
                    value.append(box)


STEPS: tuple[Callable[[BeautifulSoup], None], ...] = (
    *(no_thebe, no_search, names, theme, references, pictures, formulas, folded_code, cards),
)


def finished(text: str) -> str:
    """A rendered page, finished."""
    soup = BeautifulSoup(text, "html.parser")
    for step in STEPS:
        step(soup)
    return str(soup)


def _replace(file: Path, change: Callable[[str], str]) -> None:
    old = file.read_text()
    if (new := change(old)) != old:
        with atomic(file) as temporary:
            temporary.write_text(new)


def main(html: Path = HTML) -> None:
    """Finish every page of the book, and the script of icons."""
    for page in sorted(html.rglob("*.html")):
        if "_static" not in page.parts:
            _replace(page, finished)
    used = icons_used(html)
    _replace(html / "_static" / "scripts" / "fontawesome.js", lambda script: without_unused_icons(script, used))
    _replace(html / "_static" / "styles" / "pydata-sphinx-theme.css", without_icon_rules)


if __name__ == "__main__":
    main()
