"""Buttons of a page: open its notebook elsewhere, take it home, edit its source, report an error.

A Sphinx extension. What leads to a repository appears where the repository is known, see ``tools.edition``; what can be
downloaded lies beside the pages, so it always works.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

from sphinx.application import Sphinx

from tools import edition
from tools.edition import ROOT, Edition
from tools.reader_notebooks import ZIP

DOWNLOADS = "_static/notebooks"
LOGOS = {"Binder": "logo_binder.svg", "Colab": "logo_colab.png", "JupyterHub": "logo_jupyterhub.svg"}
Button = dict[str, Any]


def link(text: str, tooltip: str, url: str, icon: str) -> Button:
    """A button as the theme's templates take it; they do not escape."""
    return {"type": "link", "text": text, "tooltip": tooltip, "url": html.escape(url), "icon": icon}


def buttons(page: str, about: Edition, pathto: Callable[[str, int], str]) -> dict[str, list[Button]]:
    """What each group of a page's buttons has, by the group's label; a group without any is not shown.

    page: such as ``book/spectra``; pathto: the way from the page to a file of the site.
    """
    name, is_notebook = PurePosixPath(page).name, (ROOT / f"{page}.ipynb").is_file()
    found: dict[str, list[Button]] = {"launch": [], "download": [], "repository": []}
    if is_notebook:
        for to, url in about.launch(name).items():
            found["launch"].append(link(to, f"Open this chapter in {to}", url, f"_static/images/{LOGOS[to]}"))
        for to, file, tip in ((".ipynb", f"{name}.ipynb", "this chapter"), ("all .ipynb", ZIP, "all chapters")):
            url = pathto(f"{DOWNLOADS}/{file}", 1)
            found["download"].append(link(to, f"Download {tip} as a notebook", url, "fas fa-file"))
    if about.url:
        source = f"{page}.{'py' if is_notebook else 'md'}"
        found["repository"] = [
            link("Repository", "The repository of this book", about.url, "fab fa-github"),
            link("Suggest an edit", "Edit the source of this page", about.edit(source), "fas fa-pencil-alt"),
            link("Report an error", "Open an issue about this page", about.report(page), "fas fa-lightbulb"),
        ]
    return found


def footer(about: Edition) -> str:
    """The line at the foot of each page that says which edition it is of."""
    kind = "edition" if about.released else "the working version of edition"
    commit = f", commit {html.escape(about.commit[:10])}" if about.commit else ""
    others = f' <a href="{html.escape(about.site)}editions.html">All editions</a>.' if about.site else ""
    return f'<p class="edition">This is {kind} {html.escape(about.version)}{commit}.{others}</p>'


def add(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Put the buttons before the theme's own, and the edition into the footer."""
    about = edition.current()
    context["theme_extra_footer"] = context.get("theme_extra_footer", "") + footer(about)
    if "header_buttons" not in context or not pagename.startswith("book/"):
        return
    own = context["header_buttons"]
    found = buttons(pagename, about, context["pathto"])
    for button in own:
        if button.get("label") == "download-buttons" and found["download"]:
            # The theme offers the stored source, full of markup that Jupyter shows raw; printing stays.
            kept = [one for one in button["buttons"] if one.get("label") == "download-pdf-button"]
            button["buttons"] = found["download"] + kept
    tips = {"launch": ("Run this chapter elsewhere", "fas fa-rocket"), "repository": ("Source", "fab fa-github")}
    new = [
        {"type": "group", "label": f"{label}-buttons", "tooltip": tip, "icon": icon, "buttons": found[label]}
        for label, (tip, icon) in tips.items()
        if found[label]
    ]
    context["header_buttons"] = new + own


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("html-page-context", add, priority=900)  # after the theme has gathered its own
    return {"parallel_read_safe": True, "parallel_write_safe": True}
