import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from bioadv.lab import scales
from bioadv.lab.runs import RESULTS_VARIABLE, ROOT, paper, stored
from bioadv.pages import notebook
from bioadv.pages.notebook import Html, Table, check, observe

MANIFEST = '{"configuration": {"model": "bp", "seed": 0, "data": ""}, "dataset": "cifar10", "source": "", "seconds": 1}'
CLAIMED = '"seed": 0'


def test_a_stored_check_prints_the_band_and_never_the_value(capsys, monkeypatch):
    monkeypatch.setenv(notebook.STORED_VARIABLE, "1")
    check("share", 0.123456, 0, 0.5)
    check("distance", 1e-15, high=1e-12)
    check("norm", 7.25, low=3)
    printed = capsys.readouterr().out
    assert printed == "✓ share: 0 to 0.5\n✓ distance: at most 10⁻¹²\n✓ norm: at least 3\n"


@pytest.mark.parametrize("value", [0.6, -0.1, math.nan, math.inf])
def test_check_fails_with_the_value(value):
    with pytest.raises(AssertionError, match=f"share is {value:g}, expected 0 to 0.5"):
        check("share", value, 0, 0.5)


@pytest.mark.parametrize("stored", ["", "1"])
def test_a_check_is_of_one_number_whether_it_is_shown_or_not(stored, monkeypatch):
    monkeypatch.setenv(notebook.STORED_VARIABLE, stored)
    with pytest.raises(TypeError):
        check("shares", np.array([0.1, 0.2]), 0, 0.5)
    with pytest.raises(TypeError):
        check("shares", np.array([0.1]), 0, 0.5)


def test_observations_bind_on_photo_patches_only(patches, capsys, monkeypatch):
    monkeypatch.delenv(scales.EFFORT_VARIABLE, raising=False)
    with pytest.raises(AssertionError):
        observe(patches, "share", 0.9, 0, 0.5)
    from dataclasses import replace

    observe(replace(patches, name="mine.npz"), "share", 0.9, 0, 0.5)
    assert "on mine.npz, share is 0.900; on the photo patches it is 0 to 0.5" in capsys.readouterr().out
    monkeypatch.setenv(scales.EFFORT_VARIABLE, "0.1")  # the trainings are short: the value need not be the same
    observe(patches, "share", 0.9, 0, 0.5)
    assert "on photo-patches with BIOADV_EFFORT=0.1, share is 0.900; on the photo" in capsys.readouterr().out


def test_begin_reads_the_variable(tmp_path, monkeypatch):
    x = np.full((4, 2, 2, 3), 9, np.uint8)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=np.arange(4) % 2, x_test=x, y_test=np.arange(4) % 2)
    monkeypatch.setenv(notebook.DATA_VARIABLE, str(tmp_path / "own.npz"))
    assert len(notebook.begin().train) == 4
    monkeypatch.delenv(notebook.DATA_VARIABLE)
    assert notebook.begin().name == "photo-patches"


def test_table_as_text_and_html():
    table = Table(["a", "long"], [[1, 2.5], ["xyz", ""]])
    assert repr(table) == "a    long\n1    2.5\nxyz"
    assert table._repr_html_().count("<tr>") == 3


def test_text_in_a_table_is_escaped_and_markup_is_not():
    evil = "<script>alert(1)</script> & co. (2 seeds)"
    shown = Table([evil, Html("<b>b</b>")], [[evil, Html("<i>i</i>")], [Path("a<b>.png"), "it's"]])._repr_html_()
    assert "<script>" not in shown
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt; &amp; co.") == 2
    assert "<b>b</b>" in shown
    assert "><i>i</i></td>" in shown
    assert "a&lt;b&gt;.png" in shown
    assert ">it's</td>" in shown


def test_stored_runs_by_seed(tmp_path, monkeypatch):
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    assert stored("bp") == {}
    for seed in (10, 2):
        folder = tmp_path / "cifar10" / "bp" / f"seed-{seed}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(MANIFEST.replace(CLAIMED, f'"seed": {seed}'))
    (tmp_path / "cifar10" / "bp" / "seed-3").mkdir()  # not finished
    assert list(stored("bp")) == [2, 10]
    assert stored("bp")[2] == tmp_path / "cifar10" / "bp" / "seed-2"
    assert stored("bp", "spectra.npz") == {}
    (tmp_path / "cifar10" / "bp" / "seed-2 copy").mkdir()
    (tmp_path / "cifar10" / "bp" / "seed-2 copy" / "manifest.json").write_text(MANIFEST)
    assert list(stored("bp")) == [2, 10]
    for content in ("[]", "{}", "null"):
        (tmp_path / "cifar10" / "bp" / "seed-2" / "manifest.json").write_text(content)
        with pytest.raises(ValueError, match=r"seed-2/manifest\.json h.*delete it and make it again"):
            stored("bp")


@pytest.mark.parametrize("name", ["", "nowhere", "file"])
def test_results_that_are_not_there_are_an_error(tmp_path, monkeypatch, name):
    (tmp_path / "file").touch()
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path / name) if name else "")
    with pytest.raises(FileNotFoundError, match="BIOADV_RESULTS = .* is not a folder; name one"):
        stored("bp")


@pytest.mark.parametrize(("model", "file"), [("bp", "log.npz"), ("pixels", "spectra.npz"), ("kh", "referees.npz")])
def test_a_flipped_bit_in_a_stored_result_is_noticed(tmp_path, monkeypatch, model, file):
    shutil.copytree(ROOT / "results" / "cifar10" / model, tmp_path / "cifar10" / model)
    monkeypatch.setenv(RESULTS_VARIABLE, str(tmp_path))
    assert 0 in stored(model, file)
    damaged = tmp_path / "cifar10" / model / "seed-0" / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 16
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match=rf"seed-0/{file} is not the file that .*\.json describes"):
        stored(model, file)


def test_spread_gives_two_seeds_as_two_values():
    assert notebook.spread([]) == "–"
    assert notebook.spread([0.47314], 4) == "0.4731"
    assert notebook.spread([0.47314, 0.4752], 4) == "0.4731 and 0.4752"
    assert notebook.spread([1.0, 2.0, 3.0], 1) == "2.0\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}1.0"


def test_prose_gets_a_no_break_space_and_not_its_code():
    """What is glued is shown by its repr, without the quotes."""
    text = notebook.spread([1.0, 2.0, 3.0], 1)
    assert repr(notebook.Unbroken(text)) == f"'{text}'"
    assert repr(notebook.Unbroken("KH's \\ one")) == repr("KH's \\ one")


def test_a_table_aligns_numbers_and_leaves_out_columns_of_dashes():
    shown = Table(["model", "norm", "none", "note"], [["KH", "0.12", "–", "a"], ["BP", "–", "–", "b"]])
    assert shown.header == ["model", "norm", "note"]
    text = shown._repr_html_()
    assert '<td class="number" data-label="norm">0.12</td>' in text
    assert '<td data-label="note">a</td>' in text
    assert Table(["a", "b"], []).header == ["a", "b"]


def test_a_check_speaks_unless_its_output_is_stored(capsys, monkeypatch):
    monkeypatch.delenv(notebook.STORED_VARIABLE, raising=False)
    notebook.check("share of units", 0.931, 0.9, 1)
    assert capsys.readouterr().out == "✓ share of units: 0.931, expected 0.9 to 1\n"
    notebook.check("share of units", torch.tensor(0.931), 0.9, 1)
    assert capsys.readouterr().out == "✓ share of units: 0.931, expected 0.9 to 1\n"
    monkeypatch.setenv(notebook.STORED_VARIABLE, "1")
    notebook.check("share of units", 0.931, 0.9, 1)
    assert capsys.readouterr().out == "✓ share of units: 0.9 to 1\n"


def test_the_papers_numbers_name_models_of_the_study():
    from bioadv.lab.study import EXPERIMENTS

    numbers = paper()
    assert set(numbers["accuracy"]["values"]) <= set(EXPERIMENTS)
    assert 0 < numbers["accuracy"]["values"]["kh"] < numbers["accuracy"]["values"]["bp"] < 1
