"""Who computes where: locks that go with the process that holds them, and processes that end with the one above.

``make paper`` starts Snakemake, and Snakemake the ``bioadv`` commands, each through a shell. A kill reaches only one of
them, so each is told in ``BIOADV_END_WITH`` which process to end with.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import filelock

from bioadv.data import files

END_WITH = "BIOADV_END_WITH"  # number of a process on this machine
ENDED = 143  # exit code, as after SIGTERM


@contextlib.contextmanager
def alone(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path`` while ``what`` is made; the lock goes with this process, however that ends.

    Raises ``RuntimeError`` at once, and says who holds it, if another process does.
    """
    lock = filelock.FileLock(path, blocking=False)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        holder = path.read_text(errors="replace").strip() or "another process"
        raise RuntimeError(
            f"{what} is being made by {holder} ({path} is locked); wait until it has finished, or stop it"
        ) from None
    except OSError as error:
        raise files.refused(path, error) from error
    try:
        if isinstance(lock, filelock.FileLock):  # where the disk has no such locks, filelock keeps notes of its own
            command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            path.write_text(f"process {os.getpid()} on {socket.gethostname()}, {command}\n")
        yield
    finally:
        lock.release()


def run_lock(folder: Path, part: str) -> Path:
    """The lock of what is made in a run folder: ``train``, or the name of a probe, as several may measure one model.

    It lies beside the folder, so that a folder that is removed is made again.
    """
    return folder.with_name(f".{folder.name}.{part}.lock")


def end_as_asked() -> None:
    """End this process when the one that ``BIOADV_END_WITH`` names has ended; without the variable do nothing."""
    asked = os.environ.get(END_WITH, "")
    if asked.isdecimal():
        threading.Thread(target=_end_with, args=(int(asked),), daemon=True).start()


def _end_with(pid: int) -> None:
    _wait_for(pid)
    with contextlib.suppress(OSError, ValueError):  # there may be no one left to read it
        print(f"process {pid}, which this one works for, has ended: so does this one", file=sys.stderr, flush=True)
    # At once, wherever the other threads are: a write that is cut short leaves no half file.
    os._exit(ENDED)


def _wait_for(pid: int) -> None:
    """Return when a process, not necessarily a child, has ended."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not on Linux, or forbidden there
        while _exists(pid):
            time.sleep(1)
        return
    try:
        select.select([handle], [], [])
    finally:
        os.close(handle)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
