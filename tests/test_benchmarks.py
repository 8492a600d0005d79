import copy

from benchmarks import peers
from bioadv.data.files import read_json
from tools.notebooks import ROOT


def test_the_page_of_costs_shows_what_was_measured():
    """Its table is the one that the stored measurement gives; nobody types a ratio."""
    page, found = (ROOT / peers.PAGE).read_text(), read_json(ROOT / peers.FILE)
    assert peers.paged(page, found) == page
    other = copy.deepcopy(found)
    other["seconds"]["pgd"]["ours"] *= 2
    assert peers.paged(page, other) != page
    del other["seconds"]["pgd"]["foolbox"]
    assert "| foolbox | at most 1 | not installed |" in peers.table(other)
