"""Run the study: what ``make paper`` calls, with its variables in the environment, so that no shell reads them.

Snakemake is a child that ends with this process, as this one ends with make, and the trainings end with Snakemake.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from bioadv.data import files
from bioadv.lab import plan, processes, schemas, yaml_files

ROOT = Path(__file__).resolve().parent.parent
CHOICES = {"SEEDS": "seeds", "MODELS": "models", "OUT": "out", "RETRAIN": "retrain"}


def command(given: dict[str, str]) -> list[str]:
    """The Snakemake command for make's variables; ``ValueError`` or ``OSError`` says what is wrong with them."""
    name = given.get("CONFIG") or "cifar10"
    path = Path(name if name.endswith(".yaml") else f"workflow/config/{name}.yaml")
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} does not exist; give CONFIG=NAME for workflow/config/NAME.yaml, or a path to a .yaml file"
        )
    chosen = {key: given[variable] for variable, key in CHOICES.items() if given.get(variable)}
    content = yaml_files.read(path)
    content = content if isinstance(content, dict) else {}  # what is no table is refused below
    if "layers" in content:
        alone = yaml_files.check(schemas.LayersFile, {**content, **chosen}, path)
        return _series("layers", alone.layers, "--layer", alone, given)
    if "readouts" in content:
        paths = yaml_files.check(schemas.ReadoutsFile, {**content, **chosen}, path)
        return _series("readouts", paths.readouts, "--model", paths, given)
    plan.read_file(path, chosen)
    profile = ROOT / "workflow" / "profiles" / (given.get("PROFILE") or "workstation")
    if not profile.is_dir():
        raise FileNotFoundError(f"PROFILE = {profile.name!r} is not a folder of workflow/profiles; choose one of those")
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile")]
    words += ["--configfile", str(path), *([str(_kept(chosen))] if chosen else []), "--profile", str(profile)]
    if cores := given.get("CORES"):
        if cores != "all" and not (cores.isdecimal() and int(cores)):
            raise ValueError(f"CORES = {cores!r} is no number of cores; give an integer >= 1, or all")
        words += ["--cores", cores]
    try:
        return words + shlex.split(given.get("OPTIONS", ""))
    except ValueError as error:
        raise ValueError(f"OPTIONS = {given['OPTIONS']!r}: {error}; close every quotation mark") from None


def _series(
    command: str, scales: Sequence[str], option: str, chosen: schemas.SeriesFile, given: dict[str, str]
) -> list[str]:
    """The command for what is made one after the other; Snakemake has no part in it, so nor have its variables."""
    for variable in ("OPTIONS", "CORES", "PROFILE"):
        if given.get(variable):
            raise ValueError(
                f"{variable} = {given[variable]!r} is for Snakemake, which has no part in this study; leave it out"
            )
    words = [sys.executable, "-c", "from bioadv.lab.cli import main; main()", command, *scales]
    words += [word for seed in chosen.seeds for word in ("--seed", str(seed))]
    words += [word for name in chosen.models for word in (option, name)]
    return [*words, "--out", chosen.out]


def _kept(chosen: dict[str, str]) -> Path:
    """The choices as a second configuration file: on its command line Snakemake takes quotes off and guesses types."""
    text = json.dumps(chosen, sort_keys=True)
    path = Path("_build/study") / f"choices-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    files.write_json(path, chosen)
    return path


def main() -> int:
    """Run it; the exit code is Snakemake's."""
    try:
        words = command(dict(os.environ))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    processes.end_as_asked()
    child = subprocess.Popen(words, env={**os.environ, processes.END_WITH: str(os.getpid())})
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:  # the terminal has told Snakemake as well, which says what it does
            continue


if __name__ == "__main__":
    sys.exit(main())
