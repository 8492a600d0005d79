"""Files from the network, by name, size and SHA-256: from one of several mirrors, resumed, and kept for later.

What was fetched once lies in a cache and needs no network again. Nothing is taken for the file that has not its digest.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from tqdm import TqdmWarning, tqdm

from bioadv.data import files

with warnings.catch_warnings():
    # It asks for progress bars in the notebook's own style, and misses them in the output.
    warnings.simplefilter("ignore", TqdmWarning)
    import pooch

CACHE_VARIABLE = "BIOADV_CACHE"
CHUNK = 1 << 16  # bytes
TIMEOUT = (10, 60)  # seconds to connect, and to wait for the next bytes
ATTEMPTS = 3  # per mirror, as long as each brings more of the file


@dataclass(frozen=True)
class Remote:
    """A file to fetch: its name below a mirror's address, its size in bytes, its SHA-256 in hexadecimal."""

    name: str
    size: int
    sha256: str


class BrokenError(ValueError):
    """What a mirror gave is not the file."""


class AddressError(requests.RequestException):
    """A mirror's address, or one that it sends on to, is none that can be asked."""


def cache() -> Path:
    """The folder of fetched files: ``$BIOADV_CACHE``, or the user's cache."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path(pooch.os_cache("bioadv"))


def fetch(remote: Remote, mirrors: Sequence[str], folder: Path, offline: bool = False, progress: bool = True) -> Path:
    """The file in ``folder``, downloaded if it is not there, from the first mirror that has it.

    An interrupted download goes on where it stopped, whichever mirror it stopped at. Raises ``FileNotFoundError`` if no
    mirror gives it, with what each one answered and what to do; ``OSError`` if ``folder`` may not be written.
    """
    path = folder / remote.name
    if path.is_file() and path.stat().st_size == remote.size and files.digest(path) == remote.sha256:
        return path
    if offline:
        raise FileNotFoundError(
            f"{remote.name} is not in the cache {folder}; fetch it once with a network, or copy it there"
        )
    answers = []
    for mirror in mirrors:
        url = f"{mirror.rstrip('/')}/{quote(remote.name)}"
        try:
            return _from(url, remote, folder, progress)
        except (requests.RequestException, BrokenError) as error:
            answers.append(f"\n  {url}: {_reason(error)}")
        except OSError as error:
            raise files.refused(path, error) from error
    raise FileNotFoundError(
        f"{remote.name} ({remote.size / 1e6:.1f} MB) could not be fetched{''.join(answers) or ': there is no mirror'}\n"
        "try again later (what was received is kept), give another mirror with --mirror, or put the file, "
        f"SHA-256 {remote.sha256}, into {shlex.quote(str(folder))}"
    )


def _from(url: str, remote: Remote, folder: Path, progress: bool) -> Path:
    part = folder / f"{remote.name}.part"
    for attempt in range(ATTEMPTS):
        before = _size(part)
        try:
            with _quiet():
                pooch.retrieve(
                    url, f"sha256:{remote.sha256}", remote.name, folder, downloader=_Resume(remote, progress)
                )
        except ValueError as error:  # pooch's, of the digest, or ours; AddressError is none
            part.unlink(missing_ok=True)
            raise (
                error if isinstance(error, BrokenError) else BrokenError("the file there has another SHA-256")
            ) from None
        except requests.RequestException:
            if attempt == ATTEMPTS - 1 or _size(part) <= before:
                raise
        else:
            part.unlink(missing_ok=True)
            break
    return folder / remote.name


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Pooch announces each try with the paths of this machine; the bar says what matters."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        yield
    finally:
        logger.setLevel(level)


def _asked(url: str, headers: Mapping[str, str]) -> requests.Response:
    """The answer of a mirror, before its content; raises what requests does, ``AddressError`` for a bad address."""
    try:
        return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT)
    except ValueError as error:  # requests' own for most addresses, of the libraries below it for some
        raise AddressError(f"this address cannot be used ({error}); correct it") from error


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _reason(error: Exception) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"{response.status_code} {response.reason}"
    kinds = {requests.ConnectionError: "no connection, or it broke off", requests.Timeout: "no answer in time"}
    return next((text for kind, text in kinds.items() if isinstance(error, kind)), str(error))


class _Resume:
    """A downloader for pooch that goes on from what is left of an earlier try, in ``NAME.part``."""

    def __init__(self, remote: Remote, progress: bool) -> None:
        self.remote, self.progress = remote, progress

    def __call__(self, url: str, output_file: Any, _pooch: Any, check_only: bool = False) -> None:
        """Download to the part and, once that is whole, to ``output_file``; raises what requests does."""
        part = Path(output_file).parent / f"{self.remote.name}.part"
        if _size(part) != self.remote.size:
            self._download(url, part)
        shutil.copyfile(part, output_file)

    def _download(self, url: str, part: Path) -> None:
        have = _size(part) if _size(part) < self.remote.size else 0
        # Not compressed on the way: a range counts the bytes of what is sent.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with _asked(url, headers) as response:
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                have = 0  # this mirror does not resume
            title, total = self.remote.name, self.remote.size
            with (
                part.open("ab" if have else "wb") as file,
                tqdm(
                    desc=title, total=total, initial=have, unit="B", unit_scale=True, disable=not self.progress
                ) as bar,
            ):
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
                    if file.tell() > total:
                        raise BrokenError(f"it is longer than {total} bytes")
        if _size(part) < total:
            raise requests.ConnectionError(f"broke off after {_size(part)} of {total} bytes")
