"""A reader's copy of the chapters: new versions come in, and what the reader changed stays."""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from bioadv.data import files

COPIED = ".copied.json"  # in the copy: by name, the digest of the book's file that was copied last
KINDS = ("*.ipynb", "*.md", "_static/**/*")


def refresh(book: Path, copy: Path) -> list[str]:
    """Copy chapters, pages and pictures of ``book`` into ``copy``; returns a line for each that the reader keeps.

    A file that is not as it was copied is the reader's. It is left alone, and a new version of the book's is put beside
    it under the name ``NAME.new.SUFFIX``. Raises ``OSError`` with a remedy where ``copy`` may not be written.
    """
    known = files.read_object(copy / COPIED) if (copy / COPIED).is_file() else {}
    before, said = dict(known), []
    pages = (path for pattern in KINDS for path in sorted(book.glob(pattern)))
    for source in (path for path in pages if path.is_file()):
        name = source.relative_to(book).as_posix()
        new, own = files.digest(source), copy / name
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
        files.write_json(copy / COPIED, known)
    return said


def _free(path: Path, copied: str | None, new: str) -> bool:
    """Whether a file may be (over)written: it is not there, or it is as the book's last version or this one."""
    return not path.is_file() or files.digest(path) in (copied, new)


def _copy(source: Path, to: Path, digest: str) -> None:
    if not to.is_file() or files.digest(to) != digest:
        with files.atomic(to) as temporary:
            shutil.copyfile(source, temporary)


def open_lab(folder: Path, options: Sequence[str], allow: str = "jupyter lab --allow-root FOLDER") -> None:
    """Become JupyterLab on a folder.

    allow: what root is told to run instead. Raises ``ModuleNotFoundError`` if JupyterLab is not installed, and
    ``PermissionError`` for root, as whom it does not run.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise ModuleNotFoundError(f"JupyterLab is not installed; pip install jupyterlab, or open {folder} in an editor")
    if os.geteuid() == 0 and "--allow-root" not in options:
        raise PermissionError(
            "JupyterLab does not run as root. Run it as another user, or, where root is the only one, as in a "
            f"container: {allow}"
        )
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(folder), *options])
