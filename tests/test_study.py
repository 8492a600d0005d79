import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from bioadv.data import datasets, files
from bioadv.data.datasets import Dataset, Images
from bioadv.lab import (
    cli,
    experiments,
    hashing,
    jobs,
    layers,
    probe_perturbations,
    probes,
    provenance,
    runner,
    runs,
    scales,
    small_paths,
    stale,
    study,
)
from bioadv.lab.hashing import source_hash
from bioadv.lab.jobs import Where
from bioadv.lab.looks import Look
from bioadv.lab.runs import Run
from bioadv.lab.stale import stand_in
from bioadv.lab.study import EXPERIMENTS, LAYER
from bioadv.network import (
    kh_params,
    local_learning,
    models,
    pruning,
    recipes,
    regularizers,
    spectral_penalty,
    streams,
    training,
)
from bioadv.network.hidden import Kind
from bioadv.network.regularizers import JacobianPublished, LatentJacobian, Penalty
from bioadv.network.spectral_penalty import Spectral
from tests.tiny import full_disk

RUNNER = CliRunner()
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def tiny(tmp_path):
    """A dataset of 60 small images on disk, so that every model trains in a second."""
    rng = np.random.default_rng(0)
    parts = {}
    for split, count in (("train", 60), ("test", 30)):
        y = np.arange(count) % 3
        x = rng.integers(20, 80, (count, 4, 4, 3))
        x[np.arange(count), y] += 150  # the class is the bright row
        parts |= {f"x_{split}": x.astype(np.uint8), f"y_{split}": y}
    (tmp_path / "data").mkdir()
    np.savez(tmp_path / "data" / "tiny.npz", **parts)
    return str(tmp_path / "data" / "tiny.npz")


@pytest.fixture(autouse=True)
def small_scale(monkeypatch):
    params = kh_params.KHParams(hidden=16, delta=0.1, batch=20, epochs=300)
    monkeypatch.setattr(scales, "scale", lambda data: scales.Scale(params, epochs=4, batch=20))


def command(*arguments):
    return RUNNER.invoke(cli.app, [str(a) for a in arguments])


def train(model, data, out, **more):
    options = [f"--{name}={value}" for name, value in more.items()]
    return command("train", model, "--data", data, "--out", out, "--no-progress", *options)


def test_published_hyperparameters():
    """Of the public code, ``Training_CIFAR10.ipynb``."""
    published = {name: e for name, e in EXPERIMENTS.items() if e.group == "published"}
    assert set(published) == {"kh", "bp", "l2", "jreg", "specreg", "specreg-logged", "specreg-kh"}
    assert published["kh"].power == 4.5
    assert all(e.power == 1 for name, e in published.items() if name != "kh")
    assert all(e.recipe.epochs == 1000 and e.recipe.batch == 1000 for e in published.values())
    assert {n: e.recipe.schedule for n, e in published.items()} == {
        "kh": "constant",
        "bp": "steps",
        "l2": "steps",
        "jreg": "steps",
        "specreg": "decaying",
        "specreg-logged": "decaying",
        "specreg-kh": "constant",
    }
    assert published["l2"].recipe.penalty.strength == 5e-4
    assert published["jreg"].recipe.penalty == JacobianPublished(1e-3, 3, 1000)
    assert published["specreg"].recipe.penalty == Spectral(1.0, 1.0, 0, "stated")
    assert published["specreg-logged"].recipe.penalty == Spectral(1.0, 2.62, 0, "logged")
    assert published["specreg-kh"].recipe.penalty == Spectral(1e-3, 2.62, 10, "logged")
    assert not any(e.batch_norm for e in published.values())
    corrected = [e for e in EXPERIMENTS.values() if e.group == "corrected"]
    assert corrected
    assert all(e.held_out == 0.1 for e in corrected)


def test_the_frontier_takes_a_tenth_of_the_epochs(monkeypatch):
    monkeypatch.setattr(scales, "scale", lambda data: scales.Scale(kh_params.PAPER_CIFAR10, epochs=1000))
    data = stand_in("cifar10")
    frontier = {name: scales.at_scale(name, data) for name, e in EXPERIMENTS.items() if e.group == "frontier"}
    for plain in ("short-norm", "short-l2-0", "short-kh"):
        assert frontier[plain].recipe.epochs == 100
        assert frontier.pop(plain).recipe.penalty is None
    assert {name: e.recipe.penalty.strength for name, e in frontier.items()} == {
        "short-l2-0.5": 2.5e-4,
        "short-l2-1": EXPERIMENTS["l2"].recipe.penalty.strength,
        "short-l2-1.5": 7.5e-4,
        "short-l2-2": 1e-3,
        "short-l2-4": 2e-3,
        "short-latent": EXPERIMENTS["jreg-latent"].recipe.penalty.strength,
        "short-scalefree": 1.0,
    }
    assert frontier["short-scalefree"].recipe.penalty == EXPERIMENTS["specreg-scalefree"].recipe.penalty
    assert all(e.recipe.epochs == 100 and not e.held_out for e in frontier.values())
    assert scales.at_scale("l2", data).recipe.epochs == 1000
    assert scales.at_scale("short-l2-1", data, 7).recipe.epochs == 7
    monkeypatch.setattr(scales, "scale", lambda data: scales.Scale(kh_params.PAPER_CIFAR10, epochs=60))
    assert scales.at_scale("short-l2-1", data).recipe.epochs == 6


@pytest.mark.parametrize(
    ("amx", "avx512", "chosen"), [(True, False, torch.bfloat16), (False, True, torch.bfloat16), (False, False, None)]
)
def test_bfloat16_only_where_the_processor_has_it(monkeypatch, amx, avx512, chosen):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    cpu = torch.device("cpu")
    assert jobs.choose_dtype("auto", cpu) == (chosen or torch.float32)
    assert jobs.choose_dtype("float32", cpu) == torch.float32
    assert jobs.choose_dtype("bfloat16", cpu) == torch.bfloat16
    with pytest.raises(ValueError, match="dtype = 'float16' is not known; choose auto or float32 or bfloat16"):
        jobs.choose_dtype("float16", cpu)


@pytest.mark.parametrize("model", [LAYER, *EXPERIMENTS])
def test_every_model_trains_by_command(tiny, tmp_path, model):
    result = train(model, tiny, tmp_path / "runs")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "runs" / "tiny.npz" / model / "seed-0"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["configuration"]["model"] == model
    assert len(manifest["configuration"]["data"]) == len(manifest["source"]) == 64
    assert {"torch", "threads", "python", "products"} <= manifest["environment"].keys()
    if model == LAYER:
        assert set(manifest["health"]) == {"converged", "live", "winning"}
    else:
        parts = {"train", "test", "validation"} if EXPERIMENTS[model].held_out else {"train", "test"}
        assert set(manifest["accuracy"]) == parts
        loaded = runs.load_model(folder)
        assert loaded.hidden.shape == (16, 48)
        assert loaded.power == EXPERIMENTS[model].power
    names = {path.name for path in folder.iterdir()}
    assert names == {"manifest.json", "log.npz", "layer.safetensors" if model == LAYER else "model.safetensors"}


def test_models_of_a_seed_share_their_random_weights(tiny, tmp_path):
    """Random features keep the weights that backpropagation starts from, and the KH readout the KH layer."""
    for model in ("random", "kh", "kh-unpruned", "kh-linear", "exemplars", "white-linear"):
        assert train(model, tiny, tmp_path).exit_code == 0
    root = tmp_path / "tiny.npz"
    start = models.init(models.TwoLayer(48, 16, 3), torch.Generator().manual_seed(0))
    assert torch.equal(runs.load_model(root / "random" / "seed-0").hidden, start.hidden)
    synapses = files.read_tensors(root / LAYER / "seed-0" / "layer.safetensors")[0]["synapses"]
    hidden = {m: runs.load_model(root / m / "seed-0").hidden for m in ("kh", "kh-unpruned", "kh-linear")}
    assert torch.equal(hidden["kh-unpruned"], local_learning.metric(synapses, 3.0))
    pruned = pruning.above_threshold(synapses, pruning.threshold(48))
    assert pruned.any()
    assert torch.equal(hidden["kh"], torch.where(pruned[:, None], 0, hidden["kh-unpruned"]))
    assert torch.equal(hidden["kh-linear"], hidden["kh"])
    for model in ("exemplars", "white-linear"):  # of KH's lengths, units that are pruned among them
        rows = runs.load_model(root / model / "seed-0").hidden
        torch.testing.assert_close(rows.norm(dim=1), hidden["kh"].norm(dim=1))


def test_the_published_threshold_stays_where_it_was_published():
    """0.0015 exactly, as in the stored results; and it would prune whole layers on other images."""
    assert runner.prune_above(stand_in("cifar10")) == runner.prune_above(stand_in("photo-patches")) == 0.0015
    assert runner.prune_above(stand_in("mnist")) == pruning.threshold(1)


@pytest.mark.parametrize("kind", ["strokes", "grey"])
def test_local_learning_on_small_grey_images(tmp_path, monkeypatch, kind):
    """Digits on an empty ground have a variance near the largest that a picture can have; their layer is healthy."""
    rng, parts = np.random.default_rng(0), {}
    for split, count in (("train", 200), ("test", 40)):
        y = np.arange(count) % 2
        x = np.zeros((count, 28, 28, 1)) if kind == "strokes" else rng.uniform(0, 90, (count, 28, 28, 1))
        for image, label in zip(x, y, strict=True):  # a thick stroke, upright or level
            at = rng.integers(4, 18)
            (image if label else image.swapaxes(0, 1))[at : at + 7, 2:26] = 255 if kind == "strokes" else 130
        parts |= {f"x_{split}": x.astype(np.uint8), f"y_{split}": y}
    np.savez(tmp_path / "grey.npz", **parts)
    params = kh_params.KHParams(hidden=12, delta=0.1, batch=20, epochs=150)
    monkeypatch.setattr(scales, "scale", lambda data: scales.Scale(params, epochs=4, batch=20))
    result = train("kh", tmp_path / "grey.npz", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    layer = files.read_tensors(tmp_path / "out" / "grey.npz" / LAYER / "seed-0" / "layer.safetensors")[0]["synapses"]
    converged = (torch.linalg.vector_norm(layer, 3, dim=1) - 1).abs() < 0.01
    kept = runs.load_model(tmp_path / "out" / "grey.npz" / "kh" / "seed-0").hidden.any(1)
    assert converged.float().mean() > 0.8
    assert kept[converged].all()  # no unit that has converged goes
    if kind == "strokes":
        assert (layer[converged].var(1) > 0.0015 * (3072 / 784) ** (2 / 3)).all()  # all would go, however it is scaled


def test_a_finished_run_is_left_alone(tiny, tmp_path):
    train("bp", tiny, tmp_path)
    file = tmp_path / "tiny.npz" / "bp" / "seed-0" / "model.safetensors"
    before = file.stat().st_mtime_ns
    again = train("bp", tiny, tmp_path)
    assert again.exit_code == 0
    assert file.stat().st_mtime_ns == before


def test_another_configuration_is_refused_and_nothing_lost(tiny, tmp_path):
    train("bp", tiny, tmp_path)
    folder = tmp_path / "tiny.npz" / "bp" / "seed-0"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = train("bp", tiny, tmp_path, epochs=5)
    assert result.exit_code != 0
    assert "holds a run with experiment.recipe.epochs = 4, not 5; give" in str(result.exception)
    assert "give another --out folder" in str(result.exception)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_seeds_differ(tiny, tmp_path):
    for seed in (0, 1):
        train("bp", tiny, tmp_path, seed=seed)
    first, second = (runs.load_model(tmp_path / "tiny.npz" / "bp" / f"seed-{s}").hidden for s in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"model": "resnet"}, "model 'resnet' is not known; choose from kh-layer, kh, bp"),
        ({"seed": -1}, "seed = -1"),
        ({"epochs": 0}, "epochs = 0"),
        ({"dtype": "float16"}, "dtype = 'float16'.*auto, float32, bfloat16"),
        ({"device": "tpu"}, "device = 'tpu' cannot be used.*auto, cuda or cpu"),
        ({"device": "mps"}, "device = 'mps' cannot be used"),
        ({"data": "imagenet"}, "dataset 'imagenet' is neither one of"),
        ({"every": 0}, "every = 0"),
    ],
)
def test_bad_commands_say_what_to_do(tiny, tmp_path, arguments, words):
    given = {"model": "bp", "data": tiny, "out": tmp_path / "runs", **arguments}
    result = train(given.pop("model"), given.pop("data"), given.pop("out"), **given)
    assert result.exit_code != 0
    import re

    assert re.search(words, str(result.exception)), result.exception
    assert not (tmp_path / "runs").exists()


def test_errors_are_printed_without_a_traceback():
    code = "from bioadv.lab.cli import main; main()"
    result = subprocess.run([sys.executable, "-c", code, "train", "resnet"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("bioadv: model 'resnet' is not known")
    assert "Traceback" not in result.stderr


def test_list_and_info(tiny, tmp_path):
    listed = command("list").output
    assert all(name in listed for name in [LAYER, *EXPERIMENTS])
    train("random", tiny, tmp_path)
    shown = json.loads(command("info", tmp_path / "tiny.npz" / "random" / "seed-0").output)
    assert shown["configuration"]["model"] == "random"
    missing = command("info", tmp_path / "nothing")
    assert "is not the folder of a run" in str(missing.exception)
    missing = command("info", tmp_path / "tiny.npz" / "random" / "seed-1")
    assert isinstance(missing.exception, FileNotFoundError)


def test_unfinished_models_are_not_loaded(tiny, tmp_path):
    train("bp", tiny, tmp_path)
    folder = tmp_path / "tiny.npz" / "bp" / "seed-0"
    (folder / "manifest.json").unlink()
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        runs.load_model(folder)


def test_a_run_that_lost_its_weights_is_trained_again(tiny, tmp_path):
    """As in a fresh clone: git keeps manifests and logs, not weights."""
    train("kh", tiny, tmp_path)
    folder, layer = (tmp_path / "tiny.npz" / model / "seed-0" for model in ("kh", LAYER))
    before = runs.load_model(folder)
    log = (folder / "log.npz").read_bytes()
    (folder / runs.WEIGHTS).unlink()
    (layer / runs.SYNAPSES).unlink()
    with pytest.raises(FileNotFoundError) as error:
        runs.load_model(folder)
    assert "has its manifest but not its weights, model.safetensors" in str(error.value)
    assert f"bioadv train kh --data={tiny} --seed=0 --out={tmp_path}" in str(error.value)
    assert train("kh", tiny, tmp_path).exit_code == 0
    again = runs.load_model(folder)
    assert torch.equal(again.hidden, before.hidden)
    assert torch.equal(again.readout, before.readout)
    assert (folder / "log.npz").read_bytes() == log
    assert (layer / runs.SYNAPSES).is_file()


@pytest.mark.parametrize("model", ["bp", LAYER])
@pytest.mark.parametrize("full", [runs.WEIGHTS, provenance.LOG, provenance.MANIFEST])
def test_on_a_full_disk_a_lost_run_stays_as_it_was(tiny, tmp_path, model, full):
    """Trained again as in a clone: manifest and log stay until all that takes their place is written."""
    train(model, tiny, tmp_path)
    run = Run(tmp_path / "tiny.npz", model, 0)
    run.weights.unlink()
    before, full = contents(run.folder), run.weights.name if full == runs.WEIGHTS else full
    with full_disk(full):
        refused = train(model, tiny, tmp_path).exception
    assert f"cannot write {run.folder}, no space left on device: free some space" in str(refused)
    assert "(nothing was changed)" in str(refused)
    assert contents(run.folder) | before == contents(run.folder)
    assert contents(run.folder).keys() - before.keys() == {run.checkpoint.name}
    assert train(model, tiny, tmp_path).exit_code == 0
    assert contents(run.folder).keys() == {*before, run.weights.name}


def contents(folder):
    """Files of a folder, by name, and folders."""
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_manifest_never_describes_other_weights(tiny, tmp_path, monkeypatch, moved):
    """Trained again after a loss and stopped while its files take their places, a run is unfinished."""
    train("bp", tiny, tmp_path)
    run, during = Run(tmp_path / "tiny.npz", "bp", 0), []
    run.weights.unlink()
    fit, replace = training.fit, os.replace

    def fitted(*given, **more):
        during.append(run.manifest.is_file())
        return fit(*given, **more)

    def stop(source, target):
        if Path(source).parent.name.startswith(".manifest") and Path(target).parent == run.folder:
            assert not run.manifest.is_file()
            during.append(Path(target).name)
            if len(during) > moved + 1:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", fitted)
        patch.setattr(files.os, "replace", stop)
        assert train("bp", tiny, tmp_path).exit_code != 0
    assert during[0] is True
    assert provenance.MANIFEST not in during[:-1]
    assert not run.manifest.exists()
    assert run.checkpoint.is_file()
    assert train("bp", tiny, tmp_path).exit_code == 0
    assert contents(run.folder).keys() == {runs.WEIGHTS, provenance.LOG, provenance.MANIFEST}


def test_a_run_stopped_behind_its_manifest_is_tidied(tiny, tmp_path, monkeypatch):
    unlink = Path.unlink

    def stop(path, missing_ok=False):
        if path.name == "checkpoint.safetensors":
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    for model, weights in (("bp", runs.WEIGHTS), (LAYER, runs.SYNAPSES)):
        monkeypatch.setattr(Path, "unlink", stop)
        train(model, tiny, tmp_path)
        monkeypatch.setattr(Path, "unlink", unlink)
        run = Run(tmp_path / "tiny.npz", model, 0)
        assert run.checkpoint.is_file()
        files.staging(run.manifest).mkdir()  # as one that was killed before leaves it
        (files.staging(run.manifest) / weights).write_bytes(b"half")
        written = run.weights.stat().st_mtime_ns
        assert train(model, tiny, tmp_path).exit_code == 0
        assert contents(run.folder).keys() == {weights, provenance.LOG, provenance.MANIFEST}
        assert run.weights.stat().st_mtime_ns == written


def test_the_precision_of_a_stored_run_is_no_obstacle_unless_one_is_asked_for(tiny, tmp_path, monkeypatch):
    """A clone has manifests without weights, made on a processor with bfloat16; this one may have none."""
    assert train("bp", tiny, tmp_path, dtype="bfloat16").exit_code == 0
    folder = tmp_path / "tiny.npz" / "bp" / "seed-0"
    refused = train("bp", tiny, tmp_path, dtype="float32").exception
    assert "holds a run with dtype = torch.bfloat16, not torch.float32" in str(refused)
    monkeypatch.setattr(jobs, "choose_dtype", lambda name, device: torch.float32)
    before = (folder / runs.WEIGHTS).stat().st_mtime_ns
    assert train("bp", tiny, tmp_path).exit_code == 0
    assert (folder / runs.WEIGHTS).stat().st_mtime_ns == before
    (folder / runs.WEIGHTS).unlink()
    assert train("bp", tiny, tmp_path).exit_code == 0
    assert (provenance.read_manifest(folder) or {})["configuration"]["dtype"] == "torch.float32"


CHILD = """
import sys
from pathlib import Path
from bioadv.data import datasets
from bioadv.lab import jobs, runner, scales
from bioadv.network import kh_params, states
params = kh_params.KHParams(hidden=16, delta=0.1, batch=20, epochs=300)
scales.scale = lambda data: scales.Scale(params, epochs=150, batch=20)
data = datasets.load(sys.argv[1])
resume = states.State.restore
def told(*given):
    state = resume(*given)
    if state[0]:
        print(state[0], flush=True)
    return state
states.State.restore = told
print("ready", flush=True)
runner.train("bp", data, 0, jobs.Where(Path(sys.argv[2]), progress=False, every=1, dtype="float32"))
print("done", flush=True)
"""


def epoch_of(checkpoint):
    """Epochs done in a checkpoint; 0 if there is none, before the first and after the last."""
    try:
        return int(files.read_tensors(checkpoint)[1]["epoch"])
    except FileNotFoundError:
        return 0


def test_killed_runs_go_on_and_end_alike(tiny, tmp_path):
    rng = np.random.default_rng()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(out):
        arguments = [sys.executable, "-c", CHILD, tiny, out]
        return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)

    assert start(tmp_path / "whole").communicate()[0].endswith("done\n")
    checkpoint, reached = tmp_path / "killed" / "tiny.npz" / "bp" / "seed-0" / "checkpoint.safetensors", 0
    for attempt in range(4):
        child = start(tmp_path / "killed")
        assert child.stdout.readline() == "ready\n"
        if attempt < 3:
            while child.poll() is None and epoch_of(checkpoint) <= reached:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.05))
            child.send_signal(signal.SIGKILL)
        printed = child.communicate()[0].split()
        if reached:  # it did not begin anew
            assert int(printed[0]) >= reached
        reached = epoch_of(checkpoint)
    assert printed[-1] == "done"
    whole, killed = (runs.load_model(tmp_path / out / "tiny.npz" / "bp" / "seed-0") for out in ("whole", "killed"))
    assert torch.equal(whole.hidden, killed.hidden)
    assert torch.equal(whole.readout, killed.readout)


def test_live_cells_stay_small_on_every_dataset(monkeypatch):
    """The chapters' own sizes: never the paper's, whatever BIOADV_DATA names."""
    monkeypatch.undo()
    for name, count, epochs, batch in (
        ("photo-patches", 5000, 60, 250),
        ("cifar10", 50_000, 6, 250),
        ("mnist", 60_000, 5, 250),
        ("me", 200, 60, 10),
    ):
        image = Images(np.ones((count, 1, 1, 1), np.uint8), np.zeros(count, int), ("a", "b"), name)
        sizes = scales.live_scale(Dataset(name, image, image))
        assert (sizes.layer.hidden, sizes.epochs, sizes.batch) == (100, epochs, batch)


def test_scales(monkeypatch, patches):
    monkeypatch.undo()
    image = Images(np.ones((4, 2, 2, 3), np.uint8), np.arange(4) % 2, ("a", "b"), "x")
    for name, hidden, batch in (("cifar10", 2000, 1000), ("mnist", 2000, 1000), ("mine", 100, 10)):
        sizes = scales.scale(Dataset(name, image, image))
        assert (sizes.layer.hidden, sizes.batch) == (hidden, batch)
    assert scales.scale(patches).epochs == 60


# Source hashes


def helper(x):
    return x + 1


def base(x):
    """Doc."""
    return helper(x) * 2


@dataclass(frozen=True)
class Parameters:
    """Doc."""

    rate: float = 0.1


def source(text, name="f", extra=""):
    """The hash of a function given as text, in a module of its own below bioadv."""
    import importlib.util
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(extra + text)
        file.flush()
        spec = importlib.util.spec_from_file_location("bioadv.made_up", file.name)
        module = importlib.util.module_from_spec(spec)
        sys.modules["bioadv.made_up"] = module
        try:
            spec.loader.exec_module(module)
            return source_hash(getattr(module, name))
        finally:
            del sys.modules["bioadv.made_up"]


PLAIN = "def f(x):\n    return g(x) * 2\n"
HELPER = "def g(x):\n    return x + 1\n"


def test_hash_ignores_what_cannot_move_a_number():
    base_hash = source(PLAIN, extra=HELPER)
    assert source('def f(x):\n    """Doc."""\n    # comment\n    return g(x)  *  2\n', extra=HELPER) == base_hash
    assert source("def f(x: int) -> int:\n    return g(x) * 2\n", extra=HELPER) == base_hash
    checked = "def f(x):\n    if x < 0:\n        raise ValueError('{}')\n    return g(x) * 2\n"
    assert source(checked.format("one"), extra=HELPER) == source(checked.format("two"), extra=HELPER)


def test_hash_sees_what_can():
    base_hash = source(PLAIN, extra=HELPER)
    assert source(PLAIN.replace("2", "3"), extra=HELPER) != base_hash
    assert source(PLAIN, extra=HELPER.replace("1", "2")) != base_hash  # a function it calls
    with_default = "from dataclasses import dataclass\n@dataclass\nclass P:\n    rate: float = {}\n"
    calls = "def f(x):\n    return P()\n"
    assert source(calls, extra=with_default.format(1)) != source(calls, extra=with_default.format(2))
    method = "class M:\n    def forward(self, x):\n        return {} * x\n"
    only_annotated = "def f(model: M, x):\n    return model(x)\n"
    assert source(only_annotated, extra=method.format(1)) != source(only_annotated, extra=method.format(2))
    constant, uses = "import numpy as np\nGRID = {}\n", "def f(x):\n    return GRID * x\n"
    values = ("1", "2", "(1, 2)", "{'a': 1}", "np.logspace(0, 1, 5)", "np.logspace(0, 1.001, 5)")
    assert len({source(uses, extra=constant.format(value)) for value in values}) == len(values)
    # The last digits of a grid depend on the processor.
    nearly = "np.logspace(0, 1, 5) * (1 + 1e-14)"
    assert source(uses, extra=constant.format(nearly)) == source(uses, extra=constant.format("np.logspace(0, 1, 5)"))


def test_a_constant_that_no_setting_holds_makes_results_stale(monkeypatch):
    """The number of steps of an attack, the guard of a division, the public code's false mean."""
    attack, rule, penalty = (
        lambda: source_hash(probe_perturbations.measure_recommended),
        lambda: runner.source_of(LAYER),
        lambda: runner.source_of("specreg-logged"),
    )
    before = attack(), rule(), penalty()
    monkeypatch.setattr(probe_perturbations, "RECOMMENDED", replace(probe_perturbations.RECOMMENDED, steps=10))
    monkeypatch.setattr(local_learning, "SMALLEST_MAXIMUM", 1e-3)
    monkeypatch.setattr(spectral_penalty, "SHIFT", 0.03)
    assert all(a != b for a, b in zip(before, (attack(), rule(), penalty()), strict=True))


def test_the_seeds_and_the_runner_are_part_of_what_results_are_made_with(monkeypatch):
    """What draws the order of the images, in what batches the taps are taken, how the measured model is made."""
    before = runner.source_of("bp"), probes.source_of("spectra", "bp")
    assert {"bioadv.runner.fit", "bioadv.models.in_batches", "bioadv.streams.ORDER"} <= set(
        hashing.sources(*runner.roots("bp"))
    )
    assert "bioadv.probes.of_layer" in hashing.sources(probes.of_layer)
    monkeypatch.setattr(streams, "ORDER", range(11_000, 12_000))
    monkeypatch.setattr(kh_params, "PAPER_POWER", 4.0)
    assert runner.source_of("bp") != before[0]
    assert probes.source_of("spectra", "bp") != before[1]


def test_keeping_and_showing_is_no_part_of_it():
    """Checkpoints, bars, manifests, and what the registry holds besides the model's own entry."""
    counted = {name for model in (LAYER, *EXPERIMENTS) for name in hashing.sources(*runner.roots(model))}
    assert not [name for name in counted if hashing._uncounted(name)]
    assert not [name for name in counted if name.endswith(("HIDDEN", "EXPERIMENTS", ".restore", ".State", ".bar"))]


def test_every_function_that_is_left_out_of_the_hash_exists():
    modules = {path.stem: path for path in (ROOT / "bioadv").rglob("*.py")}
    for name in hashing.NOT_HASHED:
        module, _, function = name.partition(".")
        assert not function or f"def {function}(" in modules[module].read_text(), name


def squares(given):
    """A kind of hidden layer made up for the test: needs images, numbers of its own, and the KH layer."""
    drawn = torch.randn(given.start.shape, generator=given.generator)
    return given.images[:16].square() + drawn + given.layer


def test_a_new_kind_and_a_new_model_train_and_make_nothing_stale(tiny, tmp_path, monkeypatch):
    """They are a function and two lines: hashes and configurations of all other models stay as they are."""
    data = datasets.load(tiny)

    def everything():
        names = [LAYER, *(name for name in EXPERIMENTS if name != "squares")]
        hashes = {name: runner.source_of(name) for name in names}
        hashes |= {(one, name): probes.source_of(one, name) for one in probes.PROBES for name in ("kh", "pca")}
        return hashes, {name: provenance.describe_all(jobs.configuration(name, data, 0)) for name in names}

    before = everything()
    monkeypatch.setitem(experiments.HIDDEN, "squares", Kind(squares, layer=True))
    look = Look("squares", "#000000", "$s$")
    new = experiments.Experiment("squares", look, "control", "squares", recipes.Recipe("constant"))
    monkeypatch.setitem(EXPERIMENTS, "squares", new)
    assert everything() == before
    assert train("squares", tiny, tmp_path).exit_code == 0
    root = tmp_path / "tiny.npz"
    trained = runs.load_model(root / "squares" / "seed-0")
    layer = runs.Run(root, LAYER, 0).synapses()
    own = torch.randn((16, 48), generator=torch.Generator().manual_seed(streams.DRAWN[0]))
    assert torch.equal(trained.hidden, datasets.unit_lp(data.train)[:16].square() + own + layer)
    assert runner.source_of("squares") not in before[0].values()


@dataclass(frozen=True)
class Bias(Penalty):
    """A penalty made up for the test: strength * ||bias||^2."""

    strength: float = 1e-2

    def added(self, model, h, directions=None):
        return self.strength * model.bias.square().sum()


def test_a_new_penalty_trains_and_makes_nothing_stale(tiny, tmp_path, monkeypatch):
    """It is a class and a line: hashes of all other models stay as they are, and its own covers it."""
    before = {name: runner.source_of(name) for name in (LAYER, *EXPERIMENTS)}
    new = replace(EXPERIMENTS["bp"], title="bias", recipe=recipes.Recipe("constant", Bias()))
    monkeypatch.setitem(EXPERIMENTS, "bias", new)
    assert {name: runner.source_of(name) for name in before} == before
    assert "bioadv.test_study.Bias" in hashing.sources(*runner.roots("bias"))
    assert runner.source_of("bias") not in before.values()
    assert train("bias", tiny, tmp_path).exit_code == 0
    log = files.read_arrays(tmp_path / "tiny.npz" / "bias" / "seed-0" / "log.npz")
    bias = runs.load_model(tmp_path / "tiny.npz" / "bias" / "seed-0").bias
    assert 0 < log["penalty"][-1] < 10 * 1e-2 * float(bias.detach().square().sum())


HASHES = {  # of a measurement of a model that has a kind of layer and a penalty
    "a model": runner.source_of,
    "a probe": lambda model: probes.source_of("paths", model),
    "in small": lambda model: small_paths.source_of("paths", model),
    "a layer": lambda model: layers.source_of(EXPERIMENTS[model].hidden),
}


@pytest.mark.parametrize("made", HASHES)
def test_a_models_own_kind_of_layer_is_hashed_and_no_other(monkeypatch, made):
    """What ``pca`` rows are made with moves the hash of ``pca``, and of nothing else."""
    source = HASHES[made]
    before = {model: source(model) for model in ("pca", "white", "kh")}
    assert len(set(before.values())) > 1
    monkeypatch.setitem(experiments.HIDDEN, "pca", replace(experiments.HIDDEN["pca"], weights=squares))
    monkeypatch.setitem(experiments.HIDDEN, "kmeans", replace(experiments.HIDDEN["kmeans"], weights=squares))
    after = {model: source(model) for model in before}
    assert {model for model in before if before[model] != after[model]} == {"pca"}


def test_in_small_a_models_own_penalty_is_hashed(monkeypatch):
    before = {model: small_paths.source_of("paths", model) for model in ("bp", "l2")}
    changed = replace(EXPERIMENTS["l2"], recipe=recipes.Recipe("steps", Bias()))
    monkeypatch.setitem(EXPERIMENTS, "l2", changed)
    assert small_paths.source_of("paths", "bp") == before["bp"]
    assert small_paths.source_of("paths", "l2") != before["l2"]


def test_of_the_penalties_only_a_models_own_is_hashed():
    def penalties(name):
        kinds = ("L2", "JacobianPublished", "LatentJacobian", "LogitJacobian", "latent_jacobian")
        known = {kind: f"bioadv.regularizers.{kind}" for kind in kinds}
        known["Spectral"] = "bioadv.spectral_penalty.Spectral"
        return {kind for kind, full in known.items() if full in hashing.sources(*runner.roots(name))}

    assert penalties("bp") == penalties("kh") == set()
    assert penalties("l2") == {"L2"}
    assert penalties("jreg-logits") == {"LogitJacobian"}
    assert penalties("specreg") == {"Spectral"}
    assert "bioadv.jacobians.latent_jacobian" in hashing.sources(*runner.roots("jreg-latent"))


def test_what_a_model_is_called_and_how_it_is_drawn_are_no_parameters(monkeypatch):
    data, before = stand_in("cifar10"), runner.source_of("bp")
    wanted = provenance.describe_all(jobs.configuration("bp", data, 0))
    other = replace(EXPERIMENTS["bp"], title="X", look=EXPERIMENTS["kh"].look, group="control")
    monkeypatch.setitem(EXPERIMENTS, "bp", other)
    assert provenance.describe_all(jobs.configuration("bp", data, 0)) == wanted
    assert runner.source_of("bp") == before


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"hidden": "locl"}, "X: hidden = 'locl' is not known; choose from backprop, random, local"),
        ({"group": "extra"}, "X: group = 'extra' is not known; choose from published, control"),
        ({"pruned": True}, "X: pruned = True, but 'backprop' is not made from a KH layer"),
        ({"power": 0.5}, "X: power = 0.5; give q >= 1"),
        ({"held_out": 1.0}, "X: held_out = 1.0; give a share"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused_when_it_is_registered(given, words):
    with pytest.raises(ValueError, match=words):
        replace(EXPERIMENTS["bp"], title="X", **given)


def test_hidden_weights_of_another_shape_are_refused(tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(experiments.HIDDEN, "random", Kind(lambda given: given.images))
    error = str(train("random", tiny, tmp_path).exception)
    assert "made weights of shape (60, 48)" in error
    assert "make finite ones of shape (16, 48), hidden units times pixels" in error


def test_looks_tell_models_apart():
    """One colour, marker and short name each; shown together, in grey as well: by the marker."""
    looks = {name: study.look(name) for name in (*EXPERIMENTS, *study.SUBJECTS)}
    assert len({look.short for look in looks.values()}) == len(looks)
    assert len({(look.colour, look.marker) for look in looks.values()}) == len(looks)
    together = [looks[name] for name, e in EXPERIMENTS.items() if e.group == "published" or name == "random"]
    assert len({look.marker for look in together}) == len({look.colour for look in together}) == len(together)
    with pytest.raises(ValueError, match="dash = 'wavy' is not known"):
        Look("x", "#000000", "o", "wavy")


def test_other_units_are_another_configuration(tiny, tmp_path, monkeypatch):
    """Manifests from before do not hold the number, or hold the title, and are taken as they are."""
    assert train("random", tiny, tmp_path).exit_code == 0
    params = kh_params.KHParams(hidden=8, delta=0.1, batch=20, epochs=300)
    monkeypatch.setattr(scales, "scale", lambda data: scales.Scale(params, epochs=4, batch=20))
    assert "holds a run with units = 16, not 8" in str(train("random", tiny, tmp_path).exception)
    manifest = runs.Run(tmp_path / "tiny.npz", "random", 0).manifest
    about = files.read_json(manifest)
    del about["configuration"]["units"]
    about["configuration"]["experiment"]["title"] = "as it was called then"
    files.write_json(manifest, about)
    assert train("random", tiny, tmp_path).exit_code == 0


def test_the_forward_pass_is_part_of_what_results_are_made_with():
    """A change of TwoLayer, of the loop, or of the initial weights must make trainings and measurements stale."""
    trained = set(hashing.sources(*runner.roots("kh")))
    assert {
        "bioadv.models.TwoLayer",
        "bioadv.models.activation",
        "bioadv.training.fit",
    } < trained
    assert {"bioadv.runner.initialise", "bioadv.runner.image_sets", "bioadv.pruning.prune"} < trained
    assert {"bioadv.local_learning._epoch", "bioadv.local_learning.step"} < trained
    measured = set(hashing.sources(probe_perturbations.measure_recommended))
    assert {
        "bioadv.models.TwoLayer",
        "bioadv.models.activation",
        "bioadv.probe_perturbations.RECOMMENDED",
    } < measured


def test_hash_follows_modules():
    names = source_hash(LatentJacobian)
    keep = regularizers.latent_jacobian
    try:
        regularizers.latent_jacobian = regularizers.logit_jacobian
        assert source_hash(LatentJacobian) != names
    finally:
        regularizers.latent_jacobian = keep


def test_describe_is_json():
    value = provenance.describe(replace(EXPERIMENTS["jreg"], title="x"))
    assert json.loads(json.dumps(value)) == value
    assert value["kind"] == "Experiment"
    assert value["recipe"]["penalty"]["kind"] == "JacobianPublished"


def test_run_folder_of_a_path(tmp_path, tiny):
    data = datasets.load(tiny)
    assert Where(Path("out")).folder(data, "bp", 3) == Path("out/tiny.npz/bp/seed-3")


def test_numbers_too_small_to_be_normal_count_as_zero(monkeypatch, capsys):
    """Decay takes the weights of dead units there, and each step would be twice as slow."""
    monkeypatch.setattr("sys.argv", ["bioadv", "list"])
    try:
        with pytest.raises(SystemExit):
            cli.main()
        assert float(torch.tensor([1e-39]) * 1.0) == 0
    finally:
        torch.set_flush_denormal(False)
    assert float(torch.tensor([1e-39]) * 1.0) > 0
    assert "kh" in capsys.readouterr().out


def test_one_epoch_is_enough_for_a_model_without_a_layer(patches):
    """The local rule needs two, since its last epoch has rate 0; other models must not be asked for them."""
    assert jobs.configuration("random", patches, 0, epochs=1)["experiment"].recipe.epochs == 1
    with pytest.raises(ValueError, match="epochs = 1"):
        jobs.configuration("kh", patches, 0, epochs=1)


def test_a_screened_layer_says_so_and_is_another_one(tiny, tmp_path):
    """In its own manifest and in that of the model on it; one asked for in the other way is refused, not mixed in."""
    out = tmp_path / "runs"
    result = command("train", "kh", "--data", tiny, "--out", out, "--no-progress", "--screen")
    assert result.exit_code == 0, result.output
    for model in (LAYER, "kh"):
        manifest = json.loads((out / "tiny.npz" / model / "seed-0" / "manifest.json").read_text())
        assert manifest["configuration"]["screened"] is True
        assert manifest["source"] == runner.source_of(model, True) != runner.source_of(model)
    assert command("probe", out / "tiny.npz" / "kh" / "seed-0", "--probe", "spectra", "--no-progress").exit_code == 0
    files = stale.stored(out)
    assert len(files) == 3
    assert not [fault for file in files for fault in stale.faults(file, out, datasets.load(tiny))]
    for model in (LAYER, "kh"):
        refused = train(model, tiny, out)
        assert refused.exit_code != 0
        assert "holds a run with screened = True, not None" in str(refused.exception)
    assert command("train", "bp", "--data", tiny, "--out", out, "--no-progress", "--screen").exit_code == 0
    manifest = json.loads((out / "tiny.npz" / "bp" / "seed-0" / "manifest.json").read_text())
    assert "screened" not in manifest["configuration"]  # it has no leaders to find
    assert runner.source_of("bp", True) == runner.source_of("bp")


def test_a_screen_is_hashed_only_where_it_is_used():
    plain, screened = (set(hashing.sources(*runner.roots(LAYER, used))) for used in (False, True))
    assert screened - plain >= {"bioadv.screening.Screen", "bioadv.screening.ROUNDED"}
    assert not [name for name in plain if name.startswith("bioadv.screening")]
