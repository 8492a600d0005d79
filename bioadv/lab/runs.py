"""What the study has made: the runs that are stored, and the numbers of the paper that they stand beside."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from bioadv.lab import provenance

RESULTS_VARIABLE = "BIOADV_RESULTS"
ROOT = Path(__file__).parents[2]


def paper() -> dict[str, Any]:
    """The numbers of the paper and of its authors' stored figures, from ``book/paper.yaml``."""
    import yaml

    numbers: dict[str, Any] = yaml.safe_load((ROOT / "book" / "paper.yaml").read_text())
    return numbers


def stored(model: str, file: str = provenance.MANIFEST, data: str = "cifar10") -> dict[int, Path]:
    """The runs of a model at the paper's scale that are at hand and have ``file``: folders by seed, in order.

    They lie in ``results/`` beside the package, or in the folder named by ``BIOADV_RESULTS``. Raises ``ValueError`` if
    a file there is not the one that its manifest, or its probe's ``.json``, describes, and ``FileNotFoundError`` if
    ``BIOADV_RESULTS`` names no folder.
    """
    root = Path(os.environ.get(RESULTS_VARIABLE, ROOT / "results"))
    if RESULTS_VARIABLE in os.environ and not (os.environ[RESULTS_VARIABLE] and root.is_dir()):
        raise FileNotFoundError(
            f"{RESULTS_VARIABLE} = {os.environ[RESULTS_VARIABLE]!r} is not a folder; name one that holds "
            "DATASET/MODEL/seed-S, or unset it for the results of the book"
        )
    found = {}
    for path in (root / data / model).glob(f"seed-*/{file}"):
        seed = path.parent.name.removeprefix("seed-")
        if seed.isdecimal():
            found[int(seed)] = path.parent
            _check(path.parent)
    return dict(sorted(found.items()))


def _check(folder: Path) -> None:
    """``ValueError`` if a file of a run folder is not the one that was described; weights may be absent."""
    for description in folder.glob("*.json"):
        names = provenance.read_description(description).get(provenance.DIGESTS, {})
        for name in names:
            path = folder / name
            if path.is_file():
                _intact(description, path.name, path.stat().st_mtime_ns)


@functools.cache
def _intact(description: Path, name: str, _changed: int) -> None:
    """Check a file once, and again only when it has changed."""
    provenance.intact(description, name)
