import os
import re
from pathlib import Path

import numpy as np
import pytest

from bioadv.data import files
from bioadv.lab import runs, study
from bioadv.lab.runs import Run

ROOT = Path(__file__).resolve().parent.parent
CONFIGURATION = {"model": "bp", "seed": 2, "data": "of the images"}
DESCRIBED = {"configuration": CONFIGURATION, "dataset": "cifar10", "source": "", "seconds": 1.0}


def test_a_run_knows_its_place(tmp_path):
    run = Run(tmp_path / "cifar10", "bp", 3)
    assert run.folder == tmp_path / "cifar10" / "bp" / "seed-3"
    assert Run.at(run.folder) == run
    assert run.weights == run.folder / "model.safetensors"
    assert run.layer.weights == tmp_path / "cifar10" / study.LAYER / "seed-3" / "layer.safetensors"
    for other in (tmp_path, *(run.folder.with_name(name) for name in ("seed-3.old", "my-seed-3", "seed-03"))):
        with pytest.raises(ValueError, match="is not the folder of a run; give OUT/DATASET/MODEL/seed-S"):
            Run.at(other)


def test_only_finished_runs_are_at_hand(tmp_path, monkeypatch):
    monkeypatch.setenv(runs.RESULTS_VARIABLE, str(tmp_path))
    for seed in (10, 2):
        about = {**DESCRIBED, "configuration": CONFIGURATION | {"seed": seed}, "accuracy": {"test": 0.5}}
        files.write_json(Run(tmp_path / "cifar10", "bp", seed).manifest, about)
    for name in ("seed-3", "seed-x", "seed-4.old"):
        (tmp_path / "cifar10" / "bp" / name).mkdir()
    files.write_json(tmp_path / "cifar10" / "bp" / "seed-4.old" / "manifest.json", DESCRIBED)
    found = runs.at_hand("bp")
    assert list(found) == [2, 10]
    assert found[2].accuracy == 0.5
    assert runs.stored("bp") == {seed: run.folder for seed, run in found.items()}
    assert runs.at_hand("bp", "spectra.json") == {}
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        Run(tmp_path / "cifar10", "bp", 3).accuracy  # noqa: B018


def test_arrays_are_read_once_and_again_when_they_change(tmp_path, monkeypatch):
    run, read = Run(tmp_path, "bp", 0), []
    files.write_arrays(run.log, {"loss": np.array([3.0, 2.0])})
    original = files.read_arrays
    monkeypatch.setattr(files, "read_arrays", lambda path: read.append(path) or original(path))
    assert [run.last("loss") for _ in range(5)] == [2.0] * 5
    assert len(read) == 1
    with pytest.raises(ValueError, match="read-only"):
        run.arrays("log")["loss"][0] = 1.0
    files.write_arrays(run.log, {"loss": np.array([3.0, 1.0])})
    os.utime(run.log, ns=(0, 0))
    assert run.last("loss") == 1.0


def test_where_a_run_lies_is_spelled_in_one_place():
    """Docstrings and helps may show it to readers."""
    for path in [*(ROOT / "bioadv").rglob("*.py"), *(ROOT / "tools").glob("*.py"), ROOT / "workflow" / "Snakefile"]:
        if path.name == "runs.py":
            continue
        lines = [line for line in path.read_text().splitlines() if re.search(r"[\"'/]seed-[{*\"']", line)]
        assert not lines, f"{path}: {lines}"


def test_seeds_of_a_model_are_those_of_its_folders(tmp_path):
    for name in ("seed-10", "seed-2", "seed-3.old", "seed-04", "seeds"):
        (tmp_path / name).mkdir()
    assert runs.seeds(tmp_path) == [2, 10]
    assert [runs.is_run(tmp_path / runs.named(2)), runs.is_run(tmp_path / "seed-3.old")] == [True, False]
