"""Where the files lie that ship with the package: stored results, the ledger, the paper's numbers, the notebooks.

An installed package carries them inside, in ``bioadv/shipped``, where the build of the wheel puts them. A clone has no
such folder: there they are the repository's own ``results/`` and ``book/``, so that nothing is kept twice.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

CLONE = Path(__file__).parents[2]
NOTEBOOKS = "notebooks"  # of readers; a clone makes them on demand
PLACES = {"book": CLONE / "book", "results": CLONE / "results", NOTEBOOKS: CLONE / "_build" / NOTEBOOKS}


def folder(name: str) -> Path:
    """The folder ``book`` (YAML files), ``results`` or ``notebooks``; it need not exist.

    Raises ``ValueError`` for another name.
    """
    if name not in PLACES:
        raise ValueError(f"nothing ships under the name {name!r}; choose from {', '.join(PLACES)}")
    inside = Path(str(resources.files("bioadv"))) / "shipped"
    return inside / name if inside.is_dir() else PLACES[name]
