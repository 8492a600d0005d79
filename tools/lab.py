"""A reader's copy of the chapters in ``_build/lab``: new versions come in, and what the reader changed stays.

``python -m tools.lab [options of JupyterLab]``    bring the copy up to date and open it
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
from pathlib import Path

import tools.notebooks  # noqa: F401 (folders for Jupyter where the home folder cannot hold them)
from bioadv.data import files

ROOT = Path(__file__).resolve().parent.parent
COPIED = ".copied.json"  # in the copy: by name, the digest of the book's file that was copied last


def refresh(book: Path, lab: Path) -> list[str]:
    """Copy chapters, pages and pictures of ``book`` into ``lab``; returns a line for each that the reader keeps.

    A file that is not as it was copied is the reader's. It is left alone, and a new version of the book's is put beside
    it under the name ``NAME.new.SUFFIX``. Raises ``OSError`` with a remedy where ``lab`` may not be written.
    """
    known = files.read_object(lab / COPIED) if (lab / COPIED).is_file() else {}
    before, said = dict(known), []
    pages = (path for pattern in ("*.ipynb", "*.md", "_static/**/*") for path in sorted(book.glob(pattern)))
    for source in (path for path in pages if path.is_file()):
        name = source.relative_to(book).as_posix()
        new, own = files.digest(source), lab / name
        if _free(own, known.get(name), new):
            _copy(source, own, new)
        elif known.get(name) != new:  # another version than the one that the reader began with
            names = (own.with_name(f"{own.stem}.new{number or ''}{own.suffix}") for number in itertools.count())
            beside = next(path for path in names if _free(path, known.get(path.name), new))
            _copy(source, beside, new)
            known[beside.name] = new
            said.append(f"{own} is yours and stays as it is; the book's new version is {beside.name} beside it")
        known[name] = new
    if known != before:
        files.write_json(lab / COPIED, known)
    return said


def _free(path: Path, copied: str | None, new: str) -> bool:
    """Whether a file may be (over)written: it is not there, or it is as the book's last version or this one."""
    return not path.is_file() or files.digest(path) in (copied, new)


def _copy(source: Path, to: Path, digest: str) -> None:
    if not to.is_file() or files.digest(to) != digest:
        with files.atomic(to) as temporary:
            shutil.copyfile(source, temporary)


def main(options: list[str]) -> None:
    """Command line; becomes JupyterLab."""
    lab = ROOT / "_build" / "lab"
    try:
        for line in refresh(ROOT / "book", lab):
            print(line, flush=True)
    except (OSError, ValueError) as error:
        sys.exit(f"make lab: {error}")
    if os.geteuid() == 0 and "--allow-root" not in options:
        sys.exit(
            "make lab: JupyterLab does not run as root. Run it as another user, or, where root is the only one, "
            "as in a container: make lab OPTIONS=--allow-root"
        )
    program = str(Path(sys.executable).with_name("jupyter-lab"))
    os.execv(program, [program, str(lab), *options])


if __name__ == "__main__":
    main(sys.argv[1:])
