"""What the study has made: the runs that are stored, and the numbers of the paper that they stand beside."""

from __future__ import annotations

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

    They lie in ``results/`` beside the package, or in the folder named by ``BIOADV_RESULTS``.
    """
    root = Path(os.environ.get(RESULTS_VARIABLE, ROOT / "results")) / data / model
    found = {int(path.parent.name.removeprefix("seed-")): path.parent for path in root.glob(f"seed-*/{file}")}
    return dict(sorted(found.items()))
