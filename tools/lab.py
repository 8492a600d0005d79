"""A reader's copy of the chapters in ``_build/lab``: new versions come in, and what the reader changed stays.

``python -m tools.lab [options of JupyterLab]``    bring the copy up to date and open it
"""

from __future__ import annotations

import sys

import tools.notebooks  # noqa: F401 (folders for Jupyter where the home folder cannot hold them)
from bioadv.data import shipped
from bioadv.lab import chapters
from tools import reader_notebooks
from tools.edition import ROOT


def main(options: list[str]) -> None:
    """Command line; becomes JupyterLab."""
    lab, made = ROOT / "_build" / "lab", shipped.folder(shipped.NOTEBOOKS)
    try:
        reader_notebooks.generate(made)
        for line in chapters.refresh(made, lab):
            print(line, flush=True)
        chapters.open_lab(lab, options, "make lab OPTIONS=--allow-root")
    except (ModuleNotFoundError, OSError, ValueError) as error:
        sys.exit(f"make lab: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
