"""The study on a real Slurm of one host, with one job killed on purpose; `make slurm-test` runs it."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from bioadv.data import files
from bioadv.lab import plan, provenance, study
from tests.slurm.one_host import NoSlurm, cluster

ROOT = Path(__file__).resolve().parents[2]
SWITCH = "BIOADV_SLURM"
MODELS = "kh random"  # with a layer that others need, and without
SLOW = ("perturbations", "referees")  # measurements that take minutes, and are jobs like the others
SECONDS = 3000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.environ.get(SWITCH), reason=f"takes minutes; make slurm-test sets {SWITCH}"),
]


@pytest.fixture
def environment(tmp_path):
    try:
        with cluster(tmp_path / "slurm", cpus=2, memory=8000) as found:
            yield found
    except NoSlurm as error:
        pytest.skip(f"Slurm cannot be started here: {error}")


def test_study_on_slurm_survives_a_killed_job(environment, tmp_path):
    given = yaml.safe_load((ROOT / "workflow" / "config" / "photo-patches.yaml").read_text())
    given |= {"models": MODELS, "seeds": "0", "probes": given["probes"] | {name: [] for name in SLOW}}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(given))
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "workflow" / "Snakefile"]
    command += ["--configfile", config, "--directory", tmp_path]
    command += ["--profile", ROOT / "workflow" / "profiles" / "slurm"]
    # This Slurm keeps no accounts, and its jobs are short.
    command += ["--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", "3"]
    output = tmp_path / "printed"
    with output.open("w") as file:
        process = subprocess.Popen(
            list(map(str, command)), stdout=file, stderr=subprocess.STDOUT, env=environment, cwd=tmp_path
        )
        try:
            layer = tmp_path / "results" / "photo-patches" / study.LAYER / "seed-0"
            killed, epoch = kill_job(process, layer, environment, output)
            assert process.wait(SECONDS) == 0, output.read_text()
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(60)
    printed = output.read_text()
    print(printed)
    # Every job of Slurm, and the one that was killed had a successor.
    states = dict(line.split("|") for line in squeue(environment))
    assert states.pop(killed) == "CANCELLED"
    assert set(states.values()) == {"COMPLETED"}
    assert "Error in rule layer_1" in printed
    assert "Trying to restart job" in printed
    # It went on from its checkpoint.
    log = (tmp_path / "_build" / "study" / "photo-patches" / study.LAYER / "seed-0" / "train.log").read_text()
    first = re.search(r"(\d+)/\d+ ", log)
    assert first
    assert int(first[1]) >= epoch > 0
    # And the study is whole.
    chosen = plan.read(given | {"out": str(tmp_path / "results")})
    assert all(path.is_file() for path in chosen.targets())
    plan.check(chosen)
    assert provenance.read_manifest(layer)
    assert not list(layer.glob("checkpoint*"))


def kill_job(process, layer, environment, output):
    """Cancel the job that trains the layer, once it has a checkpoint; its number and the checkpoint's epoch."""
    checkpoint = layer / "checkpoint.safetensors"
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, output.read_text()
        if checkpoint.exists():
            jobs = squeue(environment, "%i|%T|%k")
            number = next((job.split("|")[0] for job in jobs if "|RUNNING|rule_layer" in job), None)
            if number:
                epoch = files.read_tensors(checkpoint)[1]["epoch"]
                subprocess.run(["scancel", number], env=environment, check=True)
                return number, epoch
        time.sleep(0.1)
    raise AssertionError(output.read_text())


def squeue(environment, what="%i|%T"):
    command = [shutil.which("squeue", path=environment["PATH"]), "--states=all", "--noheader", f"--format={what}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
