"""A page for tests of the explorer: the markup of book/explorer.md, in a frame that has the theme's variables."""

import re
import shutil

from bioadv.lab.runs import ROOT
from bioadv.pages.explorer_data import FOLDER
from tools.build_book import EXPLORER, HTML

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NODE, NPM = shutil.which("node"), shutil.which("npm")
AXE = ROOT / "explorer" / "node_modules" / "axe-core" / "axe.min.js"
FRAME = """<!doctype html><html lang="en" data-theme="light"><head><meta charset="utf-8"><title>Explorer</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
html[data-theme="light"] {{ --pst-color-text-base: #323232; --pst-color-text-muted: #48566b;
  --pst-color-background: #fff; --pst-color-surface: #f3f4f5; }}
html[data-theme="dark"] {{ --pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af;
  --pst-color-background: #14181e; --pst-color-surface: #29313d; }}
body {{ background: var(--pst-color-background); color: var(--pst-color-text-base); font: 16px sans-serif; }}
html[data-theme="dark"] .only-light, html[data-theme="light"] .only-dark {{ display: none; }}
</style></head><body><main><h1>Explorer</h1>{body}</main></body></html>"""


def write(folder, without=(), change=lambda name, text: text):
    """The page in a folder of its own, with its files but those in ``without``; returns its address."""
    (body,) = re.findall(r"```\{raw\} html\n(.*?)```", (ROOT / "book" / "explorer.md").read_text(), re.DOTALL)
    (folder / "book").mkdir(parents=True)
    (folder / "_static" / "explorer").mkdir(parents=True)
    for file in FOLDER.iterdir():
        if file.name not in without:
            target = folder / "_static" / "explorer" / file.name
            target.write_text(change(file.name, file.read_text()))
    (folder / "book" / "explorer.html").write_text(FRAME.format(body=body))
    return f"file://{folder}/book/explorer.html"


def built():
    """The address of the page in the built book, or None; one of an older bundle does not count."""
    page, script = HTML / "book" / EXPLORER, HTML / "_static" / "explorer" / "explorer.js"
    same = script.is_file() and script.read_bytes() == (FOLDER / "explorer.js").read_bytes()
    return f"file://{page}" if same and page.is_file() else None
