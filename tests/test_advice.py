"""What a message says to type can be typed as it stands, in a shell, whatever the folders are called."""

import shlex
from pathlib import Path

import jupytext
import pytest
from typer.testing import CliRunner

from bioadv.data import datasets, files, image_files
from bioadv.lab import accept, runs, stale
from bioadv.lab.stale import Fault
from tests.test_study import command, small_scale, tiny, train
from tools import notebooks

__all__ = ["small_scale", "tiny"]  # fixtures
ODD = """it's a "test" {x} $(y)"""


def accepting(*words):
    return CliRunner().invoke(accept.app, words)


def typed(message, program):
    """The words that a shell makes of a message from ``program`` on."""
    return shlex.split(message[message.index(program) :])


def test_the_command_that_makes_lost_weights_again(tiny, tmp_path):
    out, data = tmp_path / ODD, Path(tiny).rename(tmp_path / f"{ODD}.npz")
    train("random", data, out, seed=3)
    folder = out / data.name / "random" / "seed-3"
    (folder / runs.WEIGHTS).unlink()
    with pytest.raises(FileNotFoundError) as error:
        runs.load_model(folder)
    words = typed(str(error.value), "bioadv train")
    assert words == ["bioadv", "train", "random", f"--data={data}", "--seed=3", "--epochs=4", f"--out={out}"]
    assert command(*words[1:], "--no-progress").exit_code == 0
    runs.load_model(folder)


def test_the_command_that_accepts_a_result(tiny, tmp_path):
    out = tmp_path / ODD
    train("random", tiny, out)
    folder = out / "tiny.npz" / "random" / "seed-0"
    about = files.read_json(folder / "manifest.json")
    files.write_json(folder / "manifest.json", {**about, "source": "1" * 64})
    listed = accepting(f"--root={out}", str(out))
    assert listed.exit_code == 1
    words = typed(listed.output.splitlines()[0], "python -m")
    assert words[:3] == ["python", "-m", "bioadv.lab.accept"]
    assert words[3:] == [f"--root={out}", "--reason", "...", "--", str(folder)]
    assert accepting(*words[3:]).exit_code == 0
    assert accepting(f"--root={out}", str(out)).exit_code == 0
    assert "--root" not in str(Fault(folder / "manifest.json", "was made by other code", "1", "2"))
    Path(tiny).unlink()
    stale._loaded.cache_clear()
    refused = accepting(*words[3:])
    assert refused.exit_code == 2
    assert f"dataset {tiny!r} is neither" in refused.output


def test_the_command_that_opens_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(type(tmp_path), "iterdir", lambda self: (_ for _ in ()).throw(PermissionError(13, "denied")))
    with pytest.raises(ValueError, match="cannot be listed") as error:
        image_files._entries(tmp_path / ODD)
    assert typed(str(error.value), "chmod") == ["chmod", "u+rx", "--", str(tmp_path / ODD)]


def test_the_command_that_executes_a_chapter(tmp_path):
    source, stored = tmp_path / f"{ODD}.py", tmp_path / "x.ipynb"
    source.write_text("# %%\n1 + 1\n")
    jupytext.write(jupytext.reads("# %%\n2 + 2\n", "py:percent"), stored)
    with pytest.raises(ValueError, match="has other code") as error:
        notebooks.reword(source, stored)
    assert typed(str(error.value), "python -m") == ["python", "-m", "tools.notebooks", "run", str(source)]


def test_options_of_a_training_are_in_the_command_that_repeats_it():
    recipe = {"experiment": {"hidden": "backprop", "recipe": {"epochs": 2}}}
    assert runs._options({**recipe, "dtype": "torch.bfloat16"}) == ["--epochs=2", "--dtype=bfloat16"]
    assert runs._options({**recipe, "dtype": "torch.float32"}) == ["--epochs=2", "--dtype=float32"]
    readout = {"experiment": {"hidden": "local", "recipe": {"epochs": 2}}, "dtype": "torch.float32"}
    assert runs._options(readout) == ["--epochs=2"]  # has it always
    assert runs._options({**recipe, "layer": {"epochs": 2}, "screened": True}) == ["--epochs=2", "--screen"]
    assert runs._options({**recipe, "layer": {"epochs": 3}}) == []  # as the scale has it: one option sets both
    assert runs._options({"layer": {"epochs": 3}}) == ["--epochs=3"]


def test_results_elsewhere_are_listed_and_accepted_with_their_root(tiny, tmp_path):
    train("random", tiny, tmp_path / "out")
    refused = accepting(str(tmp_path / "out"))
    assert refused.exit_code == 2
    assert "is not below results; give --root, the folder that holds DATASET/MODEL/seed-S" in refused.output
    assert accepting(f"--root={tmp_path / 'out'}", str(tmp_path / "out")).exit_code == 0


def test_sizes_of_the_photo_patches_are_those_of_the_images(tmp_path):
    """They follow from the number of images, which a stand-in does not have."""
    folder = tmp_path / "photo-patches" / "bp" / "seed-0"
    folder.mkdir(parents=True)
    files.write_json(
        folder / "manifest.json",
        {
            "dataset": "photo-patches",
            "configuration": {"model": "bp", "seed": 0, "data": ""},
            "source": "",
            "seconds": 1.0,
        },
    )
    assert len(stale.data_of(folder / "manifest.json").train) == len(datasets.load("photo-patches").train)
