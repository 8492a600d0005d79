"""What the build of the wheel adds to the package: data files and the notebooks of readers, in ``bioadv/shipped``.

Hatchling calls it (see ``pyproject.toml``). In the tree nothing is kept twice: results, ledger and the paper's numbers
are mapped from ``results/`` and ``book/``, and the notebooks are generated on the spot. An editable installation gets
none of it: it has the repository itself.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INSIDE = "bioadv/shipped"


def data_files(root: Path) -> dict[Path, str]:
    """Files of a source tree that the wheel carries, with their places in it; weights and hidden files stay out."""
    results = (path for path in (root / "results").rglob("*") if path.is_file() and path.suffix in (".json", ".npz"))
    relative = {path: path.relative_to(root) for path in sorted([*results, *root.glob("book/*.yaml")])}
    return {
        path: f"{INSIDE}/{inner.as_posix()}"
        for path, inner in relative.items()
        if not any(part.startswith(".") for part in inner.parts)
    }


class ShippedFiles(BuildHookInterface[Any]):
    """Adds :func:`data_files` and the notebooks to the wheel."""

    PLUGIN_NAME = "custom"
    made: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before the wheel is built."""
        if version == "editable":
            return
        root = Path(self.root)
        sys.path.insert(0, self.root)  # an isolated build does not have the source tree on its path
        from tools.reader_notebooks import generate

        self.made = Path(tempfile.mkdtemp(prefix="bioadv-notebooks-"))
        places = data_files(root) | {path: f"{INSIDE}/notebooks/{path.name}" for path in generate(self.made, root=root)}
        build_data["force_include"].update({str(path): place for path, place in places.items()})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when the wheel is written."""
        if self.made:
            shutil.rmtree(self.made, ignore_errors=True)
