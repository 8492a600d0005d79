import copy

import pytest

from benchmarks import page, peers, probe, readout, screening, seed, spectral, stored
from bioadv.data.files import read_json
from tools.notebooks import ROOT

PARTS = {
    "peers": peers,
    "probe": probe,
    "readout": readout,
    "screening": screening,
    "seed": seed,
    "spectral": spectral,
}


@pytest.mark.parametrize("name", PARTS)
def test_the_page_of_costs_shows_what_was_measured(name):
    """Its tables are those that the stored measurements give; nobody types a figure."""
    text, found = (ROOT / page.PAGE).read_text(), read_json(ROOT / PARTS[name].FILE)
    assert page.paged(text, name, PARTS[name].table(found)) == text
    other = changed(copy.deepcopy(found))
    assert page.paged(text, name, PARTS[name].table(other)) != text


def test_the_page_of_costs_shows_the_stored_runs():
    """Run ``python -m benchmarks stored`` after adding some."""
    text, found = (ROOT / page.PAGE).read_text(), stored.gathered()
    assert page.paged(text, "stored", stored.table(found)) == text
    by_hand = {"bp": {"manifest": [3600.0, 7200.0, 1800.0], **{key: [60.0, 180.0] for key in stored.PROBES}}}
    assert "| BP | 3 | 0.50 to 2.00 | 10 |" in stored.table(by_hand)
    assert "1.0 hours of training" in stored.table(by_hand)
    none = {"kh": {"manifest": [], **{key: [] for key in stored.PROBES}}}  # in the registry, and trained by nobody
    assert stored.table(by_hand | none) == stored.table(by_hand)


def changed(found):
    """The measurement with every number doubled."""
    if isinstance(found, dict):
        return {key: changed(value) for key, value in found.items()}
    if isinstance(found, list):
        return [changed(value) for value in found]
    return found if isinstance(found, str) else 1.5 * found + 1


def test_a_library_that_is_not_installed_is_named():
    found = read_json(ROOT / peers.FILE)
    found["seconds"]["pgd"].pop("foolbox", None)
    assert "| foolbox | at most 1 | not installed |" in peers.table(found)


def test_a_page_without_the_part_is_refused():
    with pytest.raises(ValueError, match="has no part 'peers'; put <!-- measured: peers -->"):
        page.paged("# What it costs", "peers", "")


def test_a_screen_finds_the_same_leaders_in_less_time():
    """What the page concludes."""
    found = read_json(ROOT / screening.FILE)
    assert all(one["winner"] == one["rank k"] == 0 for one in found["paper"])
    assert found["seconds"]["step, screened"] < 0.8 * found["seconds"]["step"]


def test_directions_taken_less_often_make_another_model():
    """What the page concludes: the penalty and the exponent move by more than between two seeds."""
    runs = read_json(ROOT / spectral.FILE)["runs"]
    one = runs[spectral.WAYS[0]]
    for way in spectral.WAYS[1:3]:
        gaps, seeds = (
            [abs(other[key] - one[key]) for key in ("penalty", "exponent")]
            for other in (runs[way], runs[spectral.OTHER])
        )
        assert min(gap / seed for gap, seed in zip(gaps, seeds, strict=True)) > 5, way
