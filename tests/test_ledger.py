from bioadv.lab import claims
from bioadv.lab.claims import Verdict
from bioadv.pages import ledger

CLAIMS = claims.read()
VERDICTS = {claim.id: claims.judge(claim) for claim in CLAIMS}


def test_every_claim_has_a_card_with_an_address_and_what_the_filter_asks_for():
    shown = str(ledger.page(CLAIMS, VERDICTS))
    for claim in CLAIMS:
        assert f'id="claim-{claim.id}"' in shown
        card = ledger.card(claim, VERDICTS[claim.id])
        assert card in shown
        assert f'data-chapter="{claim.figure.split("#")[0]}"' in card
        assert f'data-verdict="{VERDICTS[claim.id].label.replace(" ", "-")}"' in card
        assert f'data-model="{" ".join(dict.fromkeys(claim.models))}"' in card
    assert shown.count("<article") == len(CLAIMS)
    kinds = {VERDICTS[claim.id].label.replace(" ", "-") for claim in CLAIMS}
    assert len(kinds) > 2
    assert all(f'<option value="{kind}">' in shown for kind in kinds)  # what the filter compares with
    assert shown.index("claim-kh-beats-bp") < shown.index("claim-accuracy-kh")


def test_the_papers_value_and_ours_have_one_unit_and_as_many_digits():
    (claim,) = (one for one in CLAIMS if one.id == "accuracy-kh")
    found = Verdict(claims.REPRODUCED, 2, {"accuracy, kh": [0.4731, 0.4752]})
    assert ledger.measured(claim, found) == [("paper", "47.20 % (tolerance 1.00 %)"), ("here", "47.31 and 47.52 %")]
    shown = ledger.card(claim, found)
    assert "✓ reproduced · 2 seeds" in shown
    assert "specreg" not in shown


def test_a_card_tells_divided_seeds_and_controls():
    (claim,) = (one for one in CLAIMS if one.id == "expressivity")
    found = Verdict(
        claims.NOT, 3, {"accuracy of the best readout, below BP, kh": [0.1]}, True, {"images as rows": [0.2]}
    )
    shown = ledger.card(claim, found)
    assert "not reproduced · 3 seeds, divided" in shown
    assert "images as rows: 0.20" in shown


def test_an_order_names_its_models_in_words():
    (claim,) = (one for one in CLAIMS if one.id == "most-robust-pgd")
    values = {f"critical norm, PGD, {m}": [v] for m, v in zip(claim.models, (0.12, 0.1, 0.07, 0.04), strict=True)}
    found = ledger.measured(claim, Verdict(claims.REPRODUCED, 1, values))
    assert found == [("here", "KH 0.120 > L2 0.100 > Jacobian 0.070 > BP 0.040")]


def test_no_order_is_stated_that_numbers_do_not_have():
    (claim,) = (one for one in CLAIMS if one.id == "most-robust-pgd")
    values = {f"critical norm, PGD, {m}": [v] for m, v in zip(claim.models, (0.12, 0.1, 0.03, 0.04), strict=True)}
    found = ledger.measured(claim, Verdict(claims.NOT, 1, values))
    assert found == [("here", "KH 0.120 > L2 0.100 > Jacobian 0.030 < BP 0.040")]


def test_equal_numbers_are_shown_as_equal():
    (claim,) = (one for one in CLAIMS if one.id == "kh-beats-bp")
    values = {f"{what}, {m}": [0.1] for what in claim.statistics for m in claim.models}
    assert all(" = " in text for _, text in ledger.measured(claim, Verdict(claims.NOT, 1, values)))


def test_a_statistic_of_ones_own_has_two_digits():
    assert ledger.value("dimension", [3.0]) == "3.00"


def test_counts_add_up():
    assert sum(sum(counts.values()) for counts in ledger.count(CLAIMS, VERDICTS).values()) == len(CLAIMS)


def test_bars_show_how_many_claims_got_each_verdict_that_any_got():
    zero = dict.fromkeys(ledger.MARKS, 0)
    axes = ledger.verdict_bars({"a": zero | {claims.NOT: 2}, "b": zero | {claims.NOT: 1, claims.REPRODUCED: 3}}).axes[0]
    drawn = {bars.get_label(): [bar.get_width() for bar in bars] for bars in axes.containers}
    assert drawn == {claims.REPRODUCED: [0, 3], claims.NOT: [2, 1]}
    assert [text.get_text() for text in axes.texts] == ["", "3", "2", "1"]
