import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from bioadv.data import datasets, files
from bioadv.lab import jobs, plan, probes, provenance, runner, runs, scales, study
from bioadv.lab.runs import Run
from bioadv.network import kh_params
from tools import paper

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
SECONDS = 600  # that one Snakemake may take on a busy machine; idle it is about five
CONFIGS = [ROOT / "workflow" / "config" / f"{name}.yaml" for name in ("cifar10", "photo-patches")]  # those that we ship
COST = {"threads": 1, "mem_mb": 1000, "runtime": 5}
EPOCHS = 600  # of a training that is to be stopped
NO_PROBES: dict[str, list[str]] = {}


def config(**more):
    """A configuration of one model and one seed."""
    resources = dict.fromkeys(plan.RULES, COST)
    return {"data": "photo-patches", "stages": [{"models": ["bp"], "seeds": [0]}], "resources": resources, **more}


# The configurations that come with the project


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_hold_the_whole_registry(path):
    chosen = plan.read(yaml.safe_load(path.read_text()))
    runs = [run for stage in chosen.stages for run in stage.runs]
    assert {run.model for run in runs} == set(study.EXPERIMENTS)
    seeds = {"cifar10": 5, "photo-patches": 2}[path.stem]
    assert {run.seed for run in runs} == set(range(seeds))
    assert len(runs) == len(set(runs)) == seeds * len(study.EXPERIMENTS)
    assert {layer.seed for stage in chosen.stages for layer in stage.layers} == set(range(seeds))
    assert set(chosen.stages[0].models) == {"kh", "bp", "l2", "jreg", "specreg", "random"}
    assert chosen.data == path.stem
    # Everything that is measured is measured somewhere: readouts on their paths in a study of their own, readouts.yaml.
    assert {name for name, models in chosen.probes.items() if not models} <= {"paths", "ends", "directions", "epochs"}
    assert yaml.safe_load((ROOT / "workflow" / "config" / "readouts.yaml").read_text())["readouts"]


def test_the_papers_models_at_one_seed_come_first():
    chosen = plan.read(yaml.safe_load((ROOT / "workflow" / "config" / "cifar10.yaml").read_text()))
    assert [stage.seeds for stage in chosen.stages] == [(0,), (1, 2, 3, 4), (0, 1, 2, 3, 4)]
    assert chosen.stages[1].models == chosen.stages[0].models


# Reading a configuration


def test_seeds_and_models_of_the_command_line_leave_out_the_rest():
    stages = [{"models": ["kh", "bp"], "seeds": [0]}, {"models": ["bp", "kh"], "seeds": [1, 2]}]
    runs = [[(r.model, r.seed) for r in stage.runs] for stage in plan.read(config(stages=stages, seeds="0 2")).stages]
    assert runs == [[("kh", 0), ("bp", 0)], [("bp", 2), ("kh", 2)]]
    one = plan.read(config(stages=stages, seeds=2, models="bp")).stages
    assert [(stage.models, stage.seeds, stage.layers) for stage in one] == [(("bp",), (2,), [])]


def test_layers_are_trained_once_and_before_what_needs_them():
    stages = [
        {"models": ["bp"], "seeds": [0]},
        {"models": ["kh"], "seeds": [0, 1]},
        {"models": ["kh-linear"], "seeds": [1]},
        {"models": ["exemplars", "random-power"], "seeds": [1, 2]},  # the first has the lengths of the layer's rows
    ]
    chosen = plan.read(config(stages=stages))
    assert [[layer.seed for layer in stage.layers] for stage in chosen.stages] == [[], [0, 1], [], [2]]


def test_a_probe_can_measure_a_group_of_models():
    stages = [{"models": ["kh", "random", "short-l2-2", "jreg-latent"], "seeds": [0]}]
    chosen = plan.read(config(stages=stages, probes={**NO_PROBES, "spectra": ["published", "frontier"]}))
    measured = {path.parts[-3] for path in chosen.targets() if path.name == "spectra.json"}
    assert measured == {"kh", "short-l2-2"}


def test_what_a_probe_measures():
    given = {"spectra": ["models", "pixels"], "pruning": ["kh-layer"], "landscape": ["kh"]}
    chosen = plan.read(config(stages=[{"models": ["kh", "bp"], "seeds": [0]}], probes=given))
    measured = {str(path.relative_to(chosen.root)) for path in chosen.targets() if path.name != provenance.MANIFEST}
    wanted = {"kh/seed-0/spectra.json", "bp/seed-0/spectra.json", "pixels/seed-0/spectra.json"}
    wanted |= {"kh-layer/seed-0/pruning.json", "kh/seed-0/landscape.json"}
    assert measured == wanted  # and nothing that the configuration does not name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": [{"models": ["resnet"], "seeds": [0]}]}, "model 'resnet' is not known; choose from kh-layer, kh"),
        ({"stages": [{"models": [], "seeds": [0]}]}, "stages[0].models = []; give a list of models, such as [kh, bp]"),
        ({"stages": [{"models": "bp", "seeds": [0]}]}, "stages[0].models = 'bp'; give a list of models"),
        ({"stages": [{"models": ["bp"], "seeds": [0.5]}]}, "stages[0].seeds[0] = 0.5; give integers from 0 to 9999"),
        ({"stages": [{"models": ["bp"], "seed": [0]}]}, "stages[0].seed is not a key; choose from models, seeds"),
        ({"stages": [{"models": ["bp"], "seeds": [0]}] * 2}, "stage 2 repeats bp with seed 0; leave it out"),
        ({"stages": []}, "stages = []; give stages with models and seeds; see workflow/config/photo-patches.yaml"),
        ({"stages": "bp"}, "stages = 'bp'; give stages with models and seeds"),
        ({"seeds": "0 -1"}, "seeds[1] = -1; give integers from 0 to 9999"),
        ({"seeds": "zero"}, "seeds[0] = 'zero'; give integers from 0 to 9999"),
        ({"seeds": [True]}, "seeds[0] = True; give integers from 0 to 9999"),
        ({"seeds": [20000]}, "seeds[0] = 20000; give integers from 0 to 9999, such as 0 1"),
        (
            {"stages": [{"models": ["bp"], "seeds": [9999, 10000]}]},
            "stages[0].seeds[1] = 10000; give integers from 0 to 9999, as a list such as [0, 1]",
        ),
        ({"seeds": 7}, "models (all) with seeds 7: no stage of the configuration has these"),
        ({"models": "vgg"}, "model 'vgg' is not known; choose from"),
        ({"epochs": -1}, "epochs = -1; give an integer >= 1"),
        ({"epochs": 0}, "epochs = 0; give an integer >= 1"),
        ({"epochs": 2.7}, "epochs = 2.7; give an integer >= 1"),
        ({"epochs": True}, "epochs = True; give an integer >= 1"),
        ({"epochs": "1e3"}, "epochs = '1e3'; give an integer >= 1, such as 1000"),
        ({"epochs": 1, "stages": [{"models": ["kh"], "seeds": [0]}]}, "epochs = 1: the last epoch has rate 0"),
        ({"retrain": "maybe"}, "retrain = 'maybe'; give yes or no, 1 or 0"),
        ({"probes": {"curvature": ["models"]}}, "probe 'curvature' is not known; choose from"),
        ({"probes": {"spectra": ["vgg"]}}, "model 'vgg' is not known"),
        ({"probes": {"spectra": "models"}}, "probes.spectra = 'models'; give per probe a list"),
        ({"probes": ["spectra"]}, "probes = ['spectra']; give per probe a list"),
        ({"model": "bp"}, "model is not a key; choose from data, out"),
        ({"resources": {"train": COST}}, "resources: layer lacks threads; give threads, mem_mb, runtime"),
        (
            {"resources": {"train": {**COST, "gpu": 1}}},
            "resources.train.gpu is not a key of train; choose from threads",
        ),
        ({"resources": {"train": {"threads": 0.5}}}, "resources.train.threads = 0.5; give an integer >= 1"),
        ({"data": 5}, "data = 5; give a dataset's name"),
        ({"data": "a\nb"}, "data = 'a\\nb'; give a dataset's name"),
        ({"out": ""}, "out = ''; give a folder"),
        ({"device": "tpu"}, "device = 'tpu'; give auto, cpu or cuda"),
        ({"dtype": "float16"}, "dtype = 'float16'; give auto, float32 or bfloat16"),
    ],
)
def test_bad_configurations_say_what_to_do(change, words):
    with pytest.raises(ValueError, match="(?m)^study.yaml: " + re.escape(words)) as error:
        plan.read(config(**change), "study.yaml")
    assert all(line.startswith("study.yaml: ") for line in str(error.value).splitlines())


def test_every_fault_of_a_configuration_has_its_line():
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the lines are compared)
        plan.read({"data": 5, "epochs": 0, "stages": [{"models": ["bp"], "seeds": [0.5, -1]}]}, "f")
    assert len(str(error.value).splitlines()) == 5  # two seeds, and no resources


@pytest.mark.parametrize(("given", "meant"), [("no", False), (0, False), ("0", False), ("yes", True), (1, True)])
def test_no_means_no(given, meant):
    assert plan.read(config(retrain=given)).retrain is meant


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"data: cifar10\ndata: mnist\n", "study.yaml, line 2: key 'data' stands twice; leave one"),
        (b"data: cifar10\n? [a, b]\n: mnist\n", "study.yaml, line 2: a key is a list or a table; give text"),
        (b"data: caf\xe9\n", "study.yaml is not UTF-8 (at byte 9); save it as UTF-8"),
        (b"data: [a\n", "study.yaml, line 2: "),
        (b"- data\n", "study.yaml: ['data'] is not a table of keys"),
    ],
)
def test_bad_files_say_what_to_do(tmp_path, content, words):
    (tmp_path / "study.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(words)):
        plan.read_file(tmp_path / "study.yaml")


def test_variables_of_make_reach_the_study_whatever_they_are(tmp_path, monkeypatch):
    """As texts: neither a shell nor Snakemake's reading of --config finds anything in them to expand."""
    (tmp_path / "workflow").symlink_to(ROOT / "workflow")
    monkeypatch.chdir(tmp_path)
    for value in ('it\'s a "test" {x} $(y)', "`touch PWNED`; touch PWNED", "123", "[a]", "my out/"):
        words = paper.command({"CONFIG": "photo-patches", "OUT": value, "SEEDS": "0 1", "CORES": "1"})
        path, choices = words[words.index("--configfile") + 1 : words.index("--profile")]
        assert json.loads(Path(choices).read_text()) == {"out": value, "seeds": "0 1"}
        assert plan.read({**yaml.safe_load(Path(path).read_text()), "out": value}).out == Path(value)
    for given, message in (
        ({"CONFIG": "absent"}, "workflow/config/absent.yaml does not exist; give CONFIG=NAME"),
        ({"SEEDS": "0.5"}, "workflow/config/cifar10.yaml: seeds[0] = '0.5'; give integers"),
        ({"CONFIG": "mechanism", "SEEDS": "10000"}, "mechanism.yaml: seeds[0] = 10000; give integers from 0 to 9999"),
        ({"CONFIG": "readouts", "SEEDS": "20000"}, "readouts.yaml: seeds[0] = 20000; give integers from 0 to 9999"),
        ({"RETRAIN": "perhaps"}, "retrain = 'perhaps'; give yes or no"),
        ({"PROFILE": "moon"}, "PROFILE = 'moon' is not a folder of workflow/profiles"),
        ({"CORES": "-1"}, "CORES = '-1' is no number of cores; give an integer >= 1, or all"),
        ({"CORES": "two"}, "CORES = 'two' is no number of cores"),
        ({"OPTIONS": "'"}, 'OPTIONS = "\'": No closing quotation; close every quotation mark'),
    ):
        with pytest.raises((ValueError, OSError), match=re.escape(message)):
            paper.command(given)


def test_the_study_of_layers_alone_is_one_command(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = paper.command({"CONFIG": "mechanism", "OUT": str(tmp_path), "SEEDS": "1 2", "MODELS": "white"})
    chosen = ["--seed", "1", "--seed", "2", "--layer", "white", "--out", str(tmp_path)]
    assert words[words.index("layers") :] == ["layers", "small", "untrained", *chosen]
    with pytest.raises(ValueError, match="retrain is not a key"):
        paper.command({"CONFIG": "mechanism", "RETRAIN": "1"})
    (tmp_path / "mine.yaml").write_text("layers: [large]")
    with pytest.raises(ValueError, match=r"mine\.yaml: layers\[0\] = 'large'; give scales, such as \[small"):
        paper.command({"CONFIG": str(tmp_path / "mine.yaml")})


@pytest.mark.parametrize("text", ["5", "layers", "[readouts]"])
def test_a_configuration_that_is_no_table_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.yaml.* is not a table of keys"):
        paper.command({"CONFIG": str(tmp_path / "mine.yaml")})


def test_the_study_of_readouts_is_one_command(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = paper.command({"CONFIG": "readouts", "OUT": str(tmp_path), "SEEDS": "1", "MODELS": "kh"})
    assert words[words.index("readouts") :] == [
        *("readouts", "small", "paper"),
        *("--seed", "1", "--model", "kh", "--out", str(tmp_path)),
    ]
    for variable, value in (("OPTIONS", "--dry-run"), ("CORES", "1"), ("PROFILE", "slurm")):
        for name in ("readouts", "mechanism"):
            with pytest.raises(ValueError, match=f"{variable} = '{value}' is for Snakemake.*leave it out"):
                paper.command({"CONFIG": name, variable: value})
    (tmp_path / "mine.yaml").write_text("readouts: [large]")
    with pytest.raises(ValueError, match=r"mine\.yaml: readouts\[0\] = 'large'; give scales, such as \[small"):
        paper.command({"CONFIG": str(tmp_path / "mine.yaml")})


# What is stored already


@pytest.fixture
def tiny(tmp_path):
    """A dataset of small images on disk, so that a model trains in a second."""
    rng = np.random.default_rng(0)
    parts = {}
    for split, count in (("train", 200), ("test", 60)):
        y = np.arange(count) % 3
        x = rng.integers(20, 80, (count, 4, 4, 3))
        x[np.arange(count), y] += 150
        parts |= {f"x_{split}": x.astype(np.uint8), f"y_{split}": y}
    np.savez(tmp_path / "tiny.npz", **parts)
    return str(tmp_path / "tiny.npz")


def finished(tiny, out, *models, epochs=2):
    """Trained models in ``out``, and the study that they belong to, with one probe."""
    data, where = datasets.load(tiny), jobs.Where(out, progress=False, device="cpu", dtype="float32")
    for model in models:
        runner.train(model, data, 0, where, epochs)
    wanted = {**NO_PROBES, "landscape": ["models"]}
    given = config(
        data=tiny, out=str(out), stages=[{"models": list(models), "seeds": [0]}], probes=wanted, epochs=epochs
    )
    return plan.read(given), given


def measured(folder, name="landscape", **more):
    """A measurement as :func:`bioadv.lab.probes.run` leaves it, without its numbers."""
    manifest = provenance.read_manifest(folder)
    chosen = probes.probe(name)
    configuration = {"probe": name, "settings": chosen.settings, "run": manifest["configuration"]}
    about = {
        "configuration": provenance.describe_all(configuration),
        "source": probes.source_of(name, manifest["configuration"]["model"]),
        "training": provenance.identity(manifest),
    }
    files.write_arrays(folder / f"{name}.npz", {})
    files.write_json(folder / f"{name}.json", {**about, **more})


def test_runs_without_weights_are_named_only_if_they_are_needed(tiny, tmp_path):
    chosen, given = finished(tiny, tmp_path / "out", "bp", "random")
    plan.check(chosen)
    bp, random = (chosen.folder(plan.Training(model, 0)) for model in ("bp", "random"))
    measured(bp)
    for folder in (bp, random):
        (folder / runs.WEIGHTS).unlink()
    assert chosen.lost() == [plan.Training("random", 0)]  # what is measured needs no weights
    with pytest.raises(ValueError, match="stored without their weights") as error:
        plan.check(chosen)
    assert str(random) in str(error.value)
    assert "make paper RETRAIN=1" in str(error.value)
    assert str(bp) not in str(error.value)
    plan.check(plan.read({**given, "retrain": 1}))


def test_a_layer_without_weights_is_named_if_a_model_needs_it(tiny, tmp_path, monkeypatch):
    params = kh_params.KHParams(hidden=16, delta=0.1, batch=20, epochs=300)
    monkeypatch.setattr(scales, "scale", lambda data: scales.Scale(params, 2, 50))
    chosen, _ = finished(tiny, tmp_path / "out", "kh-unpruned")
    layer = chosen.folder(plan.Training(study.LAYER, 0))
    (layer / runs.SYNAPSES).unlink()
    assert chosen.lost() == []
    (chosen.folder(plan.Training("kh-unpruned", 0)) / provenance.MANIFEST).unlink()
    assert chosen.lost() == [plan.Training(study.LAYER, 0)]


def test_training_again_supersedes_what_was_measured(tiny, tmp_path):
    chosen, _ = finished(tiny, tmp_path / "out", "bp")
    folder = chosen.folder(plan.Training("bp", 0))
    measured(folder)
    plan.check(chosen)
    assert not chosen.superseded(folder / "landscape.json")
    measured(folder, training="of another day")
    assert chosen.superseded(folder / "landscape.json")
    plan.check(chosen)  # it is going to be measured again


def test_results_of_older_code_stop_the_study(tiny, tmp_path):
    chosen, given = finished(tiny, tmp_path / "out", "bp")
    folder = chosen.folder(plan.Training("bp", 0))
    measured(folder, source="0" * 64)
    with pytest.raises(ValueError, match="results that today's code would not make") as error:
        plan.check(chosen)
    assert f"{folder}/landscape.json was made by other code (00000000, today" in str(error.value)
    assert f"remove {folder}/landscape.json to make it again, or" in str(error.value)
    (folder / "landscape.json").unlink()
    with pytest.raises(ValueError, match="manifest.json was made with experiment = "):
        plan.check(plan.read({**given, "epochs": 3}))


# Snakemake itself. Each call takes a few seconds, so there are few.


@pytest.fixture
def started():
    """Snakemakes that a test starts; none outlives it."""
    processes = []
    yield processes
    for process in processes:
        if process.poll() is None:
            kill([psutil.Process(process.pid), *below(process)])
            process.communicate(timeout=60)


def snakemake(folder, given, *options, started=None):
    """Run the workflow in ``folder``; its exit code and what it printed, or, with ``started``, the process."""
    if not SNAKEMAKE.exists():
        pytest.skip("snakemake is not installed; pip install -e .[study]")
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(given))
    command = [SNAKEMAKE, "--snakefile", ROOT / "workflow" / "Snakefile", "--configfile", path, "--directory", folder]
    command += ["--profile", ROOT / "workflow" / "profiles" / "workstation", "--cores", "1", *options]
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    if started is not None:
        started.append(process)
        return process
    printed = process.communicate(timeout=SECONDS)[0]
    return process.returncode, printed


def counts(printed):
    """Jobs per rule, from the table that Snakemake prints."""
    lines = (line.split() for line in printed.splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) == 2 and words[1].isdigit()}


def test_jobs_of_the_small_study(tmp_path):
    given = yaml.safe_load((ROOT / "workflow" / "config" / "photo-patches.yaml").read_text())
    code, printed = snakemake(tmp_path, {**given, "out": "out"}, "--dry-run", "--config", "seeds=1", "models=kh bp")
    assert code == 0, printed
    jobs = counts(printed)
    assert jobs["layer_1"] == 1
    assert jobs["train_1"] == 2
    assert jobs["pruning_1"] == 1
    assert jobs["spectra_1"] == 2
    assert "train_2" not in jobs
    assert "train kh, seed 1, on photo-patches" in printed
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"stages": [{"models": ["resnet"], "seeds": [0]}]}, "model 'resnet' is not known; choose from kh-layer, kh"),
        ({"data": "absent.npz"}, "dataset 'absent.npz' is neither one of"),
    ],
)
def test_the_workflow_stops_before_it_starts(tmp_path, change, words):
    code, printed = snakemake(tmp_path, config(**change))
    assert code != 0
    assert "config.yaml" in printed
    assert words in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "results").exists()


def kill_when(process, checkpoint, done, itself=False):
    """SIGKILL to the training below a Snakemake, or to Snakemake and all below it, once it is beyond epoch ``done``.

    Returns what was printed, and the epoch that the checkpoint then holds.
    """
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, process.stdout.read()
        if epoch_of(checkpoint) > done and (training := [child for child in below(process) if is_training(child)]):
            kill([psutil.Process(process.pid), *below(process)] if itself else training)
            return process.communicate(timeout=SECONDS)[0], epoch_of(checkpoint)
        time.sleep(0.02)
    raise AssertionError(f"{checkpoint} did not get beyond epoch {done}")


def epoch_of(checkpoint):
    """Epochs done in a checkpoint, 0 if there is none."""
    return int(files.read_tensors(checkpoint)[1]["epoch"]) if checkpoint.exists() else 0


def below(process):
    """Processes below one; some may have ended since."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def is_training(process):
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return any(word.endswith("bioadv") for word in command[:2]) and command[2:4] == ["train", "bp"]


def kill(processes):
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


@pytest.mark.slow
def test_killed_work_goes_on_and_finished_work_stays(tiny, tmp_path, started):
    stages = [{"models": ["random"], "seeds": [0]}, {"models": ["bp"], "seeds": [0]}]
    given = config(data=tiny, out="out", stages=stages, probes=NO_PROBES, epochs=4000, device="cpu")
    random, bp = (tmp_path / "out" / "tiny.npz" / model / "seed-0" for model in ("random", "bp"))
    # The worker dies.
    checkpoint = bp / "checkpoint.safetensors"
    printed, first = kill_when(snakemake(tmp_path, given, started=started), checkpoint, 0)
    assert "Error in rule train_2" in printed
    assert "out/tiny.npz/bp/seed-0/manifest.json" in printed
    assert not (bp / provenance.MANIFEST).exists()
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in random.iterdir()}
    assert set(before) == {provenance.MANIFEST, runs.WEIGHTS, "log.npz"}
    # Then everything does.
    second = kill_when(snakemake(tmp_path, given, started=started), checkpoint, first, itself=True)[1]
    assert second > first > 0
    code, printed = snakemake(tmp_path, given)
    assert code == 0, printed
    assert counts(printed)["total"] == 2  # bp, and the end
    assert {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in random.iterdir()} == before
    assert {path.name for path in bp.iterdir()} == set(before)
    log = (tmp_path / "_build" / "study" / "tiny.npz" / "bp" / "seed-0" / "train.log").read_text()
    assert int(re.search(r"(\d+)/4000", log)[1]) >= second  # it did not begin anew
    # A fresh clone has no weights; what is stored is not made again.
    for folder in (random, bp):
        (folder / runs.WEIGHTS).unlink()
    shutil.rmtree(tmp_path / ".snakemake")
    code, printed = snakemake(tmp_path, given)
    assert code == 0, printed
    assert "Nothing to be done" in printed
    # A new measurement needs them: only on request, and then the old one is made again as well.
    measured(bp, "landscape")
    given["probes"] = {**NO_PROBES, "landscape": ["bp"], "spectra": ["bp"]}
    code, printed = snakemake(tmp_path, given, "--dry-run")
    assert code != 0
    assert "make paper RETRAIN=1" in printed
    code, printed = snakemake(tmp_path, given, "--dry-run", "--config", "retrain=1")
    assert code == 0, printed
    assert counts(printed) == {"train_2": 1, "landscape_2": 1, "spectra_2": 1, "all": 1, "total": 4}
    assert json.loads((bp / provenance.MANIFEST).read_text())["configuration"]["model"] == "bp"


# The whole of `make paper`, in a clone of its own


NAMED = """it's a "test" {x} $(y)"""
ODD = f"""{NAMED} $(touch PWNED) `touch PWNED`; touch PWNED;"""


@pytest.fixture
def clone(tmp_path):
    """A clone in a path with a space, and a command `y` that would be noticed if something called it."""
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "bioadv", "book", "pyproject.toml", "requirements.lock", "tools", "workflow"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv").symlink_to(Path(sys.prefix))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "y").write_text(f"#!/bin/sh\ntouch {shlex.quote(str(tmp_path / 'PWNED'))}\n")
    (tmp_path / "bin" / "y").chmod(0o755)
    return folder


def photographs(folder):
    """Small images of three kinds in a folder."""
    rng = np.random.default_rng(0)
    for kind in ("cats", "dogs", "o'possums"):
        (folder / kind).mkdir(parents=True)
        for number in range(60):
            image = rng.integers(1, 255, (4, 4, 3)).astype(np.uint8)
            Image.fromarray(image).save(folder / kind / f"{number}.png")


def make_paper(clone, out, started, wait=True, **variables):
    """`make paper` in a clone, without installing anything: its exit code and what it printed, or else the process."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("BIOADV")}
    plain |= {"XDG_CACHE_HOME": str(clone.parent / "cache"), "PYTHONPATH": str(ROOT), "CORES": "1", "RETRAIN": "0"}
    plain["PATH"] = f"{clone.parent / 'bin'}:{plain['PATH']}"
    make = subprocess.Popen(
        ["make", "-o", ".venv/.ready", "-C", clone, "paper", f"OUT={out}"],
        env=plain | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    started.append(make)
    return (make.communicate(timeout=SECONDS)[0], make.returncode)[::-1] if wait else make


@pytest.mark.slow
def test_a_study_with_odd_names_runs_and_nothing_in_them_does(clone, started):
    """Images and results under names in which a shell, Snakemake and make each find something to expand."""
    photographs(clone / ODD)
    stages = [{"models": ["random", "kh-unpruned"], "seeds": [0]}]
    given = config(data=ODD, stages=stages, probes={"spectra": ["random"]}, epochs=2, device="cpu")
    (clone / "o'neil {y}.yaml").write_text(yaml.safe_dump(given))
    before = {path.name for path in clone.iterdir()}
    code, printed = make_paper(clone, f"out {ODD}", started, CONFIG="o'neil {y}.yaml")
    assert code == 0, printed
    assert {path.name for path in clone.iterdir()} - before == {f"out {ODD}", "_build", ".snakemake"}
    assert not list(clone.parent.rglob("PWNED*"))
    runs = clone / f"out {ODD}" / ODD
    assert (runs / "random" / "seed-0" / "spectra.npz").is_file()
    layer = json.loads((runs / study.LAYER / "seed-0" / "manifest.json").read_text())["configuration"]["layer"]
    assert layer["epochs"] == 2


@pytest.mark.slow
def test_make_paper_stopped_leaves_no_training_and_goes_on(clone, started):
    """Only make is told; the images, and the results, have the name that each part of it could stumble over."""
    photographs(clone / "images" / NAMED)
    stages = [{"models": ["bp"], "seeds": [0]}]
    given = config(data=f"images/{NAMED}", stages=stages, probes=NO_PROBES, epochs=EPOCHS, device="cpu")
    (clone / "mine.yaml").write_text(yaml.safe_dump(given))
    run, done = Run(clone / NAMED / NAMED, "bp", 0), 0
    for sent in (signal.SIGKILL, signal.SIGTERM):
        make = make_paper(clone, NAMED, started, wait=False, CONFIG="mine.yaml")
        wait_for(make, lambda: epoch_of(run.checkpoint) > done)  # noqa: B023 (it is called here and now)
        working = below(psutil.Process(make.pid))
        (training,) = filter(is_training, working)
        training.suspend()  # so that it cannot end before it is to
        if sent == signal.SIGKILL:  # a second one beside it does nothing, and says who is at work
            code, printed = make_paper(clone, NAMED, started, CONFIG="mine.yaml")
            assert code != 0
            (holder,) = re.findall(rf"the study of {re.escape(NAMED)}/\S.* is being made by process (\d+) on ", printed)
            assert int(holder) in {process.pid for process in working}
            assert "wait until it has finished, or stop it" in printed
            assert make.poll() is None
        make.send_signal(sent)
        training.resume()
        make.communicate(timeout=SECONDS)
        assert psutil.wait_procs(working, timeout=60)[1] == []  # all that it started ends with it
        assert not run.manifest.exists()
        assert done < epoch_of(run.checkpoint) < EPOCHS
        done = epoch_of(run.checkpoint)
    # The same command goes on from there, and ends as if nothing had happened.
    code, printed = make_paper(clone, NAMED, started, CONFIG="mine.yaml")
    assert code == 0, printed
    (log,) = (clone / "_build" / "study").rglob("train.log")
    assert int(re.search(rf"(\d+)/{EPOCHS}", log.read_text())[1]) >= done
    command = [Path(sys.executable).with_name("bioadv"), "train", "bp", f"--data=images/{NAMED}", "--out=undisturbed"]
    command += ["--epochs", str(EPOCHS), "--device=cpu", "--no-progress"]
    subprocess.run(command, cwd=clone, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, capture_output=True)
    undisturbed = Run(clone / "undisturbed" / NAMED, "bp", 0)
    assert undisturbed.about[provenance.DIGESTS].keys() == {run.weights.name, run.log.name}
    assert run.about[provenance.DIGESTS] == undisturbed.about[provenance.DIGESTS]
    assert not list(clone.parent.rglob("PWNED*"))


def wait_for(process, condition):
    """Until a condition holds, while a process is at work."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < end
        time.sleep(0.02)
