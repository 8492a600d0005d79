"""Files that are either whole or absent: arrays, tensors, JSON, the state of a training; and versions of libraries.

Nothing here uses pickle: tensors are safetensors, arrays are ``.npz``, everything else is JSON. Each
write goes to a temporary name in the same folder, is flushed to the disk and then renamed, so a
reader never meets half a file, whatever killed the writer. What a killed writer left under a temporary
name goes when the file is next written.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import platform
import shutil
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

DIGEST = "sha256"  # in the header of tensors
_STARTED = time.time() - 0.1  # the clock of files lags behind by some milliseconds


REMEDIES = {
    errno.ENOSPC: "free some space (or, if `df -i` shows none left, remove files)",
    errno.EDQUOT: "your quota is used up: free some of it, or write elsewhere",
    errno.EROFS: "the disk is read-only: write to another folder",
    errno.EACCES: "you may not write there: change the permissions, or write to another folder",
    errno.EPERM: "you may not write there: change the permissions, or write to another folder",
    errno.EEXIST: "a file stands where a folder belongs: move it, or write to another folder",
    errno.ENOTDIR: "a file stands where a folder belongs: move it, or write to another folder",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EISDIR: "a folder stands where a file belongs: move it, or write to another folder",
    errno.EFBIG: "files may not become that large here (`ulimit -f`): allow it, or write elsewhere",
}


@contextlib.contextmanager
def atomic(path: Path | str) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes ``path``, on failure it is removed.

    Raises ``OSError`` with the file and a remedy when the disk is full or may not be written; ``path`` is then
    untouched.
    """
    path, temporary = Path(path), None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp makes files private; results are meant to be shared
        os.replace(temporary, path)
        _sweep(path)
    except OSError as error:
        if error.errno not in REMEDIES:
            raise
        raise refused(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def together(description: Path) -> Iterator[Path]:
    """Give a folder to write files and their description into; on success all of them move to where it belongs.

    What is there stays until all is written. Then the old description goes first and the new one comes last, so that
    none ever lies beside files that it does not describe, whatever stops the writer. For one writer at a time. Raises
    ``OSError`` with the remedy when the disk is full or may not be written; nothing is changed then.
    """
    folder = staging(description)
    try:
        try:
            tidy(folder)
            folder.mkdir(parents=True)
            yield folder
        except OSError as error:
            if error.errno not in REMEDIES:
                raise
            raise refused(description.parent, error) from error  # the temporary folder is nobody's concern
        description.unlink(missing_ok=True)
        for file in sorted(folder.iterdir(), key=lambda file: file.name == description.name):
            os.replace(file, description.with_name(file.name))
    finally:
        tidy(folder)


def staging(description: Path) -> Path:
    """The folder that :func:`together` gives; one that a killed writer left goes when it is next asked for."""
    return description.with_name(f".{description.name}.tmp")


def refused(path: Path | str, error: OSError) -> OSError:
    """The error of a disk that does not take ``path``, with the remedy; the error itself if there is none."""
    if error.errno not in REMEDIES:
        return error
    message = f"cannot write {path}, {os.strerror(error.errno).lower()}: {REMEDIES[error.errno]}, then run again"
    return OSError(error.errno, f"{message} (nothing was changed)")


def _sweep(path: Path) -> None:
    """Remove what killed writers of ``path`` left: temporaries untouched since before this process began."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.{'?' * 8}.tmp"):  # mkstemp's eight characters
        with contextlib.suppress(FileNotFoundError):  # another sweep was faster
            if left.stat().st_mtime < _STARTED:
                left.unlink()


def tidy(path: Path) -> None:
    """Remove a file or folder that nobody needs any more, if it is there and may go; a read-only disk does no harm."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def write_json(path: Path | str, value: Any) -> None:
    """Write ``value`` as JSON, keys sorted, so that equal content gives equal bytes."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file; ``FileNotFoundError`` or ``ValueError`` name the file."""
    path = Path(path)
    try:
        return _parsed(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}); delete it and make it again") from error


def read_object(path: Path | str, **needed: type | tuple[type, ...]) -> dict[str, Any]:
    """Read a JSON file that holds an object, with these entries of these types; ``ValueError`` names the file."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds {str(value)[:40]!r}, not a JSON object; delete it and make it again")
    for name, kind in needed.items():
        if not isinstance(value.get(name), kind) or isinstance(value[name], bool):
            have = str(value.get(name))[:40]
            raise ValueError(
                f"{path} has {name} = {have}, which is not what bioadv writes; delete it and make it again"
            )
    return value


def _parsed(text: str) -> Any:
    """A JSON text as values; ``ValueError`` whatever is wrong with it, NaN and infinity included."""

    def refused(name: str) -> None:
        raise ValueError(f"{name} is not a number")

    try:
        return json.loads(text, parse_constant=refused)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


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
    except (FileNotFoundError, PermissionError, IsADirectoryError):
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        ValueError,
        EOFError,
        TypeError,  # a renamed .npy
        NotImplementedError,  # a method of compression, or encryption, that a changed bit asks for
        RuntimeError,
        OSError,
    ) as error:
        raise ValueError(f"{path} is not a whole .npz file ({error}); delete it and make it again") from error


def write_tensors(path: Path | str, tensors: Mapping[str, torch.Tensor], **about: Any) -> None:
    """Write tensors as safetensors; the keywords go into the file's header as JSON, and a digest of it all.

    Equal content gives equal bytes, by which the results of a training are known.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {name: _as_json(name, value) for name, value in about.items()}
    metadata[DIGEST] = _digest_of(whole, metadata)
    # Not save_file: it writes to a temporary name of its own, which a kill would leave behind.
    content = memoryview(save(whole, metadata))
    start = 8 + int.from_bytes(content[:8], "little")
    # The library puts the texts of the header in any order.
    header = json.dumps(json.loads(bytes(content[8:start])), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with atomic(path) as temporary, temporary.open("wb") as file:
        file.writelines((len(header).to_bytes(8, "little"), header, content[start:]))


def _as_json(name: str, value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        remedy = "give finite plain numbers, text, lists"
        raise ValueError(f"{name} = {value!r} has no place in JSON ({error}); {remedy}") from None


def read_tensors(path: Path | str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read ``(tensors, about)`` written by :func:`write_tensors`.

    Raises ``FileNotFoundError``, or ``ValueError`` for a truncated, damaged or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is a folder; give a file" if path.is_dir() else f"{path} does not exist")
    try:
        # Not safe_open: it opens the path twice, and a writer may replace the file in between.
        content = path.read_bytes()
        tensors = load(content)
        header = _parsed(content[8 : 8 + int.from_bytes(content[:8], "little")].decode())
        metadata = header.get("__metadata__") or {}
        # Without one it comes from an earlier version; the damaged name of a digest harms nothing.
        kept = metadata.pop(DIGEST, None)
        if kept is not None and kept != _digest_of(tensors, metadata):
            raise ValueError("its content does not have the digest that it was written with")
        return tensors, {name: _parsed(text) for name, text in metadata.items()}
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{path} is truncated, damaged or was not written by bioadv ({error}); delete it") from error


def _digest_of(tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> str:
    """SHA-256 over names, types, shapes and bytes of tensors, and over the texts of the header."""
    found = hashlib.sha256(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        found.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def digest(path: Path | str) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Versions of what a number can depend on: Python, torch, numpy, and the processor's instruction set."""
    return {
        "machine": platform.machine(),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
    }
