"""Files that are either whole or absent, and the manifest that says where a result came from.

Nothing here uses pickle: tensors are safetensors, arrays are ``.npz``, everything else is JSON. Each
write goes to a temporary name in the same folder, is flushed to the disk and then renamed, so a
reader never meets half a file, whatever killed the writer. What a killed writer left under a temporary
name goes when the file is next written.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import platform
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

_STARTED = time.time() - 0.1  # the clock of files lags behind by some milliseconds


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes ``path``, on failure it is removed.

    Raises ``OSError`` with the file and a remedy when the disk is full; ``path`` is then untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes files private; results are meant to be shared
        os.replace(temporary, path)
        _sweep(path)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        message = f"no space left to write {path}; free some, then run again (nothing was changed)"
        raise OSError(errno.ENOSPC, message) from error
    finally:
        temporary.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what killed writers of ``path`` left: temporaries untouched since before this process began."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}.tmp"):  # mkstemp's eight characters
        with contextlib.suppress(FileNotFoundError):  # another sweep was faster
            if left.stat().st_mtime < _STARTED:
                left.unlink()


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as JSON, keys sorted, so that equal content gives equal bytes."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file; ``FileNotFoundError`` or ``ValueError`` name the file."""
    path = Path(path)
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and make it again") from error


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays to an ``.npz`` file; object arrays are refused (they would be pickled)."""
    for name, array in arrays.items():
        if np.asarray(array).dtype == object:
            raise ValueError(f"arrays[{name!r}] has dtype object; give it a numeric or string dtype")
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **dict(arrays))  # type: ignore[arg-type]
        file.flush()


def read_arrays(path: Path | str) -> dict[str, np.ndarray]:
    """Read an ``.npz`` file as a dictionary of arrays; ``ValueError`` when it is not whole."""
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, TypeError) as error:  # TypeError: a renamed .npy
        raise ValueError(f"{path} is not a whole .npz file ({error}); delete it and make it again") from error


def write_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], **about: Any) -> None:
    """Write tensors as safetensors; the keywords go into the file's header as JSON."""
    metadata = {name: json.dumps(value, sort_keys=True) for name, value in about.items()}
    with atomic(path) as temporary:
        # Not save_file: it writes to a temporary name of its own, which a kill would leave behind.
        temporary.write_bytes(save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata))


def read_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read ``(tensors, about)`` written by :func:`write_tensors`.

    Raises ``FileNotFoundError``, or ``ValueError`` for a truncated or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        with safe_open(path, framework="pt") as file:
            about = {k: json.loads(v) for k, v in (file.metadata() or {}).items()}
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118 (no mapping)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is truncated or was not written by bioadv ({error}); delete it") from error


def set_state(generator: torch.Generator, state: torch.Tensor, path: Path | str) -> None:
    """Set a generator to the state read from the checkpoint ``path``; ``ValueError`` if it is another device's."""
    if state.numel() != generator.get_state().numel():
        raise ValueError(
            f"{path} was made on another kind of device than {generator.device}; go on there, or delete the file"
        )
    generator.set_state(state)


def versions() -> dict[str, str]:
    """Versions of what a number can depend on: Python, torch, numpy, and the processor's instruction set."""
    return {
        "machine": platform.machine(),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
    }
