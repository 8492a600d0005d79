"""Weights of the study that are published: which there are, and how they get into a run's folder.

The list is ``weights.json`` beside this file, or one of a release of your own. ``tools/gather_release.py`` makes it,
together with the files that it lists. A run is three files: its weights, its log, and the manifest that describes both.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Annotated

from pydantic import Field

from bioadv.data import downloads, files
from bioadv.data.downloads import Remote
from bioadv.lab import processes, provenance, schemas, study, yaml_files
from bioadv.lab.runs import Run
from bioadv.network import streams

MIRRORS_VARIABLE = "BIOADV_MIRRORS"


class FileEntry(schemas.Closed):
    """A published file."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*$",
            description="a file name, as below each mirror: no slashes or control characters, no dot in front",
        ),
    ]
    size: Annotated[int, Field(ge=1, description="bytes, an integer >= 1")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="64 hexadecimal digits")]


class WeightsFile(schemas.Closed):
    """The list: addresses below which each file lies, and per run, ``DATASET/MODEL/seed-S``, its files."""

    licence: schemas.Text
    mirrors: Annotated[list[Annotated[str, Field(pattern="^https?://")]], Field(description="a list of addresses")]
    runs: dict[str, dict[str, FileEntry]]


@dataclass(frozen=True)
class Published:
    """What is published: mirrors to try in this order, and the files of each run by their names in its folder."""

    mirrors: tuple[str, ...]
    runs: dict[str, dict[str, Remote]]


def read(path: Path | None = None, mirrors: Sequence[str] = ()) -> Published:
    """The list of what is published: the package's, or the one at ``path``.

    mirrors: tried first; then those of ``$BIOADV_MIRRORS`` (separated by spaces), then those of the list. Raises
    ``ValueError`` naming what is not as it should be.
    """
    path = path or Path(str(resources.files("bioadv.lab") / "weights.json"))
    if not path.is_file():
        raise FileNotFoundError(f"list = {str(path)!r} is no file; give the list of published files, a .json")
    try:
        found = files.read_object(path)
    except ValueError as error:  # its remedy is for files that are made here
        raise ValueError(f"list = {str(path)!r} is no list of published files, a .json ({error})") from error
    listed = yaml_files.check(WeightsFile, found, path)
    extra = [*mirrors, *os.environ.get(MIRRORS_VARIABLE, "").split()]
    bad = [mirror for mirror in extra if not mirror.startswith(("http://", "https://"))]
    if bad:
        raise ValueError(f"mirror {bad[0]!r} is not an address; begin it with https:// or http://")
    remote = {
        run: {inside: Remote(entry.name, entry.size, entry.sha256) for inside, entry in entries.items()}
        for run, entries in listed.runs.items()
    }
    return Published(tuple(dict.fromkeys([*extra, *listed.mirrors])), remote)


def fetch(run: Run, published: Published, offline: bool = False, progress: bool = True) -> list[Path]:
    """Put the published weights, log and manifest of a run into its folder; returns the files that were new there.

    What is there already stays. Raises ``FileNotFoundError`` if nothing is published for the run, or no mirror has a
    file; ``ValueError`` if the folder holds another training of the same model and seed.
    """
    name = "/".join((run.root.name, run.model, run.folder.name))
    if name not in published.runs:
        raise FileNotFoundError(_unpublished(run, name, published))
    entries = published.runs[name]
    _check_names(name, entries, run)
    with processes.alone(processes.run_lock(run.folder, "train"), str(run.folder)):
        missing = [inside for inside, remote in entries.items() if not _same(run, inside, remote)]
        cached = {
            inside: downloads.fetch(entries[inside], published.mirrors, downloads.cache(), offline, progress)
            for inside in missing
        }
        # The manifest last: it marks the run as whole.
        for inside in sorted(missing, key=lambda inside: inside == provenance.MANIFEST):
            with files.atomic(run.folder / inside) as temporary:
                shutil.copyfile(cached[inside], temporary)
        provenance.intact(run.manifest, *entries.keys() - {provenance.MANIFEST})
    return [run.folder / inside for inside in missing]


def _same(run: Run, inside: str, remote: Remote) -> bool:
    """Whether a file is in the run's folder; ``ValueError`` if another one is in its place."""
    path = run.folder / inside
    if not path.is_file():
        return False
    if files.digest(path) != remote.sha256:
        raise ValueError(
            f"{path} is of another training than the published weights; give another --out folder, or remove "
            f"{run.folder}"
        )
    return True


def _check_names(name: str, entries: dict[str, Remote], run: Run) -> None:
    wanted = {run.weights.name, run.log.name, provenance.MANIFEST}
    if set(entries) != wanted:
        raise ValueError(f"the list has {', '.join(sorted(entries))} for {name}; it needs {', '.join(sorted(wanted))}")


def _unpublished(run: Run, name: str, published: Published) -> str:
    if run.model != study.LAYER:
        study.experiment(run.model)  # an unknown name is another mistake
    streams.pick(streams.START, run.seed)  # and so is a seed that no training takes
    data = shlex.quote(run.root.name)
    command = f"bioadv train {run.model} --data {data} --seed {run.seed} --out {shlex.quote(str(run.root.parent))}"
    others = ", ".join(sorted(published.runs))
    known = f"published are {others}" if others else "none are published in this edition"
    return f"no weights are published for {name} ({known}); train it: {command}"
