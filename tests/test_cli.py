"""What a careless command is told: the argument, its value and the remedy, before any work."""

import json
import shutil
import sys

import pytest
from typer.testing import CliRunner

from bioadv.data import datasets, files, shipped
from bioadv.lab import cli, probes, provenance, readout_study, runs, stale
from tests.test_probes import run, tiny, trained  # noqa: F401 (fixtures)


def told(capsys, monkeypatch, *words):
    """Exit code and stderr of the command."""
    monkeypatch.setattr(sys, "argv", ["bioadv", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code, capsys.readouterr().err


@pytest.fixture
def unread(monkeypatch):
    """No images are read."""
    monkeypatch.setattr(datasets, "load", lambda *_: pytest.fail("images were read"))


@pytest.mark.parametrize(
    "words",
    [
        ("train", "bp", "--out="),
        ("train", "bp", "--data-dir="),
        ("probe", "", "--probe=spectra"),
        ("info", ""),
        ("book", "--copy", "--to="),
        ("fetch", "bp", "--list="),
        ("readouts", "small", "--out="),
        ("layers", "small", "--out="),
    ],
)
def test_an_empty_path_is_not_this_folder(words, unread, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    code, said = told(capsys, monkeypatch, *words)
    assert code == 2
    assert "a path is empty" in " ".join(said.split())
    assert list(tmp_path.iterdir()) == []


def test_the_home_folder_may_be_written_short(monkeypatch, tmp_path, run):  # noqa: F811
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = run("random")
    result = CliRunner().invoke(cli.app, ["info", f"~/{folder.relative_to(tmp_path)}"])
    assert json.loads(result.stdout)["configuration"]["model"] == "random"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--seed=-1",), "seed = -1; give an integer from 0 to"),
        (("--epochs=0",), "epochs = 0; give an integer from 1 to 1000000"),
        (("--epochs=100000000000000",), "epochs = 100000000000000; give an integer from 1 to 1000000"),
        (("--device=meta",), "device = 'meta' cannot be used"),
        (("--device=mps",), "give auto, cuda or cpu"),
    ],
)
def test_a_training_is_refused_before_images_are_read(words, wanted, unread, capsys, monkeypatch):
    code, said = told(capsys, monkeypatch, "train", "bp", *words)
    assert code == 2
    assert wanted in said
    assert len(said) < 300


def test_readouts_refuse_a_seed_before_images_are_read_and_tell_if_nothing_was_there(
    capsys,
    monkeypatch,
    tmp_path,
    tiny,  # noqa: F811
):
    out = f"--out={tmp_path / 'results'}"
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "load", lambda *_: pytest.fail("images were read"))
        assert told(capsys, patch, "readouts", "paper", "--seed=-1")[0] == 2
    small = datasets.load(tiny)
    monkeypatch.setattr(datasets, "load", lambda *_: small)
    code, said = told(capsys, monkeypatch, "readouts", "paper", "--model=kh", "--seed=0", out)
    assert code == 2
    assert said.count("left out, its weights are not here") == 1
    assert "nothing was measured" in said
    assert readout_study.FURTHER["paper"]  # so there would be several to tell of


def test_a_folder_that_is_no_runs_is_not_called_unfinished(run, capsys, monkeypatch):  # noqa: F811
    folder = run("random")
    copy = folder.with_name("seed-0 (copy)")
    shutil.copytree(folder, copy)
    for wrong in (folder.parent, copy):
        for words in (("info", str(wrong)), ("probe", str(wrong), "--probe=spectra")):
            code, said = told(capsys, monkeypatch, *words)
            assert (code, "is not the folder of a run; give OUT/DATASET/MODEL/seed-S" in said) == (2, True)


def test_a_copied_run_is_not_another_seed(run, tiny, tmp_path, capsys, monkeypatch):  # noqa: F811
    folder = run("random")
    monkeypatch.setenv(runs.RESULTS_VARIABLE, str(tmp_path))
    assert list(runs.at_hand("random", data="tiny.npz")) == [0]
    copy = folder.with_name("seed-2")
    shutil.copytree(folder, copy)
    with pytest.raises(ValueError, match=r"seed-2/manifest\.json is of random, seed 0, .* copied or renamed"):
        runs.at_hand("random", data="tiny.npz")
    with pytest.raises(ValueError, match="copied or renamed"):
        probes.run(copy, "spectra", datasets.load(tiny))
    (copy / "manifest.json").unlink()
    about = {"configuration": {"probe": "directions", "run": {"model": "random", "seed": 0}}, "source": ""}
    files.write_json(copy / "directions.json", about | {"seconds": 1.0})
    found = stale.faults(copy / "directions.json", tmp_path, datasets.load(tiny))
    assert any("is of random, seed 0" in str(fault) for fault in found)
    with pytest.raises(ValueError, match=r"directions\.json is of random, seed 0"):
        runs.at_hand("random", "directions.json", "tiny.npz")


@pytest.mark.parametrize("value", [[1], 3, {"test": None}, {"test": "high"}])
def test_a_manifest_that_was_edited_is_named(value, run):  # noqa: F811
    folder = run("random")
    manifest = files.read_json(folder / "manifest.json")
    files.write_json(folder / "manifest.json", manifest | {"accuracy": value})
    with pytest.raises(ValueError, match=r"manifest\.json has accuracy = .* delete it and make it again"):
        provenance.read_manifest(folder)


@pytest.mark.parametrize("layer", [None, {"p": "x"}, {}])
def test_a_layer_without_its_metric_is_named(layer, tiny, trained, tmp_path):  # noqa: F811
    folder = tmp_path / "tiny.npz" / "kh-layer" / "seed-0"
    shutil.copytree(trained / "kh-layer" / "seed-0", folder)
    manifest = files.read_json(folder / "manifest.json")
    files.write_json(
        folder / "manifest.json", manifest | {"configuration": manifest["configuration"] | {"layer": layer}}
    )
    with pytest.raises(ValueError, match=r"manifest\.json has no p of its layer; delete it"):
        probes.run(folder, "spectra", datasets.load(tiny))


def test_pixels_have_no_layer_to_prune(tiny, tmp_path):  # noqa: F811
    with pytest.raises(ValueError, match="probe pruning looks at units of a layer, .* give a kh-layer run"):
        probes.run(tmp_path / "tiny.npz" / "pixels" / "seed-0", "pruning", datasets.load(tiny))


def test_a_list_of_files_is_not_to_be_deleted(capsys, monkeypatch, tmp_path):
    mine = tmp_path / "digits.npz"
    mine.write_bytes(b"PK not JSON")
    for wrong in (mine, tmp_path, tmp_path / "nowhere.json"):
        code, said = told(capsys, monkeypatch, "fetch", "bp", f"--list={wrong}")
        assert code == 2
        assert f"list = '{wrong}' is no" in said
        assert not said.rstrip().endswith("delete it and make it again")


def test_an_interruption_says_what_is_kept(capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", stopped)
    code, said = told(capsys, monkeypatch, "train", "bp")
    assert code == cli.INTERRUPTED
    assert "what was finished is kept, and the same command goes on from there" in said


def test_an_error_of_the_disk_has_no_number(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(shipped.PLACES, shipped.NOTEBOOKS, tmp_path)  # a clone has none before `make lab`
    for name in ("a.ipynb", "results"):
        (tmp_path / name).write_text("")
    code, said = told(capsys, monkeypatch, "book", "--copy", f"--to={tmp_path / 'results' / 'book'}")
    assert code == 2
    assert "[Errno" not in said
    assert "a file stands where a folder belongs" in said
