import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from bioadv.data import datasets, files
from bioadv.lab import jobs, processes, provenance, runner

SECONDS = 120  # that a child may take on a busy machine


@pytest.fixture
def tiny(tmp_path):
    """A dataset of 60 small images on disk."""
    x = np.random.default_rng(0).integers(1, 255, (60, 4, 4, 3)).astype(np.uint8)
    y = np.arange(60) % 3
    np.savez(tmp_path / "tiny.npz", x_train=x, y_train=y, x_test=x[:30], y_test=y[:30])
    return str(tmp_path / "tiny.npz")


@pytest.fixture
def started():
    """Processes that a test starts; none outlives it."""
    children = []
    yield children
    for child in children:
        if child.poll() is None:
            child.kill()
        child.communicate()


def bioadv(started, *arguments, **environment):
    """The command, started."""
    command = [Path(sys.executable).with_name("bioadv"), *map(str, arguments)]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    started.append(child)
    return child


def wait_for(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# Locks


def test_a_lock_is_one_processs_and_says_whose(tmp_path):
    code = "import sys; from pathlib import Path; from bioadv.lab import processes\n"
    code += "with processes.alone(Path(sys.argv[1]), 'x'): print('held', flush=True); sys.stdin.read()"
    lock = tmp_path / "deep" / ".lock"
    child = subprocess.Popen(
        [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError) as error, processes.alone(lock, "the study"):
            pass
        assert f"the study is being made by process {child.pid} on " in str(error.value)
        assert f"({lock} is locked); wait until it has finished, or stop it" in str(error.value)
    finally:
        child.kill()
        child.communicate()
    # It went with its process.
    with processes.alone(lock, "x"), pytest.raises(RuntimeError), processes.alone(lock, "x"):
        pass
    with processes.alone(lock, "the study"):
        pass


def test_two_trainings_of_one_run_do_not_stand_beside_each_other(tiny, tmp_path, started):
    out = tmp_path / "out"
    given = ("train", "bp", "--data", tiny, "--out", out, "--epochs", 100_000, "--no-progress", "--every", 1)
    first = bioadv(started, *given)
    folder = out / "tiny.npz" / "bp" / "seed-0"
    wait_for((folder / "checkpoint.safetensors").exists)
    second = bioadv(started, *given)
    assert second.wait(SECONDS) == 2
    printed = second.communicate()[1]
    assert f"{folder} is being made by process {first.pid} on " in printed
    assert "Traceback" not in printed
    assert first.poll() is None
    first.kill()
    first.communicate()
    data = datasets.load(tiny)
    about = {"configuration": {"model": "l2", "seed": 0, "data": "x"}, "source": "s", "seconds": 1, "dataset": tiny}
    files.write_json(folder / provenance.MANIFEST, about)
    with pytest.raises(ValueError, match="holds a run with model"):  # not: is being made by
        runner.train("bp", data, 0, jobs.Where(out, progress=False))


def test_a_measurement_is_made_once_and_others_beside_it(tmp_path):
    folder = tmp_path / "bp" / "seed-0"
    with processes.alone(processes.run_lock(folder, "spectra"), "spectra"):
        with processes.alone(processes.run_lock(folder, "landscape"), "landscape"):
            pass
        with pytest.raises(RuntimeError), processes.alone(processes.run_lock(folder, "spectra"), "spectra"):
            pass
    assert not folder.exists()


# Ending with another process


def test_a_command_ends_with_the_process_it_works_for(tiny, tmp_path, started):
    above = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started.append(above)
    out, pid = tmp_path / "out", str(above.pid)
    given = ("train", "bp", "--data", tiny, "--out", out, "--epochs", 100_000, "--no-progress", "--every", 1)
    child = bioadv(started, *given, BIOADV_END_WITH=pid)
    wait_for((out / "tiny.npz" / "bp" / "seed-0" / "checkpoint.safetensors").exists)
    assert child.poll() is None
    above.kill()
    assert child.wait(10) == processes.ENDED
    assert f"process {pid}, which this one works for, has ended" in child.communicate()[1]


def test_where_there_are_no_handles_of_processes(started, monkeypatch):
    """As on macOS: it is asked for every second."""
    monkeypatch.delattr(os, "pidfd_open")
    above = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1)"])
    start = time.monotonic()
    while psutil.Process(above.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.05)
    above.wait()
    processes._wait_for(above.pid)
    assert time.monotonic() - start < 30
    assert processes._exists(os.getpid())


def test_without_the_variable_nothing_is_watched(monkeypatch):
    import threading

    monkeypatch.delenv(processes.END_WITH, raising=False)
    before = threading.active_count()
    processes.end_as_asked()
    assert threading.active_count() == before


# What was trained


def test_a_training_is_what_came_out_of_it():
    about = {"configuration": {"seed": 0}, "source": "s", "accuracy": {"test": 0.5}, "seconds": 1.0, "environment": {}}
    same = {**about, "seconds": 2.0, "environment": {"threads": 9}, "device": "cuda", "dataset": "elsewhere"}
    assert provenance.identity(about) == provenance.identity(same)
    for key, value in (("configuration", {"seed": 1}), ("source", "t"), ("accuracy", {"test": 0.6})):
        assert provenance.identity(about) != provenance.identity({**about, key: value})
    # Of an earlier version with digests the weights count, and nothing else of the outcome.
    first, other = ({**about, "digests": {"model.safetensors": digest}} for digest in "ab")
    assert provenance.identity(first) == provenance.identity({**first, "accuracy": {"test": 0.6}})
    assert provenance.identity(first) != provenance.identity(other)
    assert provenance.is_of(provenance.identity(same), about)
    assert not provenance.is_of(None, about)


def test_a_training_that_is_repeated_bit_by_bit_is_the_same():
    """By its log, whatever code made it and however its weights lie in their file."""
    known = {"model": "bp", "seed": 0, "data": "d"}
    about = {"configuration": known, "source": "s", "digests": {"model.safetensors": "a", "log.npz": "l"}}
    again = {**about, "source": "t", "digests": {"model.safetensors": "b", "log.npz": "l"}}
    assert provenance.identity(about) == provenance.identity(again)
    assert provenance.is_of(provenance.identity(again), about)
    assert provenance.is_of(provenance._by_weights(about), about)  # as an earlier version kept it
    assert not provenance.is_of(provenance._by_weights(again), about)
    assert provenance.identity(about) != provenance.identity({**about, "digests": {"log.npz": "m"}})
    for name, value in (("model", "l2"), ("seed", 1), ("data", "e")):
        assert provenance.identity(about) != provenance.identity({**about, "configuration": known | {name: value}})


def test_results_of_earlier_versions_stay_with_their_training():
    """They keep the hash of the whole manifest."""
    for path in (Path(__file__).parents[1] / "results").rglob("*.json"):
        manifest = provenance.read_manifest(path.parent)
        if manifest and path.name != provenance.MANIFEST:
            assert provenance.is_of(json.loads(path.read_text())["training"], manifest), path
