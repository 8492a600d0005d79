"""The built book in a real browser: nothing too wide, no picture or formula missing, both themes, desktop and phone."""

import shutil

import pytest

from tools.build_book import HTML, pages

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


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


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("page", pages())
def test_page_is_legible(browser, page, theme, width):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)
    tab = context.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(f"file://{HTML / page}.html")
    tab.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    if tab.locator(".math").count():
        tab.wait_for_selector("mjx-container", timeout=20_000, state="attached")
    try:
        assert tab.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert tab.evaluate("[...document.images].filter(i => !i.complete || !i.naturalWidth).length") == 0
        assert tab.locator("mjx-merror").count() == 0
        # sphinx-thebe is loaded by Jupyter Book and by its theme; the second declaration is ignored and harmless.
        assert [error for error in errors if "THEBE_JS_URL" not in error] == []
        figures = tab.locator(".cell:not(.tag_picture) .cell_output img")
        for i in range(figures.count()):
            inverted = "invert" in figures.nth(i).evaluate("e => getComputedStyle(e).filter")
            assert inverted == (theme == "dark")
    finally:
        context.close()
