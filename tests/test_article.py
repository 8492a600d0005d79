"""The article: numbers of the book, no placeholder left, references that exist, and four printed pages at most."""

import re
import shutil

import pytest
from pypdf import PdfReader

from bioadv.lab import claims
from tests.explorer_page import CHROMIUM
from tools import article
from tools.notebooks import typed_numbers

VERDICTS = {"a-claim": claims.Verdict(claims.NOT, 2)}
GLUED = {"spectra/alpha": "1.05"}


def test_placeholders_are_filled_in():
    text = "{glue:text}`spectra/alpha` was {claim}`a-claim` by {seeds}`a-claim` seeds"
    assert article.resolved(text, GLUED, VERDICTS) == f"1.05 was {claims.NOT} by 2 seeds"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{glue:text}`spectra/beta`", r"spectra/beta`, which is not known; run the chapter"),
        ("{claim}`b-claim`", "b-claim`, which is not known"),
        ("{glue:math}`spectra/alpha`", "its placeholders are claim, glue:text, seeds"),
    ],
)
def test_an_unknown_placeholder_is_named(text, words):
    with pytest.raises(ValueError, match=words):
        article.resolved(text, GLUED, VERDICTS)


def test_citations_are_found_and_unknown_ones_named():
    text = "As @horn1950singular has it [compare @cho2009kernel; @horn1950singular], write to me@example.org."
    assert article.keys(text) == ["horn1950singular", "cho2009kernel"]
    assert article.in_text(text).startswith(
        "As Horn (1950) has it (compare Cho and Saul 2009; Horn 1950), write to me@"
    )
    with pytest.raises(ValueError, match="cites @nobody2000, which references.bib does not have"):
        article.references(["horn1950singular", "nobody2000"])


def test_no_number_of_the_article_is_typed():
    body = article.ARTICLE.read_text().split("---\n", 2)[2]
    assert typed_numbers(article.ROLE.sub("", body)) == []
    assert len(article.ROLE.findall(body)) > 50


def test_the_counts_of_the_ledger_are_those_of_today():
    counts = claims.summary([claims.judge(claim) for claim in claims.papers(claims.read())])
    stored = article.values()
    assert {label: stored[f"claims/count-{label.replace(' ', '-')}"] for label in counts} == {
        label: str(count) for label, count in counts.items()
    }


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine (Debian: apt install chromium)")
def test_the_article_is_printed_on_four_pages(tmp_path):
    printed = PdfReader(article.write(tmp_path))
    text = "\n".join(one.extract_text() for one in printed.pages)
    assert 3 <= len(printed.pages) <= 4
    assert not re.search(r"glue:|\{\w+\}|[\[ ]@\w|`", text)
    body = article.ARTICLE.read_text()
    cited = article.keys(body)
    assert len(cited) >= 15
    listed = text[text.rindex("References") :]
    for one in article.references(cited):
        doi = re.search(r"doi\.org/([^\"]+)", one)
        assert not doi or doi[1] in re.sub(r"\s", "", listed)
    assert "Holzhausen" in listed
    for title in re.findall(r"(?m)^# (.*)$", body):
        assert title in text

    # What a journal takes: the same text, with its figures and references beside it.
    for_journal = (tmp_path / "paper.md").read_text()
    assert not article.ROLE.search(for_journal)
    assert article.keys(for_journal) == cited
    assert all((tmp_path / file).is_file() for file in re.findall(r"\]\((fig-[\w.-]+)\)", for_journal))
    assert (tmp_path / "paper.bib").read_bytes() == article.REFERENCES.read_bytes()


def test_without_a_browser_the_remedy_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="install one"):
        article.write(tmp_path)
