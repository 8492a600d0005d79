"""Notebooks for readers: nothing of the book's markup is left raw, and nothing of its content is lost."""

import json
import re

import nbformat
import pytest

from tools import myst_names, reader_notebooks
from tools.edition import ROOT, Edition
from tools.myst_names import Names, Place

CHAPTERS = sorted(path.stem for path in (ROOT / "book").glob("*.py"))
NAMES = Names(
    {
        "ch-x": Place("title", "Here", "x"),
        "ch-y": Place("title", "Elsewhere", "y"),
        "fig-a": Place("figure", "Fig. 1.1", "x"),
        "eq-b": Place("equation", "1.2", "y"),
        "eq-own": Place("equation", "1.1", "x"),
        "tab-c": Place("table", "Table 1.1", "x"),
        "ex-d": Place("exercise", "Exercise 1.1", "x"),
    },
    {"one": ("Doe", "2001", "https://doi.org/1"), "two": ("Roe et al.", "2002", "")},
)
RELEASE = Edition("1.0.0")
RECORD = {"data": {myst_names.GLUED: "'0.5 ± 0.1'"}, "metadata": {"scrapbook": {"name": "value"}}}


def written(*sources, about=RELEASE):
    """Cells of a small chapter after the first two, which all have; the first source is code that glues."""
    cells = [{"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [RECORD], "source": "glue()"}]
    for source in sources:
        cells.append(
            source if isinstance(source, dict) else {"cell_type": "markdown", "metadata": {}, "source": source}
        )
    notebook = reader_notebooks.Writer("x", {"cells": cells, "metadata": {}}, NAMES, about).write()
    return notebook["cells"][3:]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("is {glue:text}`value` here", "is 0.5 ± 0.1 here"),
        ("{ref}`ch-y` and {numref}`fig-a`", "Elsewhere and Fig. 1.1"),
        ("{eq}`eq-b` and {eq}`eq-own`", "(1.2) and (1.1)"),
        ("{cite}`one,two`", "([Doe 2001](https://doi.org/1); Roe et al. 2002)"),
        ("{cite:t}`two` say", "Roe et al. (2002) say"),
        ("{func}`~bioadv.data.files.digest`", "`bioadv.data.files.digest`"),
        ("a {term}`null`, {term}`nulls <null>`", "a null, nulls"),
        ("(ch-x)=\n# Here\n\ntext", "# Here\n\ntext"),
        ("$$\nx = 1\n$$ (eq-own)", "$$\nx = 1\n\\tag{1.1}\n$$"),
        ("```{admonition} The paper\n:class: paper\nsays\n\nthis\n```", "> **The paper**\n>\n> says\n>\n> this"),
        ("```{table} Names.\n:name: tab-c\n| a |\n|---|\n| b |\n```", "**Table 1.1. **Names.\n\n| a |\n|---|\n| b |"),
        (
            "```{list-table} Names.\n:name: tab-c\n* - a\n  - b\n* - c\n    d\n  - e\n```",
            "**Table 1.1. **Names.\n\n| a | b |\n|---|---|\n| c d | e |",
        ),
        ('see <a href="explorer.html#views?a=1&amp;b=2">the views</a>', "see the views"),
        ("see [how](running.md) or [there](https://x.y/z.html)", "see how or [there](https://x.y/z.html)"),
        ("```python\nx = {1}\n```", "```python\nx = {1}\n```"),
    ],
)
def test_markup_becomes_plain(text, plain):
    assert [cell["source"] for cell in written(text)] == [plain]


def test_links_lead_to_the_site_where_it_is_known():
    (cell,) = written(
        '<a href="explorer.html#a?b=1&amp;c">x</a> {ref}`ch-y`', about=Edition("1.0.0", site="https://s/")
    )
    assert cell["source"] == "[x](https://s/book/explorer.html#a?b=1&c) [Elsewhere](https://s/book/y.html#ch-y)"


def test_terms_lead_to_the_glossary():
    """By the names that Sphinx gives: every term of a chapter is one of the glossary."""
    (cell,) = written("{term}`nulls <null>`, {term}`paper's scale`", about=Edition("1.0.0", site="https://s/"))
    page = "https://s/book/notation.html#term-"
    assert cell["source"] == f"[nulls]({page}null), [paper's scale]({page}paper-s-scale)"
    glossary = (ROOT / "book" / "notation.md").read_text().partition("```{glossary}")[2]
    terms = set(re.findall(r"(?m)^(\S.*)\n  \S", glossary))
    texts = [path.read_text() for path in (ROOT / "book").glob("*.py")]
    used = {used for text in texts for used in re.findall(r"\{term\}`(?:[^`]* <)?([^`>]+)>?`", text)}
    assert used
    assert used <= terms


def test_links_of_a_release_lead_to_its_own_pages():
    (cell,) = written("{ref}`ch-y`", about=Edition("1.0.0", site="https://s/", tagged=True))
    assert cell["source"] == "[Elsewhere](https://s/v1.0.0/book/y.html#ch-y)"


def test_solutions_are_folded():
    code = {"cell_type": "code", "execution_count": 2, "metadata": {}, "outputs": [], "source": "x"}
    exercise = "```{exercise}\n:label: ex-d\nWhy?\n```\n"
    cells = written(exercise + "\n```{solution} ex-d\n:class: dropdown\nSo.\n```", "## Next")
    assert cells[0]["source"].startswith("#### Exercise 1.1\n\nWhy?")
    assert "<details><summary><b>Solution</b></summary>\n\nSo.\n\n</details>" in cells[0]["source"]
    start = exercise + "\n```{solution-start} ex-d\n:class: dropdown\n```"
    cells = written(start, code, "Because.\n\n```{solution-end}\n```\n\nafter", code)
    assert [cell["source"].split("\n")[0] for cell in cells] == [
        "#### Exercise 1.1",
        "##### Solution of exercise 1.1",
        "x",
        "Because.",
        "after",
        "x",
    ]
    assert cells[1]["metadata"][reader_notebooks.FOLDED]
    assert cells[2]["metadata"]["jupyter"] == {"source_hidden": True}
    assert "jupyter" not in cells[5]["metadata"]


def test_captions_stand_below_figures():
    about = {"figure": {"caption": "At {glue:text}`value`.", "name": "fig-a"}, "image": {"alt": "a"}}
    metadata = {"mystnb": about, "tags": ["hide-input"]}
    code = {"cell_type": "code", "execution_count": 2, "metadata": metadata, "outputs": [], "source": "draw()"}
    drawn, caption = written(code)
    assert caption["source"] == "**Fig. 1.1.** At 0.5 ± 0.1."
    assert drawn["metadata"] == {"cellView": "form", "jupyter": {"source_hidden": True}, "tags": ["hide-input"]}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{glue:text}`gone`", "`gone` refers to nothing; run the chapter"),
        ("{ref}`gone`", "`gone` refers to nothing"),
        ("{kbd}`x`", "role 'kbd' has no plain form"),
        ("```{tip}\nx\n```", "directive 'tip' has no plain form"),
    ],
)
def test_unknown_markup_is_named(text, words):
    with pytest.raises(ValueError, match=f"x: .*{words}"):
        written(text)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    return reader_notebooks.generate(
        folder, Edition("1.0.0", "someone/some-book", "https://someone.github.io/some-book/", tagged=True)
    )


def test_all_chapters_are_generated(generated):
    assert sorted(path.stem for path in generated) == CHAPTERS
    for path in generated:
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert reader_notebooks.leftovers(notebook) == []
        assert "someone/some-book/releases/download/v1.0.0/bioadv-1.0.0-py3-none-any.whl" in notebook.cells[1].source
        stored = json.loads((ROOT / "book" / path.name).read_text())
        code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
        assert code[1:] == [myst_names.source(cell) for cell in stored["cells"] if cell["cell_type"] == "code"]


def test_leftovers_are_seen():
    raw = ["{ref}`x`", "```{tip}\nx\n```", "(ch-x)=\n# x", '<a href="x.html">']
    cells = [{"cell_type": "markdown", "source": text} for text in raw]
    assert len(reader_notebooks.leftovers({"cells": cells})) == len(raw)


def test_the_archive_has_all_and_equal_bytes(generated, tmp_path):
    for name in ("a.zip", "b.zip"):
        reader_notebooks.pack(generated, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_label_that_stands_twice_is_named(tmp_path):
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "references.bib").write_text("")
    (tmp_path / "_toc.yml").write_text("root: book/a\nparts: []")
    for name in ("a", "b"):
        (tmp_path / "book" / f"{name}.md").write_text("(ch-a)=\n# A title\n")
    with pytest.raises(ValueError, match="label 'ch-a' stands on pages a and b"):
        myst_names.collect(tmp_path)
