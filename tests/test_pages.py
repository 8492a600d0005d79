"""The built book in a browser: legible, accessible, light and offline, in both themes, desktop, phone and print."""

import json
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from bs4 import BeautifulSoup

from tests.explorer_page import AXE, CHROMIUM
from tools import finish, pdf
from tools.build_book import EXPLORER, HTML, pages
from tools.notebooks import ROOT

FIRST_LOAD = (
    1_600_000  # bytes of a page, its styles, scripts and fonts; pictures and the explorer's data are not counted
)
PICTURES = (".png", ".svg", ".jpg", ".gif", ".ico")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt install chromium)")
    if not (HTML / "index.html").is_file():
        pytest.skip("the book is not built; run `make book` first")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Opens a page of the book in a theme and width, with its formulas set; notes errors and what it asks for."""
    contexts = []

    def open_page(page, theme, width):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, reduced_motion="reduce"
        )
        contexts.append(context)
        tab = context.new_page()
        told, asked = [], []
        tab.on("pageerror", lambda error: told.append(str(error)))
        tab.on("console", lambda line: told.append(line.text) if line.type == "error" else None)
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(f"file://{HTML / page}.html")
        tab.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
        if tab.locator(".math").count():
            tab.wait_for_selector(".katex", timeout=20_000, state="attached")
        return tab, told, asked

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", pages())
def test_page_is_legible_accessible_and_light(visit, page, theme):
    tab, told, asked = visit(page, theme, 1280)
    assert sum(_size(url) for url in asked) < FIRST_LOAD
    tab.evaluate("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
    tab.wait_for_function("[...document.images].every((image) => image.complete)", timeout=20_000)
    assert tab.evaluate("[...document.images].filter(i => !i.naturalWidth).length") == 0
    assert tab.locator(".katex-error").count() == 0
    assert tab.locator(".math [tabindex]").count() == 0  # formulas are read, not operated
    figures = tab.locator(".cell_output figure a.enlarge")
    for i in range(figures.count()):
        drawn_for = "dark" if "-dark.svg" in (figures.nth(i).get_attribute("href") or "") else "light"
        assert figures.nth(i).is_visible() == (drawn_for == theme)
        assert figures.nth(i).locator("img").evaluate("e => getComputedStyle(e).filter") == "none"
    for width in (1280, 375):
        _resize(tab, width)
        assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        captions = tab.locator(".cell_output figure figcaption")
        assert all(captions.nth(i).is_visible() for i in range(captions.count()))
    assert told == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; run `npm ci` in explorer/")
    tab.add_script_tag(path=AXE)
    for width in (375, 1280):
        _resize(tab, width)
        found = tab.evaluate("async () => (await axe.run({resultTypes: ['violations'], preload: false})).violations")
        assert not found, json.dumps([(width, v["id"], v["nodes"][0]["html"][:300]) for v in found], indent=1)


def _resize(tab, width):
    tab.set_viewport_size({"width": width, "height": 900})
    _settle(tab)


def _settle(tab):
    """Let the page set anew what depends on its width: it does so a frame after it has seen the change, if slowly."""
    tab.wait_for_timeout(200)
    tab.evaluate("async () => { for (let i = 0; i < 4; i++) await new Promise(requestAnimationFrame); }")


def _size(url):
    path = Path(unquote(urlparse(url).path))
    counted = url.startswith("file:") and path.suffix not in PICTURES and path.parent.name != "explorer"
    return path.stat().st_size if counted else 0


@pytest.mark.parametrize("page", [page for page in pages() if (HTML / f"{page}.html").is_file()])
def test_what_scrolls_sideways_on_a_phone_is_reached_by_keyboard_and_only_there(visit, page):
    scrolling = (
        "[...document.querySelectorAll('.bd-article *')].filter((e) => e.scrollWidth > e.clientWidth + 1 && "
        "/auto|scroll/.test(getComputedStyle(e).overflowX) && e.clientWidth > 1)"
    )
    phone, _, _ = visit(page, "light", 375)
    _settle(phone)
    assert phone.evaluate(f"{scrolling}.filter((e) => e.tabIndex < 0 && !e.querySelector('a, [tabindex]')).length") == 0
    desk, _, _ = visit(page, "light", 1280)
    _settle(desk)
    stops = desk.evaluate("[...document.querySelectorAll('[data-scrolls]')].length")
    assert stops == desk.evaluate(f"{scrolling}.filter((e) => e.hasAttribute('data-scrolls')).length")


def test_verdicts_can_be_hidden_to_be_guessed(visit):
    """The address keeps it, so that a page for teachers can link to it."""
    tab, told, _ = visit("book/claims", "light", 1280)
    verdict, why = tab.locator(".ledger .verdict-word").first, tab.locator(".ledger .why").first
    assert verdict.is_visible()
    tab.get_by_label("hide the verdicts").check()
    assert not verdict.is_visible()
    assert not why.is_visible()
    assert "guess=1" in tab.url
    tab.goto(tab.url)
    assert not verdict.is_visible()
    tab.get_by_label("hide the verdicts").uncheck()
    assert verdict.is_visible()
    assert "guess" not in tab.url
    assert not told


def test_a_word_is_searched_from_any_page(visit):
    tab, _, _ = visit("book/notation", "light", 1280)
    tab.keyboard.press("Control+K")
    tab.locator("dialog input[type=search]").fill("winner")
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#search-results li a", timeout=20_000)
    assert any("local_learning" in a.get_attribute("href") for a in tab.locator("#search-results li a").all())


@pytest.mark.slow
def test_the_book_is_printed_in_one_file_whose_links_stay_in_it(browser):
    from pypdf import PdfReader

    reader = PdfReader(BytesIO(pdf.printed(browser)))
    titles = [mark["/Title"] for mark in reader.outline if not isinstance(mark, list)]
    soups = [BeautifulSoup((HTML / f"{page}.html").read_text(), "html.parser") for page in pages()]
    headings = [" ".join(soup.select_one("article h1").get_text().removesuffix("#").split()) for soup in soups]
    assert [title for title in titles if title in headings] == headings
    text = "".join(page.extract_text() for page in reader.pages)
    assert "Show code cell" not in text  # nothing to click on paper
    inside = outside = 0
    for page in reader.pages:
        for note in page.get("/Annots", []):
            action = note.get_object().get("/A")
            inside += "/Dest" in note.get_object()
            outside += bool(action) and str(action.get("/URI", "")).startswith("file:")
    assert inside > 100
    assert outside == 0
    assert not (HTML / pages()[0]).parent.joinpath(pdf.TOGETHER).exists()
    assert (HTML / "book" / EXPLORER).is_file()


def test_of_the_two_drawings_of_a_figure_the_light_one_is_printed():
    drawings = "".join(
        f'<a class="enlarge for-{paper}" href="f-{paper}.svg"><img src="f-{paper}.svg" alt="f"></a>'
        for paper in ("light", "dark")
    )
    soup = BeautifulSoup(PAGE.format(more=drawings), "html.parser")
    shown = [image["src"] for image in pdf.chapter("book/x", soup, {"x"}).select("img")]
    assert shown == ["b.png", "f-light.svg"]


@pytest.mark.parametrize("page", pages())
def test_the_paper_and_its_code_are_one_click_away(page):
    if not (HTML / f"{page}.html").is_file():
        pytest.skip("the book is not built; run `make book` first")
    links = {a["href"] for a in BeautifulSoup((HTML / f"{page}.html").read_text(), "html.parser").select("footer a")}
    assert {"https://arxiv.org/abs/2405.00679", "https://github.com/holzhauk/LocalLearning"} <= links


def test_every_reference_has_a_link():
    from pybtex.database import parse_file

    entries = parse_file(str(ROOT / "book" / "references.bib")).entries
    assert entries
    assert [key for key, entry in entries.items() if not {"doi", "url", "eprint"} & set(entry.fields)] == []


# What the pass over the rendered pages does

PAGE = """<html><head><script>const THEBE_JS_URL = "https://somewhere/x.js"</script><script src="a.js"></script>
<script data-cfasync="false">set(localStorage.getItem("mode") || "")</script></head>
<body data-default-mode=""><div><a class="navbar-brand logo" href="x.html"><img src="logo.svg" alt="Home"></a></div>
<nav><a href="p.html">The <code>package</code></a><details><summary><i></i></summary></details></nav>
<article class="bd-article"><details><summary aria-label="Toggle hidden content">Show code</summary></details>
<div class="citation-list" role="list"><div class="citation" role="doc-biblioentry">A</div></div>
<img src="b.png" alt="b">{more}</article><script src="../_static/katex.min.js"></script></body></html>"""


def test_a_page_is_finished_once_and_for_all():
    once = finish.finished(PAGE.format(more=""))
    assert finish.finished(once) == once
    soup = BeautifulSoup(once, "html.parser")
    assert [script.get("src") for script in soup.select("script")] == ["a.js", None]
    assert soup.select("script")[1].string == 'set(localStorage.getItem("mode") || "auto")'
    assert soup.body["data-default-mode"] == "auto"
    assert soup.select_one("nav[aria-label] > a.logo")
    assert soup.select_one("nav summary")["aria-label"] == "Pages of The package"
    assert not soup.select("article summary[aria-label], [role]")
    assert soup.select_one("article img")["loading"] == "lazy"
    assert not soup.select_one(".logo img").get("loading")


FOLDED = """<div class="cell tag_hide-input" {id}><details class="hide above-input"><summary>Show</summary>
<div class="cell_input">{code}</div></details>{shown}</div>"""


def test_folded_code_without_a_result_of_its_own_joins_the_next():
    one, two = (FOLDED.format(code=code, shown="", id="") for code in ("first", "second"))
    last = FOLDED.format(code="third", shown='<div class="cell_output">drawn</div>', id='id="code-fig"')
    once = finish.finished(PAGE.format(more=one + two + last + one))
    soup = BeautifulSoup(once, "html.parser")
    cells = [[code.get_text() for code in cell.select(".cell_input")] for cell in soup.select(".cell")]
    assert cells == [["first", "second", "third"], ["first"]]
    assert soup.select_one("#code-fig summary + .cell_input").get_text() == "first"
    assert finish.finished(once) == once


def test_a_row_of_a_wide_table_can_be_a_card():
    table = """<table class="table"><thead><tr><th>a</th><th>b <i>c</i></th>{more}</tr></thead>
    <tbody><tr><td>1</td><td>2<br><small>3</small></td>{more}</tr></tbody></table>"""
    once = finish.finished(PAGE.format(more=table.format(more="<th>d</th>") + table.format(more="")))
    wide, narrow = BeautifulSoup(once, "html.parser").select("table")
    assert "cards" in wide["class"]
    assert [cell["data-label"] for cell in wide.select("td")] == ["a", "b c"]
    assert len(wide.select("td")[1].contents) == 1
    assert "cards" not in narrow["class"]
    assert finish.finished(once) == once


def test_formulas_are_loaded_where_there_are_some():
    assert "katex" in finish.finished(PAGE.format(more='<span class="math">x</span>'))


def test_icons_that_nothing_shows_go():
    arrow, bars = '"arrow-up":[384,512,[8593],"f062","M1"],', 'bars:[448,512,["navicon"],"f0c9","M2"],'
    script = "var a={" + arrow + bars + 'cat:[5,5,[],"f6be",["M3","M4"]]}'
    thin = finish.without_unused_icons(script, {"arrow-up", "navicon"})
    assert thin == "var a={" + arrow + bars + "}"
    assert finish.without_unused_icons(thin, {"arrow-up", "navicon"}) == thin
    with pytest.raises(ValueError, match="its format has changed"):
        finish.without_unused_icons("var a={}", {"bars"})


def test_rules_for_icons_go_and_all_others_stay():
    rest = '.fa-lg{font-size:1.3em}.a:before{content:"x"}'
    assert finish.without_icon_rules('.fa-cat:before,.fa-dog:before{content:"\\f576"}' + rest) == rest
    with pytest.raises(ValueError, match="their format has changed"):
        finish.without_icon_rules(".a{}")


def test_the_index_of_words_is_loaded_where_it_is_searched():
    script = '<script src="../searchindex.js?v=1"></script>'
    assert "searchindex" not in finish.finished(PAGE.format(more=script))
    assert "searchindex" in finish.finished(PAGE.format(more=f'<div id="search-results"></div>{script}'))


def test_every_icon_of_the_pages_is_in_the_script():
    script = HTML / "_static" / "scripts" / "fontawesome.js"
    if not script.is_file():
        pytest.skip("the book is not built; run `make book` first")
    text = script.read_text()
    shown = {
        name.removeprefix("fa-")
        for page in pages()
        for icon in BeautifulSoup((HTML / f"{page}.html").read_text(), "html.parser").select("[class*='fa-']")
        for name in icon["class"]
        if name.startswith("fa-") and name not in {"fa-solid", "fa-regular", "fa-brands", "fa-lg"}
    }
    assert shown
    assert [name for name in sorted(shown) if f'"{name}":[' not in text and f",{name}:[" not in text] == []
    assert len(text) < 200_000


def test_formulas_are_set_by_the_version_whose_styles_lie_here():
    """The extension brings the script, the book the styles and fonts: both of one version."""
    import sphinxcontrib.katex

    styles = (ROOT / "book" / "_static" / "katex" / "katex.min.css").read_text()
    assert f'content:"{sphinxcontrib.katex.katex_version}"' in styles
