"""Gather trained weights and measurements into one folder, as a release of them on Zenodo or GitHub has it.

``python -m tools.gather_release FOLDER [--results results ...] [--mirror ADDRESS ...]``

FOLDER gets, flat as both places want it: every finished run's weights, log and manifest under names of their own; the
measurements as ``bioadv-results.zip``; ``SHA256SUMS``, licence, a README, Zenodo's metadata; and ``weights.json``, the
list by which ``bioadv fetch`` finds all this. Copy that to ``bioadv/lab/weights.json`` when the release is published.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioadv.data import files
from bioadv.lab import provenance, study
from bioadv.lab.runs import Run, named
from tools import edition

LICENCE = "CC-BY-4.0"
RESULTS = "bioadv-results.zip"
PLAIN = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # GitHub puts dots for other characters in the name of a file
README = """\
# Trained weights and measurements of bioadv {version}

For each run `DATASET/MODEL/seed-S` three files: weights (safetensors), log (npz without pickle) and manifest (JSON:
parameters, versions, digests). `bioadv fetch MODEL --seed S` puts them in place and checks them; by hand, check with
`sha256sum -c SHA256SUMS`. Measurements of all runs are in `{results}`.

Trained on {data}. Licence of these files: CC BY 4.0. The images themselves are not part of this release.
"""


def runs(root: Path) -> list[Run]:
    """Finished runs with their weights below a folder of results, whole by their manifests; raises if one is not."""
    found = []
    for manifest in sorted(root.glob(f"*/*/{named('*')}/{provenance.MANIFEST}")):
        run = Run.at(manifest.parent)
        if run.weights.is_file() and provenance.intact(manifest, run.weights.name, run.log.name):
            found.append(run)
    return found


def flat(run: Run, file: str) -> str:
    """The name of a run's file in a folder without sub-folders, with no character that one of the places replaces."""
    return "--".join((plain(run.root.name), plain(run.model), run.folder.name, file))


def plain(name: str) -> str:
    """A name as it is if all its characters are plain, else with ``_`` for the others and a digest to tell it apart.

    >>> plain("photos.npz"), plain("my photos")
    ('photos.npz', 'my_photos-d3522f7d')
    """
    if re.fullmatch(PLAIN, name):
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9_.-]|^[.-]', '_', name)}-{digest}"


def gather(folder: Path, roots: Sequence[Path], mirrors: Sequence[str]) -> dict[str, Any]:
    """Fill ``folder``, which must be empty or absent, and return the list; ``ValueError`` says what is wrong.

    All of it appears at once: until then it is gathered beside the folder, on whose disk there may be too little room.
    """
    folder = folder.resolve()
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; give a new folder")
    chosen = dict[str, Run]()
    for run in (run for root in roots for run in runs(root)):
        name = f"{run.root.name}/{run.model}/{run.folder.name}"
        if name in chosen:
            raise ValueError(f"{name} is in {chosen[name].folder} and in {run.folder}; leave one of them out")
        chosen[name] = run
    if not chosen:
        raise ValueError(f"no finished run with weights is in {', '.join(map(str, roots))}; name the folder of results")
    staged = files.staging(folder)
    files.tidy(staged)
    try:
        staged.mkdir(parents=True)
        listed = _fill(staged, chosen, roots, mirrors)
        if folder.exists():
            folder.rmdir()
        staged.rename(folder)
    finally:
        files.tidy(staged)
    return listed


def _fill(folder: Path, chosen: dict[str, Run], roots: Sequence[Path], mirrors: Sequence[str]) -> dict[str, Any]:
    """Everything of a release but its place: copies of the runs' files, measurements, list, texts and digests."""
    listed: dict[str, Any] = {"licence": LICENCE, "mirrors": list(mirrors), "runs": {}}
    for name, run in chosen.items():
        entries = {}
        for path in (run.weights, run.log, run.manifest):
            copy = folder / flat(run, path.name)
            shutil.copyfile(path, copy)
            entries[path.name] = {"name": copy.name, "size": copy.stat().st_size, "sha256": files.digest(copy)}
        listed["runs"][name] = entries
    _measurements(folder / RESULTS, roots)
    version, data = edition.project_version(), ", ".join(sorted({run.root.name for run in chosen.values()}))
    (folder / "README.md").write_text(README.format(version=version, results=RESULTS, data=data))
    shutil.copyfile(edition.ROOT / "LICENSE-TEXT", folder / "LICENSE.txt")
    files.write_json(folder / "zenodo.json", _metadata(version, chosen))
    files.write_json(folder / "weights.json", listed)
    sums = [f"{files.digest(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256SUMS").write_text("".join(sums))
    return listed


def _measurements(to: Path, roots: Sequence[Path]) -> None:
    with zipfile.ZipFile(to, "w", zipfile.ZIP_DEFLATED) as archive:
        for root in roots:
            for path in sorted(root.rglob("*")):
                inner = path.relative_to(root)
                if (
                    path.is_file()
                    and path.suffix in (".json", ".npz")
                    and not any(part.startswith(".") for part in inner.parts)
                ):
                    archive.writestr(zipfile.ZipInfo(f"results/{inner.as_posix()}"), path.read_bytes())


def _metadata(version: str, chosen: dict[str, Run]) -> dict[str, Any]:
    """What Zenodo's form asks for, as its interface takes it."""
    titles = sorted(
        {run.model if run.model == study.LAYER else study.experiment(run.model).title for run in chosen.values()}
    )
    return {
        "metadata": {
            "title": f"bioadv {version}: trained weights and measurements",
            "upload_type": "dataset",
            "version": version,
            "license": LICENCE.lower(),
            "creators": [{"name": "The bioadv maintainers"}],
            "description": f"Weights, logs, manifests and measurements of {len(chosen)} runs: {', '.join(titles)}.",
            "related_identifiers": [{"identifier": "arXiv:2405.00679", "relation": "isDerivedFrom"}],
        }
    }


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", type=Path, nargs="+", default=[Path("results")])
    parser.add_argument("--mirror", nargs="*", default=[])
    given = parser.parse_args(arguments)
    try:
        listed = gather(given.folder, given.results, given.mirror)
    except (OSError, ValueError) as error:
        sys.exit(f"gather_release: {error}")
    size = sum(path.stat().st_size for path in given.folder.iterdir())
    print(f"{len(listed['runs'])} runs, {size / 1e6:.0f} MB, in {given.folder}")


if __name__ == "__main__":
    main()
