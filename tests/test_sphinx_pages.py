"""The dress of a page: tables, folded checks, figures for both themes, links to what is behind them, the front page."""

import hashlib
import json
from types import SimpleNamespace

import pytest
from docutils import nodes
from docutils.utils import new_document

from tools import sphinx_pages

PICTURE = b"a picture"
HASH = hashlib.sha256(PICTURE).hexdigest()
BODY = f"""<h1>T</h1><p>First &amp; foremost.</p>
<div class="cell tag_hide-input docutils container"><details><pre>code</pre></details>
<figure class="align-default" id="fig-a">
<img alt="a curve" src="../_images/{HASH}.png" />
<figcaption>
<p>Caption</p>
</figcaption>
</figure>
</div>
<div class="output stream highlight-myst-ansi notranslate"><div class="highlight"><pre><span></span>✓ one: 0 to 1
✓ two: at least 3
</pre></div>
</div>
<div class="output stream highlight-myst-ansi notranslate"><div class="highlight"><pre><span></span>printed
</pre></div>
</div>"""
DRAWING = '<svg width="72pt" height="36pt"><path style="fill: #222222"/></svg>'


@pytest.fixture
def app(tmp_path):
    (tmp_path / "stage").mkdir()
    (tmp_path / "figures").mkdir()
    (tmp_path / "html" / "_images").mkdir(parents=True)
    config = SimpleNamespace(html_baseurl="", html_title="Book")
    return SimpleNamespace(confdir=tmp_path / "stage", outdir=tmp_path / "html", config=config)


def dressed(app, body=BODY):
    context = {"body": body, "title": "T"}
    sphinx_pages.dress(app, "book/x", "", context, None)
    return context


def test_checks_fold_and_other_outputs_stay(app):
    body = dressed(app)["body"]
    assert "<summary>✓ 2 checks hold</summary><ul><li>one: 0 to 1</li><li>two: at least 3</li></ul>" in body
    assert "<pre><span></span>printed" in body


def test_a_single_check_is_a_line_of_its_own(app):
    one = BODY.replace("✓ two: at least 3\n", "")
    body = dressed(app, one)["body"]
    assert '<p class="checks">✓ one: 0 to 1</p>' in body
    assert "<summary>✓" not in body


def linked(*paragraphs, page="book/x"):
    """Paragraphs of a page after the terms of a glossary of one entry were linked."""
    doctree = new_document("x")
    for text in paragraphs:
        doctree += nodes.paragraph("", "", *text if isinstance(text, list) else [nodes.Text(text)])
    glossary = new_document("notation")
    term = nodes.term("", "alive, dead", ids=["term-alive"])
    item = nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", "It \n fires.")))
    glossary += nodes.definition_list("", item)
    app = SimpleNamespace(
        env=SimpleNamespace(get_doctree=lambda name: glossary),
        builder=SimpleNamespace(get_relative_uri=lambda start, to: "notation.html"),
    )
    sphinx_pages.link_terms(app, doctree, page)
    return doctree


def test_only_the_first_use_of_a_term_is_a_link():
    doctree = linked("Units alive, then alive again.", "And alive once more, but dead at last.")
    links = list(doctree.findall(nodes.reference))
    assert [link.astext() for link in links] == ["alive", "dead"]  # each name of an entry once
    assert links[0]["refuri"] == "notation.html#term-alive"
    assert links[0]["reftitle"] == "It fires."
    assert doctree.astext() == "Units alive, then alive again.\n\nAnd alive once more, but dead at last."
    assert not list(linked("alive", page="book/notation").findall(nodes.reference))
    assert not list(linked([nodes.literal("", "alive")], "undead").findall(nodes.reference))


def test_the_caption_of_a_table_stands_above_and_that_of_a_figure_below():
    document = new_document("x")
    for name in ("tab-a", "fig-a"):
        document += nodes.figure("", nodes.image(), nodes.caption("", "what it is"), names=[name], ids=[name])
    sphinx_pages.Tables(document).apply()
    table, figure = document.children
    assert isinstance(table, sphinx_pages.TableFigure)
    assert [type(node) for node in table.children] == [nodes.caption, nodes.image]
    assert [type(node) for node in figure.children] == [nodes.image, nodes.caption]
    assert document.ids["tab-a"] is table


def test_a_figure_without_files_stays_and_links_its_cell(app):
    body = dressed(app)["body"]
    assert f"{HASH}.png" in body
    assert '<span class="behind"><a href="#code-fig-a">code</a></span>' in body
    assert '<div id="code-fig-a" class="cell tag_hide-input' in body


def test_a_figure_is_drawn_for_both_themes_with_its_numbers_and_runs(app, tmp_path):
    (tmp_path / "figures" / f"{HASH}.svg").write_text(DRAWING)
    (tmp_path / "figures" / f"{HASH}.csv").write_text("panel,series,x,y\n")
    read = ["cifar10/kh/seed-0/spectra.npz", "cifar10/kh/seed-0/manifest.json"]
    (tmp_path / "figures" / f"{HASH}.json").write_text(json.dumps({"read": read}))
    body = dressed(app)["body"]
    for theme, ending in (("light", ""), ("dark", "-dark")):
        assert f'<img class="dark-light" alt="a curve" src="../_images/{HASH}{ending}.svg" width="96"' in body
        assert f'<a class="enlarge for-{theme}" href="../_images/{HASH}{ending}.svg"' in body
    assert "only-" not in body  # the theme hides the caption beside what it calls so
    assert f'{HASH}.csv" download="fig-a.csv">data</a>' in body
    assert "1 run</a>" in body
    images = tmp_path / "html" / "_images"
    assert "#222222" not in (images / f"{HASH}-dark.svg").read_text()
    manifests = json.loads((images / f"{HASH}.json").read_text())["manifests"]
    assert "cifar10/kh/seed-0" in manifests


def test_a_table_stands_outside_of_its_caption(app):
    table = '<figure class="table-figure align-default" id="tab-a">\n<figcaption>\n<p>Caption</p>\n'
    table += '<div class="output"><table></table></div>\n</figcaption>\n</figure>'
    body = dressed(app, f'<p>x</p><div class="cell docutils container">{table}</div>{BODY}')["body"]
    assert '<p>Caption</p><span class="behind"><a href="#code-tab-a">code</a></span></figcaption>\n<div' in body
    assert body.count("</figcaption>") == body.count("<figcaption>") == 2


def test_a_page_is_described(app):
    tags = dressed(app)["metatags"]
    assert '<meta name="description" content="First &amp; foremost." />' in tags
    assert 'property="og:title" content="T"' in tags


def test_the_front_page_is_a_page_of_its_own(app, tmp_path):
    (tmp_path / "html" / "book").mkdir()
    (tmp_path / "html" / "book" / "intro.html").write_text(
        '<html data-content_root="../"><link href="../_static/a.css"><a href="spectra.html#fig">x</a>'
        '<a href="#here">y</a><a href="https://x.y/">z</a><img src="../_images/a.svg"></html>'
    )
    app.builder = SimpleNamespace(name="html")
    sphinx_pages.front_page(app, None)
    assert (tmp_path / "html" / "index.html").read_text() == (
        '<html data-content_root="./"><link href="_static/a.css"><a href="book/spectra.html#fig">x</a>'
        '<a href="#here">y</a><a href="https://x.y/">z</a><img src="_images/a.svg"></html>'
    )
