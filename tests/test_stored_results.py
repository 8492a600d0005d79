"""Every stored result is what the code of today would make, or was accepted on purpose; see bioadv/lab/stale.py."""

import itertools
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bioadv.data import datasets, files, variants
from bioadv.lab import accept, alone, jobs, probes, provenance, runner, runs, scales, stale, study
from bioadv.network import local_learning
from bioadv.network.spectral_penalty import Spectral

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
LARGEST = 50e6  # bytes of all that git keeps


def kept():
    """The files of results/ that belong to the book: those in git, where there is one; a user's own runs do not."""
    listed = subprocess.run(["git", "ls-files", "-z", "results"], cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = [ROOT / path for path in listed.stdout.split("\0") if path]
    return tracked or [path for path in RESULTS.rglob("*") if path.is_file()]


KEPT = [path for path in kept() if path.is_file()]
STORED = [path for path in stale.stored(RESULTS) if path in KEPT]


def name(path):
    return path.relative_to(RESULTS).as_posix()


def dataset(path):
    parts = path.relative_to(RESULTS).parts
    return variants.base(parts[1]) if parts[0] in alone.LAYERS else parts[0]


# What is stored


@pytest.mark.parametrize("path", STORED, ids=name)
def test_stored_results_are_current(path):
    """Parameters are those of today's registry, the hash of the code today's or accepted."""
    assert dataset(path) in datasets.KNOWN
    found = stale.faults(path, RESULTS, stale.stand_in(dataset(path)))
    assert not found, "\n".join(map(str, found))


def test_all_results_of_a_dataset_have_the_same_images():
    seen = {}
    for path in STORED:
        about = files.read_json(path)["configuration"]
        seen.setdefault(dataset(path), set()).add(about["run"]["data"] if "run" in about else about["data"])
    assert all(len(hashes) == 1 for hashes in seen.values()), seen


def test_results_are_small_and_whole():
    assert sum(path.stat().st_size for path in KEPT) < LARGEST
    for path in KEPT:
        assert path.suffix in (".npz", ".json"), path
        if path.suffix == ".npz":
            files.read_arrays(path)
            about = "manifest" if path.stem == "log" else path.stem
            assert path.with_name(f"{about}.json").is_file()


@pytest.mark.parametrize("path", STORED, ids=name)
def test_stored_results_have_digests_and_are_intact(path):
    """For results of an earlier version, ``python -m tools.vouch results`` once."""
    kept = provenance.read_description(path)[provenance.DIGESTS]
    wanted = "log" if path.name == provenance.MANIFEST else path.stem
    assert f"{wanted}.npz" in kept
    here = [file for file in kept if path.with_name(file) in KEPT]
    assert provenance.intact(path, *here)


def test_every_accepted_change_is_one_that_a_result_needs():
    sources = {files.read_json(path)["source"] for path in STORED}
    entries = stale.accepted(RESULTS)
    reached, further = set(sources), set(sources)
    while further:  # each change leads on from code that a result was made with, and from no other
        further = {entry["new"] for entry in entries if entry["old"] in further} - reached
        reached |= further
    assert all(entry["old"] in reached for entry in entries)


# The first epoch again: one run of each way to train, if its images are here


def way(model):
    """What is trained and how; strengths of a penalty are one way."""
    if model == study.LAYER:
        return model
    chosen = study.EXPERIMENTS[model]
    recipe = chosen.recipe
    return chosen.group, chosen.hidden, chosen.batch_norm, recipe.schedule, type(recipe.penalty)


TRAINED = [path.parent for path in reversed(STORED) if path.name == provenance.MANIFEST]
FIRST = {folder.parent.name: folder for folder in {way(path.parent.name): path for path in TRAINED}.values()}


@pytest.mark.slow
@pytest.mark.parametrize("model", FIRST)
def test_the_first_epoch_is_as_stored(model, tmp_path, request, monkeypatch):
    """Trained once more for one epoch, a model has the log's first row.

    Other thread counts, instruction sets and precisions move the row in the fourth digit; another device draws another
    order of the images, which moves it in the second.
    """
    folder = FIRST[model]
    about = provenance.read_manifest(folder)
    data = request.getfixturevalue({"photo-patches": "patches"}.get(dataset(folder), dataset(folder)))
    assert about["configuration"]["data"] == data.content_hash
    stored = files.read_arrays(folder / "log.npz")
    seed = about["configuration"]["seed"]
    band = 0.01 if about["device"] == "cpu" else 0.1
    if model == study.LAYER:
        again = first_epoch_of_layer(data, seed)
        compare(again, stored, dict.fromkeys(again, band))
        return
    if study.EXPERIMENTS[model].kind.layer:  # whose rows, or whose rows' lengths, it has
        layer = folder.parent.parent / study.LAYER / folder.name
        if not (layer / runs.SYNAPSES).is_file():
            pytest.skip(f"{name(layer)} has no weights here; git does not keep them")
        shutil.copytree(layer, tmp_path / data.name / study.LAYER / folder.name)
    where = jobs.Where(tmp_path, device="cpu", progress=False)  # bfloat16 where the processor has it
    at_scale = scales.at_scale  # one epoch of the model alone, on the layer as it is stored
    monkeypatch.setattr(scales, "at_scale", lambda name, data, epochs=None: at_scale(name, data, 1))
    again = files.read_arrays(runner.train(model, data, seed, where) / "log.npz")
    known_since = {"ended"}  # which logs of earlier versions lack
    assert set(again) - known_since == set(stored) - known_since
    again = {key: again[key] for key in stored if key not in known_since}
    bands = {key: 2 * band if key.endswith("accuracy") else band for key in again}
    if isinstance(study.experiment(model).recipe.penalty, Spectral):
        # Its first steps jump by orders of magnitude, which amplifies rounding: the order of magnitude has to agree.
        for key in ("loss", "penalty"):
            del bands[key]
            assert 0.1 < again[key][0] / stored[key][0] < 10, key
        bands |= {key: 0.1 for key in bands if key.endswith("accuracy")}
    compare(again, stored, bands)


def first_epoch_of_layer(data, seed):
    """The row that the first of the layer's epochs has in its history."""
    params = scales.scale(data).layer
    generator = torch.Generator().manual_seed(seed)
    x = datasets.unit_lp(data.train, params.p)
    w = local_learning.init(params, x.shape[1], generator)
    won = local_learning._epoch(w, x, params, local_learning.learning_rate(params, 1), generator)
    norms = torch.linalg.vector_norm(w, params.p, dim=1)
    return {"norm": [float(norms.mean())], "winning": [float(won.float().mean())]}


def compare(again, stored, bands):
    for key, band in bands.items():
        assert again[key][0] == pytest.approx(stored[key][0], rel=band, abs=1e-6), key


# The check itself, on results made up for it


@pytest.fixture
def made(tmp_path):
    """A finished run of ``bp`` on photo patches with a measurement, as today's code would leave them."""
    data = stale.stand_in("photo-patches")
    folder = jobs.Where(tmp_path).folder(data, "bp", 0)
    configuration = {
        "model": "bp",
        "seed": 0,
        "data": "of the images",
        "experiment": scales.at_scale("bp", data),
        "dtype": "torch.bfloat16",
    }
    about = {"configuration": provenance.describe_all(configuration), "dataset": data.name, "seconds": 1.0}
    files.write_json(folder / provenance.MANIFEST, {**about, "source": runner.source_of("bp")})
    probe = next(iter(probes.PROBES))
    measured = {"probe": probe, "settings": probes.PROBES[probe].settings, "run": about["configuration"]}
    files.write_arrays(folder / f"{probe}.npz", {})
    files.write_json(
        folder / f"{probe}.json",
        {
            "configuration": provenance.describe_all(measured),
            "source": probes.source_of(probe, "bp"),
            "training": provenance.identity(provenance.read_manifest(folder)),
        },
    )
    return folder


def change(path, value, *keys):
    """Set a value inside a JSON file."""
    about = inner = files.read_json(path)
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    files.write_json(path, about)


def faults_below(folder):
    root = folder.parents[2]
    data = stale.stand_in("photo-patches")
    return list(itertools.chain.from_iterable(stale.faults(path, root, data) for path in stale.stored(root)))


def measurement(folder):
    return next(path for path in folder.glob("*.json") if path.name != provenance.MANIFEST)


def test_what_today_makes_is_current(made):
    assert len(stale.stored(made)) == len(stale.stored(made.parents[2])) == 2
    assert faults_below(made) == []


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (("configuration", "seed"), 7, "is of bp, seed 7, and lies in the folder of another run"),
        (("configuration", "experiment", "recipe", "epochs"), 61, "was made with experiment = "),
        (("configuration", "experiment", "power"), 2.0, "was made with experiment = "),
        (("source",), "0" * 64, "was made by other code (00000000, today "),
    ],
)
def test_a_stale_training_is_seen(made, keys, value, words):
    change(made / provenance.MANIFEST, value, *keys)
    measurement(made).unlink()
    [fault] = faults_below(made)
    assert words in str(fault)


def test_a_run_of_a_model_that_is_gone_is_named_and_hides_no_other(made, monkeypatch):
    others = {name: one for name, one in study.EXPERIMENTS.items() if name != "bp"}
    monkeypatch.setattr(study, "EXPERIMENTS", others)
    found = faults_below(made)
    assert [fault.file for fault in found] == stale.stored(made)
    assert all(fault.what == "is of the model 'bp', which is not known today" for fault in found)


def test_a_changed_registry_makes_results_stale(made, monkeypatch):
    monkeypatch.setitem(study.EXPERIMENTS, "bp", replace(study.EXPERIMENTS["bp"], power=2.0))
    found = {fault.file.name: fault.what for fault in faults_below(made)}
    assert found[provenance.MANIFEST].startswith("was made with experiment")
    assert found[measurement(made).name].startswith("was made with run")


def test_a_stale_measurement_is_seen(made):
    path = measurement(made)
    change(path, {"other": 1}, "configuration", "settings")
    assert "was made with settings = {'other': 1}, today it is" in str(faults_below(made)[0])
    change(path, "curvature", "configuration", "probe")
    assert "is of the probe 'curvature', which is not known today" in str(faults_below(made)[0])


def test_a_measurement_of_another_training_is_seen(made):
    change(made / provenance.MANIFEST, {"test": 0.5}, "accuracy")
    assert [fault.what for fault in faults_below(made)] == ["was measured on another training of the model"]


def test_lost_arrays_are_seen(made):
    measurement(made).with_suffix(".npz").unlink()
    assert "has lost its arrays" in str(faults_below(made)[0])


# Accepting


def run(*arguments):
    return CliRunner().invoke(accept.app, [str(argument) for argument in arguments])


def test_a_changed_hash_is_accepted_with_a_reason(made):
    root, manifest = made.parents[2], made / provenance.MANIFEST
    change(manifest, "1" * 64, "source")
    change(measurement(made), provenance.identity(files.read_json(manifest)), "training")
    listed = run(root, "--root", root)
    assert listed.exit_code == 1
    printed = listed.output
    assert f"{manifest} was made by other code (11111111, today " in printed
    assert f'python -m bioadv.lab.accept --root={root} --reason "..." -- {made}' in printed
    assert "2 results, 1 stale" in printed
    assert run(made, "--root", root, "--reason", "a variable was renamed").exit_code == 0
    assert run(made, "--root", root).exit_code == 0
    [entry] = json.loads((root / stale.ACCEPTED).read_text())
    assert entry["old"] == "1" * 64
    assert entry["new"] == runner.source_of("bp")
    assert entry["reason"] == "a variable was renamed"
    assert entry["result"] == "photo-patches/bp/seed-0/manifest.json"
    # It holds for that change only.
    change(manifest, "2" * 64, "source")
    change(measurement(made), provenance.identity(files.read_json(manifest)), "training")
    assert len(faults_below(made)) == 1


def test_accepted_changes_follow_one_another(made):
    root, today = made.parents[2], runner.source_of("bp")
    steps = [("1" * 64, "2" * 64), ("2" * 64, today)]
    entries = [{"old": a, "new": b, "date": "2020-01-01", "reason": "r", "result": "x"} for a, b in steps]
    change(made / provenance.MANIFEST, "1" * 64, "source")
    measurement(made).unlink()
    files.write_json(root / stale.ACCEPTED, entries[1:])
    assert len(faults_below(made)) == 1
    files.write_json(root / stale.ACCEPTED, entries)
    assert faults_below(made) == []


@pytest.mark.parametrize(
    ("keys", "reason", "words"),
    [
        (("source",), " ", "reason is empty"),
        (("configuration", "experiment", "power"), "fine", "this cannot be accepted"),
    ],
)
def test_what_cannot_be_accepted(made, keys, reason, words):
    change(made / provenance.MANIFEST, "1" * 64, *keys)
    measurement(made).unlink()
    refused = run(made, "--root", made.parents[2], "--reason", reason)
    assert refused.exit_code == 2
    assert words in refused.output
    assert not (made.parents[2] / stale.ACCEPTED).exists()


def test_acceptance_without_a_reason_is_refused(made):
    root = made.parents[2]
    files.write_json(root / stale.ACCEPTED, [{"old": "1", "new": "2", "date": "2020-01-01", "result": "x"}])
    with pytest.raises(ValueError, match="entry 0 lacks old, new, date, reason or result"):
        faults_below(made)


def test_nothing_to_accept_is_said(tmp_path):
    refused = run(tmp_path, "--root", tmp_path)
    assert refused.exit_code == 2
    assert f"no results in {tmp_path}" in refused.output


def test_bands_of_the_replay_can_fail():
    with pytest.raises(AssertionError, match="loss"):
        compare({"loss": np.array([1.0])}, {"loss": np.array([1.02])}, {"loss": 0.01})
