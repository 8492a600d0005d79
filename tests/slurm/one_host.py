"""A real Slurm on one host for the time of a test: munge, slurmctld and slurmd with a state of their own.

Needs Debian's packages slurmctld, slurmd, slurm-client and munge (``apt-get install slurm-wlm``), and root, since
slurmd starts other people's jobs. Everything lies in one folder, on free ports; a Slurm that the host has already is
not touched.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
TOOLS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol")
START_SECONDS = 60
# Debian keeps daemons where ordinary users do not look.
PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])

CONFIGURATION = """\
ClusterName=onehost
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={worker}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# No cgroups: a container often has none that may be written.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=100000
# Finished jobs are asked about with squeue, which forgets them after this many seconds.
MinJobAge=3600
# The node has the processors and memory given here, whatever slurmd counts.
SlurmdParameters=config_overrides
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=study Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurm(RuntimeError):  # noqa: N818 (the name says what happened)
    """Slurm cannot be started here; the message says why."""


@contextlib.contextmanager
def cluster(folder: Path, cpus: int, memory: int) -> Iterator[dict[str, str]]:
    """Start Slurm with its state in ``folder`` and give the environment in which its commands find it.

    cpus, memory (MB): of the one node. Raises :class:`NoSlurm` where it cannot start; stops all daemons in the end.
    """
    missing = [name for name in (*DAEMONS, *TOOLS) if not shutil.which(name, path=PATH)]
    if missing:
        raise NoSlurm(f"{', '.join(missing)} not found (Debian: apt-get install slurm-wlm)")
    if os.geteuid() != 0:
        raise NoSlurm("slurmd needs root, to start jobs for others")
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    conf = folder / "slurm.conf"
    values = {"host": socket.gethostname().split(".")[0], "folder": folder, "cpus": cpus, "memory": memory}
    conf.write_text(CONFIGURATION.format(controller=_free_port(), worker=_free_port(), **values))
    # Read whatever the plugins are; without it slurmd looks for systemd.
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
    (folder / "munge.key").write_bytes(secrets.token_bytes(128))
    (folder / "munge.key").chmod(0o600)
    # Snakemake takes all SLURM_ variables away from what it starts within a job, so this srun brings its own.
    srun = folder / "bin" / "srun"
    srun.write_text(f'#!/bin/sh\nSLURM_CONF={conf} exec {shutil.which("srun", path=PATH)} "$@"\n')
    srun.chmod(0o755)
    environment = {**os.environ, "PATH": f"{srun.parent}{os.pathsep}{PATH}", "SLURM_CONF": str(conf)}
    options = {
        "--socket": "munge.socket",
        "--key-file": "munge.key",
        "--pid-file": "munge.pid",
        "--log-file": "munge.log",
        "--seed-file": "munge.seed",
    }
    munge = [f"{option}={folder / name}" for option, name in options.items()]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in (
            ["munged", "--foreground", "--force", *munge],
            ["slurmctld", "-D", "-f", str(conf), "-i"],
            ["slurmd", "-D", "-f", str(conf), "-N", str(values["host"])],
        ):
            log = (folder / f"{command[0]}.out").open("wb")
            with log:
                started.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
            if command[0] == "munged":
                _wait(lambda: (folder / "munge.socket").exists(), "munged", started, folder)
        _wait(lambda: "idle" in _output(["sinfo", "-h", "-o", "%T"], environment), "slurmctld, slurmd", started, folder)
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait(ready: Callable[[], bool], what: str, started: list[subprocess.Popen[bytes]], folder: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not ready():
        dead = [name for name, process in zip(DAEMONS, started, strict=False) if process.poll() is not None]
        if dead or time.monotonic() > end:
            logs = "\n".join(f"{p.name}: {p.read_text()[-1500:]}" for p in sorted(folder.glob("*.log")))
            raise NoSlurm(f"{what} did not start{f', {dead[0]} ended' if dead else ''}\n{logs}")
        time.sleep(0.2)


def _output(command: list[str], environment: dict[str, str]) -> str:
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30).stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
